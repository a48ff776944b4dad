"""What the attempts of one request are made of: core/failover.py moves them.

`Send`, `Wait` and `GiveUp` are for whoever acts; `Way` and `Sent` are what is
remembered of the request, and an `Entry` is what the log gets to see of it.
"""

from typing import TypeAlias

from msgspec import Struct

from core.balancing import Ranked
from core.failures import Failure
from core.health import Place
from core.orgs import Timeouts
from core.routing import Candidate


class Send(Struct, frozen=True, kw_only=True):
    number: int
    """Of the attempt, from 1."""
    candidate: Candidate
    place: Place
    rank: int
    timeouts: Timeouts
    """The organisation's, cut to the time that is left."""


class Wait(Struct, frozen=True):
    seconds: float


class GiveUp(Struct, frozen=True):
    failure: Failure
    number: int | None = None
    """The attempt whose reply `failure.said` is; None: nothing was sent."""


Next: TypeAlias = Send | Wait | GiveUp


class Entry(Struct, kw_only=True):
    """A line of the timeline, for the log. Nothing in it is secret."""

    endpoint: str
    type: str
    model: str
    lane: str = ""
    reason: str = "pending"
    status: int | None = None
    waited_s: float = 0.0
    """Since the attempt before it was over."""
    took_s: float = 0.0
    """Until its first token, or until it failed."""
    hedge: bool = False


class Way(Struct):
    """A candidate and what this request has met there."""

    ranked: Ranked
    times: int = 0
    not_before: float = 0.0
    backoffs: int = 0
    again: int = 0
    last_resort: bool = False
    """It was sent to although it is thought to fail: once is enough."""
    spent: bool = False


class Sent(Struct):
    """An attempt, under way or over."""

    way: Way
    at: float
    waited_s: float
    hedge: bool
    judged: bool = False
    ended: bool = False
    lane: str = ""
    reason: str = "pending"
    status: int | None = None
    took_s: float = 0.0

    @property
    def entry(self) -> Entry:
        """Made where it is asked for: of nearly all requests nobody wants it."""
        candidate = self.way.ranked.candidate
        return Entry(
            endpoint=candidate.endpoint.label,
            type=candidate.endpoint.type,
            model=candidate.model,
            lane=self.lane,
            reason=self.reason,
            status=self.status,
            waited_s=self.waited_s,
            took_s=self.took_s,
            hedge=self.hedge,
        )
