"""Which paths go through as they are, and which would lead astray."""

import pytest

from core import routes
from core.errors import MethodNotAllowedError, NotFoundError

VERSION = {"anthropic-version": "2023-06-01"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "dialect", "there"),
    [
        ("POST", "/v1/completions", {}, "openai_chat", "/completions"),
        ("POST", "/v1/moderations", {}, "openai_chat", "/moderations"),
        ("POST", "/v1/proxy/images/edits", {}, "openai_chat", "/images/edits"),
        ("POST", "/btorg/acme/v1/audio/speech", {}, "openai_chat", "/audio/speech"),
        ("GET", "/v1/files", {}, "openai_chat", "/files"),
        ("GET", "/files/file-1/content", {}, "openai_chat", "/files/file-1/content"),
        ("GET", "/v1/responses/resp_1", {}, "openai_chat", "/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1", {}, "openai_chat", "/responses/resp_1"),
        ("GET", "/v1/chat/completions/id", {}, "openai_chat", "/chat/completions/id"),
        ("DELETE", "/v1/models/ft:gpt-4o:me", {}, "openai_chat", "/models/ft:gpt-4o:me"),
        ("GET", "/v1/files", VERSION, "anthropic", "/files"),
        ("POST", "/v1/messages/batches", VERSION, "anthropic", "/messages/batches"),
        ("POST", "/google/models/e:embedContent", {}, "gemini", "/models/{model}:embedContent"),
    ],
)
def test_the_rest_of_an_api_is_forwarded(
    method: str, path: str, headers: dict[str, str], dialect: str, there: str
):
    route = routes.resolve(method, path, headers)
    assert (route.kind, route.method, route.dialect, route.path) == (
        "forward",
        method,
        dialect,
        there,
    )


def test_a_model_in_a_forwarded_path_is_decoded():
    assert routes.resolve("POST", "/v1beta/models/a%2Fb:countTokens", {}).model == "a/b"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/organization/users",
        "/v1/files/../organization/users",
        "/v1/files/%2e%2e/organization/users",
        "/v1/files/..%2forganization",
        "/v1/files/%252e%252e/organization",
        "/v1/files/a%5cb",
        "/v1/files//x",
        "/v1/files/x%3fy",
        "/v1/filesystem",
        "/v1/chat",
        "/v1/messages/../../x",
    ],
)
def test_a_key_opens_nothing_but_what_is_listed(path: str):
    with pytest.raises(NotFoundError):
        routes.resolve("POST", path, {})


def test_our_own_routes_keep_their_methods():
    for method, path in (("DELETE", "/v1/messages"), ("POST", "/v1/models/m"), ("GET", "/v1/auto")):
        with pytest.raises(MethodNotAllowedError):
            routes.resolve(method, path, {})
    with pytest.raises(NotFoundError):
        routes.resolve("TRACE", "/v1/files", {})


@pytest.mark.parametrize(
    ("path", "headers", "dialect"),
    [
        ("/v1/models", {"x-goog-api-key": "k"}, "gemini"),
        ("/v1beta/models", {}, "gemini"),
        ("/google/v1beta/models", {}, "gemini"),
        ("/v1/models", VERSION, "anthropic"),
        ("/v1/models", {}, "openai_chat"),
    ],
)
def test_models_are_listed_for_the_sdk_that_asks(path: str, headers: dict[str, str], dialect: str):
    assert routes.resolve("GET", path, headers).dialect == dialect
    assert routes.resolve("GET", path + "/m", headers).model == "m"


def test_errors_of_google_clients_speak_gemini():
    assert routes.dialect_of("/v1beta/models", {}) == "gemini"
    assert routes.dialect_of("/v1/models", {"x-goog-api-key": "k"}) == "gemini"
