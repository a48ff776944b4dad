"""Routes whose bytes go through untouched, both ways, as they arrive.

A body that is cut on its way back has no error event that its reader would
know, and must not look whole: then the connection is broken off.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from msgspec.structs import replace

from core import envelope as envelopes
from core import passthrough
from core.balancing import Ranked
from core.credentials import Caller
from core.dialects import load
from core.errors import CutwaterError, TooLargeError
from core.neutral import View
from core.passthrough import Forward
from core.plan import Attempt
from core.ports import Incoming
from core.streams import PassRelay
from handlers.access import Access, authenticate, caller_for, with_renewal
from handlers.asgi import CutShortError, Inlet, Receive, Watch
from handlers.caching import kept, refuse_replay
from handlers.exchange import Exchange, WholeBody, pump, response_headers
from handlers.failover import Requests, Trial, permitted, ranked, unranked

MOST_UPLOAD: Final = 1024 * 1024 * 1024
MOST_CHECKED: Final = 50 * 1024 * 1024
_EVENTS: Final = "text/event-stream"


async def forward(exchange: Exchange, receive: Receive) -> None:
    access = await authenticate(exchange)
    if passthrough.is_json(exchange.headers):
        async with WholeBody(exchange, receive) as body:
            await pass_on(exchange, access, body)
    else:
        await _upload(exchange, access, receive)


async def pass_on(exchange: Exchange, access: Access, body: bytes) -> None:
    """A body of JSON, which may name a model."""
    model = passthrough.model_of_json(body)

    async def ask(access: Access) -> None:
        await _ask(exchange, access, body, model)

    await kept(exchange, access, body, model, lambda: envelopes.split(body), ask)


async def _upload(exchange: Exchange, access: Access, receive: Receive) -> None:
    refuse_replay(access)
    inlet = Inlet(receive, exchange.headers, most=MOST_UPLOAD)
    form = exchange.headers.get("content-type", "").startswith("multipart/form-data")
    field = passthrough.ModelField()
    await inlet.more()
    while form and not field.look(inlet.head) and not field.over:
        if inlet.over or len(inlet.head) >= passthrough.HEAD:
            break
        await inlet.more()
    model = field.model
    if access.limits_models:
        await _check_all(inlet)
    body = bytes(inlet.head) if inlet.over else b""
    watching = _Watching(exchange, receive)
    if inlet.over:
        watching.start()

    async def ask(access: Access) -> None:
        pieces = None if inlet.over else watching.after(inlet.pieces())
        await _ask(exchange, access, body, model, pieces)

    try:
        await with_renewal(exchange, access, ask)
    except CutwaterError as error:
        if inlet.failure is not None:  # Told by our own body's end, it looks like the provider's.
            raise inlet.failure from error
        raise
    finally:
        watching.stop()


async def _check_all(inlet: Inlet) -> None:
    """Of a caller whose models are limited nothing is sent on before all of it is seen."""
    from core import one_model

    while not inlet.over:
        if len(inlet.head) > MOST_CHECKED:
            raise TooLargeError(
                f"The key of this request is limited to certain models: its uploads have at most "
                f"{MOST_CHECKED} bytes."
            )
        await inlet.more()
    one_model.check_form(bytes(inlet.head))


class _Watching:
    """Looks out for a client that leaves, once nothing more is to be read from it."""

    def __init__(self, exchange: Exchange, receive: Receive) -> None:
        self._exchange = exchange
        self._receive = receive
        self._worker = asyncio.current_task()
        self._watch: Watch | None = None

    def start(self) -> None:
        self._watch = Watch(self._receive, self._exchange.outlet, self._worker)

    async def after(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            yield piece
        self.start()

    def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()


def _streaming(attempt: Attempt, exchange: Exchange, pieces: AsyncIterator[bytes]) -> Attempt:
    outgoing = attempt.outgoing
    headers = {**outgoing.headers}
    if length := exchange.headers.get("content-length"):
        headers["content-length"] = length
    return replace(attempt, outgoing=replace(outgoing, headers=headers, upload=pieces))


async def _ask(
    exchange: Exchange,
    access: Access,
    body: bytes,
    model: str | None,
    pieces: AsyncIterator[bytes] | None = None,
) -> None:
    """`pieces`: the body as it arrives, which cannot be sent a second time."""
    route = exchange.route
    asked = passthrough.model_of_query(exchange.query)
    for name in (model, asked):
        if name is not None:
            access.permit(route, name)
    model = route.model or model or asked
    caller, found = ranked_for(exchange, access, model)
    request = Forward(
        route=route, query=exchange.query, headers=exchange.headers, body=body, model=model
    )

    async def ask(trial: Trial) -> None:
        attempt = passthrough.attempt(
            request, trial.send.candidate, timeouts=trial.send.timeouts, own_key=caller.own_key
        )
        if pieces is not None:
            attempt = _streaming(attempt, exchange, pieces)
        await send(exchange, trial, attempt)

    again = pieces is None and not passthrough.does_something(route)
    await Requests(exchange, caller, found, again=again).run(ask)


def ranked_for(
    exchange: Exchange, access: Access, model: str | None
) -> tuple[Caller, list[Ranked]]:
    """What can answer at the exchange's route, whose bytes go through or not."""
    dialect = exchange.route.dialect
    if model is not None:
        caller, found = ranked(exchange, access, model, {})
        if exchange.route.kind != "forward":
            return caller, found
        fit = passthrough.fitting([one.candidate for one in found], dialect)
        return caller, [one for one in found if one.candidate in fit]
    access.permit(exchange.route, None)
    caller = caller_for(exchange, access, passthrough.anybody(dialect))
    providers = exchange.services.providers
    name = access.asked.endpoint
    able = passthrough.without_model(caller.org, providers, dialect, endpoint_name=name)
    # What belongs to an account is at one endpoint, and nowhere else.
    first = permitted(access, unranked(caller, able))[:1]
    return caller, first


