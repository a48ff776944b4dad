"""Drives an ASGI application as a server would, without one."""

import asyncio
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import msgspec

from handlers.app import App

Pairs = Mapping[str, str] | Iterable[tuple[str, str]]


class Exchange:
    """One request under way. `sent` grows as the application speaks."""

    def __init__(
        self, app: App, method: str, path: str, headers: Pairs, body: bytes | list[bytes]
    ) -> None:
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        pieces = [body] if isinstance(body, bytes) else body
        raw_path, _, query = path.partition("?")
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": raw_path,
            "raw_path": raw_path.encode(),
            "query_string": query.encode(),
            "headers": [(n.encode("latin-1"), v.encode("latin-1")) for n, v in pairs],
        }
        self.sent: list[MutableMapping[str, Any]] = []
        self._messages: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        for index, piece in enumerate(pieces):
            more = index < len(pieces) - 1
            self._messages.put_nowait({"type": "http.request", "body": piece, "more_body": more})
        self._news = asyncio.Event()
        self._read = 0
        self.task = asyncio.ensure_future(app(self.scope, self._messages.get, self._send))

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)
        self._news.set()

    def hang_up(self) -> None:
        """The client goes away."""
        self._messages.put_nowait({"type": "http.disconnect"})

    async def next_bytes(self, seconds: float = 5.0) -> bytes:
        """What the application has said since the last call, once there is something."""
        async with asyncio.timeout(seconds):
            while not any(m.get("body") for m in self.sent[self._read :]):
                self._news.clear()
                await self._news.wait()
        said = b"".join(m.get("body", b"") for m in self.sent[self._read :])
        self._read = len(self.sent)
        return said

    async def done(self, seconds: float = 20.0) -> "Exchange":
        async with asyncio.timeout(seconds):
            await self.task
        return self

    @property
    def started(self) -> bool:
        return bool(self.sent)

    @property
    def finished(self) -> bool:
        """The application said that nothing follows."""
        return bool(self.sent) and self.sent[-1].get("more_body") is None

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        pairs = [(n.decode(), v.decode("latin-1")) for n, v in self.sent[0]["headers"]]
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), f"A header was sent twice: {names}"
        return dict(pairs)

    @property
    def chunks(self) -> list[bytes]:
        return [m["body"] for m in self.sent[1:] if m["body"]]

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def start(
    app: App,
    path: str = "/v1/chat/completions",
    body: Any = b"",
    *,
    method: str = "POST",
    headers: Pairs | None = None,
) -> Exchange:
    if isinstance(body, dict):
        body = msgspec.json.encode(body)
    return Exchange(app, method, path, headers or {}, body)


async def ask(
    app: App, path: str = "/v1/chat/completions", body: Any = b"", **more: Any
) -> Exchange:
    """The whole exchange."""
    return await start(app, path, body, **more).done()
