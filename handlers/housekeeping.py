"""What an operator does with the table: count, purge, prove, and carry cassettes about.

A cassette file holds answers in the clear: it is made to lie beside the tests
that replay it, and only whoever holds the caller's key can write one.
"""

import asyncio
import os
import zlib
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from core import cache_entries, cache_keys
from core.cache_entries import Entry
from core.cache_keys import Names, Secret
from core.ports import Row, RowKey, Store
from handlers.cached import KEPT_HEADERS
from handlers.stores import put_for_ever

PREFIXES: Final = ("cache#", "cassette#")
_AT_ONCE: Final = 100
_CANARY_TTL_S: Final = 60
_CANARY_PAUSES: Final = (0.0, 0.1, 0.4, 1.0)
"""A table in AWS may give a row back only a moment after it has been written."""


class Stats(Struct, kw_only=True):
    """Of one kind of row. Bytes are as they lie in the table, sealed."""

    answers: int = 0
    rows: int = 0
    expired: int = 0
    oldest: int = 0
    newest: int = 0
    organisations: int = 0
    bytes: int = 0


async def stats(store: Store, now: int) -> dict[str, Stats]:
    found = {}
    for prefix in PREFIXES:
        one, tags = Stats(), set()
        async for row in store.scan(prefix, data=True):
            one.rows += 1
            one.bytes += len(row.data)
            one.answers += cache_entries.is_first(row)
            one.expired += 0 < row.expires_at <= now
            one.newest = max(one.newest, row.stored_at)
            one.oldest = min(one.oldest or row.stored_at, row.stored_at)
            tags.add(row.org)
        one.organisations = len(tags)
        found[prefix.removesuffix("#")] = one
    return found


async def purge(
    store: Store, *, org: str | None = None, before: int | None = None, cassettes: bool = False
) -> int:
    """How many rows are gone: of one organisation, or stored before a time, or all."""
    tag = None if org is None else cache_keys.tag_of(org)
    doomed: list[RowKey] = []
    for prefix in PREFIXES if cassettes else PREFIXES[:1]:
        async for row in store.scan(prefix):
            of_org = tag is None or row.org == tag
            if of_org and (before is None or row.stored_at < before):
                doomed.append(row.key)
    for start in range(0, len(doomed), _AT_ONCE):
        await store.delete(doomed[start : start + _AT_ONCE])
    return len(doomed)


class Proof(Struct, frozen=True, kw_only=True):
    """What `verify` tried, and what it found."""

    sampled: int
    opened: int
    """Rows that a wrong key opened: 0, or the cache is broken."""
    readable: int
    """Rows that can be packed smaller: sealed bytes cannot."""
    canary: tuple[str, ...]
    """What went wrong with an answer sealed for the purpose; empty: nothing."""

    @property
    def holds(self) -> bool:
        return not (self.opened or self.readable or self.canary)


async def verify(store: Store, now: int, *, sample: int = 50) -> Proof:
    """Proves that rows open with the right key only.

    The rows of others are tried with what somebody could guess who has the table alone; an
    answer sealed here is written, read, opened, tampered with and deleted.
    """
    rows = [row async for row in _sampled(store, sample)]
    opened = 0
    for row in rows:
        sk = row.sk.removesuffix(cache_entries.FIRST)
        others = await store.get(cache_entries.missing(row, sk))
        opened += any(_opens(row, others, names, now) for names in _guesses(row))
    readable = sum(_is_readable(row.data) for row in rows)
    canary = await _canary(store, now)
    return Proof(sampled=len(rows), opened=opened, readable=readable, canary=tuple(canary))


async def _sampled(store: Store, sample: int) -> AsyncIterator[Row]:
    """First rows of answers. Names are digests: any of them are as good as drawn."""
    for prefix in PREFIXES:
        async for row in store.scan(prefix, data=True):
            if sample <= 0:
                return  # The rest of the table is not read.
            if cache_entries.is_first(row):
                sample -= 1
                yield row


def _guesses(row: Row) -> Iterable[Names]:
    """Keys made of all that lies beside the answer, of nothing, and of chance."""
    materials = (b"", row.pk.encode(), row.sk.encode(), row.org.encode(), row.data[:32])
    for material in (*materials, os.urandom(32)):
        names = cache_keys.names(Secret(material), material)
        yield Names(pk=row.pk, seal=names.seal, digest=material)
        yield Names(pk=row.pk, seal=material.ljust(32, b"\0")[:32], digest=material)


def _opens(row: Row, others: Mapping[RowKey, Row], names: Names, now: int) -> bool:
    sk = row.sk.removesuffix(cache_entries.FIRST)
    at = min(now, row.expires_at - 1) if row.expires_at else now
    return cache_entries.open_entry(names, row, others, at, sk=sk) is not None


def _is_readable(data: bytes) -> bool:
    return len(data) > 256 and len(zlib.compress(data, 9)) < len(data) * 0.98


