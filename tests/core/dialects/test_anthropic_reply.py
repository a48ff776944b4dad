"""Whole messages, and errors, both ways."""

from typing import Any

import msgspec
import pytest

from core.dialects import anthropic
from core.errors import CutwaterError, ProviderError, RateLimitError, UpstreamError
from core.neutral import (
    Choice,
    Media,
    Part,
    Reasoning,
    Refusal,
    Reply,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    View,
)

VIEW = View(model="asked", fresh_id="fresh")


def message(*content: Any, **more: Any) -> bytes:
    fields = {"id": "msg", "type": "message", "model": "m", "stop_reason": "end_turn"}
    return msgspec.json.encode({**fields, "content": content, **more})


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([{"type": "text", "text": "a", "citations": None}], [Text("a")], id="text"),
        pytest.param(
            [
                {"type": "thinking", "thinking": "why", "signature": "sig"},
                {"type": "redacted_thinking", "data": "sealed"},
                {"type": "text", "text": "a"},
            ],
            [Reasoning(text="why", signature="sig"), Reasoning(redacted="sealed"), Text("a")],
            id="thinking with signatures and seals, in order",
        ),
        pytest.param(
            [{"type": "thinking", "thinking": "", "signature": ""}],
            [Reasoning()],
            id="thinking that is withheld",
        ),
        pytest.param(
            [
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1.5}},
                {"type": "tool_use", "id": "t2", "name": "g"},
                {"type": "tool_use"},
            ],
            [
                ToolCall(id="t1", name="f", arguments='{"a":1.5}'),
                ToolCall(id="t2", name="g", arguments="{}"),
                ToolCall(id="", name="", arguments="{}"),
            ],
            id="parallel tool calls",
        ),
        pytest.param(
            [
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "content": []},
                {"type": "text", "text": "a"},
            ],
            [Text("a")],
            id="what Anthropic's own tools did is left out",
        ),
    ],
)
def test_reading_content(content: list[Any], parts: list[Part]):
    (read,) = anthropic.parse_reply(message(*content)).choices
    assert read.parts == tuple(parts)


def test_arguments_are_the_bytes_that_came():
    body = (
        b'{"content":[{"type":"tool_use","id":"t","name":"f","input":{"b": 1.50, "a":"\\u00e9"}}]}'
    )
    (read,) = anthropic.parse_reply(body).choices
    assert read.parts == (ToolCall(id="t", name="f", arguments='{"b": 1.50, "a":"\\u00e9"}'),)


@pytest.mark.parametrize(
    ("raw_reason", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "other"),
        ("brand_new", "other"),
        (None, "stop"),
    ],
)
def test_stop_reasons_are_read(raw_reason: str | None, reason: str):
    (read,) = anthropic.parse_reply(message(stop_reason=raw_reason)).choices
    assert (read.reason, read.raw_reason) == (reason, raw_reason)


def test_the_stop_sequence_is_read():
    (read,) = anthropic.parse_reply(message(stop_reason="stop_sequence", stop_sequence="X")).choices
    assert read == Choice(reason="stop", raw_reason="stop_sequence", stop_sequence="X")


@pytest.mark.parametrize(
    ("details", "parts"),
    [(None, ()), ({"explanation": None}, ()), ({"explanation": "no"}, (Refusal("no"),))],
)
def test_why_it_refused_is_read(details: Any, parts: tuple[Part, ...]):
    body = message(stop_reason="refusal", stop_details=details)
    assert anthropic.parse_reply(body).choices[0].parts == parts


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        (None, None),
        ({"input_tokens": 10, "output_tokens": 5}, Usage(input_tokens=10, output_tokens=5)),
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_creation_input_tokens": 3,
                "cache_read_input_tokens": 4,
                "output_tokens_details": {"thinking_tokens": 2},
            },
            Usage(
                input_tokens=17,
                output_tokens=5,
                cache_read_tokens=4,
                cache_write_tokens=3,
                reasoning_tokens=2,
            ),
        ),
        ({"cache_creation_input_tokens": None, "output_tokens_details": {}}, Usage()),
    ],
)
def test_usage_is_read(wire: Any, usage: Usage | None):
    assert anthropic.parse_reply(message(usage=wire)).usage == usage


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"content":[{}]}', b"<html>", b'"\xff"', b'{"x":' + b"[" * 9999]
)
def test_an_answer_that_is_no_message_is_a_bad_gateway(body: bytes):
    with pytest.raises(UpstreamError):
        anthropic.parse_reply(body)


def test_an_answer_byte_for_byte():
    reply = Reply(
        id="chatcmpl-1",
        model="gpt",
        created=5,
        choices=(Choice(parts=(Text("a"),), reason="stop", raw_reason="stop"),),
        usage=Usage(input_tokens=10, output_tokens=5),
    )
    assert anthropic.render_reply(reply, VIEW) == (
        b'{"id":"chatcmpl-1","type":"message","role":"assistant","model":"gpt",'
        b'"content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","stop_sequence":null,'
        b'"usage":{"input_tokens":10,"cache_creation_input_tokens":0,'
        b'"cache_read_input_tokens":0,"output_tokens":5}}'
    )


def shown(*parts: Part, **choice: Any) -> Any:
    reply = Reply(choices=(Choice(parts=parts, **choice),))
    return msgspec.json.decode(anthropic.render_reply(reply, VIEW))


def test_what_a_provider_does_not_say_is_made_up():
    assert msgspec.json.decode(anthropic.render_reply(Reply(), VIEW)) == {
        "id": "fresh",
        "type": "message",
        "role": "assistant",
        "model": "asked",
        "content": [],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 0,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 0,
        },
    }


