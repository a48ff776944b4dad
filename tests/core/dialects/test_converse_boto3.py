"""boto3 as the client: what it sends is read, and what we render is what it understands."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import msgspec
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from msgspec import Raw, Struct

from core import dialects, sse
from core import envelope as envelopes
from core.dialects import anthropic, converse
from core.errors import (
    AuthenticationError,
    BadRequestError,
    CutwaterError,
    ModelNotFoundError,
    RateLimitError,
    RequestTimeoutError,
    TooLargeError,
    UnavailableError,
    UpstreamError,
)
from core.neutral import (
    Choice,
    Media,
    Message,
    Reasoning,
    Reply,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
    View,
    unfold,
)
from core.streams import NeutralRelay
from tests import corpus


class Answer(Struct, kw_only=True):
    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = {}


class Bedrock(ThreadingHTTPServer):
    """Gives the same answer to everybody, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = Answer(body=b"")
        self.asked: tuple[str, bytes] = ("", b"")


class Handler(BaseHTTPRequestHandler):
    server: Bedrock

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked = (self.path, body)
        answer = self.server.answer
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("content-type", answer.content_type)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def bedrock() -> Iterator[Bedrock]:
    with Bedrock() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


@pytest.fixture(scope="module")
def client(bedrock: Bedrock) -> Iterator[Any]:
    given = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{bedrock.server_port}",
        aws_access_key_id="AKIAX",
        aws_secret_access_key="SECRET",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5),
    )
    yield given
    given.close()


SAY = [{"role": "user", "content": [{"text": "hi"}]}]
USAGE = Usage(input_tokens=30, output_tokens=4, cache_read_tokens=20, cache_write_tokens=7)
REPLY = Reply(
    choices=(
        Choice(
            parts=(
                Reasoning(text="hm", signature="s"),
                Reasoning(redacted="Eu8E"),
                Text("héllo"),
                ToolCall(id="t1", name="f", arguments='{"a":{"b":[1,2.5]}}'),
            ),
            reason="tool_calls",
        ),
    ),
    usage=USAGE,
)


def test_boto3_reads_an_answer(bedrock: Bedrock, client: Any) -> None:
    bedrock.answer = Answer(body=converse.render_reply(REPLY, View()))
    given = client.converse(modelId="m", messages=SAY)
    assert given["output"]["message"] == {
        "role": "assistant",
        "content": [
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
            {"reasoningContent": {"redactedContent": b"Eu8E"}},
            {"text": "héllo"},
            {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": {"b": [1, 2.5]}}}},
        ],
    }
    assert given["stopReason"] == "tool_use"
    assert given["usage"] == {
        "inputTokens": 3,
        "outputTokens": 4,
        "totalTokens": 34,
        "cacheReadInputTokens": 20,
        "cacheWriteInputTokens": 7,
    }
    assert given["metrics"] == {"latencyMs": 0}


def streamed(bedrock: Bedrock, client: Any, body: bytes) -> list[dict[str, Any]]:
    bedrock.answer = Answer(body=body, content_type=converse.WIRE.content_type)
    return list(client.converse_stream(modelId="m", messages=SAY)["stream"])


def test_boto3_reads_a_stream(bedrock: Bedrock, client: Any) -> None:
    renderer = converse.StreamRenderer(View())
    events = streamed(bedrock, client, b"".join(renderer.feed(d) for d in unfold(REPLY)))
    names = [name for event in events for name in event]
    assert names[0] == "messageStart"
    assert names[-2:] == ["messageStop", "metadata"]
    deltas = [e["contentBlockDelta"]["delta"] for e in events if "contentBlockDelta" in e]
    assert deltas == [
        {"reasoningContent": {"text": "hm"}},
        {"reasoningContent": {"signature": "s"}},
        {"reasoningContent": {"redactedContent": b"Eu8E"}},
        {"text": "héllo"},
        {"toolUse": {"input": '{"a":{"b":[1,2.5]}}'}},
    ]
    starts = [e["contentBlockStart"] for e in events if "contentBlockStart" in e]
    assert starts == [
        {"start": {"toolUse": {"toolUseId": "t1", "name": "f"}}, "contentBlockIndex": 3}
    ]
    assert events[-1]["metadata"]["usage"]["cacheReadInputTokens"] == 20


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (BadRequestError("say why"), "ValidationException"),
        (AuthenticationError("say why"), "AccessDeniedException"),
        (ModelNotFoundError("say why"), "ResourceNotFoundException"),
        (RequestTimeoutError("say why"), "ModelTimeoutException"),
        (TooLargeError("say why"), "ValidationException"),
        (RateLimitError("say why"), "ThrottlingException"),
        (UpstreamError("say why"), "InternalServerException"),
        (UnavailableError("say why"), "ServiceUnavailableException"),
    ],
)
def test_boto3_raises_the_class_of_an_error(
    bedrock: Bedrock, client: Any, error: CutwaterError, name: str
) -> None:
    bedrock.answer = Answer(
        body=converse.error_body(error, "r1"),
        status=error.status,
        headers=dialects.error_headers(converse, error, "r1"),
    )
    with pytest.raises(getattr(client.exceptions, name)) as caught:
        client.converse(modelId="m", messages=SAY)
    assert isinstance(caught.value, ClientError)
    assert caught.value.response["Error"] == {"Code": name, "Message": "say why"}
    assert caught.value.response["ResponseMetadata"]["RequestId"] == "r1"


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (UpstreamError("say why"), "internalServerException"),
        (RateLimitError("say why"), "throttlingException"),
        (TooLargeError("say why"), "validationException"),
    ],
)
def test_boto3_raises_an_error_in_the_middle_of_a_stream(
    bedrock: Bedrock, client: Any, error: CutwaterError, name: str
) -> None:
    renderer = converse.StreamRenderer(View())
    begun = b"".join(renderer.feed(d) for d in [*unfold(REPLY)][:3])
    with pytest.raises(EventStreamError, match="say why") as caught:
        streamed(bedrock, client, begun + converse.error_event(error, "r1"))
    assert caught.value.response["Error"]["Code"] == name


