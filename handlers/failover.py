"""The attempts of one request, until one is answered: core/failover.py decides, this awaits.

Nothing of an attempt has left for the client before its first token, so that
until then another endpoint may take over unseen. Who asks says when that is:
`await trial.answered()` comes before the first byte that is told.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from core import balancing, failures, health, plan, provider_errors, scopes
from core.attempts import GiveUp, Send, Wait
from core.balancing import Pool, Ranked
from core.credentials import Caller
from core.envelope import Envelope
from core.errors import CutwaterError, PermissionDeniedError
from core.failover import Tries
from core.failures import Failure
from core.plan import Attempt
from core.ports import Incoming, StoreError
from core.routing import Candidate
from handlers.access import Access, caller_for
from handlers.exchange import Exchange, Sending, read_error, told_by_provider

if TYPE_CHECKING:
    from handlers.asgi import Headers
    from handlers.racing import Gate

SHARE_S: Final = 2.0
"""How long the news of an endpoint's health may take to be told to the others."""


class RefusedError(Exception):
    """A reply whose status is not 2xx."""

    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


class Trial:
    """One attempt under way."""

    def __init__(self, requests: "Requests", send: Send) -> None:
        self.requests = requests
        self.send = send
        self.attempt: Attempt | None = None
        self.head = False
        """A reply with status 2xx has begun."""
        self.is_answered = False
        self.gate: Gate | None = None
        """Where another attempt is under way beside it."""
        self.headers: Headers | None = None
        """Of the response, if this one is it."""

    def sending(self, attempt: Attempt) -> "_Checked":
        """The provider's reply, whose status is 2xx."""
        self.attempt = attempt
        self.requests.tries.lane(self.send.number, attempt.lane)
        return _Checked(self, attempt)

    async def answered(self, *, streamed: bool = False) -> None:
        """Its first token is here, or all of its answer: from now on it is the client's."""
        if not self.is_answered:
            if self.gate is not None:
                await self.gate.passed(self)
                if self.headers is not None:
                    self.requests.exchange.outlet.head(200, self.headers)
            self.is_answered = True
            requests = self.requests
            requests.tries.answered(self.send.number, requests.now(), streamed=streamed)

    def cut(self, error: CutwaterError) -> None:
        """It broke off after its first token."""
        requests = self.requests
        if (meter := requests.exchange.meter) is not None:
            meter.is_cut = True
        failure = failures.of_error(error, head=True, own_key=requests.own_key)
        requests.tries.cut(self.send.number, failure, requests.now())

    async def refusal(self, reply: Incoming) -> RefusedError:
        requests = self.requests
        exchange = requests.exchange
        body = provider_errors.strike(await read_error(reply), exchange.keys)
        return RefusedError(
            failures.of_reply(
                reply.status, reply.headers, body, now=requests.now(), own_key=requests.own_key
            )
        )


class _Checked(Sending):
    def __init__(self, trial: Trial, attempt: Attempt) -> None:
        super().__init__(trial.requests.exchange, attempt)
        self._trial = trial

    async def __aenter__(self) -> Incoming:
        reply = await super().__aenter__()
        if 200 <= reply.status < 300:
            self._trial.head = True
            return reply
        try:
            raise await self._trial.refusal(reply)
        finally:
            await self.__aexit__(None, None, None)


Ask: TypeAlias = Callable[[Trial], Awaitable[None]]
"""Asks the endpoint of a trial, and tells the client what it answers."""


