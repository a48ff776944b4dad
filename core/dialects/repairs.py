"""What more than one provider refuses, and how a request is made to pass all the same."""

import re
from collections.abc import Sequence
from typing import Final
from zlib import crc32

from msgspec import Raw

from core.envelope import raw, read
from core.errors import BadRequestError

_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking", "reasoningContent"})
_CALLS: Final = frozenset({"tool_use", "toolUse"})


def known_id(call_id: str, refused: re.Pattern[str], longest: int | None = None) -> str:
    """The same for a call and its result, whatever another provider's id holds."""
    plain = refused.sub("_", call_id)
    if plain == call_id and (longest is None or len(plain) <= longest):
        return plain
    # The sum keeps two ids apart that differ only in what is lost.
    end = f"_{crc32(call_id.encode()):08x}"
    return (plain if longest is None else plain[-(longest - len(end)) :]) + end


def may_think(turns: Sequence[tuple[str, Sequence[str]]]) -> bool:
    """Whether Claude takes thinking by budget: an answer begun must have begun with a thought.

    So not in a prefill, nor in a tool loop whose client sent no thinking back.
    `turns`: each one's role, and the kinds of its blocks.
    """
    last = next((turn for turn in reversed(turns) if turn[0] == "assistant"), None)
    if last is None:
        return True
    kinds = last[1]
    return last is not turns[-1] and (_CALLS.isdisjoint(kinds) or kinds[0] in _THOUGHTS)


def spoken_stops(given: Raw | None) -> tuple[Raw | None, bool]:
    """Stop sequences without those of white space, a 400 to Claude; and whether there were any."""
    if given is None:
        return None, False
    stops: list[str] = read({"stop": given}, "stop", list[str], [])
    kept = [stop for stop in stops if stop.strip()]
    return (raw(kept) if kept else None), len(kept) < len(stops)


def check_said(turns: Sequence[object]) -> None:
    """400 where nobody says anything: system messages alone are no conversation."""
    if not turns:
        raise BadRequestError("No message says anything to this model.", param="messages")
