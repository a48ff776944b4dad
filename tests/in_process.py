"""The whole application without a network."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from core import credentials
from handlers.app import App
from handlers.asgi import MOST_BODY
from handlers.authorize import Authorizer
from handlers.directory import Directory
from handlers.exchange import Services
from providers import catalog, models
from tests.stand_ins import KEY, Clock, FakeAws, FakeUpstream, Log, settings


class Answer(Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def app(upstream: FakeUpstream, endpoints: Sequence[Mapping[str, Any]]) -> App:
    clock = Clock()
    return App(
        Services(
            upstream=upstream,
            authorize=Authorizer(upstream, clock, FakeAws()),
            clock=clock,
            draw=lambda: 0.0,
            fresh_id=lambda: "req_1",
            log=Log(),
            directory=Directory(
                clock, Log(), files=credentials.index({"acme": settings(endpoints)})
            ),
            providers=dict(catalog.PROVIDERS),
            lookup=models.lookup,
            model_names=lambda: models.entries().keys(),
            provider_keys=True,
            most_body=MOST_BODY,
        )
    )


async def ask(
    app: App,
    path: str,
    body: Any = None,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request; a body that is no bytes is sent as JSON."""
    path, _, query = path.partition("?")
    raw = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
    given = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    given.update(headers or {})
    messages = [{"type": "http.request", "body": raw, "more_body": False}]
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        said.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(n.lower().encode(), v.encode()) for n, v in given.items()],
    }
    await app(scope, receive, send)
    start = said[0]
    return Answer(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        b"".join(message.get("body", b"") for message in said[1:]),
    )
