"""One request and its attempts: after each failure, what comes next.

The rows of the failure table are data (failures.RULES); this is the order in
which they meet. Before the first byte for the client anything may be tried
again; what happens after it is core/continuing.py's. Three limits hold together
and none may be forgotten: the request's (attempts, seconds to begin them in,
the deadline), the endpoint's (how often in how short a time), and the provider's
own (Retry-After). A retry never takes the attempt that an endpoint not yet
tried would need.

    tries = Tries(found, org=org, board=board, now=now)
    while True:
        match tries.next(now):
            case Wait(seconds): sleep
            case GiveUp(failure): tell it
            case Send(number, candidate, timeouts): send; then one of
                tries.answered(number, now), tries.failed(number, failure, now, draw)
                and, when it is over in whatever way, tries.ended(number, now)
"""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from msgspec.structs import replace

from core.attempts import Entry, GiveUp, Next, Send, Sent, Wait, Way
from core.balancing import Ranked
from core.errors import (
    CutwaterError,
    RateLimitError,
    UnavailableError,
    UpstreamError,
    UpstreamTimeoutError,
)
from core.failures import RULES, Failure, of_endpoint
from core.health import Board
from core.orgs import Org, Timeouts

BURST: Final = 4
BURST_S: Final = 3.0
MOST: Final = 6
"""Attempts of one request at one endpoint: BURST within BURST_S, MOST in all."""
RETRY_S: Final = 0.1
RETRY_SPREAD_S: Final = 0.4
SPREAD_S: Final = 0.25
"""Those who wait for the same moment do not come back in the same moment."""
BACKOFF_S: Final = 0.5
MOST_BACKOFF_S: Final = 8.0
PATIENCE_S: Final = 2.5
"""Rather than go to another model, wait this long for the one that was asked for."""
LEAST_S: Final = 0.5
"""With less time left an attempt would only be cut off."""


TIME_IS_OVER: Final = (
    "The time that this deployment has for a request is over: ask for less at once."
)


