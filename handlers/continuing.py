"""A stream that broke off after its first token, taken up by another attempt.

What may be joined is decided in core/continuing.py; this asks, and tells the
client what it still lacks. Where nothing can be joined the error is told that
would have been told at once.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from core import continuing, failures, plan, provider_errors, routing
from core.attempts import GiveUp, Send, Wait
from core.continuing import Continuation, Method, Said
from core.dialects import StreamRenderer, load
from core.errors import CutwaterError, UpstreamError, UpstreamTimeoutError
from core.neutral import Delta, Request, Step, unfold
from core.plan import Attempt, Chat
from core.streams import NeutralRelay
from handlers.exchange import MOST_REPLY, Exchange, KeysRenewedError, read_up_to
from handlers.failover import RefusedError, Requests, Trial

_OTHER: Final = "The answer was taken up by another run, which said something else."


class Tape(Struct, frozen=True):
    """What the client has been told, and a renderer that is as far."""

    said: Said
    renderer: StreamRenderer


class Run(Struct, frozen=True, kw_only=True):
    """One request whose answer broke off."""

    exchange: Exchange
    request: Chat
    requests: Requests
    tape: Tape
    settle: Step
    """What is done with every delta of a provider."""

    @property
    def neutral(self) -> Request:
        return plan.neutral_of(self.request)


async def is_ended(run: Run) -> bool:
    """Whether another attempt brought the answer to its end, and the client has all of it."""
    tries, now = run.requests.tries, run.requests.now
    while True:
        match tries.next(now()):
            case Wait(seconds=seconds):
                await run.exchange.services.sleep(seconds)
            case GiveUp():
                return False
            case Send() as send:
                if await _goes_on(run, Trial(run.requests, send)):
                    return True


async def _goes_on(run: Run, trial: Trial) -> bool:
    tries, number = run.requests.tries, trial.send.number
    run.exchange.attempts = tries.attempts
    try:
        how, attempt = _planned(run, trial)
        await _take_up(run, trial, how, attempt)
    except RefusedError as refused:
        run.requests.failed(trial, refused.failure)
    except KeysRenewedError:
        run.requests.failed(trial, failures.of_error(UpstreamError(_OTHER), head=False))
    except CutwaterError as error:
        provider_errors.strike_error(error, run.exchange.keys)
        if trial.attempt is None:
            tries.unfit(number, error)
        elif trial.is_answered:
            trial.cut(error)
        else:
            run.requests.failed(trial, failures.of_error(error, head=trial.head))
    else:
        return True
    finally:
        tries.ended(number, run.requests.now())
    return False


def _planned(run: Run, trial: Trial) -> tuple[Method, Attempt]:
    """400 where this endpoint cannot go on."""
    candidate, request = trial.send.candidate, run.request
    dialect = routing.speaking(candidate, request.dialect)
    how = continuing.method(run.tape.said, run.neutral, candidate, dialect)
    if how is None:
        raise UpstreamError("Nothing can be joined to what was said.")
    asked = continuing.request_for(how, run.tape.said, run.neutral)
    attempt = plan.attempt(
        replace(request, neutral=asked, restated=asked is not run.neutral),
        candidate,
        headers=run.exchange.headers,
        timeouts=trial.send.timeouts,
        own_key=run.requests.own_key,
        strict=run.exchange.strict,
    )
    if how == "prefix":
        outgoing = attempt.outgoing
        attempt = replace(
            attempt, outgoing=replace(outgoing, body=continuing.marked(outgoing.body))
        )
    return how, attempt


async def _take_up(run: Run, trial: Trial, how: Method, attempt: Attempt) -> None:
    exchange, tape = run.exchange, run.tape
    restates = run.request.dialect in continuing.RESTATES
    joining = Continuation(tape.said, how, restates=restates)

    def step(delta: Delta) -> Sequence[Delta]:
        return [told for one in run.settle(delta) for told in joining.feed(one)]

    async with trial.sending(attempt) as reply:
        if not attempt.streams:
            body = await read_up_to(MOST_REPLY, reply.chunks())
            whole = load(attempt.dialect).parse_reply(body)
            said = b"".join(
                tape.renderer.feed(told) for delta in unfold(whole) for told in step(delta)
            )
            _check(joining)
            await trial.answered()
            await exchange.outlet.write(said)
        else:
            client = load(run.request.dialect)
            relay = NeutralRelay(
                client,
                load(attempt.dialect),
                tape.renderer,
                exchange.request_id,
                step=step,
                wire=attempt.wire,
            )
            relay.is_quiet = True
            await _relayed(exchange, trial, relay, joining, reply.chunks())
    exchange.usage = tape.said.usage
    exchange.is_joined = True
    await exchange.outlet.end()


async def _relayed(
    exchange: Exchange,
    trial: Trial,
    relay: NeutralRelay,
    joining: Continuation,
    chunks: AsyncIterator[bytes],
) -> None:
    limit = asyncio.timeout(trial.send.timeouts.first_token_s)
    try:
        async with limit:
            async for chunk in chunks:
                said = relay.feed(chunk)
                _check(joining)
                if said:
                    limit.reschedule(None)
                    await trial.answered(streamed=True)
                    await exchange.outlet.write(said)
                if relay.ended or relay.complete:
                    break
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise UpstreamTimeoutError("The provider's answer did not begin in time.") from error
    last = b"" if relay.ended else relay.finish(None)
    _check(joining)
    if relay.failed is not None:
        raise relay.failed
    await trial.answered(streamed=True)
    if last:
        await exchange.outlet.write(last)


def _check(joining: Continuation) -> None:
    if joining.disagrees:
        raise UpstreamError(_OTHER)
