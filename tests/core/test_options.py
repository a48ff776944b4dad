"""Headers in, headers out."""

import pytest

from core import options
from core.errors import AuthenticationError, BadRequestError

KEYS = [
    ({}, None),
    ({"authorization": ""}, None),
    ({"authorization": "Bearer k"}, "k"),
    ({"authorization": "bearer  k "}, "k"),
    ({"authorization": "BEARER k", "x-api-key": "other"}, "k"),
    ({"x-api-key": " k "}, "k"),
    ({"api-key": "k"}, "k"),
    ({"x-goog-api-key": "k"}, "k"),
    ({"x-api-key": "  ", "x-goog-api-key": "k"}, "k"),
]


@pytest.mark.parametrize(("headers", "key"), KEYS)
def test_the_key_comes_from_any_sdks_header(headers: dict[str, str], key: str | None):
    assert options.parse(headers).key == key


@pytest.mark.parametrize("value", ["k", "Basic dTpw", "Bearer", "Bearer ", "Bearer a b", "Token k"])
def test_an_authorization_that_is_no_bearer_key_is_a_401(value: str):
    with pytest.raises(AuthenticationError, match="Bearer <key>"):
        options.parse({"authorization": value, "x-api-key": "k"})


def test_our_own_headers_are_read():
    asked = options.parse(
        {"x-bt-org-name": "acme", "x-bt-endpoint-name": "main", "x-bt-strict": "TRUE"}
    )
    assert (asked.org, asked.endpoint, asked.strict) == ("acme", "main", True)
    empty = options.parse({"x-bt-org-name": "", "x-bt-endpoint-name": "", "x-bt-strict": "0"})
    assert (empty.org, empty.endpoint, empty.strict) == (None, None, False)


def test_a_flag_that_is_none_is_a_400_that_names_it():
    with pytest.raises(BadRequestError) as caught:
        options.parse({"x-bt-strict": "maybe"})
    assert caught.value.param == "x-bt-strict"


def test_options_never_show_the_key():
    assert "sk-sentinel" not in repr(options.parse({"x-api-key": "sk-sentinel"}))


def test_names_are_lowered_and_repeated_headers_joined():
    pairs = [(b"X-A", b"1"), (b"x-a", b"\xe9"), (b"B", b"2")]
    assert options.collect(pairs) == {"x-a": "1, \xe9", "b": "2"}


PRIVATE = [
    "authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization",
    "cookie", "cookie2",
    "forwarded", "via", "x-forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
    "x-forwarded-port", "x-original-forwarded-for", "x-real-ip", "x-client-ip",
    "x-cluster-client-ip", "true-client-ip", "fastly-client-ip", "fly-client-ip",
    "cf-connecting-ip", "cf-ray", "cloudfront-viewer-address", "cdn-loop",
    "x-envoy-external-address",
    "x-amzn-trace-id", "x-amz-security-token", "x-amz-date", "x-apigateway-event",
    "x-bt-org-name", "x-bt-parent", "x-bt-anything-new",
    "host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect",
    "proxy-connection", "content-length", "content-type", "accept-encoding", "cache-control",
    "pragma", "origin", "referer", "user-agent", "priority", "sec-fetch-mode", "sec-ch-ua",
    "x-request-id", "x-stainless-os", "x-stainless-retry-count",
]  # fmt: skip


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"])
def test_what_is_between_the_caller_and_us_stays_there(dialect: str):
    headers = dict.fromkeys(PRIVATE, "sentinel") | {"x-trace": "t", "accept": "*/*"}
    assert options.forwarded(headers, dialect) == {"x-trace": "t", "accept": "*/*"}


def test_a_dialects_own_headers_go_to_endpoints_of_that_dialect_only():
    headers = {"anthropic-beta": "b", "openai-organization": "o"}
    assert options.forwarded(headers, "anthropic") == {"anthropic-beta": "b"}
    assert options.forwarded(headers, "openai_chat", own_key=True) == {"openai-organization": "o"}


def test_whom_a_key_bills_is_said_by_its_owner_only():
    headers = {"openai-organization": "o", "openai-project": "p", "openai-beta": "b"}
    assert options.forwarded(headers, "openai_chat") == {"openai-beta": "b"}


def test_what_smells_of_credentials_or_of_another_exchange_stays_here():
    names = [
        "x-authorization", "x-auth-token", "x-csrf-token", "x-goog-iap-jwt-assertion",
        "x-ms-client-principal", "x-vercel-oidc-token", "range", "if-none-match",
        "content-encoding", "x-http-method-override", "x-hop",
    ]  # fmt: skip
    headers = dict.fromkeys(names, "sentinel") | {"connection": "X-Hop, close", "x-team": "ml"}
    assert options.forwarded(headers, "openai_chat") == {"x-team": "ml"}


