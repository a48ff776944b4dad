"""What is costly is fetched once at a time and kept until it expires."""

import asyncio
import gc

import pytest

from infra.once import MOST, Once
from tests.stand_ins import Clock


async def test_a_value_is_kept_until_its_time():
    clock, made = Clock(0), []

    async def fetch():
        made.append(len(made))
        return made[-1], clock.now() + 10

    once = Once(clock)
    values = []
    for now in (0, 9, 10, 11):
        clock.time = now
        values.append(await once.get("a", fetch))
    assert values == [0, 0, 1, 1]
    assert repr(once) == "<Once>"


async def test_those_who_wait_together_share_the_failure_and_the_next_tries_again():
    calls = []

    async def fetch():
        calls.append(1)
        await asyncio.sleep(0)
        raise ValueError("no")

    once = Once(Clock(0))
    results = await asyncio.gather(
        *(once.get("a", fetch) for _ in range(3)), return_exceptions=True
    )
    assert [type(result) for result in results] == [ValueError] * 3
    assert len(calls) == 1
    with pytest.raises(ValueError, match="no"):
        await once.get("a", fetch)
    assert len(calls) == 2


async def test_a_failure_that_nobody_waits_for_is_silent():
    go = asyncio.Event()

    async def fetch():
        await go.wait()
        raise ValueError("no")

    once = Once(Clock(0))
    waiting = asyncio.create_task(once.get("a", fetch))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    go.set()
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert waiting.cancelled()


async def test_the_oldest_value_goes_when_there_are_too_many():
    made = []

    def fetch(key):
        async def run():
            made.append(key)
            return key, 1.0

        return run

    once = Once(Clock(0))
    for number in range(MOST + 1):
        await once.get(str(number), fetch(str(number)))
    assert await once.get(str(MOST), fetch("x")) == str(MOST)
    assert await once.get("0", fetch("again")) == "again"


async def test_what_is_forgotten_is_fetched_again():
    made = []

    async def fetch():
        made.append(len(made))
        return made[-1], 10.0

    once = Once(Clock(0))
    assert await once.get("a", fetch) == 0
    once.forget("a")
    once.forget("never known")
    assert await once.get("a", fetch) == 1
