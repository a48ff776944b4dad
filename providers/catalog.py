"""One row per provider. What differs between providers is data; code reads it.

A row's `drop` names fields that the provider answers with a 400; the first
ones are the reference proxy's own, which no provider knows.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from core import authorization, realtime_address
from core.authorization import AuthKind, Authorization
from core.media import NOTHING, Urls
from core.orgs import Endpoint, TypeRule
from core.routing import Provider, Shape
from providers import azure, bedrock, databricks, google, lepton, vertex

_REFERENCE_FIELDS: Final = frozenset({"use_cache", "reasoning_enabled", "reasoning_budget"})
_REASONING: Final = frozenset({"reasoning"})
_ANTHROPIC_VERSION: Final = {"anthropic-version": "2023-06-01"}
_ON_VERTEX: Final = ("gs://", "https://")
_VERTEX_URLS: Final = Urls(
    image=_ON_VERTEX, document=_ON_VERTEX, audio=_ON_VERTEX, video=_ON_VERTEX, typed=True
)
_ONLY_OPENAI: Final = frozenset(
    {"include", "prompt_cache_key", "safety_identifier", "store", "truncation"}
)
"""Fields of responses that change no answer where nothing is kept."""
_OLD_NAMES: Final = {"max_completion_tokens": "max_tokens"}
"""For those who never took over OpenAI's new name."""
_NO_DEVELOPER: Final = {"developer": "system"}
"""OpenAI's own role: others answer 400 (DeepSeek, Mistral) or forget the message (Fireworks)."""


def _like_openai(base_url: str, *, drop: frozenset[str] = frozenset(), **more: Any) -> Provider:
    """A provider in OpenAI's format, at `base_url`."""
    row = Provider(
        base_url=base_url,
        drop=_REFERENCE_FIELDS | drop,
        drop_in_messages=_REASONING,
        roles=_NO_DEVELOPER,
    )
    return msgspec.structs.replace(row, **more)


_KEY_OF_FORMAT: Final[Mapping[str, AuthKind]] = {
    "anthropic": "x-api-key",
    "google": "x-goog-api-key",
}


def _as_its_format_has_it(endpoint: Endpoint) -> Authorization:
    kind = _KEY_OF_FORMAT.get(endpoint.metadata.format or "openai", "bearer")
    if endpoint.metadata.auth_format == "api_key":
        kind = "key-scheme"
    return authorization.static(kind, endpoint.secret)


def _not_spoken(endpoint: Endpoint) -> Authorization:
    """The reference's settings name it, and must load."""
    raise authorization.unusable(
        endpoint, "workload identity federation is for `vertex` only: use a key or a token."
    )


