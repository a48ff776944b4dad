"""A provider on a raw socket that plays a fault, and remembers what it was asked and when.

The first segment of the path names the dialect that is spoken, so that one
server stands for five providers.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from msgspec import Struct

from tests.faults.speech import DIALECTS, DialectName, Speech, speech
from tests.infra.loopback import Connection
from tests.processes import HOST


class Asked(Struct, frozen=True, kw_only=True):
    """One attempt as the provider saw it."""

    at: float
    """On the monotonic clock."""
    dialect: DialectName
    stream: bool
    head: bytes
    body: bytes

    @property
    def speech(self) -> Speech:
        return speech(self.dialect)


Play: TypeAlias = Callable[[Connection, Asked], Awaitable[bool]]
"""Whether another request may follow on the connection."""
Script: TypeAlias = Callable[[Asked], Play]


def in_turn(*plays: Play) -> Script:
    """The last one is for all that follow."""
    left = list(plays)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


class FaultServer:
    def __init__(self, script: Script) -> None:
        self.script = script
        self.url = ""
        self.seen: list[Asked] = []
        self.hung_up = 0
        """How often the caller left before the play was over."""
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def spacing(self) -> list[float]:
        """Seconds between the attempts."""
        times = [asked.at for asked in self.seen]
        return [later - earlier for earlier, later in itertools.pairwise(times)]

    @property
    def open(self) -> int:
        """Connections."""
        return len(self._tasks)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(Connection(reader, writer), writer))
        self._tasks[task] = writer
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _serve(self, line: Connection, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = _asked(*await line.request())
                self.seen.append(asked)
                if not await self.script(asked)(line, asked):
                    return
        except asyncio.IncompleteReadError:
            return  # The end of a connection that was kept.
        except OSError:
            self.hung_up += 1
        finally:
            writer.close()

    async def hang_up(self) -> None:
        """On everybody."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _asked(head: bytes, body: bytes) -> Asked:
    path = head.split(b" ", 2)[1].decode()
    dialect = path.split("/")[1]
    assert dialect in DIALECTS, path
    by_path = "streamGenerateContent" in path or path.endswith("/converse-stream")
    return Asked(
        at=time.monotonic(),
        dialect=dialect,
        stream=by_path or b'"stream":true' in body,
        head=head,
        body=body,
    )


@asynccontextmanager
async def fault_server(script: Script) -> AsyncIterator[FaultServer]:
    found = FaultServer(script)
    server = await asyncio.start_server(found.accept, HOST, 0)
    found.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        await found.hang_up()
        await server.wait_closed()
