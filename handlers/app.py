"""The ASGI application: the same one under uvicorn and in Lambda.

Whatever goes wrong becomes an error in the client's own dialect: a JSON body
while the head is still unsaid, an error event once a stream has begun.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Final

import msgspec

from core import __version__ as version
from core import cors, options, routes
from core.dialects import error_headers, load
from core.errors import (
    CutwaterError,
    HeadersTooLargeError,
    UpgradeRequiredError,
    UpstreamTimeoutError,
    untraced,
)
from core.failover import TIME_IS_OVER
from core.routes import DialectName, Kind, Route
from handlers import models
from handlers.asgi import (
    DEADLINE,
    ClientGoneError,
    CutShortError,
    Headers,
    Outlet,
    Receive,
    Scope,
    Send,
)
from handlers.exchange import Exchange, Services
from handlers.proxy import chat

MOST_HEADERS: Final = 64 * 1024
_JSON: Final = (b"content-type", b"application/json")


_SERVED_BY: Final[Mapping[Kind, tuple[str, str]]] = {
    "auto": ("handlers.shapes", "choose"),
    "client_secrets": ("handlers.client_secrets", "mint"),
    "count": ("handlers.counting", "count"),
    "credential": ("handlers.credentials", "manage"),
    "credentials": ("handlers.credentials", "issue"),
    "embeddings": ("handlers.shapes", "embed"),
    "explain": ("handlers.explain", "answer"),
    "forward": ("handlers.passthrough", "forward"),
}
"""Loaded on first use: a cold start pays for what is nearly always asked."""


_AT_ONCE: Final[frozenset[Kind]] = frozenset({"health", "models", "model", "realtime"})
"""Asked of nobody else: whether this process lives is told however busy it is."""


class App:
    """`await app(scope, receive, send)`; `startup` and `shutdown` where nothing speaks lifespan."""

    def __init__(self, services: Services) -> None:
        self.services = services

    async def startup(self) -> None:
        """Nothing is opened before it is used."""

    async def shutdown(self) -> None:
        services = self.services
        if services.sockets is not None:
            await services.sockets.close()
        await services.directory.close()
        await services.upstream.close()
        stores = {id(found): found for found in (services.store, services.directory.store)}
        for store in stores.values():
            if store is not None:
                await store.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            phase = message["type"].removeprefix("lifespan.")
            if phase == "startup":
                await self.startup()
            else:
                await self.shutdown()
            await send({"type": f"lifespan.{phase}.complete"})
            if phase == "shutdown":
                return

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        from handlers import realtime

        try:
            await realtime.serve(self.services, scope, receive, send)
        except Exception as error:  # noqa: BLE001  the process goes on, whatever one session did
            self._log(error, "")
            with suppress(OSError, RuntimeError):
                await send({"type": "websocket.close", "code": 1011})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        outlet = Outlet(send)
        request_id = self.services.fresh_id()
        headers = options.collect(scope["headers"])
        if (origin := headers.get("origin")) is not None:
            outlet.for_pages = cors.told(self.services.origins, origin, long_lived=False)
            if scope["method"] == "OPTIONS":
                await self._preflight(outlet, origin, headers)
                return
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        dialect: DialectName | None = None  # Of an error: guessed only where there is one.
        try:
            _check_size(scope["headers"])
            route = routes.resolve(scope["method"], path, headers)
            dialect = route.dialect
            exchange = self._exchange(scope, route, headers, outlet, request_id)
            try:
                work = self._in_turn(exchange, route, receive)
                await (_within(scope[DEADLINE], exchange, work) if DEADLINE in scope else work)
            finally:
                if exchange.meter is not None:
                    await exchange.meter.settle()
        except ClientGoneError:
            return
        except CutShortError:
            self.services.log.warning("cut_short", request_id=request_id)
        except asyncio.CancelledError as cancelled:
            # By our own watcher: the upstream call has been cancelled on the way here.
            task = asyncio.current_task()
            if cancelled.args != (ClientGoneError,) or task is None:
                raise
            task.uncancel()
        except CutwaterError as error:
            dialect = dialect or routes.dialect_of(path, headers)
            await _say(outlet, error, dialect, request_id)
            untraced(error)
        except Exception as error:  # noqa: BLE001  the process goes on, whatever one request did
            self._log(error, request_id)
            dialect = dialect or routes.dialect_of(path, headers)
            await _say(outlet, CutwaterError("Cutwater failed inside."), dialect, request_id)

    def _exchange(
        self, scope: Scope, route: Route, headers: dict[str, str], outlet: Outlet, request_id: str
    ) -> Exchange:
        exchange = Exchange(
            services=self.services,
            route=route,
            headers=headers,
            outlet=outlet,
            request_id=request_id,
            query=scope.get("query_string", b"").decode("latin-1"),
        )
        if DEADLINE in scope:
            left = scope[DEADLINE] - asyncio.get_running_loop().time()
            exchange.deadline = self.services.clock.now() + left
        return exchange

    async def _in_turn(self, exchange: Exchange, route: Route, receive: Receive) -> None:
        if route.kind in _AT_ONCE:
            await self._serve(exchange, route, receive)
            return
        crowd = self.services.crowd
        if not crowd.enter():
            await crowd.wait()
        try:
            if route.kind == "chat":
                await chat(exchange, receive)
            else:
                await self._serve(exchange, route, receive)
        finally:
            crowd.leave()

    async def _serve(self, exchange: Exchange, route: Route, receive: Receive) -> None:
        match route.kind:
            case "realtime":
                raise UpgradeRequiredError(
                    "This is a WebSocket: connect to it with wss:// (or ws:// locally).",
                    headers={"upgrade": "websocket", "connection": "upgrade"},
                )
            case "models" | "model":
                await models.answer(exchange)
            case "health":
                exchange.outlet.head(200, [_JSON])
                body = {"status": "ok", "version": version}
                await exchange.outlet.whole(msgspec.json.encode(body))
            case kind:
                module, name = _SERVED_BY[kind]
                await getattr(import_module(module), name)(exchange, receive)

    async def _preflight(self, outlet: Outlet, origin: str, headers: dict[str, str]) -> None:
        asked = headers.get("access-control-request-headers", "")
        outlet.for_pages = cors.preflight(self.services.origins, origin, asked)
        outlet.head(204, [])
        await outlet.end()

    def _log(self, error: Exception, request_id: str) -> None:
        """Where it happened, never what it said: a message may quote a prompt or a key."""
        frames = traceback.extract_tb(error.__traceback__)[-6:]
        self.services.log.error(
            "failed_inside",
            request_id=request_id,
            type=type(error).__name__,
            at=[f"{frame.name}:{frame.lineno}" for frame in frames],
        )


async def _within(deadline: float, exchange: Exchange, work: Awaitable[None]) -> None:
    """Ended in time, a request is told so; ended by the platform, it is told nothing."""
    try:
        async with asyncio.timeout_at(deadline) as limit:
            await work
    except TimeoutError as error:
        if not limit.expired():
            raise
        if exchange.outlet.begun and exchange.route.kind == "forward":
            raise CutShortError from error
        raise UpstreamTimeoutError(TIME_IS_OVER) from error


def _check_size(headers: Headers) -> None:
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
    if size > MOST_HEADERS:
        raise HeadersTooLargeError(f"The headers exceed {MOST_HEADERS} bytes.")


async def _say(outlet: Outlet, error: CutwaterError, dialect: DialectName, request_id: str) -> None:
    spoken = load(dialect)
    if outlet.over:
        return
    if outlet.begun:
        await outlet.write(spoken.error_event(error, request_id))
        await outlet.end()
        return
    headers: Headers = [_JSON, (b"x-request-id", request_id.encode())]
    told = {**error_headers(spoken, error, request_id), **error.headers}
    headers += [(name.encode(), value.encode()) for name, value in told.items()]
    outlet.head(error.status, headers)
    await outlet.whole(spoken.error_body(error, request_id))
