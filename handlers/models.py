"""GET /models: what this caller can use, in the shape that the asking SDK knows."""

from typing import Any, Final

import msgspec

from core import options, routing
from core.credentials import provider_of_key
from core.errors import ModelNotFoundError
from core.orgs import Endpoint, Org
from core.routing import Model
from handlers.proxy import Exchange, identify

CREATED: Final = "2025-01-01T00:00:00Z"
CREATED_S: Final = 1735689600
"""Providers say when a model was made; the catalogue does not hold it."""


async def answer(exchange: Exchange) -> None:
    asked = options.parse(exchange.headers)
    org = identify(exchange, asked)
    if org is None:
        org = _org_of_key(asked.key or "", exchange)
    found = usable(exchange, org)
    wanted = exchange.route.model
    anthropic = exchange.route.dialect == "anthropic"
    shape = _anthropic if anthropic else _openai
    if wanted is None:
        body: Any = {"object": "list", "data": [shape(model) for model in found]}
        if anthropic:
            names = [model.name for model in found]
            body = {"data": body["data"], "has_more": False}
            body |= {
                "first_id": names[0] if names else None,
                "last_id": names[-1] if names else None,
            }
    else:
        model = next((model for model in found if model.name == wanted), None)
        if model is None:
            raise ModelNotFoundError(f"There is no model `{wanted[:200]}` for this caller.")
        body = shape(model)
    exchange.outlet.head(200, [(b"content-type", b"application/json")])
    await exchange.outlet.whole(msgspec.json.encode(body))


def _org_of_key(key: str, exchange: Exchange) -> Org:
    providers = exchange.services.providers
    anybody = Model(name="", format="openai", providers=("openai",))
    name = provider_of_key(key, anybody, providers) or "openai"
    return Org(name="", endpoints=(Endpoint(type=name),))


def usable(exchange: Exchange, org: Org) -> list[Model]:
    services = exchange.services
    names: dict[str, None] = {}
    for endpoint in org.endpoints:
        names |= dict.fromkeys([*endpoint.metadata.custom_models, *endpoint.metadata.models])
    names |= dict.fromkeys(services.model_names())
    models = [services.lookup(name) for name in names]
    return sorted((model for model in models if _usable(model, exchange, org)), key=_name)


def _name(model: Model) -> str:
    return model.name


def _usable(model: Model, exchange: Exchange, org: Org) -> bool:
    providers = exchange.services.providers
    if any(name in providers and providers[name].built_in for name in model.providers):
        return True
    return any(routing.serves(endpoint, model) for endpoint in org.endpoints)


def _openai(model: Model) -> dict[str, Any]:
    owner = model.providers[0] if model.providers else "custom"
    return {"id": model.name, "object": "model", "created": CREATED_S, "owned_by": owner}


def _anthropic(model: Model) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model.name,
        "display_name": model.display_name or model.name,
        "created_at": CREATED,
    }
