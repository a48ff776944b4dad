"""A chat completion request, read into the neutral form."""

from base64 import b64encode
from typing import Any

import msgspec
import pytest

from core.dialects import openai_chat
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
    View,
)
from tests.core.dialects.wire import body, plain, raw

EPHEMERAL = {"type": "ephemeral"}
CACHED = raw('{"type":"ephemeral"}')


def parse(**fields: Any) -> Request:
    envelope = body(**fields)
    openai_chat.check_request(envelope)
    return openai_chat.parse_request(envelope)


def call(name: str = "f", arguments: str = "{}", id: str = "c1", **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
        **more,
    }


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param(
            [
                {"role": "system", "content": "a"},
                {"role": "developer", "content": "b"},
                {"role": "user", "content": "c", "name": "ada"},
                {"role": "system", "content": "d"},
            ],
            [
                Message("system", (Text("a"),)),
                Message("developer", (Text("b"),)),
                Message("user", (Text("c"),), "ada"),
                Message("system", (Text("d"),)),
            ],
            id="every message keeps its role and its place",
        ),
        pytest.param(
            [{"role": "user", "content": ""}, {"role": "user", "content": None}],
            [Message("user", ()), Message("user", ())],
            id="empty content is no part",
        ),
        pytest.param(
            [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "a", "cache_control": EPHEMERAL}],
                }
            ],
            [Message("user", (Text("a", CACHED),))],
            id="a part keeps its cache breakpoint",
        ),
        pytest.param(
            [{"role": "user", "content": "a", "cache_control": EPHEMERAL}],
            [Message("user", (Text("a", CACHED),))],
            id="a message's cache breakpoint is its text's",
        ),
        pytest.param(
            [
                {
                    "role": "assistant",
                    "content": "t",
                    "tool_calls": [
                        call("f", '{"a": 1.50}', "c1", cache_control=EPHEMERAL),
                        call("g", "", "c2"),
                    ],
                }
            ],
            [
                Message(
                    "assistant",
                    (
                        Text("t"),
                        ToolCall(id="c1", name="f", arguments='{"a": 1.50}', cache_control=CACHED),
                        ToolCall(id="c2", name="g", arguments=""),
                    ),
                )
            ],
            id="parallel tool calls keep their order, ids and arguments as written",
        ),
        pytest.param(
            [
                {
                    "role": "tool",
                    "tool_call_id": "c1",
                    "content": "42",
                    "name": "f",
                    "cache_control": EPHEMERAL,
                }
            ],
            [
                Message(
                    "user",
                    (
                        ToolResult(
                            call_id="c1", parts=(Text("42"),), name="f", cache_control=CACHED
                        ),
                    ),
                )
            ],
            id="a tool's message is a result within the user's turn",
        ),
        pytest.param(
            [
                {
                    "role": "tool",
                    "tool_call_id": "c1",
                    "content": [
                        {"type": "text", "text": "a"},
                        {"type": "image_url", "image_url": {"url": "https://x.test/i.png"}},
                    ],
                }
            ],
            [
                Message(
                    "user",
                    (
                        ToolResult(
                            call_id="c1",
                            parts=(Text("a"), Media(kind="image", url="https://x.test/i.png")),
                        ),
                    ),
                )
            ],
            id="a tool's result may hold an image",
        ),
        pytest.param(
            [
                {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "1"},
                {"role": "assistant", "function_call": {"name": "g", "arguments": "{}"}},
                {"role": "function", "name": "g", "content": "2"},
            ],
            [
                Message("assistant", (ToolCall(id="call_1", name="f", arguments="{}"),)),
                Message("user", (ToolResult(call_id="call_1", parts=(Text("1"),), name="f"),)),
                Message("assistant", (ToolCall(id="call_2", name="g", arguments="{}"),)),
                Message("user", (ToolResult(call_id="call_2", parts=(Text("2"),), name="g"),)),
            ],
            id="a legacy function result answers the call before it",
        ),
        pytest.param(
            [
                {
                    "role": "assistant",
                    "content": "t",
                    "reasoning": [
                        {"id": "sig", "content": "why", "index": 0},
                        {"redacted": "sealed"},
                        {"id": "", "content": None},
                    ],
                }
            ],
            [
                Message(
                    "assistant",
                    (
                        Reasoning(text="why", signature="sig"),
                        Reasoning(redacted="sealed"),
                        Reasoning(),
                        Text("t"),
                    ),
                )
            ],
            id="reasoning comes first, with its signatures and seals",
        ),
        pytest.param(
            [{"role": "assistant", "reasoning": {"id": "sig", "content": "why", "index": 0}}],
            [Message("assistant", (Reasoning(text="why", signature="sig"),))],
            id="reasoning as a stream tells it may come back as it is",
        ),
        pytest.param(
            [
                {"role": "assistant", "content": "t", "reasoning": "a"},
                {"role": "assistant", "content": "t", "reasoning_content": "b"},
                {"role": "assistant", "content": "t", "reasoning": ""},
            ],
            [
                Message("assistant", (Reasoning(text="a"), Text("t"))),
                Message("assistant", (Reasoning(text="b"), Text("t"))),
                Message("assistant", (Text("t"),)),
            ],
            id="reasoning may be plain text under either name",
        ),
        pytest.param(
            [
                {"role": "assistant", "refusal": "no"},
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "never"}]},
            ],
            [
                Message("assistant", (Refusal("no"),)),
                Message("assistant", (Refusal("never"),)),
            ],
            id="a refusal is told in a field or in a part",
        ),
    ],
)
def test_messages(messages: list[Any], expected: list[Message]):
    assert plain(parse(messages=messages).messages) == plain(expected)