class Tries:
    """`deadline`: when the process that serves the request is stopped.

    `again` is False for what must not be sent twice. `draw` is uniform in [0, 1).
    """

    def __init__(  # noqa: PLR0913  all that bounds a request
        self,
        found: Sequence[Ranked],
        *,
        org: Org,
        board: Board,
        now: float,
        draw: float = 0.0,
        deadline: float = math.inf,
        again: bool = True,
    ) -> None:
        self._ways = [Way(ranked) for ranked in found]
        self._spread_s = draw * SPREAD_S
        self._org = org
        self._board = board
        self._began = now
        self._deadline = min(deadline, now + org.timeouts.total_s)
        self._most = org.retry.max_attempts if again else 1
        self._number = 0
        self._sent: dict[int, Sent] = {}
        self._pending: Way | None = None
        self._final: GiveUp | None = None
        self._failures: list[GiveUp] = []
        self._idle_since = now

    @property
    def attempts(self) -> int:
        return len(self._sent)

    @property
    def under_way(self) -> int:
        return sum(not sent.ended and not sent.judged for sent in self._sent.values())

    @property
    def timeline(self) -> tuple[Entry, ...]:
        return tuple(sent.entry for sent in self._sent.values())

    def next(self, now: float) -> Next:
        """What to do while nothing is under way."""
        untried = self._number == 0 and now + LEAST_S <= self._deadline
        if untried and self._ways and self._board.is_quiet:
            return self._send(self._ways[0], now)  # As it nearly always is.
        if self._final is not None:
            return self._final
        if not self._may_begin(now):
            return self._give_up(now)
        if (way := self._pending) is not None:
            ready_at = self._ready_at(way, now)
            if ready_at <= now:
                self._pending = None
                return self._send(way, now)
            if self._fits(ready_at):
                return Wait(ready_at - now)
            self._pending, way.spent = None, True
        return self._chosen(now) or self._waited(now) or self._give_up(now)

    def _may_begin(self, now: float) -> bool:
        if self.attempts >= self._most or now + LEAST_S > self._deadline:
            return False
        return not self._sent or now <= self._began + self._org.retry.budget_s

    def _fits(self, at: float) -> bool:
        """Whether what is waited for until then may still begin."""
        budget = self._began + self._org.retry.budget_s
        return at <= budget and at + LEAST_S <= self._deadline

    def _open(self) -> list[Way]:
        return [way for way in self._ways if not way.spent]

    def _chosen(self, now: float) -> Next | None:
        """An endpoint that is well, of the first model that has one; then one that is not."""
        doubtful: list[Way] = []
        for _, group in groupby(self._open(), key=lambda way: way.ranked.rank):
            waits: list[float] = []
            for way in group:
                if self._is_doubtful(way, now):
                    doubtful.append(way)
                    continue
                ready_at = self._ready_at(way, now)
                if ready_at <= now:
                    return self._send(way, now)
                if way.times == 0 or self._can_spare():
                    waits.append(ready_at)
            if waits and min(waits) - now <= PATIENCE_S and self._fits(min(waits)):
                return Wait(min(waits) - now)
        for way in doubtful:
            if self._ready_at(way, now) <= now:
                way.last_resort = True
                return self._send(way, now)
        return None

    def _waited(self, now: float) -> Next | None:
        """All that is left has to be waited for."""
        left = [self._ready_at(way, now) for way in self._open()]
        if not left or not self._fits(earliest := min(left)):
            return None
        return Wait(earliest - now)

    def _is_doubtful(self, way: Way, now: float) -> bool:
        # What this request has met itself is judged by its own rules.
        return way.times == 0 and self._board.standing(way.ranked.place, now).doubtful

    def _ready_at(self, way: Way, now: float) -> float:
        told = self._board.standing(way.ranked.place, now).told_until
        at = max(way.not_before, told + self._spread_s if told > now else 0.0)
        if self._number >= BURST and len(times := self._times(way)) >= BURST:
            # A hair more: a difference of two floats may come out a hair too small.
            at = max(at, times[-BURST] + BURST_S + 1e-3)
        return at

    def _times(self, way: Way) -> list[float]:
        """When its endpoint was sent to, by any model."""
        endpoint = way.ranked.place.endpoint
        sent = self._sent.values()
        return [one.at for one in sent if one.way.ranked.place.endpoint == endpoint]

    def _can_spare(self) -> bool:
        """Whether an attempt is left over when each endpoint not yet tried has had one."""
        untried = sum(way.times == 0 for way in self._open())
        return self._most - self.attempts > untried

    def _send(self, way: Way, now: float, *, hedge: bool = False) -> Send:
        self._number += 1
        number = self._number
        ranked = way.ranked
        at = ranked.place
        way.times += 1
        waited_s = 0.0 if hedge else max(now - self._idle_since, 0.0)
        self._sent[number] = Sent(way, now, waited_s, hedge)
        self._board.began(at, now)
        if number >= MOST and len(self._times(way)) >= MOST:
            self._spend(other for other in self._ways if other.ranked.place.endpoint == at.endpoint)
        return Send(
            number=number,
            candidate=ranked.candidate,
            place=at,
            rank=ranked.rank,
            timeouts=self._timeouts(now),
        )

    def _timeouts(self, now: float) -> Timeouts:
        given = self._org.timeouts
        left = self._deadline - now
        if left >= given.total_s:
            return given
        return replace(
            given,
            connect_s=min(given.connect_s, left),
            first_byte_s=None if given.first_byte_s is None else min(given.first_byte_s, left),
            first_token_s=min(given.first_token_s, left),
            idle_s=min(given.idle_s, left),
            total_s=min(given.total_s, left),
        )

    def hedge(self, now: float) -> Send | None:
        """A second attempt beside the one under way: at another endpoint that is well."""
        busy = {sent.way.ranked.place.endpoint for sent in self._sent.values() if not sent.ended}
        ranks = {sent.way.ranked.rank for sent in self._sent.values() if not sent.ended}
        if not self._may_begin(now) or self._final is not None:
            return None
        for way in self._open():
            at = way.ranked.place
            if at.endpoint in busy or way.ranked.rank not in ranks or way.times:
                continue
            if not self._is_doubtful(way, now) and self._ready_at(way, now) <= now:
                return self._send(way, now, hedge=True)
        return None

    def lane(self, number: int, lane: str) -> None:
        self._sent[number].lane = lane

    def unfit(self, number: int, error: CutwaterError) -> None:
        """The request cannot be said to this endpoint: it was not sent, and counts for nothing."""
        sent = self._sent.pop(number)
        way, at = sent.way, sent.way.ranked.place
        self._board.ended(at, sent.at)
        way.times, way.spent = way.times - 1, True
        told = GiveUp(Failure(kind="unfit", error=error))
        # The first is told: it is of the endpoint that would have been asked.
        self._failures.insert(0, told)
        if not self._sent and not any(w.ranked.rank == way.ranked.rank for w in self._open()):
            # A fault of the request is no reason to ask another model.
            self._final = self._failures[-1]

    def answered(self, number: int, now: float, *, streamed: bool = True) -> None:
        """The first token of a stream came, or a whole answer that is whole."""
        sent = self._sent[number]
        sent.judged = True
        sent.reason, sent.status = "answered", 200
        sent.took_s = now - sent.at
        at = sent.way.ranked.place
        self._board.answered(at, began_at=sent.at, now=now, streamed=streamed)

    def cut(self, number: int, failure: Failure, now: float) -> None:
        """Its answer broke off after its first token."""
        sent = self._sent[number]
        sent.reason = "cut"
        # Going on is a matter of its own: at another endpoint at once, at this one in a moment.
        self._began, sent.way.not_before = now, now + RETRY_S
        self._board.failed(
            sent.way.ranked.place, replace(failure, kind="cut"), began_at=sent.at, now=now
        )
        self.ended(number, now)

    def failed(self, number: int, failure: Failure, now: float, draw: float) -> None:
        """Before the first token. `draw` is uniform in [0, 1)."""
        sent = self._sent[number]
        way, at = sent.way, sent.way.ranked.place
        sent.judged = True
        sent.reason, sent.status = failure.kind, failure.status
        sent.took_s = now - sent.at
        self._board.failed(at, failure, began_at=sent.at, now=now)
        candidate = way.ranked.candidate
        label, known = candidate.endpoint.label, way.ranked.known
        told = GiveUp(of_endpoint(failure, label, candidate.model, known=known), number)
        self._failures.append(told)
        self.ended(number, now)
        rule = RULES[failure.kind]
        if failure.kind == "refused":
            self._final = told
        elif failure.kind == "rate_limited":
            way.not_before = now + max(_backoff(way, failure.retry_after_s, draw), RETRY_S)
            way.backoffs += 1
            way.spent = way.spent or way.last_resort
        elif way.again < rule.again and not way.spent and not way.last_resort:
            way.again += 1
            way.not_before = now + max(
                RETRY_S + RETRY_SPREAD_S * draw, failure.retry_after_s or 0.0
            )
            self._retry(way, failure)
        else:
            self._spend(self._also(way, rule.spends))

    def _retry(self, way: Way, failure: Failure) -> None:
        """At the same endpoint, unless the attempt is needed elsewhere, or the wait is too long."""
        if not self._can_spare():
            way.spent = True
        elif (failure.retry_after_s or 0.0) <= PATIENCE_S:
            self._pending = way

    def _also(self, way: Way, spends: str) -> Iterable[Way]:
        match spends:
            case "endpoint":
                endpoint = way.ranked.place.endpoint
                return [other for other in self._ways if other.ranked.place.endpoint == endpoint]
            case "model":
                rank = way.ranked.rank
                return [other for other in self._ways if other.ranked.rank == rank]
            case _:
                return (way,)

    @staticmethod
    def _spend(ways: Iterable[Way]) -> None:
        for way in ways:
            way.spent = True

    def ended(self, number: int, now: float) -> None:
        """The call is over: read to its end, cut, or called off. May be said twice."""
        sent = self._sent.get(number)
        if sent is None or sent.ended:
            return
        sent.ended = True
        if not sent.judged:
            sent.reason, sent.took_s = "called_off", now - sent.at
        self._idle_since = now
        self._board.ended(sent.way.ranked.place, sent.at)

    def _give_up(self, now: float) -> GiveUp:
        if not self._failures:
            return GiveUp(self._nothing_sent(now))
        # Of the most telling kind the last one, which is the nearest to now.
        told = max(reversed(self._failures), key=lambda known: RULES[known.failure.kind].tells)
        if told.failure.kind == "rate_limited" and (wait := self._until_told(now)) is not None:
            headers = {**told.failure.error.headers, "retry-after": _whole(wait)}
            told.failure.error.headers = headers
        return told

    def _nothing_sent(self, now: float) -> Failure:
        if now + LEAST_S > self._deadline:
            return Failure(kind="silent", error=UpstreamTimeoutError(TIME_IS_OVER))
        wait = self._until_told(now)
        if wait is None:
            return Failure(kind="unreachable", error=UpstreamError("No endpoint is left to try."))
        headers = {"retry-after": _whole(wait)}
        if wait <= self._org.retry.budget_s:
            said = f"There is no time to wait {_whole(wait)} seconds for an endpoint."
            return Failure(kind="unreachable", error=UnavailableError(said, headers=headers))
        return Failure(
            kind="rate_limited",
            error=RateLimitError(
                "Every endpoint of this model has reached its rate limit: "
                f"try again in {_whole(wait)} seconds.",
                headers=headers,
            ),
        )

    def _until_told(self, now: float) -> float | None:
        """Until the first endpoint may be asked again, as its provider said."""
        told = [self._board.standing(way.ranked.place, now).told_until for way in self._ways]
        return min((at - now for at in told if at > now), default=None)


def _whole(seconds: float) -> str:
    return str(max(math.ceil(seconds), 1))


def _backoff(way: Way, asked_s: float | None, draw: float) -> float:
    """What the provider asks for and a little more, so that not all come back at once."""
    if asked_s is not None and asked_s > 0:
        return asked_s + draw * min(asked_s * 0.1, 1.0)
    most = min(BACKOFF_S * 2.0**way.backoffs, MOST_BACKOFF_S)
    return most * (0.5 + 0.5 * draw)
