"""Two endpoints and more, every fault: who is asked, how often, how soon, and what the caller gets.

The endpoint `a` has the fault, `b` has none and speaks another dialect. Time is
real here; the same rules over simulated time are in tests/properties.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import pytest

from core.continuing import PASSES
from handlers import proxy
from tests.asgi_driver import Exchange
from tests.faults import plays, speech
from tests.faults.clients import Outcome
from tests.faults.plays import FORMS, refused, status, told_to_wait
from tests.faults.server import Asked, FaultServer, Play, fault_server, in_turn
from tests.faults.speech import DIALECTS, TEXT, DialectName
from tests.faults.table import BY_NAME, NAMES, Row
from tests.faults.world import World, endpoint, nowhere, settings, world

in_every_client = pytest.mark.parametrize("client", DIALECTS)
either_way = pytest.mark.parametrize("stream", [False, True])
SLACK_S: Final = 0.35
"""A busy machine is late; nothing here may be early."""
RETRY: Final = {"max_attempts": 6, "budget_s": 10}


@pytest.fixture(autouse=True)
def _short_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "LAST_WORDS_S", 0.3)


def other(dialect: DialectName) -> DialectName:
    """So that each pair of neighbours is translated once."""
    return DIALECTS[(DIALECTS.index(dialect) + 1) % len(DIALECTS)]


def pair(a: FaultServer | str, b: FaultServer | str, dialect: DialectName, model: str = "m") -> Any:
    """The draw is 0, so `a` is always the first."""
    first = endpoint(f"a-{dialect}", a, dialect, model)
    return [first, endpoint(f"b-{dialect}", b, other(dialect), model)]


def pairs(a: FaultServer | str, b: FaultServer | str) -> list[dict[str, Any]]:
    """A model for each dialect of the first endpoint."""
    return [one for dialect in DIALECTS for one in pair(a, b, dialect, dialect)]


def ways(row: Row) -> list[bool]:
    return [stream for stream in (False, True) if row.expected(stream=stream) is not None]


def of_dialect(server: FaultServer, dialect: DialectName, *, stream: bool) -> list[Asked]:
    return [one for one in server.seen if (one.dialect, one.stream) == (dialect, stream)]


# --- A second endpoint ----------------------------------------------------------------------------


def faults_of(
    row: Row, found: Outcome, exchange: Exchange, provider: DialectName, *, stream: bool
) -> list[str]:
    """What is not as the table says, on the caller's side."""
    before = row.asked_before(stream=stream)
    told = row.expected(stream=stream)
    assert told is not None
    complete = found.end == "complete" and found.text == row.text
    faults = []
    if before and not (complete or (found.end, found.text) == ("complete", TEXT)):
        faults.append(f"not saved: {found}")
    if not before and found.end not in told.ends:
        faults.append(f"{found}, and not one of {sorted(told.ends)}")
    if not before and found.end == "status":
        statuses = row.told or told.statuses
        if found.status not in statuses:
            faults.append(f"{found}, and not one of {sorted(statuses)}")
    if before and "complete" in told.ends:
        return faults  # Who answered it depends on what this deployment can read.
    attempts, name = (before + 1, f"b-{provider}") if before else (1, f"a-{provider}")
    headers = exchange.headers
    if headers.get("x-bt-attempts") != str(attempts):
        faults.append(f"x-bt-attempts: {headers.get('x-bt-attempts')}, and not {attempts}")
    if found.end == "complete" and headers.get("x-bt-used-endpoint") != name:
        faults.append(f"x-bt-used-endpoint: {headers.get('x-bt-used-endpoint')}, and not {name}")
    return faults


