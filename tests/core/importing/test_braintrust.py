"""Braintrust's AI providers become endpoints as they are."""

from typing import Any

import pytest

from core.importing import braintrust
from core.importing.common import ImportingError
from tests.core.importing.known import KNOWN, endpoints, loaded, said

ORG_ID = "5d1f6c9e-8a37-4b71-9a55-0a8a6f4d2b10"


def secret(**fields: Any) -> dict[str, Any]:
    whole = {
        "id": "c2c2d0a2-6a4b-4e2f-8d2e-8f2f0e3a1b11",
        "org_id": ORG_ID,
        "org_name": "acme",
        "name": "OPENAI_API_KEY",
        "secret": "sk-sentinel",
        "type": "openai",
        "metadata": {},
    } | fields
    return {name: value for name, value in whole.items() if value is not ...}


AZURE = secret(
    name="azure-eu",
    type="azure",
    secret="az-sentinel",
    metadata={
        "api_base": "https://acme-eu.openai.azure.com",
        "api_version": "2024-10-21",
        "auth_type": "api_key",
        "deployment": "gpt-4o",
        "no_named_deployment": False,
        "models": ["gpt-4o"],
        "customModels": None,
        "excludeDefaultModels": None,
        "additionalHeaders": {},
        "supportsStreaming": True,
    },
)
VERTEX = secret(
    name="vertex",
    type="vertex",
    secret='{"type": "service_account", "private_key": "sentinel"}',
    metadata={"project": "acme-ml", "location": "", "authType": "service_account_key"},
)
BEDROCK = secret(
    name="aws",
    type="bedrock",
    metadata={"region": "us-east-1", "access_key": "AKIASENTINEL", "session_token": None},
)
CUSTOM = secret(
    name="acme-models",
    metadata={
        "api_base": "https://models.acme.test/v1",
        "customModels": {
            "gpt-3.5-acme": {
                "format": "openai",
                "flavor": "chat",
                "multimodal": None,
                "input_cost_per_mil_tokens": 0.5,
                "output_cost_per_mil_tokens": 1.5,
                "displayName": "GPT 3.5 of Acme",
            }
        },
        "supportsStreaming": False,
    },
)


@pytest.mark.parametrize("wrap", [list, lambda found: {"objects": found}], ids=["list", "objects"])
def test_a_list_of_secrets_loads_as_it_is(wrap: Any):
    imported = braintrust.take(wrap([secret(), AZURE, VERTEX, BEDROCK, CUSTOM]), KNOWN)
    org = loaded(imported)
    assert org.name == "acme"
    assert [one.label for one in org.endpoints] == [
        "OPENAI_API_KEY",
        "azure-eu",
        "vertex",
        "aws",
        "acme-models",
    ]
    assert org.endpoints[1].metadata.api_version == "2024-10-21"
    assert org.endpoints[2].metadata.auth_type == "service_account_key"
    assert org.endpoints[2].metadata.location is None
    assert org.endpoints[4].metadata.custom_models["gpt-3.5-acme"].input_cost_per_mil_tokens == 0.5
    assert not org.endpoints[4].metadata.supports_streaming
    assert imported.untaken == ()


def test_one_provider_alone_is_taken_too():
    assert len(endpoints(braintrust.take(secret(), KNOWN))) == 1


def test_a_preview_is_no_key_and_is_said_to_be_none():
    only = secret(secret=..., preview_secret="sk-...abcd", org_name=...)
    imported = braintrust.take({"objects": [only]}, KNOWN)
    assert imported.document["name"] == "imported"
    assert "secret" not in endpoints(imported)[0]
    assert "put it into `secret`" in said(imported)["$.objects[0].secret"]


WITHOUT_KEY = [
    ("ollama", {}, {}, False),
    ("bedrock", {"region": "us-east-1"}, {}, False),
    ("bedrock", {"region": "us-east-1"}, {"preview_secret": "***"}, True),
    ("openai", {}, {}, True),
]


@pytest.mark.parametrize(("kind", "metadata", "more", "missed"), WITHOUT_KEY)
def test_a_key_is_missed_where_one_is_wanted(kind: str, metadata: Any, more: Any, missed: bool):
    one = secret(type=kind, metadata=metadata, secret=None, **more)
    assert ("$[0].secret" in said(braintrust.take([one], KNOWN))) is missed


LINES = [
    ("sk-sentinel\n", "sk-sentinel"),
    ('{\n  "type": "service_account"\n}\n', '{"type":"service_account"}'),
    ('{"a": 1}', '{"a": 1}'),
]


@pytest.mark.parametrize(("given", "kept"), LINES)
def test_line_ends_of_a_secret_do_not_stand_in_the_way(given: str, kept: str):
    assert endpoints(braintrust.take([secret(secret=given)], KNOWN))[0]["secret"] == kept


UNTAKEN = [
    (secret(secret="{\nsentinel"), "$[0]", "no line end"),
    (secret(type="watsonx"), "$[0]", "Unknown type `watsonx`"),
    (secret(type="azure"), "$[0]", "needs `api_base`"),
    (secret(metadata={"models": "gpt-4o"}), "$[0]", "Expected `array`"),
    (secret(metadata={"api_base": "acme.test"}), "$[0]", "starts with http"),
    ("sk-sentinel", "$[0]", "no object"),
]


@pytest.mark.parametrize(("one", "path", "words"), UNTAKEN)
def test_what_would_be_refused_is_left_out_and_named(one: Any, path: str, words: str):
    imported = braintrust.take([one, secret(name="good")], KNOWN)
    assert [kept["name"] for kept in endpoints(imported)] == ["good"]
    assert words in said(imported)[path]


def test_settings_that_mean_nothing_here_are_named():
    one = secret(
        is_active=True,
        metadata={
            "auth_source": "x",
            "customModels": {"m": {"format": "openai", "flavor": "chat", "o1_like": True}},
        },
    )
    imported = braintrust.take([one], KNOWN)
    assert set(said(imported)) == {
        "$[0].is_active",
        "$[0].metadata.auth_source",
        "$[0].metadata.customModels['m'].o1_like",
    }
    assert "is_active" not in endpoints(imported)[0]


def test_two_of_one_name_get_names_of_their_own():
    imported = braintrust.take([secret(), secret(), secret(name=None)], KNOWN)
    assert [one["name"] for one in endpoints(imported)] == [
        "OPENAI_API_KEY",
        "OPENAI_API_KEY-2",
        "openai",
    ]
    assert "named `OPENAI_API_KEY-2`" in said(imported)["$[1].name"]


def test_one_of_several_organisations_is_chosen_by_name():
    both = [secret(), secret(org_name="other", name="theirs")]
    with pytest.raises(ImportingError, match="acme, other"):
        braintrust.take(both, KNOWN)
    imported = braintrust.take(both, KNOWN, name="other")
    assert [one["name"] for one in endpoints(imported)] == ["theirs"]
    assert "another organisation" in said(imported)["$[0]"]


def test_the_only_organisation_may_be_renamed():
    assert braintrust.take([secret()], KNOWN, name="new").document["name"] == "new"


@pytest.mark.parametrize("document", [{}, {"objects": {}}, "text", 1, None])
def test_another_file_is_refused_with_what_was_expected(document: Any):
    with pytest.raises(ImportingError, match="a list of AI providers"):
        braintrust.take(document, KNOWN)


def test_a_name_that_no_organisation_may_have_is_refused():
    with pytest.raises(ImportingError, match="needs a name"):
        braintrust.take([secret()], KNOWN, name="a\nb")
