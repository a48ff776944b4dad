"""A neutral request as a request for a response."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from core.dialects import load, openai_responses
from core.envelope import split
from core.errors import BadRequestError
from core.neutral import (
    Facts,
    Media,
    Message,
    Part,
    Quirks,
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

ASKED = Request(model="m", messages=(Message("user", (Text("Hi"),)),))
THOUGHTS = ["reasoning.encrypted_content"]
SAMPLING = {"temperature": Raw(b"0.10"), "top_p": Raw(b"1")}


def render(facts: Facts | None = None, **changes: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    request = msgspec.structs.replace(ASKED, **changes)
    rendered = openai_responses.render_request(request, facts or Facts())
    return msgspec.json.decode(rendered.body), rendered.dropped


def items(*messages: Message) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = render(messages=messages)[0]["input"]
    return found


def content(part: Part) -> dict[str, Any]:
    (item,) = items(Message("user", (Text("a"), part)))
    piece: dict[str, Any] = item["content"][1]
    return piece


def test_the_least_request_is_stateless():
    assert render() == (
        {
            "model": "m",
            "input": [{"type": "message", "role": "user", "content": "Hi"}],
            "store": False,
        },
        (),
    )


def test_a_chat_conversation_becomes_items_and_loses_nothing():
    body = {
        "model": "gpt-5.5",
        "max_tokens": 50,
        "reasoning_effort": "low",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "t"},
                    {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
                ],
            },
            {
                "role": "assistant",
                "content": "pre",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "R"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"a": 1}}}],
        "stop": ["x"],
        "seed": 1,
    }
    request = load("openai_chat").parse_request(split(msgspec.json.encode(body)))
    rendered = openai_responses.render_request(request, Facts(reasoning=True))
    assert msgspec.json.decode(rendered.body) == {
        "model": "gpt-5.5",
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "t"},
                    {
                        "type": "input_image",
                        "image_url": "https://x.test/a.png",
                        "detail": "auto",
                    },
                ],
            },
            {"type": "message", "role": "assistant", "content": "pre"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "R"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {"a": 1}, "strict": False}],
        "max_output_tokens": 50,
        "reasoning": {"effort": "low"},
        "include": THOUGHTS,
        "store": False,
    }
    assert set(rendered.dropped) == {"stop", "seed"}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Refusal("no"), {"type": "input_text", "text": "no"}),
        (
            Media(kind="image", media_type="image/png", data="AA", detail="low"),
            {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"},
        ),
        (
            Media(kind="document", media_type="application/pdf", data="AA"),
            {
                "type": "input_file",
                "filename": "document.pdf",
                "file_data": "data:application/pdf;base64,AA",
            },
        ),
        (
            Media(kind="document", media_type="text/plain", data="hi"),
            {"type": "input_text", "text": "hi"},
        ),
        (
            Media(kind="document", url="https://x.test/a.pdf"),
            {"type": "input_file", "file_url": "https://x.test/a.pdf"},
        ),
    ],
)
def test_parts_of_a_message(part, expected):
    assert content(part) == expected


@pytest.mark.parametrize(
    "part",
    [
        Media(kind="audio", media_type="audio/wav", data="AA"),
        Media(kind="video", media_type="video/mp4", data="AA"),
    ],
)
def test_sound_and_moving_pictures_are_refused(part):
    with pytest.raises(BadRequestError):
        content(part)


def test_a_refusal_of_the_assistant_stays_one():
    assert items(Message("assistant", (Text("a"), Refusal("no")))) == [
        {
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "a"},
                {"type": "refusal", "refusal": "no"},
            ],
        }
    ]


def test_parts_stay_in_their_order_and_empty_texts_are_no_message():
    call = ToolCall(id="c", name="f", arguments="")
    written = items(Message("assistant", (Text(""), call, Text("after"))), Message("user", ()))
    assert written == [
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "message", "role": "assistant", "content": "after"},
    ]


def test_results_hold_parts_and_an_error_is_named():
    image = Media(kind="image", url="https://i")
    results = (
        ToolResult(call_id="a", parts=()),
        ToolResult(call_id="b", parts=(Text("x"), image), is_error=True),
    )
    written, dropped = render(messages=(Message("user", results, "ann"),))
    assert [item["output"] for item in written["input"]] == [
        "",
        [
            {"type": "input_text", "text": "x"},
            {"type": "input_image", "image_url": "https://i", "detail": "auto"},
        ],
    ]
    assert dropped == ("messages.name", "tool_result.is_error")


def test_tools_say_whether_they_are_strict_and_how_to_choose():
    tools = (Tool(name="a"), Tool(name="b", description="d", strict=True, schema=Raw(b"{}")))
    written, _ = render(
        tools=tools, tool_choice=ToolChoice("named", "b"), parallel_tool_calls=False
    )
    assert written["tools"] == [
        {
            "type": "function",
            "name": "a",
            "parameters": {"type": "object", "properties": {}},
            "strict": False,
        },
        {"type": "function", "name": "b", "description": "d", "parameters": {}, "strict": False},
    ]
    assert written["tool_choice"] == {"type": "function", "name": "b"}
    assert written["parallel_tool_calls"] is False
    assert render(tools=tools, tool_choice=ToolChoice("none"))[0]["tool_choice"] == "none"
    assert "tool_choice" not in render(tool_choice=ToolChoice("none"))[0]


def test_structured_output_and_verbosity_share_a_field():
    schema = Schema(name="n", schema=Raw(b'{"const":1.50}'), strict=True)
    request = msgspec.structs.replace(
        ASKED, schema=schema, parameters={"verbosity": Raw(b'"low"')}, stream=True
    )
    body = openai_responses.render_request(request, Facts()).body
    assert b'"schema":{"const":1.50}' in body
    assert msgspec.json.decode(body)["text"]["verbosity"] == "low"
    assert msgspec.json.decode(body)["stream"] is True
    assert render(schema=Schema())[0]["text"] == {"format": {"type": "json_object"}}


def test_too_few_tokens_are_raised_to_the_least_and_named():
    written, dropped = render(max_tokens=5)
    assert (written["max_output_tokens"], dropped) == (16, ("max_tokens<16",))


@pytest.mark.parametrize(
    ("reasoning", "thinking", "effort", "include", "dropped"),
    [
        (True, None, None, THOUGHTS, ("temperature", "top_p")),
        (True, Thinking(effort="high"), "high", THOUGHTS, ("temperature", "top_p")),
        (True, Thinking(enabled=False, effort="none"), "none", THOUGHTS, ()),
        (True, Thinking(enabled=False), None, THOUGHTS, ("thinking",)),
        (True, Thinking(budget=9000), "high", THOUGHTS, ("temperature", "top_p")),
        (True, Thinking(budget=100), "low", THOUGHTS, ("temperature", "top_p")),
        (True, Thinking(), "medium", THOUGHTS, ("temperature", "top_p")),
        (None, Thinking(effort="max"), "xhigh", THOUGHTS, ()),
        (None, None, None, None, ()),
        (False, Thinking(effort="low"), None, None, ("thinking",)),
        (False, Thinking(enabled=False), None, None, ()),
    ],
)
def test_thinking(reasoning, thinking, effort, include, dropped):
    facts = Facts(reasoning=reasoning)
    written, told = render(facts, thinking=thinking, parameters=SAMPLING)
    assert written.get("reasoning", {}).get("effort") == effort
    assert written.get("include") == include
    assert told == dropped


@pytest.mark.parametrize(
    ("least", "effort", "dropped"),
    [
        ("none", "none", ()),
        ("minimal", "minimal", ("temperature", "top_p")),
        ("low", "low", ("thinking", "temperature", "top_p")),
        ("", None, ("thinking",)),
    ],
)
def test_a_model_is_told_not_to_think_as_far_as_it_can(least, effort, dropped):
    facts = Facts(reasoning=True, quirks=Quirks(least=least))
    for said in (None, "none"):
        thinking = Thinking(enabled=False, effort=said)
        written, told = render(facts, thinking=thinking, parameters=SAMPLING)
        assert (written.get("reasoning", {}).get("effort"), told) == (effort, dropped)


@pytest.mark.parametrize(
    ("thinking", "reasoning"),
    [
        (Thinking(effort="low", shown=True), {"effort": "low", "summary": "auto"}),
        (Thinking(effort="low"), {"effort": "low"}),
        (Thinking(enabled=False, effort="none", shown=True), {"effort": "none"}),
    ],
)
def test_thoughts_are_told_to_whoever_asks_for_them(thinking, reasoning):
    assert render(Facts(reasoning=True), thinking=thinking)[0]["reasoning"] == reasoning
    assert "reasoning" not in render(Facts(reasoning=False), thinking=thinking)[0]


def test_scalars_keep_their_bytes_and_those_without_a_place_are_named():
    parameters = {**SAMPLING, "user": Raw(b'"u"'), "n": Raw(b"2"), "logit_bias": Raw(b"{}")}
    request = msgspec.structs.replace(ASKED, parameters=parameters, dropped=("x",))
    rendered = openai_responses.render_request(request, Facts())
    assert b'"temperature":0.10' in rendered.body
    assert rendered.dropped == ("x", "n", "logit_bias")


def test_an_image_that_a_model_made_is_no_part_of_what_it_said():
    drawn = (Text("a"), Media(kind="image", media_type="image/png", data="AA"), Text("b"))
    written, told = render(messages=(*ASKED.messages, Message("assistant", drawn)))
    pieces = [{"type": "output_text", "text": text} for text in ("a", "b")]
    assert written["input"][1]["content"] == pieces
    assert told == ("messages.image",)