@pytest.mark.parametrize(
    ("part", "block"),
    [
        pytest.param(Text("a"), {"type": "text", "text": "a"}, id="text"),
        pytest.param(Refusal("no"), {"type": "text", "text": "no"}, id="a refusal is text"),
        pytest.param(
            Reasoning(text="why", signature="sig"),
            {"type": "thinking", "thinking": "why", "signature": "sig"},
            id="thinking",
        ),
        pytest.param(
            Reasoning(text="why"),
            {"type": "thinking", "thinking": "why", "signature": ""},
            id="thinking that nobody signed",
        ),
        pytest.param(
            Reasoning(redacted="sealed"),
            {"type": "redacted_thinking", "data": "sealed"},
            id="sealed thinking",
        ),
        *(
            pytest.param(
                ToolCall(id="t", name="f", arguments=arguments),
                {"type": "tool_use", "id": "t", "name": "f", "input": expected},
                id=f"a call with the arguments {arguments!r}",
            )
            for arguments, expected in (
                ('{"a": 1}', {"a": 1}),
                ("", {}),
                (" \n", {}),
                ("null", {}),
            )
        ),
    ],
)
def test_writing_content(part: Part, block: dict[str, Any]):
    assert shown(part, reason="stop")["content"] == [block]


@pytest.mark.parametrize("arguments", ["[1]", "{", '"a"', '{"a":' * 50_000 + "1" + "}" * 50_000])
def test_arguments_that_are_no_object_are_a_bad_gateway(arguments: str):
    with pytest.raises(UpstreamError, match="no JSON object"):
        shown(ToolCall(id="t", name="f", arguments=arguments), reason="tool_calls")


def test_arguments_that_the_limit_cut_are_shown_as_none():
    """The paid answer is not thrown away, and `max_tokens` says that it is not whole."""
    answer = shown(Text("a"), ToolCall(id="t", name="f", arguments='{"a": "b'), reason="length")
    assert answer["stop_reason"] == "max_tokens"
    assert answer["content"][1] == {"type": "tool_use", "id": "t", "name": "f", "input": {}}


@pytest.mark.parametrize(
    ("media", "text"),
    [
        (Media(kind="image", url="https://x.test/i.png"), "![image](https://x.test/i.png)"),
        (Media(kind="audio", url="https://x.test/a"), "[audio](https://x.test/a)"),
        (
            Media(kind="image", media_type="image/png", data="AAAA"),
            "[The model made: image (image/png). This format has no place for it.]",
        ),
    ],
)
def test_what_a_model_made_is_told_in_words(media: Media, text: str):
    assert shown(media)["content"] == [{"type": "text", "text": text}]


def test_a_part_that_no_answer_of_anthropic_has_is_a_bad_gateway():
    with pytest.raises(UpstreamError):
        shown(ToolResult(call_id="c", parts=()))


@pytest.mark.parametrize(
    ("parts", "choice", "reason", "sequence"),
    [
        ((), {"reason": "stop"}, "end_turn", None),
        ((), {"reason": "stop", "stop_sequence": "X"}, "stop_sequence", "X"),
        ((), {"reason": "length"}, "max_tokens", None),
        ((), {"reason": "tool_calls"}, "tool_use", None),
        ((), {"reason": "content_filter"}, "refusal", None),
        ((), {"reason": "other"}, "end_turn", None),
        ((), {"reason": None}, "end_turn", None),
        ((Refusal("no"),), {"reason": "stop"}, "refusal", None),
    ],
)
def test_stop_reasons_are_written(
    parts: tuple[Part, ...], choice: Any, reason: str, sequence: str | None
):
    answer = shown(*parts, **choice)
    assert (answer["stop_reason"], answer["stop_sequence"]) == (reason, sequence)


def test_cached_and_reasoning_tokens_are_told():
    usage = Usage(
        input_tokens=17,
        output_tokens=5,
        cache_read_tokens=4,
        cache_write_tokens=3,
        reasoning_tokens=2,
    )
    answer = msgspec.json.decode(anthropic.render_reply(Reply(usage=usage), VIEW))
    assert answer["usage"] == {
        "input_tokens": 10,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 4,
        "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 2},
    }


def test_only_the_first_choice_is_shown():
    reply = Reply(choices=(Choice(parts=(Text("a"),)), Choice(parts=(Text("b"),))))
    answer = msgspec.json.decode(anthropic.render_reply(reply, VIEW))
    assert answer["content"] == [{"type": "text", "text": "a"}]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RateLimitError("Wait."), "rate_limit_error"),
        *(
            (ProviderError("Wait.", status=status, type="tokens"), kind)
            for status, kind in (
                (400, "invalid_request_error"),
                (401, "authentication_error"),
                (402, "billing_error"),
                (403, "permission_error"),
                (404, "not_found_error"),
                (408, "timeout_error"),
                (413, "request_too_large"),
                (422, "invalid_request_error"),
                (429, "rate_limit_error"),
                (500, "api_error"),
                (502, "api_error"),
                (503, "api_error"),
                (504, "timeout_error"),
                (507, "api_error"),
                (529, "overloaded_error"),
            )
        ),
    ],
)
def test_errors_byte_for_byte(error: CutwaterError, kind: str):
    body = (
        b'{"type":"error","error":{"type":"' + kind.encode() + b'","message":"Wait."},'
        b'"request_id":"r"}'
    )
    assert anthropic.error_body(error, "r") == body
    assert anthropic.error_event(error, "r") == b"event: error\ndata: " + body + b"\n\n"


def test_an_answer_that_broke_off_is_no_answer():
    reply = Reply(choices=(Choice(parts=(Text("half"),), reason="error"),))
    with pytest.raises(UpstreamError):
        anthropic.render_reply(reply, VIEW)
