"""A conversation, kept so that it can be told again to a new provider session.

For hand-overs: what the provider knew is in the items it acknowledged and the settings it was
given. Audio is told as its transcript. The client hears nothing of it: the new session's own
beginning, and its acknowledgements of what it is told, are swallowed.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from core.relay import events

MOST_BYTES: Final = 256 * 1024
"""Of the items kept; the oldest are forgotten first, as a provider's own context does."""
INAUDIBLE: Final = "[audio that was not transcribed]"
_encode: Final = msgspec.json.Encoder().encode
_ADDED: Final = frozenset(
    {"conversation.item.created", "conversation.item.added", "conversation.item.done"}
)
_HEARD: Final = "conversation.item.input_audio_transcription.completed"
_SAID: Final = frozenset(
    {"response.audio_transcript.done", "response.output_audio_transcript.done"}
)
_WRITTEN: Final = frozenset({"response.text.done", "response.output_text.done"})


class Told(Struct, kw_only=True):
    """One item, as it is told again."""

    id: str
    fields: dict[str, Any]
    """`type`, `role`, `call_id`, `name`, `arguments`, `output`, `status` - what it had."""
    parts: list[tuple[str, str]] = []
    """(type of content as it was, its text)."""

    @property
    def size(self) -> int:
        return sum(len(text) for _, text in self.parts) + len(str(self.fields)) + len(self.id)


class State(Struct, kw_only=True):
    """All that is kept. JSON through msgspec; it holds a conversation: seal it."""

    session: dict[str, Any] = {}
    """Every `session.update` of the client, merged."""
    items: list[Told] = []

    def __repr__(self) -> str:
        return f"<State {len(self.items)} items>"


class Log:
    """Grows with what was relayed. `state` goes to the successor."""

    def __init__(self, state: State | None = None) -> None:
        self.state = State() if state is None else state
        self._size = sum(item.size for item in self.state.items)

    def from_client(self, frame: str) -> None:
        """After it was sent to the provider."""
        kind = events.type_of(frame)
        if kind in ("session.update", "transcription_session.update"):
            event = events.read(frame, events.SessionEvent)
            said = None if event is None else events.read(event.session, dict[str, Any])
            if said is not None:
                self.state.session = deep_merged(self.state.session, said)

    def from_server(self, frame: str) -> None:
        kind = events.type_of(frame)
        if kind.endswith(".delta"):
            return
        if kind.startswith("conversation.item."):
            self._item_event(kind, frame)
        elif kind == "response.output_item.done":
            self._add(frame)
        elif kind in _SAID or kind in _WRITTEN:
            self._fill(frame)

    def _item_event(self, kind: str, frame: str) -> None:
        if kind in _ADDED:
            self._add(frame)
        elif kind == _HEARD:
            self._fill(frame)
        elif kind == "conversation.item.deleted":
            event = events.read(frame, events.ItemEvent)
            gone = "" if event is None else event.item_id
            self.state.items = [item for item in self.state.items if item.id != gone]

    def _add(self, frame: str) -> None:
        event = events.read(frame, events.ItemEvent)
        fields = None if event is None else events.read(event.item, dict[str, Any])
        if not fields or not isinstance(fields.get("id"), str):
            return
        told = _told(fields)
        for index, item in enumerate(self.state.items):
            if item.id == told.id:
                told.parts = _fuller(item.parts, told.parts)
                self._size += told.size - item.size
                self.state.items[index] = told
                return
        self.state.items.append(told)
        self._size += told.size
        while self._size > MOST_BYTES and len(self.state.items) > 1:
            self._size -= self.state.items.pop(0).size

    def _fill(self, frame: str) -> None:
        """A transcript, or a text, that belongs to an item already there."""
        event = events.read(frame, events.ItemEvent)
        text = "" if event is None else event.transcript or event.text
        if event is None or not text:
            return
        for item in self.state.items:
            if item.id == event.item_id:
                index = event.content_index
                kind = item.parts[index][0] if index < len(item.parts) else "output_audio"
                item.parts[index : index + 1] = [(kind, text)]
                self._size += len(text)

    def frames(self) -> list[str]:
        """To send to a new provider session, in order, before anything of the client."""
        found: list[str] = []
        if self.state.session:
            found.append(_said({"type": "session.update", "session": self.state.session}))
        return found + [
            _said({"type": "conversation.item.create", "item": item})
            for told in self.state.items
            if (item := _item(told)) is not None
        ]

    def resumption(self) -> "Resumption":
        """What to keep from the client, once `frames` were sent."""
        ids = {told.id for told in self.state.items if _item(told) is not None}
        return Resumption(ids, updates=1 if self.state.session else 0)


def _said(event: dict[str, Any]) -> str:
    return _encode(event).decode()


def _told(fields: dict[str, Any]) -> Told:
    kept = ("type", "role", "call_id", "name", "arguments", "output", "status")
    content = fields.get("content")
    parts = [
        (str(part.get("type", "")), str(part.get("text") or part.get("transcript") or ""))
        for part in (content if isinstance(content, list) else [])
        if isinstance(part, dict)
    ]
    said = {name: fields[name] for name in kept if fields.get(name) is not None}
    return Told(id=fields["id"], fields=said, parts=parts)


def _fuller(before: list[tuple[str, str]], after: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """A later word of an item may leave out a transcript that an earlier one had."""
    merged = [
        (kind, text or (before[index][1] if index < len(before) else ""))
        for index, (kind, text) in enumerate(after)
    ]
    return merged or before


def _item(told: Told) -> dict[str, Any] | None:
    """None for what says nothing a new session could be told."""
    fields = {name: value for name, value in told.fields.items() if name != "status"}
    kind, role = fields.get("type"), fields.get("role")
    if kind in ("function_call", "function_call_output"):
        return {"id": told.id, **fields}
    if kind != "message":
        return None  # Approvals, lists of remote tools: made by the provider, not told to it.
    content = [_part(role, kind_of_part, text) for kind_of_part, text in told.parts]
    return {"id": told.id, **fields, "content": content} if content else None


def _part(role: Any, kind: str, text: str) -> dict[str, str]:
    if role != "assistant":
        return {"type": "input_text", "text": text or INAUDIBLE}
    # The beta said `text` and `audio`, the general API `output_text` and `output_audio`.
    return {"type": "output_text" if kind.startswith("output_") else "text", "text": text or "..."}


def deep_merged(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Settings after an update that names only what it changes; a null resets."""
    merged = dict(before)
    for name, value in after.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[name] = deep_merged(old, value)
        else:
            merged[name] = value
    return merged


class Resumption:
    """Keeps from the client what a new session says of what it is only told again."""

    def __init__(self, ids: set[str], *, updates: int) -> None:
        self._ids = ids
        self._updates = updates
        self._beginnings = {"session.created", "conversation.created"}

    def swallows(self, frame: str) -> bool:
        """Whether it is for us alone. An `error` never is."""
        kind = events.type_of(frame)
        if kind in self._beginnings:
            self._beginnings.discard(kind)
            return True
        if kind == "session.updated" and self._updates:
            self._updates -= 1
            return True
        if kind in _ADDED and self._ids:
            event = events.read(frame, events.ItemEvent)
            item = None if event is None else events.read(event.item, events.Item)
            return item is not None and item.id in self._ids
        return False
