"""One endpoint, one attempt, every fault: the caller gets the whole answer or an honest error.

Each test asks in one client dialect, of providers in all five at once, whole and
streamed.
"""

import asyncio
from typing import Any

import pytest

from handlers import proxy
from tests.faults import plays
from tests.faults.clients import Outcome
from tests.faults.server import FaultServer, Script, fault_server, in_turn
from tests.faults.speech import DIALECTS, TEXT, DialectName
from tests.faults.table import BY_NAME, NAMES, Row
from tests.faults.world import (
    ONE_ATTEMPT,
    World,
    endpoint,
    in_each_dialect,
    nowhere,
    settings,
    world,
)

in_every_client = pytest.mark.parametrize("client", DIALECTS)


@pytest.fixture(autouse=True)
def _short_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "LAST_WORDS_S", 0.3)


def wrong(row: Row, found: Outcome, *, stream: bool) -> str | None:
    """What is not as the table says."""
    told = row.expected(stream=stream)
    assert told is not None
    if found.end not in told.ends:
        return f"{found}, and not one of {sorted(told.ends)}"
    if found.end == "complete" and found.text != row.text:
        return f"another text: {found.text[-100:]!r}"
    if found.end == "event" and not row.text.startswith(found.text):
        return f"words that nobody said: {found.text[-100:]!r}"
    if found.end == "status" and found.status not in told.statuses:
        return f"{found}, and not one of {sorted(told.statuses)}"
    return None


async def asked(
    row: Row, client: DialectName, provider: DialectName, it: World, *, stream: bool
) -> str | None:
    found, exchange = await it.ask(client, stream=stream, model=provider)
    fault = wrong(row, found, stream=stream)
    if fault is None and found.end == "complete":
        name = exchange.headers["x-bt-used-endpoint"]
        fault = None if name == f"of-{provider}" else f"x-bt-used-endpoint: {name}"
    return fault and f"{client} <- {provider}, {'stream' if stream else 'whole'}: {fault}"


@in_every_client
@pytest.mark.parametrize("name", NAMES)
async def test_a_caller_gets_the_whole_answer_or_an_honest_error(
    name: str, client: DialectName
) -> None:
    row = BY_NAME[name]
    ways = [stream for stream in (False, True) if row.expected(stream=stream) is not None]
    async with fault_server(in_turn(row.play)) as server:
        organisation = settings(in_each_dialect(server), retry=ONE_ATTEMPT)
        async with world(organisation) as it:
            asking = [
                asked(row, client, provider, it, stream=stream)
                for provider in DIALECTS
                for stream in ways
            ]
            faults = await asyncio.gather(*asking)
    assert [fault for fault in faults if fault] == []
    assert len(server.seen) == len(asking)
    failed_inside = [fields for _, event, fields in it.log.lines if event == "failed_inside"]
    assert failed_inside == []


@in_every_client
@pytest.mark.parametrize("stream", [False, True])
async def test_a_connection_that_is_refused_is_a_502(client: DialectName, stream: bool) -> None:
    async with world(settings(in_each_dialect(nowhere()), retry=ONE_ATTEMPT)) as it:
        for provider in DIALECTS:
            found, _ = await it.ask(client, stream=stream, model=provider)
            assert (found.end, found.status) == ("status", 502)


FRAMED_WRONG = (
    plays.length_too_short,
    plays.length_too_long,
    plays.http_1_0_cut,
    plays.gzip_cut,
    plays.end_mid_event,
    plays.no_content,
    plays.one_answer_too_many,
)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("play", FRAMED_WRONG)
async def test_what_one_answer_left_on_the_line_is_not_read_as_the_next_one(
    play: Any, stream: bool
) -> None:
    async with fault_server(in_turn(play, plays.fine, play, plays.fine)) as server:
        organisation = settings([endpoint("a", server, "openai_chat")], retry=ONE_ATTEMPT)
        async with world(organisation) as it:
            for _ in range(2):
                await it.ask("openai_chat", stream=stream)
                await asyncio.sleep(0.08)  # What comes later cannot be told from an answer.
                found, _ = await it.ask("openai_chat", stream=stream)
                assert (found.end, found.text) == ("complete", TEXT)


async def test_a_rest_that_comes_after_the_next_question_costs_that_question_nothing() -> None:
    async with fault_server(in_turn(plays.length_too_short, plays.fine)) as server:
        organisation = settings([endpoint("a", server, "openai_chat")], retry=ONE_ATTEMPT)
        async with world(organisation) as it:
            await it.ask("openai_chat", stream=False)
            found, _ = await it.ask("openai_chat", stream=False)
    assert (found.end, found.text) == ("complete", TEXT)


@in_every_client
@pytest.mark.parametrize("play", [plays.stall_before_head, plays.stall_mid_answer])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_ends_the_call_within_a_second(
    client: DialectName, play: Any, stream: bool
) -> None:
    async with fault_server(in_turn(play)) as server:
        patient = {"first_byte_s": 30, "first_token_s": 30, "idle_s": 30, "total_s": 30}
        organisation = settings(in_each_dialect(server), timeouts=patient, retry=ONE_ATTEMPT)
        async with world(organisation) as it:
            exchange = it.start(client, stream=stream, model="anthropic")
            if stream and play is plays.stall_mid_answer:
                await exchange.next_bytes()
            else:
                await until(lambda: len(server.seen) == 1)
            exchange.hang_up()
            await exchange.done(1.0)
            await until(lambda: server.open == 0)
    assert server.hung_up == 1


async def until(true: Any, seconds: float = 1.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110  nothing there tells of itself
            await asyncio.sleep(0.005)


@in_every_client
async def test_faults_leave_no_task_and_no_connection_behind(client: DialectName) -> None:
    """Answers in whatever order of faults leave the process as it was: no task, no connection."""
    order: list[Any] = [
        plays.cut_mid_event,
        plays.stall_mid_answer,
        plays.fine,
        plays.error_event("words"),
        plays.reset_before_head,
        plays.fine,
    ]
    before = len(asyncio.all_tasks())
    async with fault_server(_over_and_over(order)) as server:
        async with world(settings(in_each_dialect(server), retry=ONE_ATTEMPT)) as it:
            await asyncio.gather(
                *(
                    it.ask(client, stream=bool(n % 2), model=DIALECTS[n % 5])
                    for n in range(len(order) * 5)
                )
            )
            await until(lambda: _own_tasks(server) <= before)
        await until(lambda: server.open == 0)


def _over_and_over(order: list[Any]) -> Script:
    numbers = iter(range(10_000))
    return lambda _: order[next(numbers) % len(order)]


def _own_tasks(server: FaultServer) -> int:
    """Of this loop, but for those that serve the open connections."""
    return len(asyncio.all_tasks()) - server.open
