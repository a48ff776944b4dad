"""GET /models: what this caller can use, in the shape that the asking SDK knows."""

import msgspec

from core import listing, passthrough
from core.errors import ModelNotFoundError
from handlers.exchange import Exchange, authenticate, caller_for


async def answer(exchange: Exchange) -> None:
    access = authenticate(exchange)
    services, dialect = exchange.services, exchange.route.dialect
    caller = caller_for(exchange, access, passthrough.anybody(dialect))
    names = services.model_names()
    found = listing.usable(caller.org, names, services.lookup, services.providers)
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
