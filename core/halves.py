r"""Halves of an emoji in two events of a stream: `\ud83d` at the end of one text, `\ude00` next.

Neither is text for itself, so no decoder takes them. They travel as characters
of a private area until the other half is there, and are U+FFFD if it never is.
"""

import re
from collections.abc import Sequence
from typing import Final, TypeAlias

from msgspec.structs import replace

from core.envelope import LONE
from core.neutral import (
    Delta,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)

_PLACE: Final = 0x10F800
"""The first of as many private characters as there are halves; they begin at 0xD800."""
_PAIR: Final = re.compile("([\U0010f800-\U0010fbff])([\U0010fc00-\U0010ffff])")
_ANY: Final = re.compile("[\U0010f800-\U0010ffff]")
_LAST: Final = re.compile("[\U0010f800-\U0010fbff]\\Z")

_Said: TypeAlias = TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta


def _kept(half: str) -> bytes:
    code = _PLACE - 0x10000 + int(half[1:], 16) - 0xD800
    return rb"\u%04x\u%04x" % (0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF))


def kept(data: bytes) -> bytes:
    """JSON with its lone halves as private characters."""
    return LONE.sub(lambda f: _kept(f["lone"].decode()) if f["lone"] else f[0], data)


def _whole(pair: re.Match[str]) -> str:
    high, low = (ord(half) - _PLACE for half in pair.groups())
    return chr(0x10000 + (high << 10) + low - 0x400)


class Halves:
    """A step for each delta of a stream in which there was such a half."""

    def __init__(self) -> None:
        self._held: dict[tuple[type, int, int], _Said] = {}

    def step(self, delta: Delta) -> Sequence[Delta]:
        match delta:
            case TextDelta() | ReasoningDelta() | RefusalDelta() | ToolCallDelta():
                return self._joined(delta)
            case Finished():
                ends = [key for key in self._held if key[1] == delta.choice]
                return [*(_with(self._held.pop(key), "\ufffd") for key in ends), delta]
            case _:
                return (delta,)

    def _joined(self, delta: _Said) -> Sequence[Delta]:
        key = (type(delta), delta.choice, delta.part)
        before = self._held.pop(key, None)
        text = ("" if before is None else _text(before)) + _text(delta)
        text = _PAIR.sub(_whole, text)
        if (last := _LAST.search(text)) is not None:
            self._held[key] = _with(delta, last[0])
            text = text[:-1]
        text = _ANY.sub("\ufffd", text)
        if isinstance(delta, ReasoningDelta):
            return (replace(delta, text=text),)  # With its signature, which no half repeats.
        return (_with(delta, text),)


def _text(delta: _Said) -> str:
    return delta.arguments if isinstance(delta, ToolCallDelta) else delta.text


def _with(delta: _Said, text: str) -> _Said:
    if isinstance(delta, ToolCallDelta):
        return replace(delta, arguments=text)
    if isinstance(delta, ReasoningDelta):
        return ReasoningDelta(delta.part, text, choice=delta.choice)
    return replace(delta, text=text)