@in_every_client
@pytest.mark.parametrize("name", NAMES)
async def test_what_an_endpoint_cannot_do_another_one_does(name: str, client: DialectName) -> None:
    row = BY_NAME[name]
    faults: list[str] = []

    async def ask(it: World, provider: DialectName, stream: bool) -> None:
        found, exchange = await it.ask(client, stream=stream, model=provider)
        where = f"{client} <- {provider}, {'stream' if stream else 'whole'}: "
        told = faults_of(row, found, exchange, provider, stream=stream)
        faults.extend(where + fault for fault in told)

    for stream in ways(row):
        # A world for each: what cools down after the first way would change the second one.
        async with fault_server(in_turn(row.play)) as a, fault_server(in_turn(plays.fine)) as b:
            async with world(settings(pairs(a, b), retry=RETRY)) as it:
                await asyncio.gather(*(ask(it, provider, stream) for provider in DIALECTS))
            before = row.asked_before(stream=stream)
            told = row.expected(stream=stream)
            assert told is not None
            if "complete" in told.ends:
                continue  # Whether it was read depends on the libraries.
            for provider in DIALECTS:
                seen = len(of_dialect(a, provider, stream=stream))
                if seen != max(before, 1):
                    faults.append(f"{provider} stream={stream}: a was asked {seen} times")
            if len(b.seen) != (len(DIALECTS) if before else 0):
                faults.append(f"stream={stream}: b was asked {len(b.seen)} times")
    assert faults == []


@in_every_client
@either_way
async def test_an_endpoint_that_refuses_connections_is_passed_over(
    client: DialectName, stream: bool
) -> None:
    async with (
        fault_server(in_turn(plays.fine)) as b,
        world(settings(pairs(nowhere(), b), retry=RETRY)) as it,
    ):
        for provider in DIALECTS:
            found, exchange = await it.ask(client, stream=stream, model=provider)
            assert (found.end, found.text) == ("complete", TEXT)
            assert exchange.headers["x-bt-used-endpoint"] == f"b-{provider}"
            assert exchange.headers["x-bt-attempts"] == "3"


@in_every_client
@either_way
async def test_the_body_of_one_attempt_is_untouched_by_another(
    client: DialectName, stream: bool
) -> None:
    async with fault_server(in_turn(status(503))) as a, fault_server(in_turn(plays.fine)) as b:
        alone = [endpoint(f"alone-{d}", b, other(d), d) for d in DIALECTS]
        async with world(settings(alone)) as it:
            for provider in DIALECTS:
                await it.ask(client, stream=stream, model=provider)
        alone_bodies = [one.body for one in b.seen]
        b.seen.clear()
        async with world(settings(pairs(a, b), retry=RETRY)) as it:
            for provider in DIALECTS:
                await it.ask(client, stream=stream, model=provider)
        assert [one.body for one in b.seen] == alone_bodies
        for first, again in zip(a.seen[::2], a.seen[1::2], strict=True):
            assert first.body == again.body


async def test_a_third_endpoint_answers_where_two_cannot() -> None:
    async with (
        fault_server(in_turn(plays.stall_before_head)) as a,
        fault_server(in_turn(refused(speech.KEY_REFUSED))) as b,
        fault_server(in_turn(plays.fine)) as c,
    ):
        endpoints = [
            endpoint("a", a, "openai_chat"),
            endpoint("b", b, "anthropic"),
            endpoint("c", c, "gemini"),
        ]
        async with world(settings(endpoints, retry=RETRY), draw=lambda: 0.0) as it:
            found, exchange = await it.ask("anthropic", stream=True)
    assert (found.end, found.text) == ("complete", TEXT)
    assert exchange.headers["x-bt-used-endpoint"] == "c"
    # The order of the two others is drawn.
    assert len(a.seen) <= 1
    assert len(b.seen) <= 1


async def test_an_answer_at_once_is_one_attempt() -> None:
    async with fault_server(in_turn(plays.fine)) as a, world(settings(pairs(a, a))) as it:
        for stream in (False, True):
            _, exchange = await it.ask("openai_chat", stream=stream, model="openai_chat")
            assert exchange.headers["x-bt-attempts"] == "1"


# --- A sole endpoint ------------------------------------------------------------------------------


