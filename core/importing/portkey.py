"""A config of Portkey's gateway -> an organisation.

A config says where requests go and hardly ever for which models, so that a
target becomes an endpoint for every model of its provider, and the strategy
becomes weights: a fallback's later targets have weight 0, the last resort.
https://portkey.ai/docs/api-reference/inference-api/config-object
"""

import re
from typing import Any, Final

import msgspec
from msgspec import Struct

from core.importing.common import (
    BASES,
    NO_KEY,
    Document,
    Imported,
    ImportingError,
    Known,
    Named,
    Notes,
    base_of,
    finish,
    type_of,
    without_none,
)

_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")
_NO_SETTING: Final = "not taken: Cutwater has no such setting"
_REASONS: Final = {
    "cache": "not taken: a caller asks with x-bt-use-cache",
    "forward_headers": "not taken: headers of callers go to the provider of their format only",
    "input_guardrails": "not taken: there are no guardrails",
    "output_guardrails": "not taken: there are no guardrails",
    "before_request_hooks": "not taken: there are no guardrails",
    "after_request_hooks": "not taken: there are no guardrails",
    "retry": "not taken: `retry` is the organisation's",
    "request_timeout": "not taken: `timeouts` are the organisation's",
    "on_status_codes": "not taken: which failures go on to another endpoint is the same for all",
    "strict_open_ai_compliance": "not needed: answers are in the caller's format",
}
_HANDLED: Final = frozenset(
    {"name", "provider", "strategy", "targets", "weight", "override_params"}
)


class _Target(Struct, frozen=True):
    """One that is no group: its fields, with names in snake case."""

    fields: Document
    weight: float
    at: str


def take(document: Any, known: Known, *, name: str | None = None) -> Imported:
    """Takes a config, or what Portkey's API answers for one."""
    at, config = _config(document)
    notes = Notes()
    targets = _targets(_snake(config), 1.0, at, notes)
    endpoints, sources, names = [], [], Named()
    for target in targets:
        endpoint = _endpoint(target, known, names, notes)
        if endpoint is not None:
            endpoints.append(endpoint)
            sources.append(target.at)
    _choose_models(endpoints, sources, [t for t in targets if t.at in sources], notes)
    settings = _settings(_snake(config), at, notes)
    whole = {"name": name or "imported", "endpoints": endpoints, **settings}
    return finish(whole, sources, known, notes)


def _config(document: Any) -> tuple[str, Document]:
    at, found = "$", document
    for field in ("data", "config"):
        if isinstance(found, dict) and field in found:
            at, found = f"{at}.{field}", found[field]
            if isinstance(found, str):
                found = _decoded(found)
    wanted = ("targets", "provider", "virtual_key", "virtualKey")
    if not isinstance(found, dict) or not any(field in found for field in wanted):
        raise ImportingError("a config with `targets`, `provider` or `virtual_key` is expected")
    return at, found


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except ValueError:
        # Without its cause: a decoder's message would quote what it read.
        raise ImportingError("its `config` is no JSON") from None


def _snake(fields: Document) -> Document:
    """Portkey takes both ways of writing a name."""
    return {_CAPITAL.sub(r"_\1", name).lower(): value for name, value in fields.items()}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _targets(group: Document, weight: float, at: str, notes: Notes) -> list[_Target]:
    """All that are no groups themselves, with their share of `weight`."""
    targets = group.get("targets")
    if not isinstance(targets, list) or not targets:
        return [_Target(group, weight, at)]
    strategy = group.get("strategy")
    strategy = _snake(strategy) if isinstance(strategy, dict) else {}
    for field in strategy:
        if field not in ("mode", "default", "conditions"):
            notes.say(f"{at}.strategy.{field}", _REASONS.get(field, _NO_SETTING))
    found = []
    inner = [_snake(one) if isinstance(one, dict) else {} for one in targets]
    for i, share in enumerate(_shares(inner, strategy, at, notes)):
        below = f"{at}.targets[{i}]"
        if share is None:
            notes.say(below, "not taken: the mode `single` asks the first target only")
            continue
        if weight == 0 and share not in (0, 1):
            notes.say(f"{below}.weight", "not taken: last resorts have no weight, but an order")
        found += _targets(_inherited(group, inner[i]), weight * share, below, notes)
    return found


def _inherited(group: Document, target: Document) -> Document:
    """What a group says beside its targets holds for each that does not say it itself."""
    kept = ("override_params", "custom_host")
    return {**{name: group[name] for name in kept if name in group}, **target}


