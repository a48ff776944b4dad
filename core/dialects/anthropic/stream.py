"""The event stream of a message, both ways."""

from typing import Any

import msgspec
from msgspec import Struct

from core import neutral, provider_errors
from core.dialects import made
from core.dialects.anthropic.reply import (
    FINISH_REASONS,
    StopDetails,
    WireBlock,
    WireUsage,
    citation_of,
    wire_citation,
    wire_reason,
    wire_usage,
)
from core.envelope import present
from core.neutral import (
    Citation,
    CitationDelta,
    Delta,
    Ended,
    Finished,
    MediaDelta,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageDelta,
    View,
)
from core.sse import Event


class StreamedMessage(Struct):
    id: str = ""
    model: str = ""
    usage: WireUsage | None = None


class StreamedDelta(Struct):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: Any = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


class StreamedEvent(Struct):
    type: str
    index: int = 0
    message: StreamedMessage | None = None
    content_block: WireBlock | None = None
    delta: StreamedDelta | None = None
    usage: WireUsage | None = None


_decode = msgspec.json.Decoder(StreamedEvent).decode
_encode = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode


class StreamParser:
    def __init__(self) -> None:
        self._usage = WireUsage()
        self._finished = False
        self._inputs: dict[int, bytes | None] = {}
        """Tool blocks by index: the input that came with the start, None once pieces came."""
        self._cited: dict[int, list[Citation]] = {}
        """Told once their text is whole: they are about all of it."""
        self._last_part = 0

    @property
    def complete(self) -> bool:
        return self._finished

    def feed(self, event: Event) -> list[Delta]:
        message: StreamedEvent = _decode(event.data)
        match message.type:
            case "content_block_delta" if message.delta is not None:
                return self._delta(message.index, message.delta)
            case "content_block_start" if message.content_block is not None:
                return self._start(message.index, message.content_block)
            case "content_block_stop":
                return self._stop(message.index)
            case "message_start" if (start := message.message) is not None:
                self._usage = start.usage or self._usage
                return [Started(id=start.id, model=start.model, usage=self._usage.neutral())]
            case "message_delta" if message.delta is not None:
                return self._finish(message.delta, message.usage)
            case "message_stop":
                return [Ended()] if self._finished else []
            case "error":
                return [provider_errors.told(provider_errors.of_event(event.data))]
            case _:
                return []  # `ping`, and whatever Anthropic adds next.

    def _start(self, index: int, block: WireBlock) -> list[Delta]:
        self._last_part = max(self._last_part, index)
        match block.type:
            case "text":
                return [TextDelta(index, block.text)] if block.text else []
            case "thinking":
                # Said at once, so that a thought whose text is withheld is a thought all the same.
                return [ReasoningDelta(index, block.thinking or "", block.signature or None)]
            case "redacted_thinking":
                return [ReasoningDelta(index, redacted=block.data or "")]
            case "tool_use":
                self._inputs[index] = bytes(present(block.input) or b"{}")
                return [ToolCallStarted(index, block.id or "", block.name or "")]
            case _:
                return []

    def _delta(self, index: int, delta: StreamedDelta) -> list[Delta]:
        match delta.type:
            case "text_delta":
                return [TextDelta(index, delta.text or "")]
            case "input_json_delta":
                # A server tool's input has no start that we told anybody of.
                if not delta.partial_json or index not in self._inputs:
                    return []
                self._inputs[index] = None
                return [ToolCallDelta(index, delta.partial_json)]
            case "thinking_delta":
                return [ReasoningDelta(index, delta.thinking or "")]
            case "signature_delta":
                return [ReasoningDelta(index, signature=delta.signature or "")]
            case "citations_delta":
                if (citation := citation_of(delta.citation)) is not None:
                    self._cited.setdefault(index, []).append(citation)
                return []
            case _:
                return []

    def _stop(self, index: int) -> list[Delta]:
        if (cited := self._cited.pop(index, None)) is not None:
            return [CitationDelta(index, citation) for citation in cited]
        whole = self._inputs.get(index)
        return [] if whole is None else [ToolCallDelta(index, whole.decode())]

    def _finish(self, delta: StreamedDelta, usage: WireUsage | None) -> list[Delta]:
        deltas: list[Delta] = []
        if usage is not None:
            self._usage = usage.over(self._usage)
        if delta.stop_details and delta.stop_details.explanation:
            deltas.append(RefusalDelta(self._last_part + 1, delta.stop_details.explanation))
        if delta.stop_reason is not None:
            self._finished = True
            reason = FINISH_REASONS.get(delta.stop_reason, "other")
            deltas.append(Finished(reason, delta.stop_reason, delta.stop_sequence))
        deltas.append(UsageDelta(self._usage.neutral()))
        return deltas


