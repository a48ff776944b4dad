"""Recordings through Cutwater, beside the same recordings read directly.

A pair is an SDK and a recorded API. Where the SDK speaks the API's dialect
the whole dump must be equal (the pass lane changes nothing), else the
canonical form.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from tests import corpus
from tests.corpus import Recording
from tests.e2e import sdks
from tests.e2e.canonical import agree, comparable, with_thoughts_joined
from tests.e2e.explained import EXPLAINED, Explanation
from tests.e2e.sdks import Question, Sdk, Seen

Flavour: TypeAlias = Literal["sync", "async", "helper"]
"""`helper`: the asynchronous SDK's own helper that joins a stream."""

APIS: Final = ("openai.chat", "anthropic.messages")
OWN_SDK: Final[Mapping[str, Sdk]] = {"openai.chat": "openai", "anthropic.messages": "anthropic"}
MODEL: Final = {"openai.chat": "gpt-4o-{}", "anthropic.messages": "claude-x-{}"}
"""Names that route to the endpoint of that API and name the recording by their end."""
PAIRS: Final[tuple[tuple[Sdk, str], ...]] = (
    ("openai", "openai.chat"),
    ("anthropic", "anthropic.messages"),
    ("openai", "anthropic.messages"),
    ("anthropic", "openai.chat"),
)
FLAVOURS: Final[tuple[Flavour, ...]] = ("sync", "async", "helper")
CONCURRENCY: Final = 12


class Delivery(Struct, frozen=True):
    """How the provider sends: whole, streamed event by event, or streamed in pieces of `chunk`."""

    stream: bool
    chunk: int = 0
    largest: int | None = None
    """Recordings of more bytes than this are left out."""

    def __str__(self) -> str:
        if not self.stream:
            return "whole"
        return f"stream, chunk={self.chunk}" if self.chunk else "stream"

    def recordings(self, api: str) -> list[Recording]:
        return [
            recording
            for recording in corpus.recordings(api)
            if recording.stream == self.stream and self._fits(recording)
        ]

    def _fits(self, recording: Recording) -> bool:
        size = len(recording.response.body_text.encode())
        return self.largest is None or size <= self.largest


WHOLE: Final = Delivery(stream=False)
STREAM: Final = Delivery(stream=True)
CHUNK_7: Final = Delivery(stream=True, chunk=7)
CHUNK_1: Final = Delivery(stream=True, chunk=1, largest=8_000)
"""Byte by byte costs about 20 microseconds a byte in the replay server alone."""
EVERY_CHUNK_1: Final = Delivery(stream=True, chunk=1)
DELIVERIES: Final = (WHOLE, STREAM, CHUNK_7, CHUNK_1)


class Place(Struct, frozen=True):
    """Where an SDK sends its questions to."""

    url: str
    key: str = "cw_none_0123456789abcdef0123456789abcdef"


class Shares(Struct):
    """How one pair agreed, delivered in one way to one flavour of the SDK."""

    sdk: Sdk
    api: str
    total: int = 0
    agreed: int = 0
    explained: dict[str, str] = {}
    """Reasons by recording id."""
    unexplained: dict[str, str] = {}
    """Both sides by recording id."""

    @property
    def exact(self) -> bool:
        """Whether the SDK speaks the API's own dialect."""
        return self.sdk == OWN_SDK[self.api]

    def add(self, recording: Recording, direct: Seen, shown: Seen) -> None:
        self.total += 1
        exact = self.exact
        explanation = EXPLAINED[self.sdk, self.api].get(recording.tail)
        same = direct.dump == shown.dump if exact else agree(direct.answer, shown.answer)
        if explanation is None and same:
            self.agreed += 1
        elif explanation is None:
            self.unexplained[recording.id] = _both_sides(direct, shown, exact=exact)
        elif same:
            self.unexplained[recording.id] = f"agrees, yet has a reason: {explanation.reason}"
        elif agree(explanation.instead(direct.answer), shown.answer):
            self.explained[recording.id] = explanation.reason
        else:
            self.unexplained[recording.id] = _not_as_explained(explanation, direct, shown)


