"""An organisation's settings: one JSON document, checked as a whole.

Unknown fields are refused with their path, so that a misspelt setting is an
error and not a default. Only `metadata` of an endpoint keeps what it does not
know: settings exported from the reference proxy hold keys that are not ours.
"""

import re
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from core import addresses
from core.addresses import Reach
from core.injection import CONTROL, credential_faults, header_faults
from core.routes import DialectName

KEY_PREFIX: Final = "cw_"
SHORTEST_SECRET: Final = 8
"""What is shorter is no secret, and would take words out of messages."""
_KEY: Final = re.compile(r"cw_[A-Za-z0-9_]{16,200}")
_LABEL: Final = re.compile(r"[A-Za-z0-9-]{1,60}")
"""A region becomes part of a host's name."""
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


class SettingsError(ValueError):
    """Wrong settings; the message names the source and the path of the field."""


class Key(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    key: str

    def __repr__(self) -> str:
        return f"<Key {self.name}>"


class CustomModel(Struct, frozen=True, kw_only=True):
    """The reference's ModelSpec; fields that only its pages show are accepted and kept apart."""

    format: str
    flavor: str
    upstream_name: str | None = None
    display_name: str | None = msgspec.field(default=None, name="displayName")
    multimodal: bool | None = None
    reasoning: bool | None = None
    supports_streaming: bool | None = None
    streaming_only: bool | None = None
    input_cost_per_mil_tokens: float | None = None
    output_cost_per_mil_tokens: float | None = None
    input_cache_read_cost_per_mil_tokens: float | None = None
    input_cache_write_cost_per_mil_tokens: float | None = None
    input_audio_cost_per_mil_tokens: float | None = None
    output_audio_cost_per_mil_tokens: float | None = None
    input_cache_read_audio_cost_per_mil_tokens: float | None = None
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None


class Metadata(Struct, frozen=True, kw_only=True):
    """The reference's provider metadata, all types in one; it may hold keys: it has no repr."""

    api_base: str | None = None
    format: Literal["openai", "anthropic", "google", "converse"] | None = None
    dialects: tuple[DialectName, ...] | None = None
    models: tuple[str, ...] = ()
    custom_models: dict[str, CustomModel] = msgspec.field(default={}, name="customModels")
    exclude_default_models: bool = msgspec.field(default=False, name="excludeDefaultModels")
    additional_headers: dict[str, str] = msgspec.field(default={}, name="additionalHeaders")
    supports_streaming: bool = msgspec.field(default=True, name="supportsStreaming")
    override_model: str | None = msgspec.field(default=None, name="overrideModel")
    override_system_prompt: str | None = msgspec.field(default=None, name="overrideSystemPrompt")
    auth_type: str | None = None
    auth_format: Literal["bearer", "api_key"] | None = None
    endpoint_path: str | None = None
    organization_id: str | None = None
    api_version: str | None = None
    deployment: str | None = None
    no_named_deployment: bool = False
    region: str | None = None
    access_key: str | None = None
    session_token: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    project: str | None = None
    location: str | None = None
    token_base: str | None = None
    fetch_media: bool = msgspec.field(default=False, name="fetchMedia")

    def __repr__(self) -> str:
        return "<Metadata>"


class Endpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One configured way to reach a provider. It carries a key: it has no repr."""

    type: str
    name: str | None = None
    secret: str | None = None
    weight: float = 1.0
    metadata: Metadata = Metadata()
    id: str | None = None
    org_id: str | None = None
    org_name: str | None = None
    created: str | None = None
    updated_at: str | None = None
    preview_secret: str | None = None

    def __repr__(self) -> str:
        return f"<Endpoint {self.name or self.type}>"

    @property
    def label(self) -> str:
        return self.name or self.type

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """What may be read by nobody else, the longest first: one may be the beginning of another.

        Not only keys: whatever the settings add to requests is their owner's.
        """
        metadata = self.metadata
        said = (
            self.secret,
            metadata.access_key,
            metadata.session_token,
            *metadata.additional_headers.values(),
        )
        found = {secret for secret in said if secret and len(secret) >= SHORTEST_SECRET}
        return tuple(sorted(found, key=len, reverse=True))


class Timeouts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds."""

    connect_s: float = 5.0
    first_byte_s: float | None = None
    """Until a reply's head. None: 30 for a stream; a whole reply's head comes when it is done."""
    first_token_s: float = 60.0
    idle_s: float = 60.0
    total_s: float = 840.0


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    budget_s: float = 45.0
    max_attempts: int = 6


class Hedge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A second attempt elsewhere where the first is slower than it usually is."""

    share: float = 0.05
    """At most this share of the requests is sent twice."""


class DataKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a shared cache is sealed under. The highest generation writes, all of them read."""

    generation: int
    key: str
    """32 random bytes in base64url: `cutwater cache new-key` makes one."""

    def __repr__(self) -> str:
        return f"<DataKey {self.generation}>"


class CacheSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    read_s: float = 0.25
    """A read that takes longer is given up: the request goes on without."""
    single_flight: bool = False
    """Of equal requests at the same time one is sent, the others wait for its answer."""
    single_flight_wait_s: float = 30.0
    finish_abandoned: bool = False
    """An answer whose client left is completed, paid for and kept."""


class Org(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    name: str
    keys: tuple[Key, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    fallbacks: dict[str, tuple[str, ...]] = {}
    shared_cache: bool = False
    """Members answer each other from the cache; needs `data_keys`."""
    data_keys: tuple[DataKey, ...] = ()
    cache: CacheSettings = CacheSettings()
    timeouts: Timeouts = Timeouts()
    retry: Retry = Retry()
    balance: str = "weighted"
    affinity: bool = False
    """Requests that begin alike go to the same endpoint, whose prompt cache knows them."""
    hedge: Hedge | None = None
    midstream: str = "error"

    def __repr__(self) -> str:
        return f"<Org {self.name}>"

    @cached_property
    def worked_out(self) -> dict[Any, Any]:
        """What follows from these settings and need not be worked out at every request.

        Here, because settings that were read anew are another object, with nothing kept.
        """
        return {}


class TypeRule(Struct, frozen=True, kw_only=True):
    """What an endpoint of one type must say."""

    required: tuple[str, ...] = ()
    """Fields of metadata that it cannot do without."""
    auth_types: tuple[str, ...] = ()


def parse(
    document: bytes,
    *,
    source: str,
    types: Collection[str],
    rules: Mapping[str, TypeRule] | None = None,
    reach: Reach = "any",
) -> Org:
    """Settings from JSON. `source` is the file's name, `types` the providers there are.

    `reach` is what the deployment connects to for an organisation.
    """
    try:
        org = msgspec.convert(_without_blanks(msgspec.json.decode(document)), Org)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{source}: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{source}: not JSON: {error}") from error
    for path, fault in _faults(org, types, rules or {}, reach):
        raise SettingsError(f"{source}: {fault} - at `{path}`")
    return org


_MEANT_BLANK: Final = frozenset({"endpoint_path"})
"""Here an empty text says something: the base URL is the whole URL."""


def _without_blanks(document: Any) -> Any:
    """The reference exports null, or an empty text, for a field of metadata that is not set.

    It says `authType` for one provider and `auth_type` for the others.
    """
    endpoints = document.get("endpoints") if isinstance(document, dict) else None
    if not isinstance(endpoints, list):
        return document
    cleaned = [_cleaned(e) if isinstance(e, dict) else e for e in endpoints]
    return {**document, "endpoints": cleaned}


def _cleaned(endpoint: dict[str, Any]) -> dict[str, Any]:
    metadata = endpoint.get("metadata")
    if not isinstance(metadata, dict):
        return {name: value for name, value in endpoint.items() if name != "metadata" or value}
    said = {
        name: value
        for name, value in metadata.items()
        if value is not None and (value != "" or name in _MEANT_BLANK)
    }
    if "authType" in said:
        said.setdefault("auth_type", said.pop("authType"))
    if isinstance(models := said.get("customModels"), dict):
        said["customModels"] = {
            name: {k: v for k, v in model.items() if v is not None}
            if isinstance(model, dict)
            else model
            for name, model in models.items()
        }
    return {**endpoint, "metadata": said}


def _faults(
    org: Org, types: Collection[str], rules: Mapping[str, TypeRule], reach: Reach
) -> list[tuple[str, str]]:
    faults: list[tuple[str, str]] = []
    if not _NAME.fullmatch(org.name):
        faults.append(("$.name", "An organisation needs a name of 1 to 200 characters"))
    faults += [
        (f"$.keys[{i}].key", f"A key is `{KEY_PREFIX}` and 16 to 200 letters, digits or `_`")
        for i, key in enumerate(org.keys)
        if not _KEY.fullmatch(key.key)
    ]
    faults += [
        (f"$.keys[{i}].name", "A key's name has 1 to 200 printable characters")
        for i, key in enumerate(org.keys)
        if not _NAME.fullmatch(key.name)
    ]
    keys = [key.key for key in org.keys]
    faults += [
        (f"$.keys[{i}].key", f"The same key as `$.keys[{keys.index(key)}]`")
        for i, key in enumerate(keys)
        if key in keys[:i]
    ]
    names: set[str] = set()
    for i, endpoint in enumerate(org.endpoints):
        at = f"$.endpoints[{i}]"
        if endpoint.type not in types:
            known = ", ".join(sorted(types))
            faults.append((f"{at}.type", f"Unknown type `{endpoint.type}`; there are: {known}"))
        if endpoint.name is not None and endpoint.name in names:
            faults.append((f"{at}.name", f"A second endpoint named `{endpoint.name}`"))
        names.add(endpoint.name or "")
        rule = rules.get(endpoint.type, TypeRule())
        faults += _endpoint_faults(endpoint, at, reach)
        faults += _rule_faults(endpoint, rule, f"{at}.metadata")
    for name in ("connect_s", "first_byte_s", "first_token_s", "idle_s", "total_s"):
        seconds = getattr(org.timeouts, name)
        if seconds is not None and seconds <= 0:
            faults.append((f"$.timeouts.{name}", "A timeout is more than 0 seconds"))
    faults += _cache_faults(org)
    faults += _routing_faults(org)
    if org.midstream not in ("error", "continue"):
        faults.append(("$.midstream", "`midstream` is `error` or `continue`"))
    return faults


MOST_ATTEMPTS: Final = 100
MOST_FALLBACKS: Final = 20
MOST_HEDGED: Final = 0.5


def _routing_faults(org: Org) -> list[tuple[str, str]]:
    faults = []
    if not 1 <= org.retry.max_attempts <= MOST_ATTEMPTS:
        said = f"`max_attempts` is from 1, the first attempt, to {MOST_ATTEMPTS}"
        faults.append(("$.retry.max_attempts", said))
    if org.retry.budget_s < 0:
        faults.append(("$.retry.budget_s", "A budget is 0 seconds (no second attempt) or more"))
    if org.balance not in ("weighted", "least_busy"):
        faults.append(("$.balance", "`balance` is `weighted` or `least_busy`"))
    if org.hedge is not None and not 0 < org.hedge.share <= MOST_HEDGED:
        said = f"`share` is more than 0 and at most {MOST_HEDGED}: a part of the requests"
        faults.append(("$.hedge.share", said))
    for model, others in org.fallbacks.items():
        at = f"$.fallbacks.{model[:100]}"
        if len(others) > MOST_FALLBACKS:
            faults.append((at, f"A model has at most {MOST_FALLBACKS} fallbacks"))
        if not all(others):
            faults.append((at, "A fallback is the name of a model"))
    return faults


_DATA_KEY: Final = re.compile(r"[A-Za-z0-9_-]{43}=?")
MOST_DATA_KEYS: Final = 3
"""All are looked up at once, for each request."""


def _cache_faults(org: Org) -> list[tuple[str, str]]:
    faults = [
        (f"$.data_keys[{i}].key", "A data key is 32 bytes in base64url (`cutwater cache new-key`)")
        for i, data in enumerate(org.data_keys)
        if not _DATA_KEY.fullmatch(data.key)
    ]
    if len({data.generation for data in org.data_keys}) < len(org.data_keys):
        faults.append(("$.data_keys", "Two data keys of one generation"))
    if len(org.data_keys) > MOST_DATA_KEYS:
        faults.append(("$.data_keys", f"At most {MOST_DATA_KEYS} generations are kept"))
    if org.shared_cache and not org.data_keys:
        said = "`shared_cache` needs a data key: `cutwater cache new-key` makes one"
        faults.append(("$.data_keys", said))
    faults += [
        (f"$.cache.{name}", "A time limit is more than 0 seconds")
        for name in ("read_s", "single_flight_wait_s")
        if getattr(org.cache, name) <= 0
    ]
    return faults


def _endpoint_faults(endpoint: Endpoint, at: str, reach: Reach) -> list[tuple[str, str]]:
    faults: list[tuple[str, str]] = []
    if endpoint.name is not None and not _NAME.fullmatch(endpoint.name):
        faults.append((f"{at}.name", "An endpoint's name has 1 to 200 printable characters"))
    if CONTROL.search(endpoint.secret or ""):
        faults.append((f"{at}.secret", "A secret holds no line end or other control character"))
    if endpoint.weight < 0:
        faults.append((f"{at}.weight", "A weight is 0 or more"))
    faults += credential_faults(endpoint.secret, f"{at}.secret", reach)
    return faults + _metadata_faults(endpoint.metadata, f"{at}.metadata", reach)


_PROSE: Final = frozenset({"override_system_prompt"})
"""It goes into a body, and may have lines. Everything else goes into a head, or is shown."""
_PUBLIC_NAMES: Final = {field.name: field.encode_name for field in msgspec.structs.fields(Metadata)}


def _metadata_faults(metadata: Metadata, at: str, reach: Reach) -> list[tuple[str, str]]:
    faults: list[tuple[str, str]] = []
    for name, base in (("api_base", metadata.api_base), ("token_base", metadata.token_base)):
        if base is not None and (wrong := addresses.fault(base, reach)) is not None:
            faults.append((f"{at}.{name}", f"`{name}` {wrong}"))
    for name, part in (("region", metadata.region), ("location", metadata.location)):
        if part is not None and not _LABEL.fullmatch(part):
            faults.append((f"{at}.{name}", f"`{name}` is letters, digits and `-`"))
    for name, public in _PUBLIC_NAMES.items():
        value = getattr(metadata, name)
        texts = (value,) if isinstance(value, str) else value
        if name in _PROSE or not isinstance(texts, (tuple, dict)):
            continue
        if any(CONTROL.search(text) for text in texts):
            fault = f"`{public}` holds no line end or other control character"
            faults.append((f"{at}.{public}", fault))
    return faults + header_faults(metadata.additional_headers, f"{at}.additionalHeaders")


def _rule_faults(endpoint: Endpoint, rule: TypeRule, at: str) -> list[tuple[str, str]]:
    faults = [
        (f"{at}.{name}", f"An endpoint of the type `{endpoint.type}` needs `{name}`")
        for name in rule.required
        if getattr(endpoint.metadata, name) is None
    ]
    kind = endpoint.metadata.auth_type
    if kind is not None and rule.auth_types and kind not in rule.auth_types:
        known = ", ".join(rule.auth_types)
        faults.append((f"{at}.auth_type", f"`auth_type` is one of: {known}"))
    return faults
