"""What an operator can do with the table, and that he sees nothing by it."""

import asyncio
import os
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from core import cache_entries, cache_keys
from core.cache_entries import Entry
from core.cache_keys import Names
from core.ports import Row, RowKey
from handlers import housekeeping
from handlers.cli import cli
from handlers.housekeeping import CassetteError
from infra.sqlite import SqliteStore
from tests.fakes import KEY, NOW, FakeStore, openai_endpoint, org
from tests.handlers.caches import (
    COMPLETION,
    RECORD,
    REPLAY,
    Caches,
    question,
    streamed,
    told,
    whole,
)

NOW_S = int(NOW)
OTHER_KEY = "cw_test_ffffffffffffffffffffffffffffffff"


async def filled(*names: str) -> Caches:
    """One answer for each organisation."""
    orgs = [
        org(name, key=f"cw_{name}_0123456789abcdef", endpoints=[openai_endpoint()])
        for name in names
    ]
    caches = Caches(*(whole() for _ in names), settings=orgs)
    for name in names:
        await caches.ask(headers={"authorization": f"Bearer cw_{name}_0123456789abcdef"})
        caches.clock.time += 100
    return caches


async def test_stats_count_what_can_be_seen_from_outside() -> None:
    caches = await filled("acme", "other")
    found = await housekeeping.stats(caches.store, NOW_S + 10**9)
    cache = found["cache"]
    assert (cache.answers, cache.rows, cache.organisations, cache.expired) == (2, 2, 2, 2)
    assert (cache.oldest, cache.newest) == (NOW_S, NOW_S + 100)
    assert cache.bytes == sum(len(row.data) for row in caches.store.rows.values())
    assert found["cassette"].rows == 0


async def test_purge_takes_one_organisation_s_answers() -> None:
    caches = await filled("acme", "other", "third")
    assert await housekeeping.purge(caches.store, org="other") == 1
    assert len(caches.store.rows) == 2
    assert await housekeeping.purge(caches.store, org="nobody") == 0


async def test_purge_takes_what_is_older_than_a_time_or_all() -> None:
    caches = await filled("acme", "other", "third")
    assert await housekeeping.purge(caches.store, before=NOW_S + 150) == 2
    assert await housekeeping.purge(caches.store) == 1
    assert caches.store.rows == {}


async def test_purge_leaves_cassettes_unless_it_is_told_to() -> None:
    caches = Caches(whole())
    await caches.ask(headers=RECORD)
    assert await housekeeping.purge(caches.store) == 0
    assert await housekeeping.purge(caches.store, cassettes=True) == 1


async def test_verify_finds_nothing_to_complain_of() -> None:
    caches = await filled("acme", "other")
    before = dict(caches.store.rows)
    proof = await housekeeping.verify(caches.store, NOW_S)
    assert proof.holds
    assert proof.sampled == 2
    assert caches.store.rows == before


async def test_verify_sees_rows_that_are_not_sealed() -> None:
    caches = await filled("acme")
    [key] = caches.store.rows
    row = caches.store.rows[key]
    caches.store.rows[key] = replace(row, data=row.data[:16] + COMPLETION * 3)
    proof = await housekeeping.verify(caches.store, NOW_S)
    assert proof.readable == 1
    assert not proof.holds


class Forgetful(FakeStore):
    """Gives back another row than it was given."""

    async def get(self, keys: list[tuple[str, str]]) -> dict[tuple[str, str], Row]:  # type: ignore[override]
        return {
            key: replace(row, data=row.data[:-1] + b"\0")
            for key, row in (await super().get(keys)).items()
        }


async def test_verify_sees_a_store_that_does_not_keep_what_it_is_given() -> None:
    proof = await housekeeping.verify(Forgetful(), NOW_S)
    assert proof.canary == ("the right key does not open it",)
    assert not proof.holds


class Late(FakeStore):
    """As a table in AWS: a row is there only some reads after it was written."""

    async def get(self, keys: Sequence[RowKey]) -> dict[RowKey, Row]:
        found = await super().get(keys)
        return found if self.calls.count("get") > 2 else {}


async def test_verify_is_patient_with_a_table_that_is_late() -> None:
    store = Late()
    assert (await housekeeping.verify(store, NOW_S)).canary == ()
    assert store.rows == {}


class Counting(FakeStore):
    """Knows how many rows were read."""

    told = 0

    async def scan(self, prefix: str, *, data: bool = False) -> AsyncIterator[Row]:
        async for row in super().scan(prefix, data=data):
            self.told += 1
            yield row


async def test_verify_reads_no_more_of_a_large_table_than_its_sample() -> None:
    store = Counting()
    for number in range(500):
        key = (f"cache#{number}", "0")
        store.rows[key] = Row(pk=key[0], sk=key[1], data=os.urandom(64))
    proof = await housekeeping.verify(store, NOW_S, sample=20)
    assert proof.sampled == 20
    assert store.told < 25


async def test_verify_tries_large_answers_with_all_their_pieces() -> None:
    store = FakeStore()
    # Sealed under what lies beside it: the mistake that `verify` is there to find.
    guessed = cache_keys.names(cache_keys.Secret(b"org"), b"org")
    names = Names(pk="cache#x", seal=guessed.seal, digest=b"org")
    entry = Entry(stored_at=NOW_S, ttl_s=60, headers=(), streamed=False, body=os.urandom(1_000_000))
    await store.put(cache_entries.seal(names, entry, bytes(12), org="org"))
    assert len(store.rows) == 3
    assert (await housekeeping.verify(store, NOW_S)).opened == 1


async def recorded() -> Caches:
    caches = Caches(whole(), streamed())
    await caches.ask(headers=RECORD)
    await caches.ask(asked=question(stream=True), headers=RECORD)
    return caches


