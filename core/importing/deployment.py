"""One deployment of LiteLLM's model list -> how we reach it.

What LiteLLM takes from its environment (`os.environ/NAME`, and a provider's
own variable where no key is given) is looked up in the mapping that came in;
what is not there is named, and never guessed.
https://docs.litellm.ai/docs/proxy/configs
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from core.importing.common import (
    BASES,
    Document,
    Known,
    Notes,
    base_of,
    type_of,
    without_none,
)

FROM_ENVIRONMENT: Final = "os.environ/"
_REGION: Final = re.compile(r"([a-z]{2}(?:-[a-z]+)+-\d)/(.+)")
_WAYS: Final = ("converse/", "converse_like/", "invoke/")
_FAMILIES: Final = (
    (
        re.compile(r"(gpt-|o\d|chatgpt|text-embedding-|dall-e|tts-|whisper|ft:|davinci|omni-)"),
        "openai",
    ),
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"(command|embed-|c4ai)"), "cohere"),
    (re.compile(r"gemini-"), "vertex"),
)
"""Whose a model without a prefix is."""

_OPENAI_LIKE: Final = frozenset(
    {
        "custom_openai",
        "hosted_vllm",
        "litellm_proxy",
        "llamafile",
        "lm_studio",
        "openai_like",
        "vllm",
        "xinference",
        *BASES,
    }
)


class Deployment(Struct, frozen=True, kw_only=True):
    """Carries a key: it has no repr."""

    type: str
    model: str
    """The name to send; `*` for any."""
    secret: str | None
    metadata: Document
    identity: bytes
    """Equal for deployments that are one endpoint to us."""

    def __repr__(self) -> str:
        return f"<Deployment {self.type}>"


class Reader:
    """The parameters of one deployment; remembers which were read."""

    def __init__(
        self, parameters: Document, at: str, environment: Mapping[str, str], notes: Notes
    ) -> None:
        self._parameters = parameters
        self._environment = environment
        self._notes = notes
        self.at = at
        self.read: set[str] = set()
        self.unresolved: list[str] = []

    def get(self, name: str) -> Any:
        self.read.add(name)
        value = self._parameters.get(name)
        if not (isinstance(value, str) and value.startswith(FROM_ENVIRONMENT)):
            return value
        variable = value.removeprefix(FROM_ENVIRONMENT)
        if found := self._environment.get(variable):
            return found
        self.unresolved.append(value)
        self.say(name, f"not taken: the environment has no {variable}")
        return None

    def text(self, name: str) -> str | None:
        value = self.get(name)
        return None if value is None or value == "" else str(value)

    def variable(self, *names: str) -> str | None:
        return next((found for name in names if (found := self._environment.get(name))), None)

    def say(self, name: str, reason: str) -> None:
        self._notes.say(f"{self.at}.{name}", reason)

    def left(self) -> list[str]:
        return [name for name in self._parameters if name not in self.read]


def read(reader: Reader, known: Known) -> Deployment | None:
    """None where it cannot be reached by us; the reason is among the notes."""
    named = reader.text("model")
    if named is None:
        reader.say("model", "not taken: there is no model")
        return None
    provider, model = _split(named, reader.text("custom_llm_provider"))
    kind = type_of(provider, known) if provider else None
    if kind is None and provider in _OPENAI_LIKE:
        kind = "custom"
    if kind is None or model == "":
        said = f"the provider `{provider}` is not known here" if provider else "whose model is it?"
        reader.say("model", f"not taken: {said}")
        return None
    base = reader.text("api_base") or reader.text("base_url") or BASES.get(provider or "")
    metadata: Document = {"api_base": base_of(kind, base) if base else None}
    if "{" in (metadata["api_base"] or ""):
        reader.say("api_base", "not taken: a template is no address")
        metadata["api_base"] = None
    secret, more, model = _SPECIAL.get(kind, _plain)(reader, known, kind, model)
    metadata |= more
    metadata["organization_id"] = reader.text("organization")
    metadata["additionalHeaders"] = _headers(reader)
    metadata = without_none(metadata)
    identity = msgspec.json.encode([kind, secret, metadata, reader.unresolved], order="sorted")
    return Deployment(type=kind, model=model, secret=secret, metadata=metadata, identity=identity)


def _split(named: str, custom: str | None) -> tuple[str | None, str]:
    prefix, slash, rest = named.partition("/")
    if custom is not None:
        return custom, rest if slash and prefix == custom else named
    if slash:
        return prefix, rest
    return next((kind for family, kind in _FAMILIES if family.match(named)), None), named


def _headers(reader: Reader) -> Document | None:
    found: Document = {}
    for name in ("extra_headers", "headers"):
        headers = reader.get(name)
        if isinstance(headers, dict):
            found |= {str(header): str(value) for header, value in headers.items()}
    return found or None


def _key(reader: Reader, known: Known, kind: str) -> str | None:
    """The key that is given, or the one LiteLLM would find in its environment."""
    key = reader.text("api_key")
    if key is None and not reader.unresolved:
        key = reader.variable(*known.key_variables.get(kind, ()))
        if key is None and kind not in ("custom", "ollama"):
            reader.say("api_key", "there is none: put it into `secret` of the endpoint")
    return key


Special = tuple[str | None, Document, str]
"""The secret, metadata, and the model's name to send."""