def test_what_boto3_sends_is_read(bedrock: Bedrock, client: Any) -> None:
    bedrock.answer = Answer(body=converse.render_reply(REPLY, View()))
    client.converse(
        modelId="anthropic.claude-x:0",
        system=[{"text": "S"}],
        messages=[
            {
                "role": "user",
                "content": [
                    {"text": "look"},
                    {"image": {"format": "png", "source": {"bytes": b"\x00"}}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"redactedContent": b"Eu8E"}},
                    {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}},
                ],
            },
            {
                "role": "user",
                "content": [{"toolResult": {"toolUseId": "t1", "content": [{"json": {"b": 2}}]}}],
            },
        ],
        toolConfig={"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}]},
        inferenceConfig={"maxTokens": 9, "temperature": 0.5},
    )
    path, body = bedrock.asked
    assert path == converse.PATHS[0].replace("{model}", "anthropic.claude-x%3A0")
    fields = envelopes.split(body)
    converse.check_request(fields)
    request = converse.parse_request(fields)
    assert request.messages == (
        Message("system", (Text("S"),)),
        Message("user", (Text("look"), Media(kind="image", media_type="image/png", data="AA=="))),
        Message(
            "assistant",
            (Reasoning(redacted="Eu8E"), ToolCall(id="t1", name="f", arguments='{"a": 1}')),
        ),
        Message("user", (ToolResult(call_id="t1", parts=(Text('{"b": 2}'),)),)),
    )
    assert request.tools == (Tool(name="f", schema=Raw(b"{}")),)
    assert request.max_tokens == 9
    assert request.dropped == ()


# --- Over the recordings: an Anthropic provider behind a boto3 client ---------------------------


def text_of(content: list[dict[str, Any]]) -> str:
    return "".join(block.get("text", "") for block in content)


@pytest.mark.corpus
def test_boto3_reads_every_recorded_anthropic_answer(bedrock: Bedrock, client: Any) -> None:
    read = 0
    for recording in corpus.recordings("anthropic.messages"):
        if recording.stream or recording.response.status != 200:
            continue
        reply = anthropic.parse_reply(msgspec.json.encode(recording.response.body))
        bedrock.answer = Answer(body=converse.render_reply(reply, View()))
        content = client.converse(modelId="m", messages=SAY)["output"]["message"]["content"]
        blocks = recording.response.body["content"]
        said = [b for b in blocks if b["type"] in ("text", "tool_use")]
        why = recording.response.body.get("stop_details") or {}
        text = text_of([b for b in said if b["type"] == "text"]) + (why.get("explanation") or "")
        assert text_of(content) == text, recording.id
        assert [b["toolUse"]["input"] for b in content if "toolUse" in b] == [
            b["input"] for b in said if b["type"] == "tool_use"
        ], recording.id
        read += 1
    assert read > 150


@pytest.mark.corpus
def test_boto3_reads_every_recorded_anthropic_stream(bedrock: Bedrock, client: Any) -> None:
    read = 0
    for recording in corpus.recordings("anthropic.messages"):
        if not recording.stream or recording.response.status != 200:
            continue
        data = recording.response.body_text.encode()
        relay = NeutralRelay(converse, anthropic, converse.StreamRenderer(View()), "r1")
        events = streamed(bedrock, client, relay.feed(data) + relay.finish(None))
        frames = sse.Framer().feed(data)
        wire = [msgspec.json.decode(e.data) for f in frames if (e := sse.parse(f)) is not None]
        # One recording holds several messages after one another; a stream is one.
        over = next(i for i, e in enumerate(wire) if e["type"] == "message_stop")
        wire = wire[:over]
        said = [e["delta"] for e in wire if e["type"] == "content_block_delta"]
        deltas = [e["contentBlockDelta"]["delta"] for e in events if "contentBlockDelta" in e]
        ends = [e["delta"].get("stop_details") or {} for e in wire if e["type"] == "message_delta"]
        why = "".join(end.get("explanation") or "" for end in ends)
        assert text_of(deltas) == text_of(said) + why, recording.id
        assert "metadata" in events[-1], recording.id
        read += 1
    assert read > 40
