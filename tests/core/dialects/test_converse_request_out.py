"""A neutral request, as the body that Bedrock takes: its tools, its schema, its fields."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from core import envelope as envelopes
from core.dialects import converse, openai_chat
from core.errors import BadRequestError
from core.neutral import Facts, Schema, Thinking, Tool, ToolCall, ToolChoice
from tests.core.dialects.converse_bodies import (
    CALLED,
    CLAUDE,
    CLOCK,
    LLAMA,
    NOVA,
    OWN,
    WEATHER,
    body,
    content,
    dropped,
    rendered,
)

MISTRAL = "mistral.mistral-large-3-675b-instruct"
SCHEMA = Schema(name="City", schema=Raw(b'{"type": "object"}'))
CLOSED = '{"type":"object","properties":{},"additionalProperties":false}'


def test_the_request_of_the_reference_proxy() -> None:
    chat = {
        "model": "amazon.nova-pro-v1:0",
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}],
        "temperature": 0.2,
        "top_p": 0.5,
        "max_tokens": 9,
        "stop": "X",
        "seed": 1,
    }
    request = openai_chat.parse_request(envelopes.split(msgspec.json.encode(chat)))
    out = converse.render_request(request, Facts())
    assert msgspec.json.decode(out.body) == {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "system": [{"text": "S"}],
        "inferenceConfig": {
            "maxTokens": 9,
            "temperature": 0.2,
            "topP": 0.5,
            "stopSequences": ["X"],
        },
    }
    assert out.dropped == ("seed",)


def test_neither_the_model_nor_the_stream_is_in_the_body() -> None:
    assert (
        body(stream=True)
        == body()
        == {
            "messages": [{"role": "user", "content": [{"text": "hi"}]}],
            "inferenceConfig": {},
        }
    )


def test_tools_are_specs() -> None:
    assert body(tools=(WEATHER, CLOCK))["toolConfig"] == {
        "tools": [
            {
                "toolSpec": {
                    "name": "weather",
                    "description": "d",
                    "inputSchema": {"json": {"type": "object"}},
                }
            },
            {
                "toolSpec": {
                    "name": "clock",
                    "inputSchema": {"json": {"type": "object", "properties": {}}},
                }
            },
        ]
    }


@pytest.mark.parametrize("name", ["a.b", "", "x" * 65, "a\n"])
def test_a_name_that_bedrock_takes_for_no_tool_is_refused(name: str) -> None:
    with pytest.raises(BadRequestError, match="tool named") as caught:
        body(tools=(Tool(name=name),))
    assert caught.value.param == "tools"


def test_strict_tools_only_where_the_model_knows_schemas() -> None:
    strict = Tool(name="f", strict=True)
    native = body(Facts(native_schema=True), tools=(strict,))
    assert native["toolConfig"]["tools"][0]["toolSpec"]["strict"] is True
    given, out = rendered(tools=(strict, strict))
    assert "strict" not in given["toolConfig"]["tools"][0]["toolSpec"]
    assert out.dropped == ("tools.strict",)


AUTO, NONE = ToolChoice("auto"), ToolChoice("none")


REQUIRED, NAMED = ToolChoice("required"), ToolChoice("named", "weather")


@pytest.mark.parametrize(
    ("model", "tools", "choice", "wire"),
    [
        (CLAUDE, 2, None, None),
        (CLAUDE, 2, AUTO, None),
        (CLAUDE, 2, REQUIRED, {"any": {}}),
        (NOVA, 2, NAMED, {"tool": {"name": "weather"}}),
        (OWN, 2, NAMED, {"tool": {"name": "weather"}}),
        (MISTRAL, 2, REQUIRED, {"any": {}}),
        (MISTRAL, 1, NAMED, {"any": {}}),
    ],
)
def test_tool_choice_in_the_words_of_the_model(
    model: str, tools: int, choice: ToolChoice | None, wire: Any
) -> None:
    given, out = rendered(model=model, tools=(WEATHER, CLOCK)[:tools], tool_choice=choice)
    assert given["toolConfig"].get("toolChoice") == wire
    assert out.dropped == ()


@pytest.mark.parametrize(("model", "choice"), [(MISTRAL, NAMED), (LLAMA, REQUIRED), (LLAMA, NAMED)])
def test_a_choice_that_a_model_cannot_be_told_is_dropped_and_named(
    model: str, choice: ToolChoice
) -> None:
    given, out = rendered(model=model, tools=(WEATHER, CLOCK), tool_choice=choice)
    assert "toolChoice" not in given["toolConfig"]
    assert out.dropped == ("tool_choice",)


def test_no_tools_wanted_are_no_tools_sent() -> None:
    given, out = rendered(tools=(WEATHER,), tool_choice=NONE)
    assert "toolConfig" not in given
    assert out.dropped == ()


def test_tools_stay_where_the_conversation_used_some_even_if_none_are_wanted() -> None:
    given, out = rendered(messages=CALLED, tools=(WEATHER, CLOCK), tool_choice=NONE)
    assert len(given["toolConfig"]["tools"]) == 2
    assert "toolChoice" not in given["toolConfig"]
    assert out.dropped == ("tool_choice",)


def test_tools_that_were_used_are_described_though_the_client_no_longer_does() -> None:
    (tool,) = body(messages=CALLED)["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] == "weather"


def test_one_call_at_a_time_is_nothing_that_converse_can_ask_for() -> None:
    assert dropped(tools=(WEATHER,), parallel_tool_calls=False) == ("parallel_tool_calls",)
    assert dropped(parallel_tool_calls=False) == ()


def test_claude_is_asked_which_stop_sequence_it_was() -> None:
    stop = {"stop": Raw(b'["X"]')}
    assert body(parameters=stop)["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    assert "additionalModelResponseFieldPaths" not in body(model=NOVA, parameters=stop)


def test_structured_output_is_a_forced_tool() -> None:
    given, out = rendered(schema=SCHEMA)
    (tool,) = given["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] == out.tool_as_text == "json"
    assert tool["toolSpec"]["inputSchema"] == {"json": {"type": "object"}}
    assert given["toolConfig"]["toolChoice"] == {"tool": {"name": "json"}}


def test_structured_output_after_tools_were_used_describes_these_too() -> None:
    given = body(schema=Schema(), messages=CALLED)
    names = [tool["toolSpec"]["name"] for tool in given["toolConfig"]["tools"]]
    assert names == ["json", "weather"]


def test_structured_output_while_thinking_does_not_force() -> None:
    given, out = rendered(schema=SCHEMA, thinking=Thinking())
    assert "toolChoice" not in given["toolConfig"]
    assert out.tool_as_text == "json"


@pytest.mark.parametrize("beside", [{"tools": (WEATHER,)}, {"thinking": Thinking()}])
def test_beside_tools_or_thinking_a_schema_is_native_where_the_model_has_that(
    beside: dict[str, Any],
) -> None:
    closed = Schema(name="City", schema=Raw(CLOSED.encode()))
    given, out = rendered(Facts(native_schema=True), schema=closed, **beside)
    assert given["outputConfig"] == {
        "textFormat": {
            "type": "json_schema",
            "structure": {"jsonSchema": {"schema": CLOSED, "name": "City"}},
        }
    }
    assert out.tool_as_text is None


@pytest.mark.parametrize(
    ("facts", "schema"), [(Facts(), SCHEMA), (Facts(native_schema=True), Schema())]
)
def test_structured_output_beside_tools_is_refused_where_there_is_no_way(
    facts: Facts, schema: Schema
) -> None:
    with pytest.raises(BadRequestError, match="structured"):
        body(facts, tools=(WEATHER,), schema=schema)


def test_what_the_client_lost_before_is_named_first() -> None:
    assert dropped(dropped=("mystery",), parameters={"seed": Raw(b"1")}) == ("mystery", "seed")


@pytest.mark.parametrize("ids", [("c|1", "c/1"), ("a" * 70, "b" + "a" * 69)])
def test_ids_that_bedrock_takes_for_one_stay_two(ids: tuple[str, str]) -> None:
    calls = content(*(ToolCall(id=given, name="f", arguments="") for given in ids))
    written = [block["toolUse"]["toolUseId"] for block in calls]
    assert len({*written}) == 2
    assert all(len(given) <= 64 for given in written)
