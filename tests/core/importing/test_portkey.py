"""A Portkey config's targets become endpoints, its strategy their weights."""

from typing import Any

import pytest

from core.importing import portkey
from core.importing.common import ImportingError
from tests.core.importing.known import KNOWN, endpoints, loaded, said


def weights(document: Any) -> list[tuple[str, float]]:
    imported = portkey.take(document, KNOWN)
    return [(one.label, one.weight) for one in loaded(imported).endpoints]


OPENAI = {"provider": "openai", "api_key": "sk-sentinel"}
CLAUDE = {"provider": "anthropic", "api_key": "sk-ant-sentinel"}
GROQ = {"provider": "groq", "api_key": "gsk-sentinel"}


def test_one_provider_alone():
    imported = portkey.take(OPENAI, KNOWN, name="acme")
    assert imported.document == {
        "name": "acme",
        "endpoints": [{"name": "openai", "type": "openai", "secret": "sk-sentinel"}],
    }
    assert imported.untaken == ()


STRATEGIES: list[tuple[str, Any, list[tuple[str, float]]]] = [
    (
        "loadbalance",
        {
            "strategy": {"mode": "loadbalance"},
            "targets": [{**OPENAI, "weight": 0.7}, {**CLAUDE, "weight": 0.3}],
        },
        [("openai", 0.7), ("anthropic", 0.3)],
    ),
    (
        "loadbalance without weights",
        {"strategy": {"mode": "loadbalance"}, "targets": [OPENAI, CLAUDE]},
        [("openai", 1), ("anthropic", 1)],
    ),
    (
        "fallback",
        {"strategy": {"mode": "fallback"}, "targets": [OPENAI, CLAUDE, GROQ]},
        [("openai", 1), ("anthropic", 0), ("groq", 0)],
    ),
    (
        "balanced, then one",
        {
            "strategy": {"mode": "fallback"},
            "targets": [
                {
                    "strategy": {"mode": "loadbalance"},
                    "targets": [{**OPENAI, "weight": 3}, {**OPENAI, "name": "b", "weight": 1}],
                },
                CLAUDE,
            ],
        },
        [("openai", 0.75), ("b", 0.25), ("anthropic", 0)],
    ),
    (
        "balanced between chains",
        {
            "strategy": {"mode": "loadbalance"},
            "targets": [
                {"weight": 2, "strategy": {"mode": "fallback"}, "targets": [OPENAI, GROQ]},
                {**CLAUDE, "weight": 1},
            ],
        },
        [("openai", 2), ("groq", 0), ("anthropic", 1)],
    ),
    ("single", {"strategy": {"mode": "single"}, "targets": [OPENAI, CLAUDE]}, [("openai", 1)]),
    ("none", {"targets": [OPENAI, CLAUDE]}, [("openai", 1)]),
    (
        "conditional",
        {
            "strategy": {
                "mode": "conditional",
                "conditions": [{"query": {"metadata.plan": {"$eq": "paid"}}, "then": "big"}],
                "default": "small",
            },
            "targets": [{**OPENAI, "name": "small"}, {**CLAUDE, "name": "big"}],
        },
        [("small", 1), ("big", 0)],
    ),
]


@pytest.mark.parametrize(
    ("config", "found"), [c[1:] for c in STRATEGIES], ids=[c[0] for c in STRATEGIES]
)
def test_strategies_are_weights(config: Any, found: list[tuple[str, float]]):
    assert weights(config) == found


def test_what_a_strategy_cannot_keep_is_named():
    nested = {
        "strategy": {"mode": "fallback", "on_status_codes": [429]},
        "targets": [
            OPENAI,
            {
                "strategy": {"mode": "loadbalance"},
                "targets": [{**CLAUDE, "weight": 0.9}, {**GROQ, "weight": 0.1}],
            },
        ],
    }
    paths = said(portkey.take(nested, KNOWN))
    assert "last resorts" in paths["$.targets[1].targets[0].weight"]
    assert "which failures" in paths["$.strategy.on_status_codes"]
    paths = said(portkey.take(STRATEGIES[-1][1], KNOWN))
    assert "x-bt-endpoint-name" in paths["$.strategy"]
    paths = said(portkey.take(STRATEGIES[-2][1], KNOWN))
    assert "first target only" in paths["$.targets[1]"]


