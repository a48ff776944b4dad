"""The failure table, row by row: what is sent where and when, and what the caller is told."""

import itertools
import math

import pytest

from core.attempts import GiveUp, Send, Wait
from core.errors import (
    BadRequestError,
    ProviderError,
    RateLimitError,
    UpstreamError,
    UpstreamTimeoutError,
)
from core.failover import BURST, BURST_S, LEAST_S, MOST, Tries
from core.failures import Failure
from core.health import Board
from tests.driving import (
    NOW,
    Answer,
    by_endpoint,
    drive,
    found,
    in_turn,
    organisation,
    raised,
    status,
)

OK = Answer()
RESET = raised(UpstreamError("The provider could not be reached."))
CUT = raised(UpstreamError("The provider's answer was cut off."), head=True)
SILENT = raised(UpstreamTimeoutError("The provider did not answer in time."), took_s=30.0)
NO_TOKEN = raised(UpstreamTimeoutError("No token came in time."), head=True, took_s=20.0)
OVERLOADED_EVENT = raised(ProviderError("overloaded", status=529), head=True)
LIMIT_EVENT = raised(ProviderError("slow down", status=429), head=True)
TOO_LONG = status(400, "This model's maximum context length is 10 tokens.")


def run(ask, *endpoints, models=("gpt-4o",), board=None, tries=None, draw=0.5, **settings):
    org = organisation(*(endpoints or ("a", "b")), **settings)
    board = Board() if board is None else board
    made = Tries(found(org, board, *models), org=org, board=board, now=NOW, **(tries or {}))
    return drive(made, ask, now=NOW, draw=lambda: draw)


# What the endpoint `a` answers (then `b` is well): who is asked, in turn.
ROWS = [
    ("429 with Retry-After", status(429, retry_after="5"), ["a", "b"]),
    ("429 without", status(429), ["a", "b"]),
    ("500", status(500), ["a", "a", "b"]),
    ("502", status(502), ["a", "a", "b"]),
    ("503", status(503), ["a", "a", "b"]),
    ("504", status(504), ["a", "a", "b"]),
    ("529", status(529), ["a", "a", "b"]),
    ("408", status(408), ["a", "a", "b"]),
    ("reset or refused before headers", RESET, ["a", "a", "b"]),
    ("cut before the first token", CUT, ["a", "a", "b"]),
    ("no response within first_byte_s", SILENT, ["a", "b"]),
    ("no token within first_token_s", NO_TOKEN, ["a", "b"]),
    ("an error event of 529", OVERLOADED_EVENT, ["a", "a", "b"]),
    ("an error event of 429", LIMIT_EVENT, ["a", "b"]),
    ("401 of the endpoint's key", status(401), ["a", "b"]),
    ("403 of the endpoint's key", status(403), ["a", "b"]),
    ("402 of the endpoint's account", status(402), ["a", "b"]),
    ("404 model not found there", status(404), ["a", "b"]),
    ("a redirect", status(302), ["a", "b"]),
]


