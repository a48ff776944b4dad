"""What a caller can use, as the lists of models that three SDKs know.

The extra fields are ours; every SDK keeps or ignores what it has no name for.
A model that runs in the client is listed and flagged: a call to it is a 400.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from core.errors import BadRequestError
from core.orgs import CustomModel, Org
from core.routes import DialectName, unquote
from core.routing import IN_CLIENT, Candidate, Costs, Lookup, Model, Providers, serves

T = TypeVar("T")

MOST_A_PAGE: Final = 1000
CREATED: Final = "2025-01-01T00:00:00Z"
CREATED_S: Final = 1735689600
"""Providers say when a model was made; the catalogue does not hold it."""


class Listed(Struct, frozen=True):
    model: Model
    providers: tuple[str, ...]
    """Those by which this caller reaches it."""


def usable(org: Org, names: Iterable[str], lookup: Lookup, providers: Providers) -> list[Listed]:
    """In the order of the names. `names` are the catalogue's."""
    wanted: dict[str, None] = {}
    for endpoint in org.endpoints:
        wanted |= dict.fromkeys([*endpoint.metadata.custom_models, *endpoint.metadata.models])
    wanted |= dict.fromkeys(names)
    found = (_listed(lookup(name), org, providers) for name in sorted(wanted))
    return [listed for listed in found if listed.providers]


def _listed(model: Model, org: Org, providers: Providers) -> Listed:
    serving = [endpoint for endpoint in org.endpoints if serves(endpoint, model)]
    by = [endpoint.type for endpoint in serving]
    by += [name for name in model.providers if name in providers and providers[name].built_in]
    custom = (endpoint.metadata.custom_models.get(model.name) for endpoint in serving)
    own = next((spec for spec in custom if spec is not None), None)
    described = model if own is None else with_settings(model, own)
    return Listed(described, tuple(dict.fromkeys(by)))


def costs_of(candidate: Candidate, lookup: Lookup) -> Costs:
    """Where one candidate answers: what the settings of its endpoint say, then the catalogue."""
    name = candidate.model
    model = lookup(name)
    for known, custom in candidate.endpoint.metadata.custom_models.items():
        if name in (known, custom.upstream_name):
            return with_settings(model, custom).costs
    return model.costs


def with_settings(model: Model, custom: CustomModel) -> Model:
    """What an organisation says of a model of its own comes before the catalogue."""
    known = model.costs
    costs = Costs(
        input=_first(custom.input_cost_per_mil_tokens, known.input),
        output=_first(custom.output_cost_per_mil_tokens, known.output),
        cache_read=_first(custom.input_cache_read_cost_per_mil_tokens, known.cache_read),
        cache_write=_first(custom.input_cache_write_cost_per_mil_tokens, known.cache_write),
        input_audio=_first(custom.input_audio_cost_per_mil_tokens, known.input_audio),
        output_audio=_first(custom.output_audio_cost_per_mil_tokens, known.output_audio),
        cache_read_audio=_first(
            custom.input_cache_read_audio_cost_per_mil_tokens, known.cache_read_audio
        ),
        input_image=known.input_image,
        cache_read_image=known.cache_read_image,
    )
    reasoning = model.facts.reasoning if custom.reasoning is None else custom.reasoning
    most = _first(custom.max_output_tokens, model.facts.max_output_tokens)
    return replace(
        model,
        format=custom.format,
        flavor=custom.flavor,
        display_name=custom.display_name or model.display_name,
        costs=costs,
        max_input_tokens=_first(custom.max_input_tokens, model.max_input_tokens),
        multimodal=model.multimodal if custom.multimodal is None else custom.multimodal,
        facts=replace(model.facts, reasoning=reasoning, max_output_tokens=most),
    )


def _first(said: T | None, known: T | None) -> T | None:
    return known if said is None else said


class _Page(Struct, frozen=True):
    listed: Sequence[Listed]
    more: bool
    """There are others further on, in the direction that was asked for."""


