"""The Lambda entry: one event in, one streamed or whole answer out.

Nothing here is awaited by its caller: the runtime is synchronous. The app runs as a task on a
loop that only turns while a chunk is being pulled out of it, so that loop, and with it every
connection, lives as long as the process. It must not live longer: a socket that was opened
before a SnapStart snapshot is dead in each copy that is restored from it.
"""

import asyncio
import importlib
import logging
import os
import random
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import msgspec
from mangum import Mangum

from handlers import lambda_stream
from handlers.asgi import DEADLINE, Headers, Receive, Scope, Send
from handlers.lambda_events import Event, is_rest, scope_of, utf8
from handlers.lambda_stream import Stream, prelude
from handlers.request_log import Line, RequestLog
from handlers.wiring import build, process_log

Message: TypeAlias = MutableMapping[str, Any]
Answer: TypeAlias = Stream | bytes | dict[str, Any]
Head: TypeAlias = tuple[int, Headers]

CHUNKS_AHEAD: Final = 16
"""How far the app may run ahead of a slow reader."""
LINGER_S: Final = 5.0
"""How long the app may take for what follows its last byte, such as a cache write."""
RESERVE_S: Final = 10.0
"""Of the invocation's time: what is left for saying that it is over, and for what follows."""
MOST_BODY: Final = 6 * 1024 * 1024
"""Lambda takes no larger event, so that no larger body should be tried anywhere."""

_HEALTH: Final[Mapping[str, Any]] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.0"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "https",
    "path": "/health",
    "raw_path": b"/health",
    "root_path": "",
    "query_string": b"",
    "headers": [],
    "client": None,
    "server": None,
}
_FAILED: Final = "Cutwater failed to answer. Try again; the deployment's log says what happened."
_UNREADABLE: Final = "The request could not be read. Check its Host header and its body's encoding."

_log = logging.getLogger("cutwater.lambda")


class App(Protocol):
    """An ASGI application with its life cycle as methods."""

    async def startup(self) -> None: ...

    async def shutdown(self) -> None: ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class Running(NamedTuple):
    """What lives as long as the process."""

    app: App
    loop: asyncio.AbstractEventLoop
    mangum: Mangum


class UnfinishedResponseError(Exception):
    """The app stopped before its response was complete."""


class Exchange:
    """One request on its way through the app, pulled chunk by chunk by synchronous code."""

    def __init__(
        self,
        running: Running,
        scope: Scope,
        body: bytes,
        linger_s: float,
        line: Line | None = None,
    ) -> None:
        self._loop = running.loop
        self._line = line
        self._linger_s = linger_s
        self._messages: asyncio.Queue[Message | Exception] = asyncio.Queue(CHUNKS_AHEAD)
        self._request: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self._answered = asyncio.Event()
        self._instead: bytes | None = None
        self._complete = False
        self._closing = False
        self._task = running.loop.create_task(self._run(running.app, scope))

    def head(self) -> Head:
        """Run the app until it says status and headers; a 500 where it cannot."""
        message = self._pull()
        if isinstance(message, Exception) or message["type"] != "http.response.start":
            return self._give_up()
        headers = message.get("headers", ())
        return self._told(
            message["status"], [(bytes(name).lower(), bytes(value)) for name, value in headers]
        )

    def whole(self) -> tuple[Head, bytes]:
        """The answer in one piece; nothing has been sent, so any failure is still a 500."""
        head = self.head()
        try:
            return head, b"".join(self)
        except Exception:  # noqa: BLE001  already logged where it was raised
            return self._give_up(), b"".join(self)
        finally:
            self.close()

    def __iter__(self) -> Iterator[bytes]:
        if self._instead is not None:
            self._count(self._instead)
            yield self._instead
            return
        while not self._complete:
            message = self._pull()
            if isinstance(message, Exception):
                raise message
            self._complete = not message.get("more_body", False)
            if chunk := message.get("body", b""):
                self._count(chunk)
                yield bytes(chunk)

    def close(self) -> None:
        """Let the app finish what follows its last byte; cancel it if that byte never came."""
        self._closing = True
        if not self._complete:
            self._task.cancel()
        self._loop.run_until_complete(asyncio.wait({self._task}, timeout=self._linger_s))
        if not self._task.done():
            _log.warning("The app was still at work %.0f s after its response.", self._linger_s)
            self._task.cancel()
            self._loop.run_until_complete(asyncio.wait({self._task}, timeout=self._linger_s))
        if self._line is not None:
            self._line.end(complete=self._complete or self._instead is not None)

    def _pull(self) -> Message | Exception:
        return self._loop.run_until_complete(self._messages.get())

    def _give_up(self) -> Head:
        """Put an error of ours where the app's answer should have been."""
        self._closing = True
        self._task.cancel()
        head, self._instead = _error(500, "server_error", _FAILED)
        return self._told(*head)

    def _told(self, status: int, headers: Headers) -> Head:
        if self._line is not None:
            self._line.head(status, headers)
        return status, headers

    def _count(self, chunk: bytes) -> None:
        if self._line is not None:
            self._line.chunk(len(chunk))

    async def _run(self, app: App, scope: Scope) -> None:
        """The reader waits for a word in every case: whatever ends the app must say so."""
        failure: Exception = UnfinishedResponseError()
        try:
            await app(scope, self._receive, self._send)
        except asyncio.CancelledError:
            if self._closing:
                raise
        except Exception as error:  # noqa: BLE001  the boundary: nothing may pass but its type
            _log.error("The app failed: %s\n%s", type(error).__name__, _places(error))
            failure = error
        await self._messages.put(failure)

    async def _receive(self) -> Message:
        """The body, then silence: Lambda does not say that the caller has gone."""
        request, self._request = self._request, None
        if request is not None:
            return request
        await self._answered.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._closing or self._answered.is_set():
            return
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._answered.set()
        await self._messages.put(message)


