"""The SQLite store in trouble, among processes, and full."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from core.ports import Row, StoreError
from infra.sqlite import SqliteStore
from tests.stand_ins import NOW, Clock

REPOSITORY = Path(__file__).parents[2]
PROCESS = """
import asyncio, sys
from pathlib import Path
from core.ports import Row
from infra.sqlite import SqliteStore

async def main(path, name):
    store = SqliteStore(Path(path), busy_s=30.0)
    await store.rows_of("")
    print("ready", flush=True)
    sys.stdin.readline()
    won = 0
    for number in range(100):
        claim = Row(pk=f"flight#{number}", sk="0", data=name.encode(), expires_at=2_000_000_000)
        won += await store.claim(claim, 1_700_000_000)
        await store.put([Row(pk=f"cache#{name}", sk=f"{number:03}", data=bytes(2000))])
    await store.close()
    print(won, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def row(number: int = 0, **changes) -> Row:
    values = {"pk": f"cache#{number}", "sk": "0", "data": b"%d" % number, "stored_at": number}
    return Row(**values | changes)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "data" / "cutwater.db"


@pytest.fixture
async def store(path):
    opened = SqliteStore(path, clock=Clock(), busy_s=0.05)
    yield opened
    await opened.close()


async def test_file_and_folder_are_the_owners_alone(store, path):
    await store.put([row()])
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    found = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    assert found == {
        "cutwater.db": 0o600,
        "cutwater.db-wal": 0o600,
        "cutwater.db-shm": 0o600,
    }


async def test_nothing_is_opened_before_the_first_use(path):
    SqliteStore(path)
    assert not path.parent.exists()


async def test_rows_outlive_the_process_and_its_loop(path):
    def once() -> dict:
        store = SqliteStore(path)

        async def work() -> dict:
            before = await store.get([row().key])
            await store.put([row()])
            await store.close()
            return before

        return asyncio.run(work())

    assert await asyncio.to_thread(once) == {}
    assert await asyncio.to_thread(once) == {row().key: row()}


def test_one_store_serves_one_loop_after_another(path):
    store = SqliteStore(path)
    asyncio.run(store.put([row()]))
    assert asyncio.run(store.get([row().key])) == {row().key: row()}
    asyncio.run(store.close())
    assert asyncio.run(store.get([row().key])) == {row().key: row()}
    asyncio.run(store.close())


async def test_the_loop_goes_on_while_sqlite_waits(store, path):
    await store.put([row()])
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(store.put([row(1)]))
        turns = 0
        while not waiting.done():
            await asyncio.sleep(0.001)
            turns += 1
        other.execute("ROLLBACK")
    other.close()
    assert turns > 10
    with pytest.raises(StoreError, match=r"failed at `put`: SQLITE_BUSY"):
        await waiting


async def test_while_another_process_writes_reads_go_on_and_writes_fail(store, path):
    await store.put([row()])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        assert len(await store.get([row().key])) == 1
        for work in (store.claim(row(1), 0), store.delete([row().key]), store.put([row(1)])):
            with pytest.raises(StoreError, match="SQLITE_BUSY"):
                await work
    finally:
        other.close()
    assert await store.claim(row(1), 0)


@pytest.mark.parametrize("content", [b"no database", os.urandom(20_000)], ids=["short", "long"])
async def test_a_file_that_is_no_database_is_moved_aside_once(store, path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"SQLITE_NOTADB.*moved aside to `cutwater.db.corrupt`"):
        await store.get([row().key])
    assert path.with_name("cutwater.db.corrupt").read_bytes() == content
    await store.put([row()])
    assert await store.get([row().key]) == {row().key: row()}


async def test_a_database_that_is_damaged_while_it_is_open_is_moved_aside(store, path):
    await store.put([row(number, data=os.urandom(3000)) for number in range(200)])
    await store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 8192))
    with pytest.raises(StoreError, match=r"SQLITE_CORRUPT.*moved aside"):
        await store.get([row(number).key for number in range(200)])
    assert path.with_name("cutwater.db.corrupt").stat().st_size == size
    assert await store.get([row().key]) == {}


async def test_of_two_that_meet_a_damaged_file_one_moves_it_and_no_row_is_lost(path):
    stores = [SqliteStore(path), SqliteStore(path)]
    for one in stores:
        await one.put([row(number, data=os.urandom(3000)) for number in range(50)])
    for suffix in ("", "-wal"):
        damaged = path.with_name(path.name + suffix)
        with damaged.open("r+b") as file:
            file.write(os.urandom(damaged.stat().st_size))
    failures = 0
    for number in range(4):
        for one in stores:
            try:
                await one.put([row(1000 + number)])
            except StoreError:
                failures += 1
    assert failures <= 2
    assert await stores[0].get([row(1003).key]) == await stores[1].get([row(1003).key]) != {}
    for one in stores:
        await one.close()
    assert path.with_name("cutwater.db.corrupt").exists()
    assert await stores[0].get([row(1003).key]) != {}
    await stores[0].close()


