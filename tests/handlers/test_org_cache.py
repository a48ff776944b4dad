"""Settings of organisations as a process remembers them: fresh, stale, absent, faulty, rotated."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from core import orgs
from core.errors import BadRequestError, UnavailableError
from core.freshness import FRESH_S, STALE_S
from core.options import UseCredsCache, parse
from core.orgs import Org
from core.ports import Document, StoreError
from handlers.org_cache import Limits, OrgCache
from tests.fakes import FakeClock, FakeLog

pytestmark = pytest.mark.filterwarnings("error")
BOUND_S = 5.0


class FakeSecrets:
    """core.ports.Secrets in a dict. `trouble` is raised by a read, `gate` waited for."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.reads: list[str] = []
        self.trouble: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.closed = 0

    def put(self, name: str, version: str, body: bytes | None = None, **fields: object) -> None:
        made = msgspec.json.encode({"name": name, "midstream": "error", **fields})
        self.documents[name] = Document(made if body is None else body, version)

    async def read(self, org: str) -> Document | None:
        self.reads.append(org)
        found = self.documents.get(org)
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble
        return found

    async def write(self, org: str, body: bytes) -> None: ...

    async def delete(self, org: str) -> None: ...

    async def names(self) -> list[str]:
        return []

    async def close(self) -> None:
        self.closed += 1


class World:
    def __init__(self, **limits: Any) -> None:
        self.secrets, self.clock, self.log = FakeSecrets(), FakeClock(), FakeLog()
        self.parsed: list[bytes] = []
        self.cache = OrgCache(
            self.secrets, self.clock, self.log, self._parse, limits=Limits(**limits)
        )
        self.secrets.put("acme", "v1")

    def _parse(self, body: bytes, name: str) -> Org:
        self.parsed.append(body)
        return orgs.parse(body, source=name, types=frozenset({"openai"}))

    async def get(self, name: str = "acme", mode: UseCredsCache = "auto") -> Org | None:
        async with asyncio.timeout(BOUND_S):
            return await self.cache.get(name, mode)

    @property
    def reads(self) -> int:
        return len(self.secrets.reads)

    @property
    def events(self) -> list[str]:
        return [event for _, event, _ in self.log.lines]


@pytest.fixture
def world() -> World:
    return World()


def down(world: World) -> None:
    world.secrets.trouble = StoreError("Secrets Manager failed at GetSecretValue: Throttled.")


async def test_settings_are_read_once_a_minute_and_parsed_once_a_version(world: World):
    first = await world.get()
    world.clock.time += FRESH_S - 1
    assert await world.get() is first
    assert world.reads == 1
    world.clock.time += 1
    assert await world.get() is first
    assert (world.reads, len(world.parsed)) == (2, 1)


async def test_a_rotated_secret_is_live_within_a_minute(world: World):
    await world.get()
    world.secrets.put("acme", "v2", shared_cache=False, midstream="continue")
    world.clock.time += FRESH_S
    found = await world.get()
    assert found is not None
    assert found.midstream == "continue"


async def test_an_organisation_that_is_not_there_is_asked_for_again_after_five_seconds(
    world: World,
):
    for _ in range(3):
        assert await world.get("nobody") is None
    world.clock.time += 4.9
    assert await world.get("nobody") is None
    assert world.reads == 1
    world.secrets.put("nobody", "v1")
    world.clock.time += 0.2
    assert await world.get("nobody") is not None


async def test_an_organisation_that_was_deleted_is_gone_within_a_minute(world: World):
    await world.get()
    world.secrets.documents.clear()
    world.clock.time += FRESH_S
    assert await world.get() is None


async def test_a_store_in_trouble_leaves_the_last_settings_in_use_for_ten_minutes(world: World):
    first = await world.get()
    down(world)
    world.clock.time += FRESH_S
    assert await world.get() is first
    assert await world.get() is first
    assert world.reads == 2  # It is left alone for five seconds.
    world.clock.time += 5
    assert await world.get() is first
    assert world.reads == 3
    world.clock.time += STALE_S - FRESH_S - 5
    with pytest.raises(UnavailableError) as caught:
        await world.get()
    assert "acme" not in caught.value.message
    assert set(world.events) == {"org_settings_unreadable"}
    world.secrets.trouble = None
    assert await world.get() is first


async def test_a_store_in_trouble_from_the_start_is_a_503_and_never_an_absent_organisation(
    world: World,
):
    down(world)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await world.get()
    world.secrets.trouble = None
    assert await world.get() is not None


