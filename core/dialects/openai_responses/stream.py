"""The event stream of a response as a provider sends it.

Deltas tell a text piece by piece, and later events tell it again as a whole. The
deltas count; of the whole only what no delta has told, as from servers that
leave events out.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw, Struct

from core import provider_errors
from core.dialects.openai_common import url_citation
from core.dialects.openai_responses import thoughts
from core.dialects.openai_responses.reply import (
    CallItem,
    Content,
    MessageItem,
    Response,
    content_part,
    error_of,
    failure,
    finish_of,
    item_of,
)
from core.dialects.openai_responses.thoughts import ReasoningItem
from core.envelope import present
from core.neutral import (
    Citation,
    CitationDelta,
    Delta,
    Ended,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    Text,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageDelta,
)
from core.sse import Event

DONE = b"[DONE]"
"""Some providers send this marker of the chat format too."""


class StreamedEvent(Struct):
    """`delta` and the like are texts in the events that are read here, and anything elsewhere."""

    type: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    annotation: Any = None
    item: Raw = Raw()
    response: Raw = Raw()
    error: Raw = Raw()


_decode = msgspec.json.Decoder(StreamedEvent).decode
_decode_response = msgspec.json.Decoder(Response).decode

_Piece: TypeAlias = tuple[int, str, int]
"""(output index, what it is, its index)"""

_WHOLE = -1
"""The place of what is one part by itself, a call or a thought, within its item."""


class StreamParser:
    def __init__(self) -> None:
        self._head = Started()
        self._begun = False
        self._parts: dict[tuple[int, int], int] = {}
        """(output index, content index) -> neutral part."""
        self._told: dict[_Piece, list[str]] = {}
        self._calls: set[int] = set()
        """Output indices of the calls that began."""
        self._cited: set[tuple[int, int]] = set()
        """Texts whose citations came one by one."""
        self.complete = False

    def feed(self, event: Event) -> list[Delta]:
        if event.data.startswith(DONE):
            return []
        told: StreamedEvent = _decode(event.data)
        if told.type == "error" or present(told.error):
            return [provider_errors.told(error_of(msgspec.json.decode(event.data)))]
        if told.type in ("response.created", "response.in_progress", "response.queued"):
            response = _decode_response(told.response)
            self._head = Started(
                id=response.id or "",
                model=response.model or "",
                created=int(response.created_at or 0),
            )
            # Not yet: errors such as an empty account come right after this, and should
            # find the client's answer not begun.
            return []
        if told.type == "response.failed":
            return [provider_errors.told(failure(_decode_response(told.response)))]
        deltas = self._deltas(told)
        if not self._begun and (deltas or told.type == "response.output_item.added"):
            self._begun = True
            return [self._head, *deltas]
        return deltas

    def _deltas(self, told: StreamedEvent) -> list[Delta]:
        match told:
            case StreamedEvent(type="response.output_text.delta", delta=str(text)):
                piece = (told.output_index, "content", told.content_index)
                return self._said(piece, "text", text)
            case StreamedEvent(type="response.function_call_arguments.delta", delta=str(text)):
                return self._arguments(told.output_index, text)
            case StreamedEvent(type="response.reasoning_summary_text.delta", delta=str(text)):
                return self._thought((told.output_index, "summary", told.summary_index), text)
            case StreamedEvent(type="response.reasoning_text.delta", delta=str(text)):
                return self._thought((told.output_index, "content", told.content_index), text)
            case StreamedEvent(type="response.refusal.delta", delta=str(text)):
                piece = (told.output_index, "content", told.content_index)
                return self._said(piece, "refusal", text)
            case StreamedEvent(type="response.output_text.annotation.added"):
                place = (told.output_index, told.content_index)
                self._cited.add(place)
                citation = url_citation(told.annotation)
                return [] if citation is None else self._citations(place, [citation])
            case StreamedEvent(type="response.output_item.added"):
                return self._begin(told.output_index, told.item)
            case StreamedEvent(type="response.output_item.done"):
                return self._item(told.output_index, told.item)
            case StreamedEvent(type="response.completed" | "response.incomplete"):
                return self._end(_decode_response(told.response))
            case _:
                # What repeats, what OpenAI's own tools do, and whatever comes next.
                return []

    def _part(self, output_index: int, place: int) -> int:
        return self._parts.setdefault((output_index, place), len(self._parts))

    def _rest(self, piece: _Piece, whole: str) -> str:
        """What of the whole no delta has told."""
        told = "".join(self._told.get(piece, ()))
        return whole[len(told) :] if whole.startswith(told) else ""

    def _said(self, piece: _Piece, kind: str, text: str) -> list[Delta]:
        output_index, _, place = piece
        self._told.setdefault(piece, []).append(text)
        part = self._part(output_index, place)
        return [TextDelta(part, text) if kind == "text" else RefusalDelta(part, text)]

    def _citations(self, place: tuple[int, int], found: Iterable[Citation]) -> list[Delta]:
        if (part := self._parts.get(place)) is None:
            return []
        return [CitationDelta(part, citation) for citation in found]

    def _begin(self, output_index: int, raw: Raw) -> list[Delta]:
        item = item_of(raw)
        if not isinstance(item, CallItem) or output_index in self._calls:
            return []
        self._calls.add(output_index)
        return [ToolCallStarted(self._part(output_index, _WHOLE), item.call, item.name)]

    def _arguments(self, output_index: int, text: str) -> list[Delta]:
        # Arguments of no call that began belong to a tool that nobody was told of.
        if output_index not in self._calls:
            return []
        self._told.setdefault((output_index, "arguments", 0), []).append(text)
        return [ToolCallDelta(self._part(output_index, _WHOLE), text)]

    def _thought(self, piece: _Piece, text: str) -> list[Delta]:
        output_index = piece[0]
        separator = ""
        if piece not in self._told and any(known[0] == output_index for known in self._told):
            separator = thoughts.SEPARATOR
        self._told.setdefault(piece, []).append(text)
        return [ReasoningDelta(self._part(output_index, _WHOLE), separator + text)]

    def _item(self, output_index: int, raw: Raw) -> list[Delta]:
        """A finished item: what of it no delta has told, and a thought's seal."""
        match item_of(raw):
            case MessageItem(content=content):
                return self._message(output_index, content)
            case CallItem(arguments=arguments):
                deltas = self._begin(output_index, raw)
                if rest := self._rest((output_index, "arguments", 0), arguments or ""):
                    deltas += self._arguments(output_index, rest)
                return deltas
            case ReasoningItem() as item:
                return self._sealed(output_index, item)
            case None:
                return []

    def _is_told(self, output_index: int, wholes: Iterable[str]) -> bool:
        """Whether all of an item's text came, be it under indices that do not fit."""
        told = (t for piece, t in self._told.items() if piece[0] == output_index)
        return "".join(text for texts in told for text in texts) == "".join(wholes)

    def _message(self, output_index: int, content: list[Content]) -> list[Delta]:
        deltas: list[Delta] = []
        wholes = (told.text or told.refusal or "" for told in content)
        is_told = self._is_told(output_index, wholes)
        for index, told in enumerate(content):
            part = content_part(told)
            piece = (output_index, "content", index)
            if part is None:
                continue
            if not is_told and (rest := self._rest(piece, part.text)):
                kind = "text" if isinstance(part, Text) else "refusal"
                deltas += self._said(piece, kind, rest)
            if isinstance(part, Text) and (output_index, index) not in self._cited:
                deltas += self._citations((output_index, index), part.citations)
        return deltas

    def _sealed(self, output_index: int, item: ReasoningItem) -> list[Delta]:
        deltas: list[Delta] = []
        wholes = (("summary", item.summary or []), ("content", item.content or []))
        texts = (told.text for _, pieces in wholes for told in pieces)
        known = self._is_told(output_index, texts)
        for what, pieces in () if known else wholes:
            for index, told in enumerate(pieces):
                piece = (output_index, what, index)
                rest = self._rest(piece, told.text)
                if rest or piece not in self._told:
                    deltas += self._thought(piece, rest)
        if (seal := thoughts.seal(item)) is not None:
            part = self._part(output_index, _WHOLE)
            deltas.append(ReasoningDelta(part, signature=seal))
        return deltas

    def _end(self, response: Response) -> list[Delta]:
        deltas: list[Delta] = []
        if not self._parts:
            # A server that streams nothing but the end.
            for index, raw in enumerate(response.output or ()):
                deltas += self._item(index, raw)
        self.complete = True
        deltas.append(Finished(*finish_of(response, called=bool(self._calls))))
        if response.usage is not None:
            deltas.append(UsageDelta(response.usage.neutral()))
        return [*deltas, Ended()]