def data_url(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{b64encode(content).decode()}"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        pytest.param(
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            Media(kind="image", media_type="image/png", data="AAAA"),
            id="an image in a data URL is base64 with its type",
        ),
        pytest.param(
            {"type": "image_url", "image_url": "https://x.test/i.png"},
            Media(kind="image", url="https://x.test/i.png"),
            id="an image's URL may stand without its object",
        ),
        pytest.param(
            {
                "type": "image_url",
                "image_url": {"url": "https://x.test/i.png", "detail": "low"},
                "cache_control": EPHEMERAL,
            },
            Media(kind="image", url="https://x.test/i.png", detail="low", cache_control=CACHED),
            id="an image keeps its detail and its cache breakpoint",
        ),
        pytest.param(
            {"type": "image_url", "image_url": {"url": "data:application/pdf;base64,JVBE"}},
            Media(kind="document", media_type="application/pdf", data="JVBE"),
            id="an image that is none is a document",
        ),
        pytest.param(
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE"}},
            Media(kind="document", media_type="application/pdf", data="JVBE"),
            id="a PDF stays base64",
        ),
        pytest.param(
            {"type": "file", "file": {"file_data": "JVBE", "filename": "a.pdf"}},
            Media(kind="document", media_type="application/pdf", data="JVBE", name="a.pdf"),
            id="base64 without a data URL is taken for a PDF",
        ),
        pytest.param(
            {"type": "file", "file": {"file_data": "https://x.test/a.pdf"}},
            Media(kind="document", url="https://x.test/a.pdf"),
            id="a file may be at a URL",
        ),
        *(
            pytest.param(
                {"type": "file", "file": {"file_data": data_url(kind, "ä,b".encode())}},
                Media(kind="document", media_type="text/plain", data="ä,b"),
                id=f"{kind or 'a file of no type'} is read as text",
            )
            for kind in (
                "",
                "text/csv",
                "text/plain;charset=utf-8",
                "application/json",
                "application/xml",
                "application/yaml",
                "application/x-yaml",
                "application/javascript",
            )
        ),
        pytest.param(
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            Media(kind="audio", media_type="audio/wav", data="UklG"),
            id="audio keeps its format",
        ),
    ],
)
def test_parts(part: dict[str, Any], expected: Media):
    (message,) = parse(messages=[{"role": "user", "content": [part]}]).messages
    assert plain(message.parts) == plain((expected,))


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
OTHER = {"type": "function", "function": {"name": "g"}}