class Requests:
    """What one client's request becomes: one request to a provider after the other."""

    def __init__(
        self,
        exchange: Exchange,
        caller: Caller,
        found: Sequence[Ranked],
        *,
        again: bool = True,
        streams: bool = False,
    ) -> None:
        """`again`: it may be asked more than once; `streams`: the client waits for a token."""
        services = exchange.services
        self.exchange = exchange
        self._hedge = caller.org.hedge if streams else None
        self.own_key = caller.own_key
        self.now = services.clock.now
        self._board = services.board
        self.org = caller.org
        self._attempts: dict[int, Attempt | None] = {}
        now = self.now()
        self.tries = Tries(
            found,
            org=caller.org,
            board=self._board,
            now=now,
            draw=services.draw(),
            deadline=exchange.deadline,
            again=again,
        )

    async def run(self, ask: Ask) -> None:
        attempted = self._is_answered if self._hedge is None else self._raced
        try:
            while True:
                match self.tries.next(self.now()):
                    case Send() as send:
                        if await attempted(Trial(self, send), ask):
                            return
                    case Wait(seconds=seconds):
                        await self.exchange.services.sleep(seconds)
                    case GiveUp() as over:
                        await self._tell(over)
                        return
        finally:
            if self.tries.attempts > 1:
                self._note()
            if self._board.has_news(self.org.name):
                await self._share()

    async def _raced(self, trial: Trial, ask: Ask) -> bool:
        services = self.exchange.services
        board, name = self._board, self.org.name
        wait_s = services.hedges.after_s(name, self._hedge, trial.send, board, self.now())
        if wait_s is None:
            return await self._is_answered(trial, ask)
        from handlers import racing

        return await racing.race(self, trial, lambda one: self._is_answered(one, ask), wait_s)

    async def _is_answered(self, trial: Trial, ask: Ask) -> bool:
        tries, number = self.tries, trial.send.number
        exchange = self.exchange
        exchange.attempts, exchange.rank = tries.attempts, trial.send.rank
        try:
            await ask(trial)
        except RefusedError as refused:
            self.failed(trial, refused.failure)
        except CutwaterError as error:
            if trial.is_answered:
                raise
            provider_errors.strike_error(error, exchange.keys)
            if trial.attempt is None:
                tries.unfit(number, error)
            else:
                failure = failures.of_error(error, head=trial.head, own_key=self.own_key)
                self.failed(trial, failure)
        else:
            return True
        finally:
            tries.ended(number, self.now())
        return False

    def failed(self, trial: Trial, failure: Failure) -> None:
        number = trial.send.number
        self._attempts[number] = trial.attempt
        self.tries.failed(number, failure, self.now(), self.exchange.services.draw())

    async def _tell(self, over: GiveUp) -> None:
        failure, exchange = over.failure, self.exchange
        exchange.attempts = self.tries.attempts
        attempt = None if over.number is None else self._attempts.get(over.number)
        if failure.said is None or attempt is None or exchange.outlet.begun:
            error = failure.error
            if exchange.attempts:
                error.headers = {**error.headers, "x-bt-attempts": str(exchange.attempts)}
            raise error
        await told_by_provider(exchange, attempt, failure.said)

    def _note(self) -> None:
        self.exchange.services.log.info(
            "attempts",
            request_id=self.exchange.request_id,
            attempts=msgspec.to_builtins(self.tries.timeline),
        )

    async def _share(self) -> None:
        """Other processes hear of an endpoint's health; whether they do fails no request."""
        services = self.exchange.services
        store, now = services.directory.store, self.now()
        if store is None or not self.org.name:
            return
        row = self._board.to_tell(self.org.name, now)
        if row is None:
            return
        try:
            async with asyncio.timeout(SHARE_S):
                await store.put([row])
        except (StoreError, TimeoutError) as error:
            services.log.warning("health_not_shared", error=type(error).__name__)


def ranked(
    exchange: Exchange, access: Access, name: str, fields: Envelope
) -> tuple[Caller, list[Ranked]]:
    """Who calls, and all that can answer: of the model `name` first, then of its fallbacks.

    403 where the caller may use none of it.
    """
    plan.check_model(name)
    services = exchange.services
    access.permit(exchange.route, name)
    model = services.lookup(name)
    caller = caller_for(exchange, access, model)
    org = caller.org
    names = balancing.models(access.asked, org, name)
    if access.scopes:
        names = tuple(n for n in names if scopes.may_use_model(access.scopes, n))
    affinity = balancing.affinity_of(access.key, model, fields) if org.affinity else b""
    pool = Pool(
        org=org,
        providers=services.providers,
        lookup=services.lookup,
        board=services.board,
        endpoint_name=access.asked.endpoint,
        affinity=affinity,
    )
    found = balancing.choose(names, pool, now=services.clock.now(), draw=services.draw())
    return caller, permitted(access, found)


def unranked(caller: Caller, found: Sequence[Candidate]) -> list[Ranked]:
    """In the order that they are in: for what does not go by a model."""
    name = caller.org.name
    return [Ranked(candidate=one, place=health.place(name, one), known=False) for one in found]


def permitted(access: Access, found: list[Ranked]) -> list[Ranked]:
    """Those whose endpoint the caller may use; 403 where there is none."""
    if not access.scopes:
        return found
    allowed = [
        one for one in found if scopes.may_use_endpoint(access.scopes, one.candidate.endpoint.label)
    ]
    if not allowed:
        raise PermissionDeniedError(
            "The key of this request may not use any of the endpoints that could answer it."
        )
    return allowed
