"""The client of a realtime session whose WebSocket API Gateway holds.

What it says is read from the mailbox, put back into its order; what it is told is posted, one
post at a time, since two at once may arrive in either order. Neighbours are joined meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from core.errors import TooLargeError, UnavailableError, UpstreamError
from core.ports import (
    Clock,
    ConnectionGoneError,
    Connections,
    Log,
    Mailbox,
    SocketClosed,
    StoreError,
)
from core.relay import coalescing, events, mailbox
from core.relay.closing import Close
from core.relay.events import Frame
from core.relay.mailbox import Pace
from core.relay.ordering import Arrival, Window
from core.relay.queueing import Queue
from core.relay.session import Limits
from core.relay.settling import Settling

MOST_BYTES: Final = 128 * 1024
"""Of one message; API Gateway takes no larger one."""
YOUNG_MS: Final = 3000
"""So long after it was made a connection may not be there yet."""
GONE_PAUSE_S: Final = 0.1
POST_PAUSES: Final = (0.1, 0.3, 1.0)
SILENCE_S: Final = 10.0
"""So long the mailbox may give no answer."""
TROUBLE_PAUSE_S: Final = 0.25


class World(Protocol):
    """What a session function needs beside the providers."""

    @property
    def mailbox(self) -> Mailbox: ...

    @property
    def connections(self) -> Connections: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def log(self) -> Log: ...

    @property
    def sleep(self) -> Callable[[float], Awaitable[None]]: ...


class GatewayClient:
    """handlers.realtime_relay.Client.

    `since_ms`: where to read the mailbox from; `done`: messages since then that are dealt with.
    """

    def __init__(
        self,
        world: World,
        connection: str,
        *,
        connected_ms: int,
        since_ms: int,
        done: tuple[str, ...],
        limits: Limits,
    ) -> None:
        self._world = world
        self._connection = connection
        self._pk = mailbox.partition(connection)
        self._connected_ms = connected_ms
        self._pace = Pace(since_ms)
        self.window = Window()
        self.window.knows(done)
        self._done: dict[str, int] = dict.fromkeys(done, since_ms)
        """Messages that a successor would read as well, and when they arrived."""
        self._prune_at = 256
        self._taken_ms = since_ms
        self.settling = Settling(self._now())
        self._ready: list[Arrival] = []
        self._left: SocketClosed | None = None
        self._failing_since: float | None = None
        self._queue = Queue(limits)
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._posting = asyncio.ensure_future(self._post_all())
        self._idle = asyncio.Event()
        self._idle.set()
        self.gone = False
        """Nobody is there any more, or somebody else speaks to it now."""
        self.replaced = False
        self.failure: UpstreamError | None = None
        self.may_post: Callable[[], bool] = lambda: True

    def _now(self) -> float:
        return self._world.clock.now()

    # What the client says.

    async def receive(self) -> Frame | SocketClosed:
        while not self._ready:
            if self.failure is not None:
                raise self.failure
            if self._left is not None and not len(self.window):
                return self._left
            if self.gone:
                return SocketClosed(None)
            await self._poll()
        arrival = self._ready.pop(0)
        self.settling.taken(arrival, self._now())
        self._remember(arrival)
        return arrival.text

    def _remember(self, arrival: Arrival) -> None:
        self._taken_ms = max(self._taken_ms, arrival.at_ms)
        self._done[arrival.id] = arrival.at_ms
        if len(self._done) > self._prune_at:
            least = self._resumes_at() - mailbox.OVERLAP_MS
            self._done = {name: at for name, at in self._done.items() if at >= least}
            self._prune_at = 2 * len(self._done) + 256

    def _resumes_at(self) -> int:
        unsettled = (one.at_ms for one in (*self.settling.unsettled, *self._ready))
        return min([self._taken_ms, *unsettled]) - mailbox.OVERLAP_MS

    async def _poll(self) -> None:
        now_ms = int(self._now() * 1000)
        try:
            rows = await self._world.mailbox.rows(self._pk, self._pace.first(now_ms), mailbox.LAST)
        except StoreError as error:
            await self._unread(error)
            return
        self._failing_since = None
        arrivals, left = mailbox.read(rows)
        held, known = len(self.window), self.window.duplicates
        self.window.add(arrivals)
        is_new = len(arrivals) > self.window.duplicates - known
        self._pace.saw(arrivals, new=is_new)
        if left is not None and self._left is None:
            self._left = left
            self._ready += self.window.flush()
        else:
            self._ready += self.window.take(int(self._now() * 1000))
        if not self._ready and self._left is None:
            await self._world.sleep(mailbox.FASTEST_S if held else self._pace.pause_s)

    async def _unread(self, error: StoreError) -> None:
        now = self._now()
        since = self._failing_since = self._failing_since or now
        if now - since >= SILENCE_S:
            raise UnavailableError("The table of this session gives no answer.") from error
        await self._world.sleep(TROUBLE_PAUSE_S)

    def to_resume(self) -> tuple[int, tuple[str, ...]]:
        """For a successor: from when on to read the mailbox, and what of it not to send again."""
        again = {one.id for one in self.settling.unsettled}
        return self._resumes_at(), tuple(name for name in self._done if name not in again)

    # What it is told.

    async def send(self, frame: Frame) -> None:
        if self.gone:
            return
        if isinstance(frame, bytes):
            self.failure = UpstreamError(
                "The provider sent binary data, which API Gateway does not take: use a container."
            )
            return
        self.settling.heard(frame, self._now())
        self._queue.add(frame, self._now())
        self._idle.clear()
        self._news.set()
        while self._queue.is_full and not self.gone:
            self._room.clear()
            await self._room.wait()

    async def _post_all(self) -> None:
        try:
            while not self.gone:
                await self._news.wait()
                self._news.clear()
                while len(self._queue) and not self.gone:
                    frames = [f for f in self._queue.take_all(self._now()) if isinstance(f, str)]
                    self._room.set()
                    for piece in _pieces(frames):
                        await self._post(piece)
                self._idle.set()
        finally:
            self.gone = True
            self._room.set()
            self._idle.set()

    async def _post(self, piece: str) -> None:
        if len(piece.encode()) > MOST_BYTES:
            piece = events.error_event(_too_large(piece), "event_too_large")
        pauses = iter(POST_PAUSES)
        while not self.gone:
            if not self.may_post():
                self.replaced = True
                self._lose("replaced")
                return
            try:
                await self._world.connections.post(self._connection, piece)
            except ConnectionGoneError:
                if self._now() * 1000 - self._connected_ms > YOUNG_MS:
                    self._lose("gone")
                    return
                await self._world.sleep(GONE_PAUSE_S)
            except StoreError as error:
                pause = next(pauses, None)
                if pause is None:
                    self._world.log.warning("realtime_not_posted", error=str(error))
                    self._lose("unreachable")
                    return
                await self._world.sleep(pause)
            else:
                return

    def _lose(self, why: str) -> None:
        self.gone = True
        self._world.log.info("realtime_client_lost", why=why)

    async def drained(self) -> None:
        """All that was said so far is posted, or nobody is there for it."""
        await self._idle.wait()

    async def close(self, close: Close) -> None:
        """API Gateway closes with no code of ours: the last event tells it."""
        if close.code != 1000 and not self.gone:
            await self.send(events.closed_event(close.code, close.reason, "event_closed"))
        await self.drained()
        await self.stop()
        if self._left is None and not self.replaced:
            await hang_up(self._world, self._connection)

    async def stop(self) -> None:
        """Nothing is posted any more."""
        self.gone = True
        self._posting.cancel()
        await asyncio.gather(self._posting, return_exceptions=True)


def _too_large(event: str) -> TooLargeError:
    return TooLargeError(
        f"An event of the type `{events.type_of(event)[:100]}` is larger than API Gateway takes "
        f"({MOST_BYTES} bytes): it is left out."
    )


def _pieces(frames: list[str]) -> list[str]:
    return [
        piece
        for frame in coalescing.merged(frames)
        for piece in coalescing.cut(frame, most=MOST_BYTES)
    ]


async def hang_up(world: World, connection: str) -> None:
    """Whoever is not there any more is closed already."""
    try:
        await world.connections.close(connection)
    except ConnectionGoneError:
        return
    except StoreError as error:
        world.log.warning("realtime_not_closed", error=str(error))
