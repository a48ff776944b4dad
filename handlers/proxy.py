"""One chat request, start to finish. What is decided is decided in core; this only awaits."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from msgspec.structs import replace

from core import call_ids, plan, provider_errors
from core.dialects import load
from core.errors import CutwaterError
from core.neutral import Reply, Step, View, fold, tool_as_text, unfold
from core.plan import Attempt, Chat
from core.ports import Incoming
from core.streams import NeutralRelay, PassRelay, Relay, fold_stream
from handlers.access import Access, authenticate, candidates
from handlers.asgi import Receive
from handlers.caching import kept
from handlers.exchange import (
    MOST_REPLY,
    Exchange,
    Sending,
    WholeBody,
    pump,
    read_up_to,
    refuse,
    response_headers,
)

LAST_WORDS_S: Final = 2.0
"""How long to wait for usage and end mark once every choice has finished."""


async def chat(exchange: Exchange, receive: Receive) -> None:
    access = await authenticate(exchange)
    async with WholeBody(exchange, receive) as body:
        await answer(exchange, access, body)


async def answer(exchange: Exchange, access: Access, body: bytes) -> None:
    """`body` is a chat request in the dialect of the route."""
    request = plan.read_chat(body, exchange.route)

    async def ask(access: Access) -> None:
        await _ask(exchange, access, request)

    await kept(exchange, access, body, request.model, lambda: request.envelope, ask)


async def _ask(exchange: Exchange, access: Access, request: Chat) -> None:
    caller, found = candidates(exchange, access, request.model)
    if wanted := plan.media_wanted(request, found[0]):
        from handlers import media

        await media.bring(exchange, request, wanted)
    attempt = plan.attempt(
        request,
        found[0],
        headers=exchange.headers,
        timeouts=caller.org.timeouts,
        strict=access.asked.strict,
        own_key=caller.own_key,
    )
    async with Sending(exchange, attempt) as reply:
        if not 200 <= reply.status < 300:
            await refuse(exchange, attempt, reply, own_key=caller.own_key)
        elif request.view.stream:
            await _streamed(exchange, request, attempt, reply)
        else:
            await _whole(exchange, request, attempt, reply)


def _view(exchange: Exchange, request: Chat) -> View:
    services = exchange.services
    return replace(request.view, created=int(services.clock.now()), fresh_id=exchange.request_id)


async def _whole(exchange: Exchange, request: Chat, attempt: Attempt, reply: Incoming) -> None:
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
    told = response_headers(exchange, attempt, reply, content_type.encode("latin-1", "replace"))
    exchange.outlet.head(200, told)
    await exchange.outlet.whole(body)


def _is_json(reply: Incoming) -> bool:
    return "json" in reply.headers.get("content-type", "").lower()


def _is_stream(attempt: Attempt, reply: Incoming) -> bool:
    streamed_type = attempt.wire.content_type.partition(";")[0]
    return reply.headers.get("content-type", "").lower().startswith(streamed_type)


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
        return lambda delta: (settle(delta),)
    as_text = tool_as_text(attempt.tool_as_text)
    return lambda delta: [settle(said) for said in as_text(delta)]


async def _streamed(exchange: Exchange, request: Chat, attempt: Attempt, reply: Incoming) -> None:
    outlet = exchange.outlet
    wire = load(exchange.route.dialect).WIRE
    content_type = wire.content_type.encode()
    if exchange.route.dialect == "gemini":
        from core.dialects.gemini import array

        if not array.asks_for_events(exchange.query):
            outlet.reshape = array.ArrayWriter()
            content_type = array.ArrayWriter.content_type
    headers = response_headers(exchange, attempt, reply, content_type)
    headers += [(b"cache-control", b"no-transform"), (b"x-accel-buffering", b"no")]
    outlet.head(200, headers)
    outlet.beat(wire.heartbeat)
    chunks = reply.chunks()
    # A stream without its content type is told by its first bytes.
    first = b"" if _is_stream(attempt, reply) else await anext(chunks, b"")
    if _is_json(reply) or first.lstrip().startswith(b"{"):
        body = await read_up_to(MOST_REPLY, chunks, first)
        await outlet.write(_unfolded(exchange, request, attempt, body))
        await outlet.end()
        return
    relay = _relay(exchange, request, attempt)
    await pump(exchange, until_silent(first, chunks, relay), relay)


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


def _relay(exchange: Exchange, request: Chat, attempt: Attempt) -> Relay:
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


def _unfolded(exchange: Exchange, request: Chat, attempt: Attempt, body: bytes) -> bytes:
    """A whole reply for a client that asked for a stream."""
    provider_errors.check_whole(body)
    answer = _settled(exchange, attempt, load(attempt.dialect).parse_reply(body))
    renderer = load(exchange.route.dialect).StreamRenderer(_view(exchange, request))
    return b"".join(renderer.feed(delta) for delta in unfold(answer))
