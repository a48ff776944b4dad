"""A neutral request, written as a messages request."""

from typing import Any

import msgspec
import pytest

from core.dialects import anthropic
from core.errors import BadRequestError
from core.neutral import (
    Facts,
    Media,
    Message,
    Part,
    Reasoning,
    Refusal,
    Rendered,
    Request,
    Schema,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from tests.core.dialects.wire import USER, raw, rendered, request, turn

CACHED = raw('{"type":"ephemeral"}')
PLAIN = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}
F = Tool(name="f", schema=raw('{"type":"object"}'))
WIRE_F = {"name": "f", "input_schema": {"type": "object"}}
NATIVE = Facts(native_schema=True)
ADAPTIVE = Facts(thinking="adaptive", sampling=False)
SCHEMA = Schema(schema=raw('{"type":"object","properties":{}}'))
CLOSED = {"type": "object", "properties": {}, "additionalProperties": False}


def render(given: Request, facts: Facts | None = None) -> Rendered:
    return anthropic.render_request(given, facts or Facts())


def messages(*given: Message) -> Any:
    return rendered(anthropic.render_request, request(*given))["messages"]


def fields(facts: Facts | None = None, **given: Any) -> dict[str, Any]:
    """What the request holds beside its model and messages."""
    body = rendered(anthropic.render_request, request(**given), facts)
    return {name: value for name, value in body.items() if name not in ("model", "messages")}


def test_the_smallest_request_byte_for_byte():
    assert render(request(max_tokens=5)).body == (
        b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],'
        b'"max_tokens":5}'
    )


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        pytest.param(
            Text("a", CACHED), text("a", cache_control={"type": "ephemeral"}), id="text, cached"
        ),
        pytest.param(Refusal("no"), text("no"), id="a refusal is text"),
        pytest.param(
            Media(kind="image", media_type="image/png", data="AAAA", cache_control=CACHED),
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
                "cache_control": {"type": "ephemeral"},
            },
            id="an image",
        ),
        pytest.param(
            Media(kind="image", url="https://x.test/i.png", detail="low"),
            {"type": "image", "source": {"type": "url", "url": "https://x.test/i.png"}},
            id="an image at a URL",
        ),
        pytest.param(
            Media(kind="document", media_type="application/pdf", data="JVBE", name="a.pdf"),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
                "title": "a.pdf",
            },
            id="a PDF",
        ),
        pytest.param(
            Media(kind="document", media_type="text/plain", data="a,b"),
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "a,b"},
            },
            id="a text document",
        ),
        pytest.param(
            Reasoning(text="why", signature="sig"),
            {"type": "thinking", "thinking": "why", "signature": "sig"},
            id="thinking with its signature",
        ),
        pytest.param(
            Reasoning(redacted="sealed"),
            {"type": "redacted_thinking", "data": "sealed"},
            id="sealed thinking",
        ),
        pytest.param(
            ToolCall(id="t1", name="f", arguments='{"a": 1}', cache_control=CACHED),
            {
                "type": "tool_use",
                "id": "t1",
                "name": "f",
                "input": {"a": 1},
                "cache_control": {"type": "ephemeral"},
            },
            id="a tool call",
        ),
        *(
            pytest.param(
                ToolCall(id="t1", name="f", arguments=arguments),
                {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
                id=f"a tool call with the arguments {arguments!r} has none",
            )
            for arguments in ("", " \n", "null", "{}")
        ),
        pytest.param(
            ToolResult(call_id="t1", parts=(Text("42"),), is_error=True, cache_control=CACHED),
            {
                "type": "tool_result",
                "tool_use_id": "t1",
                "content": "42",
                "is_error": True,
                "cache_control": {"type": "ephemeral"},
            },
            id="a tool's error",
        ),
        pytest.param(
            ToolResult(call_id="t1", parts=()),
            {"type": "tool_result", "tool_use_id": "t1", "content": ""},
            id="an empty tool result",
        ),
        pytest.param(
            ToolResult(
                call_id="t1",
                parts=(Text("a"), Text(""), Media(kind="image", url="https://x.test/i.png")),
            ),
            {
                "type": "tool_result",
                "tool_use_id": "t1",
                "content": [
                    text("a"),
                    {"type": "image", "source": {"type": "url", "url": "https://x.test/i.png"}},
                ],
            },
            id="a tool result with an image",
        ),
        pytest.param(
            ToolResult(call_id="functions.f:0", parts=(Text("1"),)),
            {"type": "tool_result", "tool_use_id": "functions_f_0_b9a7d792", "content": "1"},
            id="a call's id holds only what Anthropic takes",
        ),
        pytest.param(
            ToolCall(id="functions.f:0", name="f", arguments=""),
            {"type": "tool_use", "id": "functions_f_0_b9a7d792", "name": "f", "input": {}},
            id="a call's id is the same in the call and its result",
        ),
    ],
)
def test_parts(part: Part, block: dict[str, Any]):
    assert messages(turn("user", part)) == [{"role": "user", "content": [block]}]


