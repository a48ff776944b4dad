"""API Gateway's WebSocket API, its mailbox and Lambda's asynchronous invocation, with their faults.

Clients connect over real sockets. What AWS promises nobody is not promised here: a frame appears
in the mailbox after a delay of its own, frames of one moment get one millisecond, a row is read
twice, a post is refused, and a connection is not there before `$connect` has answered.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Struct, field

from core.ports import ConnectionGoneError, Row, StoreError
from core.relay import mailbox
from core.relay.handed import read_start
from handlers import realtime_connect, realtime_session
from handlers.realtime_session import Gateway, Times

FRAME: Final = 32 * 1024
MESSAGE: Final = 128 * 1024


class Faults(Struct, kw_only=True):
    """Seconds and shares. All are drawn from one seed."""

    delay_s: tuple[float, float] = (0.0, 0.0)
    """Until a frame appears in the mailbox."""
    tie_ms: int = 1
    """Arrival times are multiples of it."""
    duplicates: float = 0.0
    """Written once more, a while later."""
    lost_posts: float = 0.0
    """Refused with a 500, and not delivered."""
    post_s: float = 0.0
    read_s: float = 0.0
    late_connection_s: float = 0.0
    """After `$connect` until posts find the connection."""
    idle_s: float = 600.0
    longest_s: float = 7200.0
    seed: int = 7


class MemoryMailbox:
    """core.ports.Mailbox, read in `read_s` seconds. `down`: it gives no answer."""

    def __init__(self, read_s: float = 0.0) -> None:
        self._read_s = read_s
        self.kept: dict[tuple[str, str], Row] = {}
        self.sessions: dict[str, dict[str, Any]] = {}
        self.reads = 0
        self.down = False

    def _asked(self) -> None:
        if self.down:
            raise StoreError("It sleeps.")

    async def rows(self, pk: str, first: str, last: str) -> list[Row]:
        self._asked()
        self.reads += 1
        if self._read_s:
            await asyncio.sleep(self._read_s)
        return [self.kept[k] for k in sorted(self.kept) if k[0] == pk and first <= k[1] <= last]

    async def put(self, rows: Sequence[Row]) -> None:
        self._asked()
        self.kept.update({row.key: row for row in rows})

    async def begin(self, connection: str, expires_at: int) -> bool:
        self._asked()
        new = connection not in self.sessions
        self.sessions.setdefault(connection, {"generation": 1, "expires_at": expires_at})
        return new

    def _is(self, connection: str, generation: int) -> bool:
        self._asked()
        found = self.sessions.get(connection, {})
        return found.get("generation") == generation and "ended" not in found

    async def hold(self, connection: str, generation: int, holder: str, until_ms: int) -> bool:
        found = self.sessions.get(connection, {})
        if not self._is(connection, generation) or found.get("holder", holder) != holder:
            return False
        found.update(holder=holder, until_ms=until_ms)
        return True

    async def succeed(self, connection: str, generation: int) -> bool:
        if not self._is(connection, generation):
            return False
        found = self.sessions[connection]
        found["generation"] += 1
        found.pop("holder", None)
        return True

    async def end(self, connection: str, generation: int) -> bool:
        if not self._is(connection, generation):
            return False
        self.sessions[connection]["ended"] = True
        return True


class Held(Struct, kw_only=True):
    """A client's connection."""

    socket: web.WebSocketResponse
    posts_from: float
    posting: bool = False
    disordered: bool = False
    """Two posts were under way at once."""
    received: list[str] = field(default_factory=list)


