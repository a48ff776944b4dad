"""Ids of tool calls: a provider's own wherever they tell calls apart, else ours."""

import re

import pytest

from core import call_ids
from core.neutral import Choice, Reply, Text, TextDelta, ToolCall, ToolCallStarted, unfold


def reply(*choices: tuple[str, ...]) -> Reply:
    return Reply(
        choices=tuple(
            Choice(parts=(Text("a"), *(ToolCall(id=i, name="f", arguments="{}") for i in ids)))
            for ids in choices
        )
    )


def ids_of(answer: Reply) -> list[list[str]]:
    return [[p.id for p in c.parts if isinstance(p, ToolCall)] for c in answer.choices]


def streamed(answer: Reply, seed: str) -> list[list[str]]:
    step = call_ids.step(seed)
    said = [settled for delta in unfold(answer) for settled in step(delta)]
    told = [delta for delta in said if isinstance(delta, ToolCallStarted)]
    return [[d.id for d in told if d.choice == choice] for choice in range(len(answer.choices))]


@pytest.mark.parametrize(
    "given",
    [(("call_1", "call_2"),), (("call_1",), ("call_1",)), ((),)],
    ids=["two calls", "the same id in two choices", "none"],
)
def test_good_ids_stay(given: tuple[tuple[str, ...], ...]):
    answer = reply(*given)
    assert call_ids.settled(answer, "req_1") is answer
    assert streamed(answer, "req_1") == [[*ids] for ids in given]


def test_empty_and_repeated_ids_become_ours():
    answer = reply(("", "call_1", "", "call_1"))
    (ids,) = ids_of(call_ids.settled(answer, "req_1"))
    assert ids[1] == "call_1"
    assert len({*ids}) == 4
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", call_id) for call_id in ids)


def test_they_are_the_same_whole_and_streamed_and_others_in_the_next_answer():
    answer = reply(("", ""), ("",))
    first = ids_of(call_ids.settled(answer, "req_1"))
    assert first == streamed(answer, "req_1") == ids_of(call_ids.settled(answer, "req_1"))
    second = ids_of(call_ids.settled(answer, "req_2"))
    assert not {*first[0], *first[1]} & {*second[0], *second[1]}


def test_other_deltas_pass():
    delta = TextDelta(0, "a")
    (passed,) = call_ids.step("req_1")(delta)
    assert passed is delta
