"""Whole responses and errors, both ways."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw
from openai.types.responses import Response, ResponseErrorEvent

from core.dialects import load
from core.dialects import openai_responses as dialect
from core.errors import BadRequestError, ProviderError, UpstreamError
from core.neutral import (
    Choice,
    Media,
    Reasoning,
    Refusal,
    Reply,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    View,
)
from core.sse import parse as parse_event

MESSAGE = {
    "type": "message",
    "id": "m",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "hey"}],
}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"}


def parse(**fields: Any) -> Reply:
    return dialect.parse_reply(msgspec.json.encode({"id": "resp_1", "output": [], **fields}))


def render(*parts: Any, reason: Any = "stop", **view: Any) -> dict[str, Any]:
    reply = Reply(id="x", model="m", created=5, choices=(Choice(parts=parts, reason=reason),))
    body = dialect.render_reply(reply, View(**view))
    Response.model_validate_json(body)
    document: dict[str, Any] = msgspec.json.decode(body)
    return document


def test_items_become_parts_in_their_order_and_calls_keep_their_call_id():
    reply = parse(
        object="response",
        created_at=5.0,
        model="gpt-5.5",
        output=[MESSAGE, {"type": "web_search_call", "id": "ws"}, CALL],
        usage={
            "input_tokens": 3,
            "output_tokens": 2,
            "total_tokens": 5,
            "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2},
            "output_tokens_details": {"reasoning_tokens": 1},
        },
    )
    assert reply == Reply(
        id="resp_1",
        model="gpt-5.5",
        created=5,
        choices=(
            Choice(
                parts=(Text("hey"), ToolCall(id="call_1", name="f", arguments="{}")),
                reason="tool_calls",
            ),
        ),
        usage=Usage(
            input_tokens=3,
            output_tokens=2,
            cache_read_tokens=1,
            cache_write_tokens=2,
            reasoning_tokens=1,
        ),
    )


def test_a_chat_client_gets_the_text_beside_the_call_and_the_id_that_answers_it():
    reply = parse(output=[MESSAGE, CALL])
    (choice,) = msgspec.json.decode(load("openai_chat").render_reply(reply, View()))["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "hey"
    assert choice["message"]["tool_calls"][0]["id"] == "call_1"


def test_a_call_without_a_call_id_goes_by_its_own():
    reply = parse(output=[{"type": "function_call", "id": "fc_1", "name": "f"}])
    assert reply.choices[0].parts == (ToolCall(id="fc_1", name="f", arguments=""),)


def test_refusals_and_parts_that_nobody_knows():
    content = [{"type": "refusal", "refusal": "no"}, {"type": "x"}, {"type": "refusal"}]
    assert parse(output=[{**MESSAGE, "content": content}]).choices[0].parts == (Refusal("no"),)


@pytest.mark.parametrize(
    ("fields", "reason", "raw_reason"),
    [
        ({"status": "completed"}, "stop", "completed"),
        ({}, "stop", None),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "length",
            "max_output_tokens",
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            "content_filter",
            "content_filter",
        ),
        ({"status": "incomplete", "incomplete_details": {"reason": "new"}}, "other", "new"),
        ({"status": "incomplete"}, "other", None),
    ],
)
def test_reasons(fields, reason, raw_reason):
    choice = parse(**fields).choices[0]
    assert (choice.reason, choice.raw_reason) == (reason, raw_reason)


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled"])
def test_an_answer_that_is_not_finished_is_none(status):
    with pytest.raises(UpstreamError, match=status):
        parse(status=status)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": "server_error", "message": "m"}, 500),
        ({"code": "rate_limit_exceeded", "message": "m"}, 429),
        ({"code": "insufficient_quota", "message": "m"}, 429),
        ({"code": "invalid_prompt", "message": "m"}, 400),
        ({"code": "image_too_large", "message": "m"}, 400),
        ({"code": "bio_policy", "message": "m"}, 400),
        ({"code": "context_length_exceeded", "message": "m"}, 400),
        (None, 500),
    ],
)
def test_a_failed_response_is_the_error_it_tells(error, status):
    with pytest.raises(ProviderError) as caught:
        parse(status="failed", error=error)
    assert caught.value.status == status
    assert error is None or caught.value.message == "m"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"output":3}', b'{"output":[{"type":"message"}]}'])
def test_what_is_no_response_is_a_502(body):
    with pytest.raises(UpstreamError):
        dialect.parse_reply(body)


def test_parts_become_items_that_the_sdk_reads():
    call = ToolCall(id="call_1", name="f", arguments='{"a":1}')
    image = Media(kind="image", media_type="image/png", data="AAAA")
    sound = Media(kind="audio", data="AAAA")
    thought = Reasoning(text="hm", signature="sig")
    parts = (thought, Text("a"), Refusal("no"), call, sound, image, Text("b"), Reasoning())
    document = render(*parts, reason="tool_calls")
    assert document["status"] == "completed"
    assert [item["type"] for item in document["output"]] == [
        "reasoning",
        "message",
        "function_call",
        "message",
        "image_generation_call",
        "message",
        "reasoning",
    ]
    thought, said, called, heard, drawn, _, silent = document["output"]
    note = "[The model made: audio. This format has no place for it.]"
    assert heard["content"][0]["text"] == note
    assert thought["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert thought["encrypted_content"].endswith("sig")
    assert [piece["type"] for piece in said["content"]] == ["output_text", "refusal"]
    assert (called["call_id"], called["arguments"]) == ("call_1", '{"a":1}')
    assert called["id"] == "fc_x_2"
    assert drawn["result"] == "AAAA"
    assert (silent["summary"], "encrypted_content" in silent) == ([], False)
    assert Response.model_validate(document).output_text == f"a{note}b"


def test_ids_of_items_are_such_as_openai_takes_back():
    reply = Reply(id="chatcmpl/" + "é" * 80 + "a" * 80, choices=(Choice(parts=(Text("a"),)),))
    (item,) = msgspec.json.decode(dialect.render_reply(reply, View()))["output"]
    assert item["id"] == "msg_" + "a" * 48 + "_0"


@pytest.mark.parametrize(
    ("reason", "status", "detail", "item"),
    [
        ("stop", "completed", None, "completed"),
        ("other", "completed", None, "completed"),
        ("length", "incomplete", {"reason": "max_output_tokens"}, "incomplete"),
        ("content_filter", "incomplete", {"reason": "content_filter"}, "incomplete"),
        ("error", "failed", None, "completed"),
        (None, "completed", None, "completed"),
    ],
)
def test_how_an_answer_ended(reason, status, detail, item):
    document = render(Text("a"), reason=reason)
    assert (document["status"], document["incomplete_details"]) == (status, detail)
    assert document["output"][0]["status"] == item
    assert (document["error"] is not None) == (status == "failed")


def test_an_answer_repeats_its_request_and_tells_what_the_provider_did_not():
    reply = Reply(usage=Usage(input_tokens=2, output_tokens=1))
    view = View(
        model="asked",
        created=7,
        fresh_id="resp_9",
        echo={"temperature": Raw(b"1.50"), "instructions": Raw(b'"Be brief."')},
    )
    body = dialect.render_reply(reply, view)
    assert b'"temperature":1.50' in body
    response = Response.model_validate_json(body)
    assert (response.id, response.created_at, response.model) == ("resp_9", 7, "asked")
    assert (response.instructions, response.output, response.output_text) == ("Be brief.", [], "")
    assert response.usage is not None
    assert response.usage.total_tokens == 3


def test_a_part_that_no_answer_has_is_an_error():
    with pytest.raises(UpstreamError):
        render(ToolResult(call_id="c", parts=()))


def test_errors_have_openais_shape():
    body = dialect.error_body(BadRequestError("Send less.", param="input"), "req_1")
    assert msgspec.json.decode(body) == {
        "error": {
            "message": "Send less.",
            "type": "invalid_request_error",
            "param": "input",
            "code": None,
        },
        "request_id": "req_1",
    }


def test_an_error_event_is_what_the_docs_say_and_makes_the_sdk_raise():
    event = parse_event(dialect.error_event(UpstreamError("Cut."), "req_1"))
    assert event is not None
    document = msgspec.json.decode(event.data)
    assert event.name == b"error"
    ResponseErrorEvent.model_validate(document)
    assert (document["code"], document["message"]) == ("upstream_error", "Cut.")
    assert document["error"]["message"] == "Cut."  # What the SDK looks for.


def test_half_an_emoji_does_not_cost_the_answer():
    content = b'[{"type":"output_text","text":"a\\ud83d"}]'
    body = b'{"status":"completed","output":[{"type":"message","content":%s}]}' % content
    (choice,) = dialect.parse_reply(body).choices
    assert choice.parts == (Text("a\ufffd"),)
