"""Signatures are those that AWS's own library makes."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.sigv4 import AwsKeys, Scope, Signer, escape, sign

botocore = pytest.importorskip("botocore", reason="botocore is part of the extra `dev`")

NOW = 1_700_000_000.0
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
SEGMENT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=20)


def by_botocore(method, url, headers, body, keys, scope):
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest(method, url, headers=dict(headers), data=body)
    request.context["timestamp"] = datetime.fromtimestamp(NOW, UTC).strftime("%Y%m%dT%H%M%SZ")
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    if keys.session_token:
        request.headers["X-Amz-Security-Token"] = keys.session_token
    auth = SigV4Auth(
        Credentials(keys.access_key, keys.secret_key, keys.session_token),
        scope.service,
        scope.region,
    )
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return auth.signature(text, request)


@given(
    method=st.sampled_from(["GET", "POST"]),
    segments=st.lists(SEGMENT.filter(lambda s: s not in (".", "..")), max_size=4),
    query=st.dictionaries(SEGMENT, SEGMENT, max_size=3),
    port=st.sampled_from(["", ":8443"]),
    body=st.binary(max_size=50),
    keys=st.tuples(TEXT, st.none() | TEXT),
)
def test_a_signature_equals_botocores(method, segments, query, port, body, keys):
    secret, token = keys
    path = "".join("/" + escape(segment) for segment in segments) or "/"
    said = "&".join(f"{escape(name)}={escape(value)}" for name, value in query.items())
    url = f"https://bedrock-runtime.us-east-1.amazonaws.com{port}{path}" + (said and "?" + said)
    keys = AwsKeys(access_key="AKIA", secret_key=secret, session_token=token)
    scope = Scope("us-east-1", "bedrock")
    headers = {"content-type": "application/json"}
    signed = sign(method, url, headers, body, signer=Signer(keys, scope), now=NOW)
    expected = by_botocore(method, url, headers, body, keys, scope)
    assert signed["authorization"].endswith(f"Signature={expected}")
    assert signed.get("x-amz-security-token") == token


def test_only_headers_that_arrive_as_they_were_sent_are_signed():
    keys = AwsKeys(access_key="A", secret_key="S")
    headers = {"content-type": "a", "user-agent": "x", "accept-encoding": "identity"}
    signed = sign(
        "POST", "https://a.test/x", headers, b"", signer=Signer(keys, Scope("r", "s")), now=NOW
    )
    assert "SignedHeaders=content-type;host;x-amz-date," in signed["authorization"]
    assert "host" not in signed
    assert signed["user-agent"] == "x"


def test_keys_never_show_themselves():
    keys = AwsKeys(access_key="AKIA", secret_key="wJalr", session_token="token")
    assert repr(Signer(keys, Scope("r", "s"))).count("wJalr") == 0
    assert "token" not in repr(keys)


@pytest.mark.parametrize(
    "url",
    [
        "https://b.test/a?a=1&a-b=3&A=2&a=0&z",
        "https://B.Test/UP",
        "https://user:pw@b.test/x",
        "https://b.test:443/",
        "https://b.test/a//b/./c",
        "https://b.test/a/../../b/",
        "https://b.test/..",
    ],
)
def test_a_signature_of_an_unusual_url_equals_botocores(url):
    keys, scope = AwsKeys(access_key="AKIA", secret_key="S"), Scope("us-east-1", "bedrock")
    signed = sign("POST", url, {}, b"x", signer=Signer(keys, scope), now=NOW)
    expected = by_botocore("POST", url, {}, b"x", keys, scope)
    assert signed["authorization"].endswith(f"Signature={expected}")
    # A client would write it as it stands in the URL.
    assert signed.get("host") == ("b.test" if "B.Test" in url else None)
