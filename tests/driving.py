"""How a shell drives core/failover.py, without a network and without waiting.

`drive` is the loop that handlers/proxy.py awaits: time is a number that sleeping
and sending move on, and what an endpoint answers is a function of who is asked
and when.
"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from core import balancing, failures
from core.attempts import GiveUp, Send, Wait
from core.balancing import Pool, Ranked
from core.errors import CutwaterError
from core.failover import Tries
from core.failures import Failure
from core.health import Board
from core.orgs import Org
from providers.catalog import PROVIDERS
from providers.models import lookup
from tests import fakes

NOW = 1_700_000_000.0


class Answer(Struct, frozen=True):
    """The endpoint answers, `took_s` after it was asked."""

    took_s: float = 0.1


class Refusal(Struct, frozen=True):
    """It refuses: with a status, or with an error that is raised."""

    failure: Failure
    took_s: float = 0.1


Heard = Answer | Refusal
Ask = Callable[[Send, float], Heard]


class Outcome(Struct, frozen=True):
    answered: Send | None
    gave_up: GiveUp | None
    sent: list[tuple[str, str, float]]
    """(endpoint, model, when)."""
    slept: list[float]
    ended_at: float
    tries: Tries

    @property
    def endpoints(self) -> list[str]:
        return [endpoint for endpoint, _, _ in self.sent]

    @property
    def error(self) -> CutwaterError:
        assert self.gave_up is not None
        return self.gave_up.failure.error


def drive(
    tries: Tries, ask: Ask, *, now: float, draw: Callable[[], float] = lambda: 0.5
) -> Outcome:
    sent: list[tuple[str, str, float]] = []
    slept: list[float] = []
    for _ in range(200):
        match tries.next(now):
            case Wait(seconds):
                assert seconds > 0
                slept.append(seconds)
                now += seconds
            case GiveUp() as gave_up:
                return Outcome(None, gave_up, sent, slept, now, tries)
            case Send(number=number) as send:
                tries.lane(number, "pass")
                sent.append((send.candidate.endpoint.label, send.candidate.model, now))
                heard = ask(send, now)
                now += heard.took_s
                if isinstance(heard, Answer):
                    tries.answered(number, now)
                    tries.ended(number, now)
                    return Outcome(send, None, sent, slept, now, tries)
                tries.failed(number, heard.failure, now, draw())
    raise AssertionError("It never ends.")


def status(code: int, message: str = "", *, took_s: float = 0.1, **headers: str) -> Refusal:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = b'{"error":{"message":"%s"}}' % (message or f"The {code} of the test.").encode()
    return Refusal(failures.of_reply(code, named, body, now=NOW), took_s)


def raised(error: CutwaterError, *, head: bool = False, took_s: float = 0.1) -> Refusal:
    return Refusal(failures.of_error(error, head=head), took_s)


def organisation(*endpoints: str | dict[str, Any], **settings: Any) -> Org:
    """Endpoints of the type openai by their names."""
    given = [
        {"type": "openai", "name": e, "secret": f"sk-{e}"} if isinstance(e, str) else e
        for e in endpoints
    ]
    return fakes.org(endpoints=given, **{"retry": {}, **settings})


def found(
    org: Org, board: Board, *models: str, now: float = NOW, draw: float = 0.0
) -> list[Ranked]:
    pool = Pool(org=org, providers=PROVIDERS, lookup=lookup, board=board)
    return balancing.choose(models or ("gpt-4o",), pool, now=now, draw=draw)


def in_turn(*heard: Heard) -> Ask:
    """What is heard, whoever is asked; the last of it from then on."""
    left = [*heard]
    return lambda _send, _now: left.pop(0) if len(left) > 1 else left[0]


def by_endpoint(**heard: Sequence[Heard] | Heard) -> Ask:
    left = {name: [*said] if isinstance(said, Sequence) else [said] for name, said in heard.items()}

    def ask(send: Send, _now: float) -> Heard:
        turn = left[send.candidate.endpoint.label]
        return turn.pop(0) if len(turn) > 1 else turn[0]

    return ask