def _plain(reader: Reader, known: Known, kind: str, model: str) -> Special:
    return _key(reader, known, kind), {}, model


def _azure(reader: Reader, known: Known, kind: str, model: str) -> Special:
    metadata: Document = {"api_version": reader.text("api_version")}
    if "gpt-3.5" in model:
        # Where no deployment is named we would call it gpt-35.
        metadata["deployment"] = model
    if token := reader.text("azure_ad_token"):
        return token, {**metadata, "auth_type": "entra_bearer"}, model
    client = {name: reader.text(name) for name in ("tenant_id", "client_id", "client_secret")}
    if all(client.values()):
        scope = reader.text("azure_scope")
        secret = msgspec.json.encode(without_none({**client, "scope": scope})).decode()
        return secret, {**metadata, "auth_type": "entra_api"}, model
    names = {**known.key_variables, kind: ("AZURE_API_KEY",)}
    return _key(reader, Known(types=known.types, key_variables=names), kind), metadata, model


def _bedrock(reader: Reader, known: Known, kind: str, model: str) -> Special:
    del known, kind
    for way in _WAYS:
        model = model.removeprefix(way)
    region = reader.text("aws_region_name") or reader.text("region_name")
    if found := _REGION.fullmatch(model):
        region, model = found[1], found[2]
    region = region or reader.variable("AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION")
    metadata: Document = {
        "region": region,
        "access_key": reader.text("aws_access_key_id"),
        "session_token": reader.text("aws_session_token"),
        "role_arn": reader.text("aws_role_name"),
        "external_id": reader.text("aws_external_id"),
    }
    reader.get("aws_session_name")
    if base := reader.text("aws_bedrock_runtime_endpoint"):
        metadata["api_base"] = base
    secret = reader.text("aws_secret_access_key")
    if metadata["role_arn"]:
        metadata["auth_type"] = "assume_role"
    elif key := reader.text("api_key"):
        metadata["auth_type"], secret = "api_key", key
    return secret, without_none(metadata), model


def _vertex(reader: Reader, known: Known, kind: str, model: str) -> Special:
    del known, kind
    metadata: Document = {
        "project": reader.text("vertex_project") or reader.variable("VERTEXAI_PROJECT"),
        "location": reader.text("vertex_location") or reader.variable("VERTEXAI_LOCATION"),
        "auth_type": "service_account_key",
    }
    given = reader.get("vertex_credentials")
    if isinstance(given, dict):
        given = msgspec.json.encode(given).decode()
    if isinstance(given, str) and not given.lstrip().startswith("{"):
        reader.unresolved.append(given)
        reader.say("vertex_credentials", "put the content of that file into `secret`")
        given = None
    elif given is None and not reader.unresolved:
        reader.say("vertex_credentials", "there are none: put a service account into `secret`")
    return given, without_none(metadata), model


_SPECIAL: Final = {"azure": _azure, "bedrock": _bedrock, "vertex": _vertex}
