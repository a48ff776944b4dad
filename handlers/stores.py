"""Asking the table on behalf of a request, which goes on whatever becomes of it."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from core import cache_entries
from core.ports import Row, Store, StoreError

T = TypeVar("T")


async def within(limit_s: float | None, asked: Awaitable[T]) -> T:
    """What the store says; StoreError for all that can go wrong, a bug of the store's included."""
    try:
        async with asyncio.timeout(limit_s):
            return await asked
    except StoreError:
        raise
    except TimeoutError as error:
        raise StoreError(f"The store gave no answer in {limit_s} seconds.") from error
    except Exception as error:
        # Without its words, which may quote a row.
        raise StoreError(f"The store failed: {type(error).__name__}.") from error


async def put_for_ever(store: Store, rows: Sequence[Row], sk: str) -> None:
    """Puts an answer that never expires; pieces of the one before it would stay for ever too."""
    key = rows[-1].key
    before = (await store.get([key])).get(key)
    await store.put(rows)
    if before is not None:
        await store.delete(cache_entries.missing(before, sk))
