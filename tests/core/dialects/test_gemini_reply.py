"""Whole answers and errors, both ways."""

from typing import Any

import msgspec
import pytest

from core import provider_errors
from core.dialects import gemini, openai_chat
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
    fold,
    unfold,
)
from core.signatures import from_id, into_id, of_google

VIEW = View(model="asked-for", fresh_id="fresh", created=5)


def answer(*parts: Any, reason: str | int | None = "STOP", **more: Any) -> bytes:
    candidate = {"content": {"parts": list(parts), "role": "model"}, "finishReason": reason}
    return msgspec.json.encode({"candidates": [candidate], "responseId": "r1", **more})


def parts_of(*parts: Any) -> tuple[Any, ...]:
    return gemini.parse_reply(answer(*parts)).choices[0].parts


def test_a_whole_answer():
    body = answer(
        {"text": "th", "thought": True},
        {"text": "A"},
        {"text": "B"},
        reason="MAX_TOKENS",
        modelVersion="gemini-2.5-flash",
        createTime="2026-04-02T17:03:50.399550Z",
        usageMetadata={
            "promptTokenCount": 3,
            "candidatesTokenCount": 4,
            "totalTokenCount": 12,
            "thoughtsTokenCount": 5,
            "cachedContentTokenCount": 2,
            "toolUsePromptTokenCount": 1,
        },
    )
    assert gemini.parse_reply(body) == Reply(
        id="r1",
        model="gemini-2.5-flash",
        created=1775149430,
        choices=(
            Choice(
                parts=(Reasoning(text="th"), Text("AB")), reason="length", raw_reason="MAX_TOKENS"
            ),
        ),
        usage=Usage(input_tokens=4, output_tokens=9, cache_read_tokens=2, reasoning_tokens=5),
    )


def test_the_tokens_add_up_for_an_openai_client():
    """goo-06 of the reference's cases, which leaves the thoughts out."""
    body = answer(
        {"text": "A"},
        usageMetadata={
            "promptTokenCount": 3,
            "candidatesTokenCount": 4,
            "totalTokenCount": 12,
            "thoughtsTokenCount": 5,
            "cachedContentTokenCount": 2,
        },
    )
    usage = msgspec.json.decode(openai_chat.render_reply(gemini.parse_reply(body), VIEW))["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"] == 12
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 5}


def test_calls_have_ids_that_stay_the_same_and_differ():
    body = answer(
        {"functionCall": {"name": "f", "args": {"k": 1.50}}},
        {"functionCall": {"name": "f"}},
        {"functionCall": {"id": "own", "name": "g", "args": {}}},
    )
    (choice,) = gemini.parse_reply(body).choices
    assert choice == gemini.parse_reply(body).choices[0]
    assert (choice.reason, choice.raw_reason) == ("tool_calls", "STOP")
    calls = [part for part in choice.parts if isinstance(part, ToolCall)]
    assert [(call.name, call.arguments) for call in calls] == [
        ("f", '{"k":1.5}'),
        ("f", "{}"),
        ("g", "{}"),
    ]
    assert len({call.id for call in calls}) == 3
    assert calls[0].id.startswith("call_")
    assert calls[2].id == "own"


def test_arguments_keep_their_bytes():
    body = answer().replace(
        b'"parts":[]', b'"parts":[{"functionCall":{"name":"f","args":{"k": 1.50}}}]'
    )
    (call,) = gemini.parse_reply(body).choices[0].parts
    assert isinstance(call, ToolCall)
    assert call.arguments == '{"k": 1.50}'


def test_signatures_are_told_apart_and_travel_with_the_call():
    signed, call, thought = (
        {"text": "said", "thoughtSignature": "T"},
        {"functionCall": {"id": "x", "name": "f"}, "thoughtSignature": "C+/="},
        {"text": "th", "thought": True, "thoughtSignature": "R"},
    )
    assert parts_of(thought, signed, {"text": "more"}, call) == (
        Reasoning(text="th", signature=of_google("R")),
        Text("said"),
        Reasoning(signature=of_google("T")),
        Text("more"),
        ToolCall(id=into_id("x", "C+/="), name="f", arguments="{}", signature="C+/="),
    )


def test_two_signed_thoughts_stay_two():
    first = {"text": "a", "thought": True, "thoughtSignature": "A"}
    second = {"text": "b", "thought": True, "thoughtSignature": "B"}
    assert parts_of(first, second) == (
        Reasoning(text="a", signature=of_google("A")),
        Reasoning(text="b", signature=of_google("B")),
    )


def test_images_and_files():
    assert parts_of(
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"fileData": {"fileUri": "https://a.test/x.mp4", "mimeType": "video/mp4"}},
    ) == (
        Media(kind="image", media_type="image/png", data="AAAA"),
        Media(kind="video", media_type="video/mp4", url="https://a.test/x.mp4"),
    )


