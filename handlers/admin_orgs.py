"""What an operator does with organisations: apply, show, list, delete.

What lies in the store of documents was checked when it was written. Keys in
clear are for files: where the key store is shared (AWS), an applied document's
keys are moved there, as digests.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from core import org_documents
from core.orgs import SettingsError
from core.ports import Secrets
from handlers import admin_keys
from handlers.admin_keys import AdminError
from handlers.places import Place
from handlers.wiring import parse_org

Random: TypeAlias = Callable[[int], bytes]
Document: TypeAlias = dict[str, Any]


class Applied(Struct, frozen=True, kw_only=True):
    name: str
    created: bool
    endpoints: int
    keys_moved: tuple[str, ...] = ()
    """Names of the keys that are digests in the key store now."""
    data_key: Literal["made", "kept"] | None = None


async def apply(
    place: Place,
    body: bytes,
    *,
    source: str,
    now: int,
    random: Random,
) -> Applied:
    """Checks all of it before anything is written."""
    shared = place.shared
    document = _decoded(body)
    fresh = _with_data_key(document, random)
    checked = body if fresh == document else _encoded(fresh, pretty=False)
    org = parse_org(checked, source, place.reach or ("public" if shared else "any"))
    before = await place.secrets.read(org.name)
    held = [] if before is None else _decoded(before.body).get("data_keys")
    made: Literal["made", "kept"] | None = "made" if "data_keys" in fresh else None
    if document.get("data_keys"):
        made = None
    elif held:
        # Without them everything that the organisation's members share would be lost.
        fresh["data_keys"], made = held, "kept"
    if shared:
        fresh = {name: value for name, value in fresh.items() if name != "keys"}
    written = body if fresh == document else _encoded(fresh, pretty=not shared)
    org_documents.check(org.name, written)
    parse_org(written, source)
    moved = [await admin_keys.adopt(place.store, key, org.name, now) for key in org.keys if shared]
    await place.secrets.write(org.name, written)
    return Applied(
        name=org.name,
        created=before is None,
        endpoints=len(org.endpoints),
        keys_moved=tuple(moved),
        data_key=made,
    )


def _decoded(body: bytes) -> Document:
    try:
        found = msgspec.json.decode(body)
    except ValueError:
        return {}  # The parser says what is wrong with it.
    return found if isinstance(found, dict) else {}


def _with_data_key(document: Document, random: Random) -> Document:
    if document.get("shared_cache") is not True or document.get("data_keys"):
        return dict(document)
    key = urlsafe_b64encode(random(32)).decode().rstrip("=")
    return {**document, "data_keys": [{"generation": 1, "key": key}]}


def _encoded(document: Document, *, pretty: bool) -> bytes:
    body = msgspec.json.encode(document)
    return msgspec.json.format(body, indent=2) + b"\n" if pretty else body


_PLAIN: Final = 20
"""Shorter secrets are not shown in part: too much would be known of them."""
_TELLING: Final = re.compile(r"secret|token|password|credential|key|auth|cookie", re.IGNORECASE)
_HARMLESS: Final = frozenset(
    {"auth_type", "authType", "auth_format", "token_base", "preview_secret", "name"}
)


def masked(value: Any, field: str = "") -> Any:
    """A document whose secrets can be recognised by who has them, and used by nobody."""
    if isinstance(value, dict):
        hide = field == "additionalHeaders"
        return {
            name: _hidden(str(one)) if hide else masked(one, name) for name, one in value.items()
        }
    if isinstance(value, list):
        return [masked(one, field) for one in value]
    if not isinstance(value, str):
        return value
    if _TELLING.search(field) and field not in _HARMLESS:
        return _hidden(value)
    return value


def _hidden(secret: str) -> str:
    if len(secret) < _PLAIN or secret.lstrip().startswith("{"):
        return "..."
    return f"{secret[:3]}...{secret[-4:]}"


async def show(secrets: Secrets, name: str, *, reveal: bool) -> Document:
    found = await secrets.read(name)
    if found is None:
        raise await _unknown(secrets, name)
    document = _decoded(found.body)
    return document if reveal else {name: masked(one, name) for name, one in document.items()}


async def _unknown(secrets: Secrets, name: str) -> AdminError:
    names = ", ".join(sorted(await secrets.names())[:20]) or "none yet"
    return AdminError(f"There is no organisation `{name[:200]}`; there are: {names}.")


class Listed(Struct, frozen=True, kw_only=True):
    name: str
    endpoints: int = 0
    keys: int = 0
    """In the document and in the key store, without those that are over."""
    shared_cache: bool = False
    fault: str | None = None
    """Why the document cannot be used."""


async def listed(place: Place, now: int) -> list[Listed]:
    return [await _listed(place, name, now) for name in sorted(await place.secrets.names())]


async def _listed(place: Place, name: str, now: int) -> Listed:
    found = await place.secrets.read(name)
    try:
        org = parse_org(b"" if found is None else found.body, name)
    except SettingsError as error:
        return Listed(name=name, fault=str(error))
    records = await admin_keys.listed(place.store, name)
    return Listed(
        name=name,
        endpoints=len(org.endpoints),
        keys=len(org.keys) + sum(admin_keys.state(record, now) == "live" for record in records),
        shared_cache=org.shared_cache,
    )


async def delete(place: Place, name: str, now: int) -> int:
    """Revokes the keys that are for nothing else first; how many those are."""
    if await place.secrets.read(name) is None:
        raise await _unknown(place.secrets, name)
    number = await admin_keys.leave(place.store, name, now)
    await place.secrets.delete(name)
    return number
