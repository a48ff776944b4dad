"""Temporary credentials without a server: issued, shown and revoked on the store itself.

Everything is checked as `POST /credentials` does, with the issuer's own key:
an operator of the table alone can neither issue nor look into one.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from core import grants, keys, scopes, temporary
from core.orgs import KEY_PREFIX
from core.scopes import Scopes
from handlers import credential_table, wiring
from handlers.credential_table import Issued, Issuer
from handlers.places import Place


async def create(
    place: Place,
    key: str,
    fields: Mapping[str, Any],
    *,
    org_name: str | None,
    now: int,
    random: Callable[[int], bytes],
) -> Issued:
    """`fields` are those of `POST /credentials`."""
    temporary.refuse_issuing(key)
    asked = grants.parse_request(msgspec.json.encode(fields))
    chosen, allowed = await _issuer(place, key, org_name, now)
    scopes.permit([allowed], model=None, route="credentials")
    issuer = Issuer(key=key, org_name=chosen, scopes=[allowed])
    return await credential_table.issue(
        place.store, issuer, asked, credential_table.fresh(now, random)
    )


async def _issuer(place: Place, key: str, asked: str | None, now: int) -> tuple[str | None, Scopes]:
    """The organisation that a key issues for, None for a provider's own; and what it may do."""
    if not key.startswith(KEY_PREFIX):
        return None, scopes.EVERYTHING
    at = keys.row_key(key)
    row = (await place.store.get([at])).get(at)
    if row is None and (names := await _in_clear(place, key)):
        return keys.choose_org(names, asked), scopes.EVERYTHING
    record = keys.found(row, key)
    keys.verify(record, now)
    return keys.choose_org(record.orgs, asked), record.scopes


async def _in_clear(place: Place, key: str) -> list[str]:
    """The organisations whose documents hold the key itself."""
    found = [name for name, own in place.local_keys.items() if own == key]
    for name in await place.secrets.names():
        document = await place.secrets.read(name)
        if document is not None and key in _keys(document.body, name):
            found.append(name)
    return found


def _keys(body: bytes, name: str) -> list[str]:
    return [key.key for key in wiring.parse_org(body, name).keys]
