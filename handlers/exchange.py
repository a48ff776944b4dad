"""What every proxied route does alike: sending, refusals, streams.

The first failure of a provider is told in one place, so that no route can
leak an endpoint's key or blame the caller for it.
"""

import asyncio
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from core import cors, hidden, options, plan, provider_errors, routing
from core.dialects import error_headers, load
from core.errors import CutwaterError, UpstreamError, UpstreamTimeoutError
from core.failures import Said
from core.health import Board
from core.hedging import Hedges
from core.media import MediaError
from core.neutral import Usage
from core.orgs import Org
from core.plan import Attempt
from core.ports import Clock, Fetch, Fetched, Incoming, Log, Outgoing, Sockets, Store, Upstream
from core.routes import Route
from core.streams import Relay
from handlers.asgi import Headers, Outlet, Receive, Watch, read_body
from handlers.crowd import Crowd
from handlers.directory import Directory

if TYPE_CHECKING:
    from core.cache_entries import Entry
    from core.relay.report import Report
    from handlers.failover import Trial
    from handlers.metering import Meter

MOST_REPLY: Final = 128 * 1024 * 1024
MOST_ERROR: Final = 1024 * 1024


class KeysRenewedError(Exception):
    """A provider refused a key that is no longer in the settings: ask again, with these."""

    def __init__(self, org: Org) -> None:
        super().__init__()
        self.org = org


class TooLongError(UpstreamError):
    """A reply that would fill the memory."""


async def fetch_nothing(urls: Sequence[str]) -> Mapping[str, Fetched]:
    """For a deployment that does not ask strangers' servers."""
    raise MediaError(urls[0], "is not fetched by this deployment: send the file itself as base64.")


class Services(Struct, frozen=True, kw_only=True):
    """All that a request needs of the world. Made once, in wiring.py."""

    upstream: Upstream
    authorize: Callable[[Attempt], Awaitable[Outgoing]]
    """Adds the token or the signature that some providers ask for."""
    refused: Callable[[Attempt], None] = lambda _attempt: None
    """Hears that a provider did not take what was added."""
    clock: Clock
    draw: Callable[[], float]
    fresh_id: Callable[[], str]
    log: Log
    directory: Directory
    """Whose key it is."""
    providers: routing.Providers
    lookup: routing.Lookup
    model_names: Callable[[], Iterable[str]]
    """Of the catalogue."""
    provider_keys: bool
    """Whether a provider's own key is taken from callers."""
    most_body: int
    origins: cors.Origins = None
    """Pages that may read the answers to long-lived keys too."""
    store: Store | None = None
    """None: nothing is cached."""
    nonce: Callable[[int], bytes] = os.urandom
    """So many random bytes."""
    flights: "dict[str, asyncio.Future[Entry | None]]" = msgspec.field(default_factory=dict)
    """Requests under way that others wait for, by the name of their answer."""
    fetch: Fetch = fetch_nothing
    """For media by URL."""
    crowd: Crowd = msgspec.field(default_factory=Crowd)
    """Those whose requests are worked on, and those who wait."""
    hedges: Hedges = msgspec.field(default_factory=Hedges)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    sockets: Sockets | None = None
    """For realtime sessions; None: this deployment relays none."""
    heard: "Callable[[Report], None]" = lambda _report: None
    """Gets what was said in a realtime session whose caller asked to log it."""

    @property
    def board(self) -> Board:
        """How the endpoints are doing, as far as this process knows."""
        return self.directory.board

    def __repr__(self) -> str:
        return "<Services>"


class Exchange(Struct, kw_only=True):
    """One request and where its response goes."""

    services: Services
    route: Route
    headers: dict[str, str]
    outlet: Outlet
    request_id: str
    query: str = ""
    """As it came, without the question mark. It may hold a key."""
    keys: tuple[str, ...] = ()
    """What a provider was given and may quote: struck out of all that it says."""
    renew: Callable[[Org], Awaitable[Org | None]] | None = None
    """After a provider refused an endpoint's key: the organisation's settings if they changed."""
    org: Org | None = None
    """Whose endpoints answer; None: nobody's settings can change that."""
    meter: "Meter | None" = None
    """Where the caller may spend so much only."""
    usage: Usage | None = None
    """What the answer took, where its provider said so."""
    attempts: int = 0
    """Requests to providers so far."""
    strict: bool = False
    """Nothing of the request may be lost in translation."""
    is_joined: bool = False
    """One answer of several runs."""
    rank: int = 0
    """0: the model that was asked for answers; else one that it falls back to."""
    deadline: float = math.inf
    """Unix seconds at which this process is stopped."""

    def __repr__(self) -> str:
        return f"<Exchange {self.request_id}>"  # Its headers hold a key.


# Classes, not generators: at each request a generator costs three times as much.


class WholeBody:
    """The request's body; a client that goes away meanwhile ends what is done with it."""

    def __init__(self, exchange: Exchange, receive: Receive) -> None:
        self._exchange = exchange
        self._receive = receive

    async def __aenter__(self) -> bytes:
        exchange = self._exchange
        most = exchange.services.most_body
        body = await read_body(self._receive, exchange.headers, most=most)
        self._watcher = Watch(self._receive, exchange.outlet)
        return body

    async def __aexit__(self, *_: object) -> None:
        self._watcher.cancel()
        self._exchange.outlet.hush()


