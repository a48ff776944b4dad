"""What an operator does with Cutwater keys: create, list, revoke.

A key is in nobody's hands but its holder's: what is listed and revoked goes by
its id, the beginning of its digest.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from core import keys
from core.keys import KeyRecord
from core.orgs import Key
from core.ports import Row, RowKey, Store

_AT_ONCE: Final = 50
"""Keys whose two rows are read together."""
_ID: Final = re.compile(r"[0-9a-f]{6,64}")

State = Literal["live", "expired", "revoked"]


class AdminError(Exception):
    """What cannot be done; the message says what to do instead, and quotes no secret."""


class Created(Struct, frozen=True):
    """Holds the key, which is shown once: it has no repr."""

    key: str
    record: KeyRecord

    def __repr__(self) -> str:
        return f"<Created {self.record.id}>"


def state(record: KeyRecord, now: float) -> State:
    if record.revoked_at is not None:
        return "revoked"
    expired = record.expires_at is not None and record.expires_at <= now
    return "expired" if expired else "live"


async def create(
    store: Store, draft: KeyRecord, *, now: int, random: Callable[[int], bytes]
) -> Created:
    """SettingsError where it would have expired already."""
    key = keys.new_key(random(keys.ENTROPY))
    digest = keys.digest(key)
    record = keys.issued(draft, digest, now)
    await store.put(keys.rows_of_record(record, digest))
    return Created(key, record)


async def adopt(store: Store, key: Key, org_name: str, now: int) -> str:
    """Takes over a key that was written in clear; its name. A revoked one stays revoked."""
    digest = keys.digest(key.key)
    at = keys.row_key_of(digest)
    row = (await store.get([at])).get(at)
    if row is None:
        record = keys.issued(keys.draft(key.name, [org_name]), digest, now)
    else:
        record = keys.read_row(row)
        if org_name in record.orgs:
            return key.name
        record = replace(record, orgs=(*record.orgs, org_name))
    await store.put(keys.rows_of_record(record, digest))
    return key.name


async def listed(store: Store, org_name: str | None = None) -> list[KeyRecord]:
    """All of the table, or of an organisation; the newest first."""
    if org_name is None:
        found = [record async for record in _all(store)]
    else:
        digests = [row.sk for row in await store.rows_of(keys.index_key(org_name))]
        found = [record for _, record in await _read(store, digests) if org_name in record.orgs]
    return sorted(found, key=lambda record: (-record.created_at, record.name, record.id))


async def _all(store: Store) -> AsyncIterator[KeyRecord]:
    records: dict[str, Row] = {}
    uses: dict[str, Row] = {}
    async for row in store.scan("key#", data=True):
        digest = row.pk.removeprefix("key#")
        (records if row.key == keys.row_key_of(digest) else uses)[digest] = row
    for digest, row in records.items():
        yield keys.with_use(keys.read_row(row), uses.get(digest))


async def _read(store: Store, digests: Sequence[str]) -> list[tuple[str, KeyRecord]]:
    found = []
    for start in range(0, len(digests), _AT_ONCE):
        some = digests[start : start + _AT_ONCE]
        wanted: Iterable[RowKey] = [at(d) for d in some for at in (keys.row_key_of, keys.use_key)]
        rows = await store.get(list(wanted))
        for digest in some:
            row = rows.get(keys.row_key_of(digest))
            if row is not None:
                used = rows.get(keys.use_key(digest))
                found.append((digest, keys.with_use(keys.read_row(row), used)))
    return found


async def named(store: Store, key_id: str) -> tuple[str, KeyRecord]:
    """Digest and record of the only key whose id begins so, or of a key itself."""
    wanted = keys.digest(key_id) if key_id.startswith("cw_") else key_id.lower()
    if not _ID.fullmatch(wanted):
        raise AdminError("A key's id is 12 hex digits: `cutwater key list` shows them.")
    digests = [
        digest
        async for row in store.scan(f"key#{wanted}")
        if row.key == keys.row_key_of(digest := row.pk.removeprefix("key#"))
    ]
    found = await _read(store, digests)
    if not found:
        raise AdminError("There is no key of that id: `cutwater key list` shows them.")
    if len(found) > 1:
        raise AdminError("Several keys begin with that id: give all of it.")
    return found[0]


async def revoke(store: Store, digest: str, record: KeyRecord, now: int) -> KeyRecord:
    """The record as it is then; when it was revoked first stays written."""
    if record.revoked_at is None:
        record = replace(record, revoked_at=now)
        await store.put(keys.rows_of_record(record, digest))
    return record


async def leave(store: Store, org_name: str, now: int) -> int:
    """Takes an organisation from all its keys; how many are revoked as they had no other."""
    index = keys.index_key(org_name)
    digests = [row.sk for row in await store.rows_of(index)]
    number = 0
    for digest, record in await _read(store, digests):
        others = tuple(name for name in record.orgs if name != org_name)
        if others:
            left = replace(record, orgs=others)
            await store.put(keys.rows_of_record(left, digest))
            await store.delete([(index, digest)])
        elif record.revoked_at is None:
            await revoke(store, digest, record, now)
            number += 1
    return number
