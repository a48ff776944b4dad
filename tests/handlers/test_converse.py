"""A Bedrock client in front of the whole application."""

import msgspec
from botocore.eventstream import EventStreamBuffer

from tests.in_process import app, ask
from tests.stand_ins import FakeUpstream, Reply

CLAUDE = [{"name": "claude", "type": "anthropic", "secret": "sk-ant-secret"}]
PATH = "/model/claude-sonnet-4-5/converse"
SAY = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
MESSAGE = {
    "id": "msg_1",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 4},
}


def upstream(**fields: object) -> FakeUpstream:
    return FakeUpstream(Reply(**fields))  # fields of Reply


async def test_an_answer_of_another_provider_is_a_converse_answer() -> None:
    fake = upstream(body=msgspec.json.encode(MESSAGE))
    answer = await ask(app(fake, CLAUDE), PATH, SAY)
    assert answer.status == 200
    assert answer.json["output"]["message"]["content"] == [{"text": "hello"}]
    assert answer.json["usage"] == {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}


async def test_a_stream_of_another_provider_is_an_event_stream() -> None:
    events = [
        {"type": "message_start", "message": MESSAGE},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "he"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}},
        {"type": "message_stop"},
    ]
    body = b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events)
    fake = upstream(body=body, headers={"content-type": "text/event-stream"})
    answer = await ask(app(fake, CLAUDE), PATH + "-stream", SAY)
    assert answer.headers["content-type"] == "application/vnd.amazon.eventstream"
    buffer = EventStreamBuffer()
    buffer.add_data(answer.body)
    assert [event.headers[":event-type"] for event in buffer] == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]


async def test_an_error_of_ours_has_its_class_in_a_header() -> None:
    answer = await ask(app(upstream(), CLAUDE), PATH, {"messages": "hi"})
    assert answer.status == 400
    assert answer.headers["x-amzn-errortype"] == "ValidationException"
    assert "messages" in answer.json["message"]


async def test_an_error_of_the_provider_has_its_class_in_a_header_once() -> None:
    fake = upstream(status=429, body=b'{"error":{"message":"slow down"}}')
    answer = await ask(app(fake, CLAUDE), PATH, SAY)
    assert answer.status == 429
    assert answer.headers["x-amzn-errortype"] == "ThrottlingException"
    assert answer.json == {"message": "slow down"}
