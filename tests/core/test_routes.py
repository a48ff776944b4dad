"""Paths and what they mean."""

import pytest

from core import routes
from core.errors import BadRequestError, MethodNotAllowedError, NotFoundError

PREFIXES = [
    ("", None),
    ("/v1", None),
    ("/v1/proxy", None),
    ("/btorg/acme", "acme"),
    ("/v1/btorg/acme", "acme"),
    ("/v1/proxy/btorg/acme", "acme"),
    ("/btorg/acme/v1", "acme"),
    ("/btorg/acme/v1/proxy", "acme"),
    ("/BTORG/acme", "acme"),
    ("/btorg/a%20b%2Fc%C3%A9", "a b/cé"),
]
CHAT_PATHS = [
    ("/chat/completions", "openai_chat"),
    ("/chat/completions/", "openai_chat"),
    ("/messages", "anthropic"),
    ("/v1/messages", "anthropic"),
    ("/anthropic/messages", "anthropic"),
    ("/anthropic/v1/messages", "anthropic"),
]


@pytest.mark.parametrize(("prefix", "org"), PREFIXES)
@pytest.mark.parametrize(("path", "dialect"), CHAT_PATHS)
def test_every_form_of_a_chat_path_is_known(prefix: str, org: str | None, path: str, dialect: str):
    route = routes.resolve("POST", prefix + path, {})
    assert (route.kind, route.dialect, route.org) == ("chat", dialect, org)


@pytest.mark.parametrize(("prefix", "org"), PREFIXES)
@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/models", {}, ("models", "openai_chat", None)),
        ("/models", {"anthropic-version": "2023-06-01"}, ("models", "anthropic", None)),
        ("/anthropic/v1/models", {}, ("models", "anthropic", None)),
        ("/models/gpt-4o", {}, ("model", "openai_chat", "gpt-4o")),
        ("/models/a/b%2Fc%zz", {}, ("model", "openai_chat", "a/b/c%zz")),
        ("/models/m", {"anthropic-version": "x"}, ("model", "anthropic", "m")),
        ("/anthropic/v1/models/m", {}, ("model", "anthropic", "m")),
        ("/health", {}, ("health", "openai_chat", None)),
    ],
)
def test_models_and_health_have_paths_of_the_same_forms(
    prefix: str,
    org: str | None,
    path: str,
    headers: dict[str, str],
    expected: tuple[str, str, str | None],
):
    for method in ("GET", "HEAD"):
        route = routes.resolve(method, prefix + path, headers)
        assert (route.kind, route.dialect, route.model) == expected
        assert route.org == org


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/v1",
        "/v1/",
        "/v1/proxy",
        "/v2/chat/completions",
        "/chat",
        "/models/",
        "/v1/nothing",
        "/btorg/acme",
        "/btorg//chat/completions",
        "/btorg/a/btorg/b/chat/completions",
        "//chat/completions",
        "/v1/chat/../chat/completions",
    ],
)
def test_an_unknown_path_is_a_404(path: str):
    method = "GET" if "models" in path else "POST"
    if path == "/models/":
        assert routes.resolve(method, path, {}).kind == "models"
        return
    with pytest.raises(NotFoundError):
        routes.resolve(method, path, {})


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("HEAD", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/messages", "POST"),
        ("POST", "/v1/models", "GET"),
        ("PUT", "/v1/models/m", "GET"),
        ("POST", "/health", "GET"),
    ],
)
def test_a_wrong_method_is_a_405_that_names_the_right_one(method: str, path: str, allow: str):
    with pytest.raises(MethodNotAllowedError) as caught:
        routes.resolve(method, path, {})
    assert caught.value.headers == {"allow": allow}


@pytest.mark.parametrize(
    ("path", "headers", "dialect"),
    [
        ("/v1/nothing", {}, "openai_chat"),
        ("/v1/nothing", {"anthropic-version": "x"}, "anthropic"),
        ("/anthropic/v1/nothing", {}, "anthropic"),
        ("/v1/messages", {}, "anthropic"),
        ("/v1/messages/", {}, "anthropic"),
    ],
)
def test_errors_speak_the_dialect_that_the_path_looks_like(
    path: str, headers: dict[str, str], dialect: str
):
    assert routes.dialect_of(path, headers) == dialect


@pytest.mark.parametrize(
    ("path", "header", "chosen"),
    [(None, None, None), ("a", None, "a"), (None, "a", "a"), ("a", "a", "a")],
)
def test_the_organisation_comes_from_the_path_or_the_header(
    path: str | None, header: str | None, chosen: str | None
):
    route = routes.Route(kind="chat", method="POST", org=path)
    assert routes.choose_org(route, header) == chosen


def test_two_different_organisations_are_a_400():
    with pytest.raises(BadRequestError):
        routes.choose_org(routes.Route(kind="chat", method="POST", org="a"), "b")


@pytest.mark.parametrize("name", ["gpt-4.1", "a..b", ".a", "a/b", "arn:aws:x/y.z", "..."])
def test_names_with_dots_are_names(name: str):
    assert routes.segment(name) == routes.quote(name)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@a.test/x?key=k", "https://a.test/x"),
        ("https://a.test/x@y", "https://a.test/x@y"),
        ("demo:", "demo:"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str):
    assert routes.shown(url) == shown
