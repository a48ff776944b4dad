"""Routes whose bytes go through untouched, both ways."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import pytest

from core.errors import UpstreamError
from core.ports import Incoming, Outgoing
from handlers import passthrough as forwarding
from tests.in_process import app, ask
from tests.stand_ins import KEY, FakeUpstream, Reply

pytestmark = pytest.mark.timeout(20)

OPENAI = {"type": "openai", "name": "oa", "secret": "sk-prov-123456", "weight": 2}
CLAUDE = {"type": "anthropic", "name": "claude", "secret": "sk-ant-123456"}
AUDIO = {"content-type": "audio/mpeg", "content-disposition": "attachment", "set-cookie": "a=b"}


async def test_binary_audio_comes_out_as_it_is():
    sound = bytes(range(256)) * 3
    upstream = FakeUpstream(Reply(headers={**AUDIO, "content-length": "768"}, body=sound))
    asked = b'{"model": "tts-1", "input": "hi", "speed": 1.50}'
    answer = await ask(app(upstream, [OPENAI]), "/v1/audio/speech", asked)
    assert (answer.status, answer.body) == (200, sound)
    assert answer.headers == {
        "content-type": "audio/mpeg",
        "content-disposition": "attachment",
        "content-length": "768",
        "x-bt-used-endpoint": "oa",
        "x-bt-attempts": "1",
    }
    (sent,) = upstream.sent
    assert (sent.url, sent.body) == ("https://api.openai.com/v1/audio/speech", asked)


async def test_a_length_that_no_longer_holds_is_not_told():
    upstream = FakeUpstream(Reply(headers={"content-length": "9", "content-encoding": "gzip"}))
    answer = await ask(app(upstream, [OPENAI]), "/v1/files", method="GET")
    assert "content-length" not in answer.headers
    assert "content-type" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD"])
async def test_methods_and_queries_are_kept(method: str):
    upstream = FakeUpstream(Reply())
    path = "/v1/responses/resp_1?include[]=a&stream=true"
    await ask(app(upstream, [CLAUDE, OPENAI]), path, method=method)
    (sent,) = upstream.sent
    assert (sent.method, sent.body, sent.upload) == (method, b"", None)
    assert sent.url == "https://api.openai.com/v1/responses/resp_1?include[]=a&stream=true"


async def test_count_tokens_goes_to_anthropic_with_its_query():
    upstream = FakeUpstream(Reply(body=b'{"input_tokens":14}'))
    body = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "x"}]}
    answer = await ask(app(upstream, [OPENAI, CLAUDE]), "/v1/messages/count_tokens?beta=true", body)
    assert answer.json == {"input_tokens": 14}
    (sent,) = upstream.sent
    assert sent.url == "https://api.anthropic.com/v1/messages/count_tokens?beta=true"
    assert sent.headers["anthropic-version"] == "2023-06-01"


async def test_count_tokens_of_another_providers_model_is_refused_in_anthropics_shape():
    body = {"model": "gpt-4o", "messages": []}
    answer = await ask(app(FakeUpstream(Reply()), [OPENAI]), "/v1/messages/count_tokens", body)
    assert answer.status == 400
    assert answer.json["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(("status", "told"), [(401, 502), (402, 502), (403, 502), (404, 404)])
async def test_an_endpoints_own_key_is_no_fault_of_the_callers(status: int, told: int):
    error = b'{"error":{"message":"no sk-prov-123456","type":"t"}}'
    upstream = FakeUpstream(Reply(status=status, body=error))
    answer = await ask(app(upstream, [OPENAI]), "/v1/files", method="GET")
    assert answer.status == told
    assert b"sk-prov" not in answer.body
    if told == 404:
        assert answer.body == error.replace(b"sk-prov-123456", b"***")


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"authorization": ""}, 401), ({"authorization": "Bearer cw_nobody_0123456789abcdef"}, 401)],
)
@pytest.mark.parametrize(
    "path", ["/v1/files", "/v1/embeddings", "/v1/auto", "/v1/explain", "/v1/audio/speech"]
)
async def test_nothing_is_sent_before_the_caller_is_known(
    path: str, headers: Mapping[str, str], status: int
):
    upstream = FakeUpstream(Reply())
    answer = await ask(app(upstream, [OPENAI]), path, {"model": "gpt-4o"}, headers=headers)
    assert (answer.status, upstream.sent) == (status, [])


async def test_a_providers_own_key_goes_to_its_provider():
    upstream = FakeUpstream(Reply(status=401, body=b'{"error":{"message":"bad"}}'))
    for key, host in (("sk-own", "api.openai.com"), ("gsk_own", "api.groq.com")):
        headers = {"authorization": f"Bearer {key}"}
        answer = await ask(app(upstream, []), "/v1/files", method="GET", headers=headers)
        assert answer.status == 401
        assert upstream.sent[-1].headers["authorization"] == f"Bearer {key}"
        assert f"//{host}/" in upstream.sent[-1].url


class Streamed:
    """Reads what is uploaded, and answers with what the test says."""

    def __init__(
        self, *chunks: bytes | Exception, headers: Mapping[str, str] | None = None
    ) -> None:
        self.sent: list[Outgoing] = []
        self.pieces: list[bytes] = []
        self.chunks_to_say = chunks
        self.status = 200
        self.headers = headers or {"content-type": "text/event-stream"}

    def send(self, request: Outgoing) -> "Streamed":
        self.sent.append(request)
        return self

    async def __aenter__(self) -> Incoming:
        if (upload := self.sent[-1].upload) is not None:
            async for piece in upload:
                self.pieces.append(piece)
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def read(self) -> bytes:
        return b""

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks_to_say:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    async def close(self) -> None:
        return None


class Client:
    """An upload in the test's own pieces, and what came back."""

    def __init__(self, *pieces: bytes, gone: bool = False) -> None:
        self._pieces = list(pieces)
        self._gone = gone
        self.said: list[Any] = []

    async def receive(self) -> dict[str, Any]:
        if self._pieces:
            piece = self._pieces.pop(0)
            more = bool(self._pieces) or self._gone
            return {"type": "http.request", "body": piece, "more_body": more}
        if self._gone:
            return {"type": "http.disconnect"}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: Any) -> None:
        self.said.append(message)

    async def ask(self, upstream: Any, path: str, headers: Mapping[str, str]) -> None:
        given = {"authorization": f"Bearer {KEY}", **headers}
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
        await app(upstream, [{**OPENAI, "name": "big"}, {"type": "groq", "secret": "gsk_123456"}])(
            scope, self.receive, self.send
        )

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.said[1:])