async def test_a_cassette_goes_to_another_machine_and_another_key() -> None:
    caches = await recorded()
    document = await housekeeping.export(caches.store, key=KEY, cassette="checkout.v1", now=NOW_S)
    assert document.count(b"\n") == 2
    there = Caches(settings=[org("ci", key=OTHER_KEY)])
    number = await housekeeping.import_(
        there.store, document, key=OTHER_KEY, cassette="checkout.v1", now=NOW_S
    )
    assert number == 2
    headers = {**REPLAY, "authorization": f"Bearer {OTHER_KEY}"}
    for asked in (question(), question(stream=True)):
        answered = await there.ask(asked=asked, headers=headers)
        assert told(answered)[0] == "HIT"
    assert there.calls == 0
    assert (
        await housekeeping.export(there.store, key=OTHER_KEY, cassette="checkout.v1", now=NOW_S)
        == document
    )


async def test_only_the_holder_of_the_key_exports() -> None:
    caches = await recorded()
    with pytest.raises(CassetteError, match="no cassette"):
        await housekeeping.export(caches.store, key=OTHER_KEY, cassette="checkout.v1", now=NOW_S)
    with pytest.raises(CassetteError, match="no cassette"):
        await housekeeping.export(caches.store, key=KEY, cassette="another", now=NOW_S)


async def test_a_damaged_cassette_is_an_error_and_not_half_a_file() -> None:
    caches = await recorded()
    key = next(iter(caches.store.rows))
    row = caches.store.rows[key]
    caches.store.rows[key] = replace(row, data=row.data[:-1])
    with pytest.raises(CassetteError, match="damaged"):
        await housekeeping.export(caches.store, key=KEY, cassette="checkout.v1", now=NOW_S)


@pytest.mark.parametrize(
    "document",
    [
        b"no json\n",
        b"{}\n",
        b'{"request":"zz","content_type":"a"}\n',
        b'{"request":"00","content_type":"a"}\n',
        # Headers that no answer of ours has.
        b'{"request":"%s","content_type":"a","headers":{"set-cookie":"a=b"}}\n' % (b"00" * 32),
        b'{"request":"%s","content_type":"a\\r\\nset-cookie: a=b"}\n' % (b"00" * 32),
        b'{"request":"%s","content_type":"a","body_b64":"?"}\n' % (b"00" * 32),
    ],
)
async def test_a_file_that_is_no_cassette_is_refused_with_its_line(document: bytes) -> None:
    store = FakeStore()
    with pytest.raises(CassetteError, match="Line 2"):
        await housekeeping.import_(store, b"\n" + document, key=KEY, cassette="c", now=NOW_S)
    assert store.rows == {}


async def test_an_answer_that_is_too_large_to_import_is_not_passed_over() -> None:
    body = b64encode(os.urandom(5_000_000))
    line = b'{"request":"%s","content_type":"a","body_b64":"%s"}\n' % (b"00" * 32, body)
    with pytest.raises(CassetteError, match="4 MB"):
        await housekeeping.import_(FakeStore(), line, key=KEY, cassette="c", now=NOW_S)


run = CliRunner()


def said(*words: str, fails: int = 0) -> str:
    result = run.invoke(cli, ["cache", *words], env={"COLUMNS": "200"})
    assert result.exit_code == fails, result.output
    return result.output


def test_a_morning_of_an_operator(tmp_path: Path) -> None:
    async def fill() -> None:
        caches = await recorded()
        store = SqliteStore(tmp_path / "cutwater.db")
        await store.put(list(caches.store.rows.values()))
        await store.close()

    asyncio.run(fill())
    data, file = ["--data", str(tmp_path)], tmp_path / "checkout.jsonl"
    assert "cassette" in said("stats", *data)
    assert msgspec.json.decode(said("stats", *data, "--json"))["cassette"]["answers"] == 2
    assert "0 opened" in said("verify", *data)
    assert msgspec.json.decode(said("verify", *data, "--json"))["sampled"] == 2
    named = ["--cassette", "checkout.v1", "--key", KEY]
    assert "2 answers" in said("export", str(file), *named, *data)
    assert "aborted" in said("purge", *data, fails=1).lower()
    assert "2 rows deleted" in said("purge", *data, "--cassettes", "--yes")
    assert "no cassette" in said("export", str(file), *named, *data, fails=2)
    assert "2 answers" in said("import", str(file), *named, *data)
    assert msgspec.json.decode(said("purge", "--org", "x", "-y", "--json", *data)) == {"deleted": 0}
    assert "0 rows" in said("purge", "--older-than", "12h", "-y", *data)
    said("purge", "--older-than", "soon", "-y", *data, fails=2)
    said("import", str(tmp_path / "none"), *named, *data, fails=2)
    file.write_text("nonsense\n")
    assert "Line 1" in said("import", str(file), *named, *data, fails=2)


@pytest.mark.parametrize("command", ["stats", "verify", "purge", "export"])
def test_a_folder_without_a_table_is_named_and_not_filled(tmp_path: Path, command: str) -> None:
    words = {
        "purge": ["--yes"],
        "export": [str(tmp_path / "file"), "--cassette", "c", "--key", KEY],
    }
    there = tmp_path / "elsewhere"
    output = said(command, *words.get(command, []), "--data", str(there), fails=2)
    assert "There is no table in" in output
    assert not there.exists()


def test_a_new_data_key_is_one_that_settings_take() -> None:
    key = said("new-key").strip()
    assert key != said("new-key").strip()
    settings = {"shared_cache": True, "data_keys": [{"generation": 1, "key": key}]}
    assert org(**settings).data_keys[0].key == key
