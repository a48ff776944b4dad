"""Whole chat completions, and errors, both ways."""

from typing import Any

import msgspec
import pytest

from core.dialects import openai_chat
from core.errors import AuthenticationError, BadRequestError, ProviderError, UpstreamError
from core.neutral import (
    Choice,
    Part,
    Reasoning,
    Refusal,
    Reply,
    Text,
    ToolCall,
    Usage,
    View,
)

VIEW = View(model="asked", created=7, fresh_id="fresh")


def completion(*choices: Any, **more: Any) -> bytes:
    fields = {"id": "c", "model": "m", "created": 5, "choices": choices, **more}
    return msgspec.json.encode(fields)


def choice(reason: str | None = "stop", **message: Any) -> dict[str, Any]:
    return {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}


def call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        pytest.param({"content": "a"}, [Text("a")], id="text"),
        pytest.param({"content": None}, [], id="nothing"),
        pytest.param({"content": "", "refusal": "no"}, [Refusal("no")], id="a refusal"),
        pytest.param(
            {"content": None, "tool_calls": [call("c1", "f", '{"a": 1}'), call("c2", "g", "")]},
            [
                ToolCall(id="c1", name="f", arguments='{"a": 1}'),
                ToolCall(id="c2", name="g", arguments=""),
            ],
            id="parallel tool calls",
        ),
        pytest.param(
            {"tool_calls": [{}]}, [ToolCall(id="", name="", arguments="")], id="a call of nothing"
        ),
        pytest.param(
            {"function_call": {"name": "f", "arguments": "{}"}},
            [ToolCall(id="call_0", name="f", arguments="{}")],
            id="a legacy function call",
        ),
        pytest.param(
            {"content": "a", "function_call": {"name": "", "arguments": ""}},
            [Text("a")],
            id="Snowflake's empty call, which is none",
        ),
        pytest.param(
            {"reasoning_content": "why", "content": "a"},
            [Reasoning(text="why"), Text("a")],
            id="DeepSeek's reasoning",
        ),
        pytest.param(
            {"reasoning": "why", "content": "a"},
            [Reasoning(text="why"), Text("a")],
            id="OpenRouter's and Groq's reasoning",
        ),
        pytest.param(
            {
                "reasoning": [
                    {"id": "s", "content": "why"},
                    {"id": "", "content": "", "redacted": "x"},
                    5,
                ],
                "content": "a",
            },
            [Reasoning(text="why", signature="s"), Reasoning(redacted="x"), Text("a")],
            id="reasoning with signatures and seals",
        ),
        pytest.param(
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "w"}, 5]},
                    {"type": "thinking", "thinking": "hy"},
                    {"type": "text", "text": "a"},
                    {"type": "reference", "ids": [1]},
                ]
            },
            [Reasoning(text="w"), Reasoning(text="hy"), Text("a")],
            id="Mistral's pieces",
        ),
    ],
)
def test_reading_a_message(message: dict[str, Any], parts: list[Part]):
    (read,) = openai_chat.parse_reply(completion(choice(**message))).choices
    assert read.parts == tuple(parts)


@pytest.mark.parametrize(
    ("raw_reason", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("error", "error"),
        ("model_length", "length"),
        ("insufficient_system_resource", "error"),
        ("eos", "other"),
        (None, "stop"),
    ],
)
def test_finish_reasons_are_read(raw_reason: str | None, reason: str):
    (read,) = openai_chat.parse_reply(completion(choice(raw_reason, content="a"))).choices
    assert (read.reason, read.raw_reason) == (reason, raw_reason)


@pytest.mark.parametrize(
    "message",
    [{"tool_calls": [call("c", "f", "{}")]}, {"function_call": {"name": "f", "arguments": "{}"}}],
)
@pytest.mark.parametrize("raw_reason", ["stop", None])
def test_an_answer_that_calls_a_tool_has_finished_for_it(
    message: dict[str, Any], raw_reason: str | None
):
    """OpenAI says `stop` where the request named the tool."""
    (read,) = openai_chat.parse_reply(completion(choice(raw_reason, **message))).choices
    assert (read.reason, read.raw_reason) == ("tool_calls", raw_reason)


