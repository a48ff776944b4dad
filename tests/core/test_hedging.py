"""When a second attempt starts, and how many of them may."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import hedging
from core.failover import Tries
from core.health import Board
from core.hedging import LEAST_S, MOST_SAVED, Budget, Hedges
from core.orgs import Hedge
from tests.driving import NOW, found, organisation

SETTING = Hedge(share=0.25)


def started(org, board):
    tries = Tries(found(org, board), org=org, board=board, now=NOW)
    return tries, tries.next(NOW)


def known(board, ranked, took=1.0):
    for _ in range(30):
        board.answered(ranked.place, began_at=NOW - took, now=NOW)


def test_it_starts_when_the_endpoint_is_slower_than_it_usually_is():
    org, board = organisation("a", "b"), Board()
    known(board, found(org, board)[0], took=1.5)
    tries, first = started(org, board)
    hedges = Hedges()
    assert hedges.after_s("acme", SETTING, first, board, NOW) == pytest.approx(1.5)
    second = hedges.second("acme", tries, NOW + 1.5)
    assert second is not None
    assert second.candidate.endpoint.name == "b"


def test_a_fast_endpoint_is_given_a_moment_all_the_same():
    org, board = organisation("a", "b"), Board()
    known(board, found(org, board)[0], took=0.001)
    _, first = started(org, board)
    assert Hedges().after_s("acme", SETTING, first, board, NOW) == LEAST_S


def test_without_the_setting_or_without_knowledge_there_is_none():
    org, board = organisation("a", "b"), Board()
    _, first = started(org, board)
    assert Hedges().after_s("acme", SETTING, first, board, NOW) is None
    known(board, found(org, board)[0])
    assert Hedges().after_s("acme", None, first, board, NOW) is None


def test_where_there_is_no_other_endpoint_nothing_is_spent():
    org, board = organisation("a"), Board()
    known(board, found(org, board)[0])
    tries, first = started(org, board)
    hedges = Hedges()
    assert hedges.after_s("acme", SETTING, first, board, NOW) is not None
    assert hedges.second("acme", tries, NOW + 2) is None
    two = organisation("a", "b")
    assert hedges.second("acme", started(two, board)[0], NOW + 2) is not None


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_no_more_than_the_share_of_the_requests_is_sent_twice(share):
    org, board, hedges = organisation("a", "b"), Board(), Hedges()
    known(board, found(org, board)[0])
    twice = 0
    for _ in range(500):
        tries, first = started(org, board)
        if hedges.after_s("acme", Hedge(share=share), first, board, NOW) is not None:
            twice += hedges.second("acme", tries, NOW + 1) is not None
        for number in range(1, tries.attempts + 1):
            tries.ended(number, NOW + 1)
    assert twice == pytest.approx(500 * share, abs=2)


def test_organisations_do_not_spend_each_others_budget():
    org, board, hedges = organisation("a", "b"), Board(), Hedges()
    assert hedges.second("one", started(org, board)[0], NOW) is not None
    assert hedges.second("one", started(org, board)[0], NOW) is None
    assert hedges.second("two", started(org, board)[0], NOW) is not None


@given(st.lists(st.booleans(), max_size=200), st.floats(0.001, 0.5))
def test_a_budget_is_never_overdrawn_and_saves_up_little(asked, share):
    budget = Budget()
    for hedge in asked:
        budget = hedging.after_request(budget, share)
        if hedge and hedging.may_hedge(budget):
            budget = hedging.after_hedge(budget)
        assert 0 <= budget.tokens <= MOST_SAVED
