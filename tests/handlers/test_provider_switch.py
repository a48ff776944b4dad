"""A conversation that began with one provider goes on with the one that speaks the client's format.

That one gets the client's own bytes, so nothing that another provider sealed
may be among them; what was said, called and answered has to be.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.asgi_driver import Exchange, ask
from tests.fakes import KEY, FakeUpstream, Reply, application, org
from tests.handlers.round_trips.clients import CLIENTS, Client
from tests.handlers.round_trips.providers import PROVIDERS
from tests.handlers.round_trips.said import ARGUMENTS, NAMES, RESULTS, TEXT, frozen
from tests.handlers.round_trips.shape import Provider, encoded
from tests.handlers.test_round_trips import MODES, Mode, Talk

pytestmark = pytest.mark.timeout(30)

MARKS = (b"cutwater", b"Y3V0d2F0ZXI6", b"__thoughtsig_", b"gemini:", b'"signature":""')
UNSIGNED = "skip_thought_signature_validator"
NAMED = {
    "openai_chat": "messages.reasoning",
    "openai_responses": "input.reasoning",
    "anthropic": "messages.reasoning",
    "converse": "messages.reasoning",
    "gemini": "contents.reasoning",
}


def strings(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for inner in value.values():
                yield from strings(inner)
        case list() | tuple():
            for inner in value:
                yield from strings(inner)
        case str():
            yield value


async def switched(client: Client, first: Provider, then: Provider, mode: Mode) -> Any:
    """The exchange of the second turn and what it sent upstream."""
    kept = await Talk(client, first, mode).first()
    upstream = FakeUpstream(Reply(then.whole))
    settings = {"name": "there", "secret": "a-secret-of-the-org", **then.endpoint}
    app, _ = application(upstream, org(endpoints=[settings]))
    fields = client.second(client.first(then.model, False), kept)
    path = client.path(then.model, False)
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    answer: Exchange = await ask(app, path, encoded(fields), headers=headers)
    assert answer.status == 200, answer.body
    return answer, upstream.sent[0].body


def tell_the_same(first: Provider, then: Provider) -> bool:
    """Claude reads its own thoughts wherever it is served."""
    return {first.dialect, then.dialect} == {"anthropic", "converse"}


def same_conversation(body: bytes, then: Provider) -> None:
    assert not [mark for mark in MARKS if mark in body]
    request = then.read(body)
    said = [*strings(frozen(encoded(request.said)))]
    assert any(TEXT in text for text in said)
    assert [name for name in said if name in NAMES] == [*NAMES]
    if then.dialect in ("openai_chat", "openai_responses"):
        assert [text for text in said if text.startswith("{")] == [*ARGUMENTS]
    assert [result.text for result in request.results] == [*RESULTS]
    assert len({result.call_id for result in request.results}) == len(RESULTS)
    assert {result.call_id for result in request.results} <= {*said}


PASSED = [
    pytest.param(client, first, id=f"{name} after {first_name}")
    for name, client in CLIENTS.items()
    for first_name, first in PROVIDERS.items()
    if first.dialect != name
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("client", "first"), PASSED)
async def test_nothing_that_another_provider_sealed_goes_to_the_next_one(
    client: Client, first: Provider, mode: Mode
):
    then = PROVIDERS[client.dialect]
    answer, body = await switched(client, first, then, mode)
    same_conversation(body, then)
    # Thoughts in mere text, told to a Gemini client, are not to be told from Google's.
    kept = tell_the_same(first, then) or (then.dialect == "gemini" and first.plain_thoughts)
    named = "" if kept else NAMED[client.dialect]
    assert answer.headers.get("x-bt-dropped-params", "") == named


TRANSLATED = [
    pytest.param(client, first, then, id=f"{name}: {first_name}, then {then_name}")
    for name, client in CLIENTS.items()
    for first_name, first in PROVIDERS.items()
    for then_name, then in PROVIDERS.items()
    if then.dialect not in (name, first.dialect)
]


@pytest.mark.parametrize(("client", "first", "then"), TRANSLATED)
async def test_nor_does_it_where_the_conversation_is_translated(
    client: Client, first: Provider, then: Provider
):
    _, body = await switched(client, first, then, "whole")
    same_conversation(body, then)
    told = strings(frozen(encoded(first.said)))
    sealed = [text for text in told if len(text) > 60 and " " not in text]
    assert bool(sealed) is not first.plain_thoughts
    if not tell_the_same(first, then):
        assert not [text for text in sealed if text.encode() in body]


@pytest.mark.parametrize("first", ["openai_chat", "openai_responses", "anthropic", "converse"])
async def test_a_model_that_wants_calls_signed_hears_that_nobody_signed_them(first: str):
    _, body = await switched(CLIENTS["gemini"], PROVIDERS[first], PROVIDERS["gemini"], "whole")
    parts = frozen(encoded(PROVIDERS["gemini"].read(body).said))
    calls = [part for part in parts if "functionCall" in part]
    assert [call.get("thoughtSignature") for call in calls] == [UNSIGNED, None, None]
