"""Embeddings, and `/auto`, which is whatever route its model is made for."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from core import auto, embedding, passthrough, plan, routes
from core import envelope as envelopes
from core.dialects.embedding_shapes import Vectors
from core.embedding import Translation
from core.errors import BadRequestError
from core.neutral import Usage
from core.passthrough import Forward
from core.plan import Attempt
from handlers import proxy
from handlers.access import Access, authenticate, candidates
from handlers.asgi import Receive
from handlers.caching import kept
from handlers.exchange import (
    Exchange,
    Sending,
    WholeBody,
    read_error,
    refuse,
    response_headers,
)
from handlers.passthrough import pass_on, send

AT_ONCE: Final = 8
"""Requests under way for one client whose provider takes few texts at a time."""


class _Refusal(Struct, frozen=True):
    """A reply that has been read to its end."""

    attempt: Attempt
    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<_Refusal {self.status}>"

    async def read(self) -> bytes:
        return self.body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.body


async def choose(exchange: Exchange, receive: Receive) -> None:
    """`/auto`."""
    access = await authenticate(exchange)
    async with WholeBody(exchange, receive) as body:
        route_by_flavor(exchange, access, body)
        await answer(exchange, access, body)


async def answer(exchange: Exchange, access: Access, body: bytes) -> None:
    """A JSON request at the route that the exchange holds."""
    match exchange.route.kind:
        case "chat":
            await proxy.answer(exchange, access, body)
        case "embeddings":
            await _embed(exchange, access, body)
        case _:
            await pass_on(exchange, access, body)


def route_by_flavor(exchange: Exchange, access: Access, body: bytes) -> None:
    envelope = envelopes.split(body)
    name = envelopes.read(envelope, "model", str, "")
    if not name:
        raise BadRequestError("`model` is missing.", param="model")
    plan.check_model(name)
    path = auto.path_of(exchange.services.lookup(name), access.org, envelope)
    route = routes.resolve("POST", path, {})
    exchange.route = replace(route, org=exchange.route.org)


async def embed(exchange: Exchange, receive: Receive) -> None:
    access = await authenticate(exchange)
    async with WholeBody(exchange, receive) as body:
        await _embed(exchange, access, body)


def forward_of(exchange: Exchange, body: bytes) -> Forward:
    model = passthrough.model_of_json(body)
    if not model:
        raise BadRequestError("`model` is missing.", param="model")
    return Forward(
        route=exchange.route,
        query=exchange.query,
        headers=exchange.headers,
        body=body,
        model=model,
    )


async def _embed(exchange: Exchange, access: Access, body: bytes) -> None:
    forward = forward_of(exchange, body)

    async def ask(access: Access) -> None:
        await _ask(exchange, access, forward)

    await kept(exchange, access, body, forward.model, dict, ask)


async def _ask(exchange: Exchange, access: Access, forward: Forward) -> None:
    caller, found = candidates(exchange, access, forward.model or "")
    planned = embedding.embedding(
        forward,
        found[0],
        timeouts=caller.org.timeouts,
        strict=access.asked.strict,
        own_key=caller.own_key,
    )
    translation = planned.translation
    if translation is None:
        await send(exchange, caller, planned.attempts[0])
        return
    replies = await _all(exchange, planned.attempts, translation)
    for reply in replies:
        if isinstance(reply, _Refusal):
            await refuse(exchange, reply.attempt, reply, own_key=caller.own_key)
            return
    vectors = [reply for reply in replies if not isinstance(reply, _Refusal)]
    if all(reply.tokens is not None for reply in vectors):
        exchange.usage = Usage(input_tokens=sum(reply.tokens or 0 for reply in vectors))
    first = planned.attempts[0]
    nothing = _Refusal(first, 200, {}, b"")
    exchange.outlet.head(200, response_headers(exchange, first, nothing, b"application/json"))
    await exchange.outlet.whole(translation.render(vectors))


async def _all(
    exchange: Exchange, attempts: Sequence[Attempt], translation: Translation
) -> list[Vectors | _Refusal]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(attempt: Attempt) -> Vectors | _Refusal:
        async with gate, Sending(exchange, attempt) as reply:
            if not 200 <= reply.status < 300:
                body = await read_error(reply)
                return _Refusal(attempt, reply.status, reply.headers, body)
            return translation.read(await reply.read(), reply.headers)

    tasks = [asyncio.ensure_future(one(attempt)) for attempt in attempts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
