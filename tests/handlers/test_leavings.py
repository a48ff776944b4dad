"""What a request leaves behind: nothing that only the garbage collector would find.

A process that runs for months collects rarely; an error that is kept with its traceback keeps
the frames, and with them the request, the answer and the connection.
"""

import asyncio
import gc
from collections import Counter
from typing import Any

import pytest

from core.errors import CutwaterError, UpstreamError
from tests.asgi_driver import start
from tests.fakes import FakeClock, Reply, application, openai_endpoint, org, stream
from tests.handlers.caches import AUTH, COMPLETION, FRAMES, question

PLAYS: dict[str, list[Any]] = {
    "answered": [Reply(COMPLETION)],
    "refused, then answered": [Reply(b"{}", status=500), Reply(COMPLETION)],
    "reset, then answered": [UpstreamError("It was reset."), Reply(COMPLETION)],
    "cut before the first token": [stream(UpstreamError("It was cut.")), stream(*FRAMES)],
    "cut after the first token": [stream(*FRAMES[:2], UpstreamError("It was cut."))],
    "no JSON": [Reply(b"<html>"), Reply(b"<html>"), Reply(b"<html>")],
    "none answers": [UpstreamError("It was reset.") for _ in range(9)],
}


class Upstream:
    """Answers with the play's replies in turn, and keeps nothing."""

    def __init__(self, replies: list[Any]) -> None:
        self._replies, self._next = replies, 0

    def send(self, _request: Any) -> "Upstream":
        return self

    async def __aenter__(self) -> Any:
        reply = self._replies[self._next % len(self._replies)]
        self._next += 1
        if isinstance(reply, CutwaterError):
            raise type(reply)(reply.message)
        steps = [type(s)(s.message) if isinstance(s, CutwaterError) else s for s in reply.steps]
        return Reply(*steps, status=reply.status, headers=reply.headers)

    async def __aexit__(self, *_: object) -> None:
        return None

    async def close(self) -> None:
        return None


@pytest.mark.parametrize("play", PLAYS)
async def test_a_request_leaves_no_cycles(play: str):
    endpoints = [openai_endpoint(name=name) for name in ("one", "two")]
    of = org(endpoints=endpoints, retry={"max_attempts": 3})
    clock = FakeClock()

    async def nap(seconds: float) -> None:
        clock.time += seconds

    upstream: Any = Upstream(PLAYS[play])
    app, _ = application(upstream, of, clock=clock, sleep=nap)
    asked = question(temperature=1, stream="token" in play)

    async def once() -> None:
        clock.time += 3600  # What the last one met is forgotten.
        await start(app, body=asked, headers=AUTH).done()
        await asyncio.sleep(0)

    await once()
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            await once()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = Counter(type(one).__name__ for one in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left["frame"] + left["traceback"] == 0, left
    assert left["Exchange"] == 0, left
