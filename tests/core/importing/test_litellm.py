"""LiteLLM's model list becomes endpoints that serve those models and no others."""

from typing import Any

import pytest
import yaml

from core.importing import litellm
from core.importing.common import Imported, ImportingError
from tests.core.importing.known import KNOWN, endpoints, loaded, said

ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-sentinel-openai",
    "ANTHROPIC_API_KEY": "sk-ant-sentinel",
    "AZURE_API_KEY_EU": "az-sentinel-eu",
    "AWS_REGION": "eu-west-1",
}


def take(text: str, environment: dict[str, str] | None = None, **more: Any) -> Imported:
    environment = ENVIRONMENT if environment is None else environment
    return litellm.take(yaml.safe_load(text), KNOWN, environment=environment, **more)


def one(parameters: dict[str, Any], name: str = "m", **beside: Any) -> Imported:
    entry = {"model_name": name, "litellm_params": parameters, **beside}
    return litellm.take({"model_list": [entry]}, KNOWN, environment=ENVIRONMENT)


def test_models_with_one_key_are_one_endpoint_that_serves_just_these():
    imported = take("""
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: os.environ/OPENAI_API_KEY
  - model_name: fast
    litellm_params:
      model: gpt-4o-mini
      api_key: os.environ/OPENAI_API_KEY
  - model_name: claude-sonnet-4-5
    litellm_params:
      model: anthropic/claude-sonnet-4-5
""")
    assert endpoints(imported) == [
        {
            "name": "openai",
            "type": "openai",
            "secret": "sk-sentinel-openai",
            "metadata": {
                "models": ["gpt-4o"],
                "customModels": {
                    "fast": {"format": "openai", "flavor": "chat", "upstream_name": "gpt-4o-mini"}
                },
            },
        },
        {
            "name": "anthropic",
            "type": "anthropic",
            "secret": "sk-ant-sentinel",
            "metadata": {"models": ["claude-sonnet-4-5"]},
        },
    ]
    assert imported.untaken == ()
    assert imported.document["name"] == "imported"


def test_deployments_of_one_name_are_balanced_as_litellm_does():
    imported = take("""
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://acme-eu.openai.azure.com/
      api_key: os.environ/AZURE_API_KEY_EU
      api_version: "2024-10-21"
      rpm: 900
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-us
      api_base: https://acme-us.openai.azure.com/
      api_key: az-sentinel-us
      rpm: 100
  - model_name: gpt-4o
    litellm_params: {model: gpt-4o, order: 1}
  - model_name: alone
    litellm_params: {model: gpt-4o, rpm: 7}
""")
    found = endpoints(imported)
    assert [(e["name"], e.get("weight")) for e in found] == [
        ("azure", 0.0),
        ("azure-2", 0.0),
        ("openai", 0.0),
        ("openai-2", None),
    ]
    assert found[0]["metadata"] == {
        "api_base": "https://acme-eu.openai.azure.com",
        "api_version": "2024-10-21",
        "customModels": {
            "gpt-4o": {"format": "openai", "flavor": "chat", "upstream_name": "gpt-4o-eu"}
        },
        "excludeDefaultModels": True,
    }
    assert "key create --rpm" in said(imported)["$.model_list[0].litellm_params.rpm"]


WEIGHTS = [
    ([{"rpm": 900}, {"rpm": 100}], [900, 100]),
    ([{"tpm": 10}, {"tpm": 30}], [10, 30]),
    ([{"weight": 2}, {"rpm": 100}], [2, 0]),
    ([{"weight": 2}, {"weight": 1}], [2, None]),
    ([{"order": 1}, {"order": 2}, {"order": 3}], [None, 0, 0]),
    ([{}, {}], [None, None]),
    ([{"rpm": True}, {"rpm": "9"}], [None, None]),
]


@pytest.mark.parametrize(("parameters", "weights"), WEIGHTS)
def test_weights(parameters: list[dict[str, Any]], weights: list[float | None]):
    entries = [
        {"model_name": "m", "litellm_params": {"model": "gpt-4o", "api_key": f"sk-{i}", **more}}
        for i, more in enumerate(parameters)
    ]
    imported = litellm.take({"model_list": entries}, KNOWN, environment={})
    assert [e.get("weight") for e in endpoints(imported)] == weights
    many = len(parameters) > 2
    assert ("two levels only" in str(imported.untaken)) is many


