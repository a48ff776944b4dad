"""Before a realtime session begins: who calls, what may answer, and a connection to it.

Both drivers do this: the ASGI one in one go, API Gateway's in two, `prepare` where the client
connects and `connect` in the process that holds the provider's connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from core import (
    credentials,
    grants,
    hidden,
    listing,
    options,
    realtime_address,
    realtime_usage,
    scopes,
)
from core.errors import CutwaterError, PermissionDeniedError, UpstreamError
from core.grants import Grant
from core.plan import Attempt
from core.ports import HandshakeError, Socket, SocketClosed
from core.realtime_address import Asked
from core.relay import opening
from core.relay.events import Frame
from core.relay.report import About
from core.relay.session import Limits, Terms
from core.routes import Route
from core.routing import Candidate, Lookup, Model
from core.scopes import Scopes
from handlers.access import Access, authenticate
from handlers.asgi import Outlet
from handlers.exchange import Exchange, Services
from handlers.failover import ranked

FIRST_WORD_S: Final = 2.0
"""How long to wait for a provider's first word: some say none before the client did."""


class Permit(Struct, frozen=True, kw_only=True):
    """A caller that is verified, and what it may do. It carries a key: it has no repr."""

    access: Access
    scopes: tuple[Scopes, ...] = ()
    grant: Grant | None = None
    """Of a temporary credential."""
    left_usd: float | None = None
    """What it may still spend; None: as much as it likes."""
    spend: Callable[[float], Awaitable[None]] | None = None
    """Hears of every response's cost."""

    def __repr__(self) -> str:
        return "<Permit>"


Identify = Callable[[Exchange], Awaitable[Permit]]


async def identify(exchange: Exchange) -> Permit:
    """The one place where a realtime caller is authenticated."""
    access = await authenticate(exchange)
    meter = exchange.meter
    return Permit(
        access=access,
        scopes=access.scopes,
        grant=None if access.credential is None else access.credential.grant,
        left_usd=None if meter is None else await meter.left_usd(),
        spend=None if meter is None else meter.spend,
    )


class Prepared(Struct, frozen=True, kw_only=True):
    """A session that may be opened. Its endpoints carry keys: it has no repr."""

    services: Services
    permit: Permit
    caller: credentials.Caller
    asked: Asked
    found: tuple[Candidate, ...]
    """In the order to try."""
    model: Model
    request_id: str

    def __repr__(self) -> str:
        return f"<Prepared {self.request_id}>"


class Connected(Struct, frozen=True, kw_only=True):
    """A connection on which a session has begun."""

    socket: Socket
    first: Frame | SocketClosed | None
    """What the provider said already; None: nothing yet."""
    reading: "asyncio.Task[Frame | SocketClosed] | None"
    """Its next word, where it was silent: to be awaited before anything else is read."""
    attempt: Attempt
    attempts: int
    keys: tuple[str, ...]
    """What it was given and may quote."""

    def __repr__(self) -> str:
        return "<Connected>"


async def _nobody(_: MutableMapping[str, Any]) -> None:
    """Where the response of an exchange goes that has none."""


def exchange_of(
    services: Services,
    route: Route,
    headers: Iterable[tuple[bytes, bytes]],
    query: str,
    offered: list[str],
    request_id: str,
) -> Exchange:
    """`offered`: the subprotocols, one of which may hold the key. It goes nowhere from here."""
    said = options.collect(headers)
    said.pop("sec-websocket-protocol", None)
    known = any(name in said for name in options.KEY_HEADERS)
    # A browser's page may hold an older key in a cookie-like header: the subprotocol is meant.
    said |= realtime_address.from_subprotocols(offered)
    if not known and "authorization" not in said:
        said |= realtime_address.from_query(query)
    return Exchange(
        services=services,
        route=route,
        headers=said,
        outlet=Outlet(_nobody),
        request_id=request_id,
        query=query,
    )


async def prepare(exchange: Exchange, *, identify: Identify = identify) -> Prepared:
    """All that is decided before a connection: every refusal of ours happens here."""
    permit = await identify(exchange)
    grant = permit.grant
    if grant is not None:
        grants.check_origin(grant, exchange.headers.get("origin"))
    asked = realtime_address.asked(
        exchange.headers, exchange.query, None if grant is None else grant.model
    )
    name = scopes.route_name(exchange.route)
    scopes.permit(
        permit.scopes, model=asked.model, route=name, endpoint=permit.access.asked.endpoint
    )
    # A session cannot go over to another model: its client speaks to the one that it asked for.
    caller, ways = ranked(exchange, permit.access, asked.model, {})
    found = [way.candidate for way in ways if way.rank == 0]
    allowed = [c for c in found if scopes.may_use_endpoint(permit.scopes, c.endpoint.label)]
    if not allowed:
        raise PermissionDeniedError(
            "The key of this session may not use any of the endpoints that could answer it."
        )
    services = exchange.services
    able = realtime_address.able(allowed)
    model = services.lookup(asked.model)
    if permit.left_usd is not None:
        able = _priced(able, model, services.lookup)
    return Prepared(
        services=services,
        permit=permit,
        caller=caller,
        asked=asked,
        found=tuple(able),
        model=model,
        request_id=exchange.request_id,
    )


