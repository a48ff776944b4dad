"""One realtime session in one process of API Gateway's driver, and how the next one goes on.

A process lives 15 minutes at most, a session two hours. Before its time is over, at a quiet
moment if there is one, a process writes down what was said, seals it for a successor and starts
that one. Whoever serves a session holds it by a row that changes with each successor, and says
nothing once it does not hold it any more: two processes never speak to one client.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from core import options, routes
from core.errors import CutwaterError, UnavailableError, UpstreamError
from core.ports import (
    Clock,
    ConnectionGoneError,
    Connections,
    Invoke,
    Log,
    Mailbox,
    Row,
    StoreError,
)
from core.relay import closing, events, handed, mailbox, replaying
from core.relay.handed import Handed, Start
from core.relay.session import Limits, Session
from handlers import realtime_opening
from handlers.access import Access
from handlers.exchange import Exchange, Services
from handlers.realtime_client import GatewayClient, hang_up
from handlers.realtime_opening import Connected, Permit, Prepared
from handlers.realtime_relay import Recorder, Relay

LEASE_S: Final = 30.0
RENEWED_S: Final = 10.0
LOOK_S: Final = 0.1
DRAIN_S: Final = 5.0
LIMITS: Final = Limits(
    # A little less than API Gateway's own, to have the last word.
    idle_s=590.0,
    session_s=7190.0,
    frame_bytes=16 * 1024 * 1024,
    buffered_bytes=1024 * 1024,
)
CUT_OFF: Final = (
    "The answer was cut off while the session went over to another process: ask for it again."
)
CRASHED: Final = "The process that served this session has ended: connect again."


async def nothing_to_close() -> None:
    """The connections are somebody else's."""


class Gateway(Struct, frozen=True, kw_only=True):
    """handlers.realtime_client.World, and how a successor is started."""

    services: Services
    mailbox: Mailbox
    connections: Connections
    invoke: Invoke
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[int], bytes] = secrets.token_bytes
    limits: Limits = LIMITS
    close: Callable[[], Coroutine[Any, Any, None]] = nothing_to_close
    lease_s: float = LEASE_S
    renewed_s: float = RENEWED_S

    def __repr__(self) -> str:
        return "<Gateway>"

    @property
    def clock(self) -> Clock:
        return self.services.clock

    @property
    def log(self) -> Log:
        return self.services.log


class Times(Struct, frozen=True):
    """When to hand over: at the first quiet moment after `soft`, at `hard` in any case. Unix s."""

    soft: float
    hard: float


async def prepare_start(gateway: Gateway, connection: str, generation: int, given: Handed) -> Start:
    """Writes down what a process needs that serves the session; StoreError."""
    start = Start(connection, generation, gateway.random(handed.KEY_BYTES))
    sealed = handed.seal(given, start, gateway.random(handed.NONCE_BYTES))
    row = Row(
        pk=mailbox.partition(connection),
        sk=mailbox.state_of(generation),
        data=sealed,
        expires_at=int(gateway.clock.now()) + mailbox.KEPT_S,
    )
    await gateway.mailbox.put([row])
    return start


async def serve(gateway: Gateway, start: Start, times: Times) -> None:
    """Until the session ends, or somebody else goes on with it."""
    holder = gateway.random(16).hex()
    lease = _Lease(gateway, start, holder)
    if not await lease.renew():
        gateway.log.info("realtime_start_refused", generation=start.generation)
        return
    given = await _given(gateway, start)
    serving = _Serving(gateway, start, given, times, lease)
    await serving.run()


async def _given(gateway: Gateway, start: Start) -> Handed:
    name = mailbox.state_of(start.generation)
    rows = await gateway.mailbox.rows(mailbox.partition(start.connection), name, name)
    return handed.opened(rows[0].data if rows else b"", start)


