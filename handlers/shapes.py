"""Embeddings, and `/auto`, which is whatever route its model is made for."""

import asyncio
from collections.abc import Sequence
from typing import Final

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
from handlers.access import Access, authenticate
from handlers.asgi import Receive
from handlers.caching import kept
from handlers.exchange import Exchange, WholeBody, response_headers
from handlers.failover import Requests, Trial, ranked
from handlers.passthrough import pass_on, send

AT_ONCE: Final = 8
"""Requests under way for one client whose provider takes few texts at a time."""


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
    caller, found = ranked(exchange, access, forward.model or "", {})

    async def ask(trial: Trial) -> None:
        planned = embedding.embedding(
            forward,
            trial.send.candidate,
            timeouts=trial.send.timeouts,
            strict=access.asked.strict,
            own_key=caller.own_key,
        )
        if planned.translation is None:
            await send(exchange, trial, planned.attempts[0])
        else:
            await _translated(exchange, trial, planned.attempts, planned.translation)

    await Requests(exchange, caller, found).run(ask)


async def _translated(
    exchange: Exchange, trial: Trial, attempts: Sequence[Attempt], translation: Translation
) -> None:
    vectors = await _all(trial, attempts, translation)
    if all(one.tokens is not None for one in vectors):
        exchange.usage = Usage(input_tokens=sum(one.tokens or 0 for one in vectors))
    body = translation.render(vectors)
    await trial.answered()
    exchange.outlet.head(200, response_headers(exchange, attempts[0], {}, b"application/json"))
    await exchange.outlet.whole(body)


async def _all(
    trial: Trial, attempts: Sequence[Attempt], translation: Translation
) -> list[Vectors]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(attempt: Attempt) -> Vectors:
        async with gate, trial.sending(attempt) as reply:
            return translation.read(await reply.read(), reply.headers)

    tasks = [asyncio.ensure_future(one(attempt)) for attempt in attempts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
