"""One chat request, start to finish. What is decided is decided in core; this only awaits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from core import call_ids, plan, provider_errors
from core.dialects import load
from core.errors import CutwaterError
from core.neutral import Reply, Step, View, fold, tool_as_text, unfold
from core.plan import Attempt, Chat
from core.ports import Incoming
from core.streams import NeutralRelay, PassRelay, Relay, fold_stream
from handlers.access import Access, authenticate
from handlers.asgi import Receive
from handlers.caching import kept
from handlers.exchange import (
    MOST_REPLY,
    Exchange,
    WholeBody,
    pump,
    read_up_to,
    response_headers,
)
from handlers.failover import Requests, Trial, ranked

if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.continuing import Tape

LAST_WORDS_S: Final = 2.0
"""How long to wait for usage and end mark once every choice has finished."""


async def chat(exchange: Exchange, receive: Receive) -> None:
    access = await authenticate(exchange)
    async with WholeBody(exchange, receive) as body:
        await answer(exchange, access, body)


async def answer(exchange: Exchange, access: Access, body: bytes) -> None:
    """`body` is a chat request in the dialect of the route."""
    request = plan.read_chat(body, exchange.route)

    def ask(access: Access) -> Awaitable[None]:
        return _ask(exchange, access, request)

    await kept(exchange, access, body, request.model, lambda: request.envelope, ask)


async def _ask(exchange: Exchange, access: Access, request: Chat) -> None:
    caller, found = ranked(exchange, access, request.model, request.envelope)

    async def ask(trial: Trial) -> None:
        candidate = trial.send.candidate
        if wanted := plan.media_wanted(request, candidate):
            from handlers import media

            await media.bring(exchange, request, wanted)
        attempt = plan.attempt(
            request,
            candidate,
            headers=exchange.headers,
            timeouts=trial.send.timeouts,
            strict=access.asked.strict,
            own_key=caller.own_key,
        )
        async with trial.sending(attempt) as reply:
            if request.view.stream:
                await _streamed(exchange, request, trial, attempt, reply)
            else:
                await _whole(exchange, request, trial, attempt, reply)

    await Requests(exchange, caller, found, streams=request.view.stream).run(ask)


def _view(exchange: Exchange, request: Chat) -> View:
    services = exchange.services
    return replace(request.view, created=int(services.clock.now()), fresh_id=exchange.request_id)


async def _whole(
    exchange: Exchange, request: Chat, trial: Trial, attempt: Attempt, reply: Incoming
) -> None:
    body = await reply.read()
    try:
        if _is_stream(attempt, reply):
            body = _folded(exchange, request, attempt, body)
        else:
            provider_errors.check_whole(body)
            if attempt.lane == "neutral":
                body = _translate(exchange, request, attempt, body)
            elif exchange.meter is not None:
                exchange.usage = load(attempt.dialect).parse_reply(body).usage
    except CutwaterError as error:
        provider_errors.strike_error(error, exchange.keys)
        raise
    content_type = "application/json"
    if attempt.lane == "pass" and _is_json(reply):
        content_type = reply.headers["content-type"]
    await trial.answered()
    kind = content_type.encode("latin-1", "replace")
    told = response_headers(exchange, attempt, reply.headers, kind)
    exchange.outlet.head(200, told)
    await exchange.outlet.whole(body)


def _is_json(reply: Incoming) -> bool:
    return "json" in reply.headers.get("content-type", "").lower()


def _is_stream(attempt: Attempt, reply: Incoming) -> bool:
    return reply.headers.get("content-type", "").lower().startswith(attempt.wire.media_type)


def _folded(exchange: Exchange, request: Chat, attempt: Attempt, body: bytes) -> bytes:
    """A stream for a client that asked for none."""
    answer = fold_stream(load(attempt.dialect), attempt.wire, body)
    answer = _settled(exchange, attempt, answer)
    return load(exchange.route.dialect).render_reply(answer, _view(exchange, request))


def _translate(exchange: Exchange, request: Chat, attempt: Attempt, body: bytes) -> bytes:
    answer = _settled(exchange, attempt, load(attempt.dialect).parse_reply(body))
    return load(exchange.route.dialect).render_reply(answer, _view(exchange, request))


def _settled(exchange: Exchange, attempt: Attempt, answer: Reply) -> Reply:
    exchange.usage = answer.usage
    if attempt.tool_as_text is not None:
        step = tool_as_text(attempt.tool_as_text)
        answer = fold(said for delta in unfold(answer) for said in step(delta))
    return call_ids.settled(answer, exchange.request_id)


def _step(exchange: Exchange, attempt: Attempt) -> Step:
    settle = call_ids.step(exchange.request_id)
    if attempt.tool_as_text is None:
        return settle
    as_text = tool_as_text(attempt.tool_as_text)
    return lambda delta: [said for told in as_text(delta) for said in settle(told)]


async def _streamed(
    exchange: Exchange, request: Chat, trial: Trial, attempt: Attempt, reply: Incoming
) -> None:
    outlet = exchange.outlet
    wire = load(exchange.route.dialect).WIRE
    content_type = wire.content_type.encode()
    if exchange.route.dialect == "gemini":
        from core.dialects.gemini import array

        if not array.asks_for_events(exchange.query):
            outlet.reshape = outlet.reshape or array.ArrayWriter()
            content_type = array.ArrayWriter.content_type
    lasting = [(b"cache-control", b"no-transform"), (b"x-accel-buffering", b"no")]
    trial.headers = response_headers(exchange, attempt, reply.headers, content_type) + lasting
    outlet.head(200, trial.headers)
    # Before the first token nobody knows whose answer it will be.
    outlet.beat(wire.heartbeat, early=[(b"content-type", content_type), *lasting])
    chunks = reply.chunks()
    # A stream without its content type is told by its first bytes.
    first = b"" if _is_stream(attempt, reply) else await anext(chunks, b"")
    if _is_json(reply) or first.lstrip().startswith(b"{"):
        body = await read_up_to(MOST_REPLY, chunks, first)
        said = _unfolded(exchange, request, attempt, body)
        await trial.answered()
        await outlet.write(said)
        await outlet.end()
        return
    relay, tape = _relay(exchange, request, attempt), None
    if trial.requests.org.midstream == "continue":
        tape = _taped(exchange, request, relay)
    await pump(exchange, until_silent(first, chunks, relay), relay, trial)
    if relay.failed is not None and tape is not None:
        await _go_on(exchange, request, trial, relay.failed, tape)


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


def _relay(exchange: Exchange, request: Chat, attempt: Attempt) -> PassRelay | NeutralRelay:
    client = load(exchange.route.dialect)
    if attempt.lane == "pass":
        watcher = client.StreamWatcher(request.view)
        return PassRelay(client, watcher, exchange.request_id, wire=attempt.wire)
    return NeutralRelay(
        client,
        load(attempt.dialect),
        client.StreamRenderer(_view(exchange, request)),
        exchange.request_id,
        step=_step(exchange, attempt),
        wire=attempt.wire,
    )


def _taped(
    exchange: Exchange, request: Chat, relay: PassRelay | NeutralRelay
) -> "Callable[[], Tape | None]":
    """Keeps what the client is told. Afterwards: what another attempt has to go on from."""
    from core import continuing
    from handlers.continuing import Tape

    dialect = exchange.route.dialect
    if isinstance(relay, NeutralRelay):
        said = relay.said = continuing.Said()
        relay.is_quiet = True
        renderer = relay.renderer
        return lambda: Tape(said, renderer)
    if dialect not in continuing.PASSES:
        return lambda: None
    client = load(dialect)
    shadow = relay.shadow = continuing.Shadow(
        client.StreamParser(), client.StreamRenderer(_view(exchange, request))
    )
    relay.is_quiet = True
    return lambda: Tape(shadow.said, shadow.renderer) if shadow.is_true else None


async def _go_on(
    exchange: Exchange,
    request: Chat,
    trial: Trial,
    error: CutwaterError,
    taped: "Callable[[], Tape | None]",
) -> None:
    from handlers import continuing

    tape = taped()
    if tape is not None:
        run = continuing.Run(
            exchange=exchange,
            request=request,
            requests=trial.requests,
            tape=tape,
            settle=call_ids.step(exchange.request_id),
        )
        if await continuing.is_ended(run):
            return
    outlet = exchange.outlet
    if not outlet.over:
        provider_errors.strike_error(error, exchange.keys)
        await outlet.write(load(exchange.route.dialect).error_event(error, exchange.request_id))
        await outlet.end()


def _unfolded(exchange: Exchange, request: Chat, attempt: Attempt, body: bytes) -> bytes:
    """A whole reply for a client that asked for a stream."""
    provider_errors.check_whole(body)
    answer = _settled(exchange, attempt, load(attempt.dialect).parse_reply(body))
    renderer = load(exchange.route.dialect).StreamRenderer(_view(exchange, request))
    return b"".join(renderer.feed(delta) for delta in unfold(answer))
