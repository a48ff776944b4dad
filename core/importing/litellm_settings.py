"""What LiteLLM's config.yaml says beside its models, and why most of it has no place here."""

from collections.abc import Mapping
from typing import Any, Final

from core.importing.common import Document, Notes, objects

_LIMIT: Final = "limits are on keys here: `cutwater key create --rpm --tpm`"
_CALLER: Final = "parameters of requests are the caller's here"
_REASONS: Final[Mapping[str, str]] = {
    "master_key": "not taken: make keys with `cutwater key create`",
    "cache": "not taken: a caller asks with x-bt-use-cache",
    "cache_params": "not taken: answers are kept in Cutwater's own table",
    "callbacks": "not taken: there are no callbacks",
    "success_callback": "not taken: there are no callbacks",
    "failure_callback": "not taken: there are no callbacks",
    "drop_params": "not needed: what a provider does not know is dropped and named",
    "routing_strategy": "not taken: endpoints are drawn by weight",
    "context_window_fallbacks": "not taken: `fallbacks` know no reasons",
    "content_policy_fallbacks": "not taken: `fallbacks` know no reasons",
    "rpm": _LIMIT,
    "tpm": _LIMIT,
    "max_parallel_requests": _LIMIT,
    "max_budget": _LIMIT,
    "budget_duration": _LIMIT,
    "temperature": _CALLER,
    "top_p": _CALLER,
    "max_tokens": _CALLER,
    "seed": _CALLER,
    "timeout": "not taken: timeouts are the organisation's (`timeouts`)",
    "stream_timeout": "not taken: timeouts are the organisation's (`timeouts`)",
    "max_retries": "not taken: retries are the organisation's (`retry`)",
}
NO_SETTING: Final = "not taken: Cutwater has no such setting"
_TOP: Final = (
    "credential_list",
    "environment_variables",
    "general_settings",
    "litellm_settings",
    "model_list",
    "router_settings",
)


def reason(field: str) -> str:
    """Why a field was not taken."""
    return _REASONS.get(field, NO_SETTING)


def section(document: Document, name: str) -> Document:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def settings(document: Document, models: list[str], notes: Notes) -> Document:
    """The organisation's own, from what LiteLLM keeps for its router and its library."""
    for field in document:
        if field not in _TOP:
            notes.say(f"$.{field}", NO_SETTING)
    for field in section(document, "general_settings"):
        notes.say(f"$.general_settings.{field}", reason(field))
    found: Document = {}
    fallbacks: dict[str, list[str]] = {}
    for part in ("litellm_settings", "router_settings"):
        for field, value in section(document, part).items():
            at = f"$.{part}.{field}"
            if field == "fallbacks":
                fallbacks |= _fallbacks(value, models, at, notes)
            elif field == "default_fallbacks":
                fallbacks = _by_default(value, models) | fallbacks
            elif (one := _setting(field, value)) is not None:
                found |= one
            elif field != "model_group_alias":
                notes.say(at, reason(field))
    return {**found, **({"fallbacks": fallbacks} if fallbacks else {})}


def _setting(field: str, value: Any) -> Document | None:
    """None: we have none for it."""
    said = number(value)
    if field == "routing_strategy" and value == "simple-shuffle":
        return {}
    if field == "num_retries" and said is not None and said >= 0:
        return {"retry": {"max_attempts": int(said) + 1}}
    if field in ("timeout", "request_timeout") and said is not None and said > 0:
        return {"timeouts": {"total_s": said}}
    return None


def _fallbacks(value: Any, models: list[str], at: str, notes: Notes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for i, one in enumerate(objects(value)):
        for model, others in one.items():
            named = [other for other in others or [] if isinstance(other, str)]
            if len(named) < len(others or []):
                notes.say(f"{at}[{i}]", "in part: a fallback is a model's name only")
            if model == "*":
                found = _by_default(named, models) | found
            else:
                found[str(model)] = named
    return found


def _by_default(value: Any, models: list[str]) -> dict[str, list[str]]:
    """For each model of the list, since we have no default for all."""
    named = [other for other in value or [] if isinstance(other, str)]
    return {
        model: others
        for model in models
        if "*" not in model and (others := [other for other in named if other != model])
    }