PROVIDERS: Final[Mapping[str, Provider]] = {
    "openai": _like_openai(
        "https://api.openai.com/v1",
        roles={},
        dialects=("openai_chat", "openai_responses"),
        auth_types={
            "api_key": "bearer",
            "oauth_bearer": "bearer",
            "workload_identity_federation": _not_spoken,
        },
        shapes={"openai_responses": Shape(drop=frozenset({"seed"}))},
        whole_api=True,
        own_models=True,
        counts={"openai_responses": "responses"},
        realtime=realtime_address.like_openai,
        key_variable="OPENAI_API_KEY",
        base_variable="OPENAI_BASE_URL",
        # Plain `sk-` is too common to tell; these are OpenAI's alone.
        key_prefix=("sk-proj-", "sk-svcacct-", "sk-admin-"),
    ),
    "azure": _like_openai(
        "",
        roles={},
        dialects=("openai_chat", "openai_responses"),
        since=azure.SINCE,
        own_models=True,
        url=azure.url,
        model_name=azure.model_name,
        auth="api-key",
        auth_types=azure.AUTH_TYPES,
        required=("api_base",),
        older=azure.OLDER,
        whole_api=True,
        version=azure.version,
        realtime=azure.realtime,
    ),
    "azure_ai_gateway": _like_openai(
        "", roles={}, auth="api-key", auth_types=azure.AUTH_TYPES, required=("api_base",)
    ),
    "anthropic": Provider(
        base_url="https://api.anthropic.com/v1",
        dialects=("anthropic",),
        embeddings="none",
        whole_api=True,
        auth="x-api-key",
        auth_types={
            "api_key": "x-api-key",
            "oauth_bearer": "bearer",
            "workload_identity_federation": _not_spoken,
        },
        headers=_ANTHROPIC_VERSION,
        counts={"anthropic": "anthropic"},
        key_variable="ANTHROPIC_API_KEY",
        base_variable="ANTHROPIC_BASE_URL",
        sdk_path="/v1",
        key_prefix="sk-ant-",
    ),
    "bedrock": Provider(
        base_url="",
        url=bedrock.url,
        dialects=("converse",),
        dialects_of={"anthropic": ("anthropic", "converse")},
        auth=bedrock.iam_credentials,
        auth_types=bedrock.AUTH_TYPES,
        required=("region",),
        shapes={
            "anthropic": Shape(
                set={"anthropic_version": Raw(b'"bedrock-2023-05-31"')},
                drop=frozenset({"model", "stream"}),
                betas="anthropic_beta",
            )
        },
        embeddings="bedrock",
        key_prefix=("ABSK", "bedrock-api-key-"),
        counts={"anthropic": "claude_on_bedrock", "converse": "converse"},
        wires={"anthropic": bedrock.CLAUDE},
        # "URL sources are not supported", as on Vertex.
        urls={"anthropic": NOTHING},
    ),
    "google": Provider(
        base_url="https://generativelanguage.googleapis.com/v1beta",
        dialects=("gemini",),
        auth="x-goog-api-key",
        embeddings="gemini",
        counts={"gemini": "gemini"},
        whole_api=True,
        key_variable="GEMINI_API_KEY",
        other_key_variable="GOOGLE_API_KEY",
        base_variable="GOOGLE_GEMINI_BASE_URL",
        sdk_path="/v1beta",
        key_prefix=("AIza", "AQ."),
    ),
    "vertex": Provider(
        base_url="",
        url=vertex.url,
        model_name=vertex.model_name,
        dialects=("gemini",),
        dialects_of={"anthropic": ("anthropic",), "openai": ("openai_chat",)},
        auth="bearer",
        auth_types=google.AUTH_TYPES,
        embeddings="vertex",
        key_prefix="ya29.",
        counts={"anthropic": "claude_on_vertex", "gemini": "gemini_on_vertex"},
        required=("project",),
        roles=_NO_DEVELOPER,
        drop=_REFERENCE_FIELDS,
        drop_in_messages=_REASONING,
        shapes={
            "anthropic": Shape(
                set={"anthropic_version": Raw(b'"vertex-2023-10-16"')}, drop=frozenset({"model"})
            )
        },
        urls={"anthropic": NOTHING, "gemini": _VERTEX_URLS},
    ),
    "mistral": _like_openai(
        "https://api.mistral.ai/v1",
        # https://docs.mistral.ai/api: what it does not list is answered with a 422.
        rename=_OLD_NAMES | {"seed": "random_seed"},
        drop=frozenset(
            {"logit_bias", "logprobs", "top_logprobs", "service_tier", "store", "user", "verbosity"}
        ),
        usage_in_stream=False,
        # https://docs.mistral.ai/capabilities/completion/prefix
        prefix=True,
        restated=True,
        embeddings="renamed",
        key_variable="MISTRAL_API_KEY",
    ),
    "together": _like_openai(
        "https://api.together.xyz/v1",
        rename=_OLD_NAMES,
        schema_as_tool=True,
        key_variable="TOGETHER_API_KEY",
        base_variable="TOGETHER_BASE_URL",
        key_prefix="tgp_v1_",
    ),
    "fireworks": _like_openai(
        "https://api.fireworks.ai/inference/v1",
        # https://docs.fireworks.ai/api-reference/post-responses. Its messages take no adaptive
        # thinking, which a translation to chat has a place for.
        dialects=("openai_chat", "openai_responses"),
        rename=_OLD_NAMES,
        usage_in_stream=False,
        key_variable="FIREWORKS_API_KEY",
        key_prefix="fw_",
    ),
    "groq": _like_openai(
        "https://api.groq.com/openai/v1",
        # https://console.groq.com/docs/responses-api: nothing is kept between two requests.
        dialects=("openai_chat", "openai_responses"),
        shapes={"openai_responses": Shape(drop=_ONLY_OPENAI)},
        # https://console.groq.com/docs/openai names these.
        drop=frozenset({"logit_bias", "logprobs", "top_logprobs"}),
        drop_in_messages=frozenset({"reasoning", "name"}),
        key_variable="GROQ_API_KEY",
        base_variable="GROQ_BASE_URL",
        sdk_path="/openai/v1",
        key_prefix="gsk_",
    ),
    "perplexity": _like_openai(
        "https://api.perplexity.ai",
        rename=_OLD_NAMES,
        key_variable="PERPLEXITY_API_KEY",
        key_prefix="pplx-",
    ),
    "replicate": _like_openai(
        "https://openai-proxy.replicate.com/v1",
        rename=_OLD_NAMES,
        schema_as_tool=True,
        key_variable="REPLICATE_API_TOKEN",
        key_prefix="r8_",
    ),
    "ollama": _like_openai(
        "http://127.0.0.1:11434/v1",
        rename=_OLD_NAMES,
        # Its own machine fetches nothing: an image is base64.
        urls={"openai_chat": NOTHING},
        base_variable="OLLAMA_HOST",
        sdk_path="/v1",
    ),
    "lepton": _like_openai(
        "",
        url=lepton.url,
        rename=_OLD_NAMES,
        schema_as_tool=True,
        key_variable="LEPTON_API_TOKEN",
    ),
    "cerebras": _like_openai(
        "https://api.cerebras.ai/v1",
        # https://inference-docs.cerebras.ai/api-reference/chat-completions names the role.
        roles={},
        # https://inference-docs.cerebras.ai/resources/openai names these.
        drop=frozenset({"frequency_penalty", "presence_penalty", "logit_bias", "service_tier"}),
        # https://inference-docs.cerebras.ai/capabilities/image-inputs: data URLs only.
        urls={"openai_chat": NOTHING},
        key_variable="CEREBRAS_API_KEY",
        base_variable="CEREBRAS_BASE_URL",
        sdk_path="/v1",
        key_prefix="csk-",
    ),
    "xAI": _like_openai(
        "https://api.x.ai/v1",
        # https://docs.x.ai/docs/api-reference
        dialects=("openai_chat", "openai_responses"),
        # https://docs.x.ai/docs/guides/voice
        realtime=realtime_address.like_openai,
        key_variable="XAI_API_KEY",
        key_prefix="xai-",
    ),
    "cohere": _like_openai(
        "https://api.cohere.com/compatibility/v1",
        # https://docs.cohere.com/docs/compatibility-api names these.
        rename=_OLD_NAMES,
        drop=frozenset(
            {
                "audio",
                "logit_bias",
                "metadata",
                "modalities",
                "n",
                "parallel_tool_calls",
                "prediction",
                "service_tier",
                "store",
                "top_logprobs",
            }
        ),
        embeddings="cohere",
        key_variable="COHERE_API_KEY",
    ),
    "databricks": _like_openai(
        "",
        url=databricks.url,
        auth_types=databricks.AUTH_TYPES,
        required=("api_base",),
        key_prefix="dapi",
        rename=_OLD_NAMES,
        drop=frozenset({"parallel_tool_calls"}),
        usage_in_stream=False,
    ),
    "baseten": _like_openai("https://inference.baseten.co/v1", key_variable="BASETEN_API_KEY"),
    "openrouter": _like_openai(
        "https://openrouter.ai/api/v1",
        roles={},
        # https://openrouter.ai/docs/api-reference
        dialects=("openai_chat", "openai_responses", "anthropic"),
        shapes={"anthropic": Shape(headers=_ANTHROPIC_VERSION)},
        drop_in_messages=frozenset(),  # It has a field `reasoning` of its own.
        key_variable="OPENROUTER_API_KEY",
        key_prefix="sk-or-",
    ),
    "voyage": _like_openai(
        "https://api.voyageai.com/v1",
        embeddings="renamed",
        key_variable="VOYAGE_API_KEY",
        key_prefix="pa-",
    ),
    "deepseek": _like_openai(
        "https://api.deepseek.com/v1",
        # https://api-docs.deepseek.com/guides/anthropic_api
        dialects=("openai_chat", "openai_responses", "anthropic"),
        shapes={
            "openai_responses": Shape(base_url="https://api.deepseek.com"),
            "anthropic": Shape(
                base_url="https://api.deepseek.com/anthropic/v1",
                auth="x-api-key",
                headers=_ANTHROPIC_VERSION,
            ),
        },
        rename=_OLD_NAMES,
        schema_as_tool=True,
        key_variable="DEEPSEEK_API_KEY",
    ),
    "braintrust": _like_openai("", roles={}),
    "custom": Provider(
        base_url="",
        auth=_as_its_format_has_it,
        auth_types={
            "bearer": "bearer",
            "x-api-key": "x-api-key",
            "api-key": "api-key",
            "x-goog-api-key": "x-goog-api-key",
            "none": "none",
        },
        required=("api_base",),
        shapes={"anthropic": Shape(headers=_ANTHROPIC_VERSION)},
        any_model=True,
        realtime=realtime_address.like_openai,
    ),
    "js": Provider(base_url="", auth="none", in_client=True),
    "demo": Provider(base_url="demo:", auth="none", embeddings="none", built_in=True),
}


def rules() -> dict[str, TypeRule]:
    """What the settings of an endpoint must say, by its type."""
    return {
        name: TypeRule(required=row.required, auth_types=tuple(row.auth_types))
        for name, row in PROVIDERS.items()
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