def test_every_choice_is_read():
    body = completion(choice(content="a"), choice(content="b"))
    assert [c.parts for c in openai_chat.parse_reply(body).choices] == [(Text("a"),), (Text("b"),)]


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        (None, None),
        ({}, Usage()),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            Usage(input_tokens=10, output_tokens=5),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_creation_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            Usage(
                input_tokens=10,
                output_tokens=5,
                cache_read_tokens=4,
                cache_write_tokens=3,
                reasoning_tokens=2,
            ),
        ),
        pytest.param(
            {
                "prompt_tokens": 307,
                "completion_tokens": 26,
                "total_tokens": 588,
                "completion_tokens_details": {"reasoning_tokens": 255},
            },
            Usage(input_tokens=307, output_tokens=281, reasoning_tokens=255),
            id="xAI's reasoning, counted apart",
        ),
        pytest.param(
            {
                "prompt_tokens": 9,
                "completion_tokens": 248,
                "total_tokens": 632,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 375},
            },
            Usage(input_tokens=384, output_tokens=248),
            id="Mistral's sound, counted apart",
        ),
        (
            {"prompt_tokens": 10, "prompt_tokens_details": {"cache_write_tokens": 3}},
            Usage(input_tokens=10, cache_write_tokens=3),
        ),
        (
            {"prompt_tokens_details": {}, "completion_tokens_details": {"reasoning_tokens": None}},
            Usage(),
        ),
    ],
)
def test_usage_is_read(wire: Any, usage: Usage | None):
    assert openai_chat.parse_reply(completion(usage=wire)).usage == usage


@pytest.mark.parametrize(
    ("completion_tokens", "total", "output"), [(2, 334, 322), (322, 334, 322), (2, None, 2)]
)
def test_output_counts_reasoning_also_where_xai_counts_it_apart(
    completion_tokens: int, total: int | None, output: int
):
    wire = {
        "prompt_tokens": 12,
        "completion_tokens": completion_tokens,
        "total_tokens": total,
        "completion_tokens_details": {"reasoning_tokens": 320},
    }
    reply = openai_chat.parse_reply(completion(choice(content="a"), usage=wire))
    assert reply.usage == Usage(input_tokens=12, output_tokens=output, reasoning_tokens=320)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [(1753879075, 1753879075), (1753879075170, 1753879075), (10**15, 0), (-1, 0), ("then", 0)],
)
def test_a_time_is_in_seconds_whatever_the_provider_counts_in(said: Any, seconds: int):
    reply = openai_chat.parse_reply(completion(choice(content="a"), created=said))
    assert reply.created == seconds


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"choices":[{}]}', b"<html>", b'"\xff"', b'{"x":' + b"[" * 9999]
)
def test_an_answer_that_is_no_completion_is_a_bad_gateway(body: bytes):
    with pytest.raises(UpstreamError):
        openai_chat.parse_reply(body)


def test_an_answer_byte_for_byte():
    reply = Reply(
        id="msg_1",
        model="claude",
        choices=(Choice(parts=(Text("a"), Text("b")), reason="stop", raw_reason="end_turn"),),
        usage=Usage(input_tokens=10, output_tokens=5),
    )
    assert openai_chat.render_reply(reply, VIEW) == (
        b'{"id":"msg_1","object":"chat.completion","created":7,"model":"claude","choices":'
        b'[{"index":0,"message":{"role":"assistant","content":"ab","refusal":null},'
        b'"logprobs":null,"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}'
    )


def test_what_a_provider_does_not_say_is_made_up():
    shown = msgspec.json.decode(openai_chat.render_reply(Reply(), VIEW))
    assert shown == {
        "id": "fresh",
        "object": "chat.completion",
        "created": 7,
        "model": "asked",
        "choices": [],
    }


F = ToolCall(id="c1", name="f", arguments='{"a": 1.50}')
G = ToolCall(id="c2", name="g", arguments="{}")


