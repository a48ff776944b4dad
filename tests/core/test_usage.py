"""Tokens -> dollars."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import usage
from core.neutral import Usage
from core.routing import Costs

PRICED = Costs(input=2.0, output=8.0, cache_read=0.5, cache_write=2.5)


@pytest.mark.parametrize(
    ("counted", "costs", "dollars"),
    [
        (Usage(input_tokens=1_000_000), PRICED, 2.0),
        (Usage(output_tokens=1_000_000), PRICED, 8.0),
        (Usage(input_tokens=1_000_000, cache_read_tokens=1_000_000), PRICED, 0.5),
        (Usage(input_tokens=1_000_000, cache_write_tokens=500_000), PRICED, 2.25),
        (Usage(input_tokens=1_000_000, cache_read_tokens=400_000), Costs(input=2, output=8), 2.0),
        (Usage(input_tokens=5, output_tokens=5), Costs(), None),
        (Usage(input_tokens=5, output_tokens=5), Costs(input=1.0), None),
        (Usage(input_tokens=1_000_000), Costs(input=0.02), 0.02),
        (Usage(), PRICED, 0.0),
    ],
)
def test_an_answer_costs_what_its_tokens_do(counted: Usage, costs: Costs, dollars: float | None):
    assert usage.cost_usd(counted, costs) == dollars


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_no_answer_costs_less_than_nothing(asked: int, answered: int, read: int, written: int):
    counted = Usage(
        input_tokens=asked,
        output_tokens=answered,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )
    cost = usage.cost_usd(counted, PRICED)
    assert cost is not None
    assert cost >= 0


@pytest.mark.parametrize(
    ("body", "counted"),
    [
        (
            b'{"usage":{"prompt_tokens":3,"completion_tokens":2,"more":{}}}',
            Usage(input_tokens=3, output_tokens=2),
        ),
        (b'{"usage":{"prompt_tokens":3,"total_tokens":3}}', Usage(input_tokens=3)),
        (b'{"usage":null}', None),
        (b'{"data":[]}', None),
        (b'{"usage":{"prompt_tokens":"3"}}', None),
        (b"RIFF", None),
        (b"", None),
    ],
)
def test_an_older_routes_answer_says_what_it_took(body: bytes, counted: Usage | None):
    assert usage.of_body(body) == counted


def test_what_nobody_counted_is_estimated_upwards():
    assert usage.estimated(5, 0) == Usage(input_tokens=2)
    assert usage.estimated(0, 1) == Usage(output_tokens=1)
    assert usage.estimated(0, 8, seconds=2) == Usage(output_tokens=60)


def test_what_was_counted_early_is_not_less_than_what_was_said():
    early = Usage(input_tokens=7, output_tokens=1)
    assert usage.at_least(early, Usage(input_tokens=90, output_tokens=5)) == Usage(
        input_tokens=7, output_tokens=5
    )
    assert usage.at_least(early, Usage()) == early
    assert usage.at_least(None, Usage(output_tokens=5)) == Usage(output_tokens=5)


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"choices":[{"delta":{"content":"12345"}}]}\n\n',
        b'data: {"type":"response.output_text.delta","delta":"12345"}\n\n',
        b'data: {"delta":{"type":"text_delta","text": "12345"}}\n\n',
        b'data: {"candidates":[{"content":{"parts":[{"text":"12345"}]}}]}\n\n',
        b'\x00\x00:content-type{"delta":{"text":"12345"},"p":"abc"}\x01\x02',
        b'data: {"delta":{"partial_json":"12\\"45',  # Cut in the middle.
    ],
)
def test_words_are_told_from_their_frame_in_every_format(event: bytes):
    assert 5 <= usage.said_bytes(event) <= 6
    assert usage.said_bytes(event * 3) >= 15