def said_as(field: str) -> dict[str, str]:
    return {} if field == "reasoning_effort" else {"thinking": field}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, {}, id="nothing asked, nothing said"),
        pytest.param({"stream": True}, {"stream": True}, id="streaming"),
        pytest.param(
            {"max_tokens": 5},
            {"max_tokens": 5, "names": {"max_tokens": "max_tokens"}},
            id="max_tokens",
        ),
        pytest.param(
            {"max_tokens": 50, "max_completion_tokens": 77},
            {"max_tokens": 77},
            id="the larger of the two limits holds",
        ),
        pytest.param({"max_tokens": None}, {}, id="null is not said"),
        pytest.param(
            {"parallel_tool_calls": False}, {"parallel_tool_calls": False}, id="one call at a time"
        ),
        pytest.param(
            {
                "tools": [
                    {
                        "type": "function",
                        "cache_control": EPHEMERAL,
                        "function": {
                            "name": "f",
                            "description": "d",
                            "parameters": {"type": "object"},
                            "strict": True,
                        },
                    }
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
                )
            },
            id="a tool with all that it has",
        ),
        pytest.param(
            {"functions": [{"name": "f"}], "function_call": {"name": "f"}},
            {
                "tools": (Tool(name="f"),),
                "tool_choice": ToolChoice("named", "f"),
                "parallel_tool_calls": False,
                "names": {"tools": "functions", "tool_choice": "function_call"},
            },
            id="legacy functions are tools",
        ),
        *(
            pytest.param(
                {"tools": [TOOL], "tool_choice": choice},
                {
                    "tools": (Tool(name="f", schema=raw('{"type":"object"}')),),
                    "tool_choice": expected,
                },
                id=f"tool_choice {choice}",
            )
            for choice, expected in (
                ("auto", ToolChoice("auto")),
                ("none", ToolChoice("none")),
                ("required", ToolChoice("required")),
                (
                    {"type": "function", "function": {"name": "f"}},
                    ToolChoice("named", "f"),
                ),
                (None, None),
            )
        ),
        *(
            pytest.param(
                {
                    "tools": [TOOL, OTHER],
                    "tool_choice": {
                        "type": "allowed_tools",
                        "allowed_tools": {"mode": mode, "tools": [OTHER]},
                    },
                },
                {"tools": (Tool(name="g"),), "tool_choice": ToolChoice(mode)},
                id=f"allowed tools are the only tools ({mode})",
            )
            for mode in ("auto", "required")
        ),
        *(
            pytest.param(
                fields,
                {"thinking": expected, "names": said_as(*fields)},
                id=f"thinking by {fields}",
            )
            for fields, expected in (
                ({"reasoning_effort": "low"}, Thinking(effort="low")),
                ({"reasoning_effort": "none"}, Thinking(enabled=False, effort="none")),
                ({"reasoning_budget": 2000}, Thinking(budget=2000)),
                ({"reasoning_budget": 0}, Thinking(enabled=False, budget=0)),
                ({"reasoning_enabled": True}, Thinking()),
                ({"reasoning_enabled": False}, Thinking(enabled=False)),
            )
        ),
        pytest.param({"response_format": {"type": "text"}}, {}, id="text is no schema"),
        pytest.param(
            {"response_format": {"type": "json_object"}},
            {"schema": Schema()},
            id="any JSON object",
        ),
        pytest.param(
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {
                        "name": "p",
                        "description": "d",
                        "schema": {"type": "object"},
                        "strict": True,
                    },
                }
            },
            {
                "schema": Schema(
                    name="p", description="d", schema=raw('{"type":"object"}'), strict=True
                )
            },
            id="a JSON schema with all that it has",
        ),
        pytest.param({"stop": "a"}, {"parameters": {"stop": raw('["a"]')}}, id="one stop"),
        pytest.param({"stop": ["a", "b"]}, {"parameters": {"stop": raw('["a","b"]')}}, id="stops"),
        pytest.param({"stop": []}, {}, id="no stop"),
        pytest.param(
            {"store": True, "prediction": {"a": "b"}, "brand_new": 1},
            {"dropped": ("store", "prediction", "brand_new")},
            id="fields without a neutral meaning are named",
        ),
        pytest.param(
            {"metadata": {"a": "b"}, "service_tier": "flex"},
            {"parameters": {"metadata": raw('{"a":"b"}'), "service_tier": raw('"flex"')}},
            id="fields that the other API of OpenAI knows too",
        ),
        pytest.param(
            {"use_cache": True, "stream_options": {}, "modalities": ["text"]},
            {},
            id="fields that are for us, or say what is so anyway, are not named",
        ),
    ],
)
def test_fields(fields: dict[str, Any], expected: dict[str, Any]):
    default = plain(Request(model="m", messages=parse().messages))
    assert plain(parse(**fields)) == {**default, **plain(expected)}


