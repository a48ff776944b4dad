"""Fakes behind the core's ports: a scripted upstream, a clock that stands still, a log that keeps.

A reply's steps are bytes to send, events to wait for, and errors to raise.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec.structs import replace

from core import credentials, orgs
from core.errors import CutwaterError, UpstreamError
from core.orgs import Org
from core.plan import Attempt
from core.ports import Incoming, Outgoing, Row, RowKey
from handlers.app import App
from handlers.directory import Directory
from handlers.exchange import Services
from infra.scripted import ScriptedUpstream
from providers import catalog, demo, models

NOW = 1_700_000_000.0
KEY = "cw_test_0123456789abcdef0123456789abcdef"
SSE = {"content-type": "text/event-stream; charset=utf-8"}
JSON = {"content-type": "application/json"}

Step = bytes | asyncio.Event | CutwaterError


class Reply:
    """What an upstream answers. Remembers whether the proxy let go of it."""

    def __init__(
        self, *steps: Step, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        self.steps = steps
        self.status = status
        self.headers = JSON if headers is None else headers
        self.left = asyncio.Event()
        self.cancelled = False

    async def chunks(self) -> AsyncIterator[bytes]:
        for step in self.steps:
            if isinstance(step, CutwaterError):
                raise step
            if isinstance(step, asyncio.Event):
                await step.wait()
            else:
                yield step

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])


def stream(*steps: Step, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(*steps, headers={**SSE, **(headers or {})})


class FakeUpstream:
    """Answers with `replies` in turn, and remembers what was sent."""

    def __init__(self, *replies: Reply | CutwaterError | Exception | asyncio.Event) -> None:
        self.replies = [*replies]
        self.sent: list[Outgoing] = []
        self.closed = 0

    @asynccontextmanager
    async def send(self, request: Outgoing) -> AsyncIterator[Incoming]:
        self.sent.append(request)
        reply = self.replies.pop(0)
        if isinstance(reply, asyncio.Event):
            await reply.wait()  # A head that never comes.
            reply = UpstreamError("It came.")
        if isinstance(reply, Exception):
            raise reply
        try:
            yield reply
        except asyncio.CancelledError:
            reply.cancelled = True
            raise
        finally:
            reply.left.set()

    async def close(self) -> None:
        self.closed += 1


class WithDemo:
    """The demo's requests go to its script, all others to `others`."""

    def __init__(self, others: FakeUpstream) -> None:
        self._others = others
        self._demo = ScriptedUpstream(lambda body: demo.answer(body, now=int(NOW)))

    def send(self, request: Outgoing) -> Any:
        return (self._demo if request.url.startswith("demo:") else self._others).send(request)

    async def close(self) -> None:
        await self._others.close()


class FakeClock:
    """Stands still until somebody sets it."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time


class FakeLog:
    """Keeps (level, event, fields)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append(("warning", event, fields))

    def error(self, event: str, **fields: object) -> None:
        self.lines.append(("error", event, fields))


class FakeStore:
    """core.ports.Store in a dict. `trouble` is raised by whatever is asked, `pause` waited for."""

    def __init__(self) -> None:
        self.rows: dict[RowKey, Row] = {}
        self.calls: list[str] = []
        self.asked: list[RowKey] = []
        self.trouble: dict[str, Exception] = {}
        self.pause: dict[str, asyncio.Event] = {}
        self.closed = 0

    async def _called(self, name: str) -> None:
        self.calls.append(name)
        await asyncio.sleep(0)
        if name in self.pause:
            await self.pause[name].wait()
        if name in self.trouble:
            raise self.trouble[name]

    async def get(self, keys: Sequence[RowKey]) -> dict[RowKey, Row]:
        self.asked += keys
        await self._called("get")
        return {key: self.rows[key] for key in keys if key in self.rows}

    async def put(self, rows: Sequence[Row]) -> None:
        await self._called("put")
        self.rows.update({row.key: row for row in rows})

    async def claim(self, row: Row, now: int) -> bool:
        await self._called("claim")
        held = self.rows.get(row.key)
        if held is not None and (held.expires_at == 0 or held.expires_at > now):
            return False
        self.rows[row.key] = row
        return True

    async def add(self, key: RowKey, amount: int, expires_at: int) -> int:
        await self._called("add")
        counted = amount + (int(self.rows[key].data) if key in self.rows else 0)
        data = str(counted).encode()
        self.rows[key] = Row(pk=key[0], sk=key[1], data=data, expires_at=expires_at)
        return counted

    async def delete(self, keys: Sequence[RowKey]) -> None:
        await self._called("delete")
        for key in keys:
            self.rows.pop(key, None)

    async def rows_of(self, pk: str) -> list[Row]:
        await self._called("rows_of")
        return [self.rows[key] for key in sorted(self.rows) if key[0] == pk]

    async def scan(self, prefix: str, *, data: bool = False) -> AsyncIterator[Row]:
        await self._called("scan")
        for key in sorted(self.rows):
            if key[0].startswith(prefix):
                yield self.rows[key] if data else replace(self.rows[key], data=b"")

    async def close(self) -> None:
        self.closed += 1


def org(name: str = "acme", *, key: str | None = KEY, **settings: Any) -> Org:
    """An organisation as its file would give it; each request is sent once unless that is said."""
    settings = {"retry": {"max_attempts": 1}, **settings}
    keys = [] if key is None else [{"name": "ci", "key": key}]
    document = msgspec.json.encode({"name": name, "keys": keys, **settings})
    return orgs.parse(document, source=f"{name}.json", types=frozenset(catalog.PROVIDERS))


def openai_endpoint(**changes: Any) -> dict[str, Any]:
    """`metadata` is merged, everything else replaced."""
    metadata = {"api_base": "https://openai.test/v1", **changes.pop("metadata", {})}
    return {"type": "openai", "name": "main", "secret": "sk-of-the-org", "metadata": metadata} | (
        changes
    )


def anthropic_endpoint(**changes: Any) -> dict[str, Any]:
    metadata = {"api_base": "https://anthropic.test/v1", **changes.pop("metadata", {})}
    return {
        "type": "anthropic",
        "name": "claude",
        "secret": "sk-ant-of-the-org",
        "metadata": metadata,
    } | changes


async def _as_it_is(attempt: Attempt) -> Outgoing:
    return attempt.outgoing


def application(
    upstream: FakeUpstream | None = None, *organisations: Org, **changes: Any
) -> tuple[App, FakeLog]:
    """The application over fakes, and what it logs."""
    log = FakeLog()
    ids = iter(range(10_000))
    found: Iterable[Org] = organisations or [org(endpoints=[openai_endpoint()])]
    services: dict[str, Any] = {
        "upstream": WithDemo(upstream or FakeUpstream()),
        "authorize": _as_it_is,
        "clock": FakeClock(),
        "draw": lambda: 0.0,
        "fresh_id": lambda: f"req_{next(ids)}",
        "log": log,
        "providers": catalog.PROVIDERS,
        "lookup": models.lookup,
        "model_names": lambda: models.entries().keys(),
        "provider_keys": True,
        "most_body": 50 * 1024 * 1024,
    }
    services |= changes
    services.setdefault("directory", directory(found, services))
    return App(Services(**services)), log


def directory(found: Iterable[Org], services: Mapping[str, Any]) -> Directory:
    return Directory(
        services["clock"],
        services["log"],
        files=credentials.index({one.name: one for one in found}),
        store=services.get("store"),
    )