async def crashed(gateway: Gateway, start: Start) -> None:
    """A process ended without a word: its client is told so, unless somebody else has taken over.

    It may be told of a process that has handed over, or ended, as it should: then it is too late.
    """
    if not await gateway.mailbox.end(start.connection, start.generation):
        return
    gateway.log.error("realtime_crashed", generation=start.generation)
    event = events.error_event(UpstreamError(CRASHED), _event_id(gateway))
    try:
        await gateway.connections.post(start.connection, event)
    except (ConnectionGoneError, StoreError) as error:
        gateway.log.warning("realtime_not_posted", error=type(error).__name__)
    await hang_up(gateway, start.connection)


def _event_id(gateway: Gateway) -> str:
    return "event_" + gateway.services.fresh_id().removeprefix("req_")


class _Lease:
    """That this process is the one that serves the session."""

    def __init__(self, gateway: Gateway, start: Start, holder: str) -> None:
        self._gateway = gateway
        self._start = start
        self._holder = holder
        self._until = 0.0
        self.is_lost = False

    def holds(self) -> bool:
        return not self.is_lost and self._gateway.clock.now() < self._until

    async def renew(self) -> bool:
        gateway, start = self._gateway, self._start
        until = gateway.clock.now() + gateway.lease_s
        held = await gateway.mailbox.hold(
            start.connection, start.generation, self._holder, int(until * 1000)
        )
        if held:
            self._until = until
        else:
            self.is_lost = True
        return held

    async def lost(self) -> None:
        """Returns when it is; a table that gives no answer loses it in time."""
        gateway = self._gateway
        while not self.is_lost and gateway.clock.now() < self._until:
            await gateway.sleep(gateway.renewed_s)
            try:
                await self.renew()
            except StoreError as error:
                gateway.log.warning("realtime_lease_not_renewed", error=str(error))
        self.is_lost = True


