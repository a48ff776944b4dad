"""What a Bedrock model is told of thinking, and which sampling goes with it."""

from typing import Any

import pytest
from msgspec import Raw

from core.errors import BadRequestError
from core.neutral import Facts, Message, Text, Thinking, ToolChoice
from tests.core.dialects.converse_bodies import CALLED, CLAUDE, HI, NOVA, WEATHER, body, rendered

NOVA_2 = "us.amazon.nova-2-lite-v1:0"
GPT_OSS = "openai.gpt-oss-120b-1:0"
TEMPERATURE = {"temperature": Raw(b"0.5"), "top_p": Raw(b"0.9"), "top_k": Raw(b"7")}


@pytest.mark.parametrize(
    ("model", "facts", "thinking", "additional", "inference", "lost"),
    [
        (
            CLAUDE,
            Facts(),
            Thinking(effort="medium"),
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            {"maxTokens": 4096},
            ("temperature", "top_p", "top_k"),
        ),
        (
            CLAUDE,
            Facts(max_output_tokens=500),
            Thinking(budget=600),
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            {"maxTokens": 1536},
            ("temperature", "top_p", "top_k"),
        ),
        (
            CLAUDE,
            Facts(thinking="adaptive"),
            Thinking(effort="minimal"),
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
            {},
            ("temperature", "top_p", "top_k"),
        ),
        (
            CLAUDE,
            Facts(thinking="adaptive"),
            Thinking(),
            {"thinking": {"type": "adaptive"}},
            {},
            ("temperature", "top_p", "top_k"),
        ),
        (
            NOVA_2,
            Facts(),
            Thinking(effort="minimal"),
            {
                "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"},
                "inferenceConfig": {"topK": 7},
            },
            {"temperature": 0.5, "topP": 0.9},
            (),
        ),
        (
            NOVA_2,
            Facts(),
            Thinking(),
            {
                "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"},
                "inferenceConfig": {"topK": 7},
            },
            {"temperature": 0.5, "topP": 0.9},
            (),
        ),
        (
            NOVA_2,
            Facts(),
            Thinking(effort="xhigh"),
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}},
            {},
            ("temperature", "top_p", "top_k"),
        ),
        (
            GPT_OSS,
            Facts(),
            Thinking(budget=100),
            {"reasoning_effort": "low"},
            {"temperature": 0.5, "topP": 0.9},
            ("top_k",),
        ),
        (
            NOVA,
            Facts(),
            Thinking(effort="low"),
            {"inferenceConfig": {"topK": 7}},
            {"temperature": 0.5, "topP": 0.9},
            ("thinking",),
        ),
        (
            CLAUDE,
            Facts(reasoning=False),
            Thinking(effort="low"),
            {"top_k": 7},
            {"temperature": 0.5, "topP": 0.9},
            ("thinking",),
        ),
        (
            CLAUDE,
            Facts(),
            Thinking(enabled=False),
            {"top_k": 7},
            {"temperature": 0.5, "topP": 0.9},
            (),
        ),
        (
            CLAUDE,
            Facts(thinking="adaptive", sampling=False),
            Thinking(enabled=False),
            {"thinking": {"type": "disabled"}},
            {},
            ("temperature", "top_p", "top_k"),
        ),
    ],
)
def test_thinking_and_what_goes_with_it(
    model: str, facts: Facts, thinking: Thinking, additional: Any, inference: Any, lost: Any
) -> None:
    given, out = rendered(facts, model=model, thinking=thinking, parameters=TEMPERATURE)
    assert given["additionalModelRequestFields"] == additional
    assert given["inferenceConfig"] == inference
    assert out.dropped == lost


def test_thinking_at_temperature_one_loses_nothing() -> None:
    given, out = rendered(thinking=Thinking(), parameters={"temperature": Raw(b"1.0")})
    assert "temperature" not in given["inferenceConfig"]
    assert out.dropped == ()


def test_a_thinking_claude_is_not_forced_to_a_tool() -> None:
    given, out = rendered(thinking=Thinking(), tools=(WEATHER,), tool_choice=ToolChoice("required"))
    assert "toolChoice" not in given["toolConfig"]
    assert out.dropped == ("tool_choice",)


def test_a_nova_that_thinks_hard_has_no_limit() -> None:
    given, out = rendered(model=NOVA_2, thinking=Thinking(effort="high"), max_tokens=9)
    assert given["inferenceConfig"] == {}
    assert out.dropped == ("max_tokens",)


def test_a_temperature_above_one_is_one() -> None:
    given, out = rendered(parameters={"temperature": Raw(b"1.7")})
    assert given["inferenceConfig"] == {"temperature": 1}
    assert out.dropped == ("temperature>1",)


def test_a_temperature_that_is_no_number_is_refused() -> None:
    with pytest.raises(BadRequestError, match="number"):
        body(parameters={"temperature": Raw(b'"hot"')})


THINKS = Thinking(budget=2000)
LOOP = (*HI, *CALLED)


@pytest.mark.parametrize(
    ("messages", "thinks"),
    [
        (HI, True),
        (LOOP, False),
        ((*HI, Message("assistant", (Text("It is"),))), False),
        ((*LOOP, Message("assistant", (Text("Fine."),)), *HI), True),
    ],
)
def test_claude_thinks_where_what_it_began_began_with_a_thought(
    messages: tuple[Message, ...], thinks: bool
) -> None:
    given, out = rendered(messages=messages, model=CLAUDE, thinking=THINKS, max_tokens=4000)
    assert ("additionalModelRequestFields" in given) is thinks
    assert ("thinking" in out.dropped) is not thinks
    given = body(messages=messages, model=NOVA_2, thinking=THINKS, max_tokens=4000)
    assert "additionalModelRequestFields" in given


def test_a_budget_leaves_room_for_an_answer_within_the_models_limit() -> None:
    facts = Facts(max_output_tokens=32000)
    given, out = rendered(
        facts, model=CLAUDE, messages=HI, thinking=Thinking(budget=32768), max_tokens=32000
    )
    assert given["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 30976
    assert given["inferenceConfig"]["maxTokens"] == 32000
    assert out.dropped == ("thinking>30976",)


def test_claude_gets_no_stop_sequence_of_white_space() -> None:
    stops = {"stop": Raw(b'["\\n","END"]')}
    given, out = rendered(model=CLAUDE, messages=HI, parameters=stops)
    assert (given["inferenceConfig"]["stopSequences"], out.dropped) == (["END"], ("stop",))
    given, out = rendered(model=CLAUDE, messages=HI, parameters={"stop": Raw(b'[" "]')})
    assert "stopSequences" not in given["inferenceConfig"]
    given, out = rendered(model=NOVA, messages=HI, parameters=stops)
    assert (given["inferenceConfig"]["stopSequences"], out.dropped) == (["\n", "END"], ())


def test_a_model_that_always_thinks_does_it_as_little_as_it_can_and_says_so() -> None:
    given, out = rendered(model=GPT_OSS, messages=HI, thinking=Thinking(enabled=False))
    assert given["additionalModelRequestFields"] == {"reasoning_effort": "low"}
    assert out.dropped == ("thinking",)
