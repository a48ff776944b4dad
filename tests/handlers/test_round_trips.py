"""Two turns of a conversation with tools, for every client and every provider, whole and streamed.

What the provider said in its first answer comes back to it in the second
request as it was: ids, arguments with numbers as written, signatures and sealed
thoughts, each in its place; the results stand with their calls.
"""

import re
from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

import pytest
from msgspec import Struct
from msgspec.structs import replace

from tests.asgi_driver import Exchange, ask
from tests.fakes import KEY, FakeUpstream, Reply, application, org
from tests.handlers.round_trips import openai
from tests.handlers.round_trips.clients import CLIENTS, Client, Fields, Kept
from tests.handlers.round_trips.providers import PROVIDERS
from tests.handlers.round_trips.said import CHART, FAILED, PIXEL, RESULTS, THOUGHT, Result, frozen
from tests.handlers.round_trips.sdks import SDKS
from tests.handlers.round_trips.shape import Provider, encoded

pytestmark = pytest.mark.timeout(30)

Mode = Literal["whole", "streamed"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)


class Cannot(Struct, frozen=True, kw_only=True):
    """A pair that cannot bring everything back, and why."""

    provider: str
    client: str
    reason: str
    dropped: str
    """What the second turn is told to be without."""


_NOT_SIGNED: Final = "Its thoughts are plain text: in another format they could be anybody's."
_DROPPED: Final = {
    "openai_responses": "input.reasoning",
    "anthropic": "messages.reasoning",
    "converse": "messages.reasoning",
    "gemini": "contents.reasoning",
}
CANNOT: Final = tuple(
    Cannot(provider="openai_chat", client=client, reason=_NOT_SIGNED, dropped=name)
    for client, name in _DROPPED.items()
)


def lost(client: Client, provider: Provider) -> list[str]:
    pair = (client.dialect, provider.dialect)
    return [row.dropped for row in CANNOT if (row.client, row.provider) == pair]


class Talk:
    """A client that talks to a provider."""

    def __init__(self, client: Client, provider: Provider, mode: Mode) -> None:
        self.client, self.provider, self.mode = client, provider, mode
        self.upstream = FakeUpstream(self._reply(streams=mode == "streamed"), self._reply())
        settings = {"name": "there", "secret": "a-secret-of-the-org", **provider.endpoint}
        self.app, _ = application(self.upstream, org(endpoints=[settings]))

    def _reply(self, *, streams: bool = False) -> Reply:
        if not streams:
            return Reply(self.provider.whole)
        # Cut where it hurts: inside of events and of characters.
        stream, size = self.provider.stream, 311
        steps = [stream[i : i + size] for i in range(0, len(stream), size)]
        return Reply(*steps, headers={"content-type": self.provider.content_type})

    async def _ask(self, fields: Fields, *, stream: bool) -> Exchange:
        path = self.client.path(self.provider.model, stream)
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        answer = await ask(self.app, path, encoded(fields), headers=headers)
        assert answer.status == 200, answer.body
        return answer

    async def first(self) -> Kept:
        stream = self.mode == "streamed"
        fields = self.client.first(self.provider.model, stream)
        body = (await self._ask(fields, stream=stream)).body
        return self.client.streamed(body) if stream else self.client.whole(body)

    async def second(self, kept: Kept) -> Exchange:
        first = self.client.first(self.provider.model, False)
        return await self._ask(self.client.second(first, kept), stream=False)


def expected_said(client: Client, provider: Provider, *, written: bool) -> Any:
    said = frozen(encoded(provider.said), written=written)
    if provider.dialect == client.dialect == "openai_chat":
        return {**said, "reasoning_content": THOUGHT}
    return said


def expected_results(client: Client, provider: Provider) -> list[Result]:
    same = client.dialect == provider.dialect
    inside = client.pictures_in_results and (provider.pictures_inside or same)
    flags = client.flags_errors and provider.flags_errors
    return [
        Result(call_id, text, flags and place == FAILED, inside and place == 0)
        for place, (call_id, text) in enumerate(zip(provider.ids, RESULTS, strict=True))
    ]


def without_ids(said: Any, results: Sequence[Result]) -> tuple[Any, Sequence[Result]]:
    """Where Google gave its calls no ids: ours must at least bind the results to their calls."""
    calls = [part["functionCall"] for part in said if "functionCall" in part]
    ids = [call.pop("id", None) for call in calls]
    assert [result.call_id for result in results] == ids
    assert len({*ids}) == len(ids) or {*ids} == {None}
    return said, [replace(result, call_id=None) for result in results]


async def comes_back(client: Client, provider: Provider, mode: Mode, *, written: bool) -> None:
    talk = Talk(client, provider, mode)
    answer = await talk.second(await talk.first())
    request = provider.read(talk.upstream.sent[1].body)
    said, results = frozen(encoded(request.said), written=written), request.results
    expected = expected_results(client, provider)
    if None in provider.ids:
        said, results = without_ids(said, results)
    elif client is SDKS["gemini"] and provider.dialect == "gemini":
        expected = [replace(result, call_id=None) for result in expected]
    assert said == expected_said(client, provider, written=written)
    assert results == expected
    assert [*request.pictures] == [PIXEL, CHART][: 1 + client.pictures_in_results]
    dropped = answer.headers.get("x-bt-dropped-params", "").split(", ")
    thoughts = [name for name in dropped if "reasoning" in name or "thought" in name]
    assert thoughts == lost(client, provider)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
async def test_everything_comes_back(provider: Provider, client: Client, mode: Mode):
    await comes_back(client, provider, mode, written=True)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("client", SDKS.values(), ids=SDKS)
@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
async def test_everything_comes_back_through_an_official_sdk(
    provider: Provider, client: Client, mode: Mode
):
    await comes_back(client, provider, mode, written=False)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("client", [c for c in CLIENTS.values() if c.dialect != "openai_chat"])
@pytest.mark.parametrize(
    "ids", [("", "", ""), (None, None, None), ("call_1", "call_1", "call_1")], ids=str
)
async def test_calls_without_ids_of_their_own_are_told_apart(
    ids: Sequence[str | None], client: Client, mode: Mode
):
    talk = Talk(client, openai.chat(ids), mode)
    first = await talk.first()
    await talk.second(first)
    request = talk.provider.read(talk.upstream.sent[1].body)
    called = [call["id"] for call in request.said["tool_calls"]]
    assert [result.call_id for result in request.results] == called
    assert [result.text for result in request.results] == [*RESULTS]
    assert len({*called}) == len(called)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", call_id) for call_id in called)
