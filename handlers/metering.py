"""What a temporary credential has used up: requests, and dollars.

Counted in the table, so that it holds over all processes. A request that begins
while there is something left is answered to its end, so the last one may go
over; requests at the same time may each be the last one.
"""

import asyncio
import math
import sys
from collections.abc import Awaitable
from typing import Final, TypeVar

from core import credential_rows, grants, listing, usage
from core.errors import PermissionDeniedError, UnavailableError
from core.neutral import Usage
from core.plan import Attempt
from core.ports import Store, StoreError
from core.routing import Costs
from core.scopes import RouteName, route_name
from core.temporary import Credential
from handlers.asgi import ClientGoneError
from handlers.exchange import Exchange

T = TypeVar("T")

LIMIT_S: Final = 3.0
_MICRO: Final = 1_000_000
_MOST_SEEN: Final = 32 * 1024 * 1024
_PRICED: Final[frozenset[RouteName | None]] = frozenset({"chat", "completions", "embeddings"})
"""Where tokens are all that is paid for."""


async def count(exchange: Exchange, credential: Credential) -> None:
    """403 where this request is one too many, 503 where that cannot be said."""
    at = credential_rows.counter_row_key(credential.id)
    made = await _answered(exchange, _store(exchange).add(at, 1, credential.expires_at))
    grants.check_count(credential.grant, made)


class Meter:
    """One request with a credential that may spend so much only."""

    def __init__(self, exchange: Exchange, credential: Credential) -> None:
        self._exchange = exchange
        self._credential = credential
        self._attempt: Attempt | None = None
        self._costs = Costs()
        self._seen = bytearray()
        self._sent_at = 0.0
        self.is_cut = False
        """The provider broke off in the middle."""

    def see(self, chunk: bytes) -> None:
        """A piece of the answer, in whatever format."""
        if len(self._seen) <= _MOST_SEEN:
            self._seen += chunk

    async def check(self, attempt: Attempt) -> None:
        """Before anything is sent. 403 where nothing is left, or nobody knows what it costs."""
        route = route_name(self._exchange.route)
        costs = listing.costs_of(attempt.candidate, self._exchange.services.lookup)
        if route not in _PRICED or costs.input is None:
            raise PermissionDeniedError(
                "This temporary credential is limited in dollars, and what this request would "
                "cost is not known: use a model and a route with a price per token."
            )
        if self._attempt is None:
            await self.left_usd()
        self._attempt, self._costs = attempt, costs
        self._sent_at = self._exchange.services.clock.now()

    async def left_usd(self) -> float:
        """403 where nothing is."""
        limit = self._credential.grant.max_cost_usd or 0.0
        left = limit - await self._spent()
        if left <= 0:
            raise _used_up(limit)
        return left

    async def spend(self, usd: float) -> None:
        """A failure here never fails what has been answered."""
        exchange = self._exchange
        at = credential_rows.spent_row_key(self._credential.id)
        micro = math.ceil(usd * _MICRO)
        try:
            async with asyncio.timeout(LIMIT_S):
                await _store(exchange).add(at, micro, self._credential.expires_at)
        except (StoreError, TimeoutError) as error:
            exchange.services.log.warning(
                "cost_not_counted", request_id=exchange.request_id, error=type(error).__name__
            )

    async def settle(self) -> None:
        """After the last byte, or while the error that ends the request goes up from there.

        A failure here never fails the request: it has been answered.
        """
        exchange, attempt = self._exchange, self._attempt
        outlet = exchange.outlet
        left = isinstance(sys.exception(), asyncio.CancelledError | ClientGoneError)
        answered = outlet.begun and outlet.status < 300
        if attempt is None or not (answered or left):
            return
        counted = exchange.usage or usage.of_body(bytes(self._seen))
        if counted is None or (self.is_cut and not exchange.is_joined) or not outlet.over:
            counted = usage.at_least(counted, self._guessed(attempt))
        await self.spend(usage.cost_usd(counted, self._costs) or 0.0)

    def _guessed(self, attempt: Attempt) -> Usage:
        """Of an answer that nobody counted to its end: who leaves early has used it as well."""
        seconds = self._exchange.services.clock.now() - self._sent_at
        said = usage.said_bytes(bytes(self._seen)) if self._seen else self._exchange.outlet.size
        return usage.estimated(len(attempt.outgoing.body), said, seconds)

    async def _spent(self) -> float:
        at = credential_rows.spent_row_key(self._credential.id)
        rows = await _answered(self._exchange, _store(self._exchange).get([at]))
        row = rows.get(at)
        return 0.0 if row is None else int(row.data) / _MICRO


def _used_up(limit: float) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"This temporary credential was for ${limit:g}, which are used up: ask for a new one "
        "where you got it."
    )


def _store(exchange: Exchange) -> Store:
    store = exchange.services.directory.store
    if store is None:
        raise UnavailableError("This deployment has no table: nothing can be counted.")
    return store


async def _answered(exchange: Exchange, asked: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(LIMIT_S):
            return await asked
    except (StoreError, TimeoutError) as error:
        exchange.services.log.warning("limit_not_checked", error=type(error).__name__)
        raise UnavailableError(
            "The limits of this credential cannot be checked at the moment: try again.",
            headers={"retry-after": "1"},
        ) from error
