"""Providers that answer with something else than an answer."""

import asyncio
from typing import Any

import msgspec
import pytest

from handlers import proxy
from tests.asgi_driver import ask
from tests.fakes import FakeUpstream, Reply, application, stream
from tests.handlers.test_proxy import (
    ANTHROPIC,
    AUTH,
    BOTH,
    COMPLETION,
    FRAMES,
    MODELS,
    OPENAI,
    WHOLE,
    body,
    in_every_lane,
    text_of,
)

SSE = {"content-type": "text/event-stream"}


async def answered(path: str, model: str, reply: Reply, **fields: Any) -> Any:
    app, _ = application(FakeUpstream(reply), BOTH)
    return await ask(app, path, body(model, **fields), headers=AUTH)


@in_every_lane
@pytest.mark.parametrize("page", [b"<html>Welcome</html>", b"", b"[]", b'{"half": '])
async def test_no_answer_with_status_200_is_a_502(path: str, provider: str, page: bytes):
    found = await answered(path, MODELS[provider], Reply(page))
    assert found.status == 502
    assert b"Welcome" not in found.body


@in_every_lane
async def test_an_error_with_status_200_has_the_status_it_stands_for(path: str, provider: str):
    page = b'{"error":{"message":"Slow down.","type":"rate_limit_error","code":429}}'
    found = await answered(path, MODELS[provider], Reply(page))
    assert found.status == 429
    assert b"Slow down." in found.body


@in_every_lane
async def test_a_stream_that_nobody_asked_for_is_folded(path: str, provider: str):
    reply = Reply(b"".join(FRAMES[provider]), headers=SSE)
    found = await answered(path, MODELS[provider], reply)
    assert (found.status, text_of(found, path)) == (200, "Hi")
    cut = Reply(b"".join(FRAMES[provider][:2]), headers=SSE)
    assert (await answered(path, MODELS[provider], cut)).status == 502


@in_every_lane
async def test_a_stream_without_its_content_type_is_a_stream(path: str, provider: str):
    reply = Reply(*FRAMES[provider], headers={"content-type": "text/plain"})
    found = await answered(path, MODELS[provider], reply, stream=True)
    assert found.status == 200
    assert b"Hi" in found.body
    assert b"error" not in found.body


async def test_a_status_that_is_none_is_a_502():
    found = await answered(OPENAI, "gpt-4o", Reply(b'{"error":{"message":"x"}}', status=999))
    assert found.status == 502


@in_every_lane
async def test_a_header_that_is_no_text_costs_no_answer(path: str, provider: str):
    headers = {"content-type": "application/json", "x-region": "\u6771\u4eac \udcff"}
    found = await answered(path, MODELS[provider], Reply(WHOLE[provider], headers=headers))
    assert found.status == 200


async def test_a_finished_stream_on_an_open_line_ends_without_its_marker(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(proxy, "LAST_WORDS_S", 0.05)
    reply = stream(*FRAMES["openai"][:3], asyncio.Event())
    async with asyncio.timeout(5):
        found = await answered(OPENAI, "gpt-4o", reply, stream=True)
    assert found.body.endswith(b"data: [DONE]\n\n")
    assert reply.left.is_set()


@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC])
async def test_half_an_emoji_loses_nothing(path: str):
    frames = [
        FRAMES["openai"][0],
        b'data: {"choices":[{"index":0,"delta":{"content":"A\\ud83d"}}]}\n\n',
        *FRAMES["openai"][2:],
    ]
    found = await answered(path, "gpt-4o", stream(*frames), stream=True)
    # Translated, it waits for the other half, which never comes.
    assert b"A\\ud83d" in found.body or (b'"A"' in found.body and "\ufffd".encode() in found.body)
    whole = COMPLETION.replace(b'"Hi"', b'"A\\ud83d"')
    found = await answered(path, "gpt-4o", Reply(whole))
    assert found.status == 200
    assert b"A\\ud83d" in found.body or "A\ufffd".encode() in found.body