def test_two_deployments_under_one_name_at_one_address_stay_two():
    azure = {"api_base": "https://acme.openai.azure.com", "api_key": "az"}
    entries = [
        {"model_name": "gpt-4o", "litellm_params": {"model": f"azure/{name}", **azure}}
        for name in ("first", "second")
    ]
    found = endpoints(litellm.take({"model_list": entries}, KNOWN, environment={}))
    sent = [e["metadata"]["customModels"]["gpt-4o"]["upstream_name"] for e in found]
    assert sent == ["first", "second"]


def test_limits_beside_the_parameters_count_as_well():
    entries = [
        {"model_name": "m", "rpm": rpm, "litellm_params": {"model": "gpt-4o", "api_key": f"{rpm}"}}
        for rpm in (1, 3)
    ]
    imported = litellm.take({"model_list": entries}, KNOWN, environment={})
    assert [e.get("weight") for e in endpoints(imported)] == [None, 3]


PROVIDERS: list[tuple[dict[str, Any], str, str | None, dict[str, Any], str]] = [
    (
        {
            "model": "bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0",
            "aws_region_name": "us-east-1",
        },
        "bedrock",
        None,
        {"region": "us-east-1"},
        "anthropic",
    ),
    (
        {
            "model": "bedrock/converse/us.amazon.nova-pro-v1:0",
            "aws_access_key_id": "AKIA",
            "aws_secret_access_key": "s",
            "aws_session_token": "t",
        },
        "bedrock",
        "s",
        {"region": "eu-west-1", "access_key": "AKIA", "session_token": "t"},
        "converse",
    ),
    (
        {"model": "bedrock/us-gov-west-1/meta.llama3-70b-instruct-v1:0", "api_key": "ABSK"},
        "bedrock",
        "ABSK",
        {"region": "us-gov-west-1", "auth_type": "api_key"},
        "converse",
    ),
    (
        {
            "model": "bedrock/amazon.nova-lite-v1:0",
            "aws_role_name": "arn:aws:iam::1:role/r",
            "aws_session_name": "s",
            "aws_external_id": "x",
            "aws_bedrock_runtime_endpoint": "https://vpce.test",
        },
        "bedrock",
        None,
        {
            "region": "eu-west-1",
            "role_arn": "arn:aws:iam::1:role/r",
            "external_id": "x",
            "auth_type": "assume_role",
            "api_base": "https://vpce.test",
        },
        "converse",
    ),
    (
        {
            "model": "vertex_ai/gemini-2.5-pro",
            "vertex_project": "p",
            "vertex_location": "us-central1",
            "vertex_credentials": {"type": "service_account"},
        },
        "vertex",
        '{"type":"service_account"}',
        {"project": "p", "location": "us-central1", "auth_type": "service_account_key"},
        "google",
    ),
    (
        {
            "model": "vertex_ai/claude-sonnet-4-5@20250929",
            "vertex_project": "p",
            "vertex_credentials": '{"type": "service_account"}',
        },
        "vertex",
        '{"type": "service_account"}',
        {"project": "p", "auth_type": "service_account_key"},
        "anthropic",
    ),
    (
        {
            "model": "vertex_ai/meta/llama-4-maverick",
            "vertex_project": "p",
            "vertex_credentials": "{}",
        },
        "vertex",
        "{}",
        {"project": "p", "auth_type": "service_account_key"},
        "openai",
    ),
    ({"model": "gemini/gemini-2.5-flash", "api_key": "AI"}, "google", "AI", {}, "google"),
    (
        {"model": "anthropic/claude-opus-4-5", "api_key": "k", "api_base": "https://a.test"},
        "anthropic",
        "k",
        {"api_base": "https://a.test/v1"},
        "anthropic",
    ),
    (
        {"model": "ollama_chat/llama3.1", "api_base": "http://127.0.0.1:11434"},
        "ollama",
        None,
        {"api_base": "http://127.0.0.1:11434/v1"},
        "openai",
    ),
    (
        {"model": "hosted_vllm/meta-llama/Llama-3-8B", "api_base": "http://vllm.test/v1"},
        "custom",
        None,
        {"api_base": "http://vllm.test/v1"},
        "openai",
    ),
    (
        {"model": "deepinfra/Qwen/Qwen3-235B", "api_key": "k"},
        "custom",
        "k",
        {"api_base": "https://api.deepinfra.com/v1/openai"},
        "openai",
    ),
    (
        {
            "model": "openai/qwen",
            "api_key": "k",
            "api_base": "http://x.test/v1/chat/completions",
            "organization": "org-1",
            "extra_headers": {"x-team": "ml"},
        },
        "openai",
        "k",
        {
            "api_base": "http://x.test/v1",
            "organization_id": "org-1",
            "additionalHeaders": {"x-team": "ml"},
        },
        "openai",
    ),
    (
        {"model": "qwen", "custom_llm_provider": "openai", "api_key": "k"},
        "openai",
        "k",
        {},
        "openai",
    ),
    ({"model": "groq/llama-3.3-70b-versatile", "api_key": "k"}, "groq", "k", {}, "openai"),
    ({"model": "together_ai/meta/x", "api_key": "k"}, "together", "k", {}, "openai"),
    ({"model": "fireworks_ai/accounts/x", "api_key": "k"}, "fireworks", "k", {}, "openai"),
    ({"model": "xai/grok-4", "api_key": "k"}, "xAI", "k", {}, "openai"),
    ({"model": "command-r-plus", "api_key": "k"}, "cohere", "k", {}, "openai"),
    (
        {"model": "azure_ai/mistral-large", "api_key": "k", "api_base": "https://f.test"},
        "azure_ai_gateway",
        "k",
        {"api_base": "https://f.test"},
        "openai",
    ),
    (
        {
            "model": "azure/d",
            "api_base": "https://a.test/openai/deployments/d/chat/completions",
            "tenant_id": "t",
            "client_id": "c",
            "client_secret": "s",
        },
        "azure",
        '{"tenant_id":"t","client_id":"c","client_secret":"s"}',
        {"api_base": "https://a.test", "auth_type": "entra_api"},
        "openai",
    ),
    (
        {"model": "azure/my-gpt-3.5", "api_base": "https://a.test", "azure_ad_token": "t"},
        "azure",
        "t",
        {"api_base": "https://a.test", "deployment": "my-gpt-3.5", "auth_type": "entra_bearer"},
        "openai",
    ),
]


