"""A service account's key signs an assertion that Google would accept."""

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from core.authorization import CredentialError, Headers, Token, TokenExchange
from core.errors import UpstreamError
from core.orgs import Endpoint, Metadata
from providers import google

NOW = 1_700_000_000.0
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()


def endpoint(secret, **metadata):
    text = secret if secret is None or isinstance(secret, str) else msgspec.json.encode(secret)
    text = text.decode() if isinstance(text, bytes) else text
    return Endpoint(type="vertex", name="vx", secret=text, metadata=Metadata(**metadata))


ACCOUNT = {
    "type": "service_account",
    "client_email": "sa@p.test",
    "private_key": PEM,
    "private_key_id": "kid-1",
    "token_uri": "https://oauth.test/token",
}


@pytest.mark.parametrize("authorize", [google.bearer, google.document])
def test_a_service_accounts_assertion_verifies_with_its_public_key(authorize):
    exchange = authorize(endpoint(ACCOUNT))
    assert isinstance(exchange, TokenExchange)
    call = exchange.steps[0].call("", NOW)
    assert call.url == "https://oauth.test/token"
    from urllib.parse import parse_qs

    form = parse_qs(call.body.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    claims = jwt.decode(
        form["assertion"][0],
        KEY.public_key(),
        algorithms=["RS256"],
        audience="https://oauth.test/token",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims["iss"] == "sa@p.test"
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    assert claims["exp"] - claims["iat"] == 300
    assert jwt.get_unverified_header(form["assertion"][0])["kid"] == "kid-1"
    assert PEM not in repr(exchange)


def test_an_account_that_says_no_address_gets_its_tokens_from_google():
    unsaid = {name: value for name, value in ACCOUNT.items() if name != "token_uri"}
    exchange = google.document(endpoint(unsaid))
    assert isinstance(exchange, TokenExchange)
    assert exchange.steps[0].call("", NOW).url == "https://oauth2.googleapis.com/token"


def test_the_address_of_tokens_can_be_another():
    exchange = google.document(endpoint(ACCOUNT, token_base="http://127.0.0.1:9/"))
    assert isinstance(exchange, TokenExchange)
    assert exchange.steps[0].call("", NOW).url == "http://127.0.0.1:9/token"


def test_a_key_that_is_none_is_told_without_its_text():
    exchange = google.document(endpoint({**ACCOUNT, "private_key": "sk-do-not-tell"}))
    assert isinstance(exchange, TokenExchange)
    with pytest.raises(CredentialError, match="no RSA key") as raised:
        exchange.steps[0].call("", NOW)
    told = raised.value.told("vx").message
    assert told.startswith("The credential of the endpoint `vx` cannot be used: ")
    assert "sk-do-not-tell" not in told
    assert raised.value.__cause__ is None


def test_a_plain_token_is_sent_as_it_is_and_none_where_there_is_none():
    assert google.bearer(endpoint("ya29")) == Headers({"authorization": "Bearer ya29"})
    assert google.bearer(endpoint(None)) == Headers({})
    assert google.document(endpoint(None)) == Headers({})


def test_an_external_account_says_where_its_subject_comes_from():
    secret = {
        "type": "external_account",
        "audience": "a",
        "subject_token_type": "t",
        "credential_source": {"file": "/var/run/token"},
    }
    with pytest.raises(UpstreamError, match="credential_source"):
        google.document(endpoint(secret))


def test_the_parts_of_an_exchange_read_what_the_other_side_says():
    secret = {
        "type": "external_account",
        "audience": "a",
        "subject_token_type": "t",
        "credential_source": {"url": "http://m.test"},
        "service_account_impersonation_url": "https://iam.test/x",
    }
    exchange = google.document(endpoint(secret, token_base="http://127.0.0.1:9"))
    assert isinstance(exchange, TokenExchange)
    subject, swap, impersonate = exchange.steps
    assert subject.read(b" tok\n") == Token("tok", 0)
    assert swap.call("tok", NOW).url == "http://127.0.0.1:9/v1/token"
    assert impersonate.read(b'{"accessToken": "x"}') == Token("x", 3600)
    for step in (subject, swap, impersonate):
        with pytest.raises(ValueError, match=r"no token|missing"):
            step.read(b"" if step is subject else b'{"access_token": ""}')


URL_SOURCE = {"url": "http://m.test"}


@pytest.mark.parametrize(
    ("source", "more"),
    [
        ({**URL_SOURCE, "headers": 5}, {}),
        ({**URL_SOURCE, "format": "json"}, {}),
        ({"environment_id": "aws1", "regional_cred_verification_url": 5}, {}),
        (URL_SOURCE, {"token_url": 5}),
        (URL_SOURCE, {"service_account_impersonation_url": ["https://iam.test"]}),
    ],
)
def test_a_credential_of_wrong_types_is_a_502_that_names_the_endpoint(source, more):
    secret = {
        "type": "external_account",
        "audience": "a",
        "subject_token_type": "t",
        "credential_source": source,
        **more,
    }
    with pytest.raises(UpstreamError, match="`vx` cannot be used"):
        google.document(endpoint(secret))


def test_a_subject_token_that_is_no_text_is_none():
    source = {**URL_SOURCE, "format": {"type": "json", "subject_token_field_name": "jwt"}}
    secret = {
        "type": "external_account",
        "audience": "a",
        "subject_token_type": "t",
        "credential_source": source,
    }
    exchange = google.document(endpoint(secret))
    assert isinstance(exchange, TokenExchange)
    with pytest.raises(ValueError, match="no token"):
        exchange.steps[0].read(b'{"jwt": 5}')


@pytest.mark.parametrize("field", ["token_uri", "private_key_id"])
def test_a_service_account_of_wrong_types_is_a_502_too(field):
    with pytest.raises(UpstreamError, match=field):
        google.document(endpoint({**ACCOUNT, field: 5}))
