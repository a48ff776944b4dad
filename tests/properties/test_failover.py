"""What holds of every request under every schedule of faults, on a simulated clock."""

from collections import defaultdict
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from core.errors import UpstreamError, UpstreamTimeoutError
from core.failover import BURST, BURST_S, MOST, RETRY_S, Tries
from core.health import Board
from tests.driving import NOW, Answer, drive, found, organisation, raised, status

thorough = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
NAMES = ("a", "b", "c", "d")
MODELS = ("gpt-4o", "gpt-4o-mini")
EPSILON = 1e-4
"""Unix time as a float is this exact."""

FAULTS = st.sampled_from(
    [
        ("429", lambda took, _wait: status(429, took_s=took)),
        ("429 told", lambda took, wait: status(429, took_s=took, retry_after=str(wait))),
        ("500", lambda took, _wait: status(500, took_s=took)),
        ("503 told", lambda took, wait: status(503, took_s=took, retry_after=str(wait))),
        ("401", lambda took, _wait: status(401, took_s=took)),
        ("404", lambda took, _wait: status(404, took_s=took)),
        ("reset", lambda took, _wait: raised(UpstreamError("reset"), took_s=took)),
        ("cut", lambda took, _wait: raised(UpstreamError("cut"), head=True, took_s=took)),
        ("silent", lambda took, _wait: raised(UpstreamTimeoutError("silent"), took_s=took)),
        (
            "no token",
            lambda took, _wait: raised(UpstreamTimeoutError("none"), head=True, took_s=took),
        ),
        (
            "too long",
            lambda took, _wait: status(400, "maximum context length is 1", took_s=took),
        ),
    ]
)


class Plan(Struct, frozen=True):
    """What each endpoint does at its n-th request; None: it answers."""

    faults: dict
    takes: list
    waits: list
    draws: list


def plans(healthy=()):
    def turns(name):
        fault = st.none() if name in healthy else st.one_of(st.none(), FAULTS)
        return st.lists(fault, min_size=1, max_size=8)

    return st.builds(
        Plan,
        st.fixed_dictionaries({name: turns(name) for name in NAMES}),
        st.lists(st.floats(0, 12), min_size=1, max_size=8),
        st.lists(st.floats(0, 50).map(lambda s: round(s, 2)), min_size=1, max_size=8),
        st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=8),
    )


class Play:
    """Plays a plan: remembers what it said, and until when each endpoint wants no request."""

    def __init__(self, plan):
        self.plan = plan
        self.turn = defaultdict(int)
        self.asked = 0
        self.told_until = defaultdict(float)
        self.said = []

    def __call__(self, send, now):
        name = send.candidate.endpoint.name
        turns = self.plan.faults[name]
        fault = turns[self.turn[name] % len(turns)]
        self.turn[name] += 1
        took = self.plan.takes[self.asked % len(self.plan.takes)]
        wait = self.plan.waits[self.asked % len(self.plan.waits)]
        self.asked += 1
        key = (name, send.candidate.model)
        assert now >= self.told_until[key] - EPSILON, "It was told to wait."
        if fault is None:
            self.said.append((name, "answer"))
            return Answer(took)
        kind, make = fault
        self.said.append((name, kind))
        if kind.endswith("told"):
            self.told_until[key] = now + took + wait
        return make(took, wait)

    def draw(self):
        return self.plan.draws[self.asked % len(self.plan.draws)]


def play(plan, org, board, now=NOW, models=MODELS, draw=0.0, **more):
    acted = Play(plan)
    ranked = found(org, board, *models, now=now, draw=draw)
    tries = Tries(ranked, org=org, board=board, now=now, draw=draw, **more)
    return acted, drive(tries, acted, now=now, draw=acted.draw)


BUDGETS = st.fixed_dictionaries({"budget_s": st.floats(0, 90), "max_attempts": st.integers(1, 12)})


@thorough
@given(plans(), BUDGETS, st.floats(1, 100), st.integers(1, 4), st.floats(0, 0.999))
def test_attempts_stay_within_every_limit(plan, retry, left, count, draw):
    org = organisation(*NAMES[:count], retry=retry)
    acted, outcome = play(plan, org, Board(), draw=draw, deadline=NOW + left)
    assert len(outcome.sent) == outcome.tries.attempts <= retry["max_attempts"]
    for _, _, at in outcome.sent[1:]:
        assert at <= NOW + retry["budget_s"] + EPSILON
    for _, _, at in outcome.sent:
        assert at < NOW + left
    assert (outcome.answered is not None) == (
        acted.said[-1:] != [] and acted.said[-1][1] == "answer"
    )
    assert outcome.answered is not None or outcome.error.status >= 400


