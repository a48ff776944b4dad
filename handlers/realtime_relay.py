"""A realtime session under way: both directions and the time, until one of them ends it.

The two drivers differ in what a client is. Frames are relayed one at a time in each direction,
so that a slow reader holds up its source by whatever means the client has for that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from core.ports import Socket, SocketClosed
from core.relay import replaying, report
from core.relay.closing import Close
from core.relay.events import Frame
from core.relay.report import About, Report
from core.relay.session import Session, Step
from handlers.exchange import Services
from handlers.realtime_opening import Connected, Prepared

FAREWELL_S: Final = 5.0
"""For the last words to a client that may not read them."""
PATIENCE_S: Final = 60.0
"""Likewise, where it had stopped reading: when it goes on, it finds out why this is the end."""


class Client(Protocol):
    """The caller's side. `send` waits while it takes nothing, and is silent once it is gone."""

    async def receive(self) -> Frame | SocketClosed: ...

    async def send(self, frame: Frame) -> None: ...

    async def close(self, close: Close) -> None: ...


class Recorder:
    """What a session took, to the log and to the key's budget."""

    def __init__(self, services: Services, prepared: Prepared, about: About) -> None:
        self._services = services
        self._spend = prepared.permit.spend
        self._about = about

    def end(self, session: Session, now: float) -> None:
        about, totals = self._about, session.totals(now)
        fields = report.of_session(about, totals, session.ended)
        self._services.log.info("realtime_session", **fields)
        if about.parent is not None:
            self._services.heard(Report(about=about, totals=totals, turns=totals.turns))

    async def record(self, step: Step) -> None:
        for one in step.records:
            self._services.log.info("realtime_response", **report.of_response(self._about, one))
            if self._spend is not None and one.cost_usd:
                await self._spend(one.cost_usd)


async def _unrecorded(_step: Step) -> None:
    """For a relay that nobody asks what it cost."""


class Relay:
    """Both directions and the time, until one of them ends the session."""

    def __init__(
        self, client: Client, connected: Connected, session: Session, now: Callable[[], float]
    ) -> None:
        self._client = client
        self._provider: Socket = connected.socket
        self._connected = connected
        self._session = session
        self._now = now
        self._client_since: float | None = None
        """Since when the client has not taken the frame that it is sent."""
        self._provider_since: float | None = None
        self.record: Callable[[Step], Awaitable[None]] = _unrecorded
        self.kept: replaying.Log | None = None
        """Of what is said, where it may have to be told to another provider session."""
        self.resumption: replaying.Resumption | None = None
        """Where it has been: what of the answers is not for the client."""
        self.leave: Callable[[], Awaitable[None]] | None = None
        """Returns when somebody else is to go on with the session."""

    async def run(self) -> bool:
        """Whether the session is over; False: it was left as it is, for somebody else."""
        ways = [asyncio.ensure_future(way()) for way in (self._up, self._down, self._watch)]
        leaving = None if self.leave is None else asyncio.ensure_future(self.leave())
        try:
            waited = ways if leaving is None else [*ways, leaving]
            done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if leaving is not None:
                leaving.cancel()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            if self._connected.reading is not None:
                self._connected.reading.cancel()
        ended = next((way for way in ways if way in done), None)
        if ended is None:
            return False
        await self._end(ended.result())
        return True

    async def _up(self) -> Step | Close:
        """The client's frames. A Close: the client has left with it."""
        client, provider, session, now = self._client, self._provider, self._session, self._now
        while True:
            frame = await client.receive()
            if isinstance(frame, SocketClosed):
                return session.client_closed(frame.code, frame.reason)
            self._provider_since = now()
            step = session.from_client(frame, self._provider_since)
            if step is None:
                await provider.send(frame)
            elif await self._step(step, provider.send):
                return step
            self._provider_since = None
            if self.kept is not None and isinstance(frame, str):
                self.kept.from_client(frame)

    async def _down(self) -> Step | Close:
        """The provider's frames."""
        client, session, now = self._client, self._session, self._now
        frame = await self._first()
        while not isinstance(frame, SocketClosed):
            if not self._is_ours(frame):
                self._client_since = now()
                step = session.from_server(frame, self._client_since)
                if step is None:
                    await client.send(frame)
                elif await self._step(step, client.send):
                    return step
                self._client_since = None
            frame = await self._provider.receive()
        return session.server_closed(frame.code, frame.reason)

    def _is_ours(self, frame: Frame) -> bool:
        """Whether it only acknowledges what the client has not said again."""
        if isinstance(frame, bytes):
            return False
        if self.resumption is not None and self.resumption.swallows(frame):
            return True
        if self.kept is not None:
            self.kept.from_server(frame)
        return False

    async def _first(self) -> Frame | SocketClosed:
        connected = self._connected
        if connected.first is not None:
            return connected.first
        if connected.reading is not None:
            return await connected.reading
        return await self._provider.receive()

    async def _watch(self) -> Step | Close:
        session = self._session
        while True:
            now = self._now()
            pause = min(session.next_look() - now, session.limits.stalled_s / 2)
            await asyncio.sleep(max(0.01, pause))
            now = self._now()
            step = session.tick(now) or session.stalled(
                now, client=self._client_since, provider=self._provider_since
            )
            if step is None:
                continue
            if step.close is not None:
                return step
            for answer in step.answers:
                await self._client.send(answer)

    async def _step(self, step: Step, forward: Callable[[Frame], Awaitable[None]]) -> bool:
        """Whether it ends the session; then its answers are left for the end."""
        if step.forward is not None:
            await forward(step.forward)
        if step.records:
            await self.record(step)
        if step.close is not None:
            return True
        for answer in step.answers:
            await self._client.send(answer)
        return False

    async def _end(self, last: Step | Close) -> None:
        """The provider first: what it goes on saying would be paid for and not heard."""
        if isinstance(last, Close):
            await self._provider.close(last.code, last.reason)
            return
        closing_provider = asyncio.ensure_future(self._provider.close(1000, ""))
        patience = FAREWELL_S if self._client_since is None else PATIENCE_S
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                for answer in last.answers:
                    await self._client.send(answer)
                await self._client.close(last.close or Close())
        await closing_provider
