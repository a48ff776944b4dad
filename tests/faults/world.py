"""The application in this process, with the real HTTP client, in front of fault servers."""

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

from core.orgs import Org
from handlers.app import App
from infra.clock import SystemClock
from infra.http import HttpUpstream
from tests.asgi_driver import Exchange, start
from tests.fakes import KEY, FakeLog, application, org
from tests.faults.clients import Outcome, outcome_of, question
from tests.faults.server import FaultServer
from tests.faults.speech import DIALECTS, DialectName
from tests.processes import HOST, free_port

_TYPES: Final[Mapping[DialectName, tuple[str, str]]] = {
    "openai_chat": ("openai", "openai"),
    "openai_responses": ("openai", "openai"),
    "anthropic": ("anthropic", "anthropic"),
    "gemini": ("google", "google"),
    "converse": ("bedrock", "converse"),
}
"""The type of an endpoint that speaks the dialect, and the format of its models."""

TIMEOUTS: Final = {
    "connect_s": 1.0,
    "first_byte_s": 0.35,
    "first_token_s": 0.5,
    "idle_s": 0.35,
    "total_s": 2.0,
}
ONE_ATTEMPT: Final = {"max_attempts": 1, "budget_s": 0}
SECRET: Final = "sk-of-the-endpoint"
AUTH: Final = {"authorization": f"Bearer {KEY}"}
SECONDS: Final = 15.0
"""What takes longer hangs."""


def endpoint(
    name: str,
    server: FaultServer | str,
    dialect: DialectName,
    model: str = "m",
    **changes: Any,
) -> dict[str, Any]:
    """An endpoint that serves one model and speaks one dialect."""
    kind, form = _TYPES[dialect]
    base = server if isinstance(server, str) else server.url
    metadata: dict[str, Any] = {
        "api_base": f"{base}/{dialect}",
        "customModels": {model: {"format": form, "flavor": "chat"}},
        "excludeDefaultModels": True,
    }
    if kind == "openai":
        metadata["dialects"] = [dialect]
    if kind == "bedrock":
        metadata |= {"region": "eu-central-1", "auth_type": "api_key"}
    return {
        "name": name,
        "type": kind,
        "secret": SECRET,
        "metadata": {**metadata, **changes.pop("metadata", {})},
        **changes,
    }


def nowhere() -> str:
    """An address that refuses connections."""
    return f"http://{HOST}:{free_port()}"


def in_each_dialect(server: FaultServer | str) -> list[dict[str, Any]]:
    """A model named after each dialect, and an endpoint that serves it in that dialect."""
    return [endpoint(f"of-{dialect}", server, dialect, dialect) for dialect in DIALECTS]


def settings(endpoints: Sequence[Mapping[str, Any]], **changes: Any) -> Org:
    timeouts = {**TIMEOUTS, **changes.pop("timeouts", {})}
    return org(endpoints=list(endpoints), timeouts=timeouts, **changes)


@cache
def _trusted() -> ssl.SSLContext:
    return ssl.create_default_context()


class World:
    def __init__(self, app: App, log: FakeLog) -> None:
        self.app = app
        self.log = log

    def start(
        self,
        client: DialectName,
        *,
        stream: bool,
        model: str = "m",
        prompt: str = "hi",
        headers: Mapping[str, str] | None = None,
    ) -> Exchange:
        path, body = question(client, stream=stream, model=model, prompt=prompt)
        return start(self.app, path, body, headers={**AUTH, **(headers or {})})

    async def ask(
        self, client: DialectName, *, stream: bool, model: str = "m", **more: Any
    ) -> tuple[Outcome, Exchange]:
        exchange = self.start(client, stream=stream, model=model, **more)
        await exchange.done(SECONDS)
        assert SECRET.encode() not in exchange.body
        return outcome_of(client, exchange, stream=stream), exchange


@asynccontextmanager
async def world(organisation: Org, **changes: Any) -> AsyncIterator[World]:
    """The clock is the real one: what is waited for is really waited for."""
    upstream: Any = HttpUpstream(trusted=_trusted)
    app, log = application(upstream, organisation, clock=SystemClock(), **changes)
    try:
        yield World(app, log)
    finally:
        await app.shutdown()