@either_way
@pytest.mark.parametrize("name", [name for name in NAMES if name != "status_429"])
async def test_a_sole_endpoint_is_asked_as_often_as_the_table_says(name: str, stream: bool) -> None:
    row = BY_NAME[name]
    told = row.expected(stream=stream)
    if told is None:
        return
    async with fault_server(in_turn(row.play)) as a:
        one = endpoint("a", a, "anthropic")
        async with world(settings([one], retry=RETRY)) as it:
            found, exchange = await it.ask("openai_chat", stream=stream)
    assert found.end in told.ends, str(found)
    if found.end == "status":
        assert found.status in (row.told or told.statuses)
        assert exchange.headers["x-bt-attempts"] == str(len(a.seen))
    if "complete" not in told.ends or found.end != "complete":
        assert len(a.seen) == row.asked(stream=stream)
    # One retry comes after a short wait with jitter.
    assert all(0.1 <= gap <= 0.5 + SLACK_S + 0.1 for gap in a.spacing)


@in_every_client
@either_way
@pytest.mark.parametrize("play", [status(503), plays.reset_before_head, plays.close_after_head])
async def test_what_passes_in_a_moment_costs_nothing_but_the_moment(
    play: Play, client: DialectName, stream: bool
) -> None:
    async with (
        fault_server(in_turn(play, plays.fine)) as a,
        world(settings([endpoint("a", a, "openai_responses")], retry=RETRY)) as it,
    ):
        found, exchange = await it.ask(client, stream=stream)
    assert (found.end, found.text) == ("complete", TEXT)
    assert exchange.headers["x-bt-attempts"] == "2"
    assert len(a.seen) == 2


# --- Retry-After ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
async def test_a_sole_endpoint_is_left_alone_for_as_long_as_it_says(form: str) -> None:
    # A date has no fractions of a second.
    seconds = 2.0 if form == "date" else 0.6
    wait = told_to_wait(form, seconds, now=time.time)
    async with (
        fault_server(in_turn(wait, plays.fine)) as a,
        world(settings([endpoint("a", a, "gemini")], retry=RETRY, timeouts={"total_s": 10})) as it,
    ):
        found, exchange = await it.ask("openai_chat", stream=True)
    assert (found.end, found.text) == ("complete", TEXT)
    assert exchange.headers["x-bt-attempts"] == "2"
    (gap,) = a.spacing
    least = 0.9 if form == "date" else seconds
    assert least <= gap <= seconds + SLACK_S + 0.25


@pytest.mark.parametrize("form", FORMS)
async def test_another_endpoint_is_asked_at_once_and_the_first_left_alone(form: str) -> None:
    wait = told_to_wait(form, 20.0, now=time.time)
    async with (
        fault_server(in_turn(wait)) as a,
        fault_server(in_turn(plays.fine)) as b,
        world(settings(pairs(a, b), retry=RETRY)) as it,
    ):
        for number in range(4):
            began = time.monotonic()
            found, exchange = await it.ask("anthropic", stream=True, model="gemini")
            assert (found.end, found.text) == ("complete", TEXT)
            assert exchange.headers["x-bt-attempts"] == ("1" if number else "2")
            assert time.monotonic() - began < SLACK_S
    assert (len(a.seen), len(b.seen)) == (1, 4)


@in_every_client
async def test_a_wait_beyond_the_budget_is_told_to_the_caller_at_once(client: DialectName) -> None:
    async with (
        fault_server(in_turn(status(429, "retry-after: 60"))) as a,
        world(settings([endpoint("a", a, "openai_chat")], retry=RETRY)) as it,
    ):
        began = time.monotonic()
        found, exchange = await it.ask(client, stream=True)
        assert time.monotonic() - began < SLACK_S
    assert (found.end, found.status) == ("status", 429)
    assert 55 <= int(exchange.headers["retry-after"]) <= 61
    assert len(a.seen) == 1


async def test_a_429_that_says_nothing_is_asked_less_and_less_often() -> None:
    async with fault_server(in_turn(status(429))) as a:
        patient = {"total_s": 30}
        retry = {"max_attempts": 10, "budget_s": 6}
        organisation = settings([endpoint("a", a, "anthropic")], retry=retry, timeouts=patient)
        async with world(organisation) as it:
            found, exchange = await it.ask("openai_chat", stream=False)
    assert (found.end, found.status) == ("status", 429)
    times = [one.at for one in a.seen]
    assert 2 <= len(times) <= 6
    assert exchange.headers["x-bt-attempts"] == str(len(times))
    for first in times:
        assert sum(first <= at < first + 3.0 for at in times) <= 4
    assert a.spacing == sorted(a.spacing) or max(a.spacing) >= 1.0


