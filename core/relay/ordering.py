"""Frames that arrive in any order, put back into the order they were sent in.

For transports that promise none, such as API Gateway's WebSockets: each message comes with the
millisecond at which the gateway got it. A frame is held for a short window, in case an earlier
one is still on its way; the window grows where that happens, and shrinks where it does not.

Within one millisecond the order is that of a conversation: a session is set up before it is
spoken to, and audio is committed after it was appended. Two appends of one millisecond are told
apart by the number at the end of their `event_id`s, where the client numbers them.
"""

import re
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Final

from msgspec import Struct

from core.relay import events

WINDOW_MS: Final = 40
LONGEST_WINDOW_MS: Final = 200
_CALM: Final = 200
"""So many frames in order make the window shrink."""
_REMEMBERED: Final = 4096
"""Ids of frames already taken, so that reading them once more does no harm."""
_RANKS: Final = (
    "session.update",
    "conversation.item.",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "response.create",
    "response.cancel",
)
_LAST_NUMBER: Final = re.compile(r"([0-9]{1,18})$")


class Arrival(Struct, frozen=True, kw_only=True):
    at_ms: int
    """When the gateway got it; Unix milliseconds."""
    id: str
    """The gateway's own name for the message."""
    text: str


_Key = tuple[int, int, int, str]


class Window:
    """Holds frames until nothing earlier is to be expected. `now_ms` is of the gateway's clock."""

    def __init__(self, *, window_ms: int = WINDOW_MS, longest_ms: int = LONGEST_WINDOW_MS) -> None:
        self._least = window_ms
        self._most = longest_ms
        self.window_ms = window_ms
        self._held: list[tuple[_Key, Arrival]] = []
        self._known: dict[str, None] = {}
        self._last: _Key = (0, 0, 0, "")
        self._in_order = 0
        self.late = 0
        """Frames that came after a later one had been taken: they went out of order."""
        self.duplicates = 0

    def __len__(self) -> int:
        return len(self._held)

    def knows(self, ids: Iterable[str]) -> None:
        """Those were taken already, by somebody before."""
        self._known.update(dict.fromkeys(ids))

    def add(self, arrivals: Iterable[Arrival]) -> None:
        """As read, in any order; what was added before is left out."""
        for arrival in arrivals:
            if arrival.id in self._known:
                self.duplicates += 1
                continue
            self._known[arrival.id] = None
            if len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]
            key = sort_key(arrival)
            if key < self._last:
                self.late += 1
                self._in_order = 0
                behind = self._last[0] - key[0]
                self.window_ms = min(self._most, max(self.window_ms * 2, self._least + behind))
            heappush(self._held, (key, arrival))

    def take(self, now_ms: int) -> list[Arrival]:
        """The frames whose window is over, in order."""
        taken: list[Arrival] = []
        while self._held and self._held[0][0][0] + self.window_ms <= now_ms:
            key, arrival = heappop(self._held)
            self._last = max(self._last, key)
            taken.append(arrival)
        self._in_order += len(taken)
        if self._in_order >= _CALM:
            self._in_order = 0
            self.window_ms = max(self._least, self.window_ms * 3 // 4)
        return taken

    def flush(self) -> list[Arrival]:
        """All that is held, in order: nothing more will come."""
        taken = [arrival for _, arrival in sorted(self._held, key=lambda held: held[0])]
        self._held.clear()
        return taken

    def next_at_ms(self) -> int | None:
        """When `take` will have something."""
        return self._held[0][0][0] + self.window_ms if self._held else None


def sort_key(arrival: Arrival) -> _Key:
    """Time, then what comes first in a conversation, then the client's own numbers."""
    kind, event_id = events.identity_of(arrival.text)
    number = _LAST_NUMBER.search(event_id)
    return (arrival.at_ms, rank(kind), int(number[1]) if number else -1, arrival.id)


def rank(kind: str) -> int:
    """Of an event's type within a millisecond; a type that nobody knows waits for all others."""
    for index, start in enumerate(_RANKS):
        if kind == start or (start.endswith(".") and kind.startswith(start)):
            return index
    return len(_RANKS)
