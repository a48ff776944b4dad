"""What a Claude is told of thinking, and what limit and sampling go with it."""

from typing import Any

import msgspec
import pytest

from core.dialects import anthropic
from core.errors import BadRequestError
from core.neutral import Facts, Message, Reasoning, Text, Thinking, ToolCall, ToolResult
from tests.core.dialects.anthropic_bodies import F, fields, render
from tests.core.dialects.wire import USER, raw, rendered, request, turn

ADAPTIVE = Facts(thinking="adaptive", sampling=False)
THINKS = {"temperature": 1}


@pytest.mark.parametrize(
    ("thinking", "most", "expected"),
    [
        pytest.param(Thinking(budget=3000), 1000, (3000, 4500), id="a budget raises max_tokens"),
        pytest.param(Thinking(budget=3000), 9000, (3000, 9000), id="a budget that fits"),
        pytest.param(Thinking(budget=5), 9000, (1024, 9000), id="the least budget"),
        pytest.param(Thinking(), 9000, (1024, 9000), id="enabled alone thinks the least"),
        pytest.param(Thinking(effort="minimal"), 20000, (2000, 20000), id="minimal effort"),
        pytest.param(Thinking(effort="low"), 10000, (2000, 10000), id="low effort"),
        pytest.param(Thinking(effort="medium"), 10000, (5000, 10000), id="medium effort"),
        pytest.param(Thinking(effort="high"), 10000, (8000, 10000), id="high effort"),
        pytest.param(Thinking(effort="xhigh"), 10000, (9000, 10000), id="very high effort"),
        pytest.param(Thinking(effort="novel"), 10000, (5000, 10000), id="an unknown effort"),
        pytest.param(Thinking(effort="low"), 1000, (1024, 1536), id="a small answer"),
    ],
)
def test_thinking_by_budget(thinking: Thinking, most: int, expected: tuple[int, int]):
    budget, max_tokens = expected
    assert fields(thinking=thinking, max_tokens=most) == {
        "thinking": {"type": "enabled", "budget_tokens": budget},
        "max_tokens": max_tokens,
        "temperature": 1,
    }


def test_a_budget_never_asks_for_more_than_the_model_gives():
    given = fields(
        Facts(max_output_tokens=64000), thinking=Thinking(budget=60000), max_tokens=50000
    )
    assert given["max_tokens"] == 64000


@pytest.mark.parametrize(
    ("thinking", "config"),
    [
        pytest.param(Thinking(), None, id="enabled alone"),
        pytest.param(Thinking(effort="minimal"), {"effort": "low"}, id="minimal"),
        pytest.param(Thinking(effort="max"), {"effort": "max"}, id="max"),
        pytest.param(Thinking(budget=1000), {"effort": "low"}, id="a small budget"),
        pytest.param(Thinking(budget=5000), {"effort": "medium"}, id="a medium budget"),
        pytest.param(Thinking(budget=9000), {"effort": "high"}, id="a large budget"),
    ],
)
def test_thinking_by_effort(thinking: Thinking, config: Any):
    expected = {"thinking": {"type": "adaptive"}, "max_tokens": 10000}
    if config:
        expected["output_config"] = config
    assert fields(ADAPTIVE, thinking=thinking, max_tokens=10000) == expected


def test_thinking_switched_off_is_said():
    assert fields(thinking=Thinking(enabled=False), max_tokens=5) == {
        "thinking": {"type": "disabled"},
        "max_tokens": 5,
    }


@pytest.mark.parametrize(
    ("enabled", "dropped"),
    [
        pytest.param(True, ("thinking",), id="asked for: told"),
        pytest.param(False, (), id="switched off: so it is"),
    ],
)
def test_a_model_that_does_not_think_is_not_asked_to(enabled: bool, dropped: tuple[str, ...]):
    given = request(thinking=Thinking(enabled=enabled), max_tokens=5)
    facts = Facts(reasoning=False)
    assert render(given, facts).dropped == dropped
    assert "thinking" not in rendered(anthropic.render_request, given, facts)


CALL = ToolCall(id="t1", name="f", arguments="")
RESULT = turn("user", ToolResult(call_id="t1", parts=()))
SIGNED = Reasoning(text="why", signature="sig")


