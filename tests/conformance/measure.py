"""Every recording of an API through each client, beside the same recording read directly.

The direct reading is that of the official SDK of the recording's own dialect,
which asks the replay server itself: no parser of Cutwater's is in it.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from core.routes import DialectName
from tests import corpus, processes
from tests.conformance import agreement, clients, explained, readers
from tests.conformance.apis import Api
from tests.conformance.clients import CLIENTS, Ask, Client
from tests.corpus import Recording
from tests.e2e.canonical import Answer
from tests.e2e.comparison import Delivery, differences
from tests.e2e.sdks import Question, Seen
from tests.processes import Server

THREADS: Final = 8


class Way(Struct, frozen=True):
    """How a provider delivers, and whether the client streams."""

    name: str
    delivery: Delivery
    client_streams: bool
    most: int | None = None
    """Recordings of an API, where not all are taken."""

    @property
    def key(self) -> str:
        return f"{self.delivery.chunk}{int(self.client_streams > self.delivery.stream)}"

    def recordings(self, api: Api) -> list[Recording]:
        found = [r for r in api.recordings() if r.stream == self.delivery.stream]
        found = [r for r in found if size(r) <= (self.delivery.largest or size(r))]
        if self.client_streams != self.delivery.stream:
            found = [r for r in found if r.response.status < 400]
        if self.most is None:
            return found
        # Those of one cassette resemble each other: the hash of an id spreads the choice.
        return sorted(found, key=lambda r: sha256(r.id.encode()).digest())[: self.most]


def size(recording: Recording) -> int:
    response = recording.response
    return len(response.body_text.encode()) + len(response.body_b64) * 3 // 4


WHOLE: Final = Way("whole", Delivery(stream=False), client_streams=False)
STREAM: Final = Way("streamed", Delivery(stream=True), client_streams=True)
CHUNK_1: Final = Way("streamed, chunk=1", Delivery(stream=True, chunk=1), client_streams=True)
MADE_STREAM: Final = Way(
    "whole, client streams", Delivery(stream=False), client_streams=True, most=10
)
WAYS: Final = (WHOLE, STREAM, CHUNK_1, MADE_STREAM)


class Pair(Struct, frozen=True, kw_only=True):
    """One recording, shown to one client in one way."""

    api: str
    client: DialectName
    way: str
    recording: str
    aspects: tuple[str, ...]
    """In which the client was shown something else."""
    rules: tuple[str, ...] = ()
    reason: str | None = None
    """Why it differs; None where nobody has explained it, or where it agrees."""
    sides: str = ""

    @property
    def agrees(self) -> bool:
        return not self.aspects


def organisation(api: Api, way: Way, url: str) -> dict[str, Any]:
    """The replay server reads its options from headers: an endpoint may add its own."""
    chunk = way.delivery.chunk
    headers = {"additionalHeaders": {"x-replay-chunk": str(chunk)}} if chunk else {}
    streams = {} if way.client_streams == way.delivery.stream else {"supportsStreaming": False}
    return {
        "name": f"{api.name}-{way.key}",
        "keys": [{"name": "ci", "key": key(api, way)}],
        "endpoints": [api.endpoint(url, **headers, **streams)],
        # A recorded error is the same each time.
        "retry": {"max_attempts": 1},
    }


def key(api: Api, way: Way) -> str:
    return "cw_" + sha256(f"{api.name}-{way.key}".encode()).hexdigest()


class Stack(Struct, frozen=True):
    replay: Server
    cutwater: Server


@contextmanager
def running(directory: Path, apis: Sequence[Api], ways: Sequence[Way]) -> Iterator[Stack]:
    with ExitStack() as servers:
        names = [api.name for api in apis]
        replay = servers.enter_context(
            processes.replay_upstream(directory, corpus.require(), names)
        )
        of_keys = {way.key: way for way in ways}  # Whole and streamed need no two of them.
        orgs = [organisation(api, way, replay.url) for api in apis for way in of_keys.values()]
        cutwater = servers.enter_context(processes.cutwater(directory, orgs))
        yield Stack(replay, cutwater)


def _direct(api: Api) -> Client:
    if api.dialect == "anthropic" and api.type == "bedrock":
        return clients.bedrock_messages
    return _own(api)


def _own(api: Api) -> Client:
    """The client of the recording's own dialect."""
    if api.type == "vertex":
        return clients.vertex_gemini
    if api.dialect == "openai_responses":
        return clients.recorded_responses
    return CLIENTS[api.dialect]


def measure(
    stack: Stack, api: Api, way: Way, *, only: Callable[[Recording], bool] = lambda _: True
) -> Iterator[Pair]:
    """Recorded errors come last: they may cool an endpoint down for the others."""
    recordings = [r for r in way.recordings(api) if only(r)]
    if not recordings:
        return
    recordings.sort(key=lambda recording: recording.response.status)
    with ExitStack() as opened, ThreadPoolExecutor(THREADS) as pool:
        ask_direct = _direct(api)(stack.replay.url, "k", opened)
        asked = {
            name: client(stack.cutwater.url, key(api, way), opened)
            for name, client in {**CLIENTS, api.dialect: _own(api)}.items()
        }

        def ask(how: Ask, *, stream: bool) -> list[Seen]:
            questions = [Question(api.model(r), stream, stream) for r in recordings]
            return list(pool.map(how, questions))

        direct = ask(ask_direct, stream=way.delivery.stream)
        for name, how in asked.items():
            shown = ask(how, stream=way.client_streams)
            for recording, left, right in zip(recordings, direct, shown, strict=True):
                yield compared(api, way, name, recording, left, right)


def _truth(api: Api, recording: Recording, direct: Seen) -> Answer:
    """What the SDK read; of what Google's cannot read, since it has numbers for words, the JSON."""
    if direct.answer == clients.UNREADABLE and api.dialect == "gemini":
        return readers.from_gemini([readers.in_words(recording.response.body)])
    return direct.answer


def compared(
    api: Api, way: Way, client: DialectName, recording: Recording, direct: Seen, shown: Seen
) -> Pair:
    same_way = way.client_streams == way.delivery.stream
    passes = client == api.dialect and same_way and not api.restated
    truth = direct.answer if client == api.dialect else _truth(api, recording, direct)
    wanted, rules = agreement.normal(truth), ()
    if not passes:
        wanted, rules = agreement.expected(truth, client)
    aspects = agreement.differing(wanted, shown.answer)
    sides = _sides(wanted, shown)
    if passes and not aspects and direct.dump != shown.dump and direct.answer.error is None:
        aspects = ("all that is shown",)
        sides = "; ".join(differences(direct.dump, shown.dump)[:4])
    explanation = explained.explanation(recording, client)
    reason = None
    if aspects and explanation is not None:
        instead, _ = agreement.expected(explanation.instead(truth), client)
        if not agreement.differing(instead, shown.answer):
            reason = explanation.reason
    elif explanation is not None and not passes:
        sides, aspects = "It has a reason, yet agrees.", ("needless reason",)
    return Pair(
        api=api.name,
        client=client,
        way=way.name,
        recording=recording.id,
        aspects=aspects,
        rules=rules,
        reason=reason,
        sides="" if not aspects else sides,
    )


def _sides(wanted: Any, shown: Seen) -> str:
    why = f" ({shown.dump!r:.500})" if shown.answer.error is not None else ""
    return f"expected {wanted!r:.900}\n      shown    {shown.answer!r:.900}{why}"
