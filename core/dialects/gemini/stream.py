"""The stream of GenerateContentResponses, both ways.

Nothing marks the end: the stream just stops, and is whole if every candidate
has a finish reason by then. Each piece of a function call is a whole call.
"""

from typing import Any

import msgspec

from core import neutral, provider_errors
from core.dialects.gemini.answer import (
    FINISH_REASONS,
    Blob,
    Candidate,
    FileData,
    PromptFeedback,
    Response,
    WireCall,
    WirePart,
    encode,
    head,
    made_id,
    reason_word,
    seconds,
    wire_part,
    wire_reason,
    wire_usage,
)
from core.dialects.gemini.contents import kind_of
from core.dialects.gemini.foreign import signature_of_call
from core.dialects.gemini.grounding import citations_of, wire_metadata
from core.dialects.gemini.pieces import Arguments
from core.envelope import present
from core.neutral import (
    Citation,
    CitationDelta,
    Delta,
    Ended,
    Finished,
    Media,
    MediaDelta,
    Part,
    Reasoning,
    ReasoningDelta,
    RefusalDelta,
    Started,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    UsageDelta,
    View,
)
from core.signatures import into_id, of_google
from core.sse import Event

_decode_one = msgspec.json.Decoder(Response).decode
_decode_list = msgspec.json.Decoder(list[Response]).decode


def _decode(data: bytes) -> list[Response]:
    """Some errors, and whole streams without `alt=sse`, come as an array."""
    return _decode_list(data) if data.lstrip().startswith(b"[") else [_decode_one(data)]


class _OpenChoice:
    """Which part of one candidate is being written."""

    def __init__(self) -> None:
        self.next_part = 0
        self.kind = ""
        self.part = 0
        self.calls = 0
        self.reason: neutral.FinishReason | None = None
        self.arguments: Arguments | None = None
        """Of a call that comes in pieces; `part` is its part."""
        self.texts: dict[int, str] = {}
        self.cited: set[tuple[int, Citation]] = set()

    def part_for(self, kind: str) -> int:
        if self.kind != kind:
            self.part = self.begin(kind)
        return self.part

    def begin(self, kind: str = "") -> int:
        part, self.next_part, self.kind = self.next_part, self.next_part + 1, kind
        return part