def page(listed: Sequence[Listed], dialect: DialectName, query: str = "") -> dict[str, Any]:
    """The list in the shape of a dialect's SDK: all of it where no page is asked for.

    400 where the page that is asked for cannot be told.
    """
    asked = _asked(query)
    if dialect == "gemini":
        cut = _cut(listed, asked, limit="pageSize", after="pageToken")
        models = [one(each, dialect) for each in cut.listed]
        # A page's token is the name that it ends with.
        following = {"nextPageToken": cut.listed[-1].model.name} if cut.more else {}
        return {"models": models, **following}
    if dialect == "anthropic":
        cut = _cut(listed, asked, limit="limit", after="after_id", before="before_id")
        data = [one(each, dialect) for each in cut.listed]
        ends = [cut.listed[0].model.name, cut.listed[-1].model.name] if data else [None, None]
        return {"data": data, "has_more": cut.more, "first_id": ends[0], "last_id": ends[1]}
    return {"object": "list", "data": [one(each, dialect) for each in listed]}


def _asked(query: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in query.split("&"))
    return {name: unquote(value) for name, _, value in pairs if value}


def _cut(
    listed: Sequence[Listed],
    asked: Mapping[str, str],
    *,
    limit: str,
    after: str,
    before: str | None = None,
) -> _Page:
    many = _limit(asked, limit, len(listed))
    if before is not None and before in asked:
        left = listed[: _place(listed, asked, before)]
        return _Page(left[-many:], len(left) > many)
    left = listed[_place(listed, asked, after) + 1 :] if after in asked else listed
    return _Page(left[:many], len(left) > many)


def _limit(asked: Mapping[str, str], name: str, otherwise: int) -> int:
    said = asked.get(name)
    if said is None:
        return max(otherwise, 1)
    if not said.isdecimal() or not 1 <= int(said[:9]) <= MOST_A_PAGE:
        raise BadRequestError(f"`{name}` is a number from 1 to {MOST_A_PAGE}.", param=name)
    return int(said)


def _place(listed: Sequence[Listed], asked: Mapping[str, str], name: str) -> int:
    names = [each.model.name for each in listed]
    if asked[name] not in names:
        raise BadRequestError(f"`{name}` names no model of this list.", param=name)
    return names.index(asked[name])


def one(listed: Listed, dialect: DialectName) -> dict[str, Any]:
    match dialect:
        case "gemini":
            return _gemini(listed) | _ours(listed)
        case "anthropic":
            return _anthropic(listed) | _ours(listed)
        case _:
            return _openai(listed) | _ours(listed)


def _openai(listed: Listed) -> dict[str, Any]:
    return {
        "id": listed.model.name,
        "object": "model",
        "created": CREATED_S,
        "owned_by": next(iter(listed.model.providers), "custom"),
    }


def _anthropic(listed: Listed) -> dict[str, Any]:
    model = listed.model
    return {
        "type": "model",
        "id": model.name,
        "display_name": model.display_name or model.name,
        "created_at": CREATED,
        "lifecycle": model.lifecycle,
        "max_tokens": model.facts.max_output_tokens,
    }


_METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "chat": ("generateContent", "streamGenerateContent", "countTokens"),
    "image": ("generateContent", "streamGenerateContent", "countTokens"),
    "embedding": ("embedContent", "batchEmbedContents", "countTokens"),
}


def _gemini(listed: Listed) -> dict[str, Any]:
    model = listed.model
    limits = {
        "inputTokenLimit": model.max_input_tokens,
        "outputTokenLimit": model.facts.max_output_tokens,
    }
    return {
        "name": f"models/{model.name}",
        "displayName": model.display_name or model.name,
        "supportedGenerationMethods": _METHODS.get(model.flavor, ()),
        **{name: limit for name, limit in limits.items() if limit is not None},
    }


def _ours(listed: Listed) -> dict[str, Any]:
    model = listed.model
    said: dict[str, Any] = {
        "providers": listed.providers,
        "format": model.format,
        "flavor": model.flavor,
        "multimodal": model.multimodal,
        "reasoning": model.facts.reasoning,
        "max_input_tokens": model.max_input_tokens,
        "max_output_tokens": model.facts.max_output_tokens,
        "deprecation_date": model.deprecation_date,
        "lifecycle": model.lifecycle,
        "cost": cost(model.costs),
    }
    if model.format in IN_CLIENT:
        said["runs_in_client"] = True
    return {name: value for name, value in said.items() if value is not None}


def cost(costs: Costs) -> dict[str, float] | str:
    """US dollars per million tokens; `unknown` where nothing is known."""
    known = {
        "input_cost_per_mil_tokens": costs.input,
        "output_cost_per_mil_tokens": costs.output,
        "input_cache_read_cost_per_mil_tokens": costs.cache_read,
        "input_cache_write_cost_per_mil_tokens": costs.cache_write,
    }
    return {name: value for name, value in known.items() if value is not None} or "unknown"
