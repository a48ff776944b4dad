"""Whether a second attempt starts while the first one is silent, and when.

It starts after the first endpoint's own 95th percentile of the time to the first
token: by what the endpoint usually does, so that a slow model is not asked
twice for being slow. A bucket of tokens, filled by every request, bounds how
many are sent twice: in an outage all would be.
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from core.attempts import Send
from core.failover import Tries
from core.health import Board
from core.orgs import Hedge

LEAST_S: Final = 0.2
"""Sooner a second attempt costs more than it can win."""
MOST_SAVED: Final = 10.0
"""Hedges that a quiet time may save up."""
MOST_BUDGETS: Final = 4096


class Budget(Struct, frozen=True):
    tokens: float = 1.0


def after_request(budget: Budget, share: float) -> Budget:
    return replace(budget, tokens=min(budget.tokens + share, MOST_SAVED))


def may_hedge(budget: Budget) -> bool:
    return budget.tokens >= 1


def after_hedge(budget: Budget) -> Budget:
    return replace(budget, tokens=budget.tokens - 1)


class Hedges:
    """The budgets of a process, one for each organisation."""

    def __init__(self) -> None:
        self._budgets: dict[str, Budget] = {}

    def after_s(
        self, org: str, setting: Hedge | None, first: Send, board: Board, now: float
    ) -> float | None:
        """Once a request, as it is sent: how long to wait for its first token; None: for ever."""
        if setting is None:
            return None
        if org not in self._budgets and len(self._budgets) >= MOST_BUDGETS:
            self._budgets.clear()
        budget = after_request(self._budgets.get(org, Budget()), setting.share)
        self._budgets[org] = budget
        usual = board.slow_s(first.place, now)
        if usual is None or not may_hedge(budget):
            return None
        return max(usual, LEAST_S)

    def second(self, org: str, tries: Tries, now: float) -> Send | None:
        """The time is up: where to send as well; None: nowhere, or too many were."""
        budget = self._budgets.get(org, Budget())
        if not may_hedge(budget) or (send := tries.hedge(now)) is None:
            return None
        self._budgets[org] = after_hedge(budget)
        return send