def _shares(
    targets: list[Document], strategy: Document, at: str, notes: Notes
) -> list[float | None]:
    """Of each target; None: it is never asked."""
    mode, number = strategy.get("mode", "single"), len(targets)
    match mode:
        case "loadbalance":
            given = [_number(target.get("weight")) for target in targets]
            weights = [1.0 if weight is None else max(weight, 0.0) for weight in given]
            # At the top they may stay as they are; further down they share one weight.
            whole = (sum(weights) or 1.0) if ".targets[" in at else 1.0
            return [weight / whole for weight in weights]
        case "fallback":
            return [1.0, *[0.0] * (number - 1)]
        case "single":
            return [1.0, *[None] * (number - 1)]
    said = f"the mode `{str(mode)[:40]}` is not taken: choose with x-bt-endpoint-name"
    notes.say(f"{at}.strategy", said)
    default = strategy.get("default")
    return [1.0 if default in (None, target.get("name")) else 0.0 for target in targets]


def _endpoint(target: _Target, known: Known, names: Named, notes: Notes) -> Document | None:
    fields, at = target.fields, target.at
    kind, base = _kind(fields, at, known, notes)
    if kind is None:
        return None
    read: set[str] = {*_HANDLED, "api_key", "virtual_key", "custom_host"}
    if host := fields.get("custom_host"):
        base = base_of(kind, str(host))
    secret, metadata = _SPECIAL.get(kind, _plain)(fields, read)
    if not secret and kind != "ollama" and not (kind == "bedrock" and _by_role(metadata)):
        said = NO_KEY
        if fields.get("virtual_key"):
            said = "a virtual key stays in Portkey: put the provider's into `secret`"
        notes.say(f"{at}.{'virtual_key' if fields.get('virtual_key') else 'api_key'}", said)
    for field in fields:
        if field not in read and (at.count(".targets[") or field not in _TOP):
            notes.say(f"{at}.{field}", _REASONS.get(field, _NO_SETTING))
    for field in _overrides(target):
        if field != "model":
            said = "not taken: parameters of requests are the caller's here"
            notes.say(f"{at}.override_params.{field}", said)
    metadata = without_none({"api_base": base, **metadata})
    endpoint: Document = {
        "name": names.fresh(str(fields.get("name") or kind)),
        "type": kind,
        "secret": secret,
        "weight": None if target.weight == 1.0 else round(target.weight, 9),
        "metadata": metadata or None,
    }
    return without_none(endpoint)


def _by_role(metadata: Document) -> bool:
    return not metadata.get("access_key")


def _kind(fields: Document, at: str, known: Known, notes: Notes) -> tuple[str | None, str | None]:
    """Our type, and the address where our table has none."""
    provider = str(fields.get("provider") or "")
    if not provider or provider.startswith("@"):
        slug = provider.removeprefix("@") or str(fields.get("virtual_key") or "")
        guess = _guessed(slug, known)
        field = "provider" if provider else "virtual_key"
        said = f"`{slug[:60]}` is in Portkey only"
        if guess is None:
            notes.say(f"{at}.{field}", f"not taken: {said}, and its provider cannot be told")
            return None, None
        notes.say(f"{at}.{field}", f"{said}: taken for `{guess}` by its name")
        return guess, None
    kind = type_of(provider, known)
    if kind is None and (provider in BASES or fields.get("custom_host")):
        return "custom", BASES.get(provider)
    if kind is None:
        notes.say(f"{at}.provider", f"not taken: the provider `{provider[:60]}` is not known here")
    return kind, None


def _guessed(slug: str, known: Known) -> str | None:
    for length in (2, 1):
        words = slug.lower().split("-")[:length]
        kind = type_of("-".join(words), known)
        if kind is not None:
            return kind
    return None


def _overrides(target: _Target) -> Document:
    found = target.fields.get("override_params")
    return found if isinstance(found, dict) else {}


Special = tuple[str | None, Document]
"""The secret, and metadata."""


def _text(fields: Document, read: set[str], name: str) -> str | None:
    read.add(name)
    value = fields.get(name)
    return str(value) if value not in (None, "") else None


def _plain(fields: Document, read: set[str]) -> Special:
    project = _text(fields, read, "openai_project")
    metadata = {
        "organization_id": _text(fields, read, "openai_organization"),
        "additionalHeaders": {"openai-project": project} if project else None,
    }
    return _text(fields, read, "api_key"), metadata


