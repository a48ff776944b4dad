"""What every exchange owes its caller and its endpoints, whatever either of them sends."""

import asyncio
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import Struct

import core
import handlers
import infra
import providers
from handlers import exchange as exchanges
from handlers import passthrough as forwarding
from infra.http import HttpUpstream
from providers import models
from tests.asgi_driver import ask, start
from tests.fakes import KEY, FakeUpstream, Reply, application, openai_endpoint, org
from tests.infra.loopback import Connection, provider

pytestmark = pytest.mark.timeout(20)

HELLO = [{"role": "user", "content": "x"}]
BEARER = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
CHAT = {"model": "gpt-4o", "messages": HELLO}
LONG = "x" * 100_000
FORM = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + LONG.encode() + b"\r\n"


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    ("path", "body", "method"),
    [
        ("/v1/chat/completions", {"model": LONG, "messages": HELLO}, "POST"),
        ("/v1/responses", {"model": LONG, "input": "x"}, "POST"),
        ("/v1/messages", {"model": LONG, "messages": HELLO, "max_tokens": 1}, "POST"),
        (f"/v1beta/models/{LONG}:generateContent", {"contents": []}, "POST"),
        (f"/model/{LONG}/converse", {"messages": []}, "POST"),
        ("/v1/embeddings", {"model": LONG, "input": "x"}, "POST"),
        ("/v1/auto", {"model": LONG, "input": "x"}, "POST"),
        ("/v1/moderations", {"model": LONG, "input": "x"}, "POST"),
        ("/v1/images/generations", {"model": LONG, "prompt": "x"}, "POST"),
        ("/v1/messages/count_tokens", {"model": LONG, "messages": HELLO}, "POST"),
        ("/v1/responses/input_tokens", {"model": LONG, "input": "x"}, "POST"),
        (f"/v1beta/models/{LONG}:countTokens", {"contents": []}, "POST"),
        (f"/v1beta/models/{LONG}:embedContent", {"content": {}}, "POST"),
        ("/v1/explain", {"route": "/embeddings", "model": LONG, "input": "x"}, "POST"),
        ("/v1/explain", {"route": "/auto", "model": LONG, "input": "x"}, "POST"),
        ("/v1/explain", {"route": "/moderations", "model": LONG, "input": "x"}, "POST"),
        (f"/v1/files?model={LONG}", b"", "GET"),
        ("/v1/audio/transcriptions", FORM, "POST"),
    ],
)
@pytest.mark.parametrize("key", [KEY, "anything"])
async def test_a_name_of_any_length_costs_no_time_and_is_not_remembered(
    path: str, body: Any, method: str, key: str
):
    upstream = FakeUpstream()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    if isinstance(body, bytes):
        headers["content-type"] = "multipart/form-data; boundary=x"
    before = models.lookup.cache_info().currsize
    answer = await ask(application(upstream)[0], path, body, method=method, headers=headers)
    if "audio" not in path:  # There a field so long is none.
        assert (answer.status, upstream.sent) == (400, [])
    assert models.lookup.cache_info().currsize <= before + 1


SECRETS = {"x-gateway-secret": "gw-supersecret-1", "x-team": "ml"}
QUOTED = b'{"error":{"message":"bad x-gateway-secret: gw-supersecret-1 or sk-of-the-org"}}'


@pytest.mark.parametrize("model", ["gpt-4o", "text-embedding-3-small"])
async def test_a_provider_that_quotes_what_the_settings_add_is_not_repeated(model: str):
    reply = Reply(
        QUOTED, status=400, headers={"content-type": "application/json", "x-e": "gw-supersecret-1"}
    )
    endpoint = openai_endpoint(metadata={"additionalHeaders": SECRETS})
    app, _ = application(FakeUpstream(reply), org(endpoints=[endpoint]))
    path, body = "/v1/chat/completions", CHAT
    if model != "gpt-4o":
        path, body = "/v1/embeddings", {"model": model, "input": "x"}
    answer = await ask(app, path, body, headers=BEARER)
    assert answer.json == {"error": {"message": "bad x-gateway-secret: *** or ***"}}
    assert "x-e" not in answer.headers