@pytest.mark.parametrize(
    ("parameters", "kind", "secret", "metadata", "shape"),
    PROVIDERS,
    ids=[case[0]["model"] for case in PROVIDERS],
)
def test_every_provider_of_theirs_that_is_one_of_ours(
    parameters: dict[str, Any], kind: str, secret: str | None, metadata: dict[str, Any], shape: str
):
    imported = one(parameters)
    assert imported.untaken == ()
    [found] = endpoints(imported)
    assert (found["type"], found.get("secret")) == (kind, secret)
    model = found["metadata"].pop("customModels")["m"]
    assert found["metadata"].pop("excludeDefaultModels")
    assert found["metadata"] == metadata
    assert model["format"] == shape


UNTAKEN: list[tuple[dict[str, Any], str, str]] = [
    ({"model": "watsonx/ibm/granite", "api_key": "k"}, "model", "`watsonx` is not known"),
    ({"model": "my-own-model", "api_key": "k"}, "model", "whose model is it"),
    ({"api_key": "k"}, "model", "there is no model"),
    ({"model": "azure/d", "api_key": "k"}, "", "needs `api_base`"),
    ({"model": "vertex_ai/gemini-2.5-pro", "vertex_credentials": "{}"}, "", "needs `project`"),
    ({"model": "hosted_vllm/x"}, "", "needs `api_base`"),
]


@pytest.mark.parametrize(("parameters", "field", "words"), UNTAKEN)
def test_a_deployment_that_cannot_be_reached_is_left_out_and_named(
    parameters: dict[str, Any], field: str, words: str
):
    imported = one(parameters)
    assert endpoints(imported) == []
    path = "$.model_list[0]" + (f".litellm_params.{field}" if field else "")
    assert words in said(imported)[path]


