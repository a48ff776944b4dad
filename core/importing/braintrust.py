"""Braintrust's AI providers -> an organisation: their objects are our endpoints.

The API shows a preview of each key only (`preview_secret`); whole keys are in
what the control plane gives the reference proxy.
https://www.braintrust.dev/docs/reference/api/AISecrets
"""

from typing import Any, Final

from core.importing.common import (
    NO_KEY,
    Document,
    Imported,
    ImportingError,
    Known,
    Named,
    Notes,
    finish,
    without_none,
)
from core.orgs import CustomModel, Endpoint, Metadata

_FIELDS: Final = frozenset(Endpoint.__struct_encode_fields__)
_METADATA: Final = frozenset({*Metadata.__struct_encode_fields__, "authType"})
_MODEL: Final = frozenset(CustomModel.__struct_encode_fields__)
_UNKNOWN: Final = "Cutwater has no such setting: it stays in the file, without effect"


def take(document: Any, known: Known, *, name: str | None = None) -> Imported:
    """`name` chooses among several organisations of the file, or is a new name for the only one."""
    prefix, secrets = _secrets(document)
    org, chosen = _organisation(secrets, name)
    notes, names = Notes(), Named()
    endpoints: list[Document] = []
    sources: list[str] = []
    for i, secret in enumerate(secrets):
        at = f"{prefix}[{i}]"
        if not isinstance(secret, dict):
            notes.say(at, "not taken: it is no object")
        elif chosen is not None and secret.get("org_name") != chosen:
            notes.say(at, "not taken: of another organisation")
        else:
            endpoints.append(_endpoint(secret, at, names, notes))
            sources.append(at)
    return finish({"name": org, "endpoints": endpoints}, sources, known, notes)


def _secrets(document: Any) -> tuple[str, list[Any]]:
    if isinstance(document, list):
        return "$", document
    if isinstance(document, dict) and isinstance(found := document.get("objects"), list):
        return "$.objects", found
    if isinstance(document, dict) and "type" in document:
        return "$", [document]
    raise ImportingError(
        'a list of AI providers is expected, or {"objects": [...]} as the API answers'
    )


def _organisation(secrets: list[Any], name: str | None) -> tuple[str, str | None]:
    """The organisation's name, and the `org_name` to choose by."""
    said = {
        str(one["org_name"]) for one in secrets if isinstance(one, dict) and one.get("org_name")
    }
    if len(said) <= 1:
        return name or next(iter(said), "imported"), None
    if name in said:
        return str(name), name
    raise ImportingError(f"it holds several organisations: choose one of {', '.join(sorted(said))}")


def _endpoint(secret: Document, at: str, names: Named, notes: Notes) -> Document:
    for field in secret:
        if field not in _FIELDS:
            notes.say(f"{at}.{field}", "not taken: Cutwater has no such field")
    taken = without_none({field: secret[field] for field in secret if field in _FIELDS})
    wanted = str(taken.get("name") or taken.get("type") or "endpoint")
    taken["name"] = names.fresh(wanted)
    if taken["name"] != wanted:
        notes.say(f"{at}.name", f"named `{taken['name']}`: there is another `{wanted}`")
    if not taken.get("secret"):
        taken.pop("secret", None)
        if _wants_secret(taken):
            notes.say(f"{at}.secret", NO_KEY)
    metadata = taken.get("metadata")
    if isinstance(metadata, dict):
        taken["metadata"] = without_none(metadata)
        _look_through(taken["metadata"], f"{at}.metadata", notes)
    return taken


def _wants_secret(taken: Document) -> bool:
    if taken.get("preview_secret"):
        return True
    # Bedrock may go by the role of the process; the others need no key at all.
    return taken.get("type") not in ("bedrock", "ollama", "js", "demo")


def _look_through(metadata: Document, at: str, notes: Notes) -> None:
    for field in metadata:
        if field not in _METADATA:
            notes.say(f"{at}.{field}", _UNKNOWN)
    models = metadata.get("customModels")
    for name, model in models.items() if isinstance(models, dict) else ():
        for field in model if isinstance(model, dict) else ():
            if field not in _MODEL and model[field] is not None:
                notes.say(f"{at}.customModels[{name!r}].{field}", _UNKNOWN)
