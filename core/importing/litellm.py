"""LiteLLM's config.yaml, decoded -> an organisation.

LiteLLM has one entry for each model and deployment; deployments with the same
credentials and weight are one endpoint here, which serves those models and no
others. https://docs.litellm.ai/docs/proxy/config_settings
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from core.importing import deployment
from core.importing.common import (
    Document,
    Imported,
    ImportingError,
    Known,
    Named,
    Notes,
    finish,
    format_of,
    objects,
    without_none,
)
from core.importing.deployment import FROM_ENVIRONMENT, Deployment, Reader
from core.importing.litellm_settings import NO_SETTING, number, reason, section, settings

_FLAVORS: Final[Mapping[str, str]] = {
    "audio_speech": "audio",
    "audio_transcription": "audio",
    "chat": "chat",
    "completion": "completion",
    "embedding": "embedding",
    "image_generation": "image",
    "moderation": "moderation",
    "realtime": "realtime",
    "rerank": "rerank",
    "responses": "chat",
    "video_generation": "video",
}
_PER_TOKEN: Final[Mapping[str, str]] = {
    "input_cost_per_token": "input_cost_per_mil_tokens",
    "output_cost_per_token": "output_cost_per_mil_tokens",
    "cache_read_input_token_cost": "input_cache_read_cost_per_mil_tokens",
    "cache_creation_input_token_cost": "input_cache_write_cost_per_mil_tokens",
}
_FACTS: Final[Mapping[str, str]] = {
    "max_input_tokens": "max_input_tokens",
    "max_output_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "supports_reasoning": "reasoning",
    "supports_vision": "multimodal",
}
_WEIGHTS: Final = ("weight", "rpm", "tpm")


class _Entry(Struct, frozen=True):
    """One element of the model list."""

    name: str
    parameters: Document
    facts: Document
    at: str
    """Its path, also where a setting stands in for a deployment of its own."""


def take(
    document: Any, known: Known, *, environment: Mapping[str, str], name: str | None = None
) -> Imported:
    """`environment` is where `os.environ/NAME` is looked up, after the file's own variables."""
    if not isinstance(document, dict) or not isinstance(document.get("model_list"), list):
        raise ImportingError("LiteLLM's config.yaml with a `model_list` is expected")
    notes = Notes()
    environment = {**environment, **_variables(document, environment)}
    entries = _aliased(document, _entries(document, notes), notes)
    weights = _weights_of(entries, notes)
    groups: dict[tuple[bytes, float, str], _Group] = {}
    for i, entry in enumerate(entries):
        reader = Reader(entry.parameters, f"{entry.at}.litellm_params", environment, notes)
        found = deployment.read(reader, known)
        if found is None:
            continue
        _say_left(reader, entry, notes)
        _place(groups, found, entry, weights[i], notes)
    endpoints, sources = _endpoints(groups)
    others = settings(document, [entry.name for entry in entries], notes)
    whole = {"name": name or "imported", "endpoints": endpoints, **others}
    return finish(whole, sources, known, notes)


def _variables(document: Document, environment: Mapping[str, str]) -> dict[str, str]:
    """The file's own, which may name those of the process."""
    found = {}
    own = document.get("environment_variables")
    for name, value in own.items() if isinstance(own, dict) else ():
        said = str(value)
        if said.startswith(FROM_ENVIRONMENT):
            said = environment.get(said.removeprefix(FROM_ENVIRONMENT), "")
        if said:
            found[str(name)] = said
    return found


def _entries(document: Document, notes: Notes) -> list[_Entry]:
    credentials = {
        one.get("credential_name"): one.get("credential_values")
        for one in objects(document.get("credential_list"))
    }
    entries = []
    for i, entry in enumerate(document["model_list"]):
        at = f"$.model_list[{i}]"
        parameters = entry.get("litellm_params") if isinstance(entry, dict) else None
        if not isinstance(parameters, dict) or not entry.get("model_name"):
            notes.say(at, "not taken: it has no `model_name` or no `litellm_params`")
            continue
        for field in entry:
            if field not in ("model_name", "litellm_params", "model_info", *_WEIGHTS):
                notes.say(f"{at}.{field}", NO_SETTING)
        beside = {field: entry[field] for field in _WEIGHTS if field in entry}
        parameters = {**beside, **parameters}
        shared = parameters.pop("litellm_credential_name", None)
        if shared is not None and not isinstance(credentials.get(shared), dict):
            notes.say(f"{at}.litellm_params.litellm_credential_name", "not taken: not in the file")
        elif shared is not None:
            parameters = {**(credentials[shared] or {}), **parameters}
        facts = entry.get("model_info")
        facts = facts if isinstance(facts, dict) else {}
        entries.append(_Entry(str(entry["model_name"]), parameters, facts, at))
    return entries


