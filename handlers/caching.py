"""Whether the cache has a say in a request; only where it has, handlers/cached.py is loaded."""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Final

from core import caching
from core.caching import Reason, Verdict
from core.envelope import Envelope
from core.errors import BadRequestError
from handlers.access import Access, with_renewal
from handlers.asgi import Headers
from handlers.exchange import Exchange


class Unkept:
    """A witness that says in the head why nothing is kept."""

    def __init__(self, reason: Reason | None) -> None:
        self._told = missed(reason)

    def begin(self, status: int, headers: Headers, body: bytes | None) -> Headers:
        del body
        return headers if status >= 300 else headers + self._told

    def see(self, chunk: bytes) -> None:
        """Nothing is kept."""


def missed(reason: Reason | None) -> Headers:
    told: Headers = [(b"x-bt-cached", b"MISS")]
    return told if reason is None else [*told, (b"x-bt-cache-reason", reason.encode())]


_unkept: Final = cache(Unkept)
"""One for each reason: it remembers nothing of a request."""


def refuse_replay(access: Access) -> None:
    """A test that replays never asks a provider, at no route."""
    if access.asked.use_cache == "replay":
        raise BadRequestError(
            "x-bt-use-cache: replay: answers of this route are not kept in cassettes.",
            param="x-bt-use-cache",
        )


async def kept(
    exchange: Exchange,
    access: Access,
    body: bytes,
    model: str | None,
    fields: Callable[[], Envelope],
    ask_as: Callable[[Access], Awaitable[None]],
) -> None:
    """Answers at the outlet: from the cache, or by `ask_as`. `fields` are the body's."""
    if access.scopes:
        access.permit(exchange.route, model)
        if access.limits_models:
            from core import one_model

            for name in one_model.in_json(body):
                access.permit(exchange.route, name)

    verdict = verdict_for(exchange, access, fields)
    if verdict is None:
        await with_renewal(exchange, access, ask_as)
        return
    if verdict.idle:
        exchange.outlet.witness = _unkept(verdict.reason)
        await with_renewal(exchange, access, ask_as)
        return
    from handlers import cached

    async def ask() -> None:
        await with_renewal(exchange, access, ask_as)

    await cached.through(exchange, access, verdict, body, ask)


def verdict_for(
    exchange: Exchange, access: Access, fields: Callable[[], Envelope]
) -> Verdict | None:
    """What the cache has to do with this request; None: its route knows no cache."""
    asked, route = access.asked, exchange.route
    if not caching.is_kept(route):
        refuse_replay(access)
        return None
    if exchange.services.store is None:
        if asked.use_cache in ("record", "replay"):
            raise BadRequestError(
                f"x-bt-use-cache: {asked.use_cache}: this deployment runs without a cache.",
                param="x-bt-use-cache",
            )
        return caching.off("off")
    certain = asked.use_cache == "auto" and caching.is_certain(route, fields())
    return caching.decide(asked, certain=certain)