@pytest.mark.parametrize(("ill", "asked"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_what_ails_one_endpoint_is_answered_by_another(ill, asked):
    outcome = run(by_endpoint(a=ill, b=OK))
    assert outcome.endpoints == asked
    assert outcome.answered is not None
    assert outcome.tries.attempts == len(asked)


RETURNED = [
    ("400", status(400, "`temperature` is too hot")),
    ("400 content policy", status(400, "The response was filtered: content_policy")),
    ("413", status(413)),
    ("422", status(422)),
    ("405", status(405)),
]


@pytest.mark.parametrize("said", [row[1] for row in RETURNED], ids=[row[0] for row in RETURNED])
def test_a_fault_of_the_request_is_returned_at_once(said):
    outcome = run(by_endpoint(a=said, b=OK), models=("gpt-4o", "gpt-4o-mini"))
    assert outcome.endpoints == ["a"]
    assert outcome.error is said.failure.error
    assert outcome.gave_up.failure.said is not None
    assert outcome.gave_up.number == 1


def test_a_prompt_that_is_too_long_goes_to_no_other_endpoint_of_its_model():
    outcome = run(in_turn(TOO_LONG))
    assert outcome.endpoints == ["a"]
    assert outcome.error is TOO_LONG.failure.error


def test_a_prompt_that_is_too_long_goes_to_the_fallback_model():
    outcome = run(in_turn(TOO_LONG, OK), models=("gpt-4o", "gpt-4o-mini"))
    assert [model for _, model, _ in outcome.sent] == ["gpt-4o", "gpt-4o-mini"]
    assert outcome.answered.rank == 1


def test_a_prompt_that_is_too_long_is_what_is_told_where_the_fallback_fails_too():
    outcome = run(in_turn(TOO_LONG, status(500)), "a", models=("gpt-4o", "gpt-4o-mini"))
    assert outcome.error is TOO_LONG.failure.error


# No other endpoint: what the caller is told.
ALONE = [
    (status(500), 500, 2),
    (status(529), 529, 2),
    (RESET, 502, 2),
    (SILENT, 504, 1),
    (NO_TOKEN, 504, 1),
    (status(401), 502, 1),
    (status(403), 502, 1),
    (status(404), 502, 1),
    (status(302), 502, 1),
    (OVERLOADED_EVENT, 529, 2),
]


@pytest.mark.parametrize(("ill", "told", "attempts"), ALONE)
def test_a_lone_endpoint_that_is_ill_is_told_of(ill, told, attempts):
    outcome = run(in_turn(ill), "a")
    assert (outcome.error.status, outcome.tries.attempts) == (told, attempts)


def test_the_reason_is_in_a_502():
    outcome = run(in_turn(status(401)), "a")
    assert outcome.error.message == (
        "The provider refused the key of the endpoint `a` (401): check its secret."
    )


@pytest.mark.parametrize("code", [401, 402, 403, 404])
def test_the_callers_own_key_is_refused_as_it_was(code):
    ours = status(code)
    said = Failure(kind="refused", error=ours.failure.error, status=code, said=ours.failure.said)
    board = Board()
    outcome = run(in_turn(type(ours)(said)), "a", board=board)
    assert (outcome.endpoints, outcome.error.status) == (["a"], code)
    org = organisation("a")
    [ranked] = found(org, board)
    assert not board.standing(ranked.place, NOW + 1).doubtful


def test_one_that_says_when_to_come_back_is_waited_for():
    outcome = run(in_turn(status(429, retry_after="5"), OK), "a", draw=0.0)
    assert outcome.slept == [pytest.approx(5.0)]
    assert outcome.answered is not None
    assert outcome.tries.timeline[1].waited_s == pytest.approx(5.0)


def test_the_wait_is_a_little_longer_by_the_draw_and_never_shorter():
    for draw in (0.0, 0.5, 0.999):
        [slept] = run(in_turn(status(429, retry_after="5"), OK), "a", draw=draw).slept
        assert 4.9999 <= slept <= 5.5


def test_a_wait_beyond_the_budget_is_the_429_with_its_wait():
    outcome = run(in_turn(status(429, retry_after="60")), "a")
    assert (outcome.endpoints, outcome.slept) == (["a"], [])
    assert outcome.error.status == 429
    assert outcome.error.headers["retry-after"] == "60"


def test_a_wait_beyond_the_deadline_is_not_begun():
    outcome = run(in_turn(status(429, retry_after="5"), OK), "a", tries={"deadline": NOW + 4})
    assert (outcome.endpoints, outcome.slept) == (["a"], [])
    assert outcome.error.headers["retry-after"] == "5"


def test_of_two_that_are_limited_the_sooner_is_waited_for():
    ask = by_endpoint(a=[status(429, retry_after="9"), OK], b=[status(429, retry_after="4"), OK])
    outcome = run(ask, draw=0.0)
    assert outcome.endpoints == ["a", "b", "b"]
    assert outcome.slept == [pytest.approx(4.0)]


def test_a_persistent_429_is_backed_off_from():
    outcome = run(in_turn(status(429)), "a")
    assert outcome.tries.attempts == MOST
    assert outcome.slept == sorted(outcome.slept)
    assert outcome.slept[0] >= 0.25
    assert outcome.error.status == 429


def test_a_persistent_429_ends_at_the_next_model():
    models = ("gpt-4o", "gpt-4o-mini")

    def ask(send, _now):
        return OK if send.candidate.model == "gpt-4o-mini" else status(429)

    outcome = run(ask, "a", models=models)
    assert [model for _, model, _ in outcome.sent][-1] == "gpt-4o-mini"
    assert outcome.tries.attempts <= 5
    # One endpoint, whatever the model.
    times = [at for _, _, at in outcome.sent]
    assert all(later - early >= BURST_S for early, later in zip(times, times[BURST:], strict=False))


def test_another_model_is_better_than_a_long_wait_and_worse_than_a_short_one():
    models = ("gpt-4o", "gpt-4o-mini")
    long = run(in_turn(status(429, retry_after="20"), OK), "a", models=models)
    assert [model for _, model, _ in long.sent] == ["gpt-4o", "gpt-4o-mini"]
    assert long.slept == []
    short = run(in_turn(status(429, retry_after="1"), OK), "a", models=models)
    assert [model for _, model, _ in short.sent] == ["gpt-4o", "gpt-4o"]


def test_a_retry_waits_a_moment_by_the_draw():
    for draw in (0.0, 0.999):
        [slept] = run(in_turn(status(500), OK), "a", draw=draw).slept
        assert 0.0999 <= slept <= 0.5


def test_a_retry_waits_as_long_as_the_provider_says():
    outcome = run(in_turn(status(503, retry_after="2"), OK), "a")
    assert outcome.slept == [pytest.approx(2.0)]


def test_a_long_wait_of_a_503_is_no_retry_where_there_is_another():
    outcome = run(by_endpoint(a=status(503, retry_after="20"), b=OK))
    assert outcome.endpoints == ["a", "b"]


def test_a_retry_never_takes_the_attempt_of_an_endpoint_not_yet_tried():
    ask = by_endpoint(a=status(500), b=status(500), c=OK)
    outcome = run(ask, "a", "b", "c", retry={"max_attempts": 3})
    assert outcome.endpoints == ["a", "b", "c"]
    outcome = run(by_endpoint(a=status(429), b=OK), retry={"max_attempts": 2})
    assert outcome.endpoints == ["a", "b"]


def test_one_attempt_is_one_attempt():
    assert run(in_turn(status(500)), retry={"max_attempts": 1}).endpoints == ["a"]
    assert run(in_turn(status(500)), tries={"again": False}).endpoints == ["a"]


def test_no_attempt_begins_after_the_budget():
    outcome = run(in_turn(SILENT), "a", "b", "c", retry={"budget_s": 45})
    assert outcome.endpoints == ["a", "b"]
    assert outcome.error.status == 504
    assert run(in_turn(status(500)), retry={"budget_s": 0}).endpoints == ["a"]


def test_no_attempt_begins_that_the_deadline_would_cut_off():
    outcome = run(in_turn(SILENT), tries={"deadline": NOW + 30 + LEAST_S / 2})
    assert outcome.endpoints == ["a"]
    nothing = run(in_turn(OK), tries={"deadline": NOW})
    assert (nothing.endpoints, nothing.error.status) == ([], 504)


def test_the_time_limits_of_an_attempt_are_what_is_left():
    org = organisation("a", timeouts={"first_byte_s": 30, "total_s": 40, "idle_s": 50})
    board = Board()
    tries = Tries(found(org, board), org=org, board=board, now=NOW, deadline=NOW + 10)
    send = tries.next(NOW + 2)
    assert isinstance(send, Send)
    limits = send.timeouts
    assert (limits.first_byte_s, limits.idle_s, limits.total_s) == (8, 8, 8)
    assert limits.connect_s == 5
    org = organisation("a")
    send = Tries(found(org, board), org=org, board=board, now=NOW).next(NOW)
    assert send.timeouts.first_byte_s is None  # The head of a whole answer comes with its end.
    assert send.timeouts == org.timeouts


def test_an_endpoint_that_is_silent_is_not_asked_by_another_model_either():
    outcome = run(in_turn(SILENT), "a", models=("gpt-4o", "gpt-4o-mini"))
    assert outcome.endpoints == ["a"]


def test_an_endpoint_without_the_model_is_asked_by_the_fallback():
    outcome = run(in_turn(status(404), OK), "a", models=("gpt-4o", "gpt-4o-mini"))
    assert [model for _, model, _ in outcome.sent] == ["gpt-4o", "gpt-4o-mini"]


TELLING = [
    # The provider's own words before ours, whichever came last.
    (status(500), RESET, 500),
    (RESET, status(503), 503),
    (status(500), status(503), 503),
    (status(429), SILENT, 429),
    (RESET, status(401), 502),
    (status(401), status(500), 500),
    (RESET, SILENT, 504),
]


@pytest.mark.parametrize(("first", "second", "told"), TELLING)
def test_the_most_telling_error_is_told(first, second, told):
    outcome = run(by_endpoint(a=first, b=second), retry={"max_attempts": 2})
    assert outcome.error.status == told


def test_where_every_endpoint_is_limited_nothing_is_sent():
    board = Board()
    run(in_turn(status(429, retry_after="60")), board=board)
    outcome = run(in_turn(OK), board=board)
    assert outcome.endpoints == []
    assert isinstance(outcome.error, RateLimitError)
    assert outcome.error.headers["retry-after"] in ("60", "61")
    assert outcome.gave_up.number is None


def test_where_there_is_no_time_to_wait_for_what_is_limited_the_wait_is_told():
    board = Board()
    run(in_turn(status(429, retry_after="9")), "a", board=board, retry={"max_attempts": 1})
    outcome = run(in_turn(OK), "a", board=board, tries={"deadline": NOW + 4})
    assert outcome.endpoints == []
    assert outcome.error.status == 503
    assert outcome.error.headers["retry-after"] in ("9", "10")


def test_what_is_over_may_be_said_to_be_over_twice():
    org, board = organisation("a"), Board()
    tries = Tries(found(org, board), org=org, board=board, now=NOW)
    send, other = tries.next(NOW), Tries(found(org, board), org=org, board=board, now=NOW)
    other.next(NOW)
    for _ in range(2):
        tries.ended(send.number, NOW + 1)
    assert board.busy(send.place) == 1


def test_what_only_seems_ill_is_tried_last_and_once():
    board = Board()
    run(in_turn(status(500)), "a", board=board)  # Twice: it cools down.
    assert run(by_endpoint(a=OK, b=OK), board=board).endpoints == ["b"]
    assert run(by_endpoint(a=OK, b=status(500)), board=board).endpoints == ["b", "b", "a"]
    board = Board()
    run(in_turn(status(500)), "a", board=board)
    assert run(in_turn(status(500)), "a", board=board).endpoints == ["a"]
    board = Board()
    run(in_turn(status(500)), "a", board=board)
    assert run(in_turn(status(429)), "a", board=board).endpoints == ["a"]


def test_a_fallback_that_is_well_comes_before_the_model_that_seems_ill():
    board, models = Board(), ("gpt-4o", "gpt-4o-mini")
    run(in_turn(status(500)), "a", board=board)
    outcome = run(in_turn(OK), "a", models=models, board=board)
    assert [model for _, model, _ in outcome.sent] == ["gpt-4o-mini"]


def test_a_request_that_cannot_be_said_to_one_endpoint_goes_to_the_next():
    org, board = organisation("a", "b"), Board()
    tries = Tries(found(org, board), org=org, board=board, now=NOW)
    first = tries.next(NOW)
    tries.unfit(first.number, BadRequestError("`x` cannot be said."))
    second = tries.next(NOW)
    assert (first.candidate.endpoint.name, second.candidate.endpoint.name) == ("a", "b")
    assert (tries.attempts, first.number != second.number) == (1, True)
    assert board.busy(first.place) == 0


def test_a_request_that_can_be_said_to_none_is_the_400_of_the_first():
    org, board = organisation("a", "b"), Board()
    ranked = found(org, board, "gpt-4o", "gpt-4o-mini")
    tries = Tries(ranked, org=org, board=board, now=NOW)
    for name in "ab":
        tries.unfit(tries.next(NOW).number, BadRequestError(name))
    gave_up = tries.next(NOW)  # Not the fallback: the request is at fault.
    assert isinstance(gave_up, GiveUp)
    assert (gave_up.failure.error.message, tries.attempts) == ("a", 0)


def test_a_hedge_goes_to_another_endpoint_of_the_same_model_that_is_well():
    org, board = organisation("a", "b", "c"), Board()
    ranked = found(org, board, "gpt-4o", "gpt-4o-mini")
    board.failed(ranked[1].place, status(401).failure, began_at=NOW - 1, now=NOW - 1)
    tries = Tries(ranked, org=org, board=board, now=NOW)
    first = tries.next(NOW)
    second = tries.hedge(NOW + 1)
    assert (first.candidate.endpoint.name, second.candidate.endpoint.name) == ("a", "c")
    assert tries.hedge(NOW + 1) is None
    assert tries.under_way == 2
    tries.answered(second.number, NOW + 2)
    tries.ended(first.number, NOW + 2)
    tries.ended(second.number, NOW + 3)
    assert [entry.reason for entry in tries.timeline] == ["called_off", "answered"]
    assert [entry.hedge for entry in tries.timeline] == [False, True]
    assert (board.busy(first.place), board.busy(second.place)) == (0, 0)


def test_a_hedge_takes_no_attempt_that_is_not_there():
    org, board = organisation("a", "b", retry={"max_attempts": 1}), Board()
    tries = Tries(found(org, board), org=org, board=board, now=NOW)
    tries.next(NOW)
    assert tries.hedge(NOW) is None


def test_after_a_cut_another_endpoint_goes_on_at_once_and_the_same_one_in_a_moment():
    failure = CUT.failure
    for names, then in ((("a", "b"), "b"), (("a",), "a")):
        org, board = organisation(*names), Board()
        tries = Tries(found(org, board), org=org, board=board, now=NOW)
        send = tries.next(NOW)
        tries.answered(send.number, NOW + 1)
        late = NOW + 300  # Long after the budget, which counts from the cut.
        tries.cut(send.number, failure, late)
        step = tries.next(late)
        if isinstance(step, Wait):
            step = tries.next(late + step.seconds)
        assert step.candidate.endpoint.name == then
        assert tries.timeline[0].reason == "cut"


def test_the_timeline_tells_what_happened_and_no_secret():
    outcome = run(by_endpoint(a=status(503), b=OK), draw=0.0)
    told = [
        (e.endpoint, e.model, e.lane, e.reason, e.status, round(e.waited_s, 3), round(e.took_s, 3))
        for e in outcome.tries.timeline
    ]
    assert told == [
        ("a", "gpt-4o", "pass", "server_error", 503, 0.0, 0.1),
        ("a", "gpt-4o", "pass", "server_error", 503, 0.1, 0.1),
        ("b", "gpt-4o", "pass", "answered", 200, 0.0, 0.1),
    ]
    assert "sk-" not in repr(outcome.tries.timeline)


def test_nothing_is_left_busy():
    for ask in (in_turn(status(500)), in_turn(OK), in_turn(SILENT), in_turn(status(400))):
        board = Board()
        run(ask, board=board)
        for ranked in found(organisation("a", "b"), board):
            assert board.busy(ranked.place) == 0


def test_many_clients_do_not_come_back_in_the_same_moment():
    org, board = organisation("a"), Board()
    run(in_turn(status(429, retry_after="2")), "a", board=board, retry={"max_attempts": 1})
    waits = []
    for draw in (0.0, 0.5, 0.9):
        tries = Tries(found(org, board), org=org, board=board, now=NOW + 0.2, draw=draw)
        waits.append(tries.next(NOW + 0.2).seconds)
    assert waits == sorted(set(waits))
    assert all(wait >= 1.8999 for wait in waits)


def test_no_endpoint_is_hammered_however_often_it_says_to_come_at_once():
    outcome = run(in_turn(status(429, retry_after="0.01")), "a", retry={"max_attempts": 20})
    times = [at for _, _, at in outcome.sent]
    assert len(times) == MOST
    for early, later in zip(times, times[BURST:], strict=False):
        assert later - early >= BURST_S
    assert all(later > early for early, later in itertools.pairwise(times))
    assert math.isfinite(outcome.ended_at)