# --- What is over for a model ---------------------------------------------------------------------


async def fallen_back(
    play: Play, client: DialectName, stream: bool, headers: Mapping[str, str], **changes: Any
) -> tuple[Outcome, Exchange, FaultServer, FaultServer]:
    async with fault_server(in_turn(play)) as a, fault_server(in_turn(plays.fine)) as b:
        endpoints = [
            endpoint("a", a, "openai_chat", "small"),
            endpoint("twin", a, "openai_chat", "small"),
            endpoint("b", b, "anthropic", "large"),
        ]
        async with world(settings(endpoints, retry=RETRY, **changes)) as it:
            found, exchange = await it.ask(client, stream=stream, model="small", headers=headers)
    return found, exchange, a, b


@in_every_client
@either_way
async def test_a_prompt_too_long_for_a_model_goes_to_its_fallback(
    client: DialectName, stream: bool
) -> None:
    found, exchange, a, b = await fallen_back(
        refused(speech.TOO_LONG), client, stream, {}, fallbacks={"small": ["large"]}
    )
    assert (found.end, found.text) == ("complete", TEXT)
    assert exchange.headers["x-bt-used-endpoint"] == "b"
    assert exchange.headers["x-bt-attempts"] == "2"
    # It is as long for the twin of the first one.
    assert (len(a.seen), len(b.seen)) == (1, 1)


@in_every_client
@either_way
async def test_the_caller_names_fallbacks_of_its_own(client: DialectName, stream: bool) -> None:
    headers = {"x-bt-fallback-models": "large"}
    found, exchange, a, _ = await fallen_back(
        refused(speech.MODEL_MISSING), client, stream, headers
    )
    assert (found.end, found.text) == ("complete", TEXT)
    assert exchange.headers["x-bt-used-endpoint"] == "b"
    assert len(a.seen) == 2


@in_every_client
async def test_an_empty_list_switches_the_fallbacks_of_the_settings_off(
    client: DialectName,
) -> None:
    headers = {"x-bt-fallback-models": ""}
    found, _, _, b = await fallen_back(
        refused(speech.TOO_LONG), client, False, headers, fallbacks={"small": ["large"]}
    )
    assert (found.end, found.status) == ("status", 400)
    assert b.seen == []


@in_every_client
@pytest.mark.parametrize("play", [refused(speech.POLICY), status(422), status(413)])
async def test_what_is_the_requests_own_fault_is_told_and_not_tried_again(
    play: Play, client: DialectName
) -> None:
    found, exchange, a, b = await fallen_back(
        play, client, True, {}, fallbacks={"small": ["large"]}
    )
    assert found.end == "status"
    assert found.status in (400, 413, 422)
    assert exchange.headers["x-bt-attempts"] == "1"
    assert (len(a.seen), len(b.seen)) == (1, 0)


# --- Cooling down ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["status_500", "reset_before_head", "stall_before_head"])
async def test_an_endpoint_that_keeps_failing_is_left_alone(name: str) -> None:
    row = BY_NAME[name]
    async with (
        fault_server(in_turn(row.play)) as a,
        fault_server(in_turn(plays.fine)) as b,
        world(settings(pairs(a, b), retry=RETRY)) as it,
    ):
        for _ in range(20):
            found, _ = await it.ask("openai_chat", stream=True, model="anthropic")
            assert (found.end, found.text) == ("complete", TEXT)
    assert len(a.seen) <= 4
    assert len(b.seen) == 20


async def test_an_endpoint_that_has_recovered_is_found_again() -> None:
    """By one probe, and not by everybody at once."""
    ill = True

    def script(_: Asked) -> Play:
        return status(500) if ill else plays.fine

    async with (
        fault_server(script) as a,
        fault_server(in_turn(plays.fine)) as b,
        world(settings(pairs(a, b), retry=RETRY)) as it,
    ):
        for _ in range(3):
            await it.ask("openai_chat", stream=False, model="anthropic")
        ill = False
        known = len(a.seen)
        async with asyncio.timeout(10):
            while len(a.seen) == known:
                await asyncio.gather(
                    *(it.ask("openai_chat", stream=False, model="anthropic") for _ in range(4))
                )
                await asyncio.sleep(0.05)
        assert len(a.seen) - known <= 4
        used = []
        for _ in range(5):
            _, exchange = await it.ask("openai_chat", stream=False, model="anthropic")
            used.append(exchange.headers["x-bt-used-endpoint"])
    assert used == ["a-anthropic"] * 5


