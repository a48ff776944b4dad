"""Chat completion chunks, both ways."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from core import neutral, provider_errors
from core.dialects import made
from core.dialects.openai_chat.beside import (
    citations_of,
    images_of,
    placed,
    sources_of,
    wire_annotation,
    wire_image,
)
from core.dialects.openai_chat.reply import (
    Call,
    Function,
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
from core.dialects.openai_chat.thoughts import Thoughts
from core.neutral import (
    Citation,
    CitationDelta,
    Delta,
    Ended,
    Finished,
    Media,
    MediaDelta,
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
    citations: Any = None
    search_results: Any = None


_decode = msgspec.json.Decoder(Chunk).decode
_encode = msgspec.json.Encoder().encode


class _OpenCall:
    """A call is told once it has a name, which may come in a later chunk than its id."""

    def __init__(self, part: int) -> None:
        self.part = part
        self.id = ""
        self.begun = False
        self._held = ""

    def begin(self, name: str, choice: int) -> list[Delta]:
        self.begun = True
        begun: list[Delta] = [ToolCallStarted(self.part, self.id, name, choice)]
        return [*begun, ToolCallDelta(self.part, self._held, choice)] if self._held else begun

    def grow(self, arguments: str, choice: int) -> list[Delta]:
        if self.begun:
            return [ToolCallDelta(self.part, arguments, choice)]
        self._held += arguments
        return []


class _OpenChoice:
    """Which part of one choice is being written."""

    def __init__(self) -> None:
        self.next_part = 0
        self.kind: str | None = None
        self.part = 0
        self.calls: dict[int, _OpenCall] = {}
        """By the call's index."""
        self.lengths: dict[int, int] = {}
        """Characters of each text part."""
        self.cited = False

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
        self._sources: list[Citation] = []
        """Of the answer as a whole: Perplexity says them again and again."""

    @property
    def complete(self) -> bool:
        return bool(self._finished) and self._finished >= self._open.keys()

    def feed(self, event: Event) -> list[Delta]:
        if event.data.startswith(b"[DONE]"):
            return self._done()
        chunk = _decode(event.data)
        if chunk.error or event.name == b"error":
            return [provider_errors.told(provider_errors.of_event(event.data))]
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
        if chunk.citations is not None or chunk.search_results is not None:
            self._sources = sources_of(chunk.search_results, chunk.citations) or self._sources
        for choice in chunk.choices or ():
            deltas += self._choice(choice)
        if (usage := usage_of(chunk.usage)) is not None:
            deltas.append(UsageDelta(usage))
        return deltas

    def _done(self) -> list[Delta]:
        """The marker ends what has begun, though some providers never give a finish reason."""
        if not self._open:
            return []
        deltas: list[Delta] = []
        for index, state in self._open.items():
            if index not in self._finished:
                deltas += _nameless(state, index)
                reason: neutral.FinishReason = "tool_calls" if state.calls else "other"
                deltas.append(Finished(reason, None, None, index))
        return [*deltas, Ended()]

    def _choice(self, choice: ChunkChoice) -> list[Delta]:
        index = choice.index
        state = self._open.setdefault(index, _OpenChoice())
        deltas: list[Delta] = []
        if (spoken := choice.delta) is not None:
            deltas += _pieces(spoken, state, index)
            if spoken.annotations is not None:
                deltas += _cited(citations_of(spoken.annotations), state, index)
            if spoken.refusal:
                deltas.append(RefusalDelta(state.part_for("refusal"), spoken.refusal, index))
            for call in spoken.tool_calls or ():
                deltas += _tool_call(call, state, index)
            if spoken.function_call is not None and spoken.function_call.says_something:
                deltas += _tool_call(
                    Call(index=0, id="call_0", function=spoken.function_call), state, index
                )
        # Some providers repeat the finish reason in the chunk that tells the usage.
        if choice.finish_reason and index not in self._finished:
            self._finished.add(index)
            if not state.cited:
                deltas += _cited(self._sources, state, index)
            deltas += _nameless(state, index)
            reason = read_reason(choice.finish_reason, called=bool(state.calls))
            deltas.append(Finished(reason, choice.finish_reason, None, index))
        return deltas


def _pieces(spoken: Spoken, state: _OpenChoice, index: int) -> list[Delta]:
    if isinstance(spoken.content, str) and spoken.reasoning is spoken.reasoning_content is None:
        # By far the most common chunk.
        deltas: list[Delta] = [_text(spoken.content, state, index)] if spoken.content else []
        return deltas if spoken.images is None else deltas + _drawn(spoken.images, state, index)
    # A second entry of `reasoning` is a second thought, with a signature of its own.
    entry = spoken.reasoning if isinstance(spoken.reasoning, dict) else {}
    first = entry.get("index", 0)
    deltas = []
    for place, thought in enumerate(split_reasoning(spoken)):
        deltas.append(_thought(thought, state.part_for(f"reasoning {first}.{place}"), index))
    for piece in split_content(spoken.content):
        match piece:
            case Text():
                deltas.append(_text(piece.text, state, index))
            case Reasoning():
                deltas.append(_thought(piece, state.part_for("reasoning 0.0"), index))
            case Media():
                deltas.append(_image(piece, state, index))
    return deltas if spoken.images is None else deltas + _drawn(spoken.images, state, index)