def test_what_the_environment_does_not_hold_is_named_and_not_guessed():
    imported = one({"model": "openai/gpt-4o", "api_key": "os.environ/ACME_KEY"}, "gpt-4o")
    assert "secret" not in endpoints(imported)[0]
    assert "no ACME_KEY" in said(imported)["$.model_list[0].litellm_params.api_key"]


def test_two_missing_keys_are_two_endpoints():
    entries = [
        {"model_name": name, "litellm_params": {"model": "gpt-4o", "api_key": f"os.environ/{name}"}}
        for name in ("A", "B")
    ]
    found = endpoints(litellm.take({"model_list": entries}, KNOWN, environment={}))
    assert [e["name"] for e in found] == ["openai", "openai-2"]


def test_a_missing_key_and_missing_credentials_are_named():
    imported = litellm.take(
        {
            "model_list": [
                {"model_name": "a", "litellm_params": {"model": "mistral/mistral-large-latest"}},
                {
                    "model_name": "b",
                    "litellm_params": {"model": "vertex_ai/gemini-2.5-pro", "vertex_project": "p"},
                },
                {
                    "model_name": "c",
                    "litellm_params": {
                        "model": "vertex_ai/gemini-2.5-pro",
                        "vertex_project": "p",
                        "vertex_credentials": "/secrets/key.json",
                    },
                },
            ]
        },
        KNOWN,
        environment={},
    )
    paths = said(imported)
    assert "put it into `secret`" in paths["$.model_list[0].litellm_params.api_key"]
    assert "service account" in paths["$.model_list[1].litellm_params.vertex_credentials"]
    assert "content of that file" in paths["$.model_list[2].litellm_params.vertex_credentials"]
    assert len(endpoints(imported)) == 3


def test_prices_limits_and_abilities_come_along():
    imported = one(
        {"model": "openai/gpt-4o", "api_key": "k", "input_cost_per_token": 0.0000025},
        "gpt-4o",
        model_info={
            "mode": "chat",
            "output_cost_per_token": 1e-05,
            "cache_read_input_token_cost": 1.25e-06,
            "max_input_tokens": 128000,
            "max_tokens": 4096,
            "supports_vision": True,
            "id": "main",
        },
    )
    assert endpoints(imported)[0]["metadata"]["customModels"]["gpt-4o"] == {
        "format": "openai",
        "flavor": "chat",
        "input_cost_per_mil_tokens": 2.5,
        "output_cost_per_mil_tokens": 10.0,
        "input_cache_read_cost_per_mil_tokens": 1.25,
        "max_input_tokens": 128000,
        "max_output_tokens": 4096,
        "multimodal": True,
    }
    assert list(said(imported)) == ["$.model_list[0].model_info.id"]


@pytest.mark.parametrize(
    ("mode", "flavor"),
    [
        ("embedding", "embedding"),
        ("image_generation", "image"),
        ("rerank", "rerank"),
        ("?", "chat"),
    ],
)
def test_a_mode_is_a_flavor(mode: str, flavor: str):
    imported = one({"model": "openai/x", "api_key": "k"}, model_info={"mode": mode})
    assert endpoints(imported)[0]["metadata"]["customModels"]["m"]["flavor"] == flavor