class Sending:
    """The provider's reply, whatever its status."""

    def __init__(self, exchange: Exchange, attempt: Attempt) -> None:
        self._exchange = exchange
        self._attempt = attempt

    async def __aenter__(self) -> Incoming:
        exchange, attempt = self._exchange, self._attempt
        services, outgoing = exchange.services, attempt.outgoing
        if attempt.authorization is not None:
            outgoing = await services.authorize(attempt)
        if exchange.meter is not None:
            await exchange.meter.check(attempt)
        keys = hidden.keys_sent(outgoing, attempt.candidate.endpoint)
        # Two attempts may be under way at once, and each may be quoted.
        exchange.keys = keys if not exchange.keys else tuple({*exchange.keys, *keys})
        self._sending = services.upstream.send(outgoing)
        reply = await self._sending.__aenter__()
        if reply.status == 401:
            services.refused(attempt)
            if outgoing.upload is None:
                await self._renew()
        return reply

    async def _renew(self) -> None:
        exchange = self._exchange
        if exchange.renew is None or exchange.org is None:
            return
        org = None
        try:
            org = await exchange.renew(exchange.org)
        except BaseException:
            await self._sending.__aexit__(None, None, None)
            raise
        if org is not None:
            await self._sending.__aexit__(None, None, None)
            raise KeysRenewedError(org)

    def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Awaitable[bool | None]:
        return self._sending.__aexit__(kind, error, trace)


def response_headers(
    exchange: Exchange, attempt: Attempt, told: Mapping[str, str], content_type: bytes | None
) -> Headers:
    """`told` are the provider's."""
    headers = options.returned(hidden.shown(told, exchange.keys))
    if content_type is not None:
        headers.append((b"content-type", content_type))
    if name := attempt.candidate.endpoint.name:
        headers.append((b"x-bt-used-endpoint", name.encode("ascii", "backslashreplace")))
    if exchange.attempts:
        headers.append((b"x-bt-attempts", b"%d" % exchange.attempts))
    if attempt.dropped:
        headers.append((b"x-bt-dropped-params", plan.dropped_header(attempt.dropped).encode()))
    return headers


async def told_by_provider(exchange: Exchange, attempt: Attempt, said: Said) -> None:
    """A provider's refusal: as it is to a client of its dialect, else in the client's own shape.

    Its body has lost all keys already.
    """
    headers = response_headers(exchange, attempt, said.headers, b"application/json")
    body, status = said.body, said.status
    if attempt.lane == "neutral" or not provider_errors.is_error(body):
        error = provider_errors.parse(status, body)
        client = load(exchange.route.dialect)
        body = client.error_body(error, exchange.request_id)
        told = error_headers(client, error, exchange.request_id)
        headers += [(n.encode(), v.encode()) for n, v in told.items() if n not in said.headers]
    exchange.outlet.head(status, headers)
    await exchange.outlet.whole(body)


async def read_error(reply: Incoming) -> bytes:
    """Nothing where it is longer than any error: it is told by its status then."""
    try:
        return await read_up_to(MOST_ERROR, reply.chunks())
    except TooLongError:
        return b""


async def read_up_to(most: int, chunks: AsyncIterator[bytes], first: bytes = b"") -> bytes:
    """The rest of a reply; TooLongError where it does not end in time."""
    pieces, size = [first], len(first)
    async for chunk in chunks:
        pieces.append(chunk)
        size += len(chunk)
        if size > most:
            raise TooLongError(f"The provider's answer is larger than {most} bytes.")
    return b"".join(pieces)


async def pump(
    exchange: Exchange, chunks: AsyncIterator[bytes], relay: Relay, trial: "Trial"
) -> None:
    """A stream of events from the provider to the client, until it ends or fails.

    Raises what comes in the place of the first token.
    """
    outlet = exchange.outlet
    error: CutwaterError | None = None
    try:
        await _flow(exchange, chunks, relay, trial)
    except CutwaterError as cut:
        if relay.ended:  # The provider's own error, told before its first word: it has its status.
            provider_errors.strike_error(cut, exchange.keys)
            raise
        error = cut
    finally:
        exchange.usage = relay.usage
    if last := _last_words(exchange, relay, error):
        await trial.answered(streamed=True)
        await outlet.write(last)
    if relay.broken_events:
        exchange.services.log.warning("broken_events", count=relay.broken_events)
    if relay.failed is not None:
        trial.cut(relay.failed)
        if relay.is_quiet:
            return
    await outlet.end()


async def _flow(
    exchange: Exchange, chunks: AsyncIterator[bytes], relay: Relay, trial: "Trial"
) -> None:
    limit = asyncio.timeout(trial.send.timeouts.first_token_s)
    try:
        async with limit:
            async for chunk in chunks:
                if said := relay.feed(chunk):
                    if not trial.is_answered:
                        limit.reschedule(None)
                        await trial.answered(streamed=True)
                    # The last words may be the provider's error.
                    said = provider_errors.strike(said, exchange.keys) if relay.ended else said
                    if exchange.meter is not None:
                        exchange.meter.see(said)
                    await exchange.outlet.write(said)
                if relay.ended:
                    return
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise UpstreamTimeoutError("The provider's answer did not begin in time.") from error


def _last_words(exchange: Exchange, relay: Relay, error: CutwaterError | None) -> bytes:
    try:
        return provider_errors.strike(relay.finish(error), exchange.keys)
    except CutwaterError as cut:
        provider_errors.strike_error(cut, exchange.keys)
        raise
