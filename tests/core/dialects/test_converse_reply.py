"""Whole Converse answers, and errors, both ways."""

from typing import Any

import msgspec
import pytest
from botocore.eventstream import EventStreamBuffer

from core import dialects
from core.dialects import anthropic, converse
from core.errors import (
    AuthenticationError,
    BadRequestError,
    CutwaterError,
    ModelNotFoundError,
    PermissionDeniedError,
    ProviderError,
    RateLimitError,
    RequestTimeoutError,
    TooLargeError,
    UnavailableError,
    UpstreamError,
    UpstreamTimeoutError,
)
from core.neutral import (
    Choice,
    FinishReason,
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


def answer(*blocks: dict[str, Any], **fields: Any) -> bytes:
    return msgspec.json.encode(
        {
            "output": {"message": {"role": "assistant", "content": list(blocks)}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
            "metrics": {"latencyMs": 5},
            **fields,
        }
    )


def parts(*blocks: dict[str, Any]) -> tuple[Part, ...]:
    return converse.parse_reply(answer(*blocks)).choices[0].parts


def rendered(*parts: Part, reason: FinishReason = "stop", **fields: Any) -> dict[str, Any]:
    reply = Reply(choices=(Choice(parts=parts, reason=reason, **fields),))
    given: dict[str, Any] = msgspec.json.decode(converse.render_reply(reply, View()))
    return given


BOTH_WAYS: list[tuple[dict[str, Any], Part]] = [
    ({"text": "hi"}, Text("hi")),
    (
        {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": [1]}}},
        ToolCall(id="t", name="f", arguments='{"a":[1]}'),
    ),
    (
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        Reasoning(text="hm", signature="s"),
    ),
    ({"reasoningContent": {"reasoningText": {"text": "hm"}}}, Reasoning(text="hm")),
    ({"reasoningContent": {"redactedContent": "RXU4RQ=="}}, Reasoning(redacted="Eu8E")),
    ({"reasoningContent": {"redactedContent": "AP8="}}, Reasoning(redacted="\x00\xff")),
    (
        {"image": {"format": "png", "source": {"bytes": "AA=="}}},
        Media(kind="image", media_type="image/png", data="AA=="),
    ),
]


@pytest.mark.parametrize(("block", "part"), BOTH_WAYS)
def test_a_block_is_a_part_and_a_part_a_block(block: dict[str, Any], part: Part) -> None:
    assert parts(block) == (part,)
    assert rendered(part)["output"]["message"]["content"] == [block]


@pytest.mark.parametrize(
    ("block", "read"),
    [
        ({"citationsContent": {"content": [{"text": "a"}], "citations": []}}, (Text("a"),)),
        (
            {"toolUse": {"toolUseId": "t", "name": "f"}},
            (ToolCall(id="t", name="f", arguments="{}"),),
        ),
        ({"toolUse": {"toolUseId": "t", "name": "f", "type": "server_tool_use"}}, ()),
        ({"toolResult": {"toolUseId": "t", "type": "nova_result", "content": []}}, ()),
        ({"image": {"format": "png", "source": {"s3Location": {"uri": "s3://a/b"}}}}, ()),
        ({"somethingNew": {}}, ()),
    ],
)
def test_what_other_clients_have_no_word_for_is_left_out(
    block: dict[str, Any], read: tuple[Part, ...]
) -> None:
    assert parts(block) == read


def test_nova_says_of_a_clients_call_that_it_is_one() -> None:
    use = {"toolUseId": "t1", "name": "f", "input": {}, "type": "tool_use"}
    assert parts({"toolUse": use}) == (ToolCall(id="t1", name="f", arguments="{}"),)


def test_redacted_thinking_is_what_anthropics_own_api_says() -> None:
    reply = converse.parse_reply(answer({"reasoningContent": {"redactedContent": "RXU4RQ=="}}))
    block = msgspec.json.decode(anthropic.render_reply(reply, View()))["content"][0]
    assert block == {"type": "redacted_thinking", "data": "Eu8E"}


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("content_filtered", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("malformed_model_output", "error"),
        ("malformed_tool_use", "error"),
        ("something_new", "other"),
        (None, "stop"),
    ],
)
def test_why_it_stopped(word: str | None, reason: str) -> None:
    choice = converse.parse_reply(answer(stopReason=word)).choices[0]
    assert (choice.reason, choice.raw_reason) == (reason, word)


@pytest.mark.parametrize(
    ("fields", "sequence"),
    [({"stop_sequence": "X"}, "X"), ({"stop_sequence": 5}, None), ([], None), (None, None)],
)
def test_which_stop_sequence_it_was(fields: Any, sequence: str | None) -> None:
    reply = converse.parse_reply(answer(additionalModelResponseFields=fields))
    assert reply.choices[0].stop_sequence == sequence


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("content_filter", "content_filtered"),
        ("error", "malformed_model_output"),
        ("other", "end_turn"),
        (None, "end_turn"),
    ],
)
def test_why_it_stopped_in_converses_words(reason: Any, word: str) -> None:
    assert rendered(reason=reason)["stopReason"] == word