def _both_sides(direct: Seen, shown: Seen, *, exact: bool) -> str:
    left, right = comparable(direct.answer, shown.answer)
    if left != right:
        extra = "" if right.error is None else f"\n  error:    {shown.dump!r:.600}"
        return f"\n  direct:   {left!r:.1500}\n  cutwater: {right!r:.1500}{extra}"
    if not exact:
        return "\n  no difference"
    return "\n  " + "\n  ".join(differences(direct.dump, shown.dump)[:8])


def _not_as_explained(explanation: Explanation, direct: Seen, shown: Seen) -> str:
    expected, seen = comparable(explanation.instead(direct.answer), shown.answer)
    return (
        f"differs otherwise than explained ({explanation.reason})"
        f"\n  expected: {expected!r:.1500}\n  cutwater: {seen!r:.1500}"
    )


def differences(left: Any, right: Any, at: str = "$") -> list[str]:
    """Where two dumps differ, one line each."""
    if isinstance(left, dict) and isinstance(right, dict):
        names = [*left, *(name for name in right if name not in left)]
        sides = {name: (left.get(name, "<absent>"), right.get(name, "<absent>")) for name in names}
        return [
            line
            for name, (old, new) in sides.items()
            for line in differences(old, new, f"{at}.{name}")
        ]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [
            line
            for index, (old, new) in enumerate(zip(left, right, strict=True))
            for line in differences(old, new, f"{at}[{index}]")
        ]
    if left == right:
        return []
    return [f"{at}: direct {left!r:.300} - cutwater {right!r:.300}"]


def _question(recording: Recording) -> Question:
    """Usage is asked for where the recording has it: else the proxy would rightly leave it out."""
    has_usage = "usage-in-stream" in recording.features
    return Question(MODEL[recording.api].format(recording.tail), recording.stream, has_usage)


def _ask_all_sync(sdk: Sdk, place: Place, questions: Sequence[Question]) -> list[Seen]:
    with (
        sdks.client(sdk, place.url, place.key) as client,
        ThreadPoolExecutor(CONCURRENCY) as pool,
    ):
        return list(pool.map(lambda question: sdks.ask(client, question), questions))


async def _ask_all_async(
    flavour: Flavour, sdk: Sdk, place: Place, questions: Sequence[Question]
) -> list[Seen]:
    how = sdks.ask_helper if flavour == "helper" else sdks.ask_async
    limit = asyncio.Semaphore(CONCURRENCY)
    async with sdks.async_client(sdk, place.url, place.key) as client:

        async def ask(question: Question) -> Seen:
            async with limit:
                return await how(client, question)

        return list(await asyncio.gather(*map(ask, questions)))


def has_flavour(flavour: Flavour, delivery: Delivery) -> bool:
    """The helpers join streams; how the bytes were cut is no matter of theirs."""
    return flavour != "helper" or delivery == STREAM


async def _ask_all(
    flavour: Flavour, sdk: Sdk, place: Place, questions: Sequence[Question]
) -> list[Seen]:
    if flavour == "sync":
        return await asyncio.to_thread(_ask_all_sync, sdk, place, questions)
    return await _ask_all_async(flavour, sdk, place, questions)


async def compare(
    pair: tuple[Sdk, str], flavour: Flavour, delivery: Delivery, *, direct: Place, through: Place
) -> Shares:
    sdk, api = pair
    shares = Shares(sdk, api)
    recordings = delivery.recordings(api)
    # Recorded errors come last: they may cool an endpoint down for the others.
    fine = [recording for recording in recordings if recording.response.status < 400]
    failed = [recording for recording in recordings if recording.response.status >= 400]
    for some in (fine, failed):
        questions = [_question(recording) for recording in some]
        left = await _ask_all(flavour, OWN_SDK[api], direct, questions)
        if flavour == "helper":
            # A helper joins some streams wrongly: in a pass lane just so, else rightly.
            plain = await _ask_all("async", OWN_SDK[api], direct, questions)
            left = [Seen(h.dump, p.answer) for h, p in zip(left, plain, strict=True)]
            if sdk == "openai":
                left = [Seen(s.dump, with_thoughts_joined(s.answer)) for s in left]
        right = await _ask_all(flavour, sdk, through, questions)
        for recording, read, shown in zip(some, left, right, strict=True):
            shares.add(recording, read, shown)
    return shares
