"""The few Realtime events that we read, and those that we say ourselves.

Both sets of names pass: those of the beta (`response.audio.delta`) and those of the general
API (`response.output_audio.delta`). What is no JSON, or has no type, is relayed all the same.
https://platform.openai.com/docs/api-reference/realtime-server-events
"""

from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from core.errors import CutwaterError

Frame = str | bytes
"""A message as it came: text, or binary, which some providers use for audio."""
T = TypeVar("T")


class _Typed(Struct):
    type: str = ""


class _Identified(Struct):
    type: str = ""
    event_id: str = ""


class Item(Struct, frozen=True, kw_only=True):
    """An item of a conversation, as far as we read it."""

    id: str = ""
    type: str = ""
    role: str = ""
    call_id: str = ""
    content: Raw = Raw()


class ItemEvent(Struct, frozen=True, kw_only=True):
    """`conversation.item.*` and `response.output_item.*`: one has `item`, the other its id."""

    type: str = ""
    item: Raw = Raw()
    item_id: str = ""
    transcript: str = ""
    text: str = ""
    audio_end_ms: int = 0
    content_index: int = 0


class SessionEvent(Struct, frozen=True, kw_only=True):
    type: str = ""
    session: Raw = Raw()


class ErrorEvent(Struct, frozen=True, kw_only=True):
    class _Error(Struct, frozen=True):
        event_id: str | None = None

    error: _Error = _Error()


_type: Final = msgspec.json.Decoder(_Typed).decode
_identity: Final = msgspec.json.Decoder(_Identified).decode
_encode: Final = msgspec.json.Encoder().encode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)


def type_of(frame: Frame) -> str:
    """Empty for what is no JSON object with a type."""
    if isinstance(frame, bytes):
        return ""
    try:
        return _type(frame).type
    except _UNREADABLE:
        return ""


def identity_of(frame: Frame) -> tuple[str, str]:
    """Its type and its `event_id`; empty where it has none."""
    try:
        found = _identity(frame)
    except _UNREADABLE:
        return "", ""
    return found.type, found.event_id


def read(frame: Frame | Raw, kind: type[T]) -> T | None:
    """None where it is not what it should be: providers add and leave out what they like."""
    try:
        return msgspec.json.decode(frame, type=kind)
    except _UNREADABLE:
        return None


def error_event(error: CutwaterError, event_id: str, *, caused_by: str | None = None) -> str:
    """An error in the shape that Realtime clients know. `caused_by`: the client's event."""
    told: dict[str, Any] = {
        "type": error.type,
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "event_id": caused_by,
    }
    return _encode({"type": "error", "event_id": event_id, "error": told}).decode()


def closed_event(code: int, reason: str, event_id: str) -> str:
    """The last word where a connection cannot be closed with a code of one's own."""
    said = {"type": "cutwater.session.closed", "event_id": event_id, "code": code}
    return _encode({**said, "reason": reason}).decode()


def ending_event(seconds: int, event_id: str) -> str:
    """Tells that the session will end; clients that do not know the type ignore it."""
    said = {"type": "cutwater.session.ending", "event_id": event_id, "seconds_left": seconds}
    return _encode(said).decode()
