"""Every way to ask wrongly, in the shape of the client's dialect; and the process goes on."""

import asyncio
from typing import Any

import pytest

from core.errors import UpstreamError
from core.ports import Incoming
from handlers.app import MOST_HEADERS
from tests.asgi_driver import Exchange, ask, start
from tests.fakes import KEY, FakeUpstream, Reply, application, org

AUTH = {"authorization": "Bearer demo"}
OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"
GOOD = {"model": "demo-echo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
DEEP = b"[" * 100_000 + b"]" * 100_000

BAD_BODIES = [
    (b"", 400, None),
    (b"hello", 400, None),
    (b"[]", 400, None),
    (b"null", 400, None),
    (b'"text"', 400, None),
    (b'{"model":"demo-echo","messages":[]', 400, None),
    (b'{"messages":[]}', 400, "model"),
    (b'{"model":null,"messages":[]}', 400, "model"),
    (b'{"model":7,"messages":[]}', 400, "model"),
    (b'{"model":"demo-echo"}', 400, "messages"),
    (b'{"model":"demo-echo","messages":"hi"}', 400, "messages"),
    (b'{"model":"demo-echo","messages":[1],"stream":"yes"}', 400, "stream"),
    (b'{"model":"demo-nope","messages":[1]}', 404, "model"),
    (b'{"model":"demo-echo","messages":[{"role":"user","content":"\xff"}]}', 400, None),
    (b'{"model":"\xff","messages":[]}', 400, None),
    (b'{"model":"demo-echo","messages":' + DEEP + b"}", 400, None),
    (b'{"model":' + DEEP + b',"messages":[]}', 400, None),
    (DEEP, 400, None),
    (b'{"model":"demo-echo","messages":[{"role":"nobody","content":"x"}]}', 400, "messages"),
    (b'{"model":"demo-echo","messages":[7]}', 400, "messages"),
    (b"\x00" * 100, 400, None),
    (b"\x1f\x8b\x08\x00\x00\x00", 400, None),
]
SHAPES = [(OPENAI, False), (ANTHROPIC, True)]


def told(exchange: Exchange, *, anthropic: bool) -> dict[str, Any]:
    """The error, after checking that it has the whole canonical shape."""
    document = exchange.json
    assert exchange.headers["content-type"] == "application/json"
    assert exchange.headers["content-length"] == str(len(exchange.body))
    assert exchange.finished
    # The demo is a provider: in the pass lane its own error goes through.
    assert document["request_id"].startswith(("req_", "demo"))
    error: dict[str, Any] = document["error"]
    if anthropic:
        assert document["type"] == "error"
        assert set(document) == {"type", "error", "request_id"}
        assert set(error) == {"type", "message"}
    else:
        assert set(document) == {"error", "request_id"}
        assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"]
    return error


@pytest.mark.parametrize(("path", "anthropic"), SHAPES)
@pytest.mark.parametrize(("body", "status", "param"), BAD_BODIES)
async def test_a_bad_body_is_an_error_of_the_right_status_in_the_clients_shape(
    path: str, anthropic: bool, body: bytes, status: int, param: str | None
):
    app, log = application()
    answered = await ask(app, path, body, headers=AUTH)
    error = told(answered, anthropic=anthropic)
    assert answered.status == status
    if not anthropic and param in ("model", "stream"):
        assert error["param"] == param
    assert not log.lines
    assert (await ask(app, path, GOOD, headers=AUTH)).status == 200


BAD_HEADERS = [
    ({}, 401),
    ({"authorization": ""}, 401),
    ({"authorization": "Basic dTpw"}, 401),
    ({"authorization": "Bearer"}, 401),
    ({"x-api-key": "cw_wrong_0123456789abcdef"}, 401),
    ({"authorization": f"Bearer {KEY}", "x-bt-org-name": "other"}, 403),
    ({**AUTH, "x-bt-strict": "maybe"}, 400),
    ({**AUTH, "x-bt-endpoint-name": "nowhere"}, 400),
    ({**AUTH, "x-filler": "x" * (MOST_HEADERS + 1)}, 431),
    ({**AUTH, **{f"x-{i}": "y" * 100 for i in range(700)}}, 431),
    ({**AUTH, "content-length": str(51 * 1024 * 1024)}, 413),
]


@pytest.mark.parametrize(("path", "anthropic"), SHAPES)
@pytest.mark.parametrize(("headers", "status"), BAD_HEADERS)
async def test_a_bad_head_is_an_error_of_the_right_status_in_the_clients_shape(
    path: str, anthropic: bool, headers: dict[str, str], status: int
):
    upstream = FakeUpstream()
    app, log = application(upstream)
    answered = await ask(app, path, GOOD, headers=headers)
    told(answered, anthropic=anthropic)
    assert answered.status == status
    assert not upstream.sent
    assert not log.lines
    assert (await ask(app, path, GOOD, headers=AUTH)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "anthropic"),
    [
        ("GET", "/", {}, 404, False),
        ("POST", "/v1/nothing", AUTH, 404, False),
        ("POST", "/v1/nothing", {"anthropic-version": "x"}, 404, True),
        ("POST", "/anthropic/v1/nothing", {}, 404, True),
        ("POST", "/v1/btorg/", AUTH, 404, False),
        ("GET", "/v1/models/nope-never", AUTH, 404, False),
        ("GET", "/anthropic/v1/models/nope-never", AUTH, 404, True),
        ("GET", OPENAI, AUTH, 405, False),
        ("DELETE", ANTHROPIC, AUTH, 405, True),
        ("POST", "/v1/models", AUTH, 405, False),
        ("GET", "/v1/models", {}, 401, False),
        ("GET", "/v1/models", {"anthropic-version": "x"}, 401, True),
        ("POST", "/btorg/a" + OPENAI, {**AUTH, "x-bt-org-name": "b"}, 400, False),
        ("POST", "/btorg/a" + ANTHROPIC, {**AUTH, "x-bt-org-name": "b"}, 400, True),
    ],
)
async def test_a_wrong_path_or_method_is_an_error_in_the_clients_shape(
    method: str, path: str, headers: dict[str, str], status: int, anthropic: bool
):
    app, _ = application()
    answered = await ask(app, path, GOOD, method=method, headers=headers)
    told(answered, anthropic=anthropic)
    assert answered.status == status
    if status == 405:
        assert answered.headers["allow"] in ("GET", "POST")
    assert answered.headers["x-request-id"] == answered.json["request_id"]