class StreamParser:
    def __init__(self) -> None:
        self._started = False
        self._id = ""
        self._open: dict[int, _OpenChoice] = {}
        self._usage: neutral.Usage | None = None

    @property
    def complete(self) -> bool:
        return bool(self._open) and not self.unfinished

    @property
    def unfinished(self) -> list[int]:
        return [index for index, choice in self._open.items() if choice.reason is None]

    def feed(self, event: Event) -> list[Delta]:
        deltas: list[Delta] = []
        for response in _decode(event.data):
            if present(response.error) is not None:
                error = provider_errors.of_document(msgspec.json.decode(event.data))
                return [*deltas, provider_errors.told(error)]
            deltas += self._response(response)
        return deltas

    def _response(self, response: Response) -> list[Delta]:
        deltas: list[Delta] = []
        if not self._started:
            self._started = True
            self._id = response.response_id or ""
            created = seconds(response.create_time)
            deltas.append(Started(id=self._id, model=response.model_version or "", created=created))
        for candidate in response.candidates or ():
            deltas += self._candidate(candidate)
        feedback = response.prompt_feedback
        if feedback is not None and feedback.block_reason and not response.candidates:
            deltas += self._blocked(feedback)
        counted = response.usage_metadata
        usage = None if counted is None else counted.neutral()
        if usage is not None and usage != self._usage:
            self._usage = usage
            deltas.append(UsageDelta(usage))
        return deltas

    def _blocked(self, feedback: PromptFeedback) -> list[Delta]:
        """The prompt was refused before anything was said."""
        state = self._open.setdefault(0, _OpenChoice())
        state.reason = "content_filter"
        word = str(feedback.block_reason)
        message = feedback.block_reason_message or f"The provider blocked the prompt: {word}."
        return [RefusalDelta(state.begin(), message), Finished(state.reason, word)]

    def _candidate(self, candidate: Candidate) -> list[Delta]:
        index = candidate.index or 0
        state = self._open.setdefault(index, _OpenChoice())
        deltas: list[Delta] = []
        for part in (candidate.content and candidate.content.parts) or ():
            deltas += self._part(part, state, index)
        for found in citations_of(candidate.grounding_metadata, state.texts):
            if found not in state.cited:
                state.cited.add(found)
                deltas.append(CitationDelta(found[0], found[1], index))
        if candidate.finish_reason is None:
            return deltas
        deltas += _call_over(state, index)
        word = reason_word(candidate.finish_reason)
        reason = FINISH_REASONS.get(word, "other")
        if reason == "stop" and state.calls:
            reason = "tool_calls"
        if candidate.finish_message and reason in ("content_filter", "other"):
            deltas.append(RefusalDelta(state.begin(), candidate.finish_message, index))
        if reason != state.reason:
            state.reason = reason
            deltas.append(Finished(reason, word, None, index))
        return deltas

    def _part(self, part: WirePart, state: _OpenChoice, index: int) -> list[Delta]:
        if part.function_call is not None:
            signed = signature_of_call(part.thought_signature)
            return self._call(part.function_call, signed, state, index)
        if part.inline_data is not None or part.file_data is not None:
            media = _made(part.inline_data, part.file_data)
            return [MediaDelta(state.begin(), media, index)]
        if part.text is None:
            return []  # What Google's own tools did: other clients have no word for it.
        signature = part.thought_signature and of_google(part.thought_signature)
        deltas: list[Delta] = []
        if part.thought:
            if part.text or signature:
                thought = state.part_for("thought")
                deltas.append(ReasoningDelta(thought, part.text, signature, None, index))
        else:
            if part.text:
                said = state.part_for("text")
                state.texts[said] = state.texts.get(said, "") + part.text
                deltas.append(TextDelta(said, part.text, index))
            if signature:
                deltas.append(ReasoningDelta(state.begin(), "", signature, None, index))
        if signature:
            state.kind = ""  # What follows is not what was signed.
        return deltas

    def _call(
        self, call: WireCall, signature: str | None, state: _OpenChoice, index: int
    ) -> list[Delta]:
        if call.name is None:
            return _continued(call, state, index)
        deltas = _call_over(state, index)
        call_id = call.id or made_id(self._id, index, state.calls, call.name)
        state.calls += 1
        part = state.part = state.begin("call")
        deltas.append(
            ToolCallStarted(part, into_id(call_id, signature), call.name, index, signature)
        )
        if call.will_continue or call.partial_args:
            state.arguments = Arguments()
            return deltas + _continued(call, state, index)
        arguments = present(call.args)
        deltas.append(ToolCallDelta(part, (bytes(arguments or b"{}")).decode(), index))
        return deltas


def _continued(call: WireCall, state: _OpenChoice, index: int) -> list[Delta]:
    if state.arguments is None:
        return []
    for piece in call.partial_args or ():
        state.arguments.add(piece)
    return [] if call.will_continue else _call_over(state, index)


def _call_over(state: _OpenChoice, index: int) -> list[Delta]:
    arguments, state.arguments = state.arguments, None
    return [] if arguments is None else [ToolCallDelta(state.part, arguments.json(), index)]


def _made(blob: Blob | None, file: FileData | None) -> Media:
    if blob is not None:
        return Media(kind=kind_of(blob.mime_type), media_type=blob.mime_type, data=blob.data)
    file = file or FileData()
    return Media(kind=kind_of(file.mime_type or ""), media_type=file.mime_type, url=file.file_uri)


