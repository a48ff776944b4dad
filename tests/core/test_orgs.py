"""Organisation settings: all that is wrong is refused, with the file and the place."""

from typing import Any

import msgspec
import pytest

from core import orgs
from core.orgs import Org, SettingsError

TYPES = frozenset({"openai", "anthropic", "demo"})
KEY = "cw_dev_0123456789abcdef0123456789abcdef"

DOCUMENTED = {
    "name": "acme",
    "keys": [{"name": "ci", "key": KEY}],
    "endpoints": [
        {
            "name": "openai-main",
            "type": "openai",
            "secret": "sk-sentinel",
            "weight": 2,
            "metadata": {
                "api_base": "https://api.openai.com/v1",
                "models": ["gpt-4o"],
                "customModels": {
                    "gpt-3.5-acme": {
                        "format": "openai",
                        "flavor": "chat",
                        "multimodal": False,
                        "input_cost_per_mil_tokens": 0.5,
                        "output_cost_per_mil_tokens": 1.5,
                    }
                },
                "additionalHeaders": {"x-team": "sk-sentinel"},
                "supportsStreaming": True,
            },
        },
        {"name": "claude", "type": "anthropic", "secret": "sk-sentinel"},
    ],
    "fallbacks": {"gpt-4o": ["claude-sonnet-4-5"]},
    "shared_cache": False,
    "timeouts": {
        "connect_s": 5,
        "first_byte_s": 30,
        "first_token_s": 60,
        "idle_s": 60,
        "total_s": 840,
    },
    "retry": {"budget_s": 45, "max_attempts": 6},
    "balance": "least_busy",
    "affinity": True,
    "hedge": {"share": 0.1},
    "midstream": "error",
}


def parse(document: Any) -> Org:
    body = document if isinstance(document, bytes) else msgspec.json.encode(document)
    return orgs.parse(body, source="acme.json", types=TYPES)


def test_the_documented_example_is_understood():
    org = parse(DOCUMENTED)
    main, claude = org.endpoints
    assert (org.name, org.keys[0].key, main.weight, claude.weight) == ("acme", KEY, 2.0, 1.0)
    assert main.metadata.models == ("gpt-4o",)
    assert main.metadata.custom_models["gpt-3.5-acme"].output_cost_per_mil_tokens == 1.5
    assert main.metadata.additional_headers == {"x-team": "sk-sentinel"}
    assert org.timeouts.connect_s == 5
    assert [endpoint.label for endpoint in org.endpoints] == ["openai-main", "claude"]
    assert parse({"name": "a", "endpoints": [{"type": "demo"}]}).endpoints[0].label == "demo"


def test_settings_of_the_reference_are_taken_as_they_are():
    endpoint = {
        "id": "f0e1",
        "org_id": "o1",
        "org_name": "acme",
        "type": "openai",
        "secret": None,
        "metadata": {
            "unknown": {"kept": 1},
            "supportsStreaming": False,
            "organization_id": "org-1",
        },
    }
    metadata = parse({"name": "a", "endpoints": [endpoint]}).endpoints[0].metadata
    assert (metadata.supports_streaming, metadata.organization_id) == (False, "org-1")


def endpoint(**fields: Any) -> dict[str, Any]:
    return {"name": "a", "endpoints": [{"type": "openai", **fields}]}


def metadata(**fields: Any) -> dict[str, Any]:
    return endpoint(metadata=fields)


