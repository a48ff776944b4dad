"""Chat completion chunks, both ways, and the watcher of the pass lane."""

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

from core import neutral, provider_errors
from core.dialects.openai_chat.reply import (
    Call,
    Spoken,
    read_reason,
    seconds_of,
    split_content,
    split_reasoning,
    text_of,
    usage_of,
    wire_reason,
    wire_usage,
)
from core.envelope import present
from core.neutral import (
    Delta,
    Ended,
    Failed,
    Finished,
    Reasoning,
    ReasoningDelta,
    RefusalDelta,
    Started,
    Text,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageDelta,
    View,
)
from core.sse import Event

if TYPE_CHECKING:
    from core.errors import ProviderError

DONE = b"data: [DONE]\n\n"


class ChunkChoice(Struct):
    index: int = 0
    delta: Spoken | None = None
    finish_reason: str | None = None


class Chunk(Struct):
    id: Any = None
    model: Any = None
    created: Any = None
    choices: list[ChunkChoice] | None = None
    usage: Raw = Raw()
    error: Any = None


class WatchedChoice(Struct):
    index: int = 0
    finish_reason: str | None = None


class WatchedChunk(Struct):
    choices: list[WatchedChoice] | None = None
    usage: Raw = Raw()
    error: Raw = Raw()


_decode = msgspec.json.Decoder(Chunk).decode
_decode_watched = msgspec.json.Decoder(WatchedChunk).decode
_encode = msgspec.json.Encoder().encode


class _OpenChoice:
    """Which part of one choice is being written."""

    def __init__(self) -> None:
        self.next_part = 0
        self.kind: str | None = None
        self.part = 0
        self.calls: dict[int, tuple[int, str]] = {}
        """Tool call index -> (part, id)."""

    def part_for(self, kind: str) -> int:
        if self.kind != kind:
            self.kind, self.part = kind, self.begin()
        return self.part

    def begin(self) -> int:
        part, self.next_part = self.next_part, self.next_part + 1
        return part


class StreamParser:
    def __init__(self) -> None:
        self._started = False
        self._open: dict[int, _OpenChoice] = {}
        self._finished: set[int] = set()

    @property
    def complete(self) -> bool:
        return bool(self._finished) and self._finished >= self._open.keys()

    def feed(self, event: Event) -> list[Delta]:
        if event.data.startswith(b"[DONE]"):
            return self._done()
        chunk = _decode(event.data)
        if chunk.error or event.name == b"error":
            error = provider_errors.of_event(event.data)
            return [Failed(error.status, error.message, error.type, error.code)]
        deltas: list[Delta] = []
        if not self._started and chunk.choices:
            self._started = True
            deltas.append(
                Started(
                    id=text_of(chunk.id),
                    model=text_of(chunk.model),
                    created=seconds_of(chunk.created),
                )
            )
        for choice in chunk.choices or ():
            deltas += self._choice(choice)
        if (usage := usage_of(chunk.usage)) is not None:
            deltas.append(UsageDelta(usage))
        return deltas

    def _done(self) -> list[Delta]:
        """The marker ends what has begun, though some providers never give a finish reason."""
        if not self._open:
            return []
        unfinished = [index for index in self._open if index not in self._finished]
        return [
            *(
                Finished("tool_calls" if self._open[index].calls else "other", None, None, index)
                for index in unfinished
            ),
            Ended(),
        ]

    def _choice(self, choice: ChunkChoice) -> list[Delta]:
        index = choice.index
        state = self._open.setdefault(index, _OpenChoice())
        deltas: list[Delta] = []
        if (spoken := choice.delta) is not None:
            deltas += _pieces(spoken, state, index)
            if spoken.refusal:
                deltas.append(RefusalDelta(state.part_for("refusal"), spoken.refusal, index))
            for call in spoken.tool_calls or ():
                deltas += _tool_call(call, state, index)
            if spoken.function_call is not None:
                deltas += _tool_call(
                    Call(index=0, id="call_0", function=spoken.function_call), state, index
                )
        # Some providers repeat the finish reason in the chunk that tells the usage.
        if choice.finish_reason and index not in self._finished:
            self._finished.add(index)
            reason = read_reason(choice.finish_reason, called=bool(state.calls))
            deltas.append(Finished(reason, choice.finish_reason, None, index))
        return deltas


def _pieces(spoken: Spoken, state: _OpenChoice, index: int) -> list[Delta]:
    if isinstance(spoken.content, str) and spoken.reasoning is spoken.reasoning_content is None:
        # By far the most common chunk.
        return [TextDelta(state.part_for("text"), spoken.content, index)] if spoken.content else []
    # A second entry of `reasoning` is a second thought, with a signature of its own.
    entry = spoken.reasoning if isinstance(spoken.reasoning, dict) else {}
    first = entry.get("index", 0)
    deltas: list[Delta] = []
    for place, thought in enumerate(split_reasoning(spoken)):
        deltas.append(_thought(thought, state.part_for(f"reasoning {first}.{place}"), index))
    for piece in split_content(spoken.content):
        match piece:
            case Text():
                deltas.append(TextDelta(state.part_for("text"), piece.text, index))
            case Reasoning():
                deltas.append(_thought(piece, state.part_for("reasoning 0.0"), index))
    return deltas


def _thought(piece: Reasoning, part: int, index: int) -> ReasoningDelta:
    return ReasoningDelta(part, piece.text, piece.signature, piece.redacted, index)