class StreamRenderer:
    """A Gemini client gets a function call whole, and how it ended with the usage at the end."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._head: dict[str, Any] = {}
        self._calls: dict[tuple[int, int], ToolCall] = {}
        self._finished: dict[int, Finished] = {}
        self._refused: set[int] = set()
        self._texts: dict[tuple[int, int], tuple[list[str], list[Citation]]] = {}
        """What was said, and what it rests on: the last chunk counts the bytes."""
        self._usage: neutral.Usage | None = None

    def feed(self, delta: Delta) -> bytes:
        match delta:
            case TextDelta():
                self._text_of(delta.choice, delta.part)[0].append(delta.text)
                return self._say(delta.choice, Text(delta.text))
            case ReasoningDelta(text=text, signature=signature, redacted=redacted):
                thought = Reasoning(text=text, signature=signature, redacted=redacted)
                return self._say(delta.choice, thought)
            case RefusalDelta():
                self._refused.add(delta.choice)
                return self._say(delta.choice, Text(delta.text))
            case MediaDelta():
                return self._say(delta.choice, delta.media)
            case Finished():
                self._finished[delta.choice] = delta
                calls = self._whole_calls(delta.choice)
                return self._say(delta.choice, *calls, cut=delta.reason == "length")
            case Ended():
                return self._end()
            case _:
                self._keep(delta)
                return b""

    def _keep(self, delta: Delta) -> None:
        match delta:
            case ToolCallDelta():
                self._more_arguments(delta)
            case ToolCallStarted(id=call_id, name=name, signature=signature):
                call = ToolCall(id=call_id, name=name, arguments="", signature=signature)
                self._calls[delta.choice, delta.part] = call
            case Started():
                self._start(delta)
            case UsageDelta():
                self._usage = delta.usage
            case CitationDelta():
                self._text_of(delta.choice, delta.part)[1].append(delta.citation)

    def _text_of(self, choice: int, part: int) -> tuple[list[str], list[Citation]]:
        return self._texts.setdefault((choice, part), ([], []))

    def _grounding(self, choice: int) -> dict[str, Any]:
        texts = [("".join(t), cited) for (c, _), (t, cited) in self._texts.items() if c == choice]
        metadata = wire_metadata(texts)
        return {} if metadata is None else {"groundingMetadata": metadata}

    def _start(self, started: Started) -> None:
        self._usage = started.usage
        self._head = head(
            started.id or self._view.fresh_id, started.model or self._view.model, started.created
        )

    def _more_arguments(self, delta: ToolCallDelta) -> None:
        key = (delta.choice, delta.part)
        if (call := self._calls.get(key)) is None:
            return  # Told already: what follows is white space.
        arguments = call.arguments + delta.arguments
        self._calls[key] = msgspec.structs.replace(call, arguments=arguments)

    def _whole_calls(self, choice: int) -> list[ToolCall]:
        return [self._calls.pop(key) for key in [*self._calls] if key[0] == choice]

    def _say(self, choice: int, *parts: Part, cut: bool = False) -> bytes:
        written = [wire for part in parts if (wire := wire_part(part, cut=cut)) is not None]
        if not written:
            return b""
        candidate = {"content": {"parts": written, "role": "model"}, "index": choice}
        return _event({"candidates": [candidate], **self._head})

    def _end(self) -> bytes:
        # Google's SDK throws a turn without parts out of its history.
        silent = {"parts": [{"text": ""}], "role": "model"}
        candidates = [
            {
                "content": silent,
                "finishReason": wire_reason(end, refused=choice in self._refused),
                "index": choice,
                **self._grounding(choice),
            }
            for choice, end in sorted((self._finished or {0: Finished("stop")}).items())
        ]
        last: dict[str, Any] = {"candidates": candidates, **self._head}
        if self._usage is not None:
            last["usageMetadata"] = wire_usage(self._usage)
        return _event(last)


def _event(response: dict[str, Any]) -> bytes:
    return b"data: " + encode(response) + b"\n\n"
