"""Applications to put behind the Lambda entry, one promise per path."""

import asyncio
import itertools
from typing import Any
from urllib.parse import parse_qs

import msgspec

from handlers.asgi import Receive, Scope, Send

SECRET = "sk-never-say-this"
COOKIES = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2; Path=/")]
BINARY = bytes(range(256))

_instances = itertools.count(1)


class Call:
    """One request to an app."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self._send = send

    @property
    def query(self) -> dict[str, str]:
        query = parse_qs(self.scope["query_string"].decode())
        return {name: values[0] for name, values in query.items()}

    async def head(self, headers: Any = ()) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def body(self, body: bytes, *, more: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def whole(self, body: bytes, headers: Any = ()) -> None:
        await self.head([*headers, (b"content-length", b"%d" % len(body))])
        await self.body(body)


class Paths:
    """An app that calls its method of the same name as the path."""

    def __init__(self) -> None:
        self.instance = next(_instances)
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.events: list[str] = []

    async def startup(self) -> None:
        self.loops.append(asyncio.get_running_loop())
        self.events.append("startup")

    async def shutdown(self) -> None:
        assert asyncio.get_running_loop() is self.loops[-1]
        self.events.append("shutdown")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path"].strip("/")
        self.events.append(name)
        handle = getattr(self, name, self.mirror)
        await handle(Call(scope, receive, send))

    async def mirror(self, call: Call) -> None:
        """What the app was told."""
        request = await call.receive()
        context = call.scope["aws.context"]
        told = {
            "method": call.scope["method"],
            "path": call.scope["path"],
            "raw_path": call.scope["raw_path"],
            "query": call.scope["query_string"].decode(),
            "headers": [[n.decode(), v.decode()] for n, v in call.scope["headers"]],
            "body": request["body"],
            "remaining": context and context.get_remaining_time_in_millis(),
        }
        await call.whole(msgspec.json.encode(told), [(b"content-type", b"application/json")])

    async def health(self, call: Call) -> None:
        await call.whole(b"ok")

    async def state(self, call: Call) -> None:
        """The app's own story: is it still the same one, on the same loop?"""
        story = {
            "instance": self.instance,
            "same_loop": self.loops == [asyncio.get_running_loop()],
            "events": self.events,
        }
        await call.whole(msgspec.json.encode(story), [(b"content-type", b"application/json")])

    async def drip(self, call: Call) -> None:
        """`n` events, `gap` seconds apart."""
        query = call.query
        await call.head([(b"Content-Type", b"text/event-stream")])
        for number in range(int(query["n"])):
            await call.body(b"data: %d\n\n" % number, more=True)
            await asyncio.sleep(float(query["gap"]))
        await call.body(b"")

    async def gated(self, call: Call) -> None:
        """One chunk for each line that the gate at `port` gives, and the gate is told the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(call.query["port"]))
        try:
            await call.head()
            while line := await reader.readline():
                await call.body(line, more=True)
            await call.body(b"")
        except asyncio.CancelledError:
            writer.write(b"cancelled")
            # What is said after the caller has gone is not heard, and does not block.
            for _ in range(100):
                await call.body(b"too late", more=True)
            raise
        finally:
            writer.close()

    async def binary(self, call: Call) -> None:
        await call.whole(BINARY, [(b"content-type", b"application/octet-stream"), *COOKIES])

    async def breaks(self, call: Call) -> None:
        await call.head()
        await call.body(b"so far", more=True)
        raise ValueError(SECRET)

    async def fails(self, call: Call) -> None:
        await call.receive()
        raise ValueError(SECRET)

    async def silent(self, call: Call) -> None:
        """No response at all."""

    async def headless(self, call: Call) -> None:
        await call.body(b"a body without a head")

    async def half(self, call: Call) -> None:
        await call.head()
        await call.body(b"so far", more=True)

    async def suicidal(self, call: Call) -> None:
        await call.head()
        raise asyncio.CancelledError

    async def latin(self, call: Call) -> None:
        await call.whole(b"ok", [(b"x-name", "café".encode("latin-1"))])

    async def listening(self, call: Call) -> None:
        """Reads on after its body, as an app that wants to know of a disconnect does."""
        await call.receive()
        watcher = asyncio.ensure_future(call.receive())
        await asyncio.sleep(0)
        self.events.append(f"disconnected early: {watcher.done()}")
        await call.whole(b"ok")
        self.events.append((await watcher)["type"])
        await call.body(b"after the end")

    async def late(self, call: Call) -> None:
        """Works on after its last byte."""
        await call.whole(b"ok")
        await asyncio.sleep(0.05)
        self.events.append("late work")

    async def stuck(self, call: Call) -> None:
        await call.whole(b"ok")
        try:
            await asyncio.Event().wait()
        finally:
            self.events.append("cancelled at last")

    async def eager(self, call: Call) -> None:
        """Chunks as fast as they are taken."""
        await call.head()
        for number in range(100):
            self.events.append(f"sent {number}")
            await call.body(b"x", more=True)
        await call.body(b"")
