"""What `POST /credentials` takes, and what a grant then allows."""

import msgspec
import pytest

from core import grants
from core.errors import BadRequestError, PermissionDeniedError
from core.grants import Asked, Grant, Logging
from core.scopes import Scopes


def parse(**fields) -> Asked:
    return grants.parse_request(msgspec.json.encode(fields))


@pytest.mark.parametrize(
    ("fields", "grant", "ttl_s"),
    [
        ({}, Grant(), 600),
        ({"ttl_seconds": 1}, Grant(), 1),
        ({"ttl_seconds": 86400}, Grant(), 86400),
        ({"ttl_seconds": 60.0}, Grant(), 60),
        ({"model": None, "ttl_seconds": None, "logging": None, "models": None}, Grant(), 600),
        ({"model": "gpt-4o"}, Grant(model="gpt-4o"), 600),
        ({"models": ["gpt-*", "o3", "o3"]}, Grant(models=("gpt-*", "o3")), 600),
        ({"routes": ["chat", "embeddings"]}, Grant(routes=("chat", "embeddings")), 600),
        ({"endpoints": ["eu"]}, Grant(endpoints=("eu",)), 600),
        ({"max_requests": 3}, Grant(max_requests=3), 600),
        ({"max_cost_usd": 0.25}, Grant(max_cost_usd=0.25), 600),
        ({"max_cost_usd": 2}, Grant(max_cost_usd=2.0), 600),
        ({"origin": "https://App.example/"}, Grant(origins=("https://app.example",)), 600),
        (
            {"origin": "http://localhost:3000", "origins": ["capacitor://localhost"]},
            Grant(origins=("http://localhost:3000", "capacitor://localhost")),
            600,
        ),
        ({"origins": ["http://[::1]:8080"]}, Grant(origins=("http://[::1]:8080",)), 600),
        (
            {"logging": {"project_name": "My project", "and": "more"}},
            Grant(logging=Logging(project_name="My project", compress_audio=True)),
            600,
        ),
        (
            {"logging": {"parent": "project_id:1", "compress_audio": False, "project_name": None}},
            Grant(logging=Logging(parent="project_id:1", compress_audio=False)),
            600,
        ),
        ({"unknown": [1], "Model": 5, "bt": {"org_name": "other"}}, Grant(), 600),
    ],
)
def test_a_request_is_read(fields, grant: Grant, ttl_s: int) -> None:
    assert parse(**fields) == Asked(grant, ttl_s)


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"ttl_seconds": 86401}, "ttl_seconds", "from 1 to 86400"),
        ({"ttl_seconds": 0}, "ttl_seconds", "from 1 to 86400"),
        ({"ttl_seconds": -5}, "ttl_seconds", "from 1 to 86400"),
        ({"ttl_seconds": 1.5}, "ttl_seconds", "whole number"),
        ({"ttl_seconds": 10**30}, "ttl_seconds", "whole number"),
        ({"ttl_seconds": "x"}, "ttl_seconds", "not usable"),
        ({"ttl_seconds": "600"}, "ttl_seconds", "not usable"),
        ({"ttl_seconds": True}, "ttl_seconds", "not usable"),
        ({"model": 5}, "model", "not usable"),
        ({"model": ""}, "model", "1 to 256"),
        ({"model": "x" * 257}, "model", "1 to 256"),
        ({"model": "gpt-*"}, "model", "patterns go into `models`"),
        ({"model": "a", "models": ["b"]}, "models", "one of them"),
        ({"models": []}, "models", "leave it out"),
        ({"models": [""]}, "models", "1 to 256"),
        ({"models": "gpt-4o"}, "models", "not usable"),
        ({"models": ["a"] * 101}, "models", "1 to 100"),
        ({"routes": []}, "routes", "leave it out"),
        ({"routes": ["tea"]}, "routes", "no `tea`; there are: chat, "),
        ({"routes": ["chat", "credentials"]}, "routes", "no `credentials`"),
        ({"endpoints": []}, "endpoints", "leave it out"),
        ({"origins": []}, "origins", "leave it out"),
        ({"origin": "*"}, "origin", "origin of a page"),
        ({"origin": "null"}, "origin", "origin of a page"),
        ({"origin": "https://app.example/path"}, "origin", "origin of a page"),
        ({"origin": "https://me@app.example"}, "origin", "origin of a page"),
        ({"origins": ["https://a.example, https://b.example"]}, "origins", "origin of a page"),
        ({"max_requests": 0}, "max_requests", "whole number from 1"),
        ({"max_requests": 2.5}, "max_requests", "whole number from 1"),
        ({"max_cost_usd": 0}, "max_cost_usd", "more than 0"),
        ({"max_cost_usd": -1}, "max_cost_usd", "more than 0"),
        ({"max_cost_usd": "1"}, "max_cost_usd", "not usable"),
        ({"logging": {}}, "logging", "`parent` or `project_name`"),
        ({"logging": {"parent": ""}}, "logging", "`parent` or `project_name`"),
        ({"logging": {"parent": 5}}, "logging.parent", "is a str"),
        ({"logging": {"parent": "a", "compress_audio": "y"}}, "logging.compress_audio", "bool"),
        ({"logging": {"parent": "a" * 1001}}, "logging", "at most 1000"),
        ({"logging": "on"}, "logging", "not usable"),
    ],
)
def test_what_cannot_be_is_400_and_names_the_field(fields, param: str, words: str) -> None:
    with pytest.raises(BadRequestError, match=words) as raised:
        parse(**fields)
    assert raised.value.param == param
    assert f"`{param}`" in str(raised.value)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b'"x"', b"\xff", b'{"max_cost_usd": 1e999}', b"[" * 9999]
)
def test_what_is_no_json_object_is_400(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        grants.parse_request(body)


def test_a_grant_limits_what_a_scope_limits() -> None:
    assert Grant().scopes == Scopes()
    assert Grant(model="a", routes=("chat",)).scopes == Scopes(models=("a",), routes=("chat",))
    assert Grant(models=("a*",), endpoints=("eu",)).scopes.models == ("a*",)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "gpt-4o"}, "model"),
        ({"routes": ["chat", "audio"]}, "routes"),
        ({"endpoints": ["us"]}, "endpoints"),
    ],
)
def test_a_key_cannot_grant_what_it_may_not_do(fields, param: str) -> None:
    own = Scopes(models=("gpt-4o-mini",), routes=("chat", "credentials"), endpoints=("eu",))
    with pytest.raises(PermissionDeniedError, match=r"may not use .* itself") as raised:
        grants.check_within(parse(**fields).grant, own)
    assert raised.value.param == param
    grants.check_within(parse(**fields).grant, Scopes())
    allowed = {"model": "gpt-4o-mini", "routes": ["chat"], "endpoints": ["eu"]}
    grants.check_within(parse(**allowed).grant, own)


@pytest.mark.parametrize("origin", ["https://app.example", "HTTPS://App.example"])
def test_a_page_of_the_origin_may_use_it(origin: str) -> None:
    grants.check_origin(parse(origin="https://app.example").grant, origin)
    grants.check_origin(Grant(), origin)
    grants.check_origin(Grant(), None)


@pytest.mark.parametrize(
    "origin",
    [None, "", "null", "http://app.example", "https://app.example:8443", "https://evil.example"],
)
def test_another_page_and_what_is_no_page_is_403(origin: str | None) -> None:
    with pytest.raises(PermissionDeniedError, match=r"these origins: https://app\.example"):
        grants.check_origin(parse(origin="https://app.example").grant, origin)


def test_the_request_after_the_last_is_403() -> None:
    grants.check_count(Grant(max_requests=2), 2)
    grants.check_count(Grant(), 10**9)
    with pytest.raises(PermissionDeniedError, match="for 2 requests, which are used up"):
        grants.check_count(Grant(max_requests=2), 3)