@pytest.mark.parametrize(("path", "anthropic"), SHAPES)
async def test_a_body_above_the_limit_is_a_413_wherever_that_shows(path: str, anthropic: bool):
    app, _ = application(most_body=1000)
    answered = await ask(app, path, [b"x" * 600, b"x" * 600], headers=AUTH)
    told(answered, anthropic=anthropic)
    assert answered.status == 413


async def test_ten_megabytes_are_no_problem():
    text = "x" * 10_000_000
    body = {"model": "demo-echo", "messages": [{"role": "user", "content": text}]}
    app, _ = application()
    answered = await ask(app, OPENAI, body, headers=AUTH)
    assert answered.status == 200
    assert answered.json["choices"][0]["message"]["content"] == text


async def test_a_client_that_goes_away_before_its_body_is_whole_gets_nothing_and_is_no_failure():
    app, log = application()
    exchange = start(app, OPENAI, [b"{", b""], headers=AUTH)
    exchange._messages.get_nowait()
    exchange._messages.get_nowait()
    exchange.hang_up()
    await exchange.done()
    assert not exchange.sent
    assert not log.lines


class Bursting(FakeUpstream):
    """Fails in a way that nobody foresaw."""

    def send(self, request: Any) -> Any:
        raise RuntimeError(f"sk-sentinel in a message about {request}")


@pytest.mark.parametrize(("path", "anthropic"), SHAPES)
async def test_a_fault_of_our_own_is_a_500_that_tells_nothing_and_is_logged_without_its_words(
    path: str, anthropic: bool
):
    app, log = application(Bursting())
    body = {**GOOD, "model": "gpt-4o"}
    answered = await ask(app, path, body, headers={"authorization": "Bearer sk-sentinel"})
    told(answered, anthropic=anthropic)
    assert answered.status == 500
    assert b"sentinel" not in answered.body
    [(level, event, fields)] = log.lines
    assert (level, event, fields["type"]) == ("error", "failed_inside", "RuntimeError")
    assert fields["request_id"] == answered.json["request_id"]
    assert "sentinel" not in str(fields)
    assert any("send:" in str(at) for at in fields["at"])  # type: ignore[attr-defined]


class BurstingReply(Reply):
    async def chunks(self) -> Any:
        yield b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
        raise RuntimeError("sk-sentinel")


async def test_a_fault_of_our_own_in_the_middle_of_a_stream_is_an_error_event():
    reply = BurstingReply(headers={"content-type": "text/event-stream"})
    app, log = application(FakeUpstream(reply))
    body = {**GOOD, "model": "gpt-4o", "stream": True}
    answered = await ask(app, OPENAI, body, headers={"authorization": f"Bearer {KEY}"})
    assert answered.status == 200
    assert answered.finished
    assert answered.chunks[-1].startswith(b'data: {"error":{"message":"Cutwater failed inside."')
    assert b"[DONE]" not in answered.body
    assert b"sentinel" not in answered.body
    assert [event for _, event, _ in log.lines] == ["failed_inside"]


async def test_health_needs_no_key():
    app, _ = application()
    for path in ("/health", "/v1/health"):
        answered = await ask(app, path, method="GET")
        assert (answered.status, answered.json["status"]) == (200, "ok")
        assert answered.headers["content-type"] == "application/json"


async def test_a_scope_without_raw_path_is_understood():
    app, _ = application()
    exchange = start(app, "/health", method="GET")
    exchange.scope["raw_path"] = None
    assert (await exchange.done()).status == 200


async def test_startup_and_shutdown_close_what_was_opened():
    upstream = FakeUpstream()
    app, _ = application(upstream)
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert upstream.closed == 1


async def test_a_server_that_stops_cancels_the_request_for_real():
    app, _ = application(FakeUpstream(asyncio.Event()))
    body = {**GOOD, "model": "gpt-4o"}
    exchange = start(app, OPENAI, body, headers={"authorization": f"Bearer {KEY}"})
    await asyncio.sleep(0.01)
    exchange.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exchange.task


class Late(FakeUpstream):
    """Fails after the response was ended."""

    def send(self, request: Any) -> Any:
        outer = super().send(request)

        class Wrapped:
            async def __aenter__(self) -> Incoming:
                return await outer.__aenter__()

            async def __aexit__(self, *error: object) -> None:
                raise UpstreamError("Too late to tell.")

        return Wrapped()


async def test_an_error_after_the_end_adds_nothing():
    app, _ = application(Late(Reply(b'{"choices":[]}')), org(endpoints=[{"type": "openai"}]))
    body = {**GOOD, "model": "gpt-4o"}
    answered = await ask(app, OPENAI, body, headers={"authorization": f"Bearer {KEY}"})
    assert (answered.status, answered.body) == (200, b'{"choices":[]}')
    assert len(answered.sent) == 2
