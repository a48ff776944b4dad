"""How many tokens a request has: asked of the provider that would answer it, never guessed."""

from msgspec.structs import replace

from core import counting, passthrough
from core.counting import Counting
from core.credentials import Caller
from core.dialects import counting_shapes
from core.passthrough import Forward
from handlers.access import Access, authenticate, with_renewal
from handlers.asgi import Receive
from handlers.exchange import (
    Exchange,
    Sending,
    WholeBody,
    refuse,
    response_headers,
)
from handlers.passthrough import candidates_for, pass_on, send


async def count(exchange: Exchange, receive: Receive) -> None:
    access = await authenticate(exchange)
    async with WholeBody(exchange, receive) as body:
        await _count(exchange, access, body)


def forward_of(exchange: Exchange, body: bytes) -> Forward:
    """A model that is not named is the provider's own business."""
    return Forward(
        route=exchange.route,
        query=exchange.query,
        headers=exchange.headers,
        body=body,
        model=exchange.route.model or passthrough.model_of_json(body),
    )


async def _count(exchange: Exchange, access: Access, body: bytes) -> None:
    forward = forward_of(exchange, body)
    if forward.model is None:
        exchange.route = counting.forwarded(forward).route
        exchange.route = replace(exchange.route, kind="forward")
        await pass_on(exchange, access, body)
        return

    async def ask(access: Access) -> None:
        await _ask(exchange, access, forward)

    await with_renewal(exchange, access, ask)


async def _ask(exchange: Exchange, access: Access, forward: Forward) -> None:
    caller, found = candidates_for(exchange, access, forward.model)
    made = counting.counting(forward, found, timeouts=caller.org.timeouts, own_key=caller.own_key)
    if made.shape is None:
        await send(exchange, caller, made.attempt)
    else:
        await _translated(exchange, caller, made)


async def _translated(exchange: Exchange, caller: Caller, made: Counting) -> None:
    attempt = made.attempt
    async with Sending(exchange, attempt) as reply:
        if made.shape is None or not 200 <= reply.status < 300:
            await refuse(exchange, attempt, reply, own_key=caller.own_key)
            return
        tokens = counting_shapes.read(made.shape, await reply.read())
        headers = response_headers(exchange, attempt, reply, b"application/json")
        exchange.outlet.head(200, headers)
        await exchange.outlet.whole(counting_shapes.render(exchange.route.dialect, tokens))
