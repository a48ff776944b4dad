"""Single flight: equal requests at the same time make one call."""

import asyncio

import pytest

from core.errors import UpstreamError
from core.ports import Row, RowKey, StoreError
from tests.asgi_driver import Exchange, start
from tests.fakes import NOW, Reply, openai_endpoint, org
from tests.handlers.caches import (
    AUTH,
    COMPLETION,
    Caches,
    question,
    told,
    whole,
)

SINGLE = {"cache": {"single_flight": True, "single_flight_wait_s": 5.0}}


async def all_at_once(caches: Caches, number: int = 8) -> list[Exchange]:
    return await asyncio.gather(*(caches.ask() for _ in range(number)))


async def test_equal_requests_at_once_make_one_call() -> None:
    hold = asyncio.Event()
    settings = [org(endpoints=[openai_endpoint()], **SINGLE)]
    caches = Caches(Reply(hold, COMPLETION), settings=settings)
    asking = asyncio.ensure_future(all_at_once(caches))
    await asyncio.sleep(0.05)
    hold.set()
    answers = await asking
    assert caches.calls == 1
    assert {answered.body for answered in answers} == {COMPLETION}
    assert sorted(str(told(answered)[0]) for answered in answers) == ["HIT"] * 7 + ["MISS"]
    assert caches.app.services.flights == {}
    assert not [key for key in caches.store.rows if key[0].startswith("flight")]


async def test_without_the_setting_each_one_calls() -> None:
    caches = Caches(*(whole() for _ in range(8)))
    await all_at_once(caches)
    assert caches.calls == 8


async def test_who_follows_one_that_fails_goes_alone() -> None:
    settings = [org(endpoints=[openai_endpoint()], **SINGLE)]
    caches = Caches(UpstreamError("no"), whole(), whole(), settings=settings)
    answers = await all_at_once(caches, 3)
    assert sorted(answered.status for answered in answers) == [200, 200, 502]
    assert caches.app.services.flights == {}


async def test_who_waits_too_long_goes_alone() -> None:
    hold = asyncio.Event()
    limited = {"cache": {"single_flight": True, "single_flight_wait_s": 0.05}}
    settings = [org(endpoints=[openai_endpoint()], **limited)]
    caches = Caches(Reply(hold, COMPLETION), whole(), settings=settings)
    slow = asyncio.ensure_future(caches.ask())
    await asyncio.sleep(0.01)
    fast = await caches.ask()
    assert fast.status == 200
    hold.set()
    assert (await slow).status == 200
    assert caches.calls == 2


async def test_another_process_s_flight_is_waited_for() -> None:
    settings = [org(endpoints=[openai_endpoint()], **SINGLE)]
    hold = asyncio.Event()
    here, there = Caches(Reply(hold, COMPLETION), settings=settings), Caches(settings=settings)
    there.store.rows = here.store.rows
    leading = asyncio.ensure_future(here.ask())
    await asyncio.sleep(0.02)
    following = asyncio.ensure_future(there.ask())
    await asyncio.sleep(0.05)
    hold.set()
    assert told(await leading)[0] == "MISS"
    followed = await following
    assert told(followed)[0] == "HIT"
    assert there.calls == 0


async def test_where_the_leader_s_client_leaves_one_of_those_who_wait_takes_its_place() -> None:
    settings = [org(endpoints=[openai_endpoint()], **SINGLE)]
    first, second = asyncio.Event(), asyncio.Event()
    caches = Caches(Reply(first, COMPLETION), Reply(second, COMPLETION), settings=settings)
    leading = start(caches.app, body=question(), headers=AUTH)
    await asyncio.sleep(0.02)
    asking = asyncio.ensure_future(all_at_once(caches, 5))
    await asyncio.sleep(0.05)
    leading.hang_up()
    await leading.done()
    await asyncio.sleep(0.3)
    assert caches.calls == 2
    second.set()
    answers = await asking
    assert {answered.body for answered in answers} == {COMPLETION}
    assert caches.calls == 2
    assert caches.app.services.flights == {}
    assert not [key for key in caches.store.rows if key[0].startswith("flight")]


async def test_who_waits_and_leaves_takes_nothing_from_the_others() -> None:
    settings = [org(endpoints=[openai_endpoint()], **SINGLE)]
    hold = asyncio.Event()
    caches = Caches(Reply(hold, COMPLETION), settings=settings)
    asking = asyncio.ensure_future(all_at_once(caches, 3))
    await asyncio.sleep(0.02)
    leaving = start(caches.app, body=question(), headers=AUTH)
    await asyncio.sleep(0.02)
    leaving.hang_up()
    await leaving.done()
    assert not leaving.started
    hold.set()
    assert {answered.body for answered in await asking} == {COMPLETION}
    assert caches.calls == 1


async def test_an_answer_that_is_not_kept_is_nobody_else_s() -> None:
    settings = [org(endpoints=[openai_endpoint()], **SINGLE)]
    cut = COMPLETION.replace(b'"stop"', b"null")
    caches = Caches(whole(cut), whole(), whole(), settings=settings)
    answers = await all_at_once(caches, 3)
    assert [told(answered)[0] for answered in answers] == ["MISS"] * 3
    assert sorted(answered.body == cut for answered in answers) == [False, False, True]


@pytest.mark.parametrize("trouble", ["slow", "down"])
async def test_a_table_that_takes_no_claim_holds_nobody_back(trouble: str) -> None:
    quick = {"cache": {**SINGLE["cache"], "read_s": 0.05}}
    caches = Caches(whole(), settings=[org(endpoints=[openai_endpoint()], **quick)])
    if trouble == "slow":
        caches.store.pause["claim"] = asyncio.Event()
    else:
        caches.store.trouble["claim"] = StoreError("down")
    began = asyncio.get_running_loop().time()
    answered = await caches.ask()
    assert answered.status == 200
    assert asyncio.get_running_loop().time() - began < 0.5
    # It may be another one's claim by now.
    assert "delete" not in caches.store.calls


def claims(caches: Caches) -> list[RowKey]:
    return [key for key in caches.store.rows if key[0].startswith("flight#")]


async def test_a_flight_that_never_comes_back_is_waited_for_no_longer_than_it_may_last() -> None:
    settings = [org(endpoints=[openai_endpoint()], **SINGLE)]
    caches = Caches(whole(), settings=settings)
    finding = Caches(Reply(asyncio.Event()), settings=settings)
    lost = asyncio.ensure_future(finding.ask())
    await asyncio.sleep(0.02)
    [key] = claims(finding)
    lost.cancel()
    await asyncio.gather(lost, return_exceptions=True)
    # The process died, and the table deletes late.
    caches.store.rows[key] = Row(pk=key[0], sk=key[1], data=b"", expires_at=int(NOW) + 2)
    following = asyncio.ensure_future(caches.ask())
    await asyncio.sleep(0.05)
    assert not following.done()
    caches.clock.time += 3
    began = asyncio.get_running_loop().time()
    assert (await following).status == 200
    assert asyncio.get_running_loop().time() - began < 1.0
