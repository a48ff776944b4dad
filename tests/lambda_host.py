"""A Lambda host: the Runtime API on a loopback port, and the real awslambdaric behind it.

Every piece of a response is kept with the time at which it arrived, for a
response that was buffered somewhere on its way has the same bytes.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import asyncio
import base64
import contextlib
import itertools
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from tests import processes

SECONDS: Final = 20.0
"""How long anything here may take."""
_END_OF_PRELUDE: Final = bytes(8)
_FUNCTION: Final = "arn:aws:lambda:eu-central-1:123456789012:function:cutwater"
_PATH: Final = "/2018-06-01/runtime"


class Invocation:
    """One event on its way through the function, and what came back for it."""

    def __init__(self, number: int, event: Any) -> None:
        self.id = f"invocation-{number}"
        self.event = event
        self.outcome = ""
        """`response` or `error`, once the function has begun to answer."""
        self.headers: dict[str, str] = {}
        self.trailers: dict[str, str] = {}
        self.pieces: list[tuple[float, bytes]] = []
        self.hang_up_after: int | None = None
        """How many pieces are read before the connection is cut."""
        self._changed = asyncio.Condition()
        self._over = False

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)

    @property
    def head(self) -> Any:
        return msgspec.json.decode(self.body.partition(_END_OF_PRELUDE)[0])

    @property
    def content(self) -> bytes:
        """What the caller gets: all that follows the prelude."""
        return self.body.partition(_END_OF_PRELUDE)[2]

    @property
    def answer(self) -> Any:
        """A plain proxy answer, decoded."""
        return msgspec.json.decode(self.body)

    @property
    def trailing_error(self) -> Any:
        trailer = self.trailers["lambda-runtime-function-error-body"]
        return msgspec.json.decode(base64.b64decode(trailer))

    async def result(self) -> "Invocation":
        async with asyncio.timeout(SECONDS), self._changed:
            await self._changed.wait_for(lambda: self._over)
        return self

    async def arrived(self, pieces: int) -> None:
        """Wait until so many pieces are here."""
        async with asyncio.timeout(SECONDS), self._changed:
            await self._changed.wait_for(lambda: len(self.pieces) >= pieces or self._over)
        assert len(self.pieces) >= pieces

    async def add(self, piece: bytes) -> None:
        async with self._changed:
            self.pieces.append((time.monotonic(), piece))
            self._changed.notify_all()

    async def finish(self) -> None:
        async with self._changed:
            self._over = True
            self._changed.notify_all()


class RuntimeApi:
    """What AWS runs next to a function's process."""

    def __init__(self) -> None:
        self.address = ""
        self.calls: list[str] = []
        """The paths that were asked for, in order."""
        self.init_error: Any = None
        self._server: asyncio.Server | None = None
        self._initialised = asyncio.Event()
        self._numbers = itertools.count(1)
        self._events: asyncio.Queue[Invocation] = asyncio.Queue()
        self._invocations: dict[str, Invocation] = {}
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["RuntimeApi"]:
        self._server = await asyncio.start_server(self._connected, processes.HOST, 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        try:
            yield self
        finally:
            await self.shut()

    async def initialised(self) -> None:
        """Wait until the function asks for an event, or says why it never will."""
        async with asyncio.timeout(SECONDS):
            await self._initialised.wait()

    async def shut(self) -> None:
        """Take no calls and cut all connections: a runtime that waits for an event ends by that."""
        if self._server is not None:
            self._server.close()
        connections = dict(self._connections)
        for task, writer in connections.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def invoke(self, event: Any, *, hang_up_after: int | None = None) -> Invocation:
        invocation = Invocation(next(self._numbers), event)
        invocation.hang_up_after = hang_up_after
        self._invocations[invocation.id] = invocation
        self._events.put_nowait(invocation)
        return invocation

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            while request := await reader.readline():
                path = request.split()[1].decode()
                self.calls.append(path)
                await self._answer(path, await _fields(reader), reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # Either side has hung up.
        finally:
            del self._connections[task]
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(
        self,
        path: str,
        headers: dict[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        match path.removeprefix(_PATH).split("/")[1:]:
            case ["invocation", "next"]:
                self._initialised.set()
                invocation = await self._events.get()
                _write(writer, 200, msgspec.json.encode(invocation.event), _about(invocation))
            case ["invocation", identity, ("response" | "error") as outcome]:
                invocation = self._invocations[identity]
                invocation.outcome, invocation.headers = outcome, headers
                try:
                    await self._read(invocation, reader)
                finally:
                    await invocation.finish()
                _write(writer, 202, b"{}")
            case ["init", "error"]:
                length = int(headers["content-length"])
                self.init_error = msgspec.json.decode(await reader.readexactly(length))
                self._initialised.set()
                _write(writer, 202, b"{}")
            case ["restore", "next"]:
                _write(writer, 200, b"{}")
            case _:
                _write(writer, 404, b"{}")
        await writer.drain()

    async def _read(self, invocation: Invocation, reader: asyncio.StreamReader) -> None:
        if invocation.headers.get("transfer-encoding") != "chunked":
            length = int(invocation.headers["content-length"])
            await invocation.add(await reader.readexactly(length))
            return
        while length := int(await reader.readline(), 16):
            await invocation.add((await reader.readexactly(length + 2))[:-2])
            if len(invocation.pieces) == invocation.hang_up_after:
                raise ConnectionAbortedError
        invocation.trailers = await _fields(reader)


async def _fields(reader: asyncio.StreamReader) -> dict[str, str]:
    """Header or trailer fields, with names in lower case."""
    fields: dict[str, str] = {}
    while line := (await reader.readline()).strip():
        name, _, value = line.decode().partition(":")
        fields[name.lower()] = value.strip()
    return fields


def _about(invocation: Invocation) -> dict[str, str]:
    return {
        "Lambda-Runtime-Aws-Request-Id": invocation.id,
        "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 60_000),
        "Lambda-Runtime-Invoked-Function-Arn": _FUNCTION,
    }


def _write(
    writer: asyncio.StreamWriter, status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> None:
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"{name}: {value}\r\n" for name, value in (fields | dict(headers or {})).items()]
    writer.write(f"HTTP/1.1 {status} Fine\r\n{''.join(lines)}\r\n".encode() + body)


class LambdaHost(RuntimeApi):
    """The Runtime API with the function's process."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def printed(self) -> str:
        return self.log.read_text(errors="replace")


@asynccontextmanager
async def running(
    handler: str,
    directory: Path,
    *,
    awslambdaric: Path | None = None,
    environment: Mapping[str, str] | None = None,
    bundle: Path | None = None,
) -> AsyncIterator[LambdaHost]:
    """`python -m awslambdaric <handler>`; `awslambdaric` is a folder that holds another version.

    `bundle` is run in place of the source tree, and without this environment's packages.
    """
    host = LambdaHost()
    host.log = directory / "lambda.log"
    async with host.listening():
        changes = {"AWS_LAMBDA_RUNTIME_API": host.address, **(environment or {})}
        if awslambdaric is not None:
            changes["PYTHONPATH"] = str(awslambdaric)
        command = [sys.executable, "-m", "awslambdaric", handler]
        if bundle is None:
            host.process = processes.start(command, host.log, changes)
        else:
            command.insert(1, "-S")
            host.process = processes.start(command, host.log, changes, folder=bundle)
        try:
            yield host
        except TimeoutError as error:
            raise RuntimeError(f"The function is silent; it printed:\n{host.printed}") from error
        finally:
            # It ends by itself where nothing answers, and so can write down its coverage.
            await host.shut()
            await asyncio.to_thread(_end, host.process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    processes.stop(process)
