"""A sample of the matrix: every API to every client, in every way; and the page that shows all."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from tests import corpus
from tests.conformance.__main__ import PAGE
from tests.conformance.apis import APIS, LEFT_OUT, Api
from tests.conformance.explained import EXPLAINED
from tests.conformance.measure import (
    CHUNK_1,
    MADE_STREAM,
    STREAM,
    WAYS,
    WHOLE,
    Stack,
    measure,
    running,
)
from tests.e2e.comparison import Delivery

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.timeout(120),
    # Google's SDK warns of every word that is new to it.
    pytest.mark.filterwarnings("ignore::UserWarning:google.genai"),
]

SMALL: Final = Delivery(stream=True, chunk=1, largest=6_000)
"""Byte by byte is slow: the longer ones are for `make conformance`."""
SAMPLE: Final = (
    replace(WHOLE, most=3),
    replace(STREAM, most=3),
    replace(CHUNK_1, delivery=SMALL, most=2),
    replace(MADE_STREAM, most=1),
)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    corpus.require()
    with running(tmp_path_factory.mktemp("conformance"), APIS, WAYS) as servers:
        yield servers


@pytest.mark.parametrize("api", APIS, ids=[api.name for api in APIS])
def test_every_client_is_shown_what_the_provider_said(api: Api, stack: Stack) -> None:
    pairs = [pair for way in SAMPLE for pair in measure(stack, api, way)]
    assert len({pair.client for pair in pairs}) == 5
    wrong = [pair for pair in pairs if not pair.agrees and pair.reason is None]
    assert not wrong, "\n".join(f"{p.recording} {p.way} {p.client}: {p.sides}" for p in wrong)


def test_every_recorded_api_is_in_the_matrix_or_left_out_with_a_reason() -> None:
    recorded = {path.stem for path in (corpus.require() / "recordings").glob("*.jsonl")}
    measured = {api.name for api in APIS}
    assert measured | LEFT_OUT.keys() == recorded
    assert not measured & LEFT_OUT.keys()


def test_every_explanation_is_for_a_recording_of_the_matrix() -> None:
    tails = {recording.tail for api in APIS for recording in api.recordings()}
    assert EXPLAINED.keys() <= tails


def test_the_page_says_that_99_percent_agree_and_leaves_nothing_unexplained() -> None:
    text = Path(PAGE).read_text()
    found = re.search(r"\*\*(\d+) of (\d+) pairs agree", text)
    assert found is not None
    agreed, total = int(found[1]), int(found[2])
    assert agreed >= 0.99 * total
    assert "NOT EXPLAINED" not in text
    corpus.require()
    assert total == 5 * sum(len(way.recordings(api)) for way in WAYS for api in APIS)
    names = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert names == [api.name for api in APIS]
