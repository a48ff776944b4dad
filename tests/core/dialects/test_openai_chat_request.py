"""The fields of a chat completion request, read into the neutral form."""

from typing import Any

import msgspec
import pytest

from core.dialects import openai_chat
from core.envelope import split
from core.errors import BadRequestError
from core.neutral import Request, Schema, Thinking, Tool, ToolChoice, View
from tests.core.dialects.openai_chat_requests import CACHED, EPHEMERAL, parse
from tests.core.dialects.wire import body, plain, raw

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