class Entry:
    """What awslambdaric calls. One app on one loop, for as long as the process lives."""

    def __init__(
        self,
        build: Callable[[], App],
        *,
        streaming: bool,
        seams: bool,
        linger_s: float = LINGER_S,
        lines: RequestLog | None = None,
    ) -> None:
        self._build = build
        self._linger_s = linger_s
        self._lines = lines
        self._streaming = streaming
        self._seams = seams
        self._running: Running | None = None

    def __call__(self, event: Event, context: Any) -> Answer:
        running = self.start()
        streams = self._streaming and is_rest(event)
        translation = running.mangum.infer(event, context)
        try:
            scope, body = scope_of(translation.scope, event), translation.body
        except (AttributeError, LookupError, TypeError, ValueError):
            return self._refuse(streams=streams)
        scope[DEADLINE] = running.loop.time() + _time_left(context)
        line = None if self._lines is None else self._lines.begin(scope["method"])
        exchange = Exchange(running, scope, body, self._linger_s, line)
        if streams and self._seams:
            return Stream(*exchange.head(), exchange, exchange.close)
        (status, headers), content = exchange.whole()
        if streams:
            return prelude(status, headers) + content
        return translation({"status": status, "headers": utf8(headers), "body": content})

    def start(self) -> Running:
        """The app and its loop, made where there are none yet."""
        if self._running is None:
            loop = asyncio.new_event_loop()
            # Mangum makes a loop of its own where none is set.
            asyncio.set_event_loop(loop)
            try:
                app = self._build()
                loop.run_until_complete(app.startup())
            except BaseException:
                loop.close()
                raise
            self._running = Running(app, loop, Mangum(app, lifespan="off"))
        return self._running

    def stop(self) -> None:
        if self._running is None:
            return
        app, loop, _ = self._running
        self._running = None
        loop.run_until_complete(app.shutdown())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        asyncio.set_event_loop(None)

    def before_snapshot(self) -> None:
        """Load and run once what a first request would, then leave nothing open."""
        Exchange(self.start(), dict(_HEALTH), b"", self._linger_s).whole()
        self.stop()

    def after_restore(self) -> None:
        # Every copy of the snapshot would draw the same numbers.
        random.seed()
        if self._lines is not None:
            self._lines.restored()
        self.start()

    def _refuse(self, *, streams: bool) -> Answer:
        """A 400 for an event that could not be translated, nor could its answer be."""
        (status, headers), body = _error(400, "invalid_request_error", _UNREADABLE)
        if not streams:
            plain = {name.decode(): value.decode() for name, value in headers}
            return {"statusCode": status, "headers": plain, "body": body.decode()}
        return Stream(status, headers, [body]) if self._seams else prelude(status, headers) + body


def _time_left(context: Any) -> float:
    """Seconds for the app; half of it where it is short anyway."""
    left: float = context.get_remaining_time_in_millis() / 1000
    return max(left - RESERVE_S, left / 2)


def _error(status: int, kind: str, message: str) -> tuple[Head, bytes]:
    error = {"message": message, "type": kind, "param": None, "code": None}
    return (status, [(b"content-type", b"application/json")]), msgspec.json.encode({"error": error})


def _places(error: BaseException) -> str:
    """Where it was raised, without what it says: that may quote a key or a prompt."""
    return "".join(traceback.format_tb(error.__traceback__))


def serve(
    build: Callable[[], App], environ: Mapping[str, str], lines: RequestLog | None = None
) -> Entry:
    """The entry for this environment, with as much as possible done before the first request."""
    local = environ.get("AWS_SAM_LOCAL") == "true"
    # Without the Runtime API nobody is there who could stream, nor take a prelude: an emulator
    # that calls the handler by itself wants a plain answer.
    called = "AWS_LAMBDA_RUNTIME_API" in environ
    streaming = called and not local and environ.get("CUTWATER_STREAMING") != "off"
    seams = streaming and lambda_stream.install()
    if streaming and not seams:
        _log.warning("This awslambdaric cannot be taught to stream: answers are sent whole.")
    entry = Entry(build, streaming=streaming, seams=seams, lines=lines)
    if environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        _register(entry)
    elif "AWS_LAMBDA_RUNTIME_API" in environ:
        entry.start()
    return entry


def _register(entry: Entry) -> None:
    try:
        hooks = importlib.import_module("snapshot_restore_py")
    except ImportError:
        return  # Then the first request starts the app, which is after the restore as well.
    hooks.register_before_snapshot(entry.before_snapshot)
    hooks.register_after_restore(entry.after_restore)


def __getattr__(name: str) -> Entry:
    """`handler`, made when the runtime asks for it: importing this module starts nothing."""
    if name != "handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    lines = RequestLog(process_log())
    entry = serve(lambda: build(os.environ, most_body=MOST_BODY), os.environ, lines)
    globals()[name] = entry
    return entry
