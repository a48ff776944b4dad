"""What every mailbox promises: the tests' own, moto's DynamoDB and ministack's."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.ports import Mailbox, Row, SocketClosed, StoreError
from core.relay import mailbox
from infra.aws import Process
from infra.clock import SystemClock
from infra.http import HttpUpstream
from infra.mailbox import DynamoMailbox
from tests.gateway.emulator import MemoryMailbox
from tests.infra.tables import ENVIRONMENT, create_table, named, service_at

NOW = int(time.time())
C = "L0SM9cOFvHcCIhw="


@pytest.fixture(params=["memory", "moto", "ministack"])
async def box(request: pytest.FixtureRequest) -> AsyncIterator[Mailbox]:
    if request.param == "memory":
        yield MemoryMailbox()
        return
    url: str = request.getfixturevalue(request.param).url
    upstream, clock, name = HttpUpstream(), SystemClock(), named()
    process = Process(ENVIRONMENT, upstream, clock)
    await create_table(service_at(url, upstream), name)
    yield DynamoMailbox(name, upstream, process, clock, url)
    await upstream.close()


def frame(at_ms: int, text: str = "{}") -> Row:
    return mailbox.frame_row(C, at_ms, f"m{at_ms}=", text)


async def test_frames_are_read_in_order_from_a_moment_on_and_nothing_else_is(box: Mailbox):
    state = Row(pk=mailbox.partition(C), sk=mailbox.state_of(1), data=b"s", expires_at=NOW + 60)
    frames = [frame(1_700_000_000_000 + number, f'{{"é":{number}}}') for number in (3, 1, 2)]
    await box.put([*frames, state])
    await box.put([mailbox.frame_row("another", 1_700_000_000_002, "m=", "{}")])
    await box.begin(C, NOW + 60)
    rows = await box.rows(mailbox.partition(C), mailbox.after(1_700_000_000_002), mailbox.LAST)
    arrivals, left = mailbox.read(rows)
    assert [one.text for one in arrivals] == ['{"é":2}', '{"é":3}']
    assert left is None
    assert await box.rows(mailbox.partition(C), mailbox.state_of(1), mailbox.state_of(1)) == [state]


async def test_that_a_client_left_is_read_with_its_code(box: Mailbox):
    await box.put([mailbox.left_row(C, 1_700_000_000_000, "req=", 1001, "Going away")])
    _, left = mailbox.read(await box.rows(mailbox.partition(C), mailbox.after(0), mailbox.LAST))
    assert left == SocketClosed(1001, "Going away")


async def test_one_process_at_a_time_holds_a_session(box: Mailbox):
    assert await box.begin(C, NOW + 60)
    assert not await box.begin(C, NOW + 60)
    assert await box.hold(C, 1, "a", NOW * 1000)
    assert await box.hold(C, 1, "a", NOW * 1000 + 1)
    assert not await box.hold(C, 1, "b", NOW * 1000)
    assert not await box.hold(C, 2, "b", NOW * 1000)


async def test_a_successor_takes_over_for_good(box: Mailbox):
    await box.begin(C, NOW + 60)
    await box.hold(C, 1, "a", NOW * 1000)
    assert await box.succeed(C, 1)
    assert not await box.succeed(C, 1)
    assert not await box.hold(C, 1, "a", NOW * 1000)
    assert not await box.end(C, 1)
    assert await box.hold(C, 2, "b", NOW * 1000)


async def test_a_session_that_is_over_is_held_by_nobody(box: Mailbox):
    await box.begin(C, NOW + 60)
    await box.hold(C, 1, "a", NOW * 1000)
    assert await box.end(C, 1)
    assert not await box.end(C, 1)
    assert not await box.hold(C, 1, "a", NOW * 1000)
    assert not await box.succeed(C, 1)


async def test_of_a_session_that_nobody_began_there_is_nothing_to_hold(box: Mailbox):
    assert not await box.hold("nobody", 1, "a", NOW * 1000)
    assert not await box.end("nobody", 1)


async def test_a_table_that_is_not_there_is_a_store_error(moto: Any):
    upstream, clock = HttpUpstream(), SystemClock()
    process = Process(ENVIRONMENT, upstream, clock)
    absent = DynamoMailbox("nowhere", upstream, process, clock, moto.url)
    for asked in (absent.begin(C, NOW), absent.rows("rt#x", "a", "b"), absent.end(C, 1)):
        with pytest.raises(StoreError):
            await asked
    await upstream.close()
