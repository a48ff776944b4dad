"""The rows in one SQLite file: the store of a laptop or a single server.

SQLite blocks, so every call runs on one thread of the store's own; what is
read or written together is one transaction. Several processes may share the
file (not over a network: the write-ahead log needs shared memory).

A damaged file is moved aside to `<name>.corrupt`, in place of an older one, and
the call that met it fails with StoreError; the next call finds a fresh file.
Nothing is repaired: who needs the rows has the moved file.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from core.ports import Clock, Row, RowKey, StoreError
from infra.clock import SystemClock

T = TypeVar("T")
Values: TypeAlias = tuple[str, str, bytes, int, int, str]

MOST_BYTES: Final = 1 << 30
SWEEP_S: Final = 60.0
"""How often a write also deletes rows that have expired."""

_SWEEP_AGAIN_S: Final = 1.0
_MOST_ROWS: Final = 500
_MOST_DELETED: Final = 8 << 20
"""What one write deletes beside its work: the reads that wait for it have 250 ms."""

_OVERHEAD: Final = 250
"""Bytes of a row beside its data: its key, and its places in the indexes."""

_PAGE: Final = 64
_PAGE_WITH_DATA: Final = 16
_OPENING_S: Final = 0.02

# `data` comes last: what stands before it is read without following a row's overflow pages.
# An answer that is evicted is only missed, so these rows make room; keys and recordings stay.
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS rows (pk TEXT NOT NULL, sk TEXT NOT NULL,"
    " expires_at INTEGER NOT NULL, stored_at INTEGER NOT NULL, org TEXT NOT NULL,"
    " data BLOB NOT NULL, PRIMARY KEY (pk, sk)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS expiring ON rows (expires_at) WHERE expires_at > 0",
    "CREATE INDEX IF NOT EXISTS evictable ON rows (stored_at)"
    " WHERE pk >= 'cache#' AND pk < 'cache$'",
)
_SELECT: Final = "SELECT pk, sk, {data}, expires_at, stored_at, org FROM rows"
_GET: Final = _SELECT.format(data="data") + " WHERE pk = ? AND sk = ?"
_PUT: Final = (
    "INSERT INTO rows (pk, sk, data, expires_at, stored_at, org) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (pk, sk) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at,"
    " stored_at = excluded.stored_at, org = excluded.org"
)
_CLAIM: Final = _PUT + " WHERE rows.expires_at > 0 AND rows.expires_at <= ?"
_ADD: Final = (
    "INSERT INTO rows (pk, sk, data, expires_at, stored_at, org)"
    " VALUES (:pk, :sk, CAST(CAST(:amount AS TEXT) AS BLOB), :expires_at, 0, '')"
    " ON CONFLICT (pk, sk) DO UPDATE SET expires_at = excluded.expires_at,"
    " data = CAST(CAST(CAST(CAST(data AS TEXT) AS INTEGER) + :amount AS TEXT) AS BLOB)"
)
_DELETE: Final = "DELETE FROM rows WHERE pk = ? AND sk = ?"
_ROWS_OF: Final = _SELECT.format(data="data") + " WHERE pk = ? ORDER BY sk"
_EXPIRED: Final = (
    "SELECT pk, sk, length(data) FROM rows WHERE expires_at > 0 AND expires_at <= ?"
    " ORDER BY expires_at LIMIT ?"
)
_OLDEST: Final = (
    "SELECT pk, sk, length(data) FROM rows WHERE pk >= 'cache#' AND pk < 'cache$'"
    " ORDER BY stored_at LIMIT ?"
)
_SCAN: Final = _SELECT + " WHERE (pk, sk) {after} (?, ?) ORDER BY pk, sk LIMIT {page}"
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_HARMLESS: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL)
"""The connection is as good as before."""


class SqliteStore:
    """core.ports.Store. Opened on first use; after `close` the next use opens it again."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock | None = None,
        most_bytes: int = MOST_BYTES,
        busy_s: float = 1.0,
    ) -> None:
        """`busy_s`: how long a write waits for another process's."""
        self._path = path
        self._clock = clock or SystemClock()
        self._most_bytes = most_bytes
        self._busy_s = busy_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-store")
        # The rest belongs to the thread.
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._next_sweep = 0.0

    async def get(self, keys: Sequence[RowKey]) -> dict[RowKey, Row]:
        if not keys:
            return {}
        return await self._do("get", lambda connection: _get(connection, keys))

    async def put(self, rows: Sequence[Row]) -> None:
        if rows:
            await self._do("put", lambda connection: self._put(connection, rows))

    async def claim(self, row: Row, now: int) -> bool:
        return await self._do("claim", lambda connection: _claim(connection, row, now))

    async def add(self, key: RowKey, amount: int, expires_at: int) -> int:
        return await self._do("add", lambda connection: _add(connection, key, amount, expires_at))

    async def delete(self, keys: Sequence[RowKey]) -> None:
        if keys:
            await self._do("delete", lambda connection: _delete(connection, keys))

    async def rows_of(self, pk: str) -> list[Row]:
        return await self._do("rows_of", lambda connection: _rows_of(connection, pk))

    async def scan(self, prefix: str, *, data: bool = False) -> AsyncIterator[Row]:
        page = _PAGE_WITH_DATA if data else _PAGE
        column = "data" if data else "x''"
        after, last = ">=", (prefix, "")
        while True:
            query = _SCAN.format(data=column, after=after, page=page)
            rows = await self._do("scan", partial(_scan, query=query, last=last))
            for row in rows:
                if not row.pk.startswith(prefix):
                    return
                yield row
            if len(rows) < page:
                return
            after, last = ">", rows[-1].key

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._let_go)

    async def _do(self, operation: str, work: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._guarded, operation, work)

    # From here on: on the store's thread.

    def _guarded(self, operation: str, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self._current())
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            moved = self._move_aside() if code in _DAMAGED else ""
            if code not in _HARMLESS:
                self._let_go()
            raise StoreError(f"SQLite failed at `{operation}`: {name}.{moved}") from error
        except OSError as error:
            raise StoreError(
                f"The file of the store cannot be used at `{operation}`: {error.strerror}."
            ) from error
        except (UnicodeError, OverflowError) as error:
            # Without its cause, which quotes what it could not take.
            why = type(error).__name__
            raise StoreError(f"SQLite cannot hold what `{operation}` was given: {why}.") from None

    def _current(self) -> sqlite3.Connection:
        """Another process may have moved the file aside, or a person deleted it."""
        if self._connection is not None and self._file != _identity(self._path):
            self._let_go()
        if self._connection is None:
            self._connection = self._open()
            self._file = _identity(self._path)
        return self._connection

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Only a file that is new is opened here: closing one in use would drop SQLite's locks.
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(self._path, timeout=self._busy_s, isolation_level=None)
        try:
            _to_wal(connection, time.monotonic() + self._busy_s)
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(f"PRAGMA journal_size_limit={16 << 20}")
            pages = self._most_bytes // _number(connection, "page_size")
            connection.execute(f"PRAGMA max_page_count={max(pages, 16)}")
            for statement in _SCHEMA:
                connection.execute(statement)
        except BaseException:
            connection.close()
            self._file = _identity(self._path)
            raise
        return connection

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _move_aside(self) -> str:
        """What to tell of it. The log goes first: a fresh file must not find it and replay it."""
        self._let_go()
        if self._file != _identity(self._path):
            return " Another process has moved the file aside."
        aside = self._path.with_name(self._path.name + ".corrupt")
        try:
            _beside(self._path, "-shm").unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                _beside(self._path, "-wal").replace(_beside(aside, "-wal"))
            self._path.replace(aside)
        except OSError as error:
            return f" The file is damaged and cannot be moved aside: {error.strerror}."
        return f" The file is damaged and was moved aside to `{aside.name}`."

    def _put(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        # Each its own transaction: what was deleted stays so where the write finds no room.
        self._sweep(connection)
        self._make_room(connection, rows)
        with _transaction(connection):
            connection.executemany(_PUT, map(_values, rows))

    def _sweep(self, connection: sqlite3.Connection) -> None:
        now = self._clock.now()
        # A clock that was set back must not stop it for good.
        if self._next_sweep - SWEEP_S <= now < self._next_sweep:
            return
        found = connection.execute(_EXPIRED, (int(now), _MOST_ROWS))
        all_gone = _remove(connection, found, _MOST_DELETED)
        self._next_sweep = now + (SWEEP_S if all_gone else _SWEEP_AGAIN_S)

    def _make_room(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """Evicts the oldest answers where the file would grow too large."""
        page, most = _number(connection, "page_size"), _number(connection, "max_page_count")
        used = _number(connection, "page_count") - _number(connection, "freelist_count")
        sizes = [len(row.data) for row in rows]
        # Pages may be half full, and a row's last one nearly empty; what is left is for the trees.
        needed = sum(_size(size) + min(size, page) for size in sizes)
        over = needed - (most - used - max(16, most // 64)) * page
        if over > 0:
            oldest = connection.execute(_OLDEST, (_MOST_ROWS,))
            _remove(connection, oldest, min(over, _MOST_DELETED))


def _get(connection: sqlite3.Connection, keys: Sequence[RowKey]) -> dict[RowKey, Row]:
    # All as they are at one moment. (`IN (VALUES ...)` would read the whole table.)
    with _transaction(connection, "DEFERRED"):
        found = [connection.execute(_GET, key).fetchone() for key in keys]
    return {values[:2]: _row(values) for values in found if values is not None}


def _claim(connection: sqlite3.Connection, row: Row, now: int) -> bool:
    return connection.execute(_CLAIM, (*_values(row), now)).rowcount > 0


def _add(connection: sqlite3.Connection, key: RowKey, amount: int, expires_at: int) -> int:
    values = {"pk": key[0], "sk": key[1], "amount": amount, "expires_at": expires_at}
    with _transaction(connection):
        connection.execute(_ADD, values)
        return int(connection.execute(_GET, key).fetchone()[2])


def _delete(connection: sqlite3.Connection, keys: Sequence[RowKey]) -> None:
    with _transaction(connection):
        connection.executemany(_DELETE, keys)


def _rows_of(connection: sqlite3.Connection, pk: str) -> list[Row]:
    return [_row(values) for values in connection.execute(_ROWS_OF, (pk,))]


def _scan(connection: sqlite3.Connection, query: str, last: RowKey) -> list[Row]:
    return [_row(values) for values in connection.execute(query, last)]


def _row(values: Values) -> Row:
    pk, sk, data, expires_at, stored_at, org = values
    return Row(pk=pk, sk=sk, data=data, expires_at=expires_at, stored_at=stored_at, org=org)


def _values(row: Row) -> Values:
    return row.pk, row.sk, row.data, row.expires_at, row.stored_at, row.org


def _remove(
    connection: sqlite3.Connection, found: Iterator[tuple[str, str, int]], enough: int
) -> bool:
    """Deletes of those found until so many bytes are free; whether that was all of them."""
    keys: list[RowKey] = []
    freed = 0
    for pk, sk, size in found:
        keys.append((pk, sk))
        freed += _size(size)
        if freed >= enough:
            break
    if keys:
        _delete(connection, keys)
    return freed < enough and len(keys) < _MOST_ROWS


def _size(data: int) -> int:
    """What a row with so much data takes of the file, about."""
    return data + _OVERHEAD


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    number: int = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    return number


def _to_wal(connection: sqlite3.Connection, deadline: float) -> None:
    """Two processes that open a new file at once: SQLite tells one of them at once it is busy."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_OPENING_S)
        else:
            return


@contextmanager
def _transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return (found.st_dev, found.st_ino)


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)