NOT_RETURNED = [
    "set-cookie", "set-cookie2", "content-encoding", "content-length", "content-type",
    "transfer-encoding", "connection", "keep-alive", "trailer", "date", "server", "via", "vary",
    "alt-svc", "nel", "report-to", "strict-transport-security", "cache-control", "expires",
    "pragma", "access-control-allow-origin", "cf-ray", "x-bt-cached",
    "location", "www-authenticate", "proxy-authenticate", "upgrade", "x-accel-buffering",
    "x-accel-redirect",
]  # fmt: skip


def test_the_caller_sees_a_providers_limits_and_ids_but_not_its_transport():
    kept = {"x-request-id": "r", "retry-after": "2", "x-ratelimit-remaining": "\udce9"}
    assert options.returned(dict.fromkeys(NOT_RETURNED, "sentinel") | kept) == [
        (b"x-request-id", b"r"),
        (b"retry-after", b"2"),
        (b"x-ratelimit-remaining", b"\xe9"),
    ]


@pytest.mark.parametrize("key", ["a\r\nx: 1", "a\x00b", "a\x7f", "k\x85"])
def test_a_key_that_no_header_can_hold_is_a_401(key: str):
    with pytest.raises(AuthenticationError, match="character"):
        options.parse({"x-api-key": key + "k"})


def test_a_key_of_the_query_is_looked_at_once_it_is_decoded():
    assert options.parse({}, "a=1&key=abc%2Dd").key == "abc-d"
    with pytest.raises(AuthenticationError):
        options.parse({}, "key=abc%0d%0aX-Evil:%201")


def test_names_of_settings_are_utf_8_though_headers_are_not():
    sent = "B\xfcro".encode().decode("latin-1")
    asked = options.parse({"x-bt-org-name": sent, "x-bt-endpoint-name": sent})
    assert (asked.org, asked.endpoint) == ("B\xfcro", "B\xfcro")
    assert options.parse({"x-bt-org-name": "B\xfcro"}).org == "B\xfcro"


ELSEWHERE = [
    "x-original-url", "x-rewrite-url", "x-host", "x-original-host", "client-ip", "x-client-ip",
    "x-originating-ip", "x-remote-ip", "x-remote-addr", "x-remote-user", "remote-user",
    "x-user-email", "x-client-cert", "x-arr-clientcert", "ssl-client-cert", "x-azure-clientip",
    "x-azure-socketip", "x-appengine-user-ip", "do-connecting-ip", "x-ms-client-ip",
    "x-vercel-forwarded-for", "http2-settings", "baggage", "azureml-model-deployment",
    "x-cognito-identity", "x-http-method", "x-goog-user-project", "x-authority",
]  # fmt: skip


@pytest.mark.parametrize("dialect", ["openai_chat", "gemini"])
def test_what_a_server_behind_a_gateway_believes_stays_here(dialect: str):
    kept = {"x-team": "ml", "traceparent": "00-1", "x-shipment": "s", "x-hostage": "h"}
    headers = dict.fromkeys(ELSEWHERE, "sentinel") | kept
    assert options.forwarded(headers, dialect) == kept


def test_who_pays_google_is_said_by_the_keys_owner_only():
    headers = {"x-goog-user-project": "p", "anthropic-user-profile": "u"}
    assert options.forwarded(headers, "gemini", own_key=True) == {"x-goog-user-project": "p"}
    assert options.forwarded(headers, "openai_chat", own_key=True) == {}
    assert options.forwarded(headers, "anthropic") == {"anthropic-user-profile": "u"}


def test_long_names_are_decided_without_being_remembered():
    name = "x-" + "a" * 200
    before = options._travels.cache_info().currsize
    assert options.forwarded({name: "1", name + "-token": "2"}, "openai_chat") == {name: "1"}
    assert options._travels.cache_info().currsize == before


def test_the_callers_key_is_taken_out_of_wherever_it_stands():
    key = "cw_test_0123456789abcdef"
    headers = {
        "authorization": f"Bearer {key}", "x-key": key, "ocp-apim-subscription-key": key,
        "x-note": f"mine is {key}", "x-escaped": "%63" + key[1:], "x-team": "ml",
    }  # fmt: skip
    assert options.without_key(headers, key) == {
        "authorization": f"Bearer {key}",
        "x-team": "ml",
    }
    query = f"a=1&api_key={key}&Key={key}&k%65y=%63{key[1:]}&{key}&b=%20"
    assert options.query_without(query, key) == "a=1&b=%20"
    assert options.query_without("", key) == ""


def test_what_a_provider_says_of_one_connection_or_of_its_owner_is_not_told():
    headers = {
        "connection": "close, X-Hop", "x-hop": "1", "openai-organization": "o",
        "openai-project": "p", "anthropic-organization-id": "a", "x-kept": "k",
    }  # fmt: skip
    assert options.returned(headers) == [(b"x-kept", b"k")]