FORM = {"content-type": "multipart/form-data; boundary=x", "content-length": "70003"}
FIELD = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-large-v3\r\n'


async def test_an_upload_is_passed_on_as_it_arrives_to_the_models_provider():
    upstream = Streamed(b"ok", headers={"content-type": "text/plain"})
    client = Client(FIELD[:40], FIELD[40:], b"\x00\xff" * 3, b"--x--")
    await client.ask(upstream, "/v1/audio/transcriptions", FORM)
    (sent,) = upstream.sent
    assert upstream.pieces == [FIELD, b"\x00\xff" * 3, b"--x--"]
    assert sent.headers["content-length"] == "70003"
    assert sent.headers["content-type"] == FORM["content-type"]
    assert client.body == b"ok"


async def test_without_a_field_the_search_for_it_ends():
    upstream = Streamed(b"ok")
    opened = b"--x\r\n\r\n".ljust(40_000, b"a")
    client = Client(opened, *[b"a" * 40_000] * 4)
    await client.ask(upstream, "/v1/files", {"content-type": "multipart/form-data; boundary=x"})
    assert [len(piece) for piece in upstream.pieces] == [80_000, 40_000, 40_000, 40_000]
    assert upstream.sent[0].url == "https://api.openai.com/v1/files"
    assert "content-length" not in upstream.sent[0].headers


async def test_a_small_upload_is_sent_whole():
    upstream = Streamed(b"ok")
    await Client(FIELD + b"--x--").ask(upstream, "/v1/files", FORM)
    assert (upstream.sent[0].body, upstream.sent[0].upload) == (FIELD + b"--x--", None)


async def test_an_upload_that_is_too_large_is_refused_before_it_is_read():
    upstream = Streamed()
    client = Client(b"x")
    huge = {**FORM, "content-length": str(forwarding.MOST_UPLOAD + 1)}
    await client.ask(upstream, "/v1/files", huge)
    assert (client.said[0]["status"], upstream.sent) == (413, [])


async def test_a_client_that_leaves_ends_the_upload():
    upstream = Streamed(b"ok")
    client = Client(FIELD, b"a" * 10, gone=True)
    await client.ask(upstream, "/v1/audio/transcriptions", FORM)
    assert upstream.pieces == [FIELD, b"a" * 10]
    assert client.said == []


async def test_a_body_that_is_cut_has_no_end():
    upstream = Streamed(b"half", UpstreamError("cut"), headers=AUDIO)
    client = Client(b'{"model":"tts-1"}')
    await client.ask(upstream, "/v1/audio/speech", {"content-type": "application/json"})
    assert [message.get("body") for message in client.said] == [None, b"half"]
    assert client.said[-1]["more_body"]


async def test_a_body_that_is_cut_before_it_began_is_a_502():
    upstream = Streamed(UpstreamError("cut"), headers=AUDIO)
    client = Client(b'{"model":"tts-1"}')
    await client.ask(upstream, "/v1/audio/speech", {"content-type": "application/json"})
    assert client.said[0]["status"] == 502


CHUNK = b'data: {"choices":[{"index":0,"text":"a","finish_reason":%s}]}\n\n'
JSON = {"content-type": "application/json"}


async def completions(*chunks: bytes | Exception) -> Client:
    client = Client(b'{"model":"gpt-3.5-turbo-instruct","prompt":"x","stream":true}')
    await client.ask(Streamed(*chunks), "/v1/completions", JSON)
    return client


async def test_completions_stream_as_they_come():
    whole = CHUNK % b"null" + CHUNK % b'"stop"' + b"data: [DONE]\n\n"
    client = await completions(whole[:30], whole[30:90], whole[90:])
    assert client.body == whole


async def test_a_stream_of_completions_that_is_cut_ends_with_an_error_event():
    for ending in ((), (UpstreamError("cut"),)):
        client = await completions(CHUNK % b"null", *ending)
        first, last = client.body.strip().rsplit(b"\n\n", 1)
        assert first == (CHUNK % b"null").strip()
        error = msgspec.json.decode(last.removeprefix(b"data: "))["error"]
        assert error["type"] == "upstream_error"


async def test_a_whole_stream_of_completions_without_its_mark_gets_one():
    client = await completions(CHUNK % b'"stop"')
    assert client.body == CHUNK % b'"stop"' + b"data: [DONE]\n\n"
