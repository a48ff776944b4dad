"""The measure itself: what two answers must share, what a rule forgives, what a reader reads."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.conformance import agreement, readers, report
from tests.conformance.agreement import differing, expected, normal
from tests.conformance.measure import Pair
from tests.e2e.canonical import Answer, BrokenStreamError, Choice, Thought, Tokens, ToolCall

CALL = ToolCall("c1", "f", {"a": 1})
SAID = Choice(text="a", reasoning=(Thought("hm"),), tool_calls=(CALL,), finish="tool_calls")
USED = Tokens(input=9, output=5, cache_read=4, reasoning=2)
ANSWER = Answer(choices=(SAID,), usage=USED)


def but(**fields: Any) -> Answer:
    return replace(ANSWER, choices=(replace(SAID, **fields),))


@pytest.mark.parametrize(
    ("shown", "aspects"),
    [
        (ANSWER, ()),
        (but(text="b"), ("text",)),
        (but(refusal="no"), ("text",)),
        (but(tool_calls=(ToolCall("c1", "g", {"a": 1}),)), ("tool calls",)),
        (but(tool_calls=(ToolCall("c1", "f", {"a": 2}),)), ("tool calls",)),
        (but(tool_calls=(ToolCall("", "f", {"a": 1}),)), ("tool calls",)),
        (but(tool_calls=(ToolCall("other", "f", {"a": 1}),)), ()),
        (but(reasoning=(Thought("h"), Thought("m"))), ()),
        (but(reasoning=()), ("reasoning",)),
        (but(finish="stop"), ()),
        (but(finish="length"), ("finish reason",)),
        (replace(ANSWER, usage=replace(USED, output=6)), ("usage",)),
        (replace(ANSWER, usage=None), ("usage",)),
        (Answer(error=500), ("error class",)),
        (Answer(), ("text",)),
    ],
)
def test_an_answer_agrees_in_all_aspects_or_says_in_which_not(
    shown: Answer, aspects: tuple[str, ...]
) -> None:
    assert differing(normal(ANSWER), shown) == aspects


def test_an_error_is_compared_by_its_status_if_it_has_one() -> None:
    assert differing(Answer(error=429), Answer(error=429)) == ()
    assert differing(Answer(error=429), Answer(error=500)) == ("error class",)
    assert differing(readers.FAILED, Answer(error=500)) == ()
    assert differing(readers.FAILED, ANSWER) == ("error class",)
    assert differing(readers.FAILED, Answer(error=-1)) == ("error class",)


def test_a_block_without_a_word_may_be_told_in_ours() -> None:
    blocked = Answer(choices=(Choice(finish="content_filter"),))
    told = Answer(choices=(Choice(refusal="It was blocked.", finish="content_filter"),))
    assert differing(blocked, told) == ()


@pytest.mark.parametrize(
    ("client", "given", "shown", "rule"),
    [
        ("anthropic", replace(ANSWER, choices=(SAID, SAID)), ANSWER, "one answer"),
        ("converse", ANSWER, replace(ANSWER, usage=replace(USED, reasoning=0)), "reasoning not"),
        (
            "openai_chat",
            but(tool_calls=(), finish="other"),
            but(tool_calls=(), finish="stop"),
            "no",
        ),
        ("openai_responses", but(finish=None), ANSWER, "an end"),
        (
            "anthropic",
            replace(ANSWER, usage=replace(USED, cache_read=12)),
            replace(ANSWER, usage=replace(USED, cache_read=12, input=12)),
            "cached",
        ),
        ("gemini", but(refusal="no"), but(text="ano", finish="content_filter"), "refusal"),
    ],
)
def test_a_rule_says_what_is_shown_instead(
    client: Any, given: Answer, shown: Answer, rule: str
) -> None:
    found, rules = expected(given, client)
    assert found == shown
    assert len(rules) == 1
    assert rules[0].startswith(rule)


def test_what_a_client_can_say_needs_no_rule() -> None:
    for client in agreement.ALL - {"converse"}:
        assert expected(ANSWER, client) == (ANSWER, ())


PIECES = [
    {"name": "f"},
    {"partial_args": [{"json_path": "$.a.b[0]", "string_value": "on"}], "will_continue": True},
    {"partial_args": [{"json_path": "$.a.b[0]", "string_value": "e"}], "will_continue": True},
    {"partial_args": [{"json_path": "$.a.b[1]", "number_value": 2}]},
    {},
]


def test_gemini_gives_arguments_in_pieces() -> None:
    chunks = [
        {"candidates": [{"content": {"parts": [{"function_call": piece}]}}]} for piece in PIECES
    ]
    answer = readers.from_gemini([*chunks, {"candidates": [{"finish_reason": "STOP"}]}])
    assert answer.choices[0].tool_calls == (ToolCall(None, "f", {"a": {"b": ["one", 2]}}),)


def test_numbers_of_vertex_are_words() -> None:
    raw = {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": 2}]}
    answer = readers.from_gemini([readers.in_words(raw)])
    assert answer.choices == (Choice(text="a", finish="length"),)


RESPONSE = {
    "status": "completed",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "ab"}]}],
}


def test_the_deltas_of_a_response_must_say_what_its_end_says() -> None:
    end = {"type": "response.completed", "response": RESPONSE}
    deltas = [{"type": "response.output_text.delta", "delta": text} for text in "ab"]
    assert readers.from_responses_stream([*deltas, end]).choices[0].text == "ab"
    with pytest.raises(BrokenStreamError):
        readers.from_responses_stream([deltas[0], end])
    with pytest.raises(BrokenStreamError):
        readers.from_responses_stream(deltas)


def test_a_converse_stream_has_its_blocks_in_order_and_an_end() -> None:
    said = {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "a"}}}
    over = {"contentBlockStop": {"contentBlockIndex": 0}}
    end = {"messageStop": {"stopReason": "end_turn"}}
    assert readers.from_converse_stream([said, over, end]).choices == (
        Choice(text="a", finish="stop"),
    )
    for wrong in ([said, over, said, end], [said, over], [end, said]):
        with pytest.raises(BrokenStreamError):
            readers.from_converse_stream(wrong)


def test_the_share_is_never_rounded_up_and_what_has_no_reason_is_named() -> None:
    pair = Pair(
        api="openai.chat", client="gemini", way="whole", recording="r-1", aspects=(), sides="x"
    )
    wrong = replace(pair, aspects=("text",))
    assert "99.99 %" in report.total([*([pair] * 29_999), wrong])
    assert "NOT EXPLAINED" in report.page([pair, wrong])
    assert "| `openai.chat` |  |  |  | 1 / 2 |  |" in report.page([pair, wrong])
