"""What the reference proxy's cache does, ours does too; where it is wrong, ours is right.

Each scenario of `cases.json` has a function here; a test fails where one has none.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from core.ports import StoreError
from tests.asgi_driver import start
from tests.fakes import KEY, Reply, openai_endpoint, org
from tests.handlers.caches import AUTH, COMPLETION, FRAMES, Caches, question, streamed, whole
from tests.reference.test_cases import Case, cases

pytestmark = pytest.mark.corpus

Scenario = Callable[[Case], Awaitable[None]]


def told(answer: Any) -> str | None:
    found: str | None = answer.headers.get("x-bt-cached")
    return found


def many(count: int = 20, body: bytes = COMPLETION, **more: Any) -> list[Reply]:
    return [whole(body, **more) for _ in range(count)]


ASKING: Final[dict[str, dict[str, Any]]] = {
    "temperature absent, no seed": {"temperature": ...},
    "temperature 0": {"temperature": 0},
    "temperature 0.0": {"temperature": 0.0},
    "temperature null": {"temperature": None},
    "seed 0": {"temperature": ..., "seed": 0},
    "seed null": {"temperature": ..., "seed": None},
    "temperature 1 + seed 5": {"temperature": 1, "seed": 5},
    "POST /embeddings": {"input": "x"},
    "POST /moderations": {"input": "x"},
    "POST /images/generations": {"prompt": "x"},
    "x-bt-use-cache: never": {},
}
"""A row of the eligibility table -> what of the body is otherwise."""


async def auto_hit(scenario: Case) -> None:
    caches = Caches(*many(1), settings=[org(endpoints=[openai_endpoint(name="oa-1")])])
    _, first, _, again = scenario.steps
    asked = first["body"]
    miss = await caches.ask(asked=asked)
    observed = first["observe"]
    for name in ("x-bt-cached", "cache-control", "age"):
        assert miss.headers[name] == observed[name]
    assert (caches.calls, caches.kept) == (1, observed["stored_entries"])
    (row,) = (row for key, row in caches.store.rows.items() if key[1] == "0")
    assert row.expires_at - row.stored_at == observed["stored_ttl"]
    caches.clock.time += 1.1
    hit = await caches.ask(asked=asked)
    for name in ("x-bt-cached", "cache-control", "age"):
        assert hit.headers[name] == again["observe"][name]
    assert (caches.calls, hit.body) == (1, miss.body)


async def auto_eligibility(scenario: Case) -> None:
    for row, outcome in scenario.steps[0]["table"]:
        path = row.partition("POST ")[2]
        caches = Caches(
            *many(2, b'{"data":[{"embedding":[1]}],"results":[{}]}' if path else COMPLETION)
        )
        name, _, mode = (
            row.partition(": ") if row.startswith("x-bt-") else ("x-bt-use-cache", "", "")
        )
        mode = mode or ("always" if "always" in outcome else "auto")
        headers = {"content-type": "application/json", name: mode}
        for _ in range(2):
            asked = question(**ASKING[row])
            answer = await caches.ask("/v1" + (path or "/chat/completions"), asked, headers)
            assert answer.status == 200, row
        stored = outcome == "stored"
        assert (caches.kept > 0, told(answer) == "HIT") == (stored, stored), row


async def canonical_key(scenario: Case) -> None:
    caches = Caches(*many(1))
    primed = scenario.steps[0]["prime with"]
    await caches.ask(asked=primed)
    again = await caches.ask(asked=dict(reversed(primed.items())))
    assert told(again) == scenario.target["x-bt-cached"]


async def cache_control(scenario: Case) -> None:
    for row, outcome in scenario.steps[0]["table"]:
        directive = row.partition(":")[2].partition(" with ")[0].strip()
        caches = Caches(*many())
        primed = directive != "no-store"
        if primed:
            await caches.ask()
        caches.clock.time += 2 if "2 s old" in row else 0
        calls, asked = caches.calls, {"cache-control": directive}
        answer = await caches.ask(headers=asked)
        if outcome == "HIT":
            assert told(answer) == "HIT", row
            continue
        assert (told(answer), caches.calls) == ("MISS", calls + 1), row
        caches.clock.time += 0 if "2 s old" in row else 100
        after = await caches.ask()
        assert told(after) == ("HIT" if primed else "MISS"), row
        if primed:
            assert int(after.headers["age"]) in (0, 100)


async def ttl_header(scenario: Case) -> None:
    for row, outcome in scenario.steps[0]["table"]:
        for value in row.partition(":")[2].replace("negative", "-5").split(" or "):
            caches = Caches(*many(1))
            answer = await caches.ask(headers={"x-bt-cache-ttl": value.strip()})
            if value.strip() == "abc":
                assert answer.status == 400, scenario.target
                assert b"x-bt-cache-ttl" in answer.body
                continue
            most = "".join(char for char in outcome.rpartition(" ")[2] if char.isdigit())
            assert answer.headers["cache-control"] == f"max-age={most}", row


async def bad_mode(scenario: Case) -> None:
    bad, upper, credentials = scenario.steps
    for step in (bad, credentials):
        name = "x-bt-use-cache" if step is bad else "x-bt-use-creds-cache"
        answer = await Caches().ask(headers={name: step["headers"][name]})
        assert answer.status == 400
        # The reference names the wrong header in the second one.
        wanted = bad["observe"]["message"].replace("x-bt-use-cache", name)
        assert answer.json["error"]["message"].startswith(wanted)
    accepted = await Caches(*many(1)).ask(
        headers={"x-bt-use-cache": upper["headers"]["x-bt-use-cache"]}
    )
    assert accepted.status == 200


async def stream_replay(scenario: Case) -> None:
    caches = Caches(streamed(*FRAMES), *many(1))
    first, again, other = scenario.steps
    miss = await caches.ask(asked=question(stream=True))
    assert told(miss) == first["observe"]["x-bt-cached"]
    assert miss.headers["cache-control"] == first["observe"]["cache-control"]
    hit = await caches.ask(asked=question(stream=True))
    assert told(hit) == again["observe"]["x-bt-cached"]
    assert hit.headers["content-type"].startswith(again["observe"]["content-type"])
    assert hit.body == miss.body
    assert told(await caches.ask(asked=question(stream=False))) == other["observe"]["x-bt-cached"]


async def errors_not_kept(scenario: Case) -> None:
    caches = Caches(whole(b'{"error":{"message":"no"}}', status=400))
    answer = await caches.ask()
    observed = scenario.steps[0]["observe"]
    assert (answer.status, caches.kept) == (observed["status"], observed["stored_entries"])
    assert {"cache-control", "age"}.isdisjoint(answer.headers)


async def outage(scenario: Case) -> None:
    assert scenario.target["all"].startswith("serve from upstream")
    for operation in ("get", "put"):
        caches = Caches(*many(1))
        caches.store.trouble[operation] = StoreError("It sleeps.")
        answer = await caches.ask()
        assert (answer.status, answer.body) == (200, COMPLETION), operation
        assert caches.log.lines, operation
    caches = Caches(*many(1))
    caches.store.pause["put"] = asyncio.Event()
    exchange = start(caches.app, body=question(), headers=AUTH)
    await asyncio.sleep(0.1)
    assert exchange.finished
    assert not exchange.task.done()
    caches.store.pause["put"].set()
    await exchange.done()


async def tenant_isolation(scenario: Case) -> None:
    assert scenario.steps[0]["observe"]["x-bt-cached"] == "MISS"
    caches = Caches(*many(2))
    await caches.ask(headers={"authorization": "Bearer sk-a"})
    assert told(await caches.ask(headers={"authorization": "Bearer sk-b"})) == "MISS"
    kept = b"".join(row.data + row.pk.encode() for row in caches.store.rows.values())
    for secret in (KEY.encode(), b"sk-a", b"sk-b", COMPLETION[:20]):
        assert secret not in kept


async def set_cookie(scenario: Case) -> None:
    assert scenario.target["set-cookie"] == "never forwarded, never stored"
    headers = {"content-type": "application/json", "set-cookie": "who=me"}
    caches = Caches(*many(1, headers=headers))
    for cached in ("MISS", "HIT"):
        answer = await caches.ask()
        assert (told(answer), "set-cookie" in answer.headers) == (cached, False)


SCENARIOS: Final[dict[str, Scenario]] = {
    "cache-01-auto-hit": auto_hit,
    "cache-02-auto-eligibility": auto_eligibility,
    "cache-03-key-is-raw-body": canonical_key,
    "cache-04-cache-control": cache_control,
    "cache-05-ttl-header": ttl_header,
    "cache-06-bad-mode": bad_mode,
    "cache-07-stream-replay": stream_replay,
    "cache-09-errors-not-cached": errors_not_kept,
    "cache-10-cache-outage": outage,
    "cache-11-tenant-isolation": tenant_isolation,
    "cache-13-set-cookie": set_cookie,
}


@pytest.mark.parametrize("name", SCENARIOS)
async def test_the_scenario_is_as_it_should_be(name: str) -> None:
    await SCENARIOS[name](cases()[name])


def test_every_scenario_of_the_cache_is_played() -> None:
    assert {name for name in cases() if name.startswith("cache-")} == set(SCENARIOS)
