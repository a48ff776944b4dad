"""Cutwater keys: what is stored of them, and when they are refused."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from core import cache_keys, keys
from core.errors import AuthenticationError, BadRequestError, PermissionDeniedError
from core.keys import KeyRecord, Limits
from core.orgs import SettingsError
from core.ports import Row, StoreError
from core.scopes import Scopes

NOW = 1_700_000_000
KEY = keys.new_key(bytes(range(24)))
DIGEST = keys.digest(KEY)


def record(**changes) -> KeyRecord:
    return keys.issued(keys.draft("ci", ["acme"], **changes), DIGEST, NOW)


def key_row(one: KeyRecord) -> Row:
    return keys.rows_of_record(one, DIGEST)[-1]


@given(st.binary(min_size=20, max_size=64))
def test_a_key_is_one_that_settings_would_take_and_holds_all_its_randomness(entropy: bytes) -> None:
    key = keys.new_key(entropy)
    assert re.fullmatch(r"cw_[A-Za-z0-9_]{16,200}", key)
    assert bytes.fromhex(key[3:]) == entropy


def test_a_key_has_at_least_160_random_bits() -> None:
    assert keys.ENTROPY * 8 >= 160
    with pytest.raises(ValueError, match="20 random bytes"):
        keys.new_key(bytes(19))


def test_a_key_is_found_by_its_sha256() -> None:
    assert keys.digest("cw_x") == "6f257de5aad62a9a9c0d79f48606f4523eb1b067587d62ed0305bddddf8852a6"
    assert keys.row_key(KEY) == (f"key#{DIGEST}", "0")
    assert keys.row_key("é😀") == keys.row_key_of(keys.digest("é😀"))


def test_a_record_is_written_last_after_an_entry_for_each_organisation() -> None:
    one = keys.issued(keys.draft("ci", ["acme", "other", "acme"]), DIGEST, NOW)
    *index, last = keys.rows_of_record(one, DIGEST)
    assert [(row.pk, row.sk, row.data) for row in index] == [
        (f"orgkeys#{cache_keys.tag_of(name)}", DIGEST, b"") for name in ("acme", "other")
    ]
    assert [row.org for row in index] == [cache_keys.tag_of(n) for n in ("acme", "other")]
    assert index[0].pk == keys.index_key("acme")
    assert last.key == keys.row_key(KEY)
    assert (last.expires_at, last.stored_at, last.org) == (0, NOW, "")
    assert key_row(record()).org == cache_keys.tag_of("acme")


def test_a_record_comes_back_as_it_was() -> None:
    one = record(
        scopes={"models": ["gpt-*"], "routes": ["chat"], "endpoints": ["eu"]},
        limits={"requests_per_minute": 60, "usd_per_day": 1.5},
        expires_at=NOW + 10,
    )
    assert keys.read_row(key_row(one)) == one
    assert one.id == DIGEST[:12]
    assert one.scopes == Scopes(models=("gpt-*",), routes=("chat",), endpoints=("eu",))
    assert one.limits == Limits(requests_per_minute=60, usd_per_day=1.5)
    assert keys.found(key_row(one), KEY) == one


def test_no_row_and_no_record_holds_the_key() -> None:
    one = replace(record(), revoked_at=NOW)
    said = repr([keys.rows_of_record(one, DIGEST), keys.use_row(DIGEST, NOW), one])
    assert KEY not in said
    assert KEY[3:] not in said
    assert DIGEST not in repr(key_row(one).data)


@pytest.mark.parametrize(
    ("changes", "expires_at"),
    [
        ({}, 0),
        ({"expires_at": NOW + 10}, NOW + 10 + keys.KEPT_S),
        ({"revoked_at": NOW + 5}, NOW + 5 + keys.KEPT_S),
        ({"expires_at": NOW + 10, "revoked_at": NOW + 5}, NOW + 5 + keys.KEPT_S),
    ],
)
def test_a_key_that_is_over_can_be_listed_for_a_while(changes, expires_at) -> None:
    rows = keys.rows_of_record(replace(record(), **changes), DIGEST)
    assert {row.expires_at for row in rows} == {expires_at}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"null",
        b"\xff",
        b'{"id":"0","name":"ci","orgs":["a"],"created_at":1,"frozen":true}',
        b'{"id":"0","name":"ci","orgs":["a"],"created_at":1,"scopes":{"regions":["eu"]}}',
        b'{"id":"0","name":"ci","orgs":["a"],"created_at":1,"scopes":{"routes":["tea"]}}',
    ],
)
def test_a_record_that_says_more_than_is_known_is_not_taken_for_less(data: bytes) -> None:
    with pytest.raises(StoreError):
        keys.found(replace(key_row(record()), data=data), KEY)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": ""}, "$.name"),
        ({"name": "a\nb"}, "$.name"),
        ({"name": "x" * 201}, "$.name"),
        ({"orgs": []}, "$.orgs"),
        ({"orgs": ["acme", ""]}, "$.orgs"),
        ({"scopes": {"routes": ["tea"]}}, "$.scopes.routes[0]"),
        ({"scopes": {"model": ["gpt-4o"]}}, "$.scopes"),
        ({"scopes": {"models": "gpt-4o"}}, "$.scopes.models"),
        ({"scopes": {"models": [""]}}, "$.scopes.models"),
        ({"limits": {"requests_per_minute": 0}}, "$.limits.requests_per_minute"),
        ({"limits": {"tokens_per_minute": 1.5}}, "$.limits.tokens_per_minute"),
        ({"limits": {"usd_per_day": -1}}, "$.limits.usd_per_day"),
        ({"limits": {"usd_total": float("nan")}}, "$.limits.usd_total"),
        ({"limits": {"usd_total": float("inf")}}, "$.limits.usd_total"),
        ({"limits": {"usd": 1}}, "$.limits"),
        ({"expires_at": 0}, "$.expires_at"),
        ({"expires_at": 10**15}, "$.expires_at"),
        ({"expires_at": NOW}, "$.expires_at"),
    ],
)
def test_a_wrong_field_is_told_with_its_path(changes, path: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"at `{path}`")):
        keys.issued(keys.draft(**{"name": "ci", "orgs": ["acme"]} | changes), DIGEST, NOW)


def test_an_unknown_key_is_401_and_so_is_a_row_of_another() -> None:
    for row, key in (
        (None, KEY),
        (key_row(record()), KEY[:-1] + "x"),
        (keys.rows_of_record(record(), DIGEST)[0], KEY),
        (None, "é"),
    ):
        with pytest.raises(AuthenticationError, match="not known here") as raised:
            keys.found(row, key)
        assert key not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "now", "words"),
    [
        ({"revoked_at": NOW}, NOW, "revoked on 2023-11-14 22:13 UTC"),
        ({"revoked_at": NOW + 100}, NOW, "revoked"),
        ({"expires_at": NOW}, NOW, "expired on 2023-11-14 22:13 UTC: create a new one"),
        ({"expires_at": NOW}, NOW + 0.5, "expired"),
        ({"expires_at": NOW, "revoked_at": NOW - 5}, NOW, "revoked"),
    ],
)
def test_a_key_that_is_over_is_401_and_says_what_to_do(changes, now, words) -> None:
    with pytest.raises(AuthenticationError, match=words):
        keys.verify(replace(record(), **changes), now)


def test_a_key_is_good_until_the_second_it_expires() -> None:
    keys.verify(record(), NOW + 10**9)
    keys.verify(replace(record(), expires_at=NOW), NOW - 0.01)


@pytest.mark.parametrize(
    ("orgs", "asked", "chosen"),
    [(("a",), None, "a"), (("a",), "a", "a"), (("a", "b"), "b", "b")],
)
def test_a_key_chooses_among_its_organisations(orgs, asked, chosen) -> None:
    assert keys.choose_org(orgs, asked) == chosen


@pytest.mark.parametrize(
    ("orgs", "asked", "error", "words"),
    [
        (("b", "a"), None, BadRequestError, r"x-bt-org-name \(a, b\)"),
        (("a",), "b", PermissionDeniedError, "does not belong to the organisation `b`"),
        (("a", "b"), "A", PermissionDeniedError, "does not belong"),
        (("a",), "", PermissionDeniedError, "does not belong"),
    ],
)
def test_the_lack_of_a_choice_is_400_and_a_wrong_one_403(orgs, asked, error, words) -> None:
    with pytest.raises(error, match=words):
        keys.choose_org(orgs, asked)


def test_a_use_is_written_down_once_an_hour_in_a_row_of_its_own() -> None:
    one = record()
    assert keys.touched(one, NOW)
    row = keys.use_row(DIGEST, NOW)
    assert row.key == keys.use_key(DIGEST) != key_row(one).key
    used = keys.with_use(one, row)
    assert used.last_used_at == NOW
    assert not keys.touched(used, NOW + 3599)
    assert keys.touched(used, NOW + 3600)
    assert keys.with_use(one, None) == one
    assert keys.with_use(one, replace(row, data=b"x")) == one


def test_writing_a_record_does_not_write_when_it_was_used() -> None:
    used = keys.with_use(record(), keys.use_row(DIGEST, NOW))
    assert b"last_used_at" not in key_row(used).data
    assert msgspec.json.decode(key_row(used).data)["name"] == "ci"
