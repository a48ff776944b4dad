"""One chat request, start to finish. What is decided is decided in core; this only awaits."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from core import credentials, options, plan, provider_errors, routing
from core.dialects import load
from core.errors import CutwaterError, UpstreamError
from core.neutral import View, fold, tool_as_text, unfold
from core.options import Options
from core.orgs import Org
from core.plan import Attempt, Chat
from core.ports import Clock, Incoming, Log, Upstream
from core.routes import Route, choose_org
from core.streams import NeutralRelay, PassRelay, Relay, fold_stream
from handlers.asgi import Headers, Outlet, Receive, read_body, watch

LAST_WORDS_S: Final = 2.0
"""How long to wait for usage and end mark once every choice has finished."""
_REDIRECTED: Final = (
    "The provider of the endpoint `{}` answered with a redirect: check its `api_base`."
)


class Services(Struct, frozen=True, kw_only=True):
    """All that a request needs of the world. Made once, in wiring.py."""

    upstream: Upstream
    clock: Clock
    draw: Callable[[], float]
    fresh_id: Callable[[], str]
    log: Log
    keys: credentials.Keys
    providers: routing.Providers
    lookup: routing.Lookup
    model_names: Callable[[], Iterable[str]]
    """Of the catalogue."""
    provider_keys: bool
    """Whether a provider's own key is taken from callers."""
    most_body: int

    def __repr__(self) -> str:
        return "<Services>"


class Exchange(Struct, kw_only=True):
    """One request and where its response goes."""

    services: Services
    route: Route
    headers: dict[str, str]
    outlet: Outlet
    request_id: str

    def __repr__(self) -> str:
        return f"<Exchange {self.request_id}>"  # Its headers hold a key.


def identify(exchange: Exchange, asked: Options) -> Org | None:
    """The caller's organisation; None for a provider's own key."""
    return credentials.identify(
        asked.key,
        exchange.services.keys,
        org_name=choose_org(exchange.route, asked.org),
        provider_keys=exchange.services.provider_keys,
    )


async def chat(exchange: Exchange, receive: Receive) -> None:
    services = exchange.services
    asked = options.parse(exchange.headers)
    org = identify(exchange, asked)
    body = await read_body(receive, exchange.headers, most=services.most_body)
    watcher = watch(receive, exchange.outlet)
    try:
        request = plan.read_chat(body, exchange.route.dialect)
        model = services.lookup(request.model)
        caller = credentials.caller_of(org, asked.key or "", model, services.providers)
        candidates = routing.candidates(
            model,
            caller.org,
            services.providers,
            endpoint_name=asked.endpoint,
            draw=services.draw(),
        )
        attempt = plan.attempt(
            request,
            candidates[0],
            headers=exchange.headers,
            timeouts=caller.org.timeouts,
            strict=asked.strict,
            own_key=caller.own_key,
        )
        async with services.upstream.send(attempt.outgoing) as reply:
            if reply.status >= 400:
                await _refused(exchange, attempt, reply, own_key=caller.own_key)
            elif reply.status >= 300:
                # Handed on, it would lead the client and its key somewhere else.
                raise UpstreamError(_REDIRECTED.format(candidates[0].endpoint.label))
            elif request.view.stream:
                await _streamed(exchange, request, attempt, reply)
            else:
                await _whole(exchange, request, attempt, reply)
    finally:
        watcher.cancel()
        exchange.outlet.hush()


def _headers(attempt: Attempt, reply: Incoming, content_type: bytes) -> Headers:
    keys = plan.keys_sent(attempt.outgoing)
    headers = options.returned(
        {n: v for n, v in reply.headers.items() if not any(key in v for key in keys)}
    )
    headers.append((b"content-type", content_type))
    if name := attempt.candidate.endpoint.name:
        headers.append((b"x-bt-used-endpoint", name.encode("ascii", "backslashreplace")))
    if attempt.dropped:
        headers.append((b"x-bt-dropped-params", plan.dropped_header(attempt.dropped).encode()))
    return headers


async def _refused(exchange: Exchange, attempt: Attempt, reply: Incoming, *, own_key: bool) -> None:
    """The provider's error: as it is to a client of its dialect, else in the client's own shape."""
    endpoint = attempt.candidate.endpoint
    if reply.status in (401, 403) and not own_key:
        raise UpstreamError(
            f"The provider refused the key of the endpoint `{endpoint.label}` ({reply.status}): "
            "check its secret."
        )
    body = provider_errors.strike(await reply.read(), plan.keys_sent(attempt.outgoing))
    headers = _headers(attempt, reply, b"application/json")
    # What is no status of HTTP cannot be said.
    status = reply.status if reply.status < 600 else 502
    exchange.outlet.head(status, headers)
    if attempt.lane == "neutral" or not _is_error(body):
        error = provider_errors.parse(status, body)
        body = load(exchange.route.dialect).error_body(error, exchange.request_id)
    await exchange.outlet.whole(body)


def _is_error(body: bytes) -> bool:
    return body.lstrip()[:1] == b"{" and b'"error"' in body


def _view(exchange: Exchange, request: Chat) -> View:
    services = exchange.services
    return replace(request.view, created=int(services.clock.now()), fresh_id=exchange.request_id)