def _priced(able: list[Candidate], model: Model, lookup: Lookup) -> list[Candidate]:
    """A limit in dollars can be kept only where the prices of sound are known."""
    found = [c for c in able if realtime_usage.is_priced(listing.costs_of(c, lookup))]
    if not found:
        raise PermissionDeniedError(
            "This key is limited in dollars, and what a session with "
            f"`{model.name[:200]}` costs is not known.",
            param="model",
        )
    return found


def terms_of(
    prepared: Prepared,
    candidate: Candidate,
    *,
    keys: tuple[str, ...] = (),
    limits: Limits | None = None,
) -> Terms:
    """What the session is opened with. `keys`: those of the connection."""
    permit = prepared.permit
    return Terms(
        limits=replace(limits or Limits(), max_cost_usd=permit.left_usd),
        costs=listing.costs_of(candidate, prepared.services.lookup),
        may_use=lambda model: scopes.may_use_model(permit.scopes, model),
        keep_transcript=_parent(permit) is not None,
        hidden=keys,
    )


def about(prepared: Prepared, attempt: Attempt | None = None, attempts: int = 0) -> About:
    """For the log."""
    permit = prepared.permit
    endpoint = (prepared.found[0] if attempt is None else attempt.candidate).endpoint
    logging = None if permit.grant is None else permit.grant.logging
    return About(
        request_id=prepared.request_id,
        org=prepared.caller.org.name,
        model=prepared.asked.model,
        provider=endpoint.type,
        endpoint=endpoint.label,
        attempts=attempts,
        parent=_parent(permit),
        compress_audio=permit.access.asked.compress_audio
        or (logging is not None and logging.compress_audio),
    )


def _parent(permit: Permit) -> str | None:
    logging = None if permit.grant is None else permit.grant.logging
    if logging is None:
        return permit.access.asked.parent
    return logging.parent or f"project_name:{logging.project_name}"


async def connect(prepared: Prepared, *, most_bytes: int = Limits().frame_bytes) -> Connected:
    """The first endpoint with which a session begins; the last one's refusal where none does."""
    error: CutwaterError = UpstreamError("No endpoint is configured for this model.")
    for number, candidate in enumerate(prepared.found, start=1):
        last = number == len(prepared.found)
        attempt = realtime_address.attempt(
            prepared.asked,
            candidate,
            timeouts=prepared.caller.org.timeouts,
            own_key=prepared.caller.own_key,
        )
        try:
            return await _begun(prepared, attempt, number, most_bytes)
        except _RefusedError as refused:
            error = refused.told
            if not refused.another_may:
                break
        except CutwaterError as failed:
            error = failed
        prepared.services.log.warning(
            "realtime_attempt_failed",
            request_id=prepared.request_id,
            endpoint=candidate.endpoint.label,
            status=error.status,
            last=last,
        )
    raise error


class _RefusedError(Exception):
    def __init__(self, told: CutwaterError, *, another_may: bool) -> None:
        super().__init__(told.message)
        self.told = told
        self.another_may = another_may


async def _begun(prepared: Prepared, attempt: Attempt, number: int, most_bytes: int) -> Connected:
    services, own_key = prepared.services, prepared.caller.own_key
    label = attempt.candidate.endpoint.label
    if services.sockets is None:
        raise UpstreamError("This deployment opens no realtime sessions.")
    outgoing = attempt.outgoing
    if attempt.authorization is not None:
        outgoing = await services.authorize(attempt)
    keys = hidden.keys_sent(outgoing, attempt.candidate.endpoint)
    try:
        socket = await services.sockets.connect(outgoing, most_bytes=most_bytes)
    except HandshakeError as error:
        if error.status == 401:
            services.refused(attempt)
        told = opening.refused(label, error.status, error.body, own_key=own_key, keys=keys)
        raise _RefusedError(told, another_may=opening.may_fail_over(error.status)) from error
    reading = asyncio.ensure_future(socket.receive())
    try:
        done, _ = await asyncio.wait({reading}, timeout=FIRST_WORD_S)
    except asyncio.CancelledError:
        reading.cancel()
        await socket.close(1001, "")
        raise
    first = reading.result() if done else None
    await _check_first(socket, first, label, own_key=own_key, keys=keys)
    return Connected(
        socket=socket,
        first=first,
        reading=None if done else reading,
        attempt=attempt,
        attempts=number,
        keys=keys,
    )


async def _check_first(
    socket: Socket,
    first: Frame | SocketClosed | None,
    label: str,
    *,
    own_key: bool,
    keys: tuple[str, ...],
) -> None:
    """An endpoint that hangs up, or says an error first of all, has begun nothing."""
    if first is None:
        return
    if isinstance(first, SocketClosed):
        raise UpstreamError(
            f"The provider of the endpoint `{label}` closed the connection at once"
            + (f" ({first.code})." if first.code else ".")
        )
    said = opening.first_word(first)
    if said is None:
        return
    await socket.close(1000, "")
    body = first.encode() if isinstance(first, str) else first
    told = opening.refused(label, said.status, body, own_key=own_key, keys=keys)
    raise _RefusedError(told, another_may=opening.may_fail_over(said.status))