@pytest.mark.parametrize("number", ["0.70", "1E0", "1"])
def test_a_number_stays_as_it_was_written(number: str):
    envelope = split(b'{"model":"m","messages":[],"temperature":' + number.encode() + b"}")
    assert bytes(openai_chat.parse_request(envelope).parameters["temperature"]) == number.encode()


def user(part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        pytest.param({"messages": None}, "messages", id="messages missing"),
        pytest.param({"messages": "hi"}, "messages", id="messages no list"),
        pytest.param({"messages": [{"role": "robot"}]}, "messages", id="an unknown role"),
        pytest.param(
            {"messages": [{"role": "tool", "content": "x"}]},
            "messages[0].tool_call_id",
            id="a tool's message without its call",
        ),
        pytest.param(
            {
                "messages": [
                    {
                        "role": "tool",
                        "tool_call_id": "c",
                        "content": [{"type": "refusal", "refusal": "no"}],
                    }
                ]
            },
            "messages[0].content",
            id="a tool that refuses",
        ),
        pytest.param(
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "type": "custom"}]}]},
            "messages[0].tool_calls[0].type",
            id="a custom tool's call",
        ),
        pytest.param({"tools": [{"type": "web_search"}]}, "tools[0].type", id="a provider's tool"),
        pytest.param({"tools": [{"function": {}}]}, "tools", id="a tool without a name"),
        pytest.param({"tools": [TOOL], "tool_choice": "any"}, "tool_choice", id="any"),
        pytest.param({"tools": [TOOL], "tool_choice": 1}, "tool_choice", id="a number as choice"),
        *(
            pytest.param(
                {
                    "tools": [TOOL],
                    "tool_choice": {
                        "type": "allowed_tools",
                        "allowed_tools": {"mode": "auto", "tools": allowed},
                    },
                },
                "tool_choice",
                id=f"allowed tools that are no tools: {allowed}",
            )
            for allowed in ([1], [{"function": "f"}], [{"function": {}}], [{"type": "custom"}])
        ),
        pytest.param({"audio": {"voice": "v"}}, "audio", id="a voice"),
        pytest.param({"modalities": ["text", "audio"]}, "modalities", id="spoken answers"),
        pytest.param({"stop": 5}, "stop", id="stop is a number"),
        pytest.param(
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema",
            id="a schema without a schema",
        ),
        pytest.param(
            user({"type": "video"}), "messages[0].content[0].type", id="an unknown content part"
        ),
        pytest.param(
            user({"type": "file", "file": {"file_id": "file-1"}}),
            "messages[0].content[0].file.file_id",
            id="a file id of another provider",
        ),
        pytest.param(
            user({"type": "image_url", "image_url": {"url": "data:image/svg+xml,<svg/>"}}),
            "image_url",
            id="a data URL that is not base64",
        ),
        pytest.param(
            user({"type": "file", "file": {"file_data": "data:text/plain;base64,&"}}),
            "file",
            id="text that is no base64",
        ),
        pytest.param(
            user({"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}),
            "file",
            id="text that is no UTF-8",
        ),
    ],
)
def test_what_no_provider_could_answer_is_a_400_that_names_the_field(
    fields: dict[str, Any], param: str
):
    with pytest.raises(BadRequestError) as caught:
        parse(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    ("fields", "view"),
    [
        pytest.param({}, View(model="m"), id="a whole reply"),
        pytest.param({"stream": True}, View(model="m", stream=True), id="a stream without usage"),
        pytest.param(
            {"stream": True, "stream_options": {"include_usage": True}},
            View(model="m", stream=True, usage_in_stream=True),
            id="a stream with usage",
        ),
        pytest.param(
            {"functions": []}, View(model="m", legacy_functions=True), id="legacy functions"
        ),
        pytest.param({"functions": [], "tools": []}, View(model="m"), id="tools win"),
    ],
)
def test_how_the_client_wants_to_see_the_answer(fields: dict[str, Any], view: View):
    assert openai_chat.view_of(body(**fields)) == view


def test_a_request_is_not_decoded_twice_to_be_checked():
    envelope = {"messages": msgspec.Raw(b"[this is no JSON")}
    openai_chat.check_request(envelope)


def test_what_is_to_be_made_beside_text_is_told():
    given = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
    for wanted, told in ((["text", "image"], ("modalities.image",)), (["text"], ())):
        body = msgspec.json.encode({**given, "modalities": wanted})
        assert openai_chat.parse_request(split(body)).dropped == told
