"""Frames as rows: API Gateway writes each that it gets, the process that serves the session reads.

    rt#<connection>   in#<arrival, Unix ms>/m/<message id>          a frame, as it came
                      in#<arrival, Unix ms>/d/<code>/<request id>   the client left: why
                      session                                       who serves it
                      state#<generation>                            what a process goes on from

The names have no letter behind a `#`: API Gateway's templates would take it for a command.
A row may appear later than rows that arrived after it. So the last seconds are read again each
time, mostly only the last moments of them, since what is read is paid for by its size.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from core.ports import Row, SocketClosed
from core.relay.ordering import Arrival

KEPT_S: Final = 3 * 3600
"""Longer than any session: the table forgets its rows then."""
OVERLAP_MS: Final = 2000
"""So late a row may appear and is still found."""
NEAR_MS: Final = 300
THOROUGH_MS: Final = 500
"""How often the whole overlap is read."""
FASTEST_S: Final = 0.04
SLOWEST_S: Final = 0.2
_SLOWER: Final = 1.3
LAST: Final = "in$"
"""Behind all frames."""
SESSION: Final = "session"
_DIGITS: Final = 13


def partition(connection: str) -> str:
    return f"rt#{connection}"


def state_of(generation: int) -> str:
    return f"state#{generation}"


def after(at_ms: int) -> str:
    """The first sort key that a frame of this millisecond can have."""
    return f"in#{max(0, at_ms):0{_DIGITS}d}"


def frame_row(connection: str, at_ms: int, message: str, frame: str) -> Row:
    """As the service integration of the template writes it."""
    return _row(connection, at_ms, f"m/{message}", frame.encode())


def left_row(connection: str, at_ms: int, request: str, code: int | str, reason: str) -> Row:
    return _row(connection, at_ms, f"d/{code}/{request}", reason.encode())


def _row(connection: str, at_ms: int, name: str, data: bytes) -> Row:
    return Row(
        pk=partition(connection),
        sk=f"{after(at_ms)}/{name}",
        data=data,
        expires_at=at_ms // 1000 + KEPT_S,
    )


def read(rows: Iterable[Row]) -> tuple[list[Arrival], SocketClosed | None]:
    """The frames, and whether the client has left. What is no frame is left out."""
    arrivals: list[Arrival] = []
    left: SocketClosed | None = None
    for row in rows:
        parts = row.sk.removeprefix("in#").split("/", 2)
        if len(parts) != 3 or not parts[0].isdecimal():
            continue
        at_ms, kind, name = int(parts[0]), parts[1], parts[2]
        text = row.data.decode("utf-8", "replace")
        if kind == "d":
            code = name.partition("/")[0]
            left = SocketClosed(int(code) if code.isdecimal() and len(code) == 4 else 1001, text)
        else:
            arrivals.append(Arrival(at_ms=at_ms, id=name, text=text))
    return arrivals, left


class Pace:
    """Where to read from and when: fast while something comes, slower while nothing does."""

    def __init__(self, since_ms: int) -> None:
        self._since_ms = since_ms
        self._latest_ms = since_ms
        self._thorough_at_ms = 0
        self.pause_s = FASTEST_S

    def first(self, now_ms: int) -> str:
        """The sort key to read from, at this moment."""
        back = NEAR_MS
        if now_ms >= self._thorough_at_ms:
            self._thorough_at_ms = now_ms + THOROUGH_MS
            back = OVERLAP_MS
        return after(max(self._since_ms, self._latest_ms - back))

    def saw(self, arrivals: Sequence[Arrival], *, new: bool) -> None:
        self._latest_ms = max([self._latest_ms, *(one.at_ms for one in arrivals)])
        self.pause_s = FASTEST_S if new else min(SLOWEST_S, self.pause_s * _SLOWER)
