"""What a credential limited in dollars pays where its answer does not reach its end."""

import asyncio
from typing import Any

import pytest

from core.errors import UpstreamError
from tests.asgi_driver import start
from tests.fakes import Reply, stream
from tests.handlers.caches import question
from tests.handlers.lending import CHAT, Office, id_of

WORDS = "a few words more, " * 40
"""720 bytes: about 180 tokens."""
BEGINNING = (
    b"event: message_start\n"
    b'data: {"type":"message_start","message":{"id":"m1","type":"message","role":"assistant",'
    b'"model":"claude","content":[],"usage":{"input_tokens":1000,"output_tokens":1}}}\n\n'
    b"event: content_block_start\n"
    b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"'
    + WORDS.encode()
    + b'"}}\n\n'
)
OPENAI = (
    b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"' + WORDS.encode() + b'"}}]}\n\n'
)
MICRO = 1_000_000


def asked(model: str, **fields: Any) -> dict[str, Any]:
    return question(model=model, temperature=1, max_tokens=4000, **fields)


async def spent(office: Office, key: str, token: str) -> float:
    shown = await office.ask(key, f"/v1/credentials/{id_of(token)}", method="GET")
    dollars: float | None = shown.json["cost_usd"]
    return (dollars or 0.0) * MICRO


@pytest.mark.parametrize(
    ("model", "first", "least", "most"),
    [
        # $3 and $15 a million: 1,000 tokens in, 180 out.
        ("claude-sonnet-4-5", BEGINNING, 3000 + 180 * 15, 3000 + 220 * 15),
        # $2.50 and $10 a million: nobody counted what went in; it is some 90 bytes.
        ("gpt-4o", OPENAI, 180 * 10, 220 * 10 + 200),
    ],
)
async def test_who_leaves_a_stream_early_pays_for_what_was_said(
    model: str, first: bytes, least: float, most: float
):
    office = Office(stream(first, asyncio.Event()))
    key = await office.key()
    token = await office.lend(key, max_cost_usd=1)
    headers = {"authorization": f"Bearer {token}"}
    exchange = start(office.app, CHAT, asked(model, stream=True), headers=headers)
    while WORDS.encode() not in exchange.body:
        await exchange.next_bytes()
    exchange.hang_up()
    await exchange.done()
    assert least <= await spent(office, key, token) <= most


@pytest.mark.parametrize("headed", [True, False])
async def test_who_leaves_before_the_first_byte_pays_for_the_seconds_of_work(headed: bool):
    waiting = asyncio.Event()
    office = Office(Reply(waiting) if headed else waiting)
    key = await office.key()
    token = await office.lend(key, max_cost_usd=1)
    headers = {"authorization": f"Bearer {token}"}
    exchange = start(office.app, CHAT, asked("gpt-4o"), headers=headers)
    for _ in range(100):
        await asyncio.sleep(0)
    assert office.sent == 1
    office.clock.time += 20
    exchange.hang_up()
    await exchange.done()
    # 30 tokens a second at $10 a million, and the question.
    assert 600 * 10 <= await spent(office, key, token) <= 600 * 10 + 200


async def test_an_answer_that_the_provider_cut_costs_what_was_said_of_it():
    office = Office(stream(BEGINNING, UpstreamError("It was cut.")))
    key = await office.key()
    token = await office.lend(key, max_cost_usd=1)
    answer = await office.ask(token, asked=asked("claude-sonnet-4-5", stream=True))
    assert b"error" in answer.body
    assert 3000 + 180 * 15 <= await spent(office, key, token) <= 3000 + 220 * 15


async def test_early_leavers_use_up_the_budget():
    office = Office(*(stream(BEGINNING, asyncio.Event()) for _ in range(9)))
    token = await office.lend(await office.key(), max_cost_usd=0.01)
    headers = {"authorization": f"Bearer {token}"}
    statuses = []
    for _ in range(4):
        exchange = start(office.app, CHAT, asked("claude-sonnet-4-5", stream=True), headers=headers)
        await exchange.next_bytes()
        exchange.hang_up()
        await exchange.done()
        statuses.append(exchange.status)
    assert statuses == [200, 200, 403, 403]


async def test_a_provider_that_gives_no_answer_costs_nothing():
    office = Office(UpstreamError("It was reset."), stream(UpstreamError("It was cut.")))
    key = await office.key()
    token = await office.lend(key, max_cost_usd=1)
    for stream_ in (False, True):
        answer = await office.ask(token, asked=asked("gpt-4o", stream=stream_))
        assert answer.status == 502
    assert await spent(office, key, token) == 0
