"""A new provider is the row that docs/adding-a-provider.md shows, and nothing else."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core import credentials, orgs
from core.routing import Provider
from handlers.app import App
from handlers.asgi import MOST_BODY
from handlers.authorize import Authorizer
from handlers.directory import Directory
from handlers.exchange import Services
from providers import catalog, models
from tests.in_process import Answer, ask
from tests.stand_ins import KEY, Clock, FakeAws, FakeUpstream, Log, Reply

pytestmark = pytest.mark.timeout(20)

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-provider.md").read_text()
ENDPOINT = {
    "type": "newcomer",
    "name": "nc",
    "secret": "nc-of-the-org",
    "metadata": {"models": ["newcomer-large", "newcomer-embed"]},
}
USER = [{"role": "user", "content": "Hello"}]


def table() -> Mapping[str, Provider]:
    """The providers and the row of the page, as a reader would paste it."""
    found = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    row: dict[str, Provider] = eval(f"{{{found[1]}}}", vars(catalog).copy())  # noqa: S307
    return {**catalog.PROVIDERS, **row}


def app(upstream: FakeUpstream, *endpoints: Mapping[str, Any]) -> App:
    document = {
        "name": "acme",
        "keys": [{"name": "ci", "key": KEY}],
        "endpoints": [*endpoints],
    }
    org = orgs.parse(
        msgspec.json.encode(document), source="test", types=frozenset(table()), rules={}
    )
    clock = Clock()
    return App(
        Services(
            upstream=upstream,
            authorize=Authorizer(upstream, clock, FakeAws()),
            clock=clock,
            draw=lambda: 0.0,
            fresh_id=lambda: "req_1",
            log=Log(),
            directory=Directory(clock, Log(), files=credentials.index({"acme": org})),
            providers=table(),
            lookup=models.lookup,
            model_names=lambda: models.entries().keys(),
            provider_keys=True,
            most_body=MOST_BODY,
        )
    )


async def chat(upstream: FakeUpstream, **fields: Any) -> Answer:
    body = {"model": "newcomer-large", "messages": USER, **fields}
    return await ask(app(upstream, ENDPOINT), "/v1/chat/completions", body)


async def test_it_answers_a_chat_with_its_own_names_and_key():
    reply = b'{"id":"c","choices":[{"index":0,"message":{"content":"Hi"}}], "new": 1.50}'
    upstream = FakeUpstream(Reply(body=reply))
    answer = await chat(upstream, max_completion_tokens=5, logit_bias={"1": 1}, wild=[1.50])
    assert (answer.status, answer.body) == (200, reply)
    assert answer.headers["x-bt-used-endpoint"] == "nc"
    assert answer.headers["x-bt-dropped-params"] == "logit_bias"
    (sent,) = upstream.sent
    assert sent.url == "https://api.newcomer.example/v1/chat/completions"
    assert sent.headers["authorization"] == "Bearer nc-of-the-org"
    assert msgspec.json.decode(sent.body) == {
        "model": "newcomer-large",
        "messages": USER,
        "max_tokens": 5,
        "wild": [1.5],
    }


async def test_it_streams_to_its_own_and_to_other_clients():
    events = (
        b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
        b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        b"data: [DONE]\n\n"
    )
    streamed = Reply(headers={"content-type": "text/event-stream"}, body=events)
    assert (await chat(FakeUpstream(streamed), stream=True)).body == events
    body = {"model": "newcomer-large", "max_tokens": 5, "stream": True, "messages": USER}
    answer = await ask(app(FakeUpstream(streamed), ENDPOINT), "/v1/messages", body)
    assert b'"text":"Hi"' in answer.body
    assert answer.body.endswith(b'data: {"type":"message_stop"}\n\n')


async def test_it_embeds():
    reply = Reply(body=b'{"data":[{"embedding":[1.50]}]}')
    upstream = FakeUpstream(reply)
    body = {"model": "newcomer-embed", "input": "a"}
    answer = await ask(app(upstream, ENDPOINT), "/v1/embeddings", body)
    assert (answer.status, answer.body) == (200, reply.body)
    assert upstream.sent[0].url == "https://api.newcomer.example/v1/embeddings"


async def test_it_lists_its_models():
    answer = await ask(app(FakeUpstream(Reply()), ENDPOINT), "/v1/models", method="GET")
    listed = {model["id"]: model for model in answer.json["data"]}
    assert listed["newcomer-large"]["providers"] == ["newcomer"]
    assert listed["newcomer-large"]["cost"] == "unknown"
    assert "gpt-4o" not in listed


async def test_a_key_of_its_own_is_enough():
    upstream = FakeUpstream(Reply(body=b'{"choices":[]}'))
    headers = {"authorization": "Bearer nc-callers-own"}
    body = {"model": "anything", "messages": USER}
    answer = await ask(app(upstream), "/v1/chat/completions", body, headers=headers)
    assert answer.status == 200
    assert upstream.sent[0].url.startswith("https://api.newcomer.example/")
    assert upstream.sent[0].headers["authorization"] == "Bearer nc-callers-own"


def test_the_page_names_every_column():
    for name in Provider.__struct_fields__:
        assert f"`{name}`" in PAGE, name
