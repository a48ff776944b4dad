"""The cache never stands in the way: a store that is down, slow, full or half there."""

import asyncio

import pytest

from core.ports import StoreError
from tests.asgi_driver import start
from tests.fakes import openai_endpoint, org
from tests.handlers.caches import (
    AUTH,
    COMPLETION,
    FRAMES,
    Caches,
    question,
    streamed,
    told,
    whole,
)

TROUBLES = [
    StoreError("BatchGetItem: ThrottlingException"),
    StoreError("disk full"),
    # A bug of the store's own; its words may quote a row.
    RuntimeError("private"),
    ValueError("private"),
]


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("call", ["get", "put"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_store_in_trouble_fails_no_request(
    trouble: Exception, call: str, stream: bool
) -> None:
    caches = Caches(streamed() if stream else whole())
    caches.store.trouble[call] = trouble
    answered = await caches.ask(asked=question(stream=stream))
    assert (answered.status, told(answered)[0]) == (200, "MISS")
    assert answered.body == (b"".join(FRAMES) if stream else COMPLETION)
    event = "cache_read_failed" if call == "get" else "cache_write_failed"
    assert len(caches.logged(event)) == 1
    assert len(caches.log.lines) == 1
    assert "private" not in repr(caches.log.lines)


async def test_a_read_is_given_up_after_a_quarter_of_a_second() -> None:
    caches = Caches(whole())
    caches.store.pause["get"] = asyncio.Event()
    began = asyncio.get_running_loop().time()
    assert (await caches.ask()).status == 200
    assert 0.24 < asyncio.get_running_loop().time() - began < 1.0


async def test_a_read_is_given_up_in_time() -> None:
    settings = [org(endpoints=[openai_endpoint()], cache={"read_s": 0.05})]
    caches = Caches(whole(), settings=settings)
    caches.store.pause["get"] = asyncio.Event()
    began = asyncio.get_running_loop().time()
    answered = await caches.ask()
    assert answered.status == 200
    assert asyncio.get_running_loop().time() - began < 1.0
    assert len(caches.logged("cache_read_failed")) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_the_last_byte_never_waits_for_a_write(stream: bool) -> None:
    caches = Caches(streamed() if stream else whole())
    caches.store.pause["put"] = asyncio.Event()
    exchange = start(caches.app, body=question(stream=stream), headers=AUTH)
    await asyncio.sleep(0.1)
    assert exchange.finished
    assert not exchange.task.done()
    caches.store.pause["put"].set()
    await exchange.done()
    assert caches.kept == 1


async def test_a_large_answer_is_kept_in_pieces_and_one_missing_is_a_miss() -> None:
    noise = "".join(f"{(i * 2654435761) % 2**32:08x}" for i in range(150_000))
    large = COMPLETION.replace(b'"Hi"', b'"%s"' % noise.encode())
    caches = Caches(whole(large), whole(large))
    await caches.ask()
    assert len(caches.store.rows) > 1
    assert (await caches.ask()).body == large
    piece = next(key for key in caches.store.rows if key[1] != "0")
    del caches.store.rows[piece]
    assert told(await caches.ask())[0] == "MISS"
    assert told(await caches.ask())[0] == "HIT"


async def test_of_two_that_write_a_large_answer_at_once_one_is_served_whole() -> None:
    def large(letter: str) -> bytes:
        noise = "".join(f"{(i * 2654435761) % 2**32:08x}{letter}" for i in range(150_000))
        return COMPLETION.replace(b'"Hi"', b'"%s"' % noise.encode())

    caches = Caches(whole(large("a")), whole(large("b")))
    await asyncio.gather(caches.ask(), caches.ask())
    assert caches.calls == 2
    served = await caches.ask()
    assert told(served)[0] == "HIT"
    assert served.body in (large("a"), large("b"))


async def test_an_answer_larger_than_what_is_held_in_memory_reaches_its_client() -> None:
    piece = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % (b"x" * 2**20)
    frames = [*[piece] * 34, *FRAMES[2:]]
    caches = Caches(streamed(*frames))
    answered = await caches.ask(asked=question(stream=True))
    assert answered.body == b"".join(frames)
    [line] = caches.logged("cache_not_kept")
    assert line["reason"] == "too-large"
    assert caches.store.rows == {}
