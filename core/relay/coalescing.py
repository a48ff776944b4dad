"""Events made one, or cut in several, for transports that count messages or bound their size.

Two events are one when they say the same of themselves but for their name, and the piece
that they carry: consecutive deltas of one item, consecutive pieces of the client's audio. The
first one's `event_id` stays. Nothing is reordered: only neighbours are joined.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw

from core.relay import events

MOST_BYTES: Final = 24 * 1024
_decode: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_text: Final = msgspec.json.Decoder(str).decode
_encode: Final = msgspec.json.Encoder().encode
_APPEND: Final = "input_audio_buffer.append"
_AUDIO_DELTAS: Final = frozenset({"response.audio.delta", "response.output_audio.delta"})
_SMALLEST_PIECE: Final = 4
_OWN: Final = frozenset({"event_id", "obfuscation"})
"""Of one event alone: its name, and padding that hides the length of its piece."""


def carries(kind: str) -> str | None:
    """The field with the piece; None: events of this type are never joined or cut."""
    if kind == _APPEND:
        return "audio"
    return "delta" if kind.endswith(".delta") else None


def is_audio(kind: str) -> bool:
    return kind == _APPEND or kind in _AUDIO_DELTAS


def merge(first: str, second: str, *, most: int = MOST_BYTES) -> str | None:
    """One event that says both; None where they are not to be joined."""
    if len(first) + len(second) > most + 1024:  # Their frames count once only.
        return None
    kind = events.type_of(first)
    field = carries(kind)
    if field is None or events.type_of(second) != kind:
        return None
    try:
        one, other = _decode(first), _decode(second)
        if not _alike(one, other, field):
            return None
        joined = _joined(_text(one[field]), _text(other[field]), audio=is_audio(kind))
    except (msgspec.DecodeError, KeyError, Base64Error, UnicodeError):
        return None
    merged = _encode({**one, field: joined}).decode()
    return merged if len(merged.encode()) <= most else None


def _alike(one: dict[str, Raw], other: dict[str, Raw], field: str) -> bool:
    if one.keys() != other.keys():
        return False
    return all(
        bytes(one[name]) == bytes(other[name]) for name in one if name != field and name not in _OWN
    )


def _joined(one: str, other: str, *, audio: bool) -> str:
    if not audio:
        return one + other
    if len(one) % 4 == 0 and not one.endswith("="):  # Whole groups: no need to look into them.
        return one + other
    raw = (a2b_base64(piece, strict_mode=True) for piece in (one, other))
    return b2a_base64(b"".join(raw), newline=False).decode()


def merged(frames: Iterable[str], *, most: int = MOST_BYTES) -> list[str]:
    """The same events, neighbours joined as far as they go into one message."""
    found: list[str] = []
    for frame in frames:
        one = merge(found[-1], frame, most=most) if found else None
        if one is None:
            found.append(frame)
        else:
            found[-1] = one
    return found


def cut(frame: str, *, most: int) -> list[str]:
    """The event in pieces of at most `most` bytes; itself where it fits or cannot be cut."""
    if len(frame.encode()) <= most:
        return [frame]
    kind = events.type_of(frame)
    field = carries(kind)
    if field is None:
        return [frame]
    try:
        fields = _decode(frame)
        piece = _text(fields[field])
    except (msgspec.DecodeError, KeyError):
        return [frame]
    room = most - len(_encode({**fields, field: ""}))
    # A character of text may take six bytes in JSON, one of base64 takes one.
    step = room // _SMALLEST_PIECE * _SMALLEST_PIECE if is_audio(kind) else room // 6
    if step < _SMALLEST_PIECE:
        return [frame]
    return [
        _encode({**fields, field: piece[start : start + step]}).decode()
        for start in range(0, len(piece), step)
    ]