def test_settings_of_the_router_become_the_organisation_s():
    imported = take("""
model_list:
  - {model_name: a, litellm_params: {model: gpt-4o}}
  - {model_name: b, litellm_params: {model: gpt-4o-mini}}
  - {model_name: c, litellm_params: {model: gpt-4.1}}
router_settings:
  routing_strategy: simple-shuffle
  num_retries: 2
  timeout: 30
  fallbacks: [{a: [b, c]}, {b: [{model: c, temperature: 0}]}]
  model_group_alias: {gpt-4: a, hidden: {model: b, hidden: true}, lost: z}
  redis_host: redis.test
litellm_settings:
  default_fallbacks: [c]
  context_window_fallbacks: [{a: [c]}]
  drop_params: true
  cache: true
general_settings:
  master_key: sk-sentinel
  database_url: postgresql://sentinel
guardrails: []
""")
    org = loaded(imported)
    assert org.fallbacks == {"a": ("b", "c"), "b": (), "gpt-4": ("c",), "hidden": ("c",)}
    assert (org.retry.max_attempts, org.timeouts.total_s) == (3, 30)
    [endpoint] = org.endpoints
    assert endpoint.metadata.custom_models["gpt-4"].upstream_name == "gpt-4o"
    assert endpoint.metadata.custom_models["hidden"].upstream_name == "gpt-4o-mini"
    assert set(said(imported)) == {
        "$.router_settings.model_group_alias['lost']",
        "$.router_settings.redis_host",
        "$.router_settings.fallbacks[1]",
        "$.litellm_settings.context_window_fallbacks",
        "$.litellm_settings.drop_params",
        "$.litellm_settings.cache",
        "$.general_settings.master_key",
        "$.general_settings.database_url",
        "$.guardrails",
    }


def test_a_fallback_of_all_is_one_of_each():
    imported = take("""
model_list:
  - {model_name: a, litellm_params: {model: gpt-4o}}
  - {model_name: b, litellm_params: {model: gpt-4o-mini}}
litellm_settings: {fallbacks: [{"*": [b]}]}
""")
    assert imported.document["fallbacks"] == {"a": ["b"]}


def test_variables_and_credentials_of_the_file_are_used():
    imported = take(
        """
environment_variables: {ACME_KEY: sk-of-the-file, COPY: os.environ/OPENAI_API_KEY}
credential_list:
  - credential_name: eu
    credential_values: {api_key: os.environ/ACME_KEY, api_base: https://eu.test/v1}
model_list:
  - {model_name: a, litellm_params: {model: openai/x, litellm_credential_name: eu}}
  - {model_name: b, litellm_params: {model: openai/x, api_key: os.environ/COPY}}
  - {model_name: c, litellm_params: {model: openai/x, litellm_credential_name: nowhere}}
""",
        name="acme",
    )
    found = endpoints(imported)
    assert [e["secret"] for e in found[:2]] == ["sk-of-the-file", "sk-sentinel-openai"]
    assert found[0]["metadata"]["api_base"] == "https://eu.test/v1"
    assert "litellm_credential_name" in next(iter(said(imported)))
    assert imported.document["name"] == "acme"


def test_patterns():
    imported = take("""
model_list:
  - {model_name: "*", litellm_params: {model: openai/*}}
  - {model_name: anthropic/*, litellm_params: {model: anthropic/*}}
  - {model_name: "gpt-*", litellm_params: {model: openai/gpt-*}}
  - {model_name: any, litellm_params: {model: "*"}}
""")
    found = endpoints(imported)
    assert [(e["type"], e.get("metadata")) for e in found] == [
        ("openai", None),
        ("anthropic", None),
    ]
    paths = said(imported)
    assert "without a prefix" in paths["$.model_list[1].model_name"]
    assert "a pattern" in paths["$.model_list[2].model_name"]
    assert "whose model" in paths["$.model_list[3].litellm_params.model"]


def test_parameters_of_requests_and_odd_fields_are_named():
    imported = litellm.take(
        {
            "model_list": [
                {
                    "model_name": "a",
                    "model_id": 1,
                    "litellm_params": {
                        "model": "gpt-4o",
                        "api_base": "https://{region}.test",
                        "temperature": 0.1,
                        "stream_timeout": 5,
                        "tags": ["x"],
                    },
                },
                "odd",
                {"model_name": "b"},
            ]
        },
        KNOWN,
        environment=ENVIRONMENT,
    )
    at = "$.model_list[0].litellm_params"
    assert set(said(imported)) == {
        "$.model_list[0].model_id",
        f"{at}.api_base",
        f"{at}.temperature",
        f"{at}.stream_timeout",
        f"{at}.tags",
        "$.model_list[1]",
        "$.model_list[2]",
    }


@pytest.mark.parametrize("document", [{}, [], None, {"model_list": {}}, "model_list"])
def test_another_file_is_refused_with_what_was_expected(document: Any):
    with pytest.raises(ImportingError, match="model_list"):
        litellm.take(document, KNOWN, environment={})
