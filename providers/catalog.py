"""One row per provider. What differs between providers is data; code reads it.

`drop` of OpenAI: fields of the reference proxy's own, which it strips too.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from core.routing import Provider

_REFERENCE_FIELDS: Final = frozenset({"use_cache", "reasoning_enabled", "reasoning_budget"})

PROVIDERS: Final[Mapping[str, Provider]] = {
    "openai": Provider(
        base_url="https://api.openai.com/v1",
        drop=_REFERENCE_FIELDS,
        drop_in_messages=frozenset({"reasoning"}),
        key_variable="OPENAI_API_KEY",
        base_variable="OPENAI_BASE_URL",
        # Plain `sk-` is too common to tell; these are OpenAI's alone.
        key_prefix=("sk-proj-", "sk-svcacct-", "sk-admin-"),
    ),
    "anthropic": Provider(
        base_url="https://api.anthropic.com/v1",
        dialects=("anthropic",),
        auth="x-api-key",
        headers={"anthropic-version": "2023-06-01"},
        key_variable="ANTHROPIC_API_KEY",
        base_variable="ANTHROPIC_BASE_URL",
        sdk_path="/v1",
        key_prefix="sk-ant-",
    ),
    "ollama": Provider(
        base_url="http://127.0.0.1:11434/v1",
        drop=_REFERENCE_FIELDS,
        base_variable="OLLAMA_HOST",
        sdk_path="/v1",
    ),
    "demo": Provider(base_url="demo:", auth="none", built_in=True),
}


def configured(environment: Mapping[str, str]) -> dict[str, Provider]:
    """The table with the base URLs that the environment names, as the providers' SDKs read them."""
    providers = dict(PROVIDERS)
    for name, provider in PROVIDERS.items():
        base = environment.get(provider.base_variable or "")
        if base and base.startswith(("http://", "https://")):
            url = base.rstrip("/").removesuffix(provider.sdk_path) + provider.sdk_path
            providers[name] = msgspec.structs.replace(provider, base_url=url)
    if environment.get("CUTWATER_DEMO", "on") == "off":
        del providers["demo"]
    return providers