async def send(exchange: Exchange, trial: Trial, attempt: Attempt) -> None:
    async with trial.sending(attempt) as reply:
        if exchange.route.path == "/completions" and _is_events(reply):
            await _watched(exchange, trial, attempt, reply)
        else:
            await _relay(exchange, trial, attempt, reply)


def _is_events(reply: Incoming) -> bool:
    return reply.headers.get("content-type", "").startswith(_EVENTS)


async def _watched(exchange: Exchange, trial: Trial, attempt: Attempt, reply: Incoming) -> None:
    """Completions stream like chat: choices that finish, and an end mark."""
    client = load("openai_chat")
    watcher = client.StreamWatcher(View(stream=True, usage_in_stream=True))
    kind = client.WIRE.content_type.encode()
    headers = response_headers(exchange, attempt, reply.headers, kind)
    headers += [(b"cache-control", b"no-transform"), (b"x-accel-buffering", b"no")]
    exchange.outlet.head(reply.status, headers)
    relay = PassRelay(client, watcher, exchange.request_id)
    await pump(exchange, reply.chunks(), relay, trial)


async def _relay(exchange: Exchange, trial: Trial, attempt: Attempt, reply: Incoming) -> None:
    outlet = exchange.outlet
    content_type = reply.headers.get("content-type", "").encode("latin-1")
    headers = response_headers(exchange, attempt, reply.headers, content_type or None)
    if outlet.gathers and not _is_events(reply):
        body = await reply.read()
        if exchange.meter is not None:
            exchange.meter.see(body)
        await trial.answered()
        outlet.head(reply.status, headers)
        await outlet.whole(body)
        return
    if "content-length" in reply.headers and "content-encoding" not in reply.headers:
        headers.append((b"content-length", reply.headers["content-length"].encode()))
    if _is_events(reply):
        headers += [(b"cache-control", b"no-transform"), (b"x-accel-buffering", b"no")]
    outlet.head(reply.status, headers)
    seen = None if exchange.meter is None else exchange.meter.see
    try:
        async for chunk in reply.chunks():
            await trial.answered()
            if seen is not None:
                seen(chunk)
            await outlet.write(chunk)
    except CutwaterError as error:
        if outlet.begun:
            trial.cut(error)
            raise CutShortError from error
        raise
    await trial.answered()
    await outlet.end()