PROVIDERS: list[tuple[dict[str, Any], str, str | None, dict[str, Any]]] = [
    (
        {
            "provider": "azure-openai",
            "api_key": "az",
            "resource_name": "acme",
            "deployment_id": "gpt4",
            "api_version": "2024-10-21",
        },
        "azure",
        "az",
        {
            "api_base": "https://acme.openai.azure.com",
            "deployment": "gpt4",
            "api_version": "2024-10-21",
        },
    ),
    (
        {
            "provider": "azure-openai",
            "resourceName": "acme",
            "azureAuthMode": "entra",
            "azureEntraTenantId": "t",
            "azureEntraClientId": "c",
            "azureEntraClientSecret": "s",
        },
        "azure",
        '{"tenant_id":"t","client_id":"c","client_secret":"s"}',
        {"api_base": "https://acme.openai.azure.com", "auth_type": "entra_api"},
    ),
    (
        {"provider": "azure-openai", "custom_host": "https://a.test", "azure_ad_token": "tok"},
        "azure",
        "tok",
        {"api_base": "https://a.test", "auth_type": "entra_bearer"},
    ),
    (
        {
            "provider": "bedrock",
            "aws_access_key_id": "AKIA",
            "aws_secret_access_key": "s",
            "aws_region": "us-east-1",
        },
        "bedrock",
        "s",
        {"region": "us-east-1", "access_key": "AKIA"},
    ),
    (
        {
            "provider": "bedrock",
            "awsAuthType": "assumedRole",
            "awsRoleArn": "arn:aws:iam::1:role/r",
            "awsExternalId": "x",
            "awsRegion": "us-east-1",
        },
        "bedrock",
        None,
        {
            "region": "us-east-1",
            "role_arn": "arn:aws:iam::1:role/r",
            "external_id": "x",
            "auth_type": "assume_role",
        },
    ),
    (
        {"provider": "bedrock", "api_key": "ABSK", "aws_region": "us-east-1"},
        "bedrock",
        "ABSK",
        {"region": "us-east-1", "auth_type": "api_key"},
    ),
    (
        {
            "provider": "vertex-ai",
            "vertex_region": "us-central1",
            "vertex_service_account_json": {"type": "service_account", "project_id": "p"},
        },
        "vertex",
        '{"type":"service_account","project_id":"p"}',
        {"project": "p", "location": "us-central1", "auth_type": "service_account_key"},
    ),
    (
        {"provider": "vertex-ai", "vertex_project_id": "p", "api_key": "ya29"},
        "vertex",
        "ya29",
        {"project": "p", "auth_type": "access_token"},
    ),
    (
        {
            "provider": "openai",
            "api_key": "k",
            "custom_host": "https://gateway.test/v1",
            "openai_organization": "org-1",
            "openai_project": "proj-1",
        },
        "openai",
        "k",
        {
            "api_base": "https://gateway.test/v1",
            "organization_id": "org-1",
            "additionalHeaders": {"openai-project": "proj-1"},
        },
    ),
    (
        {"provider": "ollama", "custom_host": "http://127.0.0.1:11434"},
        "ollama",
        None,
        {"api_base": "http://127.0.0.1:11434/v1"},
    ),
    (
        {"provider": "deepinfra", "api_key": "k"},
        "custom",
        "k",
        {"api_base": "https://api.deepinfra.com/v1/openai"},
    ),
    (
        {"provider": "my-vllm", "api_key": "k", "custom_host": "https://v.test/v1"},
        "custom",
        "k",
        {"api_base": "https://v.test/v1"},
    ),
    ({"provider": "mistral-ai", "api_key": "k"}, "mistral", "k", {}),
    ({"provider": "together-ai", "api_key": "k"}, "together", "k", {}),
    ({"provider": "x-ai", "api_key": "k"}, "xAI", "k", {}),
]


@pytest.mark.parametrize(("config", "kind", "secret", "metadata"), PROVIDERS)
def test_every_provider_of_theirs_that_is_one_of_ours(
    config: Any, kind: str, secret: str | None, metadata: dict[str, Any]
):
    imported = portkey.take(config, KNOWN)
    assert imported.untaken == ()
    [found] = endpoints(imported)
    assert (found["type"], found.get("secret")) == (kind, secret)
    assert found.get("metadata", {}) == metadata


UNTAKEN: list[tuple[Any, str, str]] = [
    ({"provider": "stability-ai", "api_key": "k"}, "$.provider", "`stability-ai` is not known"),
    ({"virtual_key": "main-258f4d"}, "$.virtual_key", "its provider cannot be told"),
    ({"provider": "@prod"}, "$.provider", "its provider cannot be told"),
    ({"provider": "azure-openai", "api_key": "k"}, "$", "needs `api_base`"),
]


@pytest.mark.parametrize(("config", "path", "words"), UNTAKEN)
def test_what_cannot_be_reached_is_left_out_and_named(config: Any, path: str, words: str):
    imported = portkey.take(config, KNOWN)
    assert endpoints(imported) == []
    assert words in said(imported)[path]