async def _canary(store: Store, now: int) -> list[str]:
    secret, request = Secret(os.urandom(32)), os.urandom(32)
    right = cache_keys.names(secret, request)
    entry = Entry(stored_at=now, ttl_s=_CANARY_TTL_S, headers=(), streamed=False, body=b"canary")
    [row] = cache_entries.seal(right, entry, os.urandom(cache_entries.NONCE))
    await store.put([row])
    found = None
    for pause in _CANARY_PAUSES:
        await asyncio.sleep(pause)
        if (found := (await store.get([row.key])).get(row.key)) is not None:
            break
    await store.delete([row.key])
    if found is None or cache_entries.open_entry(right, found, {}, now) != entry:
        return ["the right key does not open it"]
    wrong = cache_keys.names(Secret(os.urandom(32)), request)
    other = cache_keys.names(secret, os.urandom(32))
    attempts: dict[str, tuple[Names, Row]] = {
        "another caller's key opens it": (_at(wrong, right), found),
        "the key of another request opens it": (_at(other, right), found),
        "it opens under another name": (right, _with(found, pk="cache#other")),
        "it opens with a later expiry": (right, _with(found, expires_at=now + 10**6)),
        "it opens with a changed byte": (right, _with(found, data=_flipped(found.data))),
        "it opens cut short": (right, _with(found, data=found.data[:-1])),
    }
    return [
        said
        for said, (names, one) in attempts.items()
        if cache_entries.open_entry(names, one, {}, now) is not None
    ]


def _at(names: Names, place: Names) -> Names:
    return msgspec.structs.replace(names, pk=place.pk)


def _with(row: Row, **changes: Any) -> Row:
    return msgspec.structs.replace(row, **changes)


def _flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


class Taped(Struct, kw_only=True, omit_defaults=True):
    """A line of a cassette file."""

    request: str
    """The request's digest."""
    content_type: str
    streamed: bool = False
    headers: dict[str, str] = {}
    body: str | None = None
    body_b64: str | None = None

    def __repr__(self) -> str:
        return "<Taped>"


class CassetteError(Exception):
    """What is wrong with a cassette or its file; the message says what to do."""


_line: Final = msgspec.json.Decoder(Taped).decode


async def export(store: Store, *, key: str, cassette: str, now: int) -> bytes:
    """The cassette as JSON lines, sorted, so that a recording again shows as a small difference."""
    secret = cache_keys.cassette_secret(key, cassette)
    names, _ = cache_keys.cassette_names(secret, b"")
    rows = await store.rows_of(names.pk)
    by_key = {row.key: row for row in rows}
    lines = []
    for row in rows:
        if not cache_entries.is_first(row):
            continue
        sk = row.sk.removesuffix(cache_entries.FIRST)
        entry = cache_entries.open_entry(names, row, by_key, now, sk=sk)
        if entry is None:
            raise CassetteError(f"A row of the cassette `{cassette}` is damaged: record it again.")
        lines.append(_taped(entry))
    if not lines:
        raise CassetteError(
            f"There is no cassette `{cassette}` of this key: record one with "
            "x-bt-use-cache: record and x-bt-cassette, or check --key."
        )
    lines.sort(key=lambda line: line.request)
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def _taped(entry: Entry) -> Taped:
    headers = {name.decode(): value.decode("latin-1") for name, value in entry.headers}
    taped = Taped(
        request=entry.digest.hex(),
        content_type=headers.pop("content-type", ""),
        streamed=entry.streamed,
        headers=headers,
    )
    try:
        taped.body = entry.body.decode()
    except UnicodeDecodeError:
        taped.body_b64 = b64encode(entry.body).decode()
    return taped


async def import_(store: Store, document: bytes, *, key: str, cassette: str, now: int) -> int:
    """How many answers came in; they are sealed under `key` and replay for its holder only."""
    secret = cache_keys.cassette_secret(key, cassette)
    entries = [
        _entry(line, number, now)
        for number, line in enumerate(document.split(b"\n"), 1)
        if line.strip()
    ]
    for entry in entries:
        names, sk = cache_keys.cassette_names(secret, entry.digest)
        rows = cache_entries.seal(names, entry, os.urandom(cache_entries.NONCE), sk=sk)
        if not rows:
            raise CassetteError(
                f"The answer to {entry.digest.hex()[:12]}... is larger than what is kept (4 MB)."
            )
        await put_for_ever(store, rows, sk)
    return len(entries)


def _entry(line: bytes, number: int, now: int) -> Entry:
    try:
        taped = _line(line)
        return Entry(
            stored_at=now,
            ttl_s=0,
            headers=_headers(taped),
            streamed=taped.streamed,
            body=_body(taped),
            digest=_digest(taped),
        )
    except ValueError as error:
        raise CassetteError(f"Line {number} is no line of a cassette: {error}.") from error


def _digest(taped: Taped) -> bytes:
    digest = bytes.fromhex(taped.request)
    if len(digest) != 32:
        raise ValueError("`request` is no digest")
    return digest


def _headers(taped: Taped) -> tuple[tuple[bytes, bytes], ...]:
    """A file that somebody else wrote must not set cookies here."""
    pairs = {"content-type": taped.content_type, **taped.headers}
    found = tuple((name.encode("latin-1"), v.encode("latin-1")) for name, v in pairs.items())
    if not {name for name, _ in found} <= KEPT_HEADERS:
        raise ValueError("a header that no answer has")
    if not "".join(pairs.values()).isprintable():
        raise ValueError("a header that no answer has: it holds a line end")
    return found


def _body(taped: Taped) -> bytes:
    if taped.body_b64 is None:
        return (taped.body or "").encode()
    return b64decode(taped.body_b64, validate=True)