@pytest.mark.parametrize(
    ("parts", "view", "message"),
    [
        pytest.param([], VIEW, {"content": None}, id="nothing"),
        pytest.param([Refusal("n"), Refusal("o")], VIEW, {"refusal": "no"}, id="a refusal"),
        pytest.param(
            [F, G],
            VIEW,
            {"tool_calls": [call("c1", "f", '{"a": 1.50}'), call("c2", "g", "{}")]},
            id="parallel tool calls",
        ),
        pytest.param(
            [F],
            View(legacy_functions=True),
            {"function_call": {"name": "f", "arguments": '{"a": 1.50}'}},
            id="a call for a client of legacy functions",
        ),
        pytest.param(
            [Reasoning(text="why", signature="s"), Reasoning(redacted="x"), Text("a")],
            VIEW,
            {
                "content": "a",
                "reasoning": [
                    {"id": "s", "content": "why"},
                    {"id": "", "content": "", "redacted": "x"},
                ],
            },
            id="reasoning with signatures and seals",
        ),
    ],
)
def test_writing_a_message(parts: list[Part], view: View, message: dict[str, Any]):
    reply = Reply(choices=(Choice(parts=tuple(parts), reason="stop"),))
    shown = msgspec.json.decode(openai_chat.render_reply(reply, view))
    empty = {"role": "assistant", "content": None, "refusal": None}
    assert shown["choices"][0]["message"] == {**empty, **message}


@pytest.mark.parametrize(
    ("reason", "legacy", "wire"),
    [
        ("stop", False, "stop"),
        ("length", False, "length"),
        ("tool_calls", False, "tool_calls"),
        ("tool_calls", True, "function_call"),
        ("content_filter", False, "content_filter"),
        ("other", False, "stop"),
        (None, False, "stop"),
    ],
)
def test_finish_reasons_are_written(reason: Any, legacy: bool, wire: str):
    reply = Reply(choices=(Choice(reason=reason),))
    shown = openai_chat.render_reply(reply, View(legacy_functions=legacy))
    assert msgspec.json.decode(shown)["choices"][0]["finish_reason"] == wire


def test_cached_and_reasoning_tokens_are_told():
    usage = Usage(
        input_tokens=10,
        output_tokens=5,
        cache_read_tokens=4,
        cache_write_tokens=3,
        reasoning_tokens=2,
    )
    shown = msgspec.json.decode(openai_chat.render_reply(Reply(usage=usage), VIEW))
    assert shown["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_creation_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


@pytest.mark.parametrize(
    ("error", "body"),
    [
        pytest.param(
            BadRequestError("Say more.", param="messages"),
            b'{"error":{"message":"Say more.","type":"invalid_request_error",'
            b'"param":"messages","code":null},"request_id":"r"}',
            id="ours",
        ),
        pytest.param(
            AuthenticationError("Who?"),
            b'{"error":{"message":"Who?","type":"authentication_error",'
            b'"param":null,"code":"invalid_api_key"},"request_id":"r"}',
            id="ours, with a code",
        ),
        pytest.param(
            ProviderError("Busy.", status=529, type="overloaded_error"),
            b'{"error":{"message":"Busy.","type":"overloaded_error",'
            b'"param":null,"code":null},"request_id":"r"}',
            id="a provider's",
        ),
    ],
)
def test_errors_byte_for_byte(error: Any, body: bytes):
    assert openai_chat.error_body(error, "r") == body
    assert openai_chat.error_event(error, "r") == b"data: " + body + b"\n\n"


def test_an_answer_that_broke_off_is_no_answer():
    reply = Reply(choices=(Choice(parts=(Text("half"),), reason="error"),))
    with pytest.raises(UpstreamError):
        openai_chat.render_reply(reply, VIEW)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b'{"a":1.50,"b":1e400}', '{"a":1.50,"b":1e400}'),
        (b'"{\\"a\\":1}"', '{"a":1}'),
        (b'"a\\ud83d"', "a\ufffd"),
        (b"null", ""),
    ],
)
def test_arguments_are_read_as_they_were_written(written: bytes, read: str):
    body = (
        b'{"choices":[{"message":{"tool_calls":[{"id":"t","function":{"name":"f","arguments":'
        + written
        + b"}}]}}]}"
    )
    (found,) = openai_chat.parse_reply(body).choices
    assert found.parts == (ToolCall(id="t", name="f", arguments=read),)