class Api:
    """core.ports.Connections and Invoke, and the web server. `make`: the deployment behind it."""

    def __init__(
        self,
        make: Callable[["Api", MemoryMailbox], Gateway],
        faults: Faults | None = None,
        *,
        soft_s: float = 1000.0,
        hard_s: float = 1000.0,
        by_function: bool = False,
    ) -> None:
        self.faults = faults or Faults()
        self.mailbox = MemoryMailbox(self.faults.read_s)
        self.gateway = make(self, self.mailbox)
        self.clients: dict[str, Held] = {}
        self.left: list[str] = []
        self.runs: list[asyncio.Task[None]] = []
        self.failures: list[BaseException] = []
        self.posts = 0
        self.starts_nothing = False
        """Lambda refuses to start a process."""
        self.crash: Callable[[int], bool] = lambda _generation: False
        self._draw = random.Random(self.faults.seed)  # noqa: S311
        self._soft_s, self._hard_s = soft_s, hard_s
        self._by_function = by_function
        self._number = 0
        self._late: set[asyncio.Task[None]] = set()

    # Connections.

    async def post(self, connection: str, text: str) -> None:
        held = self._there(connection)
        assert len(text.encode()) <= MESSAGE
        held.disordered = held.disordered or held.posting
        held.posting = True
        try:
            await asyncio.sleep(self.faults.post_s)
            self.posts += 1
            if self._draw.random() < self.faults.lost_posts:
                raise StoreError("API Gateway answered POST with the status 500.")
            held.received.append(text)
            await held.socket.send_str(text)
        finally:
            held.posting = False

    async def close(self, connection: str) -> None:
        await self._there(connection).socket.close()

    def _there(self, connection: str) -> Held:
        held = self.clients.get(connection)
        if held is None or held.socket.closed or time.time() < held.posts_from:
            raise ConnectionGoneError
        return held

    # Lambda.

    async def __call__(self, event: bytes) -> None:
        if self.starts_nothing:
            raise StoreError("Lambda answered with the status 500.")
        self.runs.append(asyncio.ensure_future(self._run(event)))

    async def _run(self, event: bytes) -> None:
        payload = msgspec.json.decode(event)
        start = read_start(payload)
        now = time.time()
        serving = asyncio.ensure_future(
            realtime_session.serve(
                self.gateway, start, Times(now + self._soft_s, now + self._hard_s)
            )
        )
        while not serving.done():
            await asyncio.wait({serving}, timeout=0.02)
            if self.crash(start.generation):
                serving.cancel()  # As the platform does it: nothing more is done.
                break
        try:
            await serving
        except asyncio.CancelledError:
            if not self.crash(start.generation):
                raise
        except Exception as error:  # noqa: BLE001  what Lambda does with any
            self.failures.append(error)
        else:
            return
        await realtime_connect.answer(self.gateway, {"requestPayload": payload})

    # The web server.

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self._number += 1
        connection = f"L0SM9{self._number}cOFvHc="
        event = _connect_event(request, connection)
        answer = await realtime_connect.answer(self.gateway, event)
        if answer["statusCode"] != 200:
            return web.Response(status=answer["statusCode"])
        protocol = answer.get("headers", {}).get("Sec-WebSocket-Protocol")
        socket = web.WebSocketResponse(
            protocols=[protocol] if protocol else [], max_msg_size=MESSAGE, heartbeat=None
        )
        await socket.prepare(request)
        posts_from = time.time() + self.faults.late_connection_s
        self.clients[connection] = Held(socket=socket, posts_from=posts_from)
        longest = asyncio.get_running_loop().call_later(
            self.faults.longest_s, lambda: asyncio.ensure_future(socket.close())
        )
        try:
            await self._read(connection, socket)
        finally:
            longest.cancel()
            self.left.append(connection)
            code = socket.close_code or 1006
            row = mailbox.left_row(connection, self._now_ms(), "req=", code, "left")
            await self.mailbox.put([row])
        return socket

    async def _read(self, connection: str, socket: web.WebSocketResponse) -> None:
        number = 0
        while True:
            try:
                message = await socket.receive(timeout=self.faults.idle_s)
            except TimeoutError:
                await socket.close(code=WSCloseCode.GOING_AWAY)
                return
            if message.type is WSMsgType.BINARY:
                await socket.close(code=WSCloseCode.UNSUPPORTED_DATA)
                return
            if message.type is not WSMsgType.TEXT:
                return
            if len(message.data.encode()) > FRAME:
                # aiohttp's client sends each message as one frame.
                await socket.close(code=WSCloseCode.MESSAGE_TOO_BIG)
                return
            number += 1
            self._put_later(connection, f"m{number:06d}{self._draw.randrange(1000)}=", message.data)

    def _put_later(self, connection: str, name: str, text: str) -> None:
        at_ms = self._now_ms() // self.faults.tie_ms * self.faults.tie_ms
        delays = [self._draw.uniform(*self.faults.delay_s)]
        if self._draw.random() < self.faults.duplicates:
            delays.append(delays[0] + 0.3)
        for delay in delays:
            task = asyncio.ensure_future(self._put(connection, at_ms, name, text, delay))
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    async def _put(self, connection: str, at_ms: int, name: str, text: str, delay: float) -> None:
        await asyncio.sleep(delay)
        if self._by_function:
            context = {
                "eventType": "MESSAGE",
                "connectionId": connection,
                "requestTimeEpoch": at_ms,
                "messageId": name,
            }
            event = {"requestContext": context, "body": text}
            assert (await realtime_connect.answer(self.gateway, event))["statusCode"] == 200
        else:
            await self.mailbox.put([mailbox.frame_row(connection, at_ms, name, text)])

    def _now_ms(self) -> int:
        return int(time.time() * 1000)


def _connect_event(request: web.Request, connection: str) -> dict[str, Any]:
    several: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        several.setdefault(name, []).append(value)
    query: dict[str, list[str]] = {}
    for name, value in request.query.items():
        query.setdefault(name, []).append(value)
    return {
        "headers": {name: values[-1] for name, values in several.items()},
        "multiValueHeaders": several,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "requestContext": {
            "routeKey": "$connect",
            "eventType": "CONNECT",
            "connectionId": connection,
            "connectedAt": int(time.time() * 1000),
            "requestTimeEpoch": int(time.time() * 1000),
            "requestId": "req=",
            "stage": "realtime",
        },
        "isBase64Encoded": False,
    }


@asynccontextmanager
async def running(api: Api) -> AsyncIterator[str]:
    """The address of the stage `realtime`, on a free port of this machine."""
    app = web.Application()
    app.router.add_get("/realtime", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server: Any = site._server
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"ws://127.0.0.1:{port}/realtime"
    finally:
        for run in api.runs:
            run.cancel()
        await asyncio.gather(*api.runs, return_exceptions=True)
        await runner.cleanup()
