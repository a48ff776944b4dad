"""POST /credentials, GET and DELETE /credentials/{id}: what a browser or an app may be given."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from core import grants, options, temporary
from core.errors import UnavailableError
from core.ports import Store, StoreError
from core.routes import unquote
from core.temporary import Shown
from handlers import credential_table
from handlers.access import Access, authenticate
from handlers.asgi import Receive
from handlers.credential_table import Issuer
from handlers.exchange import Exchange, WholeBody


async def issue(exchange: Exchange, receive: Receive) -> None:
    """`{"model"?, "models"?, "ttl_seconds"?, "logging"?, ...}` -> `{"key": "<jwt>"}`."""
    temporary.refuse_issuing(options.parse(exchange.headers, exchange.query).key or "")
    access = await authenticate(exchange)
    access.permit(exchange.route, None)
    async with WholeBody(exchange, receive) as body, _table(exchange) as store:
        issuer = Issuer(key=access.key, org_name=access.org_name, scopes=access.scopes)
        made = credential_table.fresh(int(exchange.services.clock.now()), exchange.services.nonce)
        asked = grants.parse_request(body)
        issued = await credential_table.issue(store, issuer, asked, made)
    await _say(exchange, {"key": issued.key})


async def manage(exchange: Exchange, receive: Receive) -> None:
    """The issuer looks at a credential, or ends it."""
    del receive  # All of it is in the path.
    temporary.refuse_managing(options.parse(exchange.headers, exchange.query).key or "")
    access = await authenticate(exchange)
    access.permit(exchange.route, None)
    name = unquote(exchange.route.path)
    if exchange.route.method == "DELETE":
        await _revoke(exchange, access, name)
        return
    async with _table(exchange) as store:
        shown = await credential_table.inspect(store, access.key, name)
    await _say(exchange, _told(shown))


async def _revoke(exchange: Exchange, access: Access, name: str) -> None:
    services = exchange.services
    now = int(services.clock.now())
    async with _table(exchange) as store:
        at = await credential_table.revoke(store, access.key, name, now=now, random=services.nonce)
    services.directory.forget(at)
    await _say(exchange, {"id": name, "revoked": True})


def _told(shown: Shown) -> dict[str, object]:
    told = msgspec.to_builtins(shown)
    return {**{name: value for name, value in told.items() if name != "grant"}, **told["grant"]}


@asynccontextmanager
async def _table(exchange: Exchange) -> AsyncIterator[Store]:
    store = exchange.services.directory.store
    if store is None:
        raise UnavailableError(
            "This deployment has no table, and temporary credentials need one: set CUTWATER_TABLE."
        )
    try:
        yield store
    except StoreError as error:
        exchange.services.log.warning(
            "credential_store_failed", request_id=exchange.request_id, said=str(error)[:200]
        )
        raise UnavailableError(
            "The table of temporary credentials cannot be reached at the moment: try again.",
            headers={"retry-after": "1"},
        ) from error


async def _say(exchange: Exchange, told: dict[str, object]) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    exchange.outlet.head(200, headers)
    await exchange.outlet.whole(msgspec.json.encode(told))
