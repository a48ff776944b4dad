"""What the other dialects and the catalogue do for Google's sake."""

from typing import Any

import msgspec
import pytest

from core.dialects import anthropic, gemini, openai_chat
from core.envelope import split
from core.errors import BadRequestError
from core.neutral import Facts, Media, Message, Request, ToolCall
from handlers.local import local_org
from providers import models


def test_a_signature_where_googles_own_openai_endpoint_puts_it_is_read():
    call: dict[str, Any] = {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "S+/="}},
    }
    other = {**call, "id": "c2", "extra_content": {"acme": 1}}
    messages = [{"role": "assistant", "tool_calls": [call, other]}]
    body = msgspec.json.encode({"model": "m", "messages": messages})
    request = openai_chat.parse_request(split(body))
    assert request.messages[0].parts == (
        ToolCall(id="c1", name="f", arguments="{}", signature="S+/="),
        ToolCall(id="c2", name="f", arguments="{}"),
    )
    sent = msgspec.json.decode(gemini.render_request(request, Facts()).body)
    assert [part.get("thoughtSignature") for part in sent["contents"][0]["parts"]] == ["S+/=", None]


@pytest.mark.parametrize("provider", [openai_chat, anthropic])
def test_a_film_is_refused_where_nobody_can_see_it(provider):
    film = Media(kind="video", media_type="video/mp4", data="AAAA")
    request = Request(model="m", messages=(Message("user", (film,)),))
    with pytest.raises(BadRequestError, match="video"):
        provider.render_request(request, Facts())


@pytest.mark.parametrize(
    ("name", "thinking", "levels"),
    [
        ("gemini-2.5-flash", "budget", None),
        ("gemini-3-pro-preview", "level", ("low", "high")),
        ("gemini-3.1-pro-preview", "level", ("low", "medium", "high")),
        ("gemini-3-flash-preview", "level", ("minimal", "low", "medium", "high")),
        ("gemini-3.5-flash-lite", "level", ("minimal", "low", "medium", "high")),
        (
            "publishers/google/models/gemini-3.7-flash",
            "level",
            ("minimal", "low", "medium", "high"),
        ),
        ("gemini-3.99-unheard-of", "level", ("low", "high")),
    ],
)
def test_how_a_model_is_told_to_think(name, thinking, levels):
    facts = models.lookup(name).facts
    assert facts.thinking == thinking
    assert levels is None or facts.levels == levels


@pytest.mark.parametrize(
    ("name", "budgets", "always"),
    [
        ("gemini-2.5-pro", (128, 32768), True),
        ("gemini-2.5-flash-lite", (512, 24576), False),
        ("gemini-2.5-flash", (1, 24576), False),
        ("gemini-2.0-flash", None, False),
    ],
)
def test_how_much_a_model_may_think(name, budgets, always):
    facts = models.lookup(name).facts
    assert (facts.budgets, facts.always_thinks) == (budgets, always)


@pytest.mark.parametrize("variable", ["GEMINI_API_KEY", "GOOGLE_API_KEY"])
def test_a_key_in_the_environment_makes_an_endpoint(variable, tmp_path):
    environment = {variable: "AIza-x", "OLLAMA_HOST": "http://127.0.0.1:9"}
    (endpoint,) = local_org(environment, tmp_path).endpoints
    assert (endpoint.type, endpoint.name, endpoint.secret) == ("google", "google-local", "AIza-x")
