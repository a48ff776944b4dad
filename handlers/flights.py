"""Single flight: of equal requests at the same time one is sent, the others wait for its answer.

In one process they wait for each other; between processes a row of the store
says that somebody has set out. Whoever waits too long, or whose leader comes
back without an answer that can be kept, goes alone.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from core.cache_entries import Entry
from core.ports import Row, RowKey, StoreError
from handlers.exchange import Services

POLL_S: Final = 0.1
LONGEST_POLL_S: Final = 0.5
Look = Callable[[], Awaitable[Entry | None]]


class Flight:
    """One request among its equals."""

    def __init__(self, services: Services, name: str, wait_s: float) -> None:
        self._services = services
        self._name = name
        self._wait_s = wait_s
        self._mine: asyncio.Future[Entry | None] | None = None

    def arrive(self, answer: Entry | None) -> None:
        """For all who wait in this process."""
        if self._mine is not None and not self._mine.done():
            self._mine.set_result(answer)

    @asynccontextmanager
    async def joined(self, look: Look) -> AsyncIterator[Entry | None]:
        """The answer of another one; None: this one asks, and tells by `arrive`."""
        under_way = self._services.flights
        leader = under_way.get(self._name)
        if leader is not None:
            yield await self._follow(leader)
            return
        mine = self._mine = asyncio.get_running_loop().create_future()
        under_way[self._name] = mine
        claimed = False
        try:
            claimed = await self._claim()
            found = None if claimed else await self._poll(look)
            if found is not None:
                self.arrive(found)
            yield found
        finally:
            del under_way[self._name]
            self.arrive(None)
            if claimed:
                await self._land()

    async def _follow(self, leader: "asyncio.Future[Entry | None]") -> Entry | None:
        try:
            async with asyncio.timeout(self._wait_s):
                return await asyncio.shield(leader)
        except TimeoutError:
            return None

    @property
    def _key(self) -> RowKey:
        return (f"flight#{self._name}", "0")

    async def _claim(self) -> bool:
        """Whether this process sets out. A store in trouble holds nobody back."""
        store, now = self._services.store, int(self._services.clock.now())
        if store is None:
            return False
        pk, sk = self._key
        until = now + max(1, int(self._wait_s))
        try:
            async with asyncio.timeout(1.0):
                return await store.claim(Row(pk=pk, sk=sk, data=b"", expires_at=until), now)
        except (StoreError, TimeoutError):
            return True

    async def _poll(self, look: Look) -> Entry | None:
        """Another process has set out: until its answer is there, or it is back without one."""
        pause, store = POLL_S, self._services.store
        try:
            async with asyncio.timeout(self._wait_s):
                while store is not None:
                    await asyncio.sleep(pause)
                    pause = min(pause * 1.5, LONGEST_POLL_S)
                    flying = await store.get([self._key])
                    # Looked at afterwards: the answer is there before the flight is over.
                    found = await look()
                    if found is not None or not flying:
                        return found
        except (StoreError, TimeoutError):
            return None
        return None

    async def _land(self) -> None:
        store = self._services.store
        if store is None:
            return
        try:
            async with asyncio.timeout(1.0):
                await store.delete([self._key])
        except (StoreError, TimeoutError):
            return  # It expires by itself.
