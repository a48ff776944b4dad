"""Single flight: of equal requests at the same time one is sent, the others wait for its answer.

In one process they wait for each other; between processes a row of the store
says that somebody has set out. Whoever waits too long, or whose leader comes
back without an answer that can be kept, goes alone. Where the leader's client
leaves, one of those who wait takes its place.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from core.cache_entries import Entry
from core.ports import Row, RowKey, StoreError
from handlers.exchange import Services
from handlers.stores import within

POLL_S: Final = 0.1
LONGEST_POLL_S: Final = 0.5
LAND_S: Final = 1.0
Look = Callable[[], Awaitable[Entry | None]]


class Flight:
    """One request among its equals."""

    def __init__(self, services: Services, name: str, wait_s: float, read_s: float) -> None:
        """`wait_s` for the answer of another one, `read_s` for the store each time."""
        self._services = services
        self._name = name
        self._wait_s = wait_s
        self._read_s = read_s
        self._mine: asyncio.Future[Entry | None] | None = None
        self._claimed = False

    def arrive(self, answer: Entry | None) -> None:
        """For all who wait in this process."""
        if self._mine is not None and not self._mine.done():
            self._mine.set_result(answer)

    @asynccontextmanager
    async def joined(self, look: Look) -> AsyncIterator[Entry | None]:
        """The answer of another one; None: this one asks, and tells by `arrive`."""
        under_way = self._services.flights
        loop = asyncio.get_running_loop()
        until = loop.time() + self._wait_s
        while (leader := under_way.get(self._name)) is not None:
            # Not awaited itself: who leaves must not take the answer from the others.
            await asyncio.wait([leader], timeout=max(0.0, until - loop.time()))
            if not leader.cancelled():
                yield leader.result() if leader.done() else None
                return
        mine = self._mine = under_way[self._name] = loop.create_future()
        try:
            found = None if await self._sets_out() else await self._poll(look, until - loop.time())
            if found is not None:
                self.arrive(found)
            yield found
        except asyncio.CancelledError:
            mine.cancel()
            raise
        finally:
            del under_way[self._name]
            self.arrive(None)
            if self._claimed:
                await self._land()

    @property
    def _key(self) -> RowKey:
        return (f"flight#{self._name}", "0")

    async def _sets_out(self) -> bool:
        """False where another process has. A store in trouble holds nobody back."""
        store, now = self._services.store, int(self._services.clock.now())
        if store is None:
            return True
        pk, sk = self._key
        row = Row(pk=pk, sk=sk, data=b"", expires_at=now + max(1, int(self._wait_s)))
        try:
            self._claimed = await within(self._read_s, store.claim(row, now))
        except StoreError:
            return True
        return self._claimed

    async def _poll(self, look: Look, limit_s: float) -> Entry | None:
        """Until the other process's answer is there, or it is back without one."""
        pause = POLL_S
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    await asyncio.sleep(pause)
                    pause = min(pause * 1.5, LONGEST_POLL_S)
                    flies = await self._flies()
                    # Looked at afterwards: the answer is there before the flight is over.
                    found = await look()
                    if found is not None or not flies:
                        return found
        except TimeoutError:
            return None

    async def _flies(self) -> bool:
        """Its row may be there still although it never came back."""
        store = self._services.store
        if store is None:
            return False
        try:
            row = (await within(self._read_s, store.get([self._key]))).get(self._key)
        except StoreError:
            return False
        return row is not None and row.expires_at > self._services.clock.now()

    async def _land(self) -> None:
        store = self._services.store
        if store is None:
            return
        try:
            await within(LAND_S, store.delete([self._key]))
        except StoreError:
            return  # It expires by itself.