class _Serving:
    def __init__(
        self, gateway: Gateway, start: Start, given: Handed, times: Times, lease: _Lease
    ) -> None:
        self._gateway = gateway
        self._start = start
        self._given = given
        self._times = times
        self._lease = lease
        self._client = GatewayClient(
            gateway,
            start.connection,
            connected_ms=given.connected_ms,
            since_ms=given.since_ms,
            done=given.done,
            limits=gateway.limits,
        )
        self._client.may_post = lease.holds

    async def run(self) -> None:
        guarding = asyncio.ensure_future(self._lease.lost())
        serving = asyncio.ensure_future(self._serve())
        try:
            await asyncio.wait({guarding, serving}, return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                self._gateway.log.warning("realtime_replaced", generation=self._start.generation)
                self._client.replaced = True
        finally:
            for task in (guarding, serving):
                task.cancel()
            await asyncio.gather(guarding, serving, return_exceptions=True)
            await self._client.stop()
        if not serving.cancelled() and (failure := serving.exception()) is not None:
            raise failure

    async def _serve(self) -> None:
        try:
            prepared = await self._prepared()
            connected = await realtime_opening.connect(
                prepared, most_bytes=self._gateway.limits.frame_bytes
            )
        except CutwaterError as error:
            self._gateway.log.info(
                "realtime_refused",
                request_id=self._given.request_id,
                status=error.status,
                code=error.code,
            )
            await self._over(error)
            return
        try:
            await self._relay(prepared, connected)
        except CutwaterError as error:
            await self._over(error)
        finally:
            await connected.socket.close(1000, "")

    async def _over(self, error: CutwaterError) -> None:
        await self._client.send(events.error_event(error, _event_id(self._gateway)))
        await self._client.close(closing.of_error(error))
        await self._ended()

    async def _ended(self) -> None:
        try:
            await self._gateway.mailbox.end(self._start.connection, self._start.generation)
        except StoreError as error:  # Its rows are forgotten in time.
            self._gateway.log.warning("realtime_end_not_noted", error=str(error))

    async def _prepared(self) -> Prepared:
        given, services = self._given, self._gateway.services
        headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in given.headers
        ]
        exchange = realtime_opening.exchange_of(
            services,
            routes.resolve("GET", given.path, options.collect(headers)),
            headers,
            given.query,
            given.offered,
            given.request_id,
        )
        permit = await _permit(exchange, given)
        prepared = await realtime_opening.prepare(exchange, identify=lambda _: _soon(permit))
        if given.endpoint is None:
            return prepared
        # What was said is told again to the same endpoint, if it is there.
        found = sorted(prepared.found, key=lambda one: one.endpoint.label != given.endpoint)
        return replace(prepared, found=tuple(found))

    async def _relay(self, prepared: Prepared, connected: Connected) -> None:
        gateway, given = self._gateway, self._given
        terms = realtime_opening.terms_of(
            prepared, connected.attempt.candidate, keys=connected.keys, limits=gateway.limits
        )
        session = Session(
            terms,
            now=gateway.clock.now(),
            fresh_id=lambda: _event_id(gateway),
            before=given.totals,
        )
        about = realtime_opening.about(
            prepared, connected.attempt, given.attempts + connected.attempts
        )
        recorder = Recorder(gateway.services, prepared, about)
        relay = Relay(self._client, connected, session, gateway.clock.now)
        relay.record = recorder.record
        relay.kept = replaying.Log(given.state)
        if given.state is not None:
            for frame in relay.kept.frames():
                await connected.socket.send(frame)
            relay.resumption = relay.kept.resumption()
        relay.leave = lambda: self._leave(session)
        try:
            if not await relay.run():
                await self._hand_over(session, relay.kept, connected, about.attempts)
                return
        except CutwaterError:
            recorder.end(session, gateway.clock.now())
            raise
        recorder.end(session, gateway.clock.now())
        await self._ended()

    async def _leave(self, session: Session) -> None:
        gateway, times, settling = self._gateway, self._times, self._client.settling
        while (now := gateway.clock.now()) < times.hard:
            listening = not session.is_answering and not session.is_quiet
            calm = not session.is_answering and settling.is_calm(now, listening=listening)
            if now >= times.soft and calm:
                return
            await gateway.sleep(LOOK_S)

    async def _hand_over(
        self, session: Session, kept: replaying.Log, connected: Connected, attempts: int
    ) -> None:
        gateway, start, client = self._gateway, self._start, self._client
        await connected.socket.close(1000, "")
        if session.is_answering:
            await client.send(events.error_event(UpstreamError(CUT_OFF), _event_id(gateway)))
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await client.drained()
        since, done = client.to_resume()
        given = replace(
            self._given,
            totals=session.totals(gateway.clock.now()),
            state=kept.state,
            since_ms=since,
            done=done,
            endpoint=connected.attempt.candidate.endpoint.label,
            attempts=attempts,
        )
        try:
            following = await prepare_start(gateway, start.connection, start.generation + 1, given)
            if await gateway.mailbox.succeed(start.connection, start.generation):
                await gateway.invoke(handed.start_event(following))
        except StoreError as error:
            raise UnavailableError("The session could not go over to another process.") from error
        gateway.log.info("realtime_handed_over", generation=following.generation)


async def _soon(permit: Permit) -> Permit:
    return permit


async def _permit(exchange: Exchange, given: Handed) -> Permit:
    """As it was when the client connected: a credential that has expired since ends no session."""
    directory = exchange.services.directory
    named = given.org_name
    org = None if given.own_key or named is None else await directory.org(named)
    asked = options.parse(exchange.headers, exchange.query)
    access = Access(
        asked=asked,
        key=given.key,
        org=org,
        org_name=named,
        scopes=given.scopes,
        credential=given.credential,
    )
    spend = None
    if given.credential is not None and given.left_usd is not None:
        from handlers import metering

        spend = metering.Meter(exchange, given.credential).spend
    return Permit(
        access=access,
        scopes=given.scopes,
        grant=None if given.credential is None else given.credential.grant,
        left_usd=given.left_usd,
        spend=spend,
    )
