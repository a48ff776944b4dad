"""What an endpoint needs to be told is decided without asking anybody."""

import re

import msgspec
import pytest

from core import authorization
from core.authorization import Call, Headers, SigV4, Token, TokenExchange
from core.errors import UpstreamError
from core.orgs import Endpoint, Metadata
from providers.catalog import PROVIDERS
from tests.stand_ins import settings

SECRET = "sk-do-not-tell"


def needed(kind, secret=SECRET, **metadata):
    row = PROVIDERS[kind]
    endpoint = Endpoint(type=kind, name="e", secret=secret, metadata=Metadata(**metadata))
    return authorization.of(endpoint, row.auth, row.auth_types)


@pytest.mark.parametrize(
    ("kind", "metadata", "headers"),
    [
        ("openai", {}, {"authorization": f"Bearer {SECRET}"}),
        ("openai", {"auth_format": "api_key"}, {"authorization": f"Api-Key {SECRET}"}),
        ("openai", {"auth_type": "oauth_bearer"}, {"authorization": f"Bearer {SECRET}"}),
        ("anthropic", {}, {"x-api-key": SECRET}),
        ("anthropic", {"auth_type": "oauth_bearer"}, {"authorization": f"Bearer {SECRET}"}),
        ("google", {}, {"x-goog-api-key": SECRET}),
        ("azure", {}, {"api-key": SECRET}),
        ("azure", {"auth_type": "api_key"}, {"api-key": SECRET}),
        ("azure", {"auth_type": "entra_bearer"}, {"authorization": f"Bearer {SECRET}"}),
        ("azure_ai_gateway", {}, {"api-key": SECRET}),
        ("azure_ai_gateway", {"auth_format": "bearer"}, {"authorization": f"Bearer {SECRET}"}),
        ("bedrock", {"auth_type": "api_key"}, {"authorization": f"Bearer {SECRET}"}),
        ("vertex", {"auth_type": "access_token"}, {"authorization": f"Bearer {SECRET}"}),
        ("vertex", {"auth_type": "oauth_bearer"}, {"authorization": f"Bearer {SECRET}"}),
        ("databricks", {"auth_type": "pat"}, {"authorization": f"Bearer {SECRET}"}),
        ("custom", {}, {"authorization": f"Bearer {SECRET}"}),
        ("custom", {"format": "anthropic"}, {"x-api-key": SECRET}),
        ("custom", {"format": "google"}, {"x-goog-api-key": SECRET}),
        ("custom", {"format": "google", "auth_type": "none"}, {}),
        ("custom", {"auth_format": "api_key"}, {"authorization": f"Api-Key {SECRET}"}),
        ("demo", {}, {}),
    ],
)
def test_a_key_travels_in_the_header_that_its_provider_reads(kind, metadata, headers):
    found = needed(kind, **metadata)
    assert isinstance(found, Headers)
    assert found.headers == headers


@pytest.mark.parametrize("kind", ["openai", "anthropic", "google", "azure", "vertex", "custom"])
def test_without_a_secret_no_header_is_made_up(kind):
    found = needed(kind, secret=None)
    assert isinstance(found, Headers)
    assert found.headers == {}


@pytest.mark.parametrize(
    ("kind", "auth_type", "secret"),
    [
        ("azure", "entra_api", '{"client_id": "sk-do-not-tell"}'),
        ("azure", "entra_api", "sk-do-not-tell"),
        ("azure", "entra_api", None),
        ("azure", "entra_oidc", '{"client_id": "sk-do-not-tell"}'),
        ("databricks", "service_principal_oauth", '["sk-do-not-tell"]'),
        ("vertex", "service_account_key", "sk-do-not-tell"),
        ("vertex", "service_account_key", '{"client_email": "sk-do-not-tell"}'),
        ("vertex", "workload_identity_federation", '{"type": "external_account"}'),
        ("openai", "workload_identity_federation", "sk-do-not-tell"),
        ("anthropic", "workload_identity_federation", "sk-do-not-tell"),
        ("bedrock", "iam_credentials", "sk-do-not-tell"),
        ("bedrock", "assume_role", "sk-do-not-tell"),
    ],
)
def test_an_unusable_credential_is_a_502_that_names_the_endpoint_and_not_the_secret(
    kind, auth_type, secret
):
    with pytest.raises(UpstreamError, match="`e`") as raised:
        needed(kind, secret=secret, auth_type=auth_type)
    assert raised.value.status == 502
    assert "sk-do-not-tell" not in raised.value.message
    assert raised.value.__cause__ is None