REFUSED = [
    (b"", "acme.json: not JSON"),
    (b"{", "acme.json: not JSON"),
    (b'{"name":"\xff"}', "acme.json: not JSON"),
    (b"[" * 100_000, "acme.json: "),
    ([], "acme.json: Expected `object`"),
    ({}, "missing required field `name`"),
    ({"name": 7}, "at `$.name`"),
    ({"name": ""}, "at `$.name`"),
    ({"name": "a\nb"}, "at `$.name`"),
    ({"name": "a", "endpoint": []}, "unknown field `endpoint`"),
    ({"name": "a", "keys": [{"name": "k"}]}, "at `$.keys[0]`"),
    ({"name": "a", "keys": [{"name": "k", "key": KEY, "x": 1}]}, "at `$.keys[0]`"),
    ({"name": "a", "keys": [{"name": "k", "key": "sk-sentinel"}]}, "at `$.keys[0].key`"),
    ({"name": "a", "keys": [{"name": "k", "key": "cw_short"}]}, "at `$.keys[0].key`"),
    (
        {"name": "a", "keys": [{"name": "k", "key": KEY}, {"name": "l", "key": KEY}]},
        "at `$.keys[1].key`",
    ),
    ({"name": "a", "endpoints": {}}, "at `$.endpoints`"),
    ({"name": "a", "endpoints": [{"name": "x"}]}, "at `$.endpoints[0]`"),
    (endpoint(secrett="sk-sentinel"), "at `$.endpoints[0]`"),
    (endpoint(secret=["sk-sentinel"]), "at `$.endpoints[0].secret`"),
    (endpoint(secret="sk-sentinel\n"), "at `$.endpoints[0].secret`"),
    (endpoint(name=""), "at `$.endpoints[0].name`"),
    (endpoint(name="a\r\nset-cookie: x"), "at `$.endpoints[0].name`"),
    (endpoint(type="opnai"), "Unknown type `opnai`; there are: anthropic, demo, openai"),
    (endpoint(type="opnai"), "at `$.endpoints[0].type`"),
    (endpoint(weight=-1), "at `$.endpoints[0].weight`"),
    (endpoint(weight="2"), "at `$.endpoints[0].weight`"),
    (b'{"name":"a","endpoints":[{"type":"openai","weight":1e999}]}', "acme.json: "),
    (
        {"name": "a", "endpoints": [{"type": "openai", "name": "n"}] * 2},
        "A second endpoint named `n` - at `$.endpoints[1].name`",
    ),
    (metadata(api_base="localhost:8000"), "at `$.endpoints[0].metadata.api_base`"),
    (metadata(models="gpt-4o"), "at `$.endpoints[0].metadata.models`"),
    (metadata(supportsStreaming="no"), "at `$.endpoints[0].metadata.supportsStreaming`"),
    (metadata(dialects=["openai"]), "at `$.endpoints[0].metadata.dialects[0]`"),
    (metadata(customModels={"m": {"flavor": "chat"}}), "at `$.endpoints[0].metadata.customModels"),
    (metadata(additionalHeaders={"a b": "x"}), "at `$.endpoints[0].metadata.additionalHeaders`"),
    (
        metadata(additionalHeaders={"a": "sk-sentinel\r\nx: y"}),
        "at `$.endpoints[0].metadata.additionalHeaders`",
    ),
    ({"name": "a", "timeouts": {"idle_s": 0}}, "at `$.timeouts.idle_s`"),
    ({"name": "a", "timeouts": {"idle": 1}}, "at `$.timeouts`"),
    ({"name": "a", "retry": {"attempts": 1}}, "at `$.retry`"),
    ({"name": "a", "midstream": "maybe"}, "at `$.midstream`"),
    ({"name": "a", "retry": {"max_attempts": 0}}, "at `$.retry.max_attempts`"),
    ({"name": "a", "retry": {"max_attempts": 101}}, "at `$.retry.max_attempts`"),
    ({"name": "a", "retry": {"budget_s": -1}}, "at `$.retry.budget_s`"),
    ({"name": "a", "balance": "random"}, "`weighted` or `least_busy` - at `$.balance`"),
    ({"name": "a", "affinity": "yes"}, "at `$.affinity`"),
    ({"name": "a", "hedge": {"share": 0}}, "at `$.hedge.share`"),
    ({"name": "a", "hedge": {"share": 0.6}}, "at `$.hedge.share`"),
    ({"name": "a", "hedge": {"part": 0.1}}, "at `$.hedge`"),
    ({"name": "a", "hedge": True}, "at `$.hedge`"),
    ({"name": "a", "fallbacks": {"m": ["n"] * 21}}, "at `$.fallbacks.m`"),
    ({"name": "a", "fallbacks": {"m": [""]}}, "at `$.fallbacks.m`"),
    ({"name": "a", "fallbacks": {"m": "n"}}, "at `$.fallbacks[...]`"),
]


