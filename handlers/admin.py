"""The routes of an operator's console: organisations, keys, temporary credentials, as JSON.

API Gateway lets in whom IAM allows (template.yaml, AdminRestApi), so nothing here asks for a key.
An event that was not signed is refused all the same: a route that somebody opened by mistake
stays shut.

    GET    /orgs                      GET  /keys?org=       GET    /credentials
    PUT    /orgs/{name} a document    POST /keys            DELETE /credentials/{id}
    GET    /orgs/{name}, masked       DELETE /keys/{id}
    DELETE /orgs/{name}
"""

import asyncio
import logging
import os
import re
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from core import credential_rows, keys, temporary
from core.errors import BadRequestError, CutwaterError, NotFoundError, PermissionDeniedError
from core.keys import KeyRecord
from core.org_documents import UnfitDocumentError
from core.orgs import SettingsError
from core.ports import Log, StoreError
from handlers import admin_keys, admin_orgs
from handlers.admin_keys import AdminError
from handlers.places import Place, deployed
from handlers.wiring import process_log

Event: TypeAlias = dict[str, Any]
Route: TypeAlias = tuple[str, ...]

_CREDENTIAL: Final = re.compile(r"[0-9a-f]{12,64}")
_PREFIX: Final = "cred#"

_log = logging.getLogger("cutwater.admin")


class NewKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    orgs: list[str]
    scopes: dict[str, list[str]] = {}
    limits: dict[str, int | float] = {}
    expires_in_s: int | None = None


class _Named(Struct, frozen=True):
    """Of a document what says whose it is."""

    name: str


class Asked(Struct, frozen=True):
    method: str
    path: Route
    query: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return "<Asked>"  # A document holds the keys of providers.


class Admin:
    """What Lambda calls. The stores are opened with the first request, hence after a restore."""

    def __init__(
        self,
        place: Callable[[], Place],
        log: Log,
        *,
        now: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = os.urandom,
        trusted: bool = False,
    ) -> None:
        self._open = place
        self._log = log
        self._now = now
        self._random = random
        self._trusted = trusted
        self._place: Place | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, event: Event, context: object) -> dict[str, Any]:
        del context
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(self.answer(event))

    def close(self) -> None:
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    async def answer(self, event: Event) -> dict[str, Any]:
        context = event.get("requestContext") or {}
        request_id = str(context.get("requestId", ""))
        try:
            who = self._who(context)
            asked = _read(event)
            found = await self._act(asked)
            if asked.method != "GET":
                # Without the body: that holds secrets.
                self._log.info("admin", action=asked.method, path="/".join(asked.path), by=who)
            return _plain(200, found)
        except Exception as error:  # noqa: BLE001  the boundary: every failure becomes JSON
            return _refusal(error, request_id)

    def _who(self, context: Mapping[str, Any]) -> str:
        identity = context.get("identity") or {}
        who = identity.get("userArn") or identity.get("caller")
        if not who and not self._trusted:
            raise PermissionDeniedError("Sign the request (AWS Signature Version 4, execute-api).")
        return str(who)

    async def _act(self, asked: Asked) -> Any:
        if self._place is None:
            self._place = self._open()
        place, now = self._place, int(self._now())
        match asked.path:
            case ("orgs", *rest):
                found = await self._orgs(place, asked, rest, now)
            case ("keys", *rest):
                found = await self._keys(place, asked, rest, now)
            case ("credentials", *rest):
                found = await _credentials(place, asked, rest, now)
            case _:
                found = None
        if found is None:
            raise NotFoundError("There is no such admin route.")
        return found

    async def _orgs(self, place: Place, asked: Asked, rest: list[str], now: int) -> Any:
        match asked.method, rest:
            case "GET", []:
                return {"orgs": await admin_orgs.listed(place, now)}
            case "GET", [name]:
                return await admin_orgs.show(place.secrets, name, reveal=False)
            case "PUT", [name]:
                return await self._apply(place, name, asked.body, now)
            case "DELETE", [name]:
                return {"deleted": name, "keys_revoked": await admin_orgs.delete(place, name, now)}
        return None

    async def _keys(self, place: Place, asked: Asked, rest: list[str], now: int) -> Any:
        match asked.method, rest:
            case "GET", []:
                records = await admin_keys.listed(place.store, asked.query.get("org"))
                return {"keys": [_record(record, now) for record in records]}
            case "POST", []:
                return await self._create(place, asked.body, now)
            case "DELETE", [key_id]:
                digest, record = await admin_keys.named(place.store, key_id)
                return _record(await admin_keys.revoke(place.store, digest, record, now), now)
        return None

    async def _apply(self, place: Place, name: str, body: bytes, now: int) -> Any:
        named = msgspec.json.decode(body, type=_Named).name
        if named != name:
            raise BadRequestError(f"The document's name is `{named}`, the path says `{name}`.")
        return await admin_orgs.apply(place, body, source="body", now=now, random=self._random)

    async def _create(self, place: Place, body: bytes, now: int) -> Any:
        asked = msgspec.json.decode(body, type=NewKey)
        expires_at = None if asked.expires_in_s is None else now + asked.expires_in_s
        draft = keys.draft(
            asked.name,
            asked.orgs,
            scopes=asked.scopes,
            limits=asked.limits,
            expires_at=expires_at,
        )
        created = await admin_keys.create(place.store, draft, now=now, random=self._random)
        return {"key": created.key, **_record(created.record, now)}