@pytest.mark.parametrize(
    ("given", "facts", "thinks"),
    [
        pytest.param(
            [USER, turn("assistant", CALL), RESULT],
            Facts(),
            False,
            id="not in the middle of a tool loop that began without",
        ),
        pytest.param(
            [USER, turn("assistant", Text("a"), CALL), RESULT],
            Facts(),
            False,
            id="not after text and a call without thinking",
        ),
        pytest.param(
            [USER, turn("assistant", Reasoning(text="unsigned"), CALL), RESULT],
            Facts(),
            False,
            id="not after thinking that cannot be sent back",
        ),
        pytest.param(
            [USER, turn("assistant", Text("a"))], Facts(), False, id="not in a begun answer"
        ),
        pytest.param(
            [USER, turn("assistant", SIGNED, CALL), RESULT],
            Facts(),
            True,
            id="after thinking that was signed",
        ),
        pytest.param(
            [USER, turn("assistant", Reasoning(redacted="x"), CALL), RESULT],
            Facts(),
            True,
            id="after thinking that was sealed",
        ),
        pytest.param(
            [USER, turn("assistant", CALL), RESULT, turn("assistant", Text("a")), USER],
            Facts(),
            True,
            id="after a tool loop that is over",
        ),
        pytest.param(
            [USER, turn("assistant", CALL), RESULT],
            ADAPTIVE,
            True,
            id="anywhere where the model adapts",
        ),
    ],
)
def test_thinking_is_asked_for_only_where_anthropic_takes_it(
    given: list[Message], facts: Facts, thinks: bool
):
    out = render(request(*given, thinking=Thinking(budget=2000), tools=(F,)), facts)
    assert (b'"thinking":{' in out.body, "thinking" in out.dropped) == (thinks, not thinks)


@pytest.mark.parametrize(
    ("given", "facts", "expected", "dropped"),
    [
        pytest.param({"temperature": "0.70"}, Facts(), {"temperature": 0.7}, (), id="as it is"),
        pytest.param(
            {"temperature": "1.5"},
            Facts(),
            {"temperature": 1},
            ("temperature>1",),
            id="Anthropic's temperature ends at 1",
        ),
        pytest.param(
            {"temperature": "0.5", "top_p": "0.9", "top_k": "5"},
            ADAPTIVE,
            {},
            ("temperature", "top_p", "top_k"),
            id="a model that takes no sampling parameters",
        ),
        pytest.param(
            {"stop": '["a"]', "seed": "1", "n": "2"},
            Facts(),
            {"stop_sequences": ["a"]},
            ("seed", "n"),
            id="what Anthropic has no place for is told",
        ),
        pytest.param(
            {"stop": '["\\n","a"," "]'},
            Facts(),
            {"stop_sequences": ["a"]},
            ("stop",),
            id="a stop of white space is a 400 there",
        ),
        pytest.param(
            {"stop": '["\\n\\n"]'}, Facts(), {}, ("stop",), id="no stop is left of white space"
        ),
    ],
)
def test_sampling(given: Any, facts: Facts, expected: Any, dropped: tuple[str, ...]):
    parameters = {name: raw(value) for name, value in given.items()}
    asked = request(parameters=parameters, max_tokens=5)
    assert fields(facts, parameters=parameters, max_tokens=5) == {"max_tokens": 5, **expected}
    assert render(asked, facts).dropped == dropped


@pytest.mark.parametrize(
    ("given", "dropped"),
    [
        pytest.param({}, (), id="nothing asked"),
        pytest.param({"temperature": "1"}, (), id="1 is what it must be"),
        pytest.param({"temperature": "1.0"}, (), id="1.0 too"),
        pytest.param(
            {"temperature": "0", "top_p": "0.5", "top_k": "5"},
            ("top_p", "top_k", "temperature"),
            id="nothing else goes with thinking",
        ),
    ],
)
def test_a_model_that_thinks_has_temperature_1(given: Any, dropped: tuple[str, ...]):
    parameters = {name: raw(value) for name, value in given.items()}
    asked = request(parameters=parameters, thinking=Thinking())
    assert render(asked).dropped == dropped
    body = rendered(anthropic.render_request, asked)
    assert [body.get(name) for name in ("temperature", "top_p", "top_k")] == [1, None, None]


@pytest.mark.parametrize("value", ['"hot"', "[]", "{}"])
def test_a_temperature_that_is_no_number_is_a_400(value: str):
    with pytest.raises(BadRequestError) as caught:
        render(request(parameters={"temperature": raw(value)}))
    assert caught.value.param == "temperature"


def test_a_budget_leaves_room_for_an_answer_within_the_models_limit():
    facts = Facts(max_output_tokens=32000)
    given = request(thinking=Thinking(budget=32768), max_tokens=32000)
    out = render(given, facts)
    body = msgspec.json.decode(out.body)
    assert (body["thinking"]["budget_tokens"], body["max_tokens"]) == (30976, 32000)
    assert out.dropped == ("thinking>30976",)