async def test_a_store_that_does_not_answer_holds_nobody_up_who_has_settings():
    world = World(patience_s=0.02)
    first = await world.get()
    world.secrets.put("acme", "v2", midstream="continue")
    world.secrets.gate = asyncio.Event()
    world.clock.time += FRESH_S
    assert await world.get() is first
    assert await world.get() is first
    assert world.reads == 2  # One and the same read goes on.
    world.secrets.gate.set()
    await asyncio.sleep(0.01)
    found = await world.get()
    assert found is not None
    assert found.midstream == "continue"
    assert world.reads == 2


async def test_a_store_that_never_answers_is_a_503():
    world = World(longest_s=0.02)
    world.secrets.gate = asyncio.Event()
    with pytest.raises(UnavailableError):
        await world.get()
    assert world.log.lines[0][2]["error"] == "no answer in time"


FAULTY = [
    b"{",
    b'{"name":"acme","sk-sentinel":1}',
    b'{"name":"acme","endpoints":[{"type":"openai","secret":["sk-sentinel"]}]}',
    b'{"name":"other","keys":[]}',
    b"\xff",
]


@pytest.mark.parametrize("body", FAULTY)
async def test_a_faulty_document_leaves_the_last_good_one_in_use(world: World, body: bytes):
    first = await world.get()
    world.secrets.put("acme", "v2", body)
    for _ in range(20):
        world.clock.time += FRESH_S
        assert await world.get() is first
    assert world.events == ["org_settings_faulty"]  # Once, not every minute.
    assert world.log.lines[0][2]["at"].startswith("$")
    assert "sentinel" not in repr(world.log.lines)
    world.secrets.put("acme", "v3", midstream="continue")
    world.clock.time += FRESH_S
    found = await world.get()
    assert found is not None
    assert found.midstream == "continue"


@pytest.mark.parametrize("body", FAULTY)
async def test_a_faulty_document_and_none_before_it_is_a_503_that_names_nothing(
    world: World, body: bytes
):
    world.secrets.put("acme", "v1", body)
    for _ in range(3):
        with pytest.raises(UnavailableError) as caught:
            await world.get()
        assert "sentinel" not in caught.value.message
        assert "acme" not in caught.value.message
    assert (world.reads, world.events) == (1, ["org_settings_faulty"])
    world.secrets.put("acme", "v2")
    world.clock.time += 5
    assert await world.get() is not None


async def test_a_fault_while_the_store_comes_and_goes_keeps_the_last_good_one(world: World):
    first = await world.get()
    world.secrets.put("acme", "v2", b"{")
    world.clock.time += FRESH_S
    assert await world.get() is first
    down(world)
    world.clock.time += FRESH_S
    assert await world.get() is first


async def test_never_reads_what_is_stored_and_the_others_profit(world: World):
    await world.get()
    world.secrets.put("acme", "v2", midstream="continue")
    old = await world.get(mode="always")
    assert old is not None
    assert old.midstream == "error"
    found = await world.get(mode="never")
    assert found is not None
    assert found.midstream == "continue"
    assert await world.get() is found
    assert world.reads == 2


async def test_never_hears_what_is_wrong_instead_of_old_settings(world: World):
    first = await world.get()
    down(world)
    with pytest.raises(UnavailableError, match="cannot be read"):
        await world.get(mode="never")
    assert await world.get() is first
    world.secrets.trouble = None
    world.secrets.put("acme", "v2", b"{")
    with pytest.raises(UnavailableError, match="fault"):
        await world.get(mode="never")
    assert await world.get() is first


async def test_never_is_not_answered_by_a_read_that_began_before(world: World):
    world.secrets.gate = asyncio.Event()
    before = asyncio.create_task(world.get())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    world.secrets.put("acme", "v2", midstream="continue")
    after = [asyncio.create_task(world.get(mode="never")) for _ in range(5)]
    await asyncio.sleep(0)
    world.secrets.gate.set()
    found = [await before, *[await task for task in after]]
    assert [one and one.midstream for one in found] == ["error", *["continue"] * 5]
    assert world.reads == 2


async def test_of_many_at_once_one_reads(world: World):
    found = await asyncio.gather(*(world.get() for _ in range(50)))
    assert len({id(one) for one in found}) == 1
    assert world.reads == 1


