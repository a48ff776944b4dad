"""A response as the event stream that a client of this format reads.

Every event has its number, and every item, part and text is told twice: as it
grows, and as a whole when it is done. Calls stay open to the end, since
parallel ones may take turns; everything else closes before the next begins.
"""

from typing import Any, Final

import msgspec

from core.dialects import made
from core.dialects.openai_responses.reply_out import (
    ended,
    heading_of,
    is_told,
    item_id,
    item_status,
    kind_of,
    wire_annotation,
    wire_content,
    wire_item,
    wire_response,
)
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
    Refusal,
    RefusalDelta,
    Started,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageDelta,
    View,
)

_encode = msgspec.json.Encoder().encode
_SUMMARY: Final = "response.reasoning_summary"


class _Written:
    """A part that grows."""

    def __init__(self, empty: Part, place: int) -> None:
        self.place = place
        self._empty = empty
        self._pieces: list[str] = []
        self._signature: list[str] = []
        self._redacted: list[str] = []
        self.citations: list[Citation] = []

    @property
    def silent(self) -> bool:
        return not self._pieces

    def add(self, text: str) -> None:
        self._pieces.append(text)

    def seal(self, signature: str | None, redacted: str | None) -> None:
        if signature is not None:
            self._signature.append(signature)
        if redacted is not None:
            self._redacted.append(redacted)

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def part(self) -> Part:
        match self._empty:
            case ToolCall() as call:
                return msgspec.structs.replace(call, arguments=self.text)
            case Reasoning():
                return Reasoning(
                    text=self.text,
                    signature="".join(self._signature) if self._signature else None,
                    redacted="".join(self._redacted) if self._redacted else None,
                )
            case Refusal():
                return Refusal(self.text)
            case Media() as media:
                return media
            case _:
                return Text(self.text, citations=tuple(self.citations))


class _Item:
    def __init__(self, kind: str, index: int, identity: str) -> None:
        self.kind = kind
        self.index = index
        self.id = identity
        self.written: list[_Written] = []
        self.open = True
        self.finished: dict[str, Any] = {}

    @property
    def at(self) -> dict[str, Any]:
        return {"item_id": self.id, "output_index": self.index}