async def test_a_callers_cutwater_key_leaves_by_no_way():
    upstream = FakeUpstream(Reply(b"{}"), Reply(b"{}"))
    app, _ = application(upstream)
    headers = BEARER | {"x-key": KEY, "ocp-apim-subscription-key": KEY, "x-team": "ml"}
    await ask(app, "/v1/chat/completions", CHAT, headers=headers)
    path = f"/v1/files?api_key={KEY}&Key={KEY}&k%65y=%63{KEY[1:]}&after=x"
    await ask(app, path, method="GET", headers=headers)
    for sent in upstream.sent:
        assert KEY not in sent.url
        assert KEY not in repr(dict(sent.headers))
        assert sent.headers["x-team"] == "ml"
    assert upstream.sent[1].url == "https://openai.test/v1/files?after=x"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/files"])
async def test_a_status_that_is_no_answer_is_a_502(path: str):
    upstream = FakeUpstream(Reply(b"", status=101, headers={"upgrade": "x"}))
    answer = await ask(application(upstream)[0], path, CHAT, headers=BEARER)
    assert answer.status == 502
    assert "101" in answer.json["error"]["message"]


async def test_a_refused_token_is_told_to_who_keeps_it():
    told: list[Any] = []
    upstream = FakeUpstream(Reply(b"{}", status=401), Reply(b"{}", status=429))
    app, _ = application(upstream, refused=told.append)
    for _ in range(2):
        await ask(app, "/v1/chat/completions", CHAT, headers=BEARER)
    assert len(told) == 1


async def test_an_error_longer_than_any_is_told_by_its_status():
    piece = b'{"error":{"message":"' + b"x" * exchanges.MOST_ERROR
    reply = Reply(piece, piece, asyncio.Event(), status=400)
    answer = await ask(application(FakeUpstream(reply))[0], body=CHAT, headers=BEARER)
    assert answer.status == 400
    assert len(answer.body) < 500


async def test_a_whole_answer_in_place_of_a_stream_has_an_end_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("handlers.proxy.MOST_REPLY", 1000)
    reply = Reply(b'{"a":"', *[b"x" * 100] * 11, asyncio.Event())
    app, _ = application(FakeUpstream(reply))
    answer = await ask(app, body={**CHAT, "stream": True}, headers=BEARER)
    assert answer.status == 502
    assert reply.left.is_set()


async def test_a_broken_error_is_told_in_the_clients_own_shape():
    reply = Reply(b'{"error": {"message": "half', status=400)
    answer = await ask(application(FakeUpstream(reply))[0], body=CHAT, headers=BEARER)
    assert answer.json["error"]["message"] == "The provider answered 400."


async def test_an_upload_that_grows_too_large_is_a_413(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forwarding, "MOST_UPLOAD", 1000)

    async def script(connection: Connection) -> None:
        await connection.gone()

    upstream: Any = HttpUpstream()
    async with provider(script) as server:
        endpoint = openai_endpoint(metadata={"api_base": server.url})
        app, _ = application(upstream, org(endpoints=[endpoint]))
        pieces = [b"x" * 300] * 10
        headers = BEARER | {"content-type": "application/octet-stream"}
        answer = await start(app, "/v1/files", pieces, headers=headers).done()
        await upstream.close()
    assert answer.status == 413


def structs() -> Iterator[type[Struct]]:
    for package in (core, handlers, infra, providers):
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            module = importlib.import_module(found.name)
            for value in vars(module).values():
                if isinstance(value, type) and issubclass(value, Struct):
                    yield value


TELLING = frozenset(
    {"secret", "secret_key", "key", "token", "access_token", "session_token", "headers", "query",
     "external_id"}
)  # fmt: skip
HARMLESS = frozenset({"Shape", "Provider", "Script", "Fault"})
"""Tables: their headers are written in this repository."""


def test_nothing_that_may_hold_a_secret_shows_itself():
    showing = {
        f"{found.__module__}.{found.__name__}"
        for found in structs()
        if TELLING.intersection(found.__struct_fields__)
        and found.__repr__ is Struct.__repr__
        and found.__name__ not in HARMLESS
    }
    assert showing == set()