def _record(record: KeyRecord, now: int) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(record)
    return {**plain, "state": admin_keys.state(record, now)}


async def _credentials(place: Place, asked: Asked, rest: list[str], now: int) -> Any:
    match asked.method, rest:
        case "GET", []:
            return {"credentials": await _held(place, now)}
        case "DELETE", [credential_id]:
            return {"revoked": await _forget(place, credential_id)}
    return None


async def _held(place: Place, now: int) -> list[dict[str, Any]]:
    """Those that hold: what they were granted is sealed, and only their issuer can read it."""
    found = [
        {"id": row.pk.removeprefix(_PREFIX), "issued_at": row.stored_at, "until": row.expires_at}
        async for row in place.store.scan(_PREFIX)
        if row.sk == "0" and row.expires_at > now
    ]
    return sorted(found, key=lambda one: -one["issued_at"])


async def _forget(place: Place, credential_id: str) -> str:
    """Whoever is asked for a credential that has no row refuses it."""
    if credential_id.startswith(temporary.ID_PREFIX):
        at = credential_rows.row_key_of(credential_id)
        found = list(await place.store.get([at]))
    elif _CREDENTIAL.fullmatch(credential_id):
        rows = place.store.scan(_PREFIX + credential_id)
        found = [row.key async for row in rows if row.sk == "0"]
    else:
        raise BadRequestError("A credential's id is its `jti`, or as the list shows it.")
    if len(found) != 1:
        raise NotFoundError("There is no such credential, or more than one: give all of its id.")
    await place.store.delete(found)
    return credential_id


def _read(event: Event) -> Asked:
    proxy = (event.get("pathParameters") or {}).get("proxy") or event.get("path") or ""
    body = event.get("body") or ""
    return Asked(
        method=str(event.get("httpMethod", "")),
        path=tuple(unquote(part) for part in str(proxy).split("/") if part),
        query=event.get("queryStringParameters") or {},
        body=b64decode(body) if event.get("isBase64Encoded") else body.encode(),
    )


def _plain(status: int, body: Any) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", "cache-control": "no-store"},
        "body": msgspec.json.encode(body).decode(),
    }


def _refusal(error: Exception, request_id: str) -> dict[str, Any]:
    status, kind, message = _said(error)
    body = {"error": {"message": message, "type": kind}, "request_id": request_id}
    return _plain(status, body)


def _said(error: Exception) -> tuple[int, str, str]:
    match error:
        case CutwaterError():
            return error.status, error.type, error.message
        case AdminError():
            return 404, "not_found_error", str(error)
        case SettingsError() | UnfitDocumentError():
            return 400, "invalid_request_error", str(error)
        case msgspec.DecodeError():
            return 400, "invalid_request_error", f"The body cannot be read: {error}"
        case StoreError():
            return 503, "unavailable_error", str(error)
        case _:
            _log.error("An admin request failed: %s", type(error).__name__)
            return 500, "server_error", "Cutwater failed inside."


def __getattr__(name: str) -> Callable[[Event, object], dict[str, Any]]:
    """`handler`, made when the runtime asks for it: importing this module starts nothing."""
    if name != "handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    local = os.environ.get("AWS_SAM_LOCAL") == "true"
    made = Admin(lambda: deployed(os.environ), process_log(), trusted=local)
    globals()[name] = made
    return made
