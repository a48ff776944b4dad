"""The time of an invocation: the client hears that it is over, in its own format."""

import asyncio
from typing import Any

import msgspec
import pytest

from handlers.asgi import DEADLINE
from handlers.http import MOST_BODY, RESERVE_S, Entry
from handlers.lambda_stream import Stream
from handlers.wiring import build
from tests import events

SLOW = {"model": "demo-slow", "messages": [{"role": "user", "content": "a b c d e f"}]}


class Context:
    def __init__(self, left_s: float) -> None:
        self._left_s = left_s

    def get_remaining_time_in_millis(self) -> int:
        return int(self._left_s * 1000)


def asked(path: str, body: dict[str, Any]) -> dict[str, Any]:
    text = msgspec.json.encode({"max_tokens": 50, **body}).decode()
    proxy = {"proxy": path.removeprefix("/")}
    return events.load("rest_post", path=path, pathParameters=proxy, body=text)


def answered(event: dict[str, Any], left_s: float, **more: Any) -> tuple[int, bytes]:
    entry = Entry(lambda: build({}, **more), streaming=True, seams=True)
    try:
        answer = entry(event, Context(left_s))
        assert isinstance(answer, Stream)
        try:
            return answer.status, b"".join(answer.body)
        finally:
            answer.close()
    finally:
        entry.stop()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_an_answer_that_comes_too_late_is_a_504_in_the_client_s_format(path: str):
    status, body = answered(asked(path, SLOW), 1.0)
    error = msgspec.json.decode(body)
    assert status == 504
    assert "time that this deployment has" in error["error"]["message"]
    assert (error.get("type") == "error") == path.endswith("messages")


def test_a_stream_that_lasts_too_long_ends_with_an_error_event():
    status, body = answered(asked("/v1/chat/completions", {**SLOW, "stream": True}), 7.0)
    assert status == 200
    assert b"time that this deployment has" in body
    assert b"[DONE]" not in body


def test_the_app_is_told_when_its_time_is_over():
    heard: list[float] = []

    class App:
        async def startup(self) -> None: ...
        async def shutdown(self) -> None: ...

        async def __call__(self, scope: Any, _: Any, send: Any) -> None:
            heard.append(scope[DEADLINE] - asyncio.get_running_loop().time())
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})

    entry = Entry(App, streaming=False, seams=False)
    for left_s in (900.0, 12.0):
        entry(events.load("rest_get"), Context(left_s))
    entry.stop()
    assert heard[0] == pytest.approx(900 - RESERVE_S, abs=1)
    assert heard[1] == pytest.approx(6, abs=1)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_body_that_lambda_would_not_take_is_a_413_in_the_client_s_format(path: str):
    body = {**SLOW, "messages": [{"role": "user", "content": "x" * MOST_BODY}]}
    status, said = answered(asked(path, body), 60.0, most_body=MOST_BODY)
    error = msgspec.json.decode(said)
    assert status == 413
    assert (error.get("type") == "error") == path.endswith("messages")
