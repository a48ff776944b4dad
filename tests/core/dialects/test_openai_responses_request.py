"""What a client of OpenAI responses asks for, in the neutral form."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from core.dialects import openai_responses as dialect
from core.envelope import split
from core.errors import BadRequestError
from core.neutral import (
    Media,
    Message,
    Reasoning,
    Refusal,
    Request,
    Schema,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)


def parse(**fields: Any) -> Request:
    return dialect.parse_request(split(msgspec.json.encode({"model": "m", "input": "x", **fields})))


def messages(*items: dict) -> tuple[Message, ...]:
    return parse(input=list(items)).messages


def refused(**fields: Any) -> BadRequestError:
    with pytest.raises(BadRequestError) as caught:
        parse(**fields)
    return caught.value


def user(*content: dict) -> dict:
    return {"role": "user", "content": list(content)}


LOOKUP = {"type": "function", "name": "lookup", "parameters": {"type": "object"}}
CALL = {"type": "function_call", "call_id": "c1", "id": "fc_1", "name": "f", "arguments": "{}"}
CALLED = ToolCall(id="c1", name="f", arguments="{}")
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "R"}
ANSWERED = Message("user", (ToolResult(call_id="c1", parts=(Text("R"),)),))


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "x"},
        {"input": []},
        {"prompt": {"id": "p"}},
        {"previous_response_id": "r", "input": None},
        {"conversation": "c"},
    ],
)
def test_an_input_or_what_stands_for_it_is_enough(fields):
    dialect.check_request(split(msgspec.json.encode(fields)))


@pytest.mark.parametrize("fields", [{}, {"input": None}, {"input": 3}, {"prompt": None}])
def test_no_input_is_a_400_that_names_it(fields):
    with pytest.raises(BadRequestError) as caught:
        dialect.check_request(split(msgspec.json.encode(fields)))
    assert caught.value.param == "input"


def test_the_view_keeps_what_the_answer_repeats():
    body = b'{"model":"m","input":"x","stream":true,"temperature":1.50,"user":null,"seed":1}'
    view = dialect.view_of(split(body))
    assert (view.stream, view.usage_in_stream, view.model) == (True, True, "m")
    assert view.echo == {"temperature": Raw(b"1.50")}


def test_a_text_is_what_the_user_says_after_the_instructions():
    assert parse(instructions="Be brief.", input="Hi").messages == (
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("Hi"),)),
    )


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "input_text", "text": "a"}, Text("a")),
        ({"type": "output_text", "text": "a", "annotations": []}, Text("a")),
        ({"type": "refusal", "refusal": "no"}, Refusal("no")),
        (
            {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "low"},
            Media(kind="image", url="https://x.test/a.png", detail="low"),
        ),
        (
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
            Media(kind="image", media_type="image/png", data="AAAA"),
        ),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "JVBE"},
            Media(kind="document", media_type="application/pdf", data="JVBE", name="a.pdf"),
        ),
        (
            {"type": "input_file", "file_data": "data:text/plain;base64,aGk="},
            Media(kind="document", media_type="text/plain", data="hi"),
        ),
        (
            {"type": "input_file", "file_url": "https://x.test/a.pdf"},
            Media(kind="document", url="https://x.test/a.pdf"),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
            Media(kind="audio", media_type="audio/wav", data="AA"),
        ),
    ],
)
def test_parts_of_a_message(part, expected):
    assert messages(user(part)) == (Message("user", (expected,)),)


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_image", "file_id": "f"}, "input[0].content[0].file_id"),
        ({"type": "input_file", "file_id": "f"}, "input[0].content[0].file_id"),
        ({"type": "input_video"}, "input[0].content[0].type"),
        ({"type": "input_text"}, "input[0].content[0].type"),
        ({"type": "input_file", "file_data": "data:a/b,c"}, "input[0].content[0].file_data"),
        (
            {"type": "input_file", "file_data": "data:text/plain;base64,!"},
            "input[0].content[0].file_data",
        ),
    ],
)
def test_a_part_that_nobody_else_could_read_is_refused(part, param):
    assert refused(input=[user(part)]).param == param


@pytest.mark.parametrize(
    "item",
    [
        {"role": "robot", "content": "x"},
        {"type": "function_call", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c"},
        {"role": "user"},
        3,
    ],
)
def test_a_broken_item_is_refused_by_its_place(item):
    assert refused(input=[user(), item]).param == "input[1]"


def test_what_the_assistant_did_in_one_turn_is_one_message():
    assert messages(
        {"type": "message", "role": "user", "content": "go"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "p"}]},
        CALL,
        {**CALL, "call_id": "c2"},
        OUTPUT,
        {"role": "assistant", "content": "done"},
        {"role": "developer", "content": "be nice"},
    ) == (
        Message("user", (Text("go"),)),
        Message(
            "assistant",
            (Reasoning(text="hm"), Text("p"), CALLED, msgspec.structs.replace(CALLED, id="c2")),
        ),
        ANSWERED,
        Message("assistant", (Text("done"),)),
        Message("developer", (Text("be nice"),)),
    )


def test_two_messages_of_the_assistant_stay_two():
    said = [{"role": "assistant", "content": text} for text in ("a", "b")]
    assert messages(*said) == tuple(Message("assistant", (Text(text),)) for text in ("a", "b"))


def test_a_message_between_a_call_and_its_result_stays_in_the_turn():
    assert messages(CALL, {"role": "assistant", "content": "wait"}, OUTPUT) == (
        Message("assistant", (CALLED, Text("wait"))),
        ANSWERED,
    )


def test_a_result_may_hold_parts():
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "https://i"}]
    (message,) = messages({**OUTPUT, "output": parts})
    result = ToolResult(call_id="c1", parts=(Text("a"), Media(kind="image", url="https://i")))
    assert message == Message("user", (result,))
    assert messages({**OUTPUT, "output": ""}) == (
        Message("user", (ToolResult(call_id="c1", parts=()),)),
    )


def test_items_of_openais_own_tools_are_left_out_and_named():
    request = parse(input=[{"type": "web_search_call", "id": "ws_1"}, user()])
    assert request.messages == (Message("user", ()),)
    assert request.dropped == ("input.web_search_call",)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True}, "background"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
    ],
)
def test_what_only_openai_keeps_is_refused(fields, param):
    error = refused(**fields)
    assert error.param == param
    if param in ("previous_response_id", "conversation"):
        assert "send the whole conversation" in error.message


@pytest.mark.parametrize(
    "kind",
    [
        "web_search",
        "file_search",
        "code_interpreter",
        "computer_use_preview",
        "mcp",
        "image_generation",
        "local_shell",
        "custom",
    ],
)
def test_openais_own_tools_are_refused(kind):
    error = refused(tools=[LOOKUP, {"type": kind, "name": "x"}])
    assert error.param == "tools[1].type"
    assert kind in error.message


def test_function_tools_and_how_to_choose_them():
    other = {"type": "function", "name": "b", "description": "d", "strict": True}
    tools = (
        Tool(name="lookup", schema=Raw(b'{"type":"object"}')),
        Tool(name="b", description="d", strict=True),
    )
    plain = parse(tools=[LOOKUP, other], parallel_tool_calls=False)
    assert (plain.tools, plain.tool_choice, plain.parallel_tool_calls) == (tools, None, False)
    for given, expected in [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "b"}, ToolChoice("named", "b")),
    ]:
        assert parse(tools=[LOOKUP, other], tool_choice=given).tool_choice == expected
    for mode in ("auto", "required"):
        allowed = {"type": "allowed_tools", "mode": mode, "tools": [{"type": "x", "name": "b"}]}
        request = parse(tools=[LOOKUP, other], tool_choice=allowed)
        assert (request.tools, request.tool_choice) == (tools[1:], ToolChoice(mode))
    assert refused(tool_choice={"type": "web_search"}).param == "tool_choice"


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        ({"effort": "low", "summary": "auto"}, Thinking(effort="low", shown=True)),
        ({"effort": "low", "generate_summary": "x"}, Thinking(effort="low", shown=True)),
        ({"effort": "low", "summary": None}, Thinking(effort="low")),
        ({"effort": "none"}, Thinking(enabled=False, effort="none")),
        ({"summary": "auto"}, Thinking(shown=True)),
        (None, None),
    ],
)
def test_effort(reasoning, expected):
    assert parse(reasoning=reasoning).thinking == expected


def test_the_format_of_the_text():
    assert parse(text={"format": {"type": "text"}}).schema is None
    assert parse(text={"format": {"type": "json_object"}}).schema == Schema()
    body = b'{"model":"m","input":"x","text":{"verbosity":"low","format":{"type":"json_schema",'
    body += b'"name":"n","description":"d","strict":true,"schema":{"const": 1.50}}}}'
    request = dialect.parse_request(split(body))
    assert request.schema == Schema(
        name="n", description="d", strict=True, schema=Raw(b'{"const": 1.50}')
    )
    assert request.parameters == {"verbosity": Raw(b'"low"')}
    assert refused(text={"format": {"type": "json_schema", "name": "n"}}).param == (
        "text.format.schema"
    )


def test_parameters_are_kept_dropped_or_named():
    request = parse(
        max_output_tokens=9,
        temperature=0.5,
        top_p=1,
        user="u",
        metadata={"a": "b"},
        service_tier="flex",
        stream=True,
        store=True,
        include=["reasoning.encrypted_content", "message.output_text.logprobs"],
        truncation="auto",
        top_logprobs=2,
        max_tool_calls=1,
        background=False,
        stream_options={"include_obfuscation": False},
    )
    assert (request.max_tokens, request.stream) == (9, True)
    assert request.parameters == {
        "temperature": Raw(b"0.5"),
        "top_p": Raw(b"1"),
        "user": Raw(b'"u"'),
        "metadata": Raw(b'{"a":"b"}'),
        "service_tier": Raw(b'"flex"'),
    }
    assert set(request.dropped) == {
        "store",
        "include",
        "truncation",
        "top_logprobs",
        "max_tool_calls",
    }


def test_what_asks_for_nothing_is_not_worth_telling():
    request = parse(
        store=False,
        include=["reasoning.encrypted_content"],
        truncation="disabled",
        previous_response_id=None,
        metadata={},
        top_logprobs=0,
    )
    assert (request.parameters, request.dropped) == ({}, ())
