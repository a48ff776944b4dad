"""Cutwater keys (`cw_...`) as they are stored: by their SHA-256, never themselves.

A key is looked up by its digest, so an unknown key and a wrong one are the
same thing and take the same time. When a key was last used stands in a row of
its own: written over the record, it would undo a revocation that another
process has just written.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from math import isfinite
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from core import scopes as scopes_of
from core.cache_keys import tag_of
from core.errors import AuthenticationError, BadRequestError, PermissionDeniedError
from core.orgs import KEY_PREFIX, SettingsError
from core.ports import Row, RowKey, StoreError
from core.scopes import ROUTE_NAMES, Scopes

ENTROPY: Final = 24
"""Random bytes of a new key."""
LEAST_ENTROPY: Final = 20
ID: Final = 12
"""Hex digits of the digest that a key is known by in lists and commands."""
USE_S: Final = 3600
"""How often at most it is written down that a key is used."""
KEPT_S: Final = 90 * 24 * 3600
"""How long a key that is expired or revoked can still be listed."""

_ROW: Final = "0"
_USE: Final = "used"
_LATEST: Final = 253_402_300_800  # The year 10000, which no date is written for.


class Limits(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """None: no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    usd_per_day: float | None = None
    usd_total: float | None = None


class KeyRecord(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is known of a key. Times are Unix seconds."""

    id: str
    name: str
    orgs: tuple[str, ...]
    scopes: Scopes = Scopes()
    limits: Limits = Limits()
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None
    """Kept in another row: see `with_use`."""


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(KeyRecord).decode


def new_key(entropy: bytes) -> str:
    """A key from random bytes, at least 20. It is shown once and never stored."""
    if len(entropy) < LEAST_ENTROPY:
        raise ValueError(f"A key is made of {LEAST_ENTROPY} random bytes or more.")
    return KEY_PREFIX + entropy.hex()


def digest(key: str) -> str:
    """Lower case hex. Whatever a caller sends as a key has one."""
    return sha256(key.encode()).hexdigest()


def row_key(key: str) -> RowKey:
    return row_key_of(digest(key))


def row_key_of(key_digest: str) -> RowKey:
    return (f"key#{key_digest}", _ROW)


def use_key(key_digest: str) -> RowKey:
    """Where it stands when the key was last used."""
    return (f"key#{key_digest}", _USE)


def index_key(org_name: str) -> str:
    """The partition whose sort keys are the digests of an organisation's keys."""
    return f"orgkeys#{tag_of(org_name)}"


def draft(
    name: str,
    orgs: Iterable[str],
    *,
    scopes: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    expires_at: int | None = None,
) -> KeyRecord:
    """A record without its key, checked. SettingsError names the field that is wrong."""
    said = {
        "id": "",
        "name": name,
        "orgs": tuple(dict.fromkeys(orgs)),
        "scopes": scopes or {},
        "limits": limits or {},
        "created_at": 0,
        "expires_at": expires_at,
    }
    try:
        record = msgspec.convert(said, KeyRecord)
    except msgspec.ValidationError as error:
        known = f" (there are: {', '.join(ROUTE_NAMES)})" if ".routes[" in str(error) else ""
        raise SettingsError(f"The key: {error}{known}") from error
    for path, fault in _faults(record):
        raise SettingsError(f"The key: {fault} - at `{path}`")
    return record


def issued(record: KeyRecord, key_digest: str, now: int) -> KeyRecord:
    """The draft as the record of a key."""
    if record.expires_at is not None and record.expires_at <= now:
        raise SettingsError("The key: it would have expired already - at `$.expires_at`")
    return replace(record, id=key_digest[:ID], created_at=now)


def _faults(record: KeyRecord) -> list[tuple[str, str]]:
    faults: list[tuple[str, str]] = []
    for path, names in (("$.name", (record.name,)), ("$.orgs", record.orgs)):
        if not names or not all(0 < len(n) <= 200 and n.isprintable() for n in names):
            faults.append((path, "a name has 1 to 200 printable characters"))
    faults += [(f"$.scopes.{at}", fault) for at, fault in scopes_of.faults(record.scopes)]
    for field in Limits.__struct_fields__:
        most = getattr(record.limits, field)
        if most is not None and not (isfinite(most) and most > 0):
            faults.append((f"$.limits.{field}", "a limit is more than 0"))
    if record.expires_at is not None and not 0 < record.expires_at < _LATEST:
        faults.append(("$.expires_at", "an expiry is in Unix seconds"))
    return faults


def rows_of_record(record: KeyRecord, key_digest: str) -> list[Row]:
    """The rows to write, in this order: who finds a key in an index may look it up."""
    tags = {name: tag_of(name) for name in record.orgs}
    over = [at for at in (record.expires_at, record.revoked_at) if at is not None]
    expires_at = min(over) + KEPT_S if over else 0
    index = [
        Row(
            pk=index_key(name),
            sk=key_digest,
            data=b"",
            expires_at=expires_at,
            stored_at=record.created_at,
            org=tag,
        )
        for name, tag in tags.items()
    ]
    pk, sk = row_key_of(key_digest)
    row = Row(
        pk=pk,
        sk=sk,
        data=_encode(replace(record, last_used_at=None)),
        expires_at=expires_at,
        stored_at=record.created_at,
        org=tags[record.orgs[0]] if len(record.orgs) == 1 else "",
    )
    return [*index, row]


def read_row(row: Row) -> KeyRecord:
    """StoreError where it cannot be read: a newer version may have limited the key further."""
    try:
        return _decode(row.data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError("The record of a key cannot be read by this version.") from error


def use_row(key_digest: str, now: int) -> Row:
    pk, sk = use_key(key_digest)
    return Row(pk=pk, sk=sk, data=b"%d" % now, stored_at=now, expires_at=now + KEPT_S)


def with_use(record: KeyRecord, row: Row | None) -> KeyRecord:
    """The record with what its other row says."""
    said = b"" if row is None else row.data
    return replace(record, last_used_at=int(said)) if said.isdigit() else record


def touched(record: KeyRecord, now: float) -> bool:
    """Whether this use is worth a write."""
    return record.last_used_at is None or now - record.last_used_at >= USE_S


def found(row: Row | None, key: str) -> KeyRecord:
    """The record of the key that was sent; 401 where nobody knows it."""
    wanted = row_key(key)[0].encode()
    held = b"" if row is None else row.pk.encode()
    if not hmac.compare_digest(wanted, held) or row is None:
        raise AuthenticationError("This Cutwater key is not known here: check it, or create one.")
    return read_row(row)


def verify(record: KeyRecord, now: float) -> None:
    """401 where the key is revoked or has expired."""
    if record.revoked_at is not None:
        raise AuthenticationError(
            f"This key was revoked on {_date(record.revoked_at)}: use another one, or create one "
            "with `cutwater key create`."
        )
    if record.expires_at is not None and record.expires_at <= now:
        raise AuthenticationError(
            f"This key expired on {_date(record.expires_at)}: create a new one with "
            "`cutwater key create`."
        )


def _date(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def choose_org(orgs: Sequence[str], asked: str | None) -> str:
    """The organisation that a request is for: 400 where it must say, 403 where it may not."""
    if asked is not None:
        if asked in orgs:
            return asked
        raise PermissionDeniedError(
            f"This key does not belong to the organisation `{asked[:200]}`."
        )
    if len(orgs) > 1:
        raise BadRequestError(
            f"This key belongs to several organisations: name one in x-bt-org-name "
            f"({', '.join(sorted(orgs))}).",
            param="x-bt-org-name",
        )
    return orgs[0]
