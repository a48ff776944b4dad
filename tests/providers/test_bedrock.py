"""Claude's events travel inside AWS's frames, for any split of the bytes."""

from base64 import b64encode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import eventstream
from core.errors import UpstreamError
from providers.bedrock import CLAUDE
from tests.in_process import app, ask
from tests.stand_ins import FakeUpstream, Reply

EVENTS = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": "claude",
            "stop_reason": None,
            "usage": {"input_tokens": 3, "output_tokens": 0},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "H\u00e9\u2028\n"},
    },
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 4},
    },
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3}},
]
BINARY = {"content-type": "application/vnd.amazon.eventstream"}
ENDPOINT = {
    "type": "bedrock",
    "name": "bed",
    "secret": "S",
    "metadata": {"region": "us-east-1", "access_key": "AKIA"},
}
MODEL = "anthropic.claude-opus-5"


def packed(event):
    data = msgspec.json.encode(event)
    return eventstream.render(msgspec.json.encode({"bytes": b64encode(data).decode()}), "chunk")


STREAM = b"".join(packed(event) for event in EVENTS)


def seen(chunks):
    framer = CLAUDE.framer()
    frames = [frame for chunk in chunks for frame in framer.feed(chunk)]
    assert framer.flush() == b""
    events = [CLAUDE.parse(frame) for frame in frames]
    return [(event.name.decode(), msgspec.json.decode(event.data)) for event in events if event]


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8).map(sorted))
def test_any_split_of_the_bytes_gives_the_same_events(cuts):
    chunks = [STREAM[a:b] for a, b in zip([0, *cuts], [*cuts, len(STREAM)], strict=True)]
    assert seen(chunks) == [(event["type"], event) for event in EVENTS]


@pytest.mark.parametrize(
    ("exception", "kind"),
    [
        ("throttlingException", "rate_limit_error"),
        ("validationException", "invalid_request_error"),
        ("modelTimeoutException", "timeout_error"),
        ("serviceUnavailableException", "overloaded_error"),
        ("internalServerException", "api_error"),
        ("somethingNewException", "api_error"),
    ],
)
def test_an_exception_in_the_stream_is_an_error_event_of_anthropic(exception, kind):
    frame = eventstream.render_exception(b'{"message": "Too much"}', exception)
    error = {"type": kind, "message": "Too much"}
    assert seen([frame]) == [("error", {"type": "error", "error": error})]


def test_an_exception_without_words_still_says_something():
    ((_, event),) = seen([eventstream.render_exception(b"oops", "internalServerException")])
    assert event["error"]["message"]


@pytest.mark.parametrize("payload", [b"{}", b'{"bytes": "%%%"}', b"no", b'{"bytes": "bm8="}'])
def test_a_frame_that_holds_no_event_is_an_error_of_the_provider(payload):
    with pytest.raises(UpstreamError):
        seen([eventstream.render(payload, "chunk")])


async def test_an_anthropic_client_sees_the_stream_as_if_anthropic_had_sent_it():
    upstream = FakeUpstream(Reply(headers=BINARY, body=STREAM))
    body = {"model": MODEL, "max_tokens": 5, "stream": True, "messages": []}
    body["messages"] = [{"role": "user", "content": "hi"}]
    answer = await ask(app(upstream, [ENDPOINT]), "/v1/messages", body)
    expected = b"".join(
        b"event: %s\ndata: %s\n\n" % (e["type"].encode(), msgspec.json.encode(e)) for e in EVENTS
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body == expected


async def test_an_openai_client_sees_chunks_and_a_cut_stream_is_an_error():
    body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    upstream = FakeUpstream(Reply(headers=BINARY, body=STREAM))
    answer = await ask(app(upstream, [ENDPOINT]), "/v1/chat/completions", body)
    assert answer.body.endswith(b"data: [DONE]\n\n")
    cut = FakeUpstream(Reply(headers=BINARY, body=STREAM[: len(STREAM) // 2]))
    answer = await ask(app(cut, [ENDPOINT]), "/v1/chat/completions", body)
    assert b'"error"' in answer.body


async def test_throttling_before_the_first_word_is_a_429():
    frame = eventstream.render_exception(b'{"message": "Too much"}', "throttlingException")
    upstream = FakeUpstream(Reply(headers=BINARY, body=frame))
    body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    answer = await ask(app(upstream, [ENDPOINT]), "/v1/chat/completions", body)
    assert answer.status == 429


async def test_an_error_of_bedrock_keeps_status_and_words_for_claude_too():
    upstream = FakeUpstream(Reply(status=400, body=b'{"message": "bad input"}'))
    body = {"model": MODEL, "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    for path in ("/v1/messages", "/v1/chat/completions"):
        answer = await ask(app(upstream, [ENDPOINT]), path, body)
        assert answer.status == 400
        assert answer.json["error"]["message"] == "bad input"
