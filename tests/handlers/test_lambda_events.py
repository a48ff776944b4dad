"""Where an event's path begins: after the stage, after a domain's base path."""

from typing import Any

import pytest

from handlers.lambda_events import scope_of
from tests import events

SCOPE: dict[str, Any] = {"headers": [(b"Host", b"x")], "path": "", "method": "POST"}


def raw_path(event: dict[str, Any]) -> str:
    return scope_of(SCOPE, event)["raw_path"].decode()


def rest(path: str, proxy: str | None) -> dict[str, Any]:
    parameters = None if proxy is None else {"proxy": proxy}
    return events.load("rest_post", path=path, pathParameters=parameters)


@pytest.mark.parametrize(
    ("path", "proxy", "expected"),
    [
        # API Gateway's own address: the stage `v1` is not in the path.
        ("/chat/completions", "chat/completions", "/chat/completions"),
        ("/v1/messages", "v1/messages", "/v1/messages"),
        # A domain of one's own, without and with a base path.
        ("/v1/chat/completions", "v1/chat/completions", "/v1/chat/completions"),
        ("/ai/v1/chat/completions", "v1/chat/completions", "/v1/chat/completions"),
        ("/ai/eu/v1/models/m:generateContent", "v1/models/m:generateContent",
         "/v1/models/m:generateContent"),
        # What is escaped stays so, whichever of the two is decoded.
        ("/ai/model/arn%3Aa%2Fb/converse", "model/arn:a/b/converse", "/model/arn%3Aa%2Fb/converse"),
        ("/model/arn%3Aa/converse", "model/arn%3Aa/converse", "/model/arn%3Aa/converse"),
        # The root, and an event that does not fit together.
        ("/", None, "/"),
        ("/chat", "something/else", "/chat"),
    ],
)  # fmt: skip
def test_a_rest_path_begins_after_the_base_path(path: str, proxy: str | None, expected: str):
    assert raw_path(rest(path, proxy)) == expected


@pytest.mark.parametrize(
    ("stage", "path", "expected"),
    [
        ("$default", "/v1/chat/completions", "/v1/chat/completions"),
        ("prod", "/prod/v1/chat/completions", "/v1/chat/completions"),
        ("prod", "/production", "/production"),
    ],
)
def test_the_path_of_an_http_api_begins_after_its_stage(stage: str, path: str, expected: str):
    event = events.load("http_v2_post", rawPath=path)
    event["requestContext"]["stage"] = stage
    event["requestContext"]["http"]["path"] = path
    assert raw_path(event) == expected


def test_the_decoded_path_is_the_same_one():
    assert scope_of(SCOPE, rest("/ai/models/a%20b", "models/a b"))["path"] == "/models/a b"