def _tool_call(call: Call, state: _OpenChoice, index: int) -> list[Delta]:
    deltas: list[Delta] = []
    position = call.index if call.index is not None else len(state.calls) - (not call.id)
    known = state.calls.get(position)
    # Another id at the same index is another call: some providers never count up.
    if known is None or (call.id and known[1] and call.id != known[1]):
        name = call.function.name if call.function else None
        known = (state.begin(), call.id or "")
        state.calls[position] = known
        state.kind = None
        deltas.append(ToolCallStarted(known[0], call.id or "", name or "", index))
    if call.function is not None and call.function.text:
        deltas.append(ToolCallDelta(known[0], call.function.text, index))
    return deltas


class StreamRenderer:
    def __init__(self, view: View) -> None:
        self._view = view
        self._head: dict[str, Any] = {}
        self._spoken: set[int] = set()
        self._calls: dict[tuple[int, int], int] = {}
        self._thoughts: dict[tuple[int, int], int] = {}
        self._usage: neutral.Usage | None = None

    def feed(self, delta: Delta) -> bytes:
        match delta:
            case TextDelta():
                return self._chunk(delta.choice, {"content": delta.text})
            case ToolCallDelta():
                return self._arguments(delta)
            case Started():
                self._start(delta)
                return self._chunk(0, {"content": ""})
            case ReasoningDelta():
                return self._reasoning(delta)
            case ToolCallStarted():
                return self._call(delta)
            case RefusalDelta():
                return self._chunk(delta.choice, {"refusal": delta.text})
            case Finished():
                return self._chunk(delta.choice, {}, wire_reason(delta.reason, self._view))
            case UsageDelta():
                self._usage = delta.usage
                return b""
            case Ended():
                return self._end()
            case _:
                return b""

    def _start(self, started: Started) -> None:
        self._usage = started.usage
        self._head = {
            "id": started.id or self._view.fresh_id,
            "object": "chat.completion.chunk",
            "created": started.created or self._view.created,
            "model": started.model or self._view.model,
        }

    def _chunk(self, index: int, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        if index not in self._spoken:
            self._spoken.add(index)
            delta = {"role": "assistant", **delta}
        choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
        return b"data: " + _encode({**self._head, "choices": [choice]}) + b"\n\n"

    def _call(self, started: ToolCallStarted) -> bytes:
        if self._view.legacy_functions:
            if self._calls.setdefault((started.choice, -1), started.part) != started.part:
                return b""  # The old shape has room for one call.
            function_call = {"name": started.name, "arguments": ""}
            return self._chunk(started.choice, {"function_call": function_call})
        position = sum(choice == started.choice for choice, _ in self._calls)
        self._calls[started.choice, started.part] = position
        call = {
            "index": position,
            "id": started.id,
            "type": "function",
            "function": {"name": started.name, "arguments": ""},
        }
        return self._chunk(started.choice, {"tool_calls": [call]})

    def _arguments(self, delta: ToolCallDelta) -> bytes:
        if self._view.legacy_functions:
            if self._calls.get((delta.choice, -1)) != delta.part:
                return b""
            return self._chunk(delta.choice, {"function_call": {"arguments": delta.arguments}})
        call = {
            "index": self._calls[delta.choice, delta.part],
            "function": {"arguments": delta.arguments},
        }
        return self._chunk(delta.choice, {"tool_calls": [call]})

    def _reasoning(self, delta: ReasoningDelta) -> bytes:
        key = (delta.choice, delta.part)
        if key not in self._thoughts:
            self._thoughts[key] = sum(choice == delta.choice for choice, _ in self._thoughts)
        entry: dict[str, Any] = {"index": self._thoughts[key]}
        if delta.text or (delta.signature is None and delta.redacted is None):
            entry["content"] = delta.text
        if delta.signature is not None:
            entry["id"] = delta.signature
        if delta.redacted is not None:
            entry["redacted"] = delta.redacted
        return self._chunk(delta.choice, {"reasoning": entry})

    def _end(self) -> bytes:
        if not self._view.usage_in_stream or self._usage is None:
            return DONE
        usage = {**self._head, "choices": [], "usage": wire_usage(self._usage)}
        return b"data: " + _encode(usage) + b"\n\n" + DONE


class StreamWatcher:
    def __init__(self, view: View) -> None:
        self._hide_usage = not view.usage_in_stream
        self._open: set[int] = set()
        self._finished: set[int] = set()
        self.usage: neutral.Usage | None = None
        self.ended = False
        self.error: ProviderError | None = None

    @property
    def complete(self) -> bool:
        return bool(self._finished) and self._finished >= self._open

    def see(self, event: Event) -> bool:
        if event.data.startswith(b"[DONE]"):
            # The marker ends what has begun, though some providers never give a finish reason.
            self.ended = bool(self._open)
            return self.ended
        chunk = _decode_watched(event.data)
        if event.name == b"error" or present(chunk.error):
            self.error = provider_errors.of_event(event.data)
            return True
        for choice in chunk.choices or ():
            self._open.add(choice.index)
            if choice.finish_reason:
                self._finished.add(choice.index)
        if present(chunk.usage) is not None:
            self.usage = usage_of(chunk.usage) or self.usage
            # The chunk that only tells the usage is ours unless the client asked for it.
            return bool(chunk.choices) or not self._hide_usage
        return True

    def ending(self) -> bytes:
        return DONE
