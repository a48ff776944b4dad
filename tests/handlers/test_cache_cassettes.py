"""Cassettes: recorded once, replayed without a provider."""

import pytest

from core.ports import StoreError
from tests.fakes import FakeUpstream
from tests.handlers.caches import (
    COMPLETION,
    RECORD,
    REPLAY,
    Caches,
    question,
    streamed,
    told,
    whole,
)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cassette_answers_without_a_provider(stream: bool) -> None:
    caches = Caches(streamed() if stream else whole())
    asked = question(stream=stream, temperature=0.9)
    first = await caches.ask(asked=asked, headers=RECORD)
    caches.clock.time += 10**9
    second = await caches.ask(asked=asked, headers=REPLAY)
    assert first.body == second.body
    assert told(second)[0] == "HIT"
    assert caches.calls == 1
    assert told(await caches.ask(asked=asked, headers=REPLAY))[0] == "HIT"


async def test_a_recording_again_takes_the_place_of_the_first() -> None:
    caches = Caches(whole(), whole(COMPLETION.replace(b"Hi", b"Ho")))
    for _ in range(2):
        await caches.ask(headers=RECORD)
    assert b"Ho" in (await caches.ask(headers=REPLAY)).body
    assert caches.calls == 2


async def test_what_a_cassette_does_not_hold_is_a_clear_error_and_no_call() -> None:
    caches = Caches(whole())
    await caches.ask(headers=RECORD)
    for asked, headers in (
        (question(seed=3), REPLAY),
        (question(), {**REPLAY, "x-bt-cassette": "other"}),
        (question(), {**REPLAY, "authorization": "Bearer sk-other-0123456789abcdef"}),
    ):
        answered = await caches.ask(asked=asked, headers=headers)
        assert answered.status == 404
        assert "holds no answer" in answered.json["error"]["message"]
    assert caches.calls == 1


async def test_a_cassette_that_cannot_be_read_is_an_error_and_no_call() -> None:
    caches = Caches()
    caches.store.trouble["get"] = StoreError("down")
    answered = await caches.ask(headers=REPLAY)
    assert answered.status == 503
    assert caches.calls == 0


@pytest.mark.parametrize("mode", ["record", "replay"])
@pytest.mark.parametrize("name", [None, "", "a/b", "x" * 101])
async def test_a_cassette_needs_a_name(mode: str, name: str | None) -> None:
    headers = {"x-bt-use-cache": mode} | ({} if name is None else {"x-bt-cassette": name})
    answered = await Caches().ask(headers=headers)
    assert answered.status == 400
    assert "x-bt-cassette" in answered.json["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/images/generations"), ("GET", "/v1/files"), ("POST", "/v1/audio/speech")],
)
async def test_a_replay_asks_no_provider_at_any_route(method: str, path: str) -> None:
    caches = Caches()
    answered = await caches.ask(path, b"{}", REPLAY, method=method)
    assert answered.status == 400
    assert caches.calls == 0


async def test_a_replay_without_a_table_is_an_error() -> None:
    caches = Caches(store=None)
    for headers in (RECORD, REPLAY):
        assert (await caches.ask(headers=headers)).status == 400
    assert isinstance(caches.upstream, FakeUpstream)
    assert caches.calls == 0


async def test_a_large_recording_leaves_nothing_of_the_one_before_it() -> None:
    def large(letter: str) -> bytes:
        noise = "".join(f"{(i * 2654435761) % 2**32:08x}{letter}" for i in range(150_000))
        return COMPLETION.replace(b'"Hi"', b'"%s"' % noise.encode())

    caches = Caches(whole(large("a")), whole(large("b")), whole())
    await caches.ask(headers=RECORD)
    rows = len(caches.store.rows)
    assert rows > 1
    await caches.ask(headers=RECORD)
    assert len(caches.store.rows) == rows
    assert (await caches.ask(headers=REPLAY)).body == large("b")
    await caches.ask(headers=RECORD)
    assert len(caches.store.rows) == 1
