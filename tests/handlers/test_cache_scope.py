"""Who gets an answer of the cache, and what somebody can do who has the table."""

from typing import Any

import pytest
from msgspec.structs import replace

from core.ports import Row
from tests.asgi_driver import Exchange
from tests.fakes import KEY, openai_endpoint, org
from tests.handlers.caches import (
    COMPLETION,
    Caches,
    question,
    told,
    whole,
)

OTHER_KEY = "cw_test_ffffffffffffffffffffffffffffffff"
DATA_KEY = "A" * 43


def two(**settings: Any) -> list[Any]:
    keys = [{"name": "a", "key": KEY}, {"name": "b", "key": OTHER_KEY}]
    return [org(key=None, keys=keys, endpoints=[openai_endpoint()], **settings)]


async def of_another(caches: Caches, key: str = OTHER_KEY, **more: Any) -> Exchange:
    return await caches.ask(headers={"authorization": f"Bearer {key}", **more})


async def test_a_caller_never_gets_the_answer_of_another() -> None:
    caches = Caches(whole(), whole(COMPLETION.replace(b"Hi", b"Ho")), settings=two())
    await caches.ask()
    other = await of_another(caches)
    assert told(other)[0] == "MISS"
    assert b"Ho" in other.body
    assert caches.kept == 2


async def test_members_share_where_their_organisation_says_so() -> None:
    shared = {"shared_cache": True, "data_keys": [{"generation": 1, "key": DATA_KEY}]}
    caches = Caches(whole(), settings=two(**shared))
    await caches.ask()
    assert told(await of_another(caches))[0] == "HIT"


async def test_two_organisations_never_share_even_with_one_key() -> None:
    shared = {"shared_cache": True, "data_keys": [{"generation": 1, "key": DATA_KEY}]}
    orgs = [org(name, endpoints=[openai_endpoint()], **shared) for name in ("acme", "other")]
    caches = Caches(whole(), whole(), settings=orgs)
    for name in ("acme", "other"):
        answered = await caches.ask(headers={"x-bt-org-name": name})
        assert told(answered) == ("MISS", None)
    assert told(await caches.ask("/btorg/other/v1/chat/completions"))[0] == "HIT"


async def test_a_new_generation_of_the_data_key_reads_the_old_ones_answers() -> None:
    def settings(*generations: tuple[int, str]) -> list[Any]:
        keys = [{"generation": number, "key": key} for number, key in generations]
        return two(shared_cache=True, data_keys=keys)

    caches = Caches(whole(), settings=settings((1, DATA_KEY)))
    await caches.ask()
    rotated = Caches(settings=settings((1, DATA_KEY), (2, "B" * 43)))
    rotated.store.rows = caches.store.rows
    assert told(await rotated.ask())[0] == "HIT"
    assert rotated.store.calls == ["get"]
    retired = Caches(whole(), settings=settings((2, "B" * 43)))
    retired.store.rows = caches.store.rows
    assert told(await retired.ask())[0] == "MISS"


@pytest.mark.parametrize(
    "key", ["cw_test_unknown_0123456789abcdef", "", "cw_test_0123456789abcdef0123456789abcdeF"]
)
async def test_nobody_reads_before_he_is_known(key: str) -> None:
    caches = Caches(whole())
    await caches.ask()
    caches.store.asked.clear()
    answered = await of_another(caches, key)
    assert answered.status == 401
    assert all(pk.startswith("key#") for pk, _ in caches.store.asked)


async def test_a_revoked_key_gets_no_hit() -> None:
    caches = Caches(whole())
    await caches.ask()
    revoked = Caches(settings=[org(key=OTHER_KEY, endpoints=[openai_endpoint()])])
    revoked.store.rows = caches.store.rows
    assert (await revoked.ask()).status == 401


async def test_a_provider_s_own_key_is_a_scope_of_its_own() -> None:
    caches = Caches(whole(), whole())
    first, second = "sk-proj-0123456789abcdef", "sk-proj-fedcba9876543210"
    for key, cached in ((first, "MISS"), (first, "HIT"), (second, "MISS")):
        assert told(await of_another(caches, key))[0] == cached


def damaged(row: Row) -> Row:
    return replace(row, data=row.data[:-1] + bytes([row.data[-1] ^ 1]))


DAMAGES = [
    damaged,
    lambda row: replace(row, data=row.data[:20]),
    lambda row: replace(row, data=b""),
    lambda row: replace(row, expires_at=row.expires_at + 10**6),
    lambda row: replace(row, data=b"CW\x02" + row.data[3:]),
    lambda row: replace(row, data=b"CW\x01\x02" + row.data[4:]),
]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_changed_row_is_a_miss_is_logged_once_and_is_overwritten(damage: Any) -> None:
    caches = Caches(whole(), whole(COMPLETION.replace(b"Hi", b"Ho")))
    await caches.ask()
    caches.store.rows = {key: damage(row) for key, row in caches.store.rows.items()}
    second = await caches.ask()
    assert told(second) == ("MISS", None)
    assert b"Ho" in second.body
    assert len(caches.logged("cache_entry_refused")) == 1
    assert told(await caches.ask())[0] == "HIT"


async def test_rows_put_in_each_other_s_place_are_misses() -> None:
    caches = Caches(whole(), whole(), whole(), whole())
    questions = [question(), question(seed=1)]
    for asked in questions:
        await caches.ask(asked=asked)
    (one, first), (other, second) = caches.store.rows.items()
    caches.store.rows = {
        one: replace(second, pk=one[0]),
        other: replace(first, pk=other[0]),
    }
    for asked in questions:
        assert told(await caches.ask(asked=asked))[0] == "MISS"
    assert len(caches.logged("cache_entry_refused")) == 2


async def test_an_expired_row_that_the_table_still_has_is_a_miss_without_a_word() -> None:
    caches = Caches(whole(), whole())
    await caches.ask(headers={"x-bt-cache-ttl": "10"})
    caches.clock.time += 11
    assert told(await caches.ask())[0] == "MISS"
    assert caches.logged("cache_entry_refused") == []


async def test_a_dump_of_the_table_shows_no_word_of_anybody() -> None:
    caches = Caches(whole())
    asked = question(messages=[{"role": "user", "content": "a private question"}])
    await caches.ask(asked=asked)
    dump = repr(caches.store.rows).encode() + b"".join(r.data for r in caches.store.rows.values())
    for word in (b"private", b"gpt-4o", b"acme", KEY.encode(), b"main", b"Hi", b"chat"):
        assert word not in dump


async def test_a_guess_at_a_known_prompt_finds_nothing_without_the_key() -> None:
    caches = Caches(whole(), whole())
    await caches.ask()
    guess = await of_another(caches, "sk-anybody-0123456789")
    assert told(guess)[0] == "MISS"
