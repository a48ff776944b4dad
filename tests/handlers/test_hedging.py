"""A second attempt beside a slow one: one answer, and the other call is called off."""

import asyncio

from core.hedging import Budget
from tests.asgi_driver import start
from tests.fakes import FakeUpstream, Reply, org, stream
from tests.handlers.caches import AUTH, FRAMES, Caches, question
from tests.handlers.test_failover import TWO, asked

HEDGED = question(temperature=1, stream=True)


def hedged(*replies: Reply) -> Caches:
    """Both endpoints are known to be quick: the second attempt begins after 0.2 s."""
    settings = org(endpoints=TWO, retry={}, hedge={"share": 0.5})
    return Caches(*[stream(*FRAMES) for _ in range(25)], *replies, settings=[settings])


async def warmed(made: Caches) -> Caches:
    for _ in range(25):
        await made.ask(asked=HEDGED)
    made.upstream.sent.clear()
    made.app.services.hedges._budgets["acme"] = Budget(tokens=2)
    return made


async def test_the_first_token_wins_and_the_loser_is_called_off():
    slow = stream(asyncio.Event(), *FRAMES)
    made = await warmed(hedged(slow, stream(*FRAMES)))
    answer = await made.ask(asked=HEDGED)
    assert asked(made) == ["a", "b"]
    assert answer.body == b"".join(FRAMES)
    assert answer.headers["x-bt-used-endpoint"] == "b"
    assert slow.left.is_set()
    assert slow.cancelled


async def test_one_that_answers_in_time_is_alone():
    made = await warmed(hedged(stream(*FRAMES)))
    await made.ask(asked=HEDGED)
    assert asked(made) == ["a"]


async def test_a_late_first_still_wins_over_a_second_that_fails():
    gate = asyncio.Event()
    made = await warmed(hedged(stream(gate, *FRAMES), Reply(b"{}", status=500)))
    under_way = start(made.app, body=HEDGED, headers=AUTH)
    await asyncio.sleep(0.4)
    gate.set()
    await under_way.done()
    assert under_way.body == b"".join(FRAMES)
    assert under_way.headers["x-bt-used-endpoint"] == "a"


async def test_a_client_that_leaves_calls_off_both():
    first, second = stream(asyncio.Event(), *FRAMES), stream(asyncio.Event(), *FRAMES)
    made = await warmed(hedged(first, second))
    under_way = start(made.app, body=HEDGED, headers=AUTH)
    await asyncio.sleep(0.4)
    assert len(made.upstream.sent) == 2
    under_way.hang_up()
    await under_way.done()
    assert first.cancelled
    assert second.cancelled


async def test_the_share_bounds_how_many_are_sent_twice():
    slow = [stream(asyncio.Event(), *FRAMES)]
    made = await warmed(hedged(*slow))
    made.app.services.hedges._budgets["acme"] = Budget(tokens=0)
    under_way = start(made.app, body=HEDGED, headers=AUTH)
    await asyncio.sleep(0.4)
    assert len(made.upstream.sent) == 1
    under_way.hang_up()
    await under_way.done()
    assert isinstance(made.upstream, FakeUpstream)