class StreamRenderer:
    """One choice only: a client of this format has no way to ask for more."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._heading = heading_of(Started(), view)
        self._count = 0
        self._items: list[_Item] = []
        self._parts: dict[int, tuple[_Item, _Written]] = {}
        """Neutral part -> where it is written."""
        self._usage: Usage | None = None
        self._finished = Finished("stop")

    def feed(self, delta: Delta) -> bytes:
        match delta:
            case TextDelta(choice=0):
                return self._piece(delta.part, Text(""), delta.text)
            case ToolCallDelta(choice=0):
                return self._arguments(delta)
            case ReasoningDelta(choice=0):
                return self._thought(delta)
            case ToolCallStarted(choice=0):
                call = ToolCall(id=delta.id, name=delta.name, arguments="")
                return self._begin(delta.part, call)
            case RefusalDelta(choice=0):
                return self._piece(delta.part, Refusal(""), delta.text)
            case MediaDelta(choice=0) if is_told(delta.media):
                return self._begin(delta.part, delta.media)
            case MediaDelta(choice=0):
                return self._piece(delta.part, Text(""), made.told(delta.media))
            case CitationDelta(choice=0):
                return self._cite(delta)
            case _:
                return self._frame(delta)

    def _frame(self, delta: Delta) -> bytes:
        match delta:
            case Started():
                return self._start(delta)
            case Finished(choice=0):
                self._finished = delta
            case UsageDelta():
                self._usage = delta.usage
            case Ended():
                return self._end()
        return b""

    def _event(self, kind: str, fields: dict[str, Any]) -> bytes:
        event = {"type": kind, "sequence_number": self._count, **fields}
        self._count += 1
        return b"event: " + kind.encode() + b"\ndata: " + _encode(event) + b"\n\n"

    def _start(self, started: Started) -> bytes:
        self._heading = heading_of(started, self._view)
        self._usage = started.usage
        response = wire_response(self._heading, self._view, [], None, "in_progress")
        return self._event("response.created", {"response": response}) + self._event(
            "response.in_progress", {"response": response}
        )

    # --- Beginning ------------------------------------------------------------------------------

    def _begin(self, part: int, empty: Part) -> bytes:
        kind = kind_of(empty)
        last = self._items[-1] if self._items else None
        if last is not None and last.open and last.kind == kind == "message":
            said = self._close_content(last)
            item = last
        else:
            said = self._close_all(calls=False)
            item = _Item(kind, len(self._items), item_id(kind, self._heading[0], len(self._items)))
            self._items.append(item)
            # A message begins empty, a call or a thought with all that is known.
            begun = wire_item(item.id, [] if kind == "message" else [empty], "in_progress")
            said += self._event(
                "response.output_item.added", {"output_index": item.index, "item": begun}
            )
        written = _Written(empty, len(item.written))
        item.written.append(written)
        self._parts[part] = (item, written)
        if kind == "message":
            at = {**item.at, "content_index": written.place}
            said += self._event("response.content_part.added", {**at, "part": wire_content(empty)})
        return said

    # --- Growing --------------------------------------------------------------------------------

    def _piece(self, part: int, empty: Text | Refusal, text: str) -> bytes:
        begun = b"" if part in self._parts else self._begin(part, empty)
        item, written = self._parts[part]
        written.add(text)
        at = {**item.at, "content_index": written.place, "delta": text}
        if isinstance(empty, Refusal):
            return begun + self._event("response.refusal.delta", at)
        return begun + self._event("response.output_text.delta", {**at, "logprobs": []})

    def _cite(self, delta: CitationDelta) -> bytes:
        known = self._parts.get(delta.part)
        if known is None or known[1] is not known[0].written[-1] or not known[0].open:
            return b""  # The text has been told as a whole.
        item, written = known
        written.citations.append(delta.citation)
        fields = {
            **item.at,
            "content_index": written.place,
            "annotation_index": len(written.citations) - 1,
            "annotation": wire_annotation(delta.citation, len(written.text)),
        }
        return self._event("response.output_text.annotation.added", fields)

    def _arguments(self, delta: ToolCallDelta) -> bytes:
        item, written = self._parts[delta.part]
        written.add(delta.arguments)
        fields = {**item.at, "delta": delta.arguments}
        return self._event("response.function_call_arguments.delta", fields)

    def _thought(self, delta: ReasoningDelta) -> bytes:
        said = b"" if delta.part in self._parts else self._begin(delta.part, Reasoning())
        item, written = self._parts[delta.part]
        written.seal(delta.signature, delta.redacted)
        if not delta.text:
            return said
        at = {**item.at, "summary_index": 0}
        if written.silent:
            empty = {"type": "summary_text", "text": ""}
            said += self._event(f"{_SUMMARY}_part.added", {**at, "part": empty})
        written.add(delta.text)
        return said + self._event(f"{_SUMMARY}_text.delta", {**at, "delta": delta.text})

    # --- Closing --------------------------------------------------------------------------------

    def _close_all(self, *, calls: bool) -> bytes:
        said = b""
        for item in self._items:
            if item.open and (calls or item.kind != "function_call"):
                last = calls and item is self._items[-1]
                said += self._close(item, last=last)
        return said

    def _close(self, item: _Item, *, last: bool) -> bytes:
        item.open = False
        parts = [written.part for written in item.written]
        status = item_status(self._finished.reason, last=last)
        item.finished = wire_item(item.id, parts, status)
        match item.kind:
            case "message":
                said = self._close_content(item)
            case "reasoning":
                said = self._close_thought(item)
            case "image_generation_call":
                said = b""  # It came whole.
            case _:
                whole = {**item.at, "name": item.finished["name"]}
                whole["arguments"] = item.finished["arguments"]
                said = self._event("response.function_call_arguments.done", whole)
        done = {"output_index": item.index, "item": item.finished}
        return said + self._event("response.output_item.done", done)

    def _close_content(self, item: _Item) -> bytes:
        written = item.written[-1]
        part = written.part
        at = {**item.at, "content_index": written.place}
        if isinstance(part, Refusal):
            said = self._event("response.refusal.done", {**at, "refusal": part.text})
        else:
            whole = {**at, "text": written.text, "logprobs": []}
            said = self._event("response.output_text.done", whole)
        return said + self._event("response.content_part.done", {**at, "part": wire_content(part)})

    def _close_thought(self, item: _Item) -> bytes:
        written = item.written[-1]
        if written.silent:
            return b""
        at = {**item.at, "summary_index": 0}
        whole = {"type": "summary_text", "text": written.text}
        return self._event(f"{_SUMMARY}_text.done", {**at, "text": written.text}) + self._event(
            f"{_SUMMARY}_part.done", {**at, "part": whole}
        )

    def _end(self) -> bytes:
        said = self._close_all(calls=True)
        output = [item.finished for item in self._items]
        response = wire_response(self._heading, self._view, output, self._usage, "completed")
        response = ended(response, self._finished.reason)
        return said + self._event(f"response.{response['status']}", {"response": response})