async def test_who_goes_away_takes_nothing_from_those_who_wait(world: World):
    world.secrets.gate = asyncio.Event()
    tasks = [asyncio.create_task(world.get()) for _ in range(3)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    await asyncio.sleep(0)
    world.secrets.gate.set()
    assert await tasks[1] is await tasks[2] is not None
    assert tasks[0].cancelled()
    assert world.reads == 1


async def test_a_failure_that_nobody_waits_for_is_silent(world: World):
    world.secrets.gate = asyncio.Event()
    world.secrets.trouble = ValueError("no")
    task = asyncio.create_task(world.get())
    await asyncio.sleep(0.01)
    task.cancel()
    world.secrets.gate.set()
    await asyncio.sleep(0.01)
    gc.collect()
    world.secrets.trouble = None
    assert await world.get() is not None


async def test_a_refused_key_reads_the_settings_anew_once_in_a_few_seconds(world: World):
    first = await world.get()
    assert first is not None
    assert await world.cache.refresh(first) is None
    assert world.reads == 1  # They were read a moment ago.
    world.clock.time += 5
    assert await world.cache.refresh(first) is None
    assert await world.cache.refresh(first) is None
    assert world.reads == 2
    world.secrets.put("acme", "v2", midstream="continue")
    world.clock.time += 5
    fresh = await asyncio.gather(*(world.cache.refresh(first) for _ in range(10)))
    assert {one and one.midstream for one in fresh} == {"continue"}
    assert world.reads == 3
    later = await world.cache.refresh(first)
    assert later is await world.get()
    assert world.reads == 3


async def test_a_refresh_that_fails_or_takes_long_changes_nothing():
    world = World(patience_s=0.02)
    first = await world.get()
    assert first is not None
    world.clock.time += 5
    down(world)
    assert await world.cache.refresh(first) is None
    world.clock.time += 5
    world.secrets.gate = asyncio.Event()
    assert await world.cache.refresh(first) is None
    assert await world.get() is first
    await world.cache.close()
    await asyncio.sleep(0)


async def test_an_organisation_from_elsewhere_is_not_refreshed(world: World):
    assert await world.cache.refresh(Org(name="acme")) is None
    assert await world.cache.refresh(Org(name="")) is None
    assert world.reads == 0


async def test_an_organisation_that_was_deleted_meanwhile_has_nothing_new(world: World):
    first = await world.get()
    assert first is not None
    world.secrets.documents.clear()
    world.clock.time += 5
    assert await world.cache.refresh(first) is None
    assert await world.get() is None


async def test_the_memory_is_bounded_and_who_is_asked_for_stays():
    world = World(most=3)
    for name in ("a", "b", "c", "d"):
        world.secrets.put(name, "v1")
    for name in ("a", "b", "c", "a", "d", "a", "b"):
        await world.get(name)
    assert world.secrets.reads == ["a", "b", "c", "d", "b"]


async def test_closing_ends_what_is_under_way(world: World):
    world.secrets.gate = asyncio.Event()
    task = asyncio.create_task(world.get())
    await asyncio.sleep(0.01)
    await world.cache.close()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.secrets.closed == 1
    assert repr(world.cache) == "<OrgCache>"


def lives(*parts: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Each on an event loop of its own, as after a snapshot."""
    for part in parts:
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(part())
        finally:
            loop.close()


def test_a_read_that_another_event_loop_began_is_as_if_it_had_not_begun(world: World):
    left: list[asyncio.Task[Any]] = []

    async def begin() -> None:
        world.secrets.gate = asyncio.Event()
        task = asyncio.create_task(world.get())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        left.extend(one for one in asyncio.all_tasks() if one is not asyncio.current_task())

    async def go_on() -> None:
        world.secrets.gate = None
        assert await world.get() is not None
        assert await world.get(mode="never") is not None

    first = asyncio.new_event_loop()
    try:
        first.run_until_complete(begin())
        lives(go_on, go_on)
        assert world.reads == 4
    finally:
        for task in left:
            task.cancel()
        first.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        first.close()


async def test_a_read_that_was_frozen_with_its_process_is_not_waited_for(world: World):
    world.secrets.gate = frozen = asyncio.Event()
    old = asyncio.create_task(world.get())
    await asyncio.sleep(0.01)
    world.clock.time += 3600
    world.secrets.gate = None
    world.secrets.put("acme", "v2", midstream="continue")
    new = await world.get()
    frozen.set()
    found = await old
    assert found is not None
    assert found.midstream == "error"
    assert await world.get() is new  # What came late has not undone it.


@pytest.mark.parametrize(
    ("said", "mode"), [("auto", "auto"), ("Always ", "always"), ("NEVER", "never")]
)
def test_the_header_is_read(said: str, mode: str):
    assert parse({"x-bt-use-creds-cache": said}).use_creds_cache == mode
    assert parse({}).use_creds_cache == "auto"


@pytest.mark.parametrize("said", ["sometimes", "", "true", "record"])
def test_a_wrong_value_names_this_header_and_no_other(said: str):
    with pytest.raises(BadRequestError) as caught:
        parse({"x-bt-use-creds-cache": said})
    assert caught.value.param == "x-bt-use-creds-cache"
    assert "x-bt-use-creds-cache header" in caught.value.message
    assert "x-bt-use-cache" not in caught.value.message
