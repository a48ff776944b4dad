"""Both sides of a realtime session without a network: a client over ASGI, a provider's sockets."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import msgspec

from core.ports import Outgoing, SocketClosed

DONE = SocketClosed(1000)
CREATED = '{"type":"session.created","event_id":"event_1","session":{"id":"sess_1"}}'


class FakeSocket:
    """Says `frames` in turn, then waits; remembers what it was sent and how it was closed."""

    def __init__(self, *frames: Any) -> None:
        self._frames: asyncio.Queue[Any] = asyncio.Queue()
        for frame in frames:
            self._frames.put_nowait(frame)
        self.sent: list[str | bytes] = []
        self.closed: SocketClosed | None = None
        self.hung_up = asyncio.Event()
        self.takes = asyncio.Event()
        self.takes.set()
        self._news = asyncio.Event()

    def say(self, frame: Any) -> None:
        self._frames.put_nowait(frame)

    async def receive(self) -> Any:
        return await self._frames.get()

    async def send(self, frame: str | bytes) -> None:
        await self.takes.wait()
        self.sent.append(frame)
        self._news.set()

    async def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or SocketClosed(code, reason)
        self.hung_up.set()

    async def got(self, count: int) -> list[str | bytes]:
        async with asyncio.timeout(5):
            while len(self.sent) < count:
                self._news.clear()
                await self._news.wait()
        return self.sent


class FakeSockets:
    """Opens `sockets` in turn; an error among them is raised instead."""

    def __init__(self, *sockets: Any) -> None:
        self.sockets = [*sockets]
        self.asked: list[Outgoing] = []
        self.closed = 0

    async def connect(self, request: Outgoing, *, most_bytes: int) -> Any:
        assert most_bytes > 0
        self.asked.append(request)
        socket = self.sockets.pop(0)
        if isinstance(socket, Exception):
            raise socket
        if isinstance(socket, asyncio.Event):
            await socket.wait()
            socket = self.sockets.pop(0)
        return socket

    async def close(self) -> None:
        self.closed += 1


class Browser:
    """A client of an ASGI application. `takes` cleared: it reads nothing."""

    def __init__(
        self,
        app: Any,
        path: str = "/v1/realtime?model=gpt-realtime",
        *,
        headers: dict[str, str] | None = None,
        protocols: tuple[str, ...] = (),
        denials: bool = True,
    ) -> None:
        raw_path, _, query = path.partition("?")
        said = dict(headers or {})
        if protocols:
            said["sec-websocket-protocol"] = ", ".join(protocols)
        self.scope: dict[str, Any] = {
            "type": "websocket",
            "path": raw_path,
            "raw_path": raw_path.encode(),
            "query_string": query.encode(),
            "headers": [(n.encode(), v.encode("latin-1")) for n, v in said.items()],
            "subprotocols": list(protocols),
            "extensions": {"websocket.http.response": {}} if denials else {},
        }
        self.told: list[MutableMapping[str, Any]] = []
        self.takes = asyncio.Event()
        self.takes.set()
        self._inbox: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._inbox.put_nowait({"type": "websocket.connect"})
        self._news = asyncio.Event()
        self.left = False
        self.task = asyncio.ensure_future(app(self.scope, self._inbox.get, self._send))

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        await self.takes.wait()
        if self.left:
            raise OSError("The client is gone.")
        self.told.append(message)
        self._news.set()

    def say(self, frame: str | bytes) -> None:
        kind = "text" if isinstance(frame, str) else "bytes"
        self._inbox.put_nowait({"type": "websocket.receive", kind: frame})

    def leave(self, code: int = 1000, reason: str = "") -> None:
        self.left = True
        message = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self._inbox.put_nowait(message)

    @property
    def accepted(self) -> dict[str, Any]:
        first = dict(self.told[0])
        assert first["type"] == "websocket.accept", first
        return first

    @property
    def frames(self) -> list[Any]:
        sent = [m for m in self.told if m["type"] == "websocket.send"]
        return [m["text"] if m.get("text") is not None else m["bytes"] for m in sent]

    async def answered(self, seconds: float) -> None:
        """Until it is told anything at all."""
        async with asyncio.timeout(seconds):
            await self._news.wait()

    async def heard(self, count: int) -> list[Any]:
        async with asyncio.timeout(8):
            while len(self.frames) < count:
                self._news.clear()
                await self._news.wait()
        return self.frames

    async def ended(self, seconds: float = 10.0) -> tuple[int, str]:
        """The close it was told, once the application is done."""
        async with asyncio.timeout(seconds):
            await self.task
        last = self.told[-1]
        assert last["type"] == "websocket.close", last
        return last["code"], last["reason"]

    async def done(self, seconds: float = 10.0) -> "Browser":
        async with asyncio.timeout(seconds):
            await self.task
        return self

    @property
    def error(self) -> dict[str, Any]:
        """The last frame, which is an `error` event."""
        event: dict[str, Any] = msgspec.json.decode(self.frames[-1])
        assert event["type"] == "error"
        error: dict[str, Any] = event["error"]
        return error
