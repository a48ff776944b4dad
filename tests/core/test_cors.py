"""What pages of other origins may read."""

import pytest

from core import cors

PAGE = "https://app.example.com"


def allowed(said: str | None, origin: str = PAGE, *, long_lived: bool = False) -> str | None:
    headers = dict(cors.told(cors.parse(said), origin, long_lived=long_lived))
    assert headers[b"vary"] == b"Origin"
    found = headers.get(b"access-control-allow-origin")
    return None if found is None else found.decode()


@pytest.mark.parametrize(
    ("said", "long_lived", "answer"),
    [
        (None, False, "*"),
        ("", False, "*"),
        (None, True, None),
        ("*", True, "*"),
        ("*", False, "*"),
        (PAGE, True, PAGE),
        (f"https://a.test, {PAGE}/", True, PAGE),
        (f"https://a.test\n{PAGE}", False, PAGE),
        ("HTTPS://APP.example.com", True, PAGE),
        ("https://a.test", False, None),
        ("https://a.test", True, None),
        ("https://example.com", True, None),
        ("https://app.example.com:8443", True, None),
        ("http://app.example.com", True, None),
    ],
)
def test_who_may_read(said: str | None, long_lived: bool, answer: str | None):
    assert allowed(said, long_lived=long_lived) == answer


@pytest.mark.parametrize(
    "said",
    ["example.com", "* https://a.test", "https://*.example.com", "https://a.test/path", "null"],
)
def test_what_is_no_origin_is_refused(said: str):
    with pytest.raises(ValueError, match="CUTWATER_ALLOWED_ORIGINS"):
        cors.parse(said)


def test_a_preflight_allows_what_it_asks_for_and_tells_nothing_else():
    headers = dict(cors.preflight(None, PAGE, "authorization,x-bt-use-cache"))
    assert headers[b"access-control-allow-headers"] == b"authorization,x-bt-use-cache"
    assert b"POST" in headers[b"access-control-allow-methods"]
    assert b"access-control-allow-credentials" not in headers


@pytest.mark.parametrize("asked", ["", "x\r\nset-cookie: a=b", "x" * 5000, 'a"b'])
def test_nothing_strange_is_repeated(asked: str):
    headers = dict(cors.preflight(None, PAGE, asked))
    assert headers[b"access-control-allow-headers"] == b"authorization, content-type"


def test_a_page_that_is_not_allowed_is_told_nothing():
    assert cors.preflight(frozenset({"https://a.test"}), PAGE, "x") == [(b"vary", b"Origin")]


def test_an_origin_is_repeated_only_where_it_is_named():
    assert allowed(PAGE, "https://evil.example") is None
    assert allowed(None, "https://evil.example\r\nx: y") == "*"
