"""How many tokens a request has: asked of the provider that would answer it, never guessed."""

from msgspec.structs import replace

from core import counting, passthrough
from core.dialects import counting_shapes
from core.dialects.counting_shapes import Shape
from core.passthrough import Forward
from core.plan import Attempt
from handlers.access import Access, authenticate, with_renewal
from handlers.asgi import Receive
from handlers.exchange import Exchange, WholeBody, response_headers
from handlers.failover import Requests, Trial
from handlers.passthrough import pass_on, ranked_for, send


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
    caller, found = ranked_for(exchange, access, forward.model)
    # Who takes the request as it came counts it best.
    found.sort(key=lambda one: not counting.passes(forward, one.candidate))

    async def ask(trial: Trial) -> None:
        made = counting.counting(
            forward,
            [trial.send.candidate],
            timeouts=trial.send.timeouts,
            own_key=caller.own_key,
        )
        if made.shape is None:
            await send(exchange, trial, made.attempt)
        else:
            await _translated(exchange, trial, made.attempt, made.shape)

    await Requests(exchange, caller, found).run(ask)


async def _translated(exchange: Exchange, trial: Trial, attempt: Attempt, shape: Shape) -> None:
    async with trial.sending(attempt) as reply:
        tokens = counting_shapes.read(shape, await reply.read())
        await trial.answered()
        headers = response_headers(exchange, attempt, reply.headers, b"application/json")
        exchange.outlet.head(200, headers)
        await exchange.outlet.whole(counting_shapes.render(exchange.route.dialect, tokens))