def _text(text: str, state: _OpenChoice, index: int) -> TextDelta:
    part = state.part_for("text")
    state.lengths[part] = state.lengths.get(part, 0) + len(text)
    return TextDelta(part, text, index)


def _image(image: Media, state: _OpenChoice, index: int) -> MediaDelta:
    state.kind = None
    return MediaDelta(state.begin(), image, index)


def _drawn(images: Any, state: _OpenChoice, index: int) -> list[Delta]:
    return [_image(image, state, index) for image in images_of(images)]


def _cited(citations: list[Citation], state: _OpenChoice, index: int) -> list[Delta]:
    deltas: list[Delta] = []
    for given in citations:
        if (found := placed(given, state.lengths)) is not None:
            state.cited = True
            deltas.append(CitationDelta(found[0], found[1], index))
    return deltas


def _thought(piece: Reasoning, part: int, index: int) -> ReasoningDelta:
    return ReasoningDelta(part, piece.text, piece.signature, piece.redacted, index)


def _tool_call(call: Call, state: _OpenChoice, index: int) -> list[Delta]:
    deltas: list[Delta] = []
    position = call.index if call.index is not None else _position(call, state)
    known = state.calls.get(position)
    # Another id at the same index is another call: some providers never count up.
    if known is None or (call.id and known.id and call.id != known.id):
        if known is not None and not known.begun:
            deltas += known.begin("", index)
        known = state.calls[position] = _OpenCall(state.begin())
        state.kind = None
    known.id = known.id or call.id or ""
    function = call.function or Function()
    if function.name and not known.begun:
        deltas += known.begin(function.name, index)
    if arguments := function.text:
        deltas += known.grow(arguments, index)
    return deltas


def _nameless(state: _OpenChoice, index: int) -> list[Delta]:
    """Calls that never got a name are told all the same."""
    waiting = [call for call in state.calls.values() if not call.begun]
    return [delta for call in waiting for delta in call.begin("", index)]


def _position(call: Call, state: _OpenChoice) -> int:
    """Of a piece without an index: it begins a call where it has an id or a name."""
    begins = call.id or (call.function is not None and call.function.name)
    return len(state.calls) - (not begins)


class StreamRenderer:
    def __init__(self, view: View) -> None:
        self._view = view
        self._head: dict[str, Any] = {}
        self._spoken: set[int] = set()
        self._calls: dict[tuple[int, int], int] = {}
        self._thoughts: dict[int, Thoughts] = {}
        self._entries: dict[tuple[int, str], int] = {}
        self._lengths: dict[tuple[int, int], int] = {}
        """Characters of each text, by choice and part, in their order."""
        self._usage: neutral.Usage | None = None

    def feed(self, delta: Delta) -> bytes:
        match delta:
            case TextDelta():
                return self._text(delta.choice, delta.part, delta.text)
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
            case Finished(choice=choice, reason=reason):
                last = self._thoughts[choice].last() if choice in self._thoughts else {}
                return self._chunk(choice, last, wire_reason(reason, self._view))
            case UsageDelta():
                self._usage = delta.usage
                return b""
            case Ended():
                return self._end()
            case _:
                return self._rarer(delta)

    def _rarer(self, delta: Delta) -> bytes:
        match delta:
            case CitationDelta():
                key = (delta.choice, delta.part)
                before = 0
                for (choice, part), length in self._lengths.items():
                    if (choice, part) == key:
                        break
                    before += length if choice == delta.choice else 0
                length = self._lengths.get(key, 0)
                annotation = wire_annotation(delta.citation, length, before)
                return self._entry(delta.choice, "annotations", annotation)
            case MediaDelta(media=Media(kind="image") as image):
                return self._entry(delta.choice, "images", wire_image(image))
            case MediaDelta():
                return self._text(delta.choice, delta.part, made.told(delta.media))
            case _:
                return b""

    def _entry(self, choice: int, name: str, entry: dict[str, Any]) -> bytes:
        """One more entry of a list: OpenAI's SDK fails at a second one without an index."""
        index = self._entries[choice, name] = self._entries.get((choice, name), -1) + 1
        return self._chunk(choice, {name: [{"index": index, **entry}]})

    def _text(self, choice: int, part: int, text: str) -> bytes:
        self._lengths[choice, part] = self._lengths.get((choice, part), 0) + len(text)
        return self._chunk(choice, {"content": text})

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
        thoughts = self._thoughts.setdefault(delta.choice, Thoughts())
        return self._chunk(delta.choice, {"reasoning": thoughts.piece(delta)})

    def _end(self) -> bytes:
        if not self._view.usage_in_stream or self._usage is None:
            return DONE
        usage = {**self._head, "choices": [], "usage": wire_usage(self._usage)}
        return b"data: " + _encode(usage) + b"\n\n" + DONE
