"""Requests that real clients sent, once more through Cutwater.

To a provider of their own dialect they arrive as they are, whatever fields
they have. To a provider of the other dialect they arrive as a request that
its own SDK would send, or are refused with a 400 that says what to do.
"""

import re
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.e2e.recorded_requests import HEADERS, OTHER, Exchange, faults, replies_for, send_all
from tests.e2e.recorded_requests import with_body as requests_of
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(120)]

REFUSED: Final[Mapping[str, str]] = {}
"""Pattern of the message -> what the other dialect has no place for."""


def as_received(exchange: Exchange) -> dict[str, Any]:
    """What the provider is to receive: what was sent, and a request for usage in a stream."""
    expected = dict(exchange.sent)
    if exchange.recording.api == "openai.chat" and expected.get("stream"):
        expected["stream_options"] = {
            **(expected.get("stream_options") or {}),
            "include_usage": True,
        }
    return expected


@pytest.mark.parametrize("api", HEADERS)
async def test_a_request_arrives_unchanged_where_the_provider_speaks_its_dialect(
    api: str, running: Stack
) -> None:
    recordings = requests_of(api)
    exchanges = await send_all(running, [(recording, recording) for recording in recordings])
    wrong: list[str] = []
    for exchange in exchanges:
        name, status = exchange.recording.id, exchange.recording.response.status
        if exchange.status != (502 if status == 401 else status):
            wrong.append(f"{name}: {exchange.status} {exchange.message}")
        elif exchange.received is None:
            wrong.append(f"{name}: did not reach the provider")
        elif exchange.received["body"] != as_received(exchange):
            wrong.append(f"{name}:\n  sent {exchange.sent}\n  received {exchange.received['body']}")
        elif not exchange.received["headers"].items() >= HEADERS[api].items():
            wrong.append(f"{name}: headers {exchange.received['headers']}")
        elif exchange.dropped:
            wrong.append(f"{name}: dropped {exchange.dropped}")
    sys.stdout.write(f"\n{api}: {len(exchanges) - len(wrong)} of {len(exchanges)} unchanged\n")
    assert not wrong, "\n".join(wrong)
    assert exchanges


def _refusal(message: str) -> str | None:
    reasons = (why for pattern, why in REFUSED.items() if re.search(pattern, message))
    return next(reasons, None)


@pytest.mark.parametrize("api", HEADERS)
async def test_a_request_is_translated_or_refused_with_a_reason(api: str, running: Stack) -> None:
    exchanges = await send_all(running, replies_for(requests_of(api), OTHER[api]))
    refused: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    wrong: list[str] = []
    for exchange in exchanges:
        name = exchange.recording.id
        dropped.update(exchange.dropped)
        if exchange.status == 400 and (why := _refusal(exchange.message)):
            refused[why] += 1
        elif exchange.status != 200:
            wrong.append(f"{name}: {exchange.status} {exchange.message}")
        elif exchange.received is None:
            wrong.append(f"{name}: did not reach the provider")
        elif found := faults(exchange.received["body"], OTHER[api]):
            wrong.append(f"{name}: {found}\n  received {exchange.received['body']!r:.2000}")
    _print(api, len(exchanges), len(wrong), refused, dropped)
    assert not wrong, "\n".join(wrong)
    assert exchanges


def _print(api: str, total: int, wrong: int, refused: Counter[str], dropped: Counter[str]) -> None:
    translated = total - wrong - refused.total()
    lines = [f"\nrequests of {api} to a provider of {OTHER[api]}: {translated} of {total} answered"]
    lines += [f"  refused {count} times: {why}" for why, count in refused.most_common()]
    lines += [f"  dropped {count} times: {name}" for name, count in dropped.most_common()]
    sys.stdout.write("\n".join(lines) + "\n")
