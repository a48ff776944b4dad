"""A model's name -> the endpoints that can answer, in the order to try them.

The first is drawn by weight, the rest follow by weight. An endpoint serves a
model that its settings list, or else any model of its provider; a name that
nobody knows goes to the provider of its family, whose own error is the answer.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from core.errors import BadRequestError, ModelNotFoundError
from core.neutral import Facts
from core.orgs import CustomModel, Endpoint, Org
from core.routes import DialectName


class Provider(Struct, frozen=True, kw_only=True):
    """One row of providers/catalog.py."""

    base_url: str
    dialects: tuple[DialectName, ...] = ("openai_chat",)
    """In the order of preference."""
    auth: Literal["bearer", "x-api-key", "none"] = "bearer"
    headers: Mapping[str, str] = {}
    """Sent unless the caller sends its own."""
    rename: Mapping[str, str] = {}
    """Request fields the provider knows under another name."""
    drop: frozenset[str] = frozenset()
    """Request fields the provider answers with a 400."""
    drop_in_messages: frozenset[str] = frozenset()
    """Fields of single messages that it answers with a 400."""
    usage_in_stream: bool = True
    """It understands `stream_options.include_usage`."""
    key_variable: str | None = None
    """The environment variable that its own SDK takes the key from."""
    base_variable: str | None = None
    """The environment variable that its own SDK takes the base URL from."""
    sdk_path: str = ""
    """What its SDK adds to that base URL."""
    key_prefix: str | tuple[str, ...] | None = None
    """How its keys begin, where nobody else's do."""
    built_in: bool = False
    """Part of Cutwater: needs no endpoint and no key."""


class Model(Struct, frozen=True, kw_only=True):
    """What the catalogue knows of a model."""

    name: str
    format: str
    flavor: str = "chat"
    providers: tuple[str, ...] = ()
    display_name: str | None = None
    facts: Facts = Facts()


Providers: TypeAlias = Mapping[str, Provider]
Lookup: TypeAlias = Callable[[str], Model]
"""Never fails: a name that no catalogue holds gets its family's format and providers."""

DIALECT_OF_FORMAT: Final[Mapping[str, DialectName]] = {
    "openai": "openai_chat",
    "anthropic": "anthropic",
}
IN_CLIENT: Final = frozenset({"js", "window"})


class Candidate(Struct, frozen=True, kw_only=True):
    """One way to get the answer."""

    endpoint: Endpoint
    provider: Provider
    dialect: DialectName
    model: str
    """The name to send upstream."""
    facts: Facts


def serves(endpoint: Endpoint, model: Model) -> bool:
    metadata = endpoint.metadata
    if model.name in metadata.custom_models:
        return True
    if metadata.models:
        return model.name in metadata.models
    return not metadata.exclude_default_models and endpoint.type in model.providers


def order(endpoints: Iterable[Endpoint], draw: float) -> list[Endpoint]:
    """`draw` is uniform in [0, 1). Weight 0 is a last resort."""
    left = sorted(endpoints, key=lambda endpoint: -endpoint.weight)
    mark = draw * sum(endpoint.weight for endpoint in left)
    for index, endpoint in enumerate(left):
        mark -= endpoint.weight
        if mark < 0:
            return [left.pop(index), *left]
    return left


def candidates(
    model: Model, org: Org, providers: Providers, *, endpoint_name: str | None, draw: float
) -> list[Candidate]:
    """404 where nothing serves the model, 400 where the endpoint named is not there."""
    endpoints: Iterable[Endpoint] = org.endpoints
    if endpoint_name is not None:
        endpoints = [e for e in org.endpoints if e.name == endpoint_name]
        if not endpoints:
            raise BadRequestError(
                f"There is no endpoint named `{endpoint_name[:100]}`: check x-bt-endpoint-name.",
                param="x-bt-endpoint-name",
            )
    # A provider of the settings may be switched off in this deployment.
    serving = [e for e in endpoints if e.type in providers and serves(e, model)]
    if not serving:
        serving = [
            Endpoint(type=n) for n in model.providers if n in providers and _free(n, providers)
        ]
    if not serving:
        raise ModelNotFoundError(
            f"No endpoint of this caller serves the model `{model.name[:200]}`. "
            "GET /v1/models lists those that can be used.",
            param="model",
        )
    return [candidate(endpoint, model, providers) for endpoint in order(serving, draw)]


def _free(name: str, providers: Providers) -> bool:
    return providers[name].built_in


def candidate(endpoint: Endpoint, model: Model, providers: Providers) -> Candidate:
    provider = providers[endpoint.type]
    custom = endpoint.metadata.custom_models.get(model.name)
    shape = custom.format if custom else model.format
    if shape in IN_CLIENT:
        raise BadRequestError(
            f"`{model.name[:200]}` has the format `{shape}`: it runs in the client, not here.",
            param="model",
        )
    wanted = DIALECT_OF_FORMAT.get(shape)
    spoken = endpoint.metadata.dialects or (
        (wanted,) if custom and wanted is not None else provider.dialects
    )
    return Candidate(
        endpoint=endpoint,
        provider=provider,
        dialect=wanted if wanted in spoken else spoken[0],
        model=(custom and custom.upstream_name) or model.name,
        facts=_facts(custom, model),
    )


def _facts(custom: CustomModel | None, model: Model) -> Facts:
    if custom is None:
        return model.facts
    return Facts(max_output_tokens=custom.max_output_tokens, reasoning=custom.reasoning)


def speaking(candidate: Candidate, client: DialectName) -> DialectName:
    """The dialect to speak to a candidate: the client's own where it can."""
    spoken = candidate.endpoint.metadata.dialects or candidate.provider.dialects
    return client if client in spoken else candidate.dialect