def _aliased(document: Document, entries: list[_Entry], notes: Notes) -> list[_Entry]:
    """Each alias is one more name for the deployments of its group."""
    more = []
    for part in ("router_settings", "litellm_settings"):
        aliases = section(document, part).get("model_group_alias")
        for alias, target in aliases.items() if isinstance(aliases, dict) else ():
            group = target.get("model") if isinstance(target, dict) else target
            found = [one for one in entries if one.name == group]
            if not found:
                notes.say(f"$.{part}.model_group_alias[{alias!r}]", "not taken: no such model")
            more += [_Entry(str(alias), one.parameters, one.facts, one.at) for one in found]
    return entries + more


def _weights_of(entries: list[_Entry], notes: Notes) -> list[float]:
    """LiteLLM draws by weight, or else by the limits, among the deployments of a name."""
    weights = [1.0] * len(entries)
    groups: dict[str, list[int]] = {}
    for i, entry in enumerate(entries):
        groups.setdefault(entry.name, []).append(i)
    for members in groups.values():
        if len(members) == 1:
            continue
        for metric in _WEIGHTS:
            found = {i: number(entries[i].parameters.get(metric)) for i in members}
            if any(value is not None for value in found.values()):
                for i, value in found.items():
                    weights[i] = max(value or 0.0, 0.0)
                break
        _by_order(entries, members, weights, notes)
    return weights


def _by_order(
    entries: list[_Entry], members: list[int], weights: list[float], notes: Notes
) -> None:
    """Deployments of a lower order are tried first; the others are a last resort."""
    orders = {i: number(entries[i].parameters.get("order")) for i in members}
    levels = sorted({value for value in orders.values() if value is not None})
    for i, value in orders.items():
        if levels and value != levels[0]:
            weights[i] = 0.0
            if value is not None and len(levels) > 2:
                at = f"{entries[i].at}.litellm_params.order"
                notes.say(at, "two levels only: after the first one they are tried as listed")


def _say_left(reader: Reader, entry: _Entry, notes: Notes) -> None:
    for name in reader.left():
        if name not in ("weight", "order", *_PER_TOKEN):
            reader.say(name, reason(name))
    for name in entry.facts:
        if name not in ("mode", *_PER_TOKEN, *_FACTS):
            notes.say(f"{entry.at}.model_info.{name}", NO_SETTING)


class _Group(Struct):
    """What becomes one endpoint."""

    found: Deployment
    weight: float
    at: str
    models: list[str]
    custom: Document


def _place(
    groups: dict[tuple[bytes, float, str], _Group],
    found: Deployment,
    entry: _Entry,
    weight: float,
    notes: Notes,
) -> None:
    """Into the endpoint of its kind that has no other model of that name yet."""
    if "*" in entry.name or "*" in found.model:
        _place_any(groups, found, entry, weight, notes)
        return
    custom = _custom(found, entry)
    for attempt in range(len(groups) + 1):
        group = groups.setdefault(
            (found.identity, weight, str(attempt)), _Group(found, weight, entry.at, [], {})
        )
        if entry.name not in group.models and entry.name not in group.custom:
            break
    if custom is None:
        group.models.append(entry.name)
    else:
        group.custom[entry.name] = custom


def _place_any(
    groups: dict[tuple[bytes, float, str], _Group],
    found: Deployment,
    entry: _Entry,
    weight: float,
    notes: Notes,
) -> None:
    at = f"{entry.at}.model_name"
    if found.model != "*":
        notes.say(at, "not taken: a pattern over part of a model's name")
        return
    if entry.name != "*":
        notes.say(at, f"taken as every model of `{found.type}`, asked for without a prefix")
    key = (found.identity, weight, "*")
    groups[key] = _Group(found, weight, entry.at, [], {})


def _custom(found: Deployment, entry: _Entry) -> Document | None:
    """None: the name alone says it."""
    said = {**entry.parameters, **entry.facts}
    facts: Document = {
        ours: round(cost * 1e6, 9)
        for theirs, ours in _PER_TOKEN.items()
        if (cost := number(said.get(theirs))) is not None
    }
    for theirs, ours in _FACTS.items():
        value = entry.facts.get(theirs)
        wanted = bool if theirs.startswith("supports_") else int
        if type(value) is wanted:
            facts.setdefault(ours, value)
    mode = entry.facts.get("mode")
    same = found.model == entry.name
    if same and not facts and mode is None and found.type != "custom":
        return None
    return without_none(
        {
            "format": format_of(found.type, found.model),
            "flavor": _FLAVORS.get(str(mode), "chat"),
            "upstream_name": None if same else found.model,
            **facts,
        }
    )


def _endpoints(
    groups: Mapping[tuple[bytes, float, str], _Group],
) -> tuple[list[Document], list[str]]:
    names = Named()
    endpoints, sources = [], []
    for group in groups.values():
        metadata = dict(group.found.metadata)
        if group.models:
            metadata["models"] = group.models
        if group.custom:
            metadata["customModels"] = group.custom
        if group.custom and not group.models:
            metadata["excludeDefaultModels"] = True
        endpoint: Document = {
            "name": names.fresh(group.found.type),
            "type": group.found.type,
            "secret": group.found.secret,
            "weight": None if group.weight == 1.0 else group.weight,
            "metadata": metadata or None,
        }
        endpoints.append(without_none(endpoint))
        sources.append(group.at)
    return endpoints, sources
