"""What a key may be used for."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import routes, scopes
from core.errors import PermissionDeniedError
from core.scopes import EVERYTHING, ROUTE_NAMES, RouteName, Scopes

MINI = Scopes(models=("gpt-4o-mini", "claude-*"))


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o", "GPT-4o", False),
        ("gpt-4o*", "gpt-4o", True),
        ("gpt-4o*", "gpt-4o-mini", True),
        ("*", "anything", True),
        ("*", "", True),
        ("**", "a", True),
        ("*-mini", "gpt-4o-mini", True),
        ("*-mini", "gpt-4o-mini-2024", False),
        ("gpt-*-mini", "gpt-4o-mini", True),
        ("gpt-*-mini", "gpt-mini", False),
        ("aba*aba", "aba", False),
        ("aba*aba", "abaaba", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("*b*b*", "ab", False),
        ("*b*b*", "abb", True),
        ("gpt-4.", "gpt-4o", False),
        ("gpt-[45]", "gpt-4", False),
        ("gpt-?", "gpt-4", False),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_a_star_stands_for_any_characters_and_nothing_else_does(
    pattern: str, name: str, fits: bool
) -> None:
    assert scopes.fits(pattern, name) is fits


@given(st.lists(st.text("ab", max_size=3), min_size=1, max_size=5), st.data())
def test_what_is_put_for_the_stars_fits(pieces: list[str], data: st.DataObject) -> None:
    filled = pieces[0] + "".join(data.draw(st.text("ab*", max_size=3)) + p for p in pieces[1:])
    assert scopes.fits("*".join(pieces), filled)


@pytest.mark.timeout(5)
def test_no_pattern_takes_long() -> None:
    assert not scopes.fits("*a" * 128 + "c", "a" * 255 + "b")
    assert not scopes.fits("a*" * 128, "b" + "a" * 255)


@pytest.mark.parametrize("asked", ["gpt-4o-mini", "models/gpt-4o-mini", "claude-opus-4-5"])
def test_a_model_of_the_scope_is_allowed_also_with_googles_prefix(asked: str) -> None:
    scopes.permit([MINI], model=asked, route="chat")
    prefixed = Scopes(models=("models/gpt-4o-mini", "models/claude-*"))
    scopes.permit([prefixed], model=asked, route="chat")


@pytest.mark.parametrize(
    ("scope", "model", "route", "endpoint", "words"),
    [
        (MINI, "gpt-4o", "chat", None, r"model `gpt-4o`.*Allowed: gpt-4o-mini, claude-\*"),
        (MINI, "models/models/gpt-4o-mini", "chat", None, "model"),
        (MINI, "openai/gpt-4o-mini", "chat", None, "model"),
        (MINI, "gpt-4o-mini ", "chat", None, "model"),
        (MINI, "", "chat", None, "model"),
        (MINI, "gpt-4o", "embeddings", None, "Allowed: gpt-4o-mini"),
        (MINI, None, "images", None, "names none"),
        (MINI, None, "chat", None, "names none"),
        (MINI, "gpt-4o-mini", "batches", None, "which model"),
        (MINI, "gpt-4o-mini", "other", None, "which model"),
        (MINI, None, "files", None, "`files` must be among"),
        (Scopes(routes=("chat",)), "gpt-4o", "embeddings", None, "route `embeddings`.*: chat"),
        (Scopes(routes=("chat",)), None, "credentials", None, "route `credentials`"),
        (Scopes(endpoints=("eu",)), "gpt-4o", "chat", "us", "endpoint `us`.*: eu"),
    ],
)
def test_what_a_scope_does_not_allow_is_403_and_says_what_is(
    scope: Scopes, model: str | None, route: RouteName, endpoint: str | None, words: str
) -> None:
    for all_of_them in ([scope], [EVERYTHING, scope], [scope, EVERYTHING]):
        with pytest.raises(PermissionDeniedError, match=words) as raised:
            scopes.permit(all_of_them, model=model, route=route, endpoint=endpoint)
        assert raised.value.status == 403


@pytest.mark.parametrize(
    ("scope", "model", "route", "endpoint"),
    [
        (EVERYTHING, None, "other", None),
        (EVERYTHING, "gpt-4o", "chat", "us"),
        (MINI, None, "credentials", None),
        (Scopes(models=("a",), routes=("files", "chat")), None, "files", None),
        (Scopes(routes=("chat",)), "gpt-4o", "chat", None),
        (Scopes(endpoints=("eu",)), "gpt-4o", "chat", "eu"),
        (Scopes(endpoints=("eu",)), "gpt-4o", "chat", None),
        (Scopes(models=("a",), routes=("chat",), endpoints=("eu",)), None, None, None),
    ],
)
def test_what_a_scope_allows_passes(
    scope: Scopes, model: str | None, route: RouteName | None, endpoint: str | None
) -> None:
    scopes.permit([scope, EVERYTHING], model=model, route=route, endpoint=endpoint)


def test_no_scope_widens_another() -> None:
    both = [Scopes(models=("gpt-*",)), Scopes(models=("*-mini", "claude-3"))]
    assert scopes.may_use_model(both, "gpt-4o-mini")
    assert not scopes.may_use_model(both, "gpt-4o")
    assert not scopes.may_use_model(both, "claude-3")
    assert scopes.may_use_endpoint([Scopes(endpoints=("a", "b")), Scopes(endpoints=("b",))], "b")
    assert not scopes.may_use_endpoint([Scopes(endpoints=("a",)), Scopes(endpoints=("b",))], "b")


def test_a_long_list_is_not_told_whole() -> None:
    many = Scopes(models=tuple(f"model-{number}" for number in range(100)))
    with pytest.raises(PermissionDeniedError, match="model-19 and 80 more") as raised:
        scopes.permit([many], model="x" * 5000, route="chat")
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/v1/chat/completions", "chat"),
        ("GET", "/v1/chat/completions/chatcmpl-1", "chat"),
        ("POST", "/v1/messages", "chat"),
        ("POST", "/anthropic/v1/messages/count_tokens", "chat"),
        ("POST", "/v1/responses", "chat"),
        ("GET", "/v1/responses/resp_1", "chat"),
        ("POST", "/v1beta/models/gemini-2.5-flash:generateContent", "chat"),
        ("POST", "/v1beta/models/gemini-2.5-flash:countTokens", "chat"),
        ("POST", "/model/anthropic.claude/converse", "chat"),
        ("POST", "/v1/auto", "chat"),
        ("POST", "/v1/explain", "chat"),
        ("POST", "/v1/completions", "completions"),
        ("POST", "/v1/embeddings", "embeddings"),
        ("POST", "/v1beta/models/text-embedding-004:embedContent", "embeddings"),
        ("POST", "/v1beta/models/text-embedding-004:batchEmbedContents", "embeddings"),
        ("POST", "/v1beta/models/imagen-4:predict", "images"),
        ("POST", "/v1/moderations", "moderations"),
        ("POST", "/v1/images/edits", "images"),
        ("POST", "/v1/audio/speech", "audio"),
        ("POST", "/v1/videos", "videos"),
        ("GET", "/v1/files", "files"),
        ("POST", "/v1/uploads", "files"),
        ("POST", "/v1/batches", "batches"),
        ("POST", "/anthropic/v1/messages/batches", "batches"),
        ("GET", "/anthropic/v1/messages/batches/msgbatch_1/results", "batches"),
        ("POST", "/v1/fine_tuning/jobs", "other"),
        ("DELETE", "/v1/models/ft:gpt-4o", "other"),
        ("POST", "/v1/assistants", "other"),
        ("GET", "/v1/models", None),
        ("GET", "/v1/models/gpt-4o", None),
        ("GET", "/health", None),
    ],
)
def test_each_route_has_a_name_to_be_allowed_by(method: str, path: str, name: str | None) -> None:
    assert scopes.route_name(routes.resolve(method, path, {})) == name


def test_no_forwarded_route_is_forgotten() -> None:
    for dialect, starts in routes.FORWARDED.items():
        for start in starts:
            headers = {"anthropic-version": "1"} if dialect == "anthropic" else {}
            route = routes.resolve("DELETE", f"/v1/{start.rstrip('/')}/x", headers)
            assert scopes.route_name(route) in ROUTE_NAMES


def test_the_words_for_routes_are_all_told() -> None:
    assert set(ROUTE_NAMES) == set(get_args(RouteName))


@pytest.mark.parametrize(
    ("scope", "field"),
    [
        (Scopes(models=("",)), "models"),
        (Scopes(models=("x" * 257,)), "models"),
        (Scopes(models=("a\nb",)), "models"),
        (Scopes(models=tuple(str(n) for n in range(101))), "models"),
        (Scopes(endpoints=("",)), "endpoints"),
    ],
)
def test_names_that_cannot_be_are_found(scope: Scopes, field: str) -> None:
    assert [at for at, _ in scopes.faults(scope)] == [field]


def test_a_scope_in_order_has_no_faults() -> None:
    assert scopes.faults(MINI) == []