def _azure(fields: Document, read: set[str]) -> Special:
    resource = _text(fields, read, "resource_name")
    metadata: Document = {
        "deployment": _text(fields, read, "deployment_id"),
        "api_version": _text(fields, read, "api_version"),
    }
    read |= {"azure_auth_mode", "azure_model_name"}
    if resource:
        metadata["api_base"] = f"https://{resource}.openai.azure.com"
    if token := _text(fields, read, "azure_ad_token"):
        return token, {**metadata, "auth_type": "entra_bearer"}
    entra = {
        name: _text(fields, read, f"azure_entra_{name}")
        for name in ("tenant_id", "client_id", "client_secret")
    }
    if all(entra.values()):
        entra["scope"] = _text(fields, read, "azure_entra_scope")
        secret = msgspec.json.encode(without_none(entra)).decode()
        return secret, {**metadata, "auth_type": "entra_api"}
    return _text(fields, read, "api_key"), metadata


def _bedrock(fields: Document, read: set[str]) -> Special:
    metadata: Document = {
        "region": _text(fields, read, "aws_region"),
        "access_key": _text(fields, read, "aws_access_key_id"),
        "session_token": _text(fields, read, "aws_session_token"),
        "role_arn": _text(fields, read, "aws_role_arn"),
        "external_id": _text(fields, read, "aws_external_id"),
    }
    read.add("aws_auth_type")
    if metadata["role_arn"]:
        metadata["auth_type"] = "assume_role"
    elif key := _text(fields, read, "api_key"):
        return key, {**metadata, "auth_type": "api_key"}
    return _text(fields, read, "aws_secret_access_key"), metadata


def _vertex(fields: Document, read: set[str]) -> Special:
    metadata: Document = {
        "project": _text(fields, read, "vertex_project_id"),
        "location": _text(fields, read, "vertex_region"),
    }
    read.add("vertex_service_account_json")
    account = fields.get("vertex_service_account_json")
    if account:
        secret = account if isinstance(account, str) else msgspec.json.encode(account).decode()
        project = account.get("project_id") if isinstance(account, dict) else None
        metadata["project"] = metadata["project"] or project
        return secret, {**metadata, "auth_type": "service_account_key"}
    return _text(fields, read, "api_key"), {**metadata, "auth_type": "access_token"}


_SPECIAL: Final = {"azure": _azure, "bedrock": _bedrock, "vertex": _vertex}


def _choose_models(
    endpoints: list[Document], sources: list[str], targets: list[_Target], notes: Notes
) -> None:
    """What `override_params.model` says: Portkey puts it in the place of the one asked for."""
    models = [_overrides(target).get("model") for target in targets]
    named = list(dict.fromkeys(str(model) for model in models if model))
    for endpoint, at, model in zip(endpoints, sources, models, strict=True):
        if not model:
            continue
        metadata = endpoint.setdefault("metadata", {})
        if len(endpoints) == 1:
            metadata["overrideModel"] = str(model)
        elif all(models):
            # Asked for any one of them, each endpoint answers with its own.
            metadata["models"] = named
            if len(named) > 1:
                metadata["overrideModel"] = str(model)
        else:
            metadata["models"] = [str(model)]
            said = "this endpoint has that model only: name it in `fallbacks` of those asked for"
            notes.say(f"{at}.override_params.model", said)
    if len(endpoints) > 1 and named and all(models):
        said = f"callers ask for {' or '.join(f'`{name}`' for name in named)}"
        notes.say("$..override_params.model", said)


_TOP: Final = frozenset({"retry", "request_timeout"})


def _settings(config: Document, at: str, notes: Notes) -> Document:
    """What holds for the whole of a config, and so for the organisation."""
    settings: Document = {}
    retry = config.get("retry")
    if isinstance(retry, dict):
        attempts = _number(_snake(retry).get("attempts"))
        if attempts is not None and attempts >= 0:
            settings["retry"] = {"max_attempts": int(attempts) + 1}
        for field in _snake(retry):
            if field != "attempts":
                notes.say(f"{at}.retry.{field}", _REASONS.get(field, _NO_SETTING))
    timeout = _number(config.get("request_timeout"))
    if timeout is not None and timeout > 0:
        settings["timeouts"] = {"total_s": timeout / 1000}
    if config.get("targets"):
        for field in config:
            if field not in (*_HANDLED, *_TOP, "custom_host"):
                notes.say(f"{at}.{field}", _REASONS.get(field, _NO_SETTING))
    return settings