@pytest.mark.parametrize(("document", "words"), REFUSED)
def test_wrong_settings_are_refused_with_file_and_place(document: Any, words: str):
    with pytest.raises(SettingsError) as caught:
        parse(document)
    message = str(caught.value)
    assert message.startswith("acme.json: ")
    assert words in message
    assert "sentinel" not in message


def test_unnamed_endpoints_are_no_duplicates():
    assert len(parse({"name": "a", "endpoints": [{"type": "openai"}] * 2}).endpoints) == 2


def test_nothing_of_an_organisation_shows_a_secret():
    org = parse(DOCUMENTED)
    shown = f"{org!r} {org.endpoints!r} {org.keys!r} {org.endpoints[0].metadata!r}"
    assert "sentinel" not in shown
    assert KEY not in shown
    assert "sk-1" not in shown
    assert "acme" in shown


INJECTED = ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\x00b", "a\x1b[2Jb", "a\x7fb"]
TEXTS = [
    "api_base",
    "token_base",
    "auth_type",
    "endpoint_path",
    "organization_id",
    "api_version",
    "deployment",
    "region",
    "location",
    "access_key",
    "session_token",
    "role_arn",
    "external_id",
    "project",
    "overrideModel",
]


@pytest.mark.parametrize("text", INJECTED)
def test_no_name_or_value_smuggles_a_line_into_a_head_or_onto_a_terminal(text: str):
    base = "https://a.test/"
    cases: dict[str, dict[str, Any]] = {
        "$.name": {"name": text},
        "$.keys[0].name": {"name": "a", "keys": [{"name": text, "key": KEY}]},
        "$.keys[0].key": {"name": "a", "keys": [{"name": "k", "key": KEY + text}]},
        "$.endpoints[0].name": endpoint(name=text),
        "$.endpoints[0].secret": endpoint(secret=text),
        "$.endpoints[0].metadata.models": metadata(models=[text]),
        "$.endpoints[0].metadata.customModels": metadata(
            customModels={text: {"format": "openai", "flavor": "chat"}}
        ),
        "$.endpoints[0].metadata.additionalHeaders": metadata(additionalHeaders={"x-a": text}),
    }
    for name in TEXTS:
        value = base + text if name.endswith("_base") else text
        cases[f"$.endpoints[0].metadata.{name}"] = metadata(**{name: value})
    for place, document in cases.items():
        with pytest.raises(SettingsError) as caught:
            parse(document)
        assert f"at `{place}`" in str(caught.value), place
        assert text not in str(caught.value)


def test_every_text_of_metadata_is_in_the_table_or_has_a_reason():
    texts = {
        field.encode_name
        for field in msgspec.structs.fields(orgs.Metadata)
        if field.type == str | None
    }
    assert texts - set(TEXTS) == {"overrideSystemPrompt"}  # It goes into a body.


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "",
        "a:b",
        "x\r\ny",
        "é",
        "(x)",
        "host",
        "Host",
        "content-length",
        "Transfer-Encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "keep-alive",
        "proxy-connection",
    ],
)
def test_a_header_that_ends_the_request_or_leads_it_elsewhere_is_refused(name: str):
    with pytest.raises(SettingsError, match="additionalHeaders"):
        parse(metadata(additionalHeaders={name: "5"}))


def test_headers_of_all_other_names_are_taken_with_tabs_and_any_letters():
    headers = {"x-team": "ml", "Helicone-Auth": "Bearer x", "x-a": "a\tb", "x-b": "é", "x-c": ""}
    assert parse(metadata(additionalHeaders=headers)).endpoints[0].metadata.additional_headers
