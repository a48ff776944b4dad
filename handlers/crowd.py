"""How many requests a process works on at once, and how many may wait for their turn.

Beyond that a caller hears at once that it is too much, with a 429 of ours: a
queue that grows for ever only answers those who have stopped waiting.
"""

import asyncio
from collections import deque
from typing import Final

from core.errors import RateLimitError

MOST_AT_ONCE: Final = 1000
MOST_WAITING: Final = 1000
WAIT_S: Final = 30.0


class Crowd:
    """`enter`, or where that says no `wait`, before the work on a request; `leave` after it."""

    def __init__(self, most: int = MOST_AT_ONCE, waiting: int = MOST_WAITING) -> None:
        self._most = most
        self._most_waiting = waiting
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def enter(self) -> bool:
        """Whether there is a place, which is taken then."""
        if self._inside >= self._most:
            return False
        self._inside += 1
        return True

    async def wait(self) -> None:
        """Until there is a place, which is taken then; 429 where too many wait, or for too long."""
        if len(self._waiting) >= self._most_waiting:
            raise _too_many()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(WAIT_S):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.leave()  # A place was given to it, and it has left.
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise _too_many() from error
            raise

    def leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)  # The place goes from hand to hand.
                return
        self._inside -= 1


def _too_many() -> RateLimitError:
    return RateLimitError(
        "This deployment has as many requests as it can work on: try again in a moment.",
        headers={"retry-after": "2"},
    )