def test_nothing_that_holds_a_secret_shows_it():
    secret = msgspec.json.encode(
        {"client_id": "c", "client_secret": SECRET, "tenant_id": "t"}
    ).decode()
    exchange = needed("azure", secret=secret, auth_type="entra_api")
    assert isinstance(exchange, TokenExchange)
    call = exchange.steps[0].call("", 0.0)
    holders = [
        exchange,
        call,
        Token(SECRET, 1),
        Headers({"x": SECRET}),
        Call(url="https://a.test", body=SECRET.encode()),
        needed("bedrock", access_key="AKIA", region="us-east-1"),
        Metadata(session_token=SECRET),
        settings([{"type": "openai", "secret": SECRET}]),
    ]
    assert SECRET in call.body.decode()
    assert all(SECRET not in repr(holder) for holder in holders)


def test_equal_credentials_share_a_token_and_others_do_not():
    def key(client_secret):
        document = {"client_id": "c", "client_secret": client_secret, "tenant_id": "t"}
        found = needed(
            "azure", secret=msgspec.json.encode(document).decode(), auth_type="entra_api"
        )
        assert isinstance(found, TokenExchange)
        return found.cache_key

    assert key("a") == key("a") != key("b")


def test_a_bedrock_endpoint_without_keys_uses_the_role_of_the_process():
    found = needed("bedrock", secret=None, region="us-east-1")
    assert isinstance(found, SigV4)
    assert found.keys == authorization.ProcessKeys()
    assert needed("bedrock", secret=None, region="us-east-1", auth_type="role") == found


def test_an_assertion_of_another_identity_provider_buys_a_token_of_entra():
    document = {"client_id": "c", "client_assertion": "a.b.c", "tenant_id": "t/../x"}
    secret = msgspec.json.encode(document).decode()
    found = needed("azure", secret=secret, auth_type="entra_oidc", token_base="http://127.0.0.1:9/")
    assert isinstance(found, TokenExchange)
    call = found.steps[0].call("", 0.0)
    assert call.url == "http://127.0.0.1:9/t%2F..%2Fx/oauth2/v2.0/token"
    assert b"client_assertion=a.b.c" in call.body
    assert b"scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default" in call.body


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (b'{"access_token":"t","expires_in":"3600"}', 3600.0),
        (b'{"access_token":"t","expires_in":60}', 60.0),
        (b'{"access_token":"t","expires_in":null}', 300.0),
        (b'{"access_token":"t"}', 300.0),
    ],
)
def test_a_token_lasts_as_long_as_it_says_in_whatever_way(answer: bytes, seconds: float):
    assert authorization.read_token(answer) == Token("t", seconds)


@pytest.mark.parametrize(
    ("token", "told"),
    [
        ('""', "This is no token"),
        ('"a\\nb"', "This is no token"),
        ("5", "got `int` - at `$.access_token`"),
        ("null", "got `null` - at `$.access_token`"),
    ],
)
def test_what_no_header_can_hold_is_no_token(token: str, told: str):
    with pytest.raises(ValueError, match=re.escape(told)):
        authorization.read_token(b'{"access_token":%s}' % token.encode())


def test_a_scope_that_is_no_text_is_an_unusable_credential():
    document = {"client_id": "c", "client_secret": SECRET, "tenant_id": "t", "scope": 5}
    with pytest.raises(UpstreamError, match="`scope`"):
        needed("azure", secret=msgspec.json.encode(document).decode(), auth_type="entra_api")
