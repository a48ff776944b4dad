"""A neutral request, as the body that Anthropic takes: its tools, its schema, its fields."""

from typing import Any

import pytest

from core.dialects import anthropic
from core.errors import BadRequestError
from core.neutral import Facts, Schema, Thinking, Tool, ToolCall, ToolChoice
from tests.core.dialects.anthropic_bodies import CACHED, F, fields, render
from tests.core.dialects.wire import raw, rendered, request, turn

PLAIN = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}
WIRE_F = {"name": "f", "input_schema": {"type": "object"}}
NATIVE = Facts(native_schema=True)
SCHEMA = Schema(schema=raw('{"type":"object","properties":{}}'))
CLOSED = {"type": "object", "properties": {}, "additionalProperties": False}


def test_the_smallest_request_byte_for_byte():
    assert render(request(max_tokens=5)).body == (
        b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],'
        b'"max_tokens":5}'
    )


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        pytest.param(None, None, None, id="nothing said"),
        pytest.param(None, True, None, id="several at once is what Anthropic does anyway"),
        pytest.param(
            None, False, {"type": "auto", "disable_parallel_tool_use": True}, id="one at a time"
        ),
        pytest.param(ToolChoice("auto"), None, {"type": "auto"}, id="auto"),
        pytest.param(ToolChoice("none"), False, {"type": "none"}, id="none"),
        pytest.param(ToolChoice("required"), None, {"type": "any"}, id="required"),
        pytest.param(
            ToolChoice("named", "f"),
            False,
            {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
            id="named, one at a time",
        ),
    ],
)
def test_tool_choice(choice: ToolChoice | None, parallel: bool | None, expected: Any):
    given = fields(tools=(F,), tool_choice=choice, parallel_tool_calls=parallel, max_tokens=5)
    assert given.get("tool_choice") == expected


@pytest.mark.parametrize(
    ("tool", "facts", "wire"),
    [
        pytest.param(
            Tool(name="f"),
            Facts(),
            {"name": "f", "input_schema": {"type": "object", "properties": {}}},
            id="a tool without parameters",
        ),
        pytest.param(
            Tool(name="f", description="d", schema=F.schema, cache_control=CACHED),
            Facts(),
            {**WIRE_F, "description": "d", "cache_control": {"type": "ephemeral"}},
            id="a tool with all that it has",
        ),
        pytest.param(
            Tool(name="f", schema=SCHEMA.schema, strict=True),
            NATIVE,
            {"name": "f", "input_schema": CLOSED, "strict": True},
            id="a strict tool of a model that can be held to a schema",
        ),
        pytest.param(
            Tool(name="f", schema=F.schema, strict=True),
            NATIVE,
            WIRE_F,
            id="a strict tool whose schema has no held form",
        ),
        pytest.param(
            Tool(name="f", schema=F.schema, strict=True),
            Facts(),
            WIRE_F,
            id="a strict tool of a model that cannot",
        ),
        pytest.param(
            Tool(name="f", schema=F.schema, strict=False), NATIVE, WIRE_F, id="not strict"
        ),
    ],
)
def test_tools(tool: Tool, facts: Facts, wire: Any):
    assert fields(facts, tools=(tool,))["tools"] == [wire]


@pytest.mark.parametrize(("facts", "dropped"), [(Facts(), ("tools.strict",)), (NATIVE, ())])
def test_a_strict_tool_that_is_not_held_to_its_schema_is_told(
    facts: Facts, dropped: tuple[str, ...]
):
    given = request(tools=(Tool(name="f", schema=SCHEMA.schema, strict=True),))
    assert render(given, facts).dropped == dropped


@pytest.mark.parametrize("choice", [ToolChoice("required"), ToolChoice("named", "f")])
def test_a_model_that_thinks_is_not_forced_to_a_tool(choice: ToolChoice):
    given = request(tools=(F,), tool_choice=choice, thinking=Thinking())
    assert render(given).dropped == ("tool_choice",)
    assert rendered(anthropic.render_request, given)["tool_choice"] == {"type": "auto"}


def test_a_choice_without_tools_is_not_said():
    assert fields(tool_choice=ToolChoice("none"), parallel_tool_calls=False, max_tokens=5) == {
        "max_tokens": 5
    }


STAND_IN = {
    "name": "json",
    "description": "Output the result in JSON format",
    "input_schema": {"type": "object", "properties": {}},
}


def test_a_tool_stands_in_for_a_schema():
    for facts in (Facts(), NATIVE):
        given = request(schema=SCHEMA, max_tokens=5)
        assert fields(facts, schema=SCHEMA, max_tokens=5) == {
            "max_tokens": 5,
            "tools": [STAND_IN],
            "tool_choice": {"type": "tool", "name": "json"},
        }
        assert render(given, facts).tool_as_text == "json"


def test_a_tool_stands_in_for_any_json_object():
    given = fields(schema=Schema(), max_tokens=5)
    assert given["tools"] == [{**STAND_IN, "input_schema": {"type": "object"}}]


def test_a_model_that_thinks_is_offered_the_stand_in_not_forced():
    given = request(schema=SCHEMA, thinking=Thinking())
    body = rendered(anthropic.render_request, given)
    assert (body["tools"], "tool_choice" in body) == ([STAND_IN], False)
    assert render(given).tool_as_text == "json"


@pytest.mark.parametrize("more", [{"tools": (F,)}, {"thinking": Thinking()}])
def test_a_schema_beside_tools_or_thinking_is_the_models_own_business(more: dict[str, Any]):
    given = request(schema=SCHEMA, **more)
    body = rendered(anthropic.render_request, given, NATIVE)
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": CLOSED}}
    assert render(given, NATIVE).tool_as_text is None


@pytest.mark.parametrize(
    ("schema", "facts"),
    [
        pytest.param(SCHEMA, Facts(), id="a schema for a model that takes none"),
        pytest.param(Schema(), NATIVE, id="any JSON object"),
    ],
)
def test_structured_output_beside_tools_is_a_400_where_the_model_cannot(
    schema: Schema, facts: Facts
):
    with pytest.raises(BadRequestError) as caught:
        render(request(schema=schema, tools=(F,)), facts)
    assert caught.value.param == "response_format"


@pytest.mark.parametrize(
    "arguments", ["[1]", '"a"', "{", "5", '{"a":' * 50_000 + "1" + "}" * 50_000]
)
def test_arguments_that_are_no_object_are_a_400(arguments: str):
    call = ToolCall(id="t", name="f", arguments=arguments)
    with pytest.raises(BadRequestError, match="no JSON object"):
        render(request(turn("assistant", call)))


def test_a_stream_is_asked_for():
    assert fields(stream=True, max_tokens=5) == {"stream": True, "max_tokens": 5}
