"""A messages request, read into the neutral form."""

from typing import Any

import pytest

from core.dialects import anthropic
from core.errors import BadRequestError
from core.neutral import (
    Media,
    Message,
    Part,
    Reasoning,
    Request,
    Schema,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    View,
)
from tests.core.dialects.wire import body, plain, raw

EPHEMERAL = {"type": "ephemeral"}
CACHED = raw('{"type":"ephemeral"}')


def parse(**fields: Any) -> Request:
    envelope = body(**fields)
    anthropic.check_request(envelope)
    return anthropic.parse_request(envelope)


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        pytest.param(None, [], id="no system prompt"),
        pytest.param("", [], id="an empty one is none"),
        pytest.param("a", [Message("system", (Text("a"),))], id="a text"),
        pytest.param(
            [
                {"type": "text", "text": "a"},
                {"type": "text", "text": "b", "cache_control": EPHEMERAL},
            ],
            [Message("system", (Text("a"),)), Message("system", (Text("b", CACHED),))],
            id="blocks stay apart, in order, with their cache breakpoints",
        ),
    ],
)
def test_the_system_prompt_comes_first(system: Any, expected: list[Message]):
    messages = parse(system=system).messages
    assert plain(messages) == plain([*expected, Message("user", (Text("hi"),))])


def source(**fields: Any) -> dict[str, Any]:
    return fields


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        pytest.param(
            {"type": "text", "text": "a", "cache_control": EPHEMERAL, "citations": []},
            [Text("a", CACHED)],
            id="text",
        ),
        pytest.param(
            {
                "type": "image",
                "source": source(type="base64", media_type="image/png", data="AAAA"),
                "cache_control": EPHEMERAL,
            },
            [Media(kind="image", media_type="image/png", data="AAAA", cache_control=CACHED)],
            id="an image",
        ),
        pytest.param(
            {"type": "image", "source": source(type="url", url="https://x.test/i.png")},
            [Media(kind="image", url="https://x.test/i.png")],
            id="an image at a URL",
        ),
        pytest.param(
            {
                "type": "document",
                "title": "a.pdf",
                "source": source(type="base64", media_type="application/pdf", data="JVBE"),
            },
            [Media(kind="document", media_type="application/pdf", data="JVBE", name="a.pdf")],
            id="a PDF",
        ),
        pytest.param(
            {
                "type": "document",
                "title": "b.pdf",
                "source": source(type="url", url="https://x.test/b.pdf"),
            },
            [Media(kind="document", url="https://x.test/b.pdf", name="b.pdf")],
            id="a PDF at a URL",
        ),
        pytest.param(
            {
                "type": "document",
                "source": source(type="text", media_type="text/plain", data="a,b"),
            },
            [Media(kind="document", media_type="text/plain", data="a,b")],
            id="a text document",
        ),
        pytest.param(
            {"type": "document", "source": source(type="text", data="a,b")},
            [Media(kind="document", media_type="text/plain", data="a,b")],
            id="a text document is plain text",
        ),
        pytest.param(
            {
                "type": "document",
                "source": source(type="content", content="a"),
                "cache_control": EPHEMERAL,
            },
            [Text("a", CACHED)],
            id="a document of one text",
        ),
        pytest.param(
            {
                "type": "document",
                "source": source(
                    type="content",
                    content=[
                        {"type": "text", "text": "a"},
                        {"type": "image", "source": source(type="url", url="https://x.test/i")},
                    ],
                ),
            },
            [Text("a"), Media(kind="image", url="https://x.test/i")],
            id="a document of blocks",
        ),
        pytest.param(
            {"type": "thinking", "thinking": "why", "signature": "sig"},
            [Reasoning(text="why", signature="sig")],
            id="thinking keeps its signature",
        ),
        pytest.param(
            {"type": "thinking", "thinking": "why", "signature": ""},
            [Reasoning(text="why")],
            id="an empty signature is none",
        ),
        pytest.param(
            {"type": "redacted_thinking", "data": "sealed"},
            [Reasoning(redacted="sealed")],
            id="sealed thinking stays sealed",
        ),
        pytest.param(
            {"type": "search_result", "title": "T", "source": "S", "content": [{"type": "text"}]},
            [Text("T\nS")],
            id="a search result is text",
        ),
        pytest.param(
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1.5}},
            [ToolCall(id="t1", name="f", arguments='{"a":1.5}')],
            id="a tool call",
        ),
        pytest.param(
            {"type": "tool_use", "id": "t1", "name": "f", "cache_control": EPHEMERAL},
            [ToolCall(id="t1", name="f", arguments="{}", cache_control=CACHED)],
            id="a tool call without input has no arguments",
        ),
        pytest.param(
            {"type": "tool_result", "tool_use_id": "t1"},
            [ToolResult(call_id="t1", parts=())],
            id="a tool result without content",
        ),
        pytest.param(
            {
                "type": "tool_result",
                "tool_use_id": "t1",
                "content": "no",
                "is_error": True,
                "cache_control": EPHEMERAL,
            },
            [ToolResult(call_id="t1", parts=(Text("no"),), is_error=True, cache_control=CACHED)],
            id="a tool result that is an error",
        ),
        pytest.param(
            {
                "type": "tool_result",
                "tool_use_id": "t1",
                "content": [
                    {"type": "text", "text": "a"},
                    {
                        "type": "image",
                        "source": source(type="base64", media_type="image/png", data="AAAA"),
                    },
                ],
            },
            [
                ToolResult(
                    call_id="t1",
                    parts=(Text("a"), Media(kind="image", media_type="image/png", data="AAAA")),
                )
            ],
            id="a tool result with an image",
        ),
    ],
)
def test_blocks(block: dict[str, Any], expected: list[Part]):
    (message,) = parse(messages=[{"role": "user", "content": [block]}]).messages
    assert plain(message.parts) == plain(expected)