class StreamRenderer:
    """One choice only: an Anthropic client has no way to ask for more."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._usage: neutral.Usage | None = None
        self._blocks: dict[int, int] = {}
        """Neutral part -> index of its block."""
        self._open: dict[int, str] = {}
        """Blocks that have begun and not stopped, with their types."""
        self._arguments: dict[int, str] = {}
        """What was written of each tool block's input."""
        self._finished: Finished | None = None
        self._reason = "end_turn"
        self._refused = False

    def feed(self, delta: Delta) -> bytes:
        match delta:
            case TextDelta(choice=0):
                return self._piece(delta.part, "text", {"text": delta.text})
            case ToolCallDelta(choice=0):
                return self._input(delta)
            case Started():
                return self._start(delta)
            case ReasoningDelta(choice=0):
                return self._reasoning(delta)
            case ToolCallStarted(choice=0):
                block = {"type": "tool_use", "id": delta.id, "name": delta.name, "input": {}}
                return self._begin(delta.part, block)
            case RefusalDelta(choice=0):
                self._refused = True
                return self._piece(delta.part, "text", {"text": delta.text})
            case Finished(choice=0):
                return self._finish(delta)
            case UsageDelta():
                self._usage = delta.usage
                return b""
            case Ended():
                return self._end()
            case _:
                return self._rarer(delta)

    def _rarer(self, delta: Delta) -> bytes:
        match delta:
            case MediaDelta(choice=0):
                return self._piece(delta.part, "text", {"text": made.told(delta.media)})
            case CitationDelta(choice=0) if self._blocks.get(delta.part) in self._open:
                cited = {"citation": wire_citation(delta.citation)}
                return self._block_delta(delta.part, "citations", cited)
            case _:
                return b""

    def _start(self, started: Started) -> bytes:
        self._usage = started.usage
        message: dict[str, Any] = {
            "id": started.id or self._view.fresh_id,
            "type": "message",
            "role": "assistant",
            "model": started.model or self._view.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": wire_usage(started.usage),
        }
        return framed("message_start", {"message": message})

    def _begin(self, part: int, block: dict[str, Any]) -> bytes:
        index = self._blocks[part] = len(self._blocks)
        closed = b"".join(self._close(i) for i in [*self._open] if self._is_whole(i))
        self._open[index] = block["type"]
        return closed + framed("content_block_start", {"index": index, "content_block": block})

    def _is_whole(self, index: int) -> bool:
        """Parallel calls may take turns: a tool block stays open until its input is JSON."""
        if self._open[index] != "tool_use":
            return True
        try:
            _decode_json(self._arguments.get(index, ""))
        except (msgspec.DecodeError, RecursionError):
            return False
        return True

    def _input(self, delta: ToolCallDelta) -> bytes:
        index = self._blocks[delta.part]
        if index not in self._open:
            return b""  # Its input was whole: what follows is white space.
        self._arguments[index] = self._arguments.get(index, "") + delta.arguments
        return self._block_delta(delta.part, "input_json", {"partial_json": delta.arguments})

    def _close(self, index: int) -> bytes:
        del self._open[index]
        return framed("content_block_stop", {"index": index})

    def _block_delta(self, part: int, kind: str, fields: dict[str, Any]) -> bytes:
        delta = {"type": f"{kind}_delta", **fields}
        return framed("content_block_delta", {"index": self._blocks[part], "delta": delta})

    def _piece(self, part: int, kind: str, fields: dict[str, Any]) -> bytes:
        begun = b""
        if self._blocks.get(part) not in self._open:  # New, or over: what comes late is one more.
            empty = {"signature": ""} if kind == "thinking" else {}
            begun = self._begin(part, {"type": kind, kind: "", **empty})
        return begun + self._block_delta(part, kind, fields)

    def _reasoning(self, delta: ReasoningDelta) -> bytes:
        if delta.redacted is not None:
            return self._begin(delta.part, {"type": "redacted_thinking", "data": delta.redacted})
        said = b""
        if delta.text or self._blocks.get(delta.part) not in self._open:
            said = self._piece(delta.part, "thinking", {"thinking": delta.text})
        if delta.signature is not None:
            said += self._block_delta(delta.part, "signature", {"signature": delta.signature})
        return said

    def _finish(self, end: Finished) -> bytes:
        self._finished = end
        # Not at the end: an error is told in place of the last events.
        self._reason = wire_reason(end.reason, end.stop_sequence, refused=self._refused)
        return b""

    def _end(self) -> bytes:
        closed = b"".join(self._close(index) for index in [*self._open])
        end = self._finished or Finished("stop")
        delta = {"stop_reason": self._reason, "stop_sequence": end.stop_sequence}
        return (
            closed
            + framed("message_delta", {"delta": delta, "usage": wire_usage(self._usage)})
            + framed("message_stop", {})
        )


def framed(kind: str, fields: dict[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + _encode({"type": kind, **fields}) + b"\n\n"
