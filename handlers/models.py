"""GET /models: what this caller can use, in the shape that the asking SDK knows."""

import msgspec
from msgspec.structs import replace

from core import listing, passthrough, scopes
from core.errors import ModelNotFoundError
from core.orgs import Org
from handlers.access import Access, authenticate, caller_for
from handlers.exchange import Exchange


async def answer(exchange: Exchange) -> None:
    access = await authenticate(exchange)
    services, dialect = exchange.services, exchange.route.dialect
    caller = caller_for(exchange, access, passthrough.anybody(dialect))
    names, org = services.model_names(), _limited(caller.org, access)
    found = [
        listed
        for listed in listing.usable(org, names, services.lookup, services.providers)
        if scopes.may_use_model(access.scopes, listed.model.name)
    ]
    wanted = exchange.route.model
    if wanted is None:
        body = listing.page(found, dialect, exchange.query)
    else:
        listed = next((each for each in found if each.model.name == wanted), None)
        if listed is None:
            raise ModelNotFoundError(f"There is no model `{wanted[:200]}` for this caller.")
        body = listing.one(listed, dialect)
    exchange.outlet.head(200, [(b"content-type", b"application/json")])
    await exchange.outlet.whole(msgspec.json.encode(body))


def _limited(org: Org, access: Access) -> Org:
    """The organisation with those of its endpoints that the caller may use."""
    allowed = [e for e in org.endpoints if scopes.may_use_endpoint(access.scopes, e.label)]
    return org if len(allowed) == len(org.endpoints) else replace(org, endpoints=tuple(allowed))