def test_the_order_of_an_interleaved_turn_is_kept():
    content = [
        {"type": "thinking", "thinking": "1", "signature": "s1"},
        {"type": "text", "text": "a"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
    ]
    (message,) = parse(messages=[{"role": "assistant", "content": content}]).messages
    assert message.parts == (
        Reasoning(text="1", signature="s1"),
        Text("a"),
        Reasoning(redacted="x"),
        ToolCall(id="t1", name="f", arguments="{}"),
    )


def test_a_system_message_between_turns_keeps_its_place():
    messages = parse(
        messages=[
            {"role": "user", "content": "a"},
            {"role": "system", "content": "s"},
            {"role": "assistant", "content": ""},
        ]
    ).messages
    assert messages == (
        Message("user", (Text("a"),)),
        Message("system", (Text("s"),)),
        Message("assistant", ()),
    )


@pytest.mark.parametrize(
    ("block", "note"),
    [
        pytest.param(
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
            "messages.server_tool_use",
            id="a call of Anthropic's own tool",
        ),
        pytest.param(
            {"type": "web_fetch_tool_result", "content": {"type": "web_fetch_result"}},
            "messages.web_fetch_tool_result",
            id="a result whose content has a shape of its own",
        ),
        pytest.param(
            {"type": "brand_new", "text": 5}, "messages.brand_new", id="a block of next year"
        ),
        pytest.param(
            {
                "type": "tool_result",
                "tool_use_id": "t",
                "content": [{"type": "tool_reference", "tool_name": "f"}],
            },
            "messages.tool_reference",
            id="a reference within a tool's result",
        ),
    ],
)
def test_what_only_anthropic_reads_is_left_out_and_named(block: dict[str, Any], note: str):
    request = parse(messages=[{"role": "user", "content": [block, block]}])
    assert request.dropped == (note,)


TOOL = {"name": "f", "input_schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"stream": True}, {"stream": True}, id="streaming"),
        pytest.param({"max_tokens": 5}, {"max_tokens": 5}, id="max_tokens"),
        pytest.param(
            {
                "tools": [
                    {
                        **TOOL,
                        "type": "custom",
                        "description": "d",
                        "strict": True,
                        "cache_control": EPHEMERAL,
                    },
                    {"name": "g"},
                ]
            },
            {
                "tools": (
                    Tool(
                        name="f",
                        description="d",
                        schema=raw('{"type":"object"}'),
                        strict=True,
                        cache_control=CACHED,
                    ),
                    Tool(name="g"),
                )
            },
            id="tools with all that they have",
        ),
        *(
            pytest.param(
                {"tool_choice": choice},
                {"tool_choice": expected, "parallel_tool_calls": parallel},
                id=f"tool_choice {choice}",
            )
            for choice, expected, parallel in (
                ({"type": "auto"}, ToolChoice("auto"), None),
                ({"type": "none"}, ToolChoice("none"), None),
                ({"type": "any"}, ToolChoice("required"), None),
                ({"type": "tool", "name": "f"}, ToolChoice("named", "f"), None),
                (
                    {"type": "auto", "disable_parallel_tool_use": True},
                    ToolChoice("auto"),
                    False,
                ),
                ({"type": "any", "disable_parallel_tool_use": False}, ToolChoice("required"), None),
            )
        ),
        *(
            pytest.param({"thinking": thinking}, {"thinking": expected}, id=f"thinking {thinking}")
            for thinking, expected in (
                ({"type": "enabled", "budget_tokens": 2000}, Thinking(budget=2000, shown=True)),
                ({"type": "adaptive", "display": "omitted"}, Thinking()),
                ({"type": "between_tools"}, Thinking(shown=True)),
                ({"type": "disabled"}, Thinking(enabled=False)),
            )
        ),
        pytest.param(
            {"output_config": {"effort": "high"}},
            {
                "thinking": Thinking(effort="high"),
                "names": {"thinking": "output_config.effort"},
            },
            id="an effort alone",
        ),
        pytest.param(
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
            {"thinking": Thinking(effort="low", shown=True)},
            id="an effort beside adaptive thinking",
        ),
        *(
            pytest.param(
                fields,
                {
                    "schema": Schema(schema=raw('{"type":"object"}'), strict=True),
                    "names": {"schema": "output_format"} if "output_format" in fields else {},
                },
                id=f"structured output by {next(iter(fields))}",
            )
            for fields in (
                {
                    "output_config": {
                        "format": {"type": "json_schema", "schema": {"type": "object"}}
                    }
                },
                {"output_format": {"type": "json_schema", "schema": {"type": "object"}}},
            )
        ),
        pytest.param(
            {"metadata": {"user_id": "u"}}, {"parameters": {"user": raw('"u"')}}, id="the user"
        ),
        pytest.param({"metadata": {}}, {}, id="metadata without a user"),
        pytest.param(
            {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "stop_sequences": ["a"]},
            {
                "parameters": {
                    "temperature": raw("0.5"),
                    "top_p": raw("0.9"),
                    "top_k": raw("5"),
                    "stop": raw('["a"]'),
                }
            },
            id="sampling",
        ),
        pytest.param(
            {"service_tier": "auto", "brand_new": 1},
            {"dropped": ("service_tier", "brand_new")},
            id="fields without a neutral meaning are named",
        ),
    ],
)
def test_fields(fields: dict[str, Any], expected: dict[str, Any]):
    default = plain(Request(model="m", messages=parse().messages))
    assert plain(parse(**fields)) == {**default, **plain(expected)}


