"""A model's name -> the endpoints that can answer, in the order to try them.

The first is drawn by weight, the rest follow by weight. An endpoint serves a
model that its settings list, or else any model of its provider; a name that
nobody knows goes to the provider of its family, whose own error is the answer.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar

from msgspec import Raw, Struct
from msgspec.structs import replace

from core.authorization import Auth, AuthKind
from core.dialects import counting_shapes, embedding_shapes
from core.errors import BadRequestError, ModelNotFoundError, UpstreamError
from core.media import Urls
from core.neutral import Facts
from core.orgs import CustomModel, Endpoint, Org
from core.routes import DialectName
from core.wire import Wire


class Shape(Struct, frozen=True, kw_only=True):
    """How a provider's requests in a dialect differ from what the dialect says."""

    headers: Mapping[str, str] = {}
    """Sent unless the caller sends its own."""
    set: Mapping[str, Raw] = {}
    drop: frozenset[str] = frozenset()
    betas: str | None = None
    """The field that stands in for the header `anthropic-beta`."""
    auth: AuthKind | None = None
    """How a key travels with them, where that is not the provider's usual way."""
    base_url: str | None = None
    """Where they are answered, where that is not at the provider's base URL."""


class Provider(Struct, frozen=True, kw_only=True):
    """One row of providers/catalog.py."""

    base_url: str
    dialects: tuple[DialectName, ...] = ("openai_chat",)
    """In the order of preference."""
    dialects_of: Mapping[str, tuple[DialectName, ...]] = {}
    """Where that depends on the model: by the model's format."""
    url: "Callable[[Candidate, str, DialectName, bool], str] | None" = None
    """Where an address is more than the base URL and the dialect's path. It gets that path
    with `{model}` unfilled, the dialect, and whether the answer streams."""
    model_name: "Callable[[Candidate], str] | None" = None
    """What a body calls the model, where that is not the name in the address."""
    auth: Auth = "bearer"
    auth_types: Mapping[str, Auth] = {}
    """Other ways, by the `auth_type` of the settings."""
    required: tuple[str, ...] = ()
    """Fields of metadata without which an endpoint has no address."""
    headers: Mapping[str, str] = {}
    """Sent unless the caller sends its own."""
    rename: Mapping[str, str] = {}
    """Request fields the provider knows under another name."""
    drop: frozenset[str] = frozenset()
    """Request fields the provider answers with a 400."""
    drop_in_messages: frozenset[str] = frozenset()
    """Fields of single messages that it answers with a 400."""
    roles: Mapping[str, str] = {}
    """Roles of messages that it knows under another name."""
    older: Mapping[str, tuple[str, str | None]] = {}
    """Fields that came with a later api_version, and what they were called before."""
    version: "Callable[[Candidate], str | None] | None" = None
    """The api_version that an endpoint is spoken to in; None: the newest."""
    shapes: Mapping[DialectName, Shape] = {}
    wires: Mapping[DialectName, Wire] = {}
    """How its streams travel, where that is not how the dialect's do."""
    usage_in_stream: bool = True
    """It takes `stream_options`; else the field is left out."""
    schema_as_tool: bool = False
    """It takes no JSON schema in `response_format`: a forced tool stands in for it."""
    urls: Mapping[DialectName, Urls] = {}
    """The media URLs that it reads itself, where that is not what the dialect says."""
    prefix: bool = False
    """It goes on where a last message of the assistant that is marked `prefix` ends."""
    restated: bool = False
    """Its answers are not quite in the dialect: they are read and written anew."""
    any_model: bool = False
    """Serves whatever its settings do not rule out, and nobody else does."""
    in_client: bool = False
    """Its models run where the client runs: a call here is an error."""
    embeddings: embedding_shapes.Kind = "openai"
    counts: Mapping[DialectName, counting_shapes.Kind] = {}
    """How it counts the tokens of a request, by the dialects in which it can be given one."""
    since: Mapping[DialectName, str] = {}
    """Dialects that came with a later api_version."""
    own_models: bool = False
    """Some of its models answer in one dialect only: Model.dialect says in which."""
    whole_api: bool = False
    """It answers the rest of its dialect's API too: files, batches, images, counts of tokens."""
    key_variable: str | None = None
    """The environment variable that its own SDK takes the key from."""
    other_key_variable: str | None = None
    """Another one that it reads."""
    base_variable: str | None = None
    """The environment variable that its own SDK takes the base URL from."""
    sdk_path: str = ""
    """What its SDK adds to that base URL."""
    key_prefix: str | tuple[str, ...] | None = None
    """How its keys begin, where nobody else's do."""
    built_in: bool = False
    """Part of Cutwater: needs no endpoint and no key."""
    realtime: "Callable[[Candidate], tuple[str, str]] | None" = None
    """Where it speaks the Realtime API over WebSocket, and the part of the query that names the
    model; None: it does not."""