def test_a_stop_sequence_and_a_refusal_have_words_of_their_own() -> None:
    assert rendered(stop_sequence="X")["stopReason"] == "stop_sequence"
    refused = rendered(Refusal("no"))
    assert refused["stopReason"] == "content_filtered"
    assert refused["output"]["message"]["content"] == [{"text": "no"}]


USAGE = {
    "inputTokens": 3,
    "outputTokens": 227,
    "totalTokens": 2230,
    "cacheReadInputTokens": 1000,
    "cacheWriteInputTokens": 1000,
}


def test_cached_tokens_are_counted_apart_and_in_the_total() -> None:
    usage = Usage(
        input_tokens=2003, output_tokens=227, cache_read_tokens=1000, cache_write_tokens=1000
    )
    reply = converse.parse_reply(answer(usage=USAGE))
    assert reply.usage == usage
    assert msgspec.json.decode(converse.render_reply(reply, View()))["usage"] == USAGE


def test_without_usage_there_are_zeros_since_clients_require_them() -> None:
    assert converse.parse_reply(answer(usage=None)).usage is None
    given = msgspec.json.decode(converse.render_reply(Reply(), View()))
    assert given == {
        "output": {"message": {"role": "assistant", "content": []}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0},
        "metrics": {"latencyMs": 0},
    }


@pytest.mark.parametrize("body", [b"", b"[]", b'{"output":{}}', b'{"output":"\xff"}', b"<html>"])
def test_what_is_no_answer_is_an_error(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="Converse"):
        converse.parse_reply(body)


@pytest.mark.parametrize(
    "part",
    [
        ToolCall(id="t", name="f", arguments="no object"),
        ToolResult(call_id="t", parts=()),
    ],
)
def test_what_converse_cannot_say_is_an_error_and_never_left_out(part: Part) -> None:
    with pytest.raises(UpstreamError):
        rendered(part)


def other(status: int) -> CutwaterError:
    return ProviderError("m", status=status)


ERRORS = [
    (BadRequestError("m"), "ValidationException", "validationException"),
    (AuthenticationError("m"), "AccessDeniedException", "validationException"),
    (PermissionDeniedError("m"), "AccessDeniedException", "validationException"),
    (ModelNotFoundError("m"), "ResourceNotFoundException", "validationException"),
    (RequestTimeoutError("m"), "ModelTimeoutException", "validationException"),
    (TooLargeError("m"), "ValidationException", "validationException"),
    (other(424), "ModelErrorException", "validationException"),
    (RateLimitError("m"), "ThrottlingException", "throttlingException"),
    (other(500), "InternalServerException", "internalServerException"),
    (UpstreamError("m"), "InternalServerException", "internalServerException"),
    (UnavailableError("m"), "ServiceUnavailableException", "serviceUnavailableException"),
    (UpstreamTimeoutError("m"), "ModelTimeoutException", "modelStreamErrorException"),
    (other(529), "InternalServerException", "internalServerException"),
]


@pytest.mark.parametrize(("error", "name", "streamed"), ERRORS)
def test_an_error_has_its_class_in_a_header_and_in_an_event(
    error: CutwaterError, name: str, streamed: str
) -> None:
    assert converse.error_body(error, "r1") == b'{"message":"m"}'
    told = {"x-amzn-errortype": name, "x-amzn-requestid": "r1"}
    assert dialects.error_headers(converse, error, "r1") == told
    buffer = EventStreamBuffer()
    buffer.add_data(converse.error_event(error, "r1"))
    (event,) = buffer
    assert event.headers[":message-type"] == "exception"
    assert event.headers[":exception-type"] == streamed
    assert event.payload == b'{"message":"m"}'


def test_other_dialects_tell_an_error_by_its_body_alone() -> None:
    assert dialects.error_headers(anthropic, BadRequestError("m"), "r1") == {}


def test_half_an_emoji_does_not_cost_the_answer():
    body = b'{"output":{"message":{"content":[{"text":"a\\ud83d"}]}},"stopReason":"end_turn"}'
    (choice,) = converse.parse_reply(body).choices
    assert choice.parts == (Text("a\ufffd"),)


def test_a_call_that_was_cut_at_the_limit_does_not_cost_the_answer():
    parts = (Text("Let me look"), ToolCall(id="t", name="f", arguments='{"a": "b'))
    reply = Reply(choices=(Choice(parts=parts, reason="length"),))
    told = msgspec.json.decode(converse.render_reply(reply, View()))
    text, call = told["output"]["message"]["content"]
    assert (text["text"], call["toolUse"]["input"]) == ("Let me look", {})
    assert told["stopReason"].upper() == "MAX_TOKENS"
    with pytest.raises(UpstreamError):
        converse.render_reply(Reply(choices=(Choice(parts=parts, reason="tool_calls"),)), View())
