"""Requests that real clients sent, once more through Cutwater.

To a provider of their own dialect they arrive as they are, whatever fields
they have, and the reply's bytes come back as they are. To a provider of the
other dialect they arrive as a request that its own SDK would send and that
says the same, or are refused with a 400 that says what to do.
"""

import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.e2e.recorded_requests import HEADERS, OTHER, Exchange, faults, replies_for, send_all
from tests.e2e.recorded_requests import with_body as requests_of
from tests.e2e.said import SAID
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(120)]

REFUSED: Final[Mapping[str, str]] = {
    "takes no audio": "audio: Anthropic's dialect has none",
    "cannot give structured output and use tools": (
        "structured output and tools: without native schemas a tool stands in for the schema"
    ),
    "A file id is known to": "a file by its id: only the provider that holds the file can read it",
    "is not fetched by this deployment": (
        "a document by its URL: OpenAI's dialect has them inline only, and nothing is fetched"
    ),
    "is Anthropic's own": "a tool that Anthropic's servers run",
    "cannot be translated: Anthropic runs it": "a tool that Anthropic's servers run",
    "only Anthropic's models know its schema": "a tool that Anthropic's models alone know",
    "`container` cannot": "a container: Anthropic's servers run it",
    "`mcp_servers` cannot": "an MCP server: Anthropic's servers call it",
}
"""Pattern of the message -> what the other dialect has no place for."""

SAID_OTHERWISE: Final[Mapping[str, str]] = {
    "efa4997b-1": "a search result in a tool's result becomes text: title, source and words",
}
"""By the recording's tail: where the translation says the same with other words."""


def as_received(exchange: Exchange) -> dict[str, Any]:
    """What the provider is to receive: what was sent, and a request for usage in a stream."""
    expected = dict(exchange.sent)
    if exchange.recording.api == "openai.chat" and expected.get("stream"):
        expected["stream_options"] = {
            **(expected.get("stream_options") or {}),
            "include_usage": True,
        }
    return expected


def unlike_sent(direct: Exchange, exchange: Exchange) -> str | None:
    """What is wrong with a request that should have arrived as it is, and with its answer."""
    headers = HEADERS[exchange.recording.api]
    key_refused = direct.status == 401
    if exchange.status != (502 if key_refused else direct.status):
        return f"{exchange.status} {exchange.message}"
    if exchange.received is None:
        return "did not reach the provider"
    if exchange.received["body"] != as_received(exchange):
        return f"\n  sent {exchange.sent}\n  received {exchange.received['body']}"
    if not exchange.received["headers"].items() >= headers.items():
        return f"headers {exchange.received['headers']}"
    if exchange.dropped:
        return f"dropped {exchange.dropped}"
    if not key_refused and exchange.body != direct.body:
        return f"answered {exchange.body[-300:]!r} instead of {direct.body[-300:]!r}"
    return None


def unlike_translated(exchange: Exchange) -> str | None:
    """What is wrong with a request in another dialect than it was sent in."""
    here, there = exchange.recording.api, exchange.answered_by.api
    if exchange.status != 200:
        return f"{exchange.status} {exchange.message}"
    if exchange.received is None:
        return "did not reach the provider"
    body = exchange.received["body"]
    if found := faults(body, there):
        return f"{found}\n  received {body!r:.2000}"
    before, after = SAID[here](exchange.sent), SAID[there](body)
    if (before == after) == (exchange.recording.tail in SAID_OTHERWISE):
        return f"said {before - after!r:.500}\n  but the provider heard {after - before!r:.500}"
    return None


@pytest.mark.parametrize("api", HEADERS)
async def test_bytes_pass_where_the_provider_speaks_the_clients_dialect(
    api: str, running: Stack
) -> None:
    pairs = [(recording, recording) for recording in requests_of(api)]
    direct = await send_all(running, running.direct, pairs)
    exchanges = await send_all(running, running.through(), pairs)
    wrong = [
        f"{exchange.recording.id}: {fault}"
        for read, exchange in zip(direct, exchanges, strict=True)
        if (fault := unlike_sent(read, exchange)) is not None
    ]
    sys.stdout.write(f"\n{api}: {len(exchanges) - len(wrong)} of {len(exchanges)} unchanged\n")
    assert not wrong, "\n".join(wrong)
    assert exchanges


def _refusal(exchange: Exchange) -> str | None:
    if exchange.status != 400:
        return None
    reasons = (why for pattern, why in REFUSED.items() if pattern in exchange.message)
    return next(reasons, None)


@pytest.mark.parametrize("api", HEADERS)
async def test_a_request_is_translated_or_refused_with_a_reason(api: str, running: Stack) -> None:
    pairs = replies_for(requests_of(api), OTHER[api])
    exchanges = await send_all(running, running.through(), pairs)
    refused = Counter(why for exchange in exchanges if (why := _refusal(exchange)))
    dropped = Counter(name for exchange in exchanges for name in exchange.dropped)
    wrong = [
        f"{exchange.recording.id}: {fault}"
        for exchange in exchanges
        if not _refusal(exchange) and (fault := unlike_translated(exchange)) is not None
    ]
    translated = len(exchanges) - len(wrong) - refused.total()
    lines = [f"\nrequests of {api} to a provider of {OTHER[api]}:"]
    lines += [f"  {translated} of {len(exchanges)} translated"]
    lines += [f"  {count} refused: {why}" for why, count in refused.most_common()]
    lines += [f"  {count} without `{name}`" for name, count in dropped.most_common()]
    sys.stdout.write("\n".join(lines) + "\n")
    assert not wrong, "\n".join(wrong)
    assert exchanges