def user(block: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [block]}]}


AT = "messages[0].content[0]"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        pytest.param({"messages": {}}, "messages", id="messages no list"),
        pytest.param({"messages": [{"role": "tool"}]}, "messages", id="an unknown role"),
        pytest.param(user({"text": "a"}), AT, id="a block without a type"),
        pytest.param(user({"type": "text"}), AT, id="a text without text"),
        pytest.param(user({"type": "text", "text": 5}), AT, id="a text that is a number"),
        pytest.param(user({"type": "tool_use", "id": "t"}), AT, id="a call without a name"),
        pytest.param(user({"type": "tool_result"}), AT, id="a result of no call"),
        pytest.param(user({"type": "image"}), AT, id="an image without a source"),
        pytest.param(
            user({"type": "image", "source": {"type": "base64"}}),
            f"{AT}.source",
            id="a source without data",
        ),
        pytest.param(
            user({"type": "image", "source": {"type": "base64", "data": "AAAA"}}),
            f"{AT}.source",
            id="data of no type",
        ),
        pytest.param(
            user({"type": "document", "source": {"type": "file", "file_id": "f"}}),
            f"{AT}.source",
            id="a file id",
        ),
        pytest.param(
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            "tools[0].type",
            id="Anthropic's own tool",
        ),
        pytest.param({"tool_choice": {"type": "some"}}, "tool_choice", id="an unknown choice"),
        pytest.param({"mcp_servers": [{}]}, "mcp_servers", id="MCP servers"),
        pytest.param({"container": "c"}, "container", id="a container"),
        pytest.param({"system": 5}, "system", id="a system prompt that is a number"),
    ],
)
def test_what_no_other_provider_could_answer_is_a_400_that_names_the_field(
    fields: dict[str, Any], param: str
):
    with pytest.raises(BadRequestError) as caught:
        parse(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize("stream", [True, False])
def test_an_anthropic_client_always_sees_usage(stream: bool):
    view = anthropic.view_of(body(stream=stream))
    assert view == View(stream=stream, usage_in_stream=True, model="m")


def test_input_that_is_to_come_early_is_told():
    tool = {"name": "f", "input_schema": {"type": "object"}, "eager_input_streaming": True}
    assert parse(tools=[tool]).dropped == ("tools.eager_input_streaming",)
