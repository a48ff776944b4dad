"""The comparator itself: what it joins, what it forgives, what it does not."""

from typing import Any

import pytest

from tests.e2e import canonical
from tests.e2e.canonical import Answer, BrokenStreamError, Choice, Thought, Tokens, ToolCall, agree
from tests.e2e.comparison import OWN_SDK, PAIRS, Shares, differences
from tests.e2e.explained import EXPLAINED, KEY_REFUSED, ONE_CHOICE, REFUSAL_AS_TEXT


def chunk(delta: dict[str, Any], **choice: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, **choice}]}


def test_the_two_dialects_reduce_to_the_same_answer() -> None:
    openai = {
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "content": "Let me look.",
                    "reasoning": [
                        {"id": "sig", "content": "Hm."},
                        {"id": "", "content": "", "redacted": "xyz"},
                    ],
                    "tool_calls": [
                        {"id": "c1", "function": {"name": "look", "arguments": '{"at": 1}'}}
                    ],
                },
            }
        ],
        "usage": {
            "prompt_tokens": 17,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }
    anthropic = {
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
            {"type": "redacted_thinking", "data": "xyz"},
            {"type": "text", "text": "Let me "},
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
            {"type": "text", "text": "look."},
            {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}},
        ],
        "stop_reason": "tool_use",
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 3,
            "cache_read_input_tokens": 4,
            "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 2},
        },
    }
    assert canonical.from_openai(openai) == canonical.from_anthropic(anthropic)


def test_openai_chunks_join_by_index() -> None:
    chunks = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning": {"index": 0, "content": "H"}}),
        chunk({"reasoning": {"index": 0, "content": "m."}}),
        chunk({"reasoning": {"index": 0, "id": "sig"}}),
        chunk({"reasoning": {"index": 1, "redacted": "xyz"}}),
        chunk({"content": "a"}),
        chunk({"content": "b"}),
        chunk({"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "g"}}]}),
        chunk({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f"}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}),
        chunk({}, finish_reason="tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    ]
    assert canonical.from_openai_stream(chunks) == Answer(
        choices=(
            Choice(
                text="ab",
                reasoning=(Thought("Hm.", "sig"), Thought(redacted="xyz")),
                tool_calls=(ToolCall("c1", "f", {}), ToolCall("c2", "g", {})),
                finish="tool_calls",
            ),
        ),
        usage=Tokens(input=1, output=2),
    )


def test_a_choice_that_finishes_twice_is_no_stream_of_openai() -> None:
    with pytest.raises(BrokenStreamError):
        canonical.from_openai_stream([chunk({}, finish_reason="stop")] * 2)


def anthropic_events(*between: dict[str, Any]) -> list[dict[str, Any]]:
    usage = {"input_tokens": 1, "output_tokens": 0}
    return [
        {"type": "message_start", "message": {"content": [], "usage": usage}},
        *between,
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"input_tokens": None, "output_tokens": 9},
        },
        {"type": "message_stop"},
    ]


_START = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
_DELTA = {
    "type": "content_block_delta",
    "index": 0,
    "delta": {"type": "text_delta", "text": "hi"},
}
_STOP = {"type": "content_block_stop", "index": 0}


def test_anthropic_events_join_and_later_usage_wins() -> None:
    answer = canonical.from_anthropic_stream(anthropic_events(_START, _DELTA, _DELTA, _STOP))
    assert answer == Answer(
        choices=(Choice(text="hihi", finish="stop"),), usage=Tokens(input=1, output=9)
    )


def test_what_follows_the_first_message_is_another_answer() -> None:
    first = anthropic_events(_START, _DELTA, _STOP)
    second = anthropic_events(_START, _DELTA, _DELTA, _STOP)
    both = canonical.from_anthropic_stream(first + second)
    assert both == canonical.from_anthropic_stream(first)


@pytest.mark.parametrize(
    "events",
    [
        [],
        anthropic_events(_START, _DELTA),
        anthropic_events(_DELTA),
        anthropic_events(_START, _START, _STOP),
        anthropic_events(_START, _STOP, _DELTA),
        anthropic_events({**_START, "index": 1}),
        anthropic_events()[:-1],
        [*anthropic_events(), {"type": "message_stop"}],
    ],
)
def test_anthropic_events_in_a_wrong_order_are_no_answer(events: list[dict[str, Any]]) -> None:
    with pytest.raises(BrokenStreamError):
        canonical.from_anthropic_stream(events)


def test_usage_and_ids_that_a_recording_lacks_are_not_compared() -> None:
    old = Answer(choices=(Choice(tool_calls=(ToolCall(None, "f", {}),)),))
    new = Answer(choices=(Choice(tool_calls=(ToolCall("call_1", "f", {}),)),), usage=Tokens())
    assert agree(old, new)
    nameless = Answer(choices=(Choice(tool_calls=(ToolCall("", "f", {}),)),), usage=Tokens())
    assert not agree(old, nameless)
    assert not agree(new, old)


def test_a_difference_needs_a_reason_and_a_reason_needs_the_difference() -> None:
    old, new = Answer(choices=(Choice(text="a"),)), Answer(choices=(Choice(text="b"),))
    assert not agree(old, new)
    assert KEY_REFUSED.instead(Answer(error=401)) == Answer(error=502)
    assert ONE_CHOICE.instead(Answer(choices=(*old.choices, *new.choices))) == old
    told = REFUSAL_AS_TEXT.instead(Answer(choices=(Choice(refusal="no", finish="stop"),)))
    assert told == Answer(choices=(Choice(text="no", finish="content_filter"),))


def test_every_pair_has_its_list_of_reasons() -> None:
    assert set(EXPLAINED) == set(PAIRS)
    exact = {(sdk, api) for sdk, api in PAIRS if Shares(sdk, api).exact}
    assert exact == {(sdk, api) for api, sdk in OWN_SDK.items()}


def test_differences_name_the_place() -> None:
    left, right = {"a": [{"b": 1}, 2], "c": 0}, {"a": [{"b": 3}, 2], "d": 0}
    assert [line.partition(":")[0] for line in differences(left, right)] == [
        "$.a[0].b",
        "$.c",
        "$.d",
    ]
