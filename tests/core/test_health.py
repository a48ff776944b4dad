"""Who cools down, who is probed, what processes tell each other."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import failures, health
from core.errors import UpstreamError
from core.failures import Failure
from core.health import COOLING, Board, Place, Record
from core.ports import Row
from core.retry_after import LONGEST_S
from tests.driving import NOW, found, organisation, status

AT = Place("acme", "e", "m")
OTHER_MODEL = Place("acme", "e", "n")
ELSEWHERE = Place("acme", "f", "m")


def failure(kind, *, after=None, code=None):
    return Failure(kind=kind, error=UpstreamError("x"), retry_after_s=after, status=code)


def fail(board, kind, *, now=NOW, began_at=None, at=AT, **more):
    began_at = now if began_at is None else began_at
    board.began(at, began_at)
    board.failed(at, failure(kind, **more), began_at=began_at, now=now)
    board.ended(at, began_at)


def doubtful(board, now, at=AT):
    return board.standing(at, now).doubtful


def test_what_nobody_has_met_is_well():
    assert Board().standing(AT, NOW) == (0.0, False, 0.0)


@pytest.mark.parametrize("kind", [kind for kind, rule in COOLING.items() if rule.free])
def test_one_failure_is_bad_luck_and_two_in_a_row_are_not(kind):
    board = Board()
    fail(board, kind)
    assert not doubtful(board, NOW)
    board.answered(AT, began_at=NOW, now=NOW + 0.1)
    fail(board, kind, now=NOW + 1)
    assert not doubtful(board, NOW + 1)
    fail(board, kind, now=NOW + 2)
    assert doubtful(board, NOW + 2)


@pytest.mark.parametrize("kind", [kind for kind, rule in COOLING.items() if not rule.free])
def test_some_failures_are_believed_at_once(kind):
    board = Board()
    fail(board, kind)
    assert doubtful(board, NOW)


@pytest.mark.parametrize("kind", ["refused", "too_long", "unfit"])
def test_a_fault_of_the_request_says_nothing_of_the_endpoint(kind):
    board = Board()
    for _ in range(5):
        fail(board, kind)
    assert board.standing(AT, NOW) == (0.0, False, 0.0)


@pytest.mark.parametrize(
    ("kind", "code", "whole"),
    [
        ("rate_limited", 429, False),
        ("server_error", 500, False),
        ("unreachable", None, True),
        ("key_refused", 401, True),
        ("key_refused", 403, False),
        ("quota", 402, True),
        ("model_missing", 404, False),
        ("silent", None, False),
    ],
)
def test_a_failure_is_of_the_endpoint_or_of_one_model_there(kind, code, whole):
    board = Board()
    fail(board, kind, code=code)
    fail(board, kind, code=code)
    assert doubtful(board, NOW)
    assert doubtful(board, NOW, OTHER_MODEL) == whole
    assert not doubtful(board, NOW, ELSEWHERE)


def test_each_failure_of_a_probe_doubles_the_time_up_to_a_bound():
    board, now, times = Board(), NOW, []
    for _ in range(12):
        fail(board, "silent", now=now)
        until = board.standing(AT, now).until
        times.append(round(until - now, 3))
        now = until + 0.001
    assert times[:5] == [10, 20, 40, 80, 160]
    assert times[-1] == COOLING["silent"].most_s


def test_what_was_sent_before_it_was_known_counts_once():
    board = Board()
    for _ in range(100):
        board.began(AT, NOW)
    for _ in range(100):
        board.failed(AT, failure("silent"), began_at=NOW, now=NOW + 30)
    assert board.standing(AT, NOW + 30).until == NOW + 40


def test_an_answer_that_had_begun_before_the_outage_does_not_end_it():
    board = Board()
    fail(board, "silent", now=NOW + 10, began_at=NOW)
    board.answered(AT, began_at=NOW + 5, now=NOW + 11)
    assert doubtful(board, NOW + 11)
    board.answered(AT, began_at=NOW + 11, now=NOW + 12)
    assert not doubtful(board, NOW + 12)


def test_failures_of_long_ago_are_of_another_outage():
    board = Board()
    fail(board, "server_error")
    fail(board, "server_error", now=NOW + health.FORGET_S + 1)
    assert not doubtful(board, NOW + health.FORGET_S + 1)


def test_one_request_probes_and_the_others_wait_for_what_it_finds():
    board = Board()
    fail(board, "silent")
    later = NOW + 10.5
    assert not doubtful(board, later)
    board.began(AT, later)
    assert doubtful(board, later)
    board.answered(AT, began_at=later, now=later + 1)
    assert not doubtful(board, later + 1)


def test_a_probe_that_fails_closes_the_door_for_longer():
    board = Board()
    fail(board, "silent")
    fail(board, "silent", now=NOW + 11)
    assert board.standing(AT, NOW + 11).until == NOW + 11 + 20


def test_a_probe_that_is_called_off_leaves_the_next_one_to_probe():
    board = Board()
    fail(board, "silent")
    board.began(AT, NOW + 11)
    board.began(AT, NOW + 12)  # Somebody who had no other choice.
    board.ended(AT, NOW + 12)
    assert doubtful(board, NOW + 12)
    board.ended(AT, NOW + 11)
    assert not doubtful(board, NOW + 12)


def test_a_probe_that_is_lost_is_not_waited_for():
    board = Board()
    fail(board, "silent")
    board.began(AT, NOW + 11)
    assert doubtful(board, NOW + 11 + health.PROBE_S - 1)
    assert not doubtful(board, NOW + 11 + health.PROBE_S)


def test_what_the_provider_asks_for_is_no_guess():
    board = Board()
    fail(board, "rate_limited", after=7.0)
    assert board.standing(AT, NOW + 6.9) == (NOW + 7, False, NOW + 7)
    assert board.standing(AT, NOW + 7) == (0.0, False, NOW + 7)
    fail(board, "rate_limited", after=3.0)
    assert board.standing(AT, NOW + 1).told_until == NOW + 7
    fail(board, "rate_limited", after=1e12)
    assert board.standing(AT, NOW + 1).told_until == NOW + LONGEST_S


def test_a_503_may_ask_for_time_as_well():
    board = Board()
    fail(board, "server_error", after=5.0)
    assert board.standing(AT, NOW).told_until == NOW + 5
    assert not doubtful(board, NOW)
    fail(board, "server_error", after=5.0, now=NOW + 6)
    assert doubtful(board, NOW + 6)


def test_busy_counts_an_endpoint_with_all_its_models():
    board = Board()
    board.began(AT, NOW)
    board.began(OTHER_MODEL, NOW)
    assert (board.busy(AT), board.busy(ELSEWHERE)) == (2, 0)
    board.ended(AT, NOW)
    board.ended(OTHER_MODEL, NOW)
    board.ended(OTHER_MODEL, NOW)
    assert board.busy(AT) == 0


def test_how_slow_an_endpoint_is_takes_some_answers_to_know():
    board = Board()
    for i in range(health.LEAST_SAMPLES - 1):
        board.answered(AT, began_at=NOW, now=NOW + (i + 1) / 10)
    assert board.slow_s(AT, NOW) is None
    board.answered(AT, began_at=NOW, now=NOW + 2.0)
    assert board.slow_s(AT, NOW) == pytest.approx(2.0)
    for _ in range(health.MOST_SAMPLES):
        board.answered(AT, began_at=NOW, now=NOW + 0.5)
    assert board.slow_s(AT, NOW) == pytest.approx(0.5)
    assert board.slow_s(AT, NOW + health.SAMPLE_S + 10) is None


def test_a_whole_answer_says_nothing_of_the_first_token():
    board = Board()
    for _ in range(health.MOST_SAMPLES):
        board.answered(AT, began_at=NOW, now=NOW + 30, streamed=False)
    assert board.slow_s(AT, NOW) is None


def test_an_endpoint_is_known_by_its_key_and_shows_none():
    board = Board()
    one, same, repaired = (
        found(organisation({"type": "openai", "name": "a", "secret": secret}), board)[0].place
        for secret in ("sk-sentinel", "sk-sentinel", "sk-other")
    )
    assert one == same
    assert one.endpoint != repaired.endpoint
    assert "sentinel" not in repr(one)
    assert len(one.endpoint) == 16


def test_a_repaired_key_is_well_at_once():
    board = Board()
    [broken] = found(organisation({"type": "openai", "secret": "sk-1"}), board)
    board.failed(broken.place, status(401).failure, began_at=NOW, now=NOW)
    assert doubtful(board, NOW, broken.place)
    [repaired] = found(organisation({"type": "openai", "secret": "sk-2"}), board)
    assert not doubtful(board, NOW, repaired.place)


def test_another_process_hears_what_this_one_learnt():
    here, there = Board(), Board()
    fail(here, "silent")
    fail(here, "rate_limited", after=30.0, at=ELSEWHERE)
    row = here.to_tell("acme", NOW + 1)
    assert row is not None
    assert row.key == health.row_key("acme")
    assert NOW < row.expires_at < NOW + health.SHARED_S + 40
    there.hear("acme", row, NOW + 1)
    assert doubtful(there, NOW + 1)
    assert there.standing(ELSEWHERE, NOW + 1).told_until == NOW + 30
    assert there.to_tell("acme", NOW + 1) is None  # What was heard is not told again.
    assert here.to_tell("acme", NOW + 1) is None
    assert not doubtful(there, NOW + 1, Place("other", "e", "m"))


def test_another_process_hears_that_it_is_over():
    here, there = Board(), Board()
    fail(here, "silent")
    there.hear("acme", here.to_tell("acme", NOW), NOW)
    here.began(AT, NOW + 11)
    here.answered(AT, began_at=NOW + 11, now=NOW + 12)
    there.hear("acme", here.to_tell("acme", NOW + 12), NOW + 12)
    assert there.standing(AT, NOW + 12) == (0.0, False, 0.0)


def test_what_is_older_than_what_is_known_is_no_news():
    here, there = Board(), Board()
    fail(here, "silent")
    row = here.to_tell("acme", NOW)
    fail(there, "silent", now=NOW + 1)
    board_row = there.to_tell("acme", NOW + 1)
    there.hear("acme", row, NOW + 2)
    assert there.standing(AT, NOW + 2).until == NOW + 11
    assert board_row is not None


def test_what_is_heard_does_not_drown_what_is_to_be_told():
    here, there = Board(), Board()
    fail(there, "silent")
    fail(here, "silent", at=ELSEWHERE)
    here.hear("acme", there.to_tell("acme", NOW), NOW)
    row = here.to_tell("acme", NOW)
    assert row is not None
    third = Board()
    third.hear("acme", row, NOW)
    assert (doubtful(third, NOW), doubtful(third, NOW, ELSEWHERE)) == (True, True)


def test_where_nothing_changed_nothing_is_told():
    board = Board()
    board.began(AT, NOW)
    board.answered(AT, began_at=NOW, now=NOW + 1)
    board.ended(AT, NOW)
    fail(board, "server_error")
    assert board.to_tell("acme", NOW + 1) is None


LIES = [
    Record(failures=1, until=float("nan"), changed_at=NOW),
    Record(failures=1, until=float("inf"), changed_at=NOW),
    Record(failures=1, until=NOW + 1e9, changed_at=NOW),
    Record(failures=1, told_until=NOW + 1e9, changed_at=NOW),
    Record(failures=1, until=NOW + 5, changed_at=NOW + 1e6),
    Record(failures=-3, until=NOW + 5, changed_at=NOW),
]


@pytest.mark.parametrize("lie", LIES)
def test_what_cannot_be_is_not_believed(lie):
    board = Board()
    data = msgspec.msgpack.encode([("e", "m", lie)])
    board.hear("acme", Row(pk="p", sk="0", data=data, expires_at=int(NOW) + 60), NOW)
    assert board.standing(AT, NOW) == (0.0, False, 0.0)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_row_raises(data):
    board = Board()
    board.hear("acme", Row(pk="p", sk="0", data=data, expires_at=int(NOW) + 60), NOW)
    board.standing(AT, NOW)


def test_an_expired_row_is_not_heard():
    here, there = Board(), Board()
    fail(here, "silent")
    row = here.to_tell("acme", NOW)
    there.hear("acme", row, row.expires_at)
    there.hear("acme", None, NOW)
    assert there.standing(AT, NOW) == (0.0, False, 0.0)


def test_a_board_forgets_rather_than_grow():
    board = Board()
    for i in range(health.MOST_RECORDS + 50):
        fail(board, "silent", at=Place("acme", f"e{i}", "m"))
        board.answered(Place("acme", f"f{i}", "m"), began_at=NOW, now=NOW)
    assert not doubtful(board, NOW, Place("acme", "e0", "m"))
    assert doubtful(board, NOW, Place("acme", f"e{health.MOST_RECORDS + 49}", "m"))
    row = board.to_tell("acme", NOW)
    assert len(msgspec.msgpack.decode(row.data)) == health.MOST_SHARED


KINDS = st.sampled_from([*failures.RULES])


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), KINDS),
            st.floats(0, 100),
            st.floats(0, 50),
            st.one_of(st.none(), st.floats(0, 1e9)),
        ),
        max_size=40,
    )
)
def test_whatever_happens_cooling_is_bounded_and_one_answer_ends_it(events):
    board, now = Board(), NOW
    for kind, pause, took, after in events:
        now += pause
        began = now
        board.began(AT, began)
        now += took
        if kind is None:
            board.answered(AT, began_at=began, now=now)
        else:
            board.failed(AT, failure(kind, after=after), began_at=began, now=now)
        board.ended(AT, began)
        standing = board.standing(AT, now)
        assert standing.until <= now + LONGEST_S
    now += LONGEST_S
    assert not doubtful(board, now)
    board.began(AT, now)
    board.answered(AT, began_at=now, now=now + 1)
    assert board.standing(AT, now + 1) == (0.0, False, 0.0)
