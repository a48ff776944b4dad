"""POST /explain: a request's plan, for every endpoint that could answer it. Nothing is sent."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from core import cache_keys, counting, embedding, explain, passthrough, plan, routes
from core import envelope as envelopes
from core.credentials import Caller
from core.envelope import Envelope
from core.errors import BadRequestError, CutwaterError
from core.passthrough import Forward
from core.plan import Attempt
from core.routing import Candidate
from handlers.access import Access, authenticate, hide_key
from handlers.asgi import Receive
from handlers.caching import verdict_for
from handlers.counting import forward_of as counting_forward_of
from handlers.exchange import Exchange, WholeBody
from handlers.media import stand_in
from handlers.passthrough import ranked_for
from handlers.shapes import forward_of, route_by_flavor

Planner: TypeAlias = Callable[[Candidate, Caller], Sequence[Attempt]]


async def answer(exchange: Exchange, receive: Receive) -> None:
    access = await authenticate(exchange)
    async with WholeBody(exchange, receive) as body:
        said = _explained(exchange, access, body)
        exchange.outlet.head(200, [(b"content-type", b"application/json")])
        await exchange.outlet.whole(said)


def _explained(exchange: Exchange, access: Access, body: bytes) -> bytes:
    readable = cache_keys.canonical(body) is not None
    fields = envelopes.split(body)
    said = envelopes.read(fields, "route", str, "")
    if not said:
        raise BadRequestError('`route` is missing, such as "/chat/completions".', param="route")
    asked = {name: raw for name, raw in fields.items() if name != "route"}
    body = envelopes.join(asked) if asked else b""
    _enter(exchange, access, said, body)
    name, planned = _planner(exchange, asked, body, strict=access.asked.strict)
    caller, found = ranked_for(exchange, access, name)
    model = exchange.services.lookup(name or "")
    told = []
    for candidate in (one.candidate for one in found):
        try:
            attempts = planned(candidate, caller)
            told.append(explain.candidate(asked, candidate, attempts, model))
        except CutwaterError as error:
            told.append(explain.refused(candidate, error))
    verdict = verdict_for(exchange, access, lambda: asked)
    cached = explain.cache(verdict, readable=readable)
    return explain.explanation(said, exchange.route, model if name else None, told, cached)


def _enter(exchange: Exchange, access: Access, said: str, body: bytes) -> None:
    """From here on the exchange is one of the route that is to be explained."""
    method, _, path = said.rpartition(" ")
    path, _, exchange.query = path.partition("?")
    if access.asked.key is not None and not access.own_key:
        hide_key(exchange, access.asked.key)
    route = routes.resolve(method or "POST", path, exchange.headers)
    if route.kind not in ("chat", "auto", "count", "embeddings", "forward"):
        raise BadRequestError("`route` is no route that reaches a provider.", param="route")
    if route.org is not None and route.org != exchange.route.org:
        raise BadRequestError(
            "`route` names an organisation: name it in the path of /explain.", param="route"
        )
    exchange.route = replace(route, org=exchange.route.org)
    if route.kind == "auto":
        route_by_flavor(exchange, access, body)


def _planner(
    exchange: Exchange, asked: Envelope, body: bytes, *, strict: bool
) -> tuple[str | None, Planner]:
    """The model that is asked for, and what makes the attempts for a candidate."""
    route, headers = exchange.route, exchange.headers
    if route.kind == "chat":
        request = plan.read_chat(body, route)

        def planned(candidate: Candidate, caller: Caller) -> Sequence[Attempt]:
            stand_in(request, candidate)
            return [
                plan.attempt(
                    request,
                    candidate,
                    headers=headers,
                    timeouts=caller.org.timeouts,
                    strict=strict,
                    own_key=caller.own_key,
                )
            ]

        return request.model, planned
    if route.kind == "embeddings":
        texts = forward_of(exchange, body)
        return (
            texts.model,
            lambda candidate, caller: (
                embedding.embedding(
                    texts,
                    candidate,
                    timeouts=caller.org.timeouts,
                    strict=strict,
                    own_key=caller.own_key,
                ).attempts
            ),
        )
    if route.kind == "count":
        counted = counting_forward_of(exchange, body)
        return (
            counted.model,
            lambda candidate, caller: [
                counting.counting(
                    counted, [candidate], timeouts=caller.org.timeouts, own_key=caller.own_key
                ).attempt
            ],
        )
    name = route.model or envelopes.read(asked, "model", str, None)
    name = name or passthrough.model_of_query(exchange.query)
    forward = Forward(route=route, query=exchange.query, headers=headers, body=body, model=name)
    return name, lambda candidate, caller: [
        passthrough.attempt(
            forward, candidate, timeouts=caller.org.timeouts, own_key=caller.own_key
        )
    ]