def test_an_openai_client_sees_an_image_as_the_reference_shows_it():
    body = answer(
        {"text": "Here:"},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"inlineData": {"mimeType": "audio/L16", "data": "AAAA"}},
    )
    shown = msgspec.json.decode(openai_chat.render_reply(gemini.parse_reply(body), VIEW))
    assert shown["choices"][0]["message"]["content"] == [
        {"type": "text", "text": "Here:"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {
            "type": "text",
            "text": "[The model made: audio (audio/L16). This format has no place for it.]",
        },
    ]


def test_what_googles_tools_did_is_left_out():
    assert (
        parts_of({"executableCode": {"code": "1"}}, {"toolCall": {"id": "1"}}, {"text": ""}) == ()
    )


@pytest.mark.parametrize(
    ("said", "reason", "raw_reason"),
    [
        ("STOP", "stop", "STOP"),
        ("MAX_TOKENS", "length", "MAX_TOKENS"),
        ("SAFETY", "content_filter", "SAFETY"),
        ("RECITATION", "content_filter", "RECITATION"),
        ("IMAGE_SAFETY", "content_filter", "IMAGE_SAFETY"),
        ("MALFORMED_FUNCTION_CALL", "content_filter", "MALFORMED_FUNCTION_CALL"),
        ("OTHER", "content_filter", "OTHER"),
        ("OF_NEXT_YEAR", "other", "OF_NEXT_YEAR"),
        (1, "stop", "STOP"),
        (2, "length", "MAX_TOKENS"),
        (9, "other", "OTHER_9"),
        (None, "stop", None),
    ],
)
def test_how_an_answer_ends(said, reason, raw_reason):
    (choice,) = gemini.parse_reply(answer({"text": "x"}, reason=said)).choices
    assert (choice.reason, choice.raw_reason) == (reason, raw_reason)


def test_a_candidate_may_have_no_content():
    body = b'{"candidates":[{"finishReason":"SAFETY"},{"index":1,"content":{"role":"model"}}]}'
    first, second = gemini.parse_reply(body).choices
    assert (first.parts, first.reason) == ((), "content_filter")
    assert (second.parts, second.reason) == ((), "stop")


def test_why_an_answer_was_withheld_is_told():
    body = (
        b'{"candidates":[{"finishReason":"UNEXPECTED_TOOL_CALL","finishMessage":"No such tool."}]}'
    )
    assert gemini.parse_reply(body).choices[0].parts == (Refusal("No such tool."),)


@pytest.mark.parametrize(
    ("feedback", "told"),
    [
        ({"blockReason": "MODEL_ARMOR", "blockReasonMessage": "Injection."}, "Injection."),
        ({"blockReason": "SAFETY"}, "The provider blocked the prompt: SAFETY."),
    ],
)
def test_a_blocked_prompt_is_a_refusal(feedback, told):
    body = msgspec.json.encode({"promptFeedback": feedback})
    (choice,) = gemini.parse_reply(body).choices
    assert choice == Choice(
        parts=(Refusal(told),), reason="content_filter", raw_reason=feedback["blockReason"]
    )


def test_several_candidates_are_several_choices():
    body = msgspec.json.encode(
        {
            "candidates": [
                {"index": n, "content": {"parts": [{"text": text}]}, "finishReason": "STOP"}
                for n, text in enumerate("ab")
            ]
        }
    )
    assert [choice.parts for choice in gemini.parse_reply(body).choices] == [
        (Text("a"),),
        (Text("b"),),
    ]


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b"\xff", b"{}", b'{"candidates":1}', b'{"error":{"code":500,"message":"m"}}'],
)
def test_what_is_no_answer_is_the_providers_fault(body):
    with pytest.raises(UpstreamError):
        gemini.parse_reply(body)


# --- To a client of Google's --------------------------------------------------------------------


def test_an_answer_as_google_would_say_it():
    reply = Reply(
        id="msg_1",
        model="claude",
        created=1775149430,
        choices=(
            Choice(
                parts=(
                    Reasoning(text="th", signature="ErUB"),
                    Reasoning(redacted="EmwK"),
                    Reasoning(),
                    Text("A"),
                    Text(""),
                    ToolCall(id="toolu_1", name="f", arguments='{"a":1.50}'),
                    ToolCall(id=into_id("x", "C"), name="g", arguments=""),
                    Media(kind="image", media_type="image/png", data="AAAA"),
                    Media(kind="image", media_type="image/png", url="https://a.test/p.png"),
                    ToolResult(call_id="x", parts=()),
                ),
                reason="tool_calls",
                raw_reason="tool_use",
            ),
            Choice(parts=(Refusal("No."),), reason="stop"),
            Choice(reason="length"),
        ),
        usage=Usage(input_tokens=3, output_tokens=9, cache_read_tokens=2, reasoning_tokens=5),
    )
    shown = msgspec.json.decode(gemini.render_reply(reply, VIEW))
    assert shown == {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {
                            "text": "th",
                            "thought": True,
                            "thoughtSignature": "Y3V0d2F0ZXI6c2lnbmF0dXJlOkVyVUI=",
                        },
                        {
                            "text": "",
                            "thought": True,
                            "thoughtSignature": "Y3V0d2F0ZXI6cmVkYWN0ZWQ6RW13Sw==",
                        },
                        {"text": "A"},
                        {
                            "functionCall": {"id": "toolu_1", "name": "f", "args": {"a": 1.5}},
                            "thoughtSignature": "Y3V0d2F0ZXI6dW5zaWduZWQ=",
                        },
                        {
                            "functionCall": {"id": "x", "name": "g", "args": {}},
                            "thoughtSignature": "C",
                        },
                        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                        {"fileData": {"fileUri": "https://a.test/p.png", "mimeType": "image/png"}},
                    ],
                },
                "finishReason": "STOP",
                "index": 0,
            },
            {
                "content": {"role": "model", "parts": [{"text": "No."}]},
                "finishReason": "SAFETY",
                "index": 1,
            },
            {
                "content": {"role": "model", "parts": [{"text": ""}]},
                "finishReason": "MAX_TOKENS",
                "index": 2,
            },
        ],
        "modelVersion": "claude",
        "responseId": "msg_1",
        "createTime": "2026-04-02T17:03:50Z",
        "usageMetadata": {
            "promptTokenCount": 3,
            "candidatesTokenCount": 4,
            "totalTokenCount": 12,
            "thoughtsTokenCount": 5,
            "cachedContentTokenCount": 2,
        },
    }