class Costs(Struct, frozen=True, kw_only=True):
    """US dollars per million tokens; None: not known."""

    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    input_audio: float | None = None
    output_audio: float | None = None
    cache_read_audio: float | None = None
    input_image: float | None = None
    cache_read_image: float | None = None


class Model(Struct, frozen=True, kw_only=True):
    """What the catalogue knows of a model."""

    name: str
    format: str
    flavor: str = "chat"
    providers: tuple[str, ...] = ()
    display_name: str | None = None
    facts: Facts = Facts()
    costs: Costs = Costs()
    max_input_tokens: int | None = None
    multimodal: bool = False
    deprecation_date: str | None = None
    lifecycle: Literal["active", "deprecated", "retired"] = "active"
    """Retired models are still asked: their provider's own error is the answer."""
    known: bool = True
    """By the catalogue or by its family's name."""
    in_catalogue: bool = True
    dialect: DialectName | None = None
    """The only one it is to be asked in, where its provider speaks several."""
    supports_streaming: bool = True
    streaming_only: bool = False


Providers: TypeAlias = Mapping[str, Provider]
Lookup: TypeAlias = Callable[[str], Model]
"""Never fails: a name that no catalogue holds gets its family's format and providers."""

DIALECT_OF_FORMAT: Final[Mapping[str, DialectName]] = {
    "openai": "openai_chat",
    "anthropic": "anthropic",
    "google": "gemini",
    "converse": "converse",
}
IN_CLIENT: Final = frozenset({"js", "window"})


class Candidate(Struct, frozen=True, kw_only=True, dict=True):
    """One way to get the answer."""

    endpoint: Endpoint
    provider: Provider
    dialect: DialectName
    spoken: tuple[DialectName, ...]
    """What can be spoken about this model, `dialect` among them."""
    model: str
    """The name to send upstream."""
    facts: Facts
    supports_streaming: bool = True
    """It, and its endpoint."""
    streaming_only: bool = False

    def streams(self, *, asked: bool) -> bool:
        """Whether to ask for a stream: what the client gets is made of either."""
        return (asked or self.streaming_only) and self.supports_streaming

    @property
    def weight(self) -> float:
        return self.endpoint.weight

    @cached_property
    def body_model(self) -> str:
        named = self.provider.model_name
        return self.model if named is None else named(self)

    @cached_property
    def worked_out(self) -> dict[Any, Any]:
        """What follows from it alone, as in Org.worked_out."""
        return {}


def serves(endpoint: Endpoint, model: Model) -> bool:
    metadata = endpoint.metadata
    if model.name in metadata.custom_models:
        return True
    if metadata.models:
        return model.name in metadata.models
    return not metadata.exclude_default_models and endpoint.type in model.providers


def may_serve(endpoint: Endpoint, model: Model, providers: Providers) -> bool:
    """Where nothing serves a model: endpoints that take any name do.

    A name that nobody knows may be that of any endpoint that speaks its format.
    """
    metadata, provider = endpoint.metadata, providers[endpoint.type]
    if metadata.models or metadata.exclude_default_models or provider.in_client:
        return False
    if provider.any_model or metadata.override_model is not None:
        return True
    return not model.known and DIALECT_OF_FORMAT.get(model.format) in provider.dialects


T = TypeVar("T")


class Weighted(Protocol):
    @property
    def weight(self) -> float: ...


W = TypeVar("W", bound=Weighted)


def by_weight(found: Iterable[T], draw: float, weight: Callable[[T], float]) -> list[T]:
    """`draw` is uniform in [0, 1). The first by its share, the rest by weight; 0 comes last."""
    left = sorted(found, key=lambda one: -weight(one))
    mark = draw * sum(weight(one) for one in left)
    for index, one in enumerate(left):
        mark -= weight(one)
        if mark < 0:
            return [left.pop(index), *left]
    return left


def order(choices: Iterable[W], draw: float) -> list[W]:
    return by_weight(choices, draw, lambda choice: choice.weight)


def named(org: Org, name: str) -> list[Endpoint]:
    """The endpoint of that name; 400 where there is none."""
    found = [endpoint for endpoint in org.endpoints if endpoint.name == name]
    if not found:
        raise BadRequestError(
            f"There is no endpoint named `{name[:100]}`: check x-bt-endpoint-name.",
            param="x-bt-endpoint-name",
        )
    return found


