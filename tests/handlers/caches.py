"""Support for the cache's tests: one application with a table, and requests to ask it."""

from typing import Any

from core.orgs import Org
from tests.asgi_driver import Exchange, ask
from tests.fakes import (
    KEY,
    FakeClock,
    FakeStore,
    FakeUpstream,
    Reply,
    anthropic_endpoint,
    application,
    openai_endpoint,
    org,
    stream,
)

AUTH = {"authorization": f"Bearer {KEY}"}
COMPLETION = (
    b'{"id":"c1", "object":"chat.completion","model":"gpt-4o","new":1.50,"choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2}}'
)
FRAMES = [
    b'data: {"id":"c1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
    b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n',
    b'data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
]
MESSAGE = (
    b'{"id":"m1","type":"message","role":"assistant","model":"claude","content":'
    b'[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,'
    b'"output_tokens":2}}'
)


def question(**fields: Any) -> dict[str, Any]:
    asked = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0,
        **fields,
    }
    return {name: value for name, value in asked.items() if value is not ...}


class Caches:
    """One application, one table, one scripted provider."""

    def __init__(self, *replies: Any, settings: list[Org] | None = None, **changes: Any) -> None:
        self.store = FakeStore()
        self.clock = FakeClock()
        self.upstream = FakeUpstream(*replies)
        orgs = settings or [org(endpoints=[openai_endpoint(), anthropic_endpoint()])]
        services = {"store": self.store, "clock": self.clock, **changes}
        self.app, self.log = application(self.upstream, *orgs, **services)

    async def ask(
        self,
        path: str = "/v1/chat/completions",
        asked: Any = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Exchange:
        asked = question() if asked is None else asked
        return await ask(self.app, path, asked, headers={**AUTH, **(headers or {})}, **more)

    @property
    def calls(self) -> int:
        """Of the provider."""
        return len(self.upstream.sent)

    @property
    def kept(self) -> int:
        return sum(pk.startswith("cache#") and sk == "0" for pk, sk in self.store.rows)

    def logged(self, event: str) -> list[dict[str, object]]:
        return [fields for _, name, fields in self.log.lines if name == event]


def whole(body: bytes = COMPLETION, **more: Any) -> Reply:
    return Reply(body, **more)


def streamed(*frames: Any) -> Reply:
    return stream(*(frames or FRAMES))


def told(answered: Exchange) -> tuple[str | None, str | None]:
    return answered.headers.get("x-bt-cached"), answered.headers.get("x-bt-cache-reason")


RECORD = {"x-bt-use-cache": "record", "x-bt-cassette": "checkout.v1"}
REPLAY = {"x-bt-use-cache": "replay", "x-bt-cassette": "checkout.v1"}