async def test_half_an_emoji_in_a_request_goes_on_as_it_came():
    upstream = FakeUpstream(Reply(COMPLETION))
    app, _ = application(upstream, BOTH)
    written = b'{"model":"gpt-4o","messages":[{"role":"user","content":"A\\ud83d"}]}'
    assert (await ask(app, OPENAI, written, headers=AUTH)).status == 200
    assert upstream.sent[0].body == written


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"choices":[{"index":0,"delta":{"content":7}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":{"no":"list"}}}]}\n\n',
    ],
)
async def test_an_event_that_cannot_be_translated_is_an_error_and_no_gap(event: bytes):
    frames = [*FRAMES["openai"][:2], event, *FRAMES["openai"][2:]]
    found = await answered(ANTHROPIC, "gpt-4o", stream(*frames), stream=True)
    assert b"event: error" in found.body
    assert b"message_stop" not in found.body


async def test_odd_usage_costs_no_word():
    odd = b'data: {"id":7,"choices":[{"index":0,"delta":{"content":" there"},'
    odd += b'"finish_reason":"length"}],"usage":{"prompt_tokens":3.5}}\n\n'
    frames = [*FRAMES["openai"][:2], odd, b"data: [DONE]\n\n"]
    found = await answered(ANTHROPIC, "gpt-4o", stream(*frames), stream=True)
    assert b" there" in found.body
    assert b'"max_tokens"' in found.body


async def test_arguments_sent_as_an_object_are_arguments():
    call = b'{"index":0,"id":"c","function":{"name":"f","arguments":{"a":1}}}'
    event = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[' + call + b"]}}]}\n\n"
    frames = [FRAMES["openai"][0], event, *FRAMES["openai"][2:]]
    found = await answered(ANTHROPIC, "gpt-4o", stream(*frames), stream=True)
    assert b'{\\"a\\":1}' in found.body


async def test_a_comment_before_an_error_is_no_answer():
    error = b'data: {"error":{"message":"Slow.","type":"rate_limit_error"}}\n\n'
    app, _ = application(FakeUpstream(stream(b": PROCESSING\n\n" + error)), BOTH)
    found = await ask(app, OPENAI, body("gpt-4o", stream=True), headers=AUTH)
    assert found.status == 429


async def test_a_model_of_any_length_is_remembered_by_nobody():
    app, _ = application(FakeUpstream(), BOTH)
    found = await ask(app, OPENAI, body("x" * 300), headers=AUTH)
    assert found.status == 400
    assert msgspec.json.decode(found.body)["error"]["param"] == "model"


async def test_legacy_functions_hear_of_one_call():
    frames = [
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"m"}}\n\n',
        *(
            b'event: x\ndata: {"type":"content_block_start","index":%d,"content_block":'
            b'{"type":"tool_use","id":"t%d","name":"f%d","input":{"x":%d}}}\n\n'
            b'event: x\ndata: {"type":"content_block_stop","index":%d}\n\n' % (n, n, n, n, n)
            for n in (0, 1)
        ),
        b'event: x\ndata: {"type":"message_delta","delta":{"stop_reason":"tool_use"}}\n\n',
        b'event: x\ndata: {"type":"message_stop"}\n\n',
    ]
    found = await answered(
        OPENAI, MODELS["anthropic"], stream(*frames), stream=True, functions=[{"name": "f0"}]
    )
    assert b'"name":"f0"' in found.body
    assert b'"name":"f1"' not in found.body


async def test_an_endless_event_is_given_up(monkeypatch: pytest.MonkeyPatch):
    from core import sse

    monkeypatch.setattr(sse, "MOST_EVENT", 100)
    app, _ = application(FakeUpstream(stream(*[b"data: 0123456789"] * 30)), BOTH)
    found = await ask(app, OPENAI, body("gpt-4o", stream=True), headers=AUTH)
    assert found.status == 502


async def test_a_slow_body_is_a_408(monkeypatch: pytest.MonkeyPatch):
    from handlers import asgi

    monkeypatch.setattr(asgi, "BODY_IDLE_S", 0.05)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    with pytest.raises(asgi.RequestTimeoutError):
        await asgi.read_body(receive, {}, most=10)
