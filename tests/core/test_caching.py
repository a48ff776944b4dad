"""Which requests ask for one answer, and which answers are whole, in each dialect."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import caching
from core.caching import Reason
from core.eventstream import render, render_exception
from core.options import parse
from core.routes import DialectName, resolve

encode = msgspec.json.encode
DONE = b"data: [DONE]\n\n"


def events(*said: Any) -> bytes:
    """As a stream of the dialect that names its events, or not; bytes are as they are."""
    return b"".join(
        one
        if isinstance(one, bytes)
        else (b"event: %s\n" % one["type"].encode() if "type" in one else b"")
        + b"data: %s\n\n" % encode(one)
        for one in said
    )


def chunk(index: int = 0, text: str | None = None, reason: str | None = None) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    return {"id": "c", "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


def chat(*reasons: str | None, **more: Any) -> bytes:
    choices = [
        {"index": i, "message": {"role": "assistant", "content": "a"}, "finish_reason": reason}
        for i, reason in enumerate(reasons)
    ]
    return encode({"id": "c", "choices": choices, **more})


CHAT: list[tuple[bytes, Reason | None]] = [
    (chat("stop"), None),
    (chat("length"), None),
    (chat("tool_calls"), None),
    (chat("function_call"), None),
    (chat("model_length"), None),
    (chat("eos_token"), None),
    (chat("stop", "length"), None),
    (chat("stop", error=None), None),
    (chat("stop", None), "incomplete"),
    (chat(), "incomplete"),
    (chat(""), "incomplete"),
    # vLLM's, of a request that was given up; DeepSeek's; one that nobody knows.
    (chat("abort"), "incomplete"),
    (chat("insufficient_system_resource"), "incomplete"),
    (chat("tired"), "incomplete"),
    (chat("stop", "content_filter"), "filtered"),
    (chat("stop", error={"message": "overloaded"}), "error"),
    (b" " + chat("stop", error={"message": "overloaded"}), "error"),
    (encode({"error": {"message": "no"}}), "error"),
    (b'{"choices":[1]}', "incomplete"),
    (b'{"choices":[{"index":0,"finish_reason":"stop"}]}', "incomplete"),
    (chat("stop")[:-5], "incomplete"),
    (b"<html>", "incomplete"),
    (b"[]", "incomplete"),
    (b"", "incomplete"),
]
CHAT_STREAM: list[tuple[bytes, Reason | None]] = [
    (events(chunk(0, "a"), chunk(0, reason="stop"), DONE), None),
    (events(chunk(0, "a"), chunk(0, reason="stop")), None),
    (events(chunk(0, "a"), chunk(1, "b"), chunk(0, reason="stop"), DONE), "incomplete"),
    (events(chunk(0, "a"), DONE), "incomplete"),
    (events(chunk(0, "a"), chunk(0, reason=""), DONE), "incomplete"),
    (events(chunk(0, "a"), chunk(0, reason="abort"), DONE), "incomplete"),
    (events(chunk(0, "a"), chunk(0, reason="stop"))[:-20], "incomplete"),
    (events(chunk(0, "a"), b'data: {"cho\n\n', chunk(0, reason="stop"), DONE), "incomplete"),
    (
        events(chunk(0, "a"), chunk(1, "b"), chunk(0, reason="stop"))
        + events(chunk(1, reason="content_filter"), DONE),
        "filtered",
    ),
    (events(chunk(0, "a"), {"error": {"message": "no"}}), "error"),
    (events(chunk(0, "a"), chunk(0, reason="stop"), {"error": {"message": "no"}}), "error"),
    (DONE, "incomplete"),
    (b"", "incomplete"),
]


def message(reason: str | None) -> dict[str, Any]:
    return {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": reason,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


MESSAGES: list[tuple[bytes, Reason | None]] = [
    (encode(message("end_turn")), None),
    (encode(message("stop_sequence")), None),
    (encode(message("max_tokens")), None),
    (encode(message("tool_use")), None),
    (encode(message("pause_turn")), None),
    (encode(message(None)), "incomplete"),
    (encode(message("tired")), "incomplete"),
    (encode(message("refusal")), "filtered"),
    (encode({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}), "error"),
]
ERROR_EVENT = {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}
BEGUN = [
    {"type": "message_start", "message": message(None) | {"content": []}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "content_block_stop", "index": 0},
]


def stopped(reason: str | None) -> list[dict[str, Any]]:
    delta = {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {}}
    return [delta, {"type": "message_stop"}]


MESSAGES_STREAM: list[tuple[bytes, Reason | None]] = [
    (events(*BEGUN, *stopped("end_turn")), None),
    (events(*BEGUN, *stopped(None)), "incomplete"),
    (events(*BEGUN, {"type": "message_stop"}), "incomplete"),
    (events(*BEGUN), "incomplete"),
    (events(*BEGUN, *stopped("refusal")), "filtered"),
    (events(*BEGUN, ERROR_EVENT), "error"),
    (events(*BEGUN, stopped("end_turn")[0], ERROR_EVENT), "error"),
]


def response(status: str, **more: Any) -> dict[str, Any]:
    text = {"type": "output_text", "text": "Hi", "annotations": []}
    item = {"type": "message", "id": "m", "role": "assistant", "content": [text]}
    base = {"id": "r", "object": "response", "status": status, "model": "g", "error": None}
    return base | {"output": [item | {"status": "completed"}]} | more


def cut(reason: str) -> dict[str, Any]:
    return response("incomplete", incomplete_details={"reason": reason})


FAILED = response("failed", error={"code": "server_error", "message": "x"})
RESPONSES: list[tuple[bytes, Reason | None]] = [
    (encode(response("completed")), None),
    (encode(cut("max_output_tokens")), None),
    (encode(cut("content_filter")), "filtered"),
    (encode(FAILED), "error"),
    (encode(response("in_progress")), "incomplete"),
    (encode(response("queued", output=[], background=True)), "incomplete"),
    (encode(response("cancelled")), "incomplete"),
]
CREATED = {"type": "response.created", "response": response("in_progress", output=[])}


def ended(how: str, said: dict[str, Any]) -> bytes:
    return events(CREATED, {"type": f"response.{how}", "response": said})


RESPONSES_STREAM: list[tuple[bytes, Reason | None]] = [
    (ended("completed", response("completed")), None),
    (ended("incomplete", cut("max_output_tokens")), None),
    (ended("incomplete", cut("content_filter")), "filtered"),
    (ended("failed", FAILED), "error"),
    (events(CREATED), "incomplete"),
    (events(CREATED, {"type": "error", "code": "x", "message": "y"}), "error"),
]


def candidates(*reasons: str | None) -> dict[str, Any]:
    said = {"parts": [{"text": "Hi"}], "role": "model"}
    found = [
        {"index": i, "content": said} | ({} if reason is None else {"finishReason": reason})
        for i, reason in enumerate(reasons)
    ]
    return {"candidates": found, "usageMetadata": {"promptTokenCount": 1}}


GEMINI: list[tuple[Any, Reason | None]] = [
    (candidates("STOP"), None),
    (candidates("MAX_TOKENS"), None),
    (candidates(None), "incomplete"),
    (candidates("STOP", None), "incomplete"),
    (candidates("SAFETY"), "filtered"),
    (candidates("STOP", "RECITATION"), "filtered"),
    ({"promptFeedback": {"blockReason": "SAFETY"}}, "filtered"),
    ({"usageMetadata": {}}, "incomplete"),
    ({"error": {"code": 503, "message": "x", "status": "UNAVAILABLE"}}, "error"),
]
GEMINI_WHOLE = [(encode(said), reason) for said, reason in GEMINI]
GEMINI_STREAM = [
    *((events(candidates(None), said), reason) for said, reason in GEMINI),
    (events(candidates("STOP"), GEMINI[-1][0]), "error"),
    (events(candidates(None)), "incomplete"),
]


def converse(reason: str | None) -> bytes:
    said = {"message": {"role": "assistant", "content": [{"text": "Hi"}]}}
    usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
    return encode({"output": said, "stopReason": reason, "usage": usage})


CONVERSE: list[tuple[bytes, Reason | None]] = [
    (converse("end_turn"), None),
    (converse("max_tokens"), None),
    (converse("tool_use"), None),
    (converse(None), "incomplete"),
    (converse("malformed_model_output"), "incomplete"),
    (converse("guardrail_intervened"), "filtered"),
    (converse("content_filtered"), "filtered"),
    (b'{"message":"Too many requests"}', "incomplete"),
]
TEXT = [
    render(b'{"role":"assistant"}', "messageStart"),
    render(b'{"contentBlockIndex":0,"delta":{"text":"Hi"}}', "contentBlockDelta"),
    render(b'{"contentBlockIndex":0}', "contentBlockStop"),
]
STOP = render(b'{"stopReason":"end_turn"}', "messageStop")
CONVERSE_STREAM: list[tuple[bytes, Reason | None]] = [
    (b"".join([*TEXT, STOP]), None),
    (b"".join(TEXT), "incomplete"),
    (b"".join([*TEXT, STOP])[:-7], "incomplete"),
    (b"".join([*TEXT, render(b'{"stopReason":"content_filtered"}', "messageStop")]), "filtered"),
    (b"".join([*TEXT, render_exception(b'{"message":"x"}', "throttlingException")]), "error"),
    (b"", "incomplete"),
]
TABLES: list[tuple[DialectName, bool, Any]] = [
    ("openai_chat", False, CHAT),
    ("openai_chat", True, CHAT_STREAM),
    ("anthropic", False, MESSAGES),
    ("anthropic", True, MESSAGES_STREAM),
    ("openai_responses", False, RESPONSES),
    ("openai_responses", True, RESPONSES_STREAM),
    ("gemini", False, GEMINI_WHOLE),
    ("gemini", True, GEMINI_STREAM),
    ("converse", False, CONVERSE),
    ("converse", True, CONVERSE_STREAM),
]


@pytest.mark.parametrize(
    ("dialect", "streamed", "body", "reason"),
    [(dialect, streamed, *case) for dialect, streamed, cases in TABLES for case in cases],
)
def test_only_a_whole_answer_is_kept(
    dialect: DialectName, streamed: bool, body: bytes, reason: Reason | None
) -> None:
    assert caching.admission(dialect, body, streamed=streamed) == reason


def completions(*reasons: Any, **more: Any) -> bytes:
    choices = [{"text": "x", "index": i, "finish_reason": r} for i, r in enumerate(reasons)]
    return encode({"choices": choices, **more})


SHAPES: list[tuple[bytes, Reason | None]] = [
    (completions("stop"), None),
    (completions("length", "stop"), None),
    (completions("stop", None), "incomplete"),
    (completions("abort"), "incomplete"),
    (completions(""), "incomplete"),
    (completions(), "incomplete"),
    (completions("content_filter"), "filtered"),
    (completions("stop", error={"message": "x"}), "error"),
    # Nothing that a provider says may raise: the answer has been paid for.
    (completions({}), "incomplete"),
    (completions(["stop"]), "incomplete"),
    (completions(1), "incomplete"),
    (encode({"data": [{"index": 0, "embedding": [0.5]}]}), None),
    (encode({"data": [{"index": 0, "embedding": "AAAA"}], "error": None}), None),
    (encode({"embedding": {"values": [0.5]}}), None),
    (encode({"embeddings": [{"values": [0.5]}]}), None),
    (encode({"id": "m", "results": [{"flagged": False}]}), None),
    (b'{"data":[ ]}', "incomplete"),
    (b'{"data":null}', "incomplete"),
    (b'{"embedding":{}}', "incomplete"),
    (b'{"results":[]}', "incomplete"),
    (b'{"object":"list"}', "incomplete"),
    (b'{"data":[{"embedding":[0.5]}],"error":{"message":"x"}}', "error"),
    (b'{"error":{"message":"x"}}', "error"),
    (b'{"data":[{"embedding":[0', "incomplete"),
    (b"<html>", "incomplete"),
    (b"", "incomplete"),
]


@pytest.mark.parametrize(("body", "reason"), SHAPES)
def test_only_whole_completions_embeddings_and_moderations_are_kept(
    body: bytes, reason: Reason | None
) -> None:
    assert caching.admission_of_shape(body, streamed=False) == reason


def piece(reason: str | None, index: int = 0) -> dict[str, Any]:
    return {"choices": [{"index": index, "text": "x", "finish_reason": reason}]}


STREAMED_SHAPES: list[tuple[bytes, Reason | None]] = [
    (events(piece(None), piece("stop"), DONE), None),
    (events(piece(None), piece("length"), {"choices": [], "usage": {}}, DONE), None),
    (events(piece(None), piece(None, 1), piece("stop"), DONE), "incomplete"),
    (events(piece(None), piece("abort"), DONE), "incomplete"),
    (events(piece(None), DONE), "incomplete"),
    (events(piece(None)), "incomplete"),
    (events(piece(None), {"error": {"message": "x"}}), "error"),
    (events(piece("content_filter"), DONE), "filtered"),
    # What was said is no word about how it ended.
    (events({"choices": [{"index": 0, "text": '"content_filter"'}]}, piece("stop"), DONE), None),
]


@pytest.mark.parametrize(("body", "reason"), STREAMED_SHAPES)
def test_only_whole_streams_of_completions_are_kept(body: bytes, reason: Reason | None) -> None:
    assert caching.admission_of_shape(body, streamed=True) == reason


NAMES = "choices message delta finish_reason content candidates parts output status error data type"
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["stop", "text", "message"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=4)
    ),
    max_leaves=15,
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(NAMES.split()), ANY, max_size=4), max_size=3))
def test_no_answer_whatsoever_raises(said: list[dict[str, Any]]) -> None:
    streamed = b"".join(b"data: %s\n\n" % encode(one) for one in said)
    for dialect, _, _ in TABLES[::2]:
        caching.admission(dialect, streamed, streamed=True)
        caching.admission(dialect, encode(said[0] if said else said), streamed=False)
    caching.admission_of_shape(streamed, streamed=True)
    caching.admission_of_shape(encode(said[0] if said else said), streamed=False)


@pytest.mark.parametrize(
    ("method", "path", "kept"),
    [
        ("POST", "/v1/chat/completions", True),
        ("POST", "/v1/completions", True),
        ("POST", "/v1/moderations", True),
        ("POST", "/v1/embeddings", True),
        ("POST", "/v1beta/models/m:embedContent", True),
        ("POST", "/v1beta/models/m:batchEmbedContents", True),
        ("POST", "/v1beta/models/m:predict", False),
        ("POST", "/v1/images/generations", False),
        ("POST", "/v1/files", False),
        ("GET", "/v1/moderations", False),
        ("DELETE", "/v1/completions", False),
    ],
)
def test_answers_to_questions_are_kept_and_nothing_else(method: str, path: str, kept: bool) -> None:
    assert caching.is_kept(resolve(method, path, {})) == kept


@pytest.mark.parametrize("mode", ["record", "replay"])
def test_a_cassette_is_either_written_or_read_and_never_expires(mode: str) -> None:
    asked = parse({"x-bt-use-cache": mode, "x-bt-cassette": "c", "x-bt-cache-ttl": "5"})
    verdict = caching.decide(asked, certain=False)
    assert (verdict.reads, verdict.writes) == (mode == "replay", mode == "record")
    assert verdict.ttl_s == 0


def test_every_reason_is_explained() -> None:
    assert set(caching.REASONS) == set(Reason.__args__)
