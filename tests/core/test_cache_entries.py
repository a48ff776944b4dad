"""Sealed rows: whatever is changed, missing or mixed up is no answer, and raises nothing."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from core import cache_entries, cache_keys
from core.cache_entries import FIRST, PIECE, Entry
from core.cache_keys import Names
from core.ports import Row

NOW = 1_700_000_000
NONCE = bytes(range(12))
NAMES = cache_keys.names(cache_keys.Secret(b"s" * 32), b"d" * 32)
OTHERS = cache_keys.names(cache_keys.Secret(b"t" * 32), b"d" * 32)


def entry(body: bytes = b'{"answer": "forty-two"}', ttl_s: int = 60) -> Entry:
    headers = ((b"content-type", b"application/json"),)
    return Entry(stored_at=NOW, ttl_s=ttl_s, headers=headers, streamed=False, body=body)


def seal(one: Entry | None = None, nonce: bytes = NONCE, names: Names = NAMES) -> list[Row]:
    return cache_entries.seal(names, one or entry(), nonce)


def opened(rows: list[Row], now: int = NOW, names: Names = NAMES) -> Entry | None:
    first = next(row for row in rows if row.sk == FIRST)
    return cache_entries.open_entry(names, first, {row.key: row for row in rows}, now)


LARGE = entry(os.urandom(3 * PIECE))


@pytest.mark.parametrize("one", [entry(), entry(b""), entry(b"x" * 10_000), LARGE])
def test_what_was_sealed_opens(one: Entry) -> None:
    assert opened(seal(one)) == one


@given(st.binary(max_size=2000), st.binary(min_size=12, max_size=12))
def test_any_bytes_come_back(body: bytes, nonce: bytes) -> None:
    assert opened(seal(entry(body), nonce)) == entry(body)


def test_text_is_stored_smaller_than_it_is() -> None:
    [row] = seal(entry(b"data: hello world\n\n" * 1000))
    assert len(row.data) < 1000


def test_a_large_answer_is_cut_and_its_first_row_comes_last() -> None:
    rows = seal(LARGE)
    assert len(rows) == 4
    assert all(len(row.data) <= 390 * 1024 for row in rows)
    assert rows[-1].sk == FIRST
    assert cache_entries.missing(rows[-1]) == [row.key for row in rows[:-1]]


def test_what_is_larger_than_four_megabytes_is_not_kept() -> None:
    assert seal(entry(os.urandom(4 * 1024 * 1024))) == []
    assert seal(entry(os.urandom(4 * 1024 * 1024 - 1024)))


def test_an_answer_ends_at_its_second() -> None:
    rows = seal(entry(ttl_s=60))
    assert opened(rows, NOW + 59) is not None
    assert opened(rows, NOW + 60) is None
    assert opened(seal(entry(ttl_s=0)), NOW + 10**9) is not None


def changed(row: Row, at: int, bit: int = 1) -> Row:
    data = bytearray(row.data)
    data[at] ^= bit
    return replace(row, data=bytes(data))


def test_another_key_opens_nothing() -> None:
    rows = seal()
    assert opened(rows, names=OTHERS) is None
    moved = [replace(row, pk=OTHERS.pk) for row in rows]
    assert opened(moved, names=OTHERS) is None


def test_the_request_alone_opens_nothing_and_neither_does_the_caller_alone() -> None:
    guessed = cache_keys.names(cache_keys.Secret(b""), NAMES.digest)
    another = cache_keys.names(cache_keys.Secret(b"s" * 32), b"e" * 32)
    for names in (guessed, another):
        assert opened([replace(row, pk=names.pk) for row in seal()], names=names) is None


def test_a_changed_expiry_is_no_answer() -> None:
    [row] = seal()
    for expires_at in (NOW + 10**9, 0, row.expires_at + 1):
        assert opened([replace(row, expires_at=expires_at)]) is None


def test_every_changed_byte_is_no_answer() -> None:
    [row] = seal()
    for at in range(len(row.data)):
        assert opened([changed(row, at)]) is None, at


def test_every_shorter_row_is_no_answer() -> None:
    [row] = seal()
    for size in range(len(row.data)):
        assert opened([replace(row, data=row.data[:size])]) is None, size


def test_swapped_rows_of_two_requests_are_no_answers() -> None:
    [one] = seal()
    [other] = seal(names=OTHERS)
    assert opened([replace(one, data=other.data)]) is None
    assert opened([replace(other, data=one.data)], names=OTHERS) is None


def test_a_missing_swapped_or_changed_piece_is_no_answer() -> None:
    first, second, third, head = seal(LARGE)
    assert opened([second, third, head]) is None
    swapped = [replace(first, data=second.data), replace(second, data=first.data), third, head]
    assert opened(swapped) is None
    assert opened([first, changed(second, 1000), third, head]) is None
    assert opened([first, second, replace(third, data=third.data[:-1]), head]) is None


def test_pieces_of_another_writing_are_not_mixed_in() -> None:
    old, new = seal(LARGE), seal(LARGE, bytes(12))
    assert not {row.key for row in old[:-1]} & {row.key for row in new[:-1]}
    assert opened([*old[:-1], new[-1]]) is None
    assert opened([*old, *new[:-1]]) == LARGE


@given(st.binary(max_size=400))
def test_garbage_in_a_row_raises_nothing(data: bytes) -> None:
    [row] = seal()
    assert opened([replace(row, data=data)]) is None
    assert opened([replace(row, data=row.data[:16] + data)]) is None


def test_a_row_shows_no_word_of_the_answer() -> None:
    said = b"The quick brown fox jumps over the lazy dog. "
    for row in seal(entry(said)):
        assert not any(word in row.data for word in said.split() if len(word) > 2)
        assert b"content-type" not in row.data


def test_an_answer_does_not_show_itself() -> None:
    assert repr(entry(b"private")) == "<Entry of 7 bytes>"