async def test_a_file_that_was_deleted_meanwhile_is_made_anew(store, path):
    await store.put([row()])
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    assert await store.get([row().key]) == {}
    await store.put([row()])
    assert await store.get([row().key]) == {row().key: row()}


async def test_a_place_that_cannot_hold_a_file_is_an_error_each_time(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "cutwater.db", tmp_path):
        store = SqliteStore(place)
        for _ in range(2):
            with pytest.raises(StoreError) as raised:
                await store.get([row().key])
            assert str(tmp_path) not in str(raised.value)
        await store.close()
    assert tmp_path.is_dir()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such folders.")
@pytest.mark.parametrize("there", [False, True], ids=["no file", "a file"])
async def test_in_a_read_only_folder_every_write_is_an_error(there):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "cutwater.db"
        if there:
            filled = SqliteStore(path)
            await filled.put([row()])
            await filled.close()
            path.chmod(0o444)
        folder.chmod(0o555)  # noqa: ASYNC240 (nobody waits)
        store = SqliteStore(path)
        await _refuses_to_write(store)
        folder.chmod(0o755)  # noqa: ASYNC240


async def _refuses_to_write(store: SqliteStore) -> None:
    # Only these calls: who is not root could not tidy up after the test.
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        for _ in range(2):
            with pytest.raises(StoreError):
                await store.put([row()])
        await store.close()
    finally:
        if root:
            os.seteuid(0)


async def test_a_full_file_refuses_and_takes_rows_again_when_there_is_room(path):
    store = SqliteStore(path, clock=Clock(), most_bytes=1 << 20)
    # These are no answers: they are not evicted.
    kept = [row(number, pk=f"key#{number}", data=bytes(100_000)) for number in range(20)]
    written = []

    async def fill() -> None:
        for one in kept:
            await store.put([one])
            written.append(one)

    with pytest.raises(StoreError, match="SQLITE_FULL"):
        await fill()
    assert 5 < len(written) < 11
    assert len(await store.get([one.key for one in kept])) == len(written)
    await store.delete([written[0].key, written[1].key])
    await store.put([kept[-1]])
    assert path.stat().st_size <= 1 << 20
    await store.close()


@pytest.mark.parametrize("size", [150, 3000, 60_000])
async def test_the_oldest_answers_make_room_and_other_rows_stay(path, size):
    most = 2 << 20
    store = SqliteStore(path, clock=Clock(), most_bytes=most)
    key = row(pk="key#1", stored_at=0)
    await store.put([key])
    total, batch = 3 * most // size, max(1, 30_000 // size)
    for start in range(0, total, batch):
        await store.put([row(number, data=bytes(size)) for number in range(start, start + batch)])
    left = sorted([one async for one in store.scan("cache#")], key=lambda one: one.stored_at)
    newest = left[-1].stored_at
    assert [one.stored_at for one in left] == list(range(newest - len(left) + 1, newest + 1))
    assert most / 2 < len(left) * size
    assert await store.get([key.key]) == {key.key: key}
    await store.close()
    assert path.stat().st_size <= most


async def test_expired_rows_are_deleted_in_passing_once_a_minute_and_a_few_at_a_time(path):
    clock = Clock()
    store = SqliteStore(path, clock=clock)

    async def left() -> int:
        return len([one async for one in store.scan("")])

    soon = int(NOW) + 10
    await store.put([row(number, expires_at=soon) for number in range(800)])
    await store.put([row(1000), row(1001, expires_at=soon + 1000)])
    clock.time += 30
    await store.put([row(1000)])
    assert await left() == 802
    clock.time += 30
    await store.put([row(1000)])
    assert await left() == 302
    await store.put([row(1000)])
    assert await left() == 302
    clock.time += 1
    await store.put([row(1000)])
    assert await left() == 2
    clock.time -= 10_000
    await store.put([row(1002, expires_at=1)])
    await store.put([row(1000)])
    assert await left() == 3
    await store.close()


async def test_two_processes_share_one_file(path):
    path.parent.mkdir()
    command = [sys.executable, "-c", PROCESS, str(path)]
    both = [
        await asyncio.create_subprocess_exec(
            *command, name, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name in ("a", "b")
    ]
    for process in both:
        assert await process.stdout.readline() == b"ready\n"
    for process in both:
        process.stdin.write(b"go\n")
    said = [await process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(int(out) for out, _ in said) == 100
    store = SqliteStore(path)
    for name in ("a", "b"):
        assert len(await store.rows_of(f"cache#{name}")) == 100
    await store.close()


async def test_numbers_that_sqlite_cannot_hold_are_refused(store):
    with pytest.raises(StoreError, match="OverflowError"):
        await store.put([row(expires_at=1 << 70)])
    await store.put([row()])