def candidates(
    model: Model,
    org: Org,
    providers: Providers,
    *,
    endpoint_name: str | None,
    draw: float,
    lookup: Lookup | None = None,
) -> list[Candidate]:
    """404 where nothing serves the model, 400 where the endpoint named is not there.

    `lookup` tells of the models that endpoints put in the place of the one asked for.
    """
    endpoints: Iterable[Endpoint] = org.endpoints
    if endpoint_name is not None:
        endpoints = named(org, endpoint_name)
    # A provider of the settings may be switched off in this deployment.
    endpoints = [endpoint for endpoint in endpoints if endpoint.type in providers]
    serving = [e for e in endpoints if serves(e, model)]
    if not serving:
        serving = [e for e in endpoints if may_serve(e, model, providers)]
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
    found = []
    for endpoint in serving:
        other = endpoint.metadata.override_model
        asked = model if other is None or lookup is None else lookup(other)
        found.append(candidate(endpoint, asked, providers))
    return order(found, draw)


def _free(name: str, providers: Providers) -> bool:
    return providers[name].built_in


def candidate(endpoint: Endpoint, model: Model, providers: Providers) -> Candidate:
    provider = providers[endpoint.type]
    custom = endpoint.metadata.custom_models.get(model.name)
    shape = custom.format if custom else endpoint.metadata.format or model.format
    if shape in IN_CLIENT or provider.in_client:
        kind = shape if shape in IN_CLIENT else endpoint.type
        raise BadRequestError(
            f"`{model.name[:200]}` has the format `{kind}`: it runs in the client, not here.",
            param="model",
        )
    wanted = DIALECT_OF_FORMAT.get(shape)
    found = Candidate(
        endpoint=endpoint,
        provider=provider,
        dialect=wanted or provider.dialects[0],
        spoken=_spoken(endpoint, provider, shape, named=custom is not None),
        model=(custom and custom.upstream_name) or model.name,
        facts=_facts(custom, model),
        supports_streaming=endpoint.metadata.supports_streaming
        and _said(custom.supports_streaming if custom else None, model.supports_streaming),
        streaming_only=_said(custom.streaming_only if custom else None, model.streaming_only),
    )
    spoken = _answered(found)
    if provider.own_models and model.dialect in spoken and custom is None:
        spoken = (model.dialect,)
    dialect = wanted if wanted in spoken else spoken[0]
    if spoken == found.spoken and dialect == found.dialect:
        return found
    return replace(found, spoken=spoken, dialect=dialect)


def _said(by_settings: bool | None, known: bool) -> bool:
    return known if by_settings is None else by_settings


def _answered(found: Candidate) -> tuple[DialectName, ...]:
    """What is spoken at this very address. What the settings say of it is not doubted."""
    provider, metadata = found.provider, found.endpoint.metadata
    if metadata.dialects or not (provider.since or provider.shapes):
        return found.spoken
    version = None if provider.version is None else provider.version(found)
    return tuple(
        dialect
        for dialect in found.spoken
        if (version is None or provider.since.get(dialect, "") <= version)
        and not (metadata.api_base and _elsewhere(provider, dialect))
    )


def _elsewhere(provider: Provider, dialect: DialectName) -> str | None:
    shape = provider.shapes.get(dialect)
    return None if shape is None else shape.base_url


def _spoken(
    endpoint: Endpoint, provider: Provider, shape: str, *, named: bool
) -> tuple[DialectName, ...]:
    """`named`: the settings say the format `shape` of this very model."""
    metadata = endpoint.metadata
    wanted = DIALECT_OF_FORMAT.get(shape)
    if metadata.dialects:
        return metadata.dialects
    if wanted is not None and (named or metadata.format is not None):
        return (wanted,)
    return provider.dialects_of.get(shape, provider.dialects)


def base_url(candidate: Candidate, dialect: DialectName | None = None) -> str:
    """Without a slash at its end; empty where the provider's own `url` makes one."""
    other = None if dialect is None else _elsewhere(candidate.provider, dialect)
    base = candidate.endpoint.metadata.api_base or other or candidate.provider.base_url
    if not base and candidate.provider.url is None:
        raise UpstreamError(
            f"The endpoint `{candidate.endpoint.label}` has no address: set metadata.api_base."
        )
    return base.rstrip("/")


def _facts(custom: CustomModel | None, model: Model) -> Facts:
    if custom is None:
        return model.facts
    # The quirks come with the name, which is often that of a model we know.
    return replace(
        model.facts,
        max_output_tokens=custom.max_output_tokens or model.facts.max_output_tokens,
        reasoning=model.facts.reasoning if custom.reasoning is None else custom.reasoning,
    )


def speaking(candidate: Candidate, client: DialectName) -> DialectName:
    """The dialect to speak to a candidate: the client's own where it can."""
    return client if client in candidate.spoken else candidate.dialect
