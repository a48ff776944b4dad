"""Recordings of every dialect, asked twice by SDKs: what is whole is a hit that shows the same."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import anthropic
import openai
import pytest

from core import caching
from tests.conformance import measure
from tests.conformance.apis import APIS, Api
from tests.conformance.measure import STREAM, WHOLE, Stack, Way
from tests.corpus import Recording
from tests.e2e import sdks

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(180)]

MOST: Final = 12
"""Recordings of an API and a way: those whose ids' hashes come first."""
NAMES: Final = (
    "openai.chat",
    "openai.responses",
    "anthropic.messages",
    "google.generateContent",
    "google.streamGenerateContent",
    "bedrock.converse",
    "bedrock.converse-stream",
)
CHOSEN: Final = tuple(api for api in APIS if api.name in NAMES)
ALWAYS: Final = {"x-bt-use-cache": "always"}
QUESTION: Final[list[Any]] = [{"role": "user", "content": "x"}]
WAYS: Final = tuple(
    Way(way.name, way.delivery, way.client_streams, MOST) for way in (WHOLE, STREAM)
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with measure.running(tmp_path_factory.mktemp("cached"), CHOSEN, WAYS) as running:
        yield running


_ENDED: Final = re.compile(r"(finish_reason|stop_reason)': '|response\.completed")

Told = tuple[str | None, str | None, Any]
"""x-bt-cached, x-bt-cache-reason, and what the SDK shows; an error's status instead of it."""


def _read(raw: Any, *, stream: bool) -> Told:
    headers = raw.headers
    cached, reason = headers.get("x-bt-cached"), headers.get("x-bt-cache-reason")
    try:
        answer = raw.parse()
        shown: Any = [sdks.dump(one) for one in answer] if stream else sdks.dump(answer)
    except (openai.APIError, anthropic.APIError) as error:
        shown = str(error).partition("req_")[0]
    return cached, reason, shown


class Clients:
    def __init__(self, url: str, key: str, opened: ExitStack) -> None:
        shared: Any = {"api_key": key, "max_retries": 0, "default_headers": ALWAYS, "timeout": 20}
        self._openai = opened.enter_context(openai.OpenAI(base_url=f"{url}/v1", **shared))
        self._anthropic = opened.enter_context(anthropic.Anthropic(base_url=url, **shared))

    def ask(self, sdk: str, model: str, *, stream: bool) -> Told:
        try:
            return _read(self._raw(sdk, model, stream=stream), stream=stream)
        except (openai.APIStatusError, anthropic.APIStatusError) as error:
            return error.response.headers.get("x-bt-cached"), None, error.status_code

    def _raw(self, sdk: str, model: str, *, stream: bool) -> Any:
        asked: dict[str, Any] = {"model": model, "stream": stream}
        if sdk == "chat":
            chat: Any = self._openai.chat.completions.with_raw_response
            return chat.create(messages=QUESTION, **asked)
        if sdk == "responses":
            responses: Any = self._openai.responses.with_raw_response
            return responses.create(input="x", **asked)
        messages: Any = self._anthropic.messages.with_raw_response
        return messages.create(messages=QUESTION, max_tokens=99, **asked)


def _check(recording: Recording, first: Told, second: Told) -> bool:
    """Whether it was a hit. What is no whole answer is asked for again, and says so."""
    assert first[2] == second[2] or first[0] != "MISS", recording.id
    if second[0] == "HIT":
        assert first[0] == "MISS", recording.id
        return True
    failed = isinstance(second[2], int | str)
    assert failed or second[1] in caching.REASONS or _ended_early(second[2]), recording.id
    return False


def _ended_early(shown: Any) -> bool:
    """A stream's head is said before its end is known: why it was not kept stands in its words."""
    words = repr(shown)
    early = any(word in words for word in ("content_filter", "refusal", "incomplete", "failed"))
    return early or _ENDED.search(words) is None


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("sdk", ["chat", "responses", "messages"])
@pytest.mark.parametrize("api", CHOSEN, ids=lambda api: api.name)
def test_what_is_whole_is_made_once(stack: Stack, api: Api, sdk: str, way: Way) -> None:
    recordings = way.recordings(api)
    if not recordings:
        pytest.skip("not recorded in this way")
    with ExitStack() as opened:
        clients = Clients(stack.cutwater.url, measure.key(api, way), opened)
        hits = 0
        for recording in recordings:
            told = [
                clients.ask(sdk, api.model(recording), stream=way.client_streams) for _ in range(2)
            ]
            hits += _check(recording, *told)
    # Errors and answers without an end are among the recordings, but are not most of them.
    answered = sum(recording.response.status < 400 for recording in recordings)
    assert hits >= answered * 0.6, f"{hits} of {answered}"
