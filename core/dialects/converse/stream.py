"""The event stream of an answer, both ways.

`metadata` with the usage comes after `messageStop`: an answer is whole at the
one, and over at the other. A text block has no start event, only deltas.
"""

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

from core import neutral, provider_errors
from core.dialects import made
from core.dialects.converse.blocks import (
    MediaBlock,
    Source,
    ToolUse,
    WireCitation,
    picture,
    sealed,
    unsealed,
    wire_citation,
)
from core.dialects.converse.reply import (
    FINISH_REASONS,
    NO_METRICS,
    STREAMED_EXCEPTIONS,
    WireUsage,
    image_format,
    stop_sequence_of,
    wire_reason,
    wire_usage,
)
from core.errors import ProviderError
from core.eventstream import render
from core.neutral import (
    Citation,
    CitationDelta,
    Delta,
    Ended,
    Finished,
    Media,
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

if TYPE_CHECKING:
    from core.sse import Event


class StartedImage(Struct):
    format: str | None = None


class Start(Struct, rename="camel"):
    tool_use: ToolUse | None = None
    image: StartedImage | None = None


class ToolUsePiece(Struct):
    input: str = ""


class ReasoningPiece(Struct, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: bytes | None = None


class ImagePiece(Struct):
    source: Source | None = None


class Piece(Struct, rename="camel"):
    text: str | None = None
    tool_use: ToolUsePiece | None = None
    reasoning_content: ReasoningPiece | None = None
    citation: WireCitation | None = None
    image: ImagePiece | None = None


class StreamedEvent(Struct, rename="camel"):
    """The members of all events: their names do not collide."""

    content_block_index: int = 0
    start: Start | None = None
    delta: Piece | None = None
    stop_reason: str | None = None
    additional_model_response_fields: Raw = Raw()
    usage: WireUsage | None = None


decode = msgspec.json.Decoder(StreamedEvent).decode
_encode = msgspec.json.Encoder().encode


def failure_of(event: "Event") -> ProviderError | None:
    """The error that an event tells; None for what is no exception."""
    if not event.name.endswith(b"Exception"):
        return None
    name = event.name.decode("utf-8", "replace")
    status = STREAMED_EXCEPTIONS.get(name[:1].lower() + name[1:], 500)
    error = provider_errors.parse(status, event.data)
    return ProviderError(error.message, status=status, code=name)


class StreamParser:
    def __init__(self) -> None:
        self._finished = False
        self._next_part = 0
        self._parts: dict[int, tuple[str, int]] = {}
        """Block -> what it is and its part."""
        self._silent: set[int] = set()
        """Tool blocks that no input was written for yet."""
        self._formats: dict[int, str | None] = {}
        """Of images, by block."""
        self._cited: dict[int, list[Citation]] = {}
        """Told once their text is whole: they are about all of it."""

    @property
    def complete(self) -> bool:
        return self._finished

    def feed(self, event: "Event") -> list[Delta]:
        if (error := failure_of(event)) is not None:
            return [provider_errors.told(error)]
        match event.name:
            case b"contentBlockDelta":
                told = decode(event.data)
                return self._piece(told.content_block_index, told.delta or Piece())
            case b"contentBlockStart":
                told = decode(event.data)
                return self._start(told.content_block_index, told.start or Start())
            case b"contentBlockStop":
                return self._stop(decode(event.data).content_block_index)
            case b"messageStart":
                return [Started()]
            case b"messageStop":
                return self._finish(decode(event.data))
            case b"metadata":
                told = decode(event.data)
                usage: list[Delta] = [UsageDelta(told.usage.neutral())] if told.usage else []
                return [*usage, Ended()] if self._finished else usage
            case _:
                return []  # Whatever AWS adds next.

    def _part(self, index: int, kind: str) -> int:
        known = self._parts.get(index)
        if known is None or known[0] != kind:
            known = self._parts[index] = (kind, self._next_part)
            self._next_part += 1
        return known[1]

    def _start(self, index: int, start: Start) -> list[Delta]:
        call = start.tool_use
        if start.image is not None:
            self._formats[index] = start.image.format
        if call is None or call.by_bedrock:
            return []  # What Bedrock's own tools do is nobody's to answer.
        self._silent.add(index)
        return [ToolCallStarted(self._part(index, "tool"), call.tool_use_id, call.name)]

    def _piece(self, index: int, piece: Piece) -> list[Delta]:
        match piece:
            case Piece(text=str(text)):
                return [TextDelta(self._part(index, "text"), text)] if text else []
            case Piece(tool_use=ToolUsePiece(input=arguments)):
                if not arguments or self._parts.get(index, ("", 0))[0] != "tool":
                    return []
                self._silent.discard(index)
                return [ToolCallDelta(self._parts[index][1], arguments)]
            case Piece(reasoning_content=ReasoningPiece() as thought):
                part = self._part(index, "reasoning")
                sealed_bytes = thought.redacted_content
                redacted = None if sealed_bytes is None else unsealed(sealed_bytes)
                return [ReasoningDelta(part, thought.text or "", thought.signature, redacted)]
            case Piece(image=ImagePiece(source=Source(bytes=str()) as source)):
                block = MediaBlock(source=source, format=self._formats.get(index))
                return [MediaDelta(self._part(index, "image"), picture(block))]
            case Piece(citation=WireCitation() as cited):
                if (citation := cited.neutral()) is not None:
                    self._cited.setdefault(index, []).append(citation)
                return []
            case _:
                return []

    def _stop(self, index: int) -> list[Delta]:
        if (cited := self._cited.pop(index, None)) is not None and index in self._parts:
            part = self._parts[index][1]
            return [CitationDelta(part, citation) for citation in cited]
        if index not in self._silent:
            return []
        self._silent.discard(index)
        return [ToolCallDelta(self._parts[index][1], "{}")]

    def _finish(self, told: StreamedEvent) -> list[Delta]:
        self._finished = True
        reason = FINISH_REASONS.get(told.stop_reason or "end_turn", "other")
        stop_sequence = stop_sequence_of(told.additional_model_response_fields)
        return [Finished(reason, told.stop_reason, stop_sequence)]


class StreamRenderer:
    """One choice only: a Converse client has no way to ask for more."""

    def __init__(self, view: View) -> None:
        del view  # Neither the model nor an id has a place in the events.
        self._usage: neutral.Usage | None = None
        self._blocks: dict[int, int] = {}
        """Neutral part -> index of its block."""
        self._open: dict[int, str] = {}
        """Blocks that have begun and not stopped, and what they are."""
        self._finished: Finished | None = None
        self._refused = False

    def feed(self, delta: Delta) -> bytes:
        match delta:
            case TextDelta(choice=0):
                return self._piece(delta.part, "text", {"text": delta.text})
            case ToolCallDelta(choice=0):
                return self._piece(delta.part, "tool", {"toolUse": {"input": delta.arguments}})
            case Started():
                self._usage = delta.usage
                return _event("messageStart", {"role": "assistant"})
            case Finished(choice=0):
                self._finished = delta
                return b""
            case UsageDelta():
                self._usage = delta.usage
                return b""
            case Ended():
                return self._end()
            case _:
                return self._rarer(delta)

    def _rarer(self, delta: Delta) -> bytes:
        match delta:
            case ReasoningDelta(choice=0):
                return self._reasoning(delta)
            case ToolCallStarted(choice=0):
                return self._call(delta)
            case RefusalDelta(choice=0):
                self._refused = True
                return self._piece(delta.part, "text", {"text": delta.text})
            case MediaDelta(choice=0, media=Media(kind="image", data=str())):
                return self._image(delta.part, delta.media)
            case MediaDelta(choice=0):
                return self._piece(delta.part, "text", {"text": made.told(delta.media)})
            case CitationDelta(choice=0) if self._blocks.get(delta.part) in self._open:
                piece = {"citation": wire_citation(delta.citation)}
                return self._piece(delta.part, "text", piece)
            case _:
                return b""

    def _begin(self, part: int, kind: str) -> bytes:
        """The ends of the blocks before it."""
        index = self._blocks[part] = len(self._blocks)
        # Calls may take turns (parallel tool calls), so a tool block stays open to the end.
        closed = b"".join(self._close(i) for i, was in [*self._open.items()] if was != "tool")
        self._open[index] = kind
        return closed

    def _close(self, index: int) -> bytes:
        del self._open[index]
        return _event("contentBlockStop", {"contentBlockIndex": index})

    def _piece(self, part: int, kind: str, delta: dict[str, Any]) -> bytes:
        # What comes late, once its block is over, is one more block.
        begun = b"" if self._blocks.get(part) in self._open else self._begin(part, kind)
        fields = {"contentBlockIndex": self._blocks[part], "delta": delta}
        return begun + _event("contentBlockDelta", fields)

    def _call(self, started: ToolCallStarted) -> bytes:
        begun = self._begin(started.part, "tool")
        start = {"toolUse": {"toolUseId": started.id, "name": started.name}}
        fields = {"contentBlockIndex": self._blocks[started.part], "start": start}
        return begun + _event("contentBlockStart", fields)

    def _image(self, part: int, image: Media) -> bytes:
        begun = self._begin(part, "image")
        start = {"image": {"format": image_format(image)}}
        fields = {"contentBlockIndex": self._blocks[part], "start": start}
        piece = {"image": {"source": {"bytes": image.data}}}
        return begun + _event("contentBlockStart", fields) + self._piece(part, "image", piece)

    def _reasoning(self, delta: ReasoningDelta) -> bytes:
        pieces: list[dict[str, Any]] = []
        if delta.text or (delta.signature is delta.redacted is None):
            pieces.append({"text": delta.text})
        if delta.signature is not None:
            pieces.append({"signature": delta.signature})
        if delta.redacted is not None:
            pieces.append({"redactedContent": sealed(delta.redacted)})
        return b"".join(
            self._piece(delta.part, "reasoning", {"reasoningContent": piece}) for piece in pieces
        )

    def _end(self) -> bytes:
        closed = b"".join(self._close(index) for index in [*self._open])
        end = self._finished or Finished("stop")
        reason = wire_reason(end.reason, end.stop_sequence, refused=self._refused)
        metadata = {"usage": wire_usage(self._usage), "metrics": NO_METRICS}
        stop = _event("messageStop", {"stopReason": reason})
        return closed + stop + _event("metadata", metadata)


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    return render(_encode(fields), kind)
