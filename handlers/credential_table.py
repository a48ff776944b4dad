"""Temporary credentials in the table: issued, looked at and ended, by whoever has the issuer's key.

The row is written before the credential is out: one that was handed out works
at once, on every process.
"""

from collections.abc import Callable, Sequence
from uuid import UUID

from msgspec import Struct

from core import credential_rows, grants, temporary
from core.grants import Asked
from core.ports import Row, RowKey, Store
from core.scopes import Scopes
from core.temporary import Fresh, Shown

MICRO = 1_000_000


class Issued(Struct, frozen=True):
    """Holds the credential: it has no repr."""

    key: str
    id: str
    expires_at: int

    def __repr__(self) -> str:
        return f"<Issued {self.id}>"


class Issuer(Struct, frozen=True, kw_only=True):
    """Who lends what is its own. It carries a key: it has no repr."""

    key: str
    org_name: str | None
    scopes: Sequence[Scopes] = ()

    def __repr__(self) -> str:
        return "<Issuer>"


def fresh(now: int, random: Callable[[int], bytes]) -> Fresh:
    return Fresh(
        now=now,
        id=temporary.ID_PREFIX + str(UUID(bytes=random(16), version=4)),
        secret=random(credential_rows.SECRET),
        nonce=random(credential_rows.NONCE),
    )


async def issue(store: Store, issuer: Issuer, asked: Asked, made: Fresh) -> Issued:
    """403 where the issuer may not do itself what it grants."""
    for scope in issuer.scopes:
        grants.check_within(asked.grant, scope)
    token, row = temporary.mint(issuer.key, asked, issuer.org_name, made)
    await store.put([row])
    return Issued(token, made.id, row.expires_at)


async def inspect(store: Store, key: str, credential_id: str) -> Shown:
    at = credential_rows.row_key_of(credential_id)
    counter = credential_rows.counter_row_key(credential_id)
    spent = credential_rows.spent_row_key(credential_id)
    rows = await store.get([at, counter, spent])
    requests, micro = _number(rows.get(counter)), _number(rows.get(spent))
    cost = None if micro is None else micro / MICRO
    return temporary.inspect(key, credential_id, rows.get(at), requests=requests, cost_usd=cost)


def _number(row: Row | None) -> int | None:
    return None if row is None else int(row.data)


async def revoke(
    store: Store, key: str, credential_id: str, *, now: int, random: Callable[[int], bytes]
) -> RowKey:
    """The row that is another one from now on."""
    at = credential_rows.row_key_of(credential_id)
    row = (await store.get([at])).get(at)
    nonce = random(credential_rows.NONCE)
    await store.put([temporary.revoke(key, credential_id, row, now, nonce)])
    return at
