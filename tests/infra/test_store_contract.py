"""What every store promises: the same tests over SQLite, moto's DynamoDB and ministack's."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from core.ports import Row, Store, StoreError
from infra.sqlite import SqliteStore
from tests.infra.tables import table_at

NOW = int(time.time())
EVERY_BYTE = bytes(range(256))


@pytest.fixture(params=["sqlite", "moto", "ministack"])
def where(request, tmp_path):
    if request.param == "sqlite":
        return tmp_path / "data" / "cutwater.db"
    return request.getfixturevalue(request.param).url


@pytest.fixture
async def store(where) -> AsyncIterator[Store]:
    if isinstance(where, str):
        async with table_at(where) as opened:
            yield opened
    else:
        opened = SqliteStore(where)
        yield opened
        await opened.close()


def row(number: int = 0, **changes) -> Row:
    values = {"pk": f"cache#{number}", "sk": "0", "data": b"%d" % number}
    return Row(**values | {"expires_at": NOW + 600, "stored_at": NOW, "org": "acme"} | changes)


async def all_of(rows: AsyncIterator[Row]) -> list[Row]:
    return sorted([one async for one in rows], key=lambda one: one.key)


async def test_an_empty_store_holds_nothing(store: Store):
    assert await store.get([("cache#0", "0")]) == {}
    assert await store.get([]) == {}
    assert await store.rows_of("cache#0") == []
    assert await all_of(store.scan("")) == []


@pytest.mark.parametrize("data", [b"", EVERY_BYTE, os.urandom(380_000)], ids=["0", "256", "380k"])
async def test_what_was_put_comes_back_to_the_byte(store: Store, data: bytes):
    written = row(data=data)
    await store.put([written])
    assert await store.get([written.key]) == {written.key: written}


async def test_a_row_needs_neither_expiry_nor_time_nor_organisation(store: Store):
    written = Row(pk="key#1", sk="0", data=b"x")
    await store.put([written])
    assert await store.get([written.key]) == {written.key: written}


async def test_a_later_row_takes_the_place_of_the_former_whole(store: Store):
    await store.put([row(data=b"first")])
    later = Row(pk="cache#0", sk="0", data=b"second")
    await store.put([later])
    assert await store.get([later.key]) == {later.key: later}


async def test_of_a_row_put_twice_at_once_the_later_stays(store: Store):
    await store.put([row(1, data=b"first"), row(2), row(1, data=b"second"), row(3)])
    found = await store.get([row(1).key, row(2).key, row(3).key])
    assert [found[row(n).key].data for n in (1, 2, 3)] == [b"second", b"2", b"3"]
    await store.put([row(4, data=b"first"), row(4, data=b"second")])
    assert (await store.get([row(4).key]))[row(4).key].data == b"second"


async def test_putting_and_deleting_nothing_is_no_error(store: Store):
    await store.put([])
    await store.delete([])


async def test_a_hundred_keys_are_read_at_once_and_those_that_are_missing_are_left_out(
    store: Store,
):
    there = [row(number, data=os.urandom(2000)) for number in range(60)]
    await store.put(there)
    found = await store.get([row(number).key for number in range(100)])
    assert found == {one.key: one for one in there}
    many = [row(number).key for number in range(250)]
    assert await store.get(many + many) == found


async def test_rows_of_19_mb_are_read_at_once(store: Store):
    data = os.urandom(380_000)
    there = [row(number, data=data) for number in range(50)]
    await store.put(there)
    assert await store.get([one.key for one in there]) == {one.key: one for one in there}


async def test_of_sixty_rows_the_last_is_seen_last(store: Store):
    rows = [row(sk=f"{number:03}", data=os.urandom(5000)) for number in range(60)]
    keys = [one.key for one in rows]
    writing = asyncio.create_task(store.put(rows))
    seen = 0
    while not writing.done() or not seen:
        # The last is looked for first: the others must be there already.
        if await store.get(keys[-1:]):
            seen += 1
            assert len(await store.get(keys)) == 60
        await asyncio.sleep(0)
    await writing
    assert await store.rows_of("cache#0") == rows


async def test_of_twenty_claims_at_once_exactly_one_wins(
    store: Store, request: pytest.FixtureRequest
):
    if "moto" in request.node.name:
        pytest.skip("moto looks at a condition and writes in two steps, without a lock")
    claims = [
        row(pk="flight#1", data=str(number).encode(), expires_at=NOW + 60) for number in range(20)
    ]
    won = await asyncio.gather(*[store.claim(one, NOW) for one in claims])
    assert won.count(True) == 1
    winner = claims[won.index(True)]
    assert await store.get([winner.key]) == {winner.key: winner}


async def test_a_claim_is_taken_over_when_it_has_expired_and_not_before(store: Store):
    first, second = row(data=b"first", expires_at=NOW + 60), row(data=b"second")
    assert await store.claim(first, NOW)
    assert not await store.claim(second, NOW + 59)
    assert (await store.get([first.key]))[first.key] == first
    assert await store.claim(second, NOW + 60)
    assert (await store.get([first.key]))[first.key] == second


async def test_a_claim_without_expiry_is_never_taken_over(store: Store):
    assert await store.claim(row(expires_at=0), NOW)
    assert not await store.claim(row(), NOW + 10**9)


async def test_an_expired_claim_goes_to_one_of_twenty(store: Store):
    assert await store.claim(row(expires_at=NOW + 1), NOW)
    tries = [row(data=str(n).encode(), expires_at=NOW + 60) for n in range(20)]
    won = await asyncio.gather(*[store.claim(one, NOW + 2) for one in tries])
    assert won.count(True) == 1


async def test_a_claim_that_was_deleted_is_free(store: Store):
    assert await store.claim(row(), NOW)
    await store.delete([row().key])
    assert await store.claim(row(), NOW)


async def test_a_counter_begins_at_nothing_and_says_each_sum(store: Store):
    key = ("cred#1", "requests")
    added = [await store.add(key, amount, NOW + 60) for amount in (1, 5, 0, -2, 10**15)]
    assert added == [1, 6, 6, 4, 10**15 + 4]
    counter = Row(pk=key[0], sk=key[1], data=b"1000000000000004", expires_at=NOW + 60)
    assert await store.get([key]) == {key: counter}
    assert await store.rows_of("cred#1") == [counter]


async def test_of_thirty_that_count_at_once_each_is_told_another_number(
    store: Store, request: pytest.FixtureRequest
):
    if "moto" in request.node.name:
        pytest.skip("moto reads a number and writes it in two steps, without a lock")
    key = ("cred#1", "requests")
    told = await asyncio.gather(*[store.add(key, 1, NOW + 60) for _ in range(30)])
    assert sorted(told) == list(range(1, 31))


async def test_counters_are_apart_and_a_deleted_one_begins_again(store: Store):
    one, other = ("cred#1", "requests"), ("cred#2", "requests")
    await store.add(one, 7, NOW + 60)
    assert await store.add(other, 1, NOW + 60) == 1
    await store.delete([one])
    assert await store.add(one, 1, NOW + 600) == 1
    assert (await store.get([one]))[one].expires_at == NOW + 600


async def test_what_was_deleted_is_gone_and_the_rest_stays(store: Store):
    await store.put([row(number) for number in range(40)])
    gone = [row(number).key for number in range(30)]
    await store.delete([*gone, *gone, ("cache#none", "0")])
    assert sorted(await store.get([row(number).key for number in range(40)])) == sorted(
        row(number).key for number in range(30, 40)
    )


async def test_the_rows_of_a_partition_come_in_order_over_more_than_one_page(store: Store):
    rows = [row(sk=f"{number}", data=os.urandom(380_000)) for number in range(8)]
    await store.put([*reversed(rows), row(1), row(10)])
    assert await store.rows_of("cache#0") == rows


async def test_sort_keys_are_ordered_by_their_bytes(store: Store):
    names = ["0", "00", "10", "9", "A", "a", "~", "é", "Ω", "ﬀ", "😀"]
    await store.put([row(sk=name) for name in reversed(names)])
    assert [one.sk for one in await store.rows_of("cache#0")] == names


async def test_a_scan_tells_all_rows_that_begin_so_and_their_data_if_asked(store: Store):
    rows = [row(number, data=os.urandom(30_000)) for number in range(70)]
    others = [row(pk=pk) for pk in ("cach#1", "cache", "cachf#1", "key#1", "")[:4]]
    await store.put(rows + others)
    ordered = sorted(rows, key=lambda one: one.key)
    found = await all_of(store.scan("cache#"))
    assert [one.key for one in found] == [one.key for one in ordered]
    assert {one.data for one in found} == {b""}
    assert [(one.expires_at, one.stored_at, one.org) for one in found] == [
        (NOW + 600, NOW, "acme")
    ] * 70
    assert await all_of(store.scan("cache#", data=True)) == ordered
    assert len(await all_of(store.scan(""))) == 74
    assert await all_of(store.scan("none")) == []


async def test_rows_of_one_partition_are_scanned_each_once(store: Store):
    rows = [row(sk=f"{number:04}") for number in range(150)]
    await store.put(rows)
    assert [one.key for one in await all_of(store.scan("cache#"))] == [one.key for one in rows]


@pytest.mark.parametrize(
    "name", ["é", "日本", "😀", "a'b\"c", "a%_b", "a\\b", "a\tb\nc", "x" * 900]
)
async def test_a_key_may_be_any_text(store: Store, name: str):
    written = row(pk=f"key#{name}", sk=name, org=name)
    await store.put([written])
    assert await store.get([written.key]) == {written.key: written}
    assert await store.rows_of(written.pk) == [written]
    assert len(await all_of(store.scan(f"key#{name}"))) == 1
    await store.delete([written.key])
    assert await store.get([written.key]) == {}


async def test_what_cannot_be_encoded_is_refused_without_being_quoted(store: Store):
    for work in (
        store.get([("key#\ud800", "0")]),
        store.put([row(pk="key#\ud800")]),
        store.put([row(), row(pk="key#\ud800")]),
        store.claim(row(org="key#\ud800"), NOW),
        store.add(("key#\ud800", "0"), 1, NOW),
        store.delete([("key#\ud800", "0")]),
        store.rows_of("key#\ud800"),
        anext(store.scan("key#\ud800")),
    ):
        with pytest.raises(StoreError) as raised:
            await work
        assert "key#" not in str(raised.value)
        assert raised.value.__cause__ is None
    await store.put([row()])
    assert len(await store.get([row().key])) == 1


async def test_fifty_at_once_do_not_mix_up_their_rows(store: Store):
    async def one(number: int) -> None:
        mine = [row(number, sk=str(piece), data=os.urandom(500)) for piece in range(3)]
        await store.put(mine)
        assert await store.get([piece.key for piece in mine]) == {p.key: p for p in mine}
        await store.delete([mine[0].key])
        assert await store.rows_of(mine[0].pk) == mine[1:]

    await asyncio.gather(*[one(number) for number in range(50)])


async def test_expired_rows_do_no_harm(store: Store):
    expired = [row(number, expires_at=NOW - 10) for number in range(30)]
    await store.put(expired)
    await store.put([row(100)])
    keys = [one.key for one in (*expired, row(100))]
    found = await store.get(keys)
    assert found.pop(row(100).key) == row(100)
    assert all(found[key] == row(int(key[0][6:]), expires_at=NOW - 10) for key in found)
    assert await store.rows_of("cache#100") == [row(100)]


async def test_a_call_that_is_given_up_leaves_the_store_as_good_as_before(store: Store):
    rows = [row(number, data=os.urandom(100_000)) for number in range(20)]
    for _ in range(5):
        task = asyncio.create_task(store.put(rows))
        await asyncio.sleep(0.001)
        task.cancel()
        with suppress(asyncio.CancelledError):  # A quick store has done it by now.
            await task
    await store.put(rows)
    assert len(await store.get([one.key for one in rows])) == 20


async def test_a_store_may_be_closed_twice(store: Store):
    await store.put([row()])
    await store.close()
    await store.close()


async def test_a_store_that_was_never_used_may_be_closed(where):
    if isinstance(where, str):
        async with table_at(where) as opened:
            await opened.close()
    else:
        await SqliteStore(where).close()
        assert not where.exists()