@thorough
@given(plans(), BUDGETS, st.integers(1, 4))
def test_no_endpoint_is_hammered(plan, retry, count):
    org = organisation(*NAMES[:count], retry=retry)
    _, outcome = play(plan, org, Board())
    times = defaultdict(list)
    for name, _, at in outcome.sent:
        times[name].append(at)
    for sent in times.values():
        assert len(sent) <= MOST
        assert all(late - early >= BURST_S for early, late in zip(sent, sent[BURST:], strict=False))


@thorough
@given(plans(), st.integers(1, 4))
def test_the_same_endpoint_and_model_is_never_asked_twice_in_one_moment(plan, count):
    _, outcome = play(plan, organisation(*NAMES[:count]), Board())
    times = defaultdict(list)
    for name, model, at in outcome.sent:
        times[name, model].append(at)
    for sent in times.values():
        assert all(late - early >= RETRY_S - EPSILON for early, late in pairwise(sent))


@thorough
@given(plans(healthy=("c",)), st.data())
def test_a_healthy_endpoint_is_always_used_in_the_end(plan, data):
    """Whatever the others do, and wherever in the order it stands, if the time is there."""
    faults = {
        name: [fault if fault is None or fault[0] != "too long" else None for fault in turns]
        for name, turns in plan.faults.items()
    }
    quick = [min(took, 3.0) for took in plan.takes]
    org = organisation(*data.draw(st.permutations(NAMES)))
    draw = data.draw(st.floats(0, 1, exclude_max=True))
    calm = Plan(faults, quick, plan.waits, plan.draws)
    _, outcome = play(calm, org, Board(), models=("gpt-4o",), draw=draw)
    assert outcome.answered is not None
    assert len(outcome.sent) <= 6


@thorough
@given(st.lists(plans(healthy=("c",)), min_size=2, max_size=6), st.data())
def test_what_was_learnt_from_other_requests_never_keeps_a_healthy_endpoint_from_use(many, data):
    """One board, one request after the other; its own 429s aside, `c` is always well."""
    board, now = Board(), NOW
    org = organisation(*NAMES)
    for plan in many:
        faults = {
            name: [f if f is None or f[0] != "too long" else None for f in turns]
            for name, turns in plan.faults.items()
        }
        calm = Plan(faults, [min(took, 3.0) for took in plan.takes], plan.waits, plan.draws)
        draw = data.draw(st.floats(0, 1, exclude_max=True))
        ranked = found(org, board, "gpt-4o", now=now, draw=draw)
        tries = Tries(ranked, org=org, board=board, now=now, draw=draw)
        acted = Play(calm)
        outcome = drive(tries, acted, now=now, draw=acted.draw)
        assert outcome.answered is not None
        now = outcome.ended_at + data.draw(st.floats(0.001, 100))
    for ranked in found(org, board, "gpt-4o", now=now):
        assert board.busy(ranked.place) == 0


@thorough
@given(plans(), st.integers(1, 4))
def test_what_is_told_happened(plan, count):
    acted, outcome = play(plan, organisation(*NAMES[:count]), Board())
    reasons = [entry.reason for entry in outcome.tries.timeline]
    assert len(reasons) == len(acted.said)
    assert "pending" not in reasons
    if outcome.gave_up is not None and outcome.gave_up.number is not None:
        entry = outcome.tries.timeline[outcome.gave_up.number - 1]
        assert entry.reason == outcome.gave_up.failure.kind


@thorough
@given(plans(), st.lists(st.floats(0, 200), min_size=3, max_size=12))
def test_a_healthy_lone_endpoint_is_used_again_after_any_outage(plan, pauses):
    """However long it was ill: of what we only guess nobody is kept waiting."""
    board, now = Board(), NOW
    org = organisation("a")
    for pause in pauses:
        _, outcome = play(plan, org, board, now=now, models=("gpt-4o",))
        now = outcome.ended_at + pause
    well = Plan({name: [None] for name in NAMES}, [0.1], [0], [0.5])
    _, outcome = play(well, org, board, now=now + 51, models=("gpt-4o",))
    assert outcome.endpoints == ["a"]