def test_what_the_provider_did_not_say_is_the_clients():
    shown = msgspec.json.decode(gemini.render_reply(Reply(choices=(Choice(),)), VIEW))
    assert (shown["modelVersion"], shown["responseId"]) == ("asked-for", "fresh")
    assert "createTime" not in shown
    assert "usageMetadata" not in shown


def test_a_time_that_nobody_can_write_is_left_out():
    reply = Reply(created=1753879075170, choices=(Choice(parts=(Text("a"),)),))
    assert "createTime" not in msgspec.json.decode(gemini.render_reply(reply, VIEW))


def test_arguments_that_are_no_object_are_the_providers_fault():
    call = ToolCall(id="x", name="f", arguments="[1]")
    with pytest.raises(UpstreamError):
        gemini.render_reply(Reply(choices=(Choice(parts=(call,)),)), VIEW)


def test_an_answer_of_googles_comes_through_both_ways():
    body = answer(
        {"text": "th", "thought": True, "thoughtSignature": "R"},
        {"text": "A", "thoughtSignature": "T"},
        {"functionCall": {"id": "x", "name": "f", "args": {}}, "thoughtSignature": "C"},
        modelVersion="m",
        usageMetadata={"promptTokenCount": 1, "candidatesTokenCount": 2},
    )
    reply = gemini.parse_reply(body)
    again = gemini.parse_reply(gemini.render_reply(reply, VIEW))
    assert again == reply
    assert fold(unfold(reply)) == reply
    assert from_id(reply.choices[0].parts[-1].id) == ("x", "C")


# --- Errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
        (418, "FAILED_PRECONDITION"),
        (599, "INTERNAL"),
    ],
)
def test_an_error_as_google_would_say_it(status, word):
    error = ProviderError("Do this.", status=status)
    body = gemini.error_body(error, "req_1")
    assert msgspec.json.decode(body) == {
        "error": {
            "code": status,
            "message": "Do this.",
            "status": word,
            "details": [
                {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "req_1"}
            ],
        }
    }
    assert gemini.error_event(error, "req_1") == b"data: " + body + b"\n\n"


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"error": {"code": 404, "message": "m", "status": "NOT_FOUND"}}, 404),
        ([{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}], 429),
        ({"error": {"message": "m", "status": "UNAVAILABLE"}}, 503),
        ({"error": {"message": "m", "status": "OF_NEXT_YEAR"}}, 500),
    ],
)
def test_an_error_of_googles_is_understood(document, status):
    error = provider_errors.of_document(document)
    assert (error.status, error.message) == (status, "m")


def test_our_own_errors_are_said_too():
    body = msgspec.json.decode(gemini.error_body(BadRequestError("No."), "req_1"))
    assert body["error"]["status"] == "INVALID_ARGUMENT"


def test_half_an_emoji_does_not_cost_the_answer():
    body = b'{"candidates":[{"content":{"parts":[{"text":"a\\ud83d"}]},"finishReason":"STOP"}]}'
    (choice,) = gemini.parse_reply(body).choices
    assert choice.parts == (Text("a\ufffd"),)


def test_a_call_that_was_cut_at_the_limit_does_not_cost_the_answer():
    parts = (Text("Let me look"), ToolCall(id="t", name="f", arguments='{"a": "b'))
    reply = Reply(choices=(Choice(parts=parts, reason="length"),))
    told = msgspec.json.decode(gemini.render_reply(reply, View()))
    text, call = told["candidates"][0]["content"]["parts"]
    assert (text["text"], call["functionCall"]["args"]) == ("Let me look", {})
    assert told["candidates"][0]["finishReason"].upper() == "MAX_TOKENS"
    with pytest.raises(UpstreamError):
        gemini.render_reply(Reply(choices=(Choice(parts=parts, reason="tool_calls"),)), View())
