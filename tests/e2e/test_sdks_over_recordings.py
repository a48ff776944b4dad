"""The official SDKs drive `cutwater serve` in front of recorded providers.

All four pairs of SDK and recorded API, sync and async, whole and streamed, and
streamed in pieces of 7 and of 1 byte: what the SDK shows is what it shows when
it reads the recording directly, or `explained.py` says why not.
`pytest -s` prints the shares; `python -m tests.e2e.report` makes a table.
"""

import sys

import pytest

from tests.e2e import report
from tests.e2e.comparison import (
    DELIVERIES,
    FLAVOURS,
    PAIRS,
    Delivery,
    Flavour,
    compare,
    has_flavour,
)
from tests.e2e.sdks import Sdk
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(180)]


WAYS = [
    pytest.param(flavour, delivery, id=f"{flavour}, {delivery}")
    for flavour in FLAVOURS
    for delivery in DELIVERIES
    if has_flavour(flavour, delivery)
]


@pytest.mark.parametrize(("flavour", "delivery"), WAYS)
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]} SDK over {pair[1]}")
async def test_an_sdk_shows_what_it_shows_without_cutwater(
    pair: tuple[Sdk, str], flavour: Flavour, delivery: Delivery, running: Stack
) -> None:
    through = running.through(delivery.chunk)
    shares = await compare(pair, flavour, delivery, direct=running.direct, through=through)
    sys.stdout.write(f"\n{report.row(shares, flavour, delivery)}\n")
    for recording, reason in shares.explained.items():
        sys.stdout.write(f"  {recording}: {reason}\n")
    wrong = [f"{recording}: {sides}" for recording, sides in shares.unexplained.items()]
    assert not wrong, f"{len(wrong)} of {shares.total} differ without a reason:\n" + "\n".join(
        wrong
    )
    assert shares.total
    assert shares.agreed + len(shares.explained) == shares.total


@pytest.mark.parametrize("chunk", [1, 7])
async def test_the_provider_really_writes_in_small_pieces(chunk: int, running: Stack) -> None:
    delivery = Delivery(stream=True, chunk=chunk, largest=2_000)
    recording = delivery.recordings("openai.chat")[0]
    one = Delivery(stream=True, chunk=chunk, largest=len(recording.response.body_text))
    await compare(
        ("openai", "openai.chat"),
        "async",
        one,
        direct=running.direct,
        through=running.through(chunk),
    )
    _, received = running.replay.get(f"/_received/{recording.id}")
    assert received["headers"]["x-replay-chunk"] == str(chunk)
