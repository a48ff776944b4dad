"""/realtime over an ASGI WebSocket: the local server and the container.

A refusal is told on an open connection, as an `error` event and then a close code, as OpenAI
does it: a browser can read nothing of a handshake that failed, and SDKs show only its status.
Frames are relayed one at a time in each direction, so that a slow reader holds up its source
by TCP's own means; whoever takes nothing at all for too long is closed.
"""

import asyncio
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, Final

from core import options, realtime_address, routes
from core.dialects import openai_chat
from core.errors import CutwaterError, NotFoundError
from core.ports import SocketClosed
from core.relay import closing, events
from core.relay.closing import Close
from core.relay.events import Frame
from core.relay.session import Limits, Session
from core.routes import Route
from handlers import realtime_opening
from handlers.asgi import Headers, Receive, Scope, Send
from handlers.exchange import Exchange, Services
from handlers.realtime_opening import Connected, Identify, Prepared
from handlers.realtime_relay import Recorder, Relay

ACCEPT_S: Final = 3.0
"""How long the client's handshake waits for the provider's: clients give up after some ten."""
MOST_HEADERS: Final = 64 * 1024


class Client:
    """The caller's side."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.gone = False

    async def receive(self) -> Frame | SocketClosed:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.receive":
                text: str | None = message.get("text")
                data: bytes | None = message.get("bytes")
                if text is not None:
                    return text
                if data is not None:
                    return data
            elif message["type"] == "websocket.disconnect":
                self.gone = True
                return SocketClosed(message.get("code"), message.get("reason") or "")

    async def send(self, frame: Frame) -> None:
        kind = "text" if isinstance(frame, str) else "bytes"
        await self._say({"type": "websocket.send", kind: frame})

    async def close(self, close: Close) -> None:
        await self._say({"type": "websocket.close", "code": close.code, "reason": close.reason})

    async def _say(self, message: MutableMapping[str, Any]) -> None:
        if self.gone:
            return
        try:
            await self._send(message)
        except OSError:  # What servers raise when nobody is there any more.
            self.gone = True


async def serve(
    services: Services,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    identify: Identify = realtime_opening.identify,
    limits: Limits | None = None,
) -> None:
    """One connection, from its handshake to its end."""
    request_id = services.fresh_id()
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    await receive()  # websocket.connect
    try:
        route = _route(path, scope["headers"])
    except CutwaterError as error:
        await _deny(scope, send, error, request_id)
        return
    exchange = realtime_opening.exchange_of(
        services,
        route,
        scope["headers"],
        scope.get("query_string", b"").decode("latin-1"),
        list(scope.get("subprotocols", ())),
        request_id,
    )
    await _Served(exchange, scope, Client(receive, send), send, limits).run(identify)


def _route(path: str, headers: Headers) -> Route:
    route = routes.resolve("GET", path, options.collect(headers))
    if route.kind != "realtime":
        raise NotFoundError(f"There is no WebSocket at {path[:200]}. Known: /v1/realtime.")
    return route


async def _deny(scope: Scope, send: Send, error: CutwaterError, request_id: str) -> None:
    """What is no address of ours is told as HTTP, where the server can do that."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"application/json"), (b"x-request-id", request_id.encode())]
    start = {"type": "websocket.http.response.start", "status": error.status, "headers": headers}
    await send(start)
    body = openai_chat.error_body(error, request_id)
    await send({"type": "websocket.http.response.body", "body": body})


class _Served:
    """One client's connection; it lives as long as that."""

    def __init__(
        self, exchange: Exchange, scope: Scope, client: Client, send: Send, limits: Limits | None
    ) -> None:
        self._exchange = exchange
        self._services = exchange.services
        self._client = client
        self._send = send
        self._offered = list(scope.get("subprotocols", ()))
        self._limits = limits

    def _event_id(self) -> str:
        return "event_" + self._services.fresh_id().removeprefix("req_")

    async def run(self, identify: Identify) -> None:
        opening = asyncio.ensure_future(self._open(identify))
        try:
            await asyncio.wait({opening}, timeout=ACCEPT_S)
            await self._accept(opening)
            prepared, connected = await opening
        except CutwaterError as error:
            await self._refuse(error)
            return
        finally:
            opening.cancel()
        await self._relay(prepared, connected)

    async def _open(self, identify: Identify) -> tuple[Prepared, Connected]:
        prepared = await realtime_opening.prepare(self._exchange, identify=identify)
        limits = self._limits or Limits()
        return prepared, await realtime_opening.connect(prepared, most_bytes=limits.frame_bytes)

    async def _accept(self, opening: "asyncio.Task[tuple[Prepared, Connected]]") -> None:
        headers: Headers = [(b"x-request-id", self._exchange.request_id.encode())]
        if opening.done() and opening.exception() is None:
            endpoint = opening.result()[1].attempt.candidate.endpoint
            if endpoint.name:
                name = endpoint.name.encode("ascii", "backslashreplace")
                headers.append((b"x-bt-used-endpoint", name))
        chosen = realtime_address.answered_subprotocol(self._offered)
        with suppress(OSError):
            await self._send(
                {"type": "websocket.accept", "subprotocol": chosen, "headers": headers}
            )

    async def _refuse(self, error: CutwaterError) -> None:
        self._services.log.info(
            "realtime_refused",
            request_id=self._exchange.request_id,
            status=error.status,
            code=error.code,
        )
        await self._client.send(events.error_event(error, self._event_id()))
        await self._client.close(closing.of_error(error))

    async def _relay(self, prepared: Prepared, connected: Connected) -> None:
        terms = realtime_opening.terms_of(
            prepared, connected.attempt.candidate, keys=connected.keys, limits=self._limits
        )
        loop = asyncio.get_running_loop()
        session = Session(terms, now=loop.time(), fresh_id=self._event_id)
        about = realtime_opening.about(prepared, connected.attempt, connected.attempts)
        recorder = Recorder(self._services, prepared, about)
        relay = Relay(self._client, connected, session, loop.time)
        relay.record = recorder.record
        try:
            await relay.run()
        finally:
            recorder.end(session, loop.time())