def test_arguments_are_the_bytes_that_the_model_wrote():
    call = ToolCall(id="t", name="f", arguments='{"b": 1.50, "a":"\\u00e9"}')
    assert b'"input":{"b": 1.50, "a":"\\u00e9"}' in render(request(turn("assistant", call))).body


def test_reasoning_without_a_signature_is_left_out_and_told():
    given = request(USER, turn("assistant", Reasoning(text="a"), Text("b")), USER)
    assert render(given).dropped == ("messages.reasoning",)
    assert messages(*given.messages)[1]["content"] == [text("b")]


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_a_text_without_a_word_is_left_out(blank: str):
    given = (
        turn("system", Text(blank)),
        turn("user", Text(blank), Text("a")),
        turn("assistant", Text(blank)),
    )
    body = rendered(anthropic.render_request, request(*given))
    assert "system" not in body
    assert body["messages"] == [{"role": "user", "content": [text("a")]}]


def test_system_and_developer_messages_go_to_the_system_prompt_in_order():
    body = rendered(
        anthropic.render_request,
        request(
            turn("system", Text("a", CACHED)),
            turn("user", Text("b")),
            turn("developer", Text("c")),
            turn("user", Text("d")),
        ),
    )
    assert body["system"] == [text("a", cache_control={"type": "ephemeral"}), text("c")]
    assert body["messages"] == [{"role": "user", "content": [text("b"), text("d")]}]


def test_results_come_first_in_the_turn_after_their_calls():
    calls = [ToolCall(id=f"t{n}", name="f", arguments="") for n in (1, 2)]
    given = messages(
        USER,
        turn("assistant", Text("a"), *calls),
        turn("user", ToolResult(call_id="t1", parts=())),
        turn("user", Text("and")),
        turn("user", ToolResult(call_id="t2", parts=())),
    )
    kinds = [[block["type"] for block in message["content"]] for message in given]
    assert kinds == [
        ["text"],
        ["text", "tool_use", "tool_use"],
        ["tool_result", "tool_result", "text"],
    ]


def test_the_order_of_an_interleaved_turn_is_kept():
    (assistant,) = messages(
        turn(
            "assistant",
            Reasoning(text="1", signature="s1"),
            Text("a"),
            Reasoning(redacted="x"),
            ToolCall(id="t1", name="f", arguments=""),
        )
    )
    kinds = [block["type"] for block in assistant["content"]]
    assert kinds == ["thinking", "text", "redacted_thinking", "tool_use"]


def test_a_name_is_told_as_dropped():
    given = request(Message("user", (Text("a"),), "ada"), dropped=("store",))
    assert render(given).dropped == ("store", "messages.name")


def test_the_beginning_of_an_answer_has_no_white_space_at_its_end():
    given = messages(USER, turn("assistant", Text("The answer is: \n")))
    assert given[-1]["content"] == [text("The answer is:")]


def test_white_space_at_the_end_of_an_earlier_answer_stays():
    given = messages(USER, turn("assistant", Text("a ")), USER)
    assert given[1]["content"] == [text("a ")]


@pytest.mark.parametrize(
    ("given", "facts", "expected"),
    [
        pytest.param({}, Facts(), 4096, id="a default"),
        pytest.param({}, Facts(max_output_tokens=64000), 64000, id="the most that the model takes"),
        pytest.param({"max_tokens": 5}, Facts(max_output_tokens=64000), 5, id="what was asked"),
    ],
)
def test_max_tokens_is_always_said(given: dict[str, Any], facts: Facts, expected: int):
    assert fields(facts, **given) == {"max_tokens": expected}


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


def test_audio_is_a_400():
    audio = Media(kind="audio", media_type="audio/wav", data="UklG")
    with pytest.raises(BadRequestError, match="audio"):
        render(request(turn("user", audio)))


def test_a_stream_is_asked_for():
    assert fields(stream=True, max_tokens=5) == {"stream": True, "max_tokens": 5}


def test_ids_that_differ_in_refused_characters_only_stay_apart():
    calls = tuple(ToolCall(id=name, name="f", arguments="{}") for name in ("a.b", "a_b", "a:b"))
    turns = (Message("user", (Text("x"),)), Message("assistant", calls))
    sent = anthropic.render_request(Request(model="m", messages=turns), Facts())
    body = msgspec.json.decode(sent.body)
    assert len({block["id"] for block in body["messages"][1]["content"]}) == 3


def test_a_budget_leaves_room_for_an_answer_within_the_models_limit():
    facts = Facts(max_output_tokens=32000)
    given = request(thinking=Thinking(budget=32768), max_tokens=32000)
    out = render(given, facts)
    body = msgspec.json.decode(out.body)
    assert (body["thinking"]["budget_tokens"], body["max_tokens"]) == (30976, 32000)
    assert out.dropped == ("thinking>30976",)


def test_an_image_in_a_system_message_is_refused():
    image = Media(kind="image", media_type="image/png", data="AA")
    with pytest.raises(BadRequestError):
        render(request(turn("system", image), turn("user", Text("hi"))))