def test_a_virtual_key_that_names_its_provider_is_taken_without_its_key():
    config = {
        "strategy": {"mode": "fallback"},
        "targets": [{"virtual_key": "openai-prod-9f2c"}, {"provider": "@azure-openai-eu"}, CLAUDE],
    }
    imported = portkey.take(config, KNOWN)
    assert [e["type"] for e in endpoints(imported)] == ["openai", "anthropic"]
    paths = [(one.path, one.reason) for one in imported.untaken]
    assert any(p == "$.targets[0].virtual_key" and "taken for `openai`" in r for p, r in paths)
    assert any(p == "$.targets[0].virtual_key" and "stays in Portkey" in r for p, r in paths)
    assert any(p == "$.targets[1]" and "needs `api_base`" in r for p, r in paths)


def test_one_model_for_all_is_put_in_the_place_of_the_one_asked_for():
    imported = portkey.take({**OPENAI, "override_params": {"model": "gpt-4o"}}, KNOWN)
    assert endpoints(imported)[0]["metadata"] == {"overrideModel": "gpt-4o"}
    assert imported.untaken == ()


def test_where_each_target_has_a_model_each_answers_with_its_own():
    config = {
        "strategy": {"mode": "fallback"},
        "targets": [
            {**OPENAI, "override_params": {"model": "gpt-4o", "temperature": 0}},
            {**CLAUDE, "overrideParams": {"model": "claude-sonnet-4-5"}},
        ],
    }
    imported = portkey.take(config, KNOWN)
    both = ["gpt-4o", "claude-sonnet-4-5"]
    assert [e["metadata"] for e in endpoints(imported)] == [
        {"models": both, "overrideModel": "gpt-4o"},
        {"models": both, "overrideModel": "claude-sonnet-4-5"},
    ]
    paths = said(imported)
    assert "the caller's" in paths["$.targets[0].override_params.temperature"]
    assert "callers ask for `gpt-4o` or" in paths["$..override_params.model"]


def test_where_some_targets_have_a_model_the_operator_is_told_what_is_left_to_say():
    config = {
        "strategy": {"mode": "fallback"},
        "targets": [OPENAI, {**CLAUDE, "override_params": {"model": "claude-sonnet-4-5"}}],
    }
    imported = portkey.take(config, KNOWN)
    assert endpoints(imported)[1]["metadata"] == {"models": ["claude-sonnet-4-5"]}
    assert "`fallbacks`" in said(imported)["$.targets[1].override_params.model"]


def test_the_model_of_a_group_holds_for_its_targets():
    config = {
        "strategy": {"mode": "loadbalance"},
        "override_params": {"model": "gpt-4o"},
        "targets": [OPENAI, {**OPENAI, "name": "second"}],
    }
    found = endpoints(portkey.take(config, KNOWN))
    assert [e["metadata"] for e in found] == [{"models": ["gpt-4o"]}] * 2


def test_retries_and_timeouts_of_the_whole_come_along_those_of_targets_are_named():
    config = {
        "strategy": {"mode": "fallback"},
        "retry": {"attempts": 3, "on_status_codes": [429], "use_retry_after_header": True},
        "requestTimeout": 10000,
        "cache": {"mode": "semantic", "max_age": 60},
        "targets": [
            {
                **OPENAI,
                "retry": {"attempts": 1},
                "request_timeout": 5000,
                "cache": {"mode": "simple"},
            },
            {**CLAUDE, "input_guardrails": ["g"], "metadata": {"x": "y"}},
        ],
    }
    imported = portkey.take(config, KNOWN)
    org = loaded(imported)
    assert (org.retry.max_attempts, org.timeouts.total_s) == (4, 10)
    assert set(said(imported)) == {
        "$.retry.on_status_codes",
        "$.retry.use_retry_after_header",
        "$.cache",
        "$.targets[0].retry",
        "$.targets[0].request_timeout",
        "$.targets[0].cache",
        "$.targets[1].input_guardrails",
        "$.targets[1].metadata",
    }


def test_retries_and_timeouts_of_a_single_provider_come_along():
    config = {
        **OPENAI,
        "retry": {"attempts": 0},
        "request_timeout": 500,
        "cache": {"mode": "simple"},
    }
    imported = portkey.take(config, KNOWN)
    org = loaded(imported)
    assert (org.retry.max_attempts, org.timeouts.total_s) == (1, 0.5)
    assert set(said(imported)) == {"$.cache"}


WRAPPED = [
    {"success": True, "data": {"config": OPENAI}},
    {"data": {"config": '{"provider":"openai","api_key":"sk-sentinel"}', "name": "x"}},
    {"config": OPENAI},
]


@pytest.mark.parametrize("document", WRAPPED)
def test_what_their_api_answers_is_unwrapped(document: Any):
    assert weights(document) == [("openai", 1)]


@pytest.mark.parametrize("document", [{}, [], None, {"data": {}}, {"config": "pc-sentinel"}])
def test_another_file_is_refused_with_what_was_expected(document: Any):
    with pytest.raises(ImportingError) as caught:
        portkey.take(document, KNOWN)
    assert "sentinel" not in str(caught.value)