async def _whole(exchange: Exchange, request: Chat, attempt: Attempt, reply: Incoming) -> None:
    body = await reply.read()
    try:
        if _is_stream(reply):
            body = _folded(exchange, request, attempt, body)
        else:
            provider_errors.check_whole(body)
            if attempt.lane == "neutral":
                body = _translate(exchange, request, attempt, body)
    except CutwaterError as error:
        provider_errors.strike_error(error, plan.keys_sent(attempt.outgoing))
        raise
    content_type = "application/json"
    if attempt.lane == "pass" and _is_json(reply):
        content_type = reply.headers["content-type"]
    exchange.outlet.head(200, _headers(attempt, reply, content_type.encode("latin-1", "replace")))
    await exchange.outlet.whole(body)


def _is_json(reply: Incoming) -> bool:
    return "json" in reply.headers.get("content-type", "").lower()


def _is_stream(reply: Incoming) -> bool:
    return reply.headers.get("content-type", "").lower().startswith("text/event-stream")


def _folded(exchange: Exchange, request: Chat, attempt: Attempt, body: bytes) -> bytes:
    """A stream for a client that asked for none."""
    answer = fold_stream(load(attempt.dialect), body)
    return load(exchange.route.dialect).render_reply(answer, _view(exchange, request))


def _translate(exchange: Exchange, request: Chat, attempt: Attempt, body: bytes) -> bytes:
    answer = load(attempt.dialect).parse_reply(body)
    if attempt.tool_as_text is not None:
        step = tool_as_text(attempt.tool_as_text)
        answer = fold(s for delta in unfold(answer) if (s := step(delta)) is not None)
    return load(exchange.route.dialect).render_reply(answer, _view(exchange, request))


async def _streamed(exchange: Exchange, request: Chat, attempt: Attempt, reply: Incoming) -> None:
    outlet = exchange.outlet
    headers = _headers(attempt, reply, b"text/event-stream; charset=utf-8")
    headers += [(b"cache-control", b"no-transform"), (b"x-accel-buffering", b"no")]
    outlet.head(200, headers)
    outlet.beat()
    chunks = reply.chunks()
    # A stream without its content type is told by its first bytes.
    first = b"" if _is_stream(reply) else await anext(chunks, b"")
    if _is_json(reply) or first.lstrip().startswith(b"{"):
        body = b"".join([first, *[chunk async for chunk in chunks]])
        await outlet.write(_unfolded(exchange, request, attempt, body))
        await outlet.end()
        return
    relay = _relay(exchange, request, attempt)
    keys = plan.keys_sent(attempt.outgoing)
    error: CutwaterError | None = None
    try:
        async for chunk in until_silent(first, chunks, relay):
            if said := relay.feed(chunk):
                # The last words may be the provider's error.
                await outlet.write(provider_errors.strike(said, keys) if relay.ended else said)
            if relay.ended:
                break
    except CutwaterError as cut:
        if relay.ended:  # An error event came before anything else: it has its real status.
            provider_errors.strike_error(cut, keys)
            raise
        error = cut
    await _finish(exchange, relay, error, keys)


async def until_silent(
    first: bytes, chunks: AsyncIterator[bytes], relay: Relay
) -> AsyncIterator[bytes]:
    """The chunks; after the last word of an answer only a moment is left for usage and end mark."""
    if first:
        yield first
    async for chunk in chunks:
        yield chunk
        if relay.complete:
            break
    while True:
        # Not around the `yield`: it would strike whoever reads from here while he writes.
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                chunk = await anext(chunks)
        except (TimeoutError, StopAsyncIteration):
            return
        yield chunk


async def _finish(
    exchange: Exchange, relay: Relay, error: CutwaterError | None, keys: Iterable[str]
) -> None:
    try:
        last = relay.finish(error)
    except CutwaterError as cut:
        provider_errors.strike_error(cut, keys)
        raise
    if last:
        await exchange.outlet.write(provider_errors.strike(last, keys))
    if relay.broken_events:
        exchange.services.log.warning("broken_events", count=relay.broken_events)
    await exchange.outlet.end()


def _relay(exchange: Exchange, request: Chat, attempt: Attempt) -> Relay:
    client = load(exchange.route.dialect)
    if attempt.lane == "pass":
        return PassRelay(client, client.StreamWatcher(request.view), exchange.request_id)
    step = None if attempt.tool_as_text is None else tool_as_text(attempt.tool_as_text)
    return NeutralRelay(
        client,
        load(attempt.dialect).StreamParser(),
        client.StreamRenderer(_view(exchange, request)),
        exchange.request_id,
        step=step,
    )


def _unfolded(exchange: Exchange, request: Chat, attempt: Attempt, body: bytes) -> bytes:
    """A whole reply for a client that asked for a stream."""
    provider_errors.check_whole(body)
    answer = load(attempt.dialect).parse_reply(body)
    step = tool_as_text(attempt.tool_as_text) if attempt.tool_as_text else lambda delta: delta
    renderer = load(exchange.route.dialect).StreamRenderer(_view(exchange, request))
    return b"".join(
        renderer.feed(stepped) for delta in unfold(answer) if (stepped := step(delta)) is not None
    )
