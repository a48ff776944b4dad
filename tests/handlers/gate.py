"""A producer in the test's hands: an app that goes on only when it is told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests import processes


class Gate:
    """Lets an app go on, one chunk at a time, and hears how it ended."""

    def __init__(self) -> None:
        self.port = 0
        self.last_words: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._writer: asyncio.Future[asyncio.StreamWriter] = (
            asyncio.get_running_loop().create_future()
        )

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer.set_result(writer)
        self.last_words.set_result(await reader.read())
        writer.close()
        await writer.wait_closed()

    async def pass_on(self, line: bytes) -> None:
        (await self._writer).write(line)

    async def shut(self) -> None:
        (await self._writer).write_eof()


@asynccontextmanager
async def gate() -> AsyncIterator[Gate]:
    it = Gate()
    async with await asyncio.start_server(it.connected, processes.HOST, 0) as server:
        it.port = server.sockets[0].getsockname()[1]
        yield it