async def test_while_endpoints_flap_every_caller_is_served() -> None:
    """A minute in small: each of two is down for every other second, never both at once."""
    began = time.monotonic()

    def flapping(down: int) -> Any:
        return lambda _: status(503) if int(time.monotonic() - began) % 2 == down else plays.fine

    async with (
        fault_server(flapping(0)) as a,
        fault_server(flapping(1)) as b,
        world(settings(pairs(a, b), retry=RETRY)) as it,
    ):
        ends = []
        while time.monotonic() - began < 6.0:
            answers = [it.ask(client, stream=True, model="openai_chat") for client in DIALECTS]
            ends += [found for found, _ in await asyncio.gather(*answers)]
            await asyncio.sleep(0.05)
    assert {(found.end, found.text) for found in ends} == {("complete", TEXT)}
    # Not two calls for each request: who is down is left alone.
    assert len(a.seen) + len(b.seen) < 1.5 * len(ends)


# --- In the middle --------------------------------------------------------------------------------

MIDDLE: Final = (
    "cut_mid_chunk",
    "cut_mid_event",
    "end_between_events",
    "stall_mid_answer",
    "error_event_mid_answer",
)


@in_every_client
@pytest.mark.parametrize("name", MIDDLE)
async def test_where_the_settings_say_so_a_broken_stream_goes_on_elsewhere(
    name: str, client: DialectName
) -> None:
    """The second run says the same words, so it takes up where the first one was cut."""
    row = BY_NAME[name]
    ends: dict[str, Any] = {}
    async with fault_server(in_turn(row.play)) as a, fault_server(in_turn(plays.fine)) as b:
        organisation = settings(pairs(a, b), retry=RETRY, midstream="continue")
        async with world(organisation) as it:
            for provider in DIALECTS:
                found, _ = await it.ask(client, stream=True, model=provider)
                ends[provider] = (found.end, found.text or found.said)
    wanted = dict.fromkeys(DIALECTS, ("complete", TEXT))
    if client not in PASSES:  # Its provider's bytes pass, with numbers of their own.
        assert ends[client][0] == "event"
        assert TEXT.startswith(ends.pop(client)[1])
        del wanted[client]
    assert ends == wanted


@in_every_client
async def test_a_run_that_says_something_else_ends_in_the_error(client: DialectName) -> None:
    async def another(line: Any, asked: Asked) -> bool:
        said = speech.speech(asked.dialect, ("Quite ", "another ", "answer."))
        await line.say(plays.head(said.content_type))
        await plays.say_chunks(line, filter(None, said.events))
        await line.say(plays.LAST_CHUNK)
        return True

    async with (
        fault_server(in_turn(plays.cut_mid_event)) as a,
        fault_server(in_turn(another)) as b,
    ):
        endpoints = [endpoint("a", a, "openai_chat"), endpoint("b", b, "openai_chat")]
        organisation = settings(endpoints, retry=RETRY, midstream="continue")
        async with world(organisation) as it:
            found, _ = await it.ask(client, stream=True)
    assert found.end == "event"
    assert TEXT.startswith(found.text)


# --- What is logged -------------------------------------------------------------------------------


async def test_the_log_tells_each_attempt_with_its_reason() -> None:
    async with (
        fault_server(in_turn(status(503))) as a,
        fault_server(in_turn(plays.fine)) as b,
        world(settings(pairs(a, b), retry=RETRY)) as it,
    ):
        await it.ask("openai_chat", stream=True, model="anthropic")
    told = repr([fields for _, _, fields in it.log.lines])
    assert told.count("server_error") == 2
    assert "a-anthropic" in told
    assert "b-anthropic" in told
    assert "hi" not in told.split("'")
