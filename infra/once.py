"""A value that is costly to get: fetched once at a time, kept until it expires.

Who waits may go away without taking the value from the others who wait.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from core.ports import Clock

T = TypeVar("T")

MOST: Final = 1000
"""Values kept; the oldest goes first."""


class Once(Generic[T]):
    """Holds secrets: it has no repr."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[T, float]] = {}
        self._coming: dict[str, asyncio.Task[T]] = {}

    def __repr__(self) -> str:
        return "<Once>"

    async def get(self, key: str, fetch: Callable[[], Awaitable[tuple[T, float]]]) -> T:
        """`fetch` gives the value, and the Unix seconds until which it may be used."""
        kept = self._kept.get(key)
        if kept is not None and self._clock.now() < kept[1]:
            return kept[0]
        task = self._coming.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._fetch(key, fetch))
            self._coming[key] = task
            task.add_done_callback(lambda done: self._over(key, done))
        return await asyncio.shield(task)

    def forget(self, key: str, value: T | None = None) -> None:
        """It was refused before its time. Where `value` is given, another one stays."""
        kept = self._kept.get(key)
        if kept is not None and (value is None or kept[0] == value):
            del self._kept[key]

    async def _fetch(self, key: str, fetch: Callable[[], Awaitable[tuple[T, float]]]) -> T:
        value, until = await fetch()
        self._kept.pop(key, None)
        self._kept[key] = (value, until)
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
        return value

    def _over(self, key: str, task: "asyncio.Task[T]") -> None:
        self._coming.pop(key, None)
        if not task.cancelled():
            task.exception()  # Those who waited may all be gone: nobody else would look.
