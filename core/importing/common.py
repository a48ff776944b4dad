"""What the importers have in common: what they return, and other gateways' names for providers.

Nothing is lost in silence: what an importer has no place for is named with its
path. Paths are those of the imported file, not of the document that comes out.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from core import orgs
from core.orgs import SettingsError, TypeRule

Document: TypeAlias = dict[str, Any]

NO_KEY: Final = "the key is not in the file: put it into `secret` of the endpoint"


class Untaken(Struct, frozen=True):
    """What was not taken, or not as it was. It quotes no secret."""

    path: str
    reason: str


class Imported(Struct, frozen=True):
    """The document holds keys: it has no repr."""

    document: Document
    untaken: tuple[Untaken, ...]

    def __repr__(self) -> str:
        return f"<Imported {len(self.untaken)} untaken>"


class ImportingError(ValueError):
    """The file is not what it was said to be; the message says what was expected."""


class Known(Struct, frozen=True, kw_only=True):
    """What this deployment knows of providers; the core has no table of its own."""

    types: Collection[str]
    rules: Mapping[str, TypeRule] = {}
    key_variables: Mapping[str, tuple[str, ...]] = {}
    """Where the SDK of a provider looks for its key."""


class Notes:
    """What was not taken, in the order of the file."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], Untaken] = {}

    def say(self, path: str, reason: str) -> None:
        self._said.setdefault((path, reason), Untaken(path, reason))

    def all(self) -> tuple[Untaken, ...]:
        return tuple(self._said.values())


class Named:
    """Gives each endpoint a name of its own."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def fresh(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self._taken:
            name, number = f"{wanted}-{number}", number + 1
        self._taken.add(name)
        return name


def finish(document: Document, sources: Iterable[str], known: Known, notes: Notes) -> Imported:
    """Leaves out the endpoints that would be refused. `sources` are their paths in the file."""
    kept = []
    document["endpoints"] = [_one_line(endpoint) for endpoint in document["endpoints"]]
    for endpoint, source in zip(document["endpoints"], sources, strict=True):
        fault = _fault({"name": document["name"], "endpoints": [endpoint]}, known)
        if fault is None:
            kept.append(endpoint)
        else:
            notes.say(source, f"not taken: {fault}")
    whole = {**document, "endpoints": kept}
    if fault := _fault(whole, known):
        raise ImportingError(fault)
    return Imported(whole, notes.all())


def _one_line(endpoint: Document) -> Document:
    """A credential file is often kept with its line ends, which no secret may hold here."""
    secret = endpoint.get("secret")
    if not isinstance(secret, str):
        return endpoint
    if secret.lstrip().startswith("{") and not secret.isprintable():
        with suppress(ValueError):
            secret = msgspec.json.encode(msgspec.json.decode(secret)).decode()
    return {**endpoint, "secret": secret.strip()}


def _fault(document: Document, known: Known) -> str | None:
    try:
        body = msgspec.json.encode(document)
        orgs.parse(body, source="", types=known.types, rules=known.rules)
    except SettingsError as error:
        return str(error).removeprefix(": ").replace("$.endpoints[0].", "")
    return None


def without_none(fields: Mapping[str, Any]) -> Document:
    return {name: value for name, value in fields.items() if value is not None}


def objects(value: Any) -> list[Document]:
    """Those elements of a list that are objects."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


PROVIDERS: Final[Mapping[str, str]] = {
    "azure": "azure",
    "azure-openai": "azure",
    "azure_ai": "azure_ai_gateway",
    "azure-ai": "azure_ai_gateway",
    "bedrock_converse": "bedrock",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "fireworks-ai": "fireworks",
    "gemini": "google",
    "mistral-ai": "mistral",
    "ollama_chat": "ollama",
    "perplexity-ai": "perplexity",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "together-ai": "together",
    "vertex_ai": "vertex",
    "vertex_ai_beta": "vertex",
    "vertex-ai": "vertex",
    "x-ai": "xAI",
    "xai": "xAI",
}
"""Names that are not ours -> our types."""

_UNUSABLE: Final = frozenset({"braintrust", "custom", "demo", "js"})
"""Types of ours that nobody else means by that name."""

BASES: Final[Mapping[str, str]] = {
    "dashscope": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "featherless-ai": "https://api.featherless.ai/v1",
    "featherless_ai": "https://api.featherless.ai/v1",
    "hyperbolic": "https://api.hyperbolic.xyz/v1",
    "moonshot": "https://api.moonshot.ai/v1",
    "nebius": "https://api.studio.nebius.ai/v1",
    "nvidia_nim": "https://integrate.api.nvidia.com/v1",
    "sambanova": "https://api.sambanova.ai/v1",
}
"""Providers without a type of ours, which speak OpenAI's format here."""


def type_of(provider: str, known: Known) -> str | None:
    """Our type; None where we have none."""
    found = PROVIDERS.get(provider, provider)
    return found if found in known.types and found not in _UNUSABLE else None


def base_of(kind: str, base: str) -> str:
    """A base URL as we want it: with the version in its path, without a route."""
    base = base.rstrip("/")
    match kind:
        case "anthropic":
            base = base.removesuffix("/messages").removesuffix("/v1") + "/v1"
        case "ollama":
            base = base.removesuffix("/api").removesuffix("/v1") + "/v1"
        case "azure":
            base = base.partition("/openai/deployments/")[0]
        case _:
            for route in ("/chat/completions", "/completions", "/embeddings"):
                base = base.removesuffix(route)
    return base


def format_of(kind: str, model: str) -> str:
    """The wire format that a provider of this type has for a model of this name."""
    if kind in ("anthropic", "bedrock", "vertex") and "claude" in model.lower():
        return "anthropic"
    plain = {"anthropic": "anthropic", "bedrock": "converse", "google": "google"}
    if kind == "vertex":
        return "google" if "/" not in model else "openai"
    return plain.get(kind, "openai")
