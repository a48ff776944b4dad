"""A process works on so many requests at once, and refuses what it cannot even queue."""

import asyncio
import http.client
import signal
from pathlib import Path

import msgspec
import pytest

from handlers.crowd import Crowd
from tests import processes
from tests.asgi_driver import start
from tests.fakes import FakeUpstream, Reply, application
from tests.handlers.caches import AUTH, COMPLETION, question

ASKED = question(temperature=1)


async def test_others_wait_for_their_turn_and_more_are_refused_in_the_clients_format():
    gate = asyncio.Event()
    app, _ = application(
        FakeUpstream(Reply(gate, COMPLETION), Reply(COMPLETION), Reply(COMPLETION)),
        crowd=Crowd(1, 1),
    )
    first = start(app, body=ASKED, headers=AUTH)
    await asyncio.sleep(0.02)
    second = start(app, body=ASKED, headers=AUTH)
    await asyncio.sleep(0.02)
    third = start(app, "/v1/messages", body=ASKED | {"max_tokens": 9}, headers=AUTH)
    await third.done()
    assert third.status == 429
    assert third.json["error"]["type"] == "rate_limit_error"
    assert third.headers["retry-after"] == "2"
    health = start(app, "/health", method="GET")
    assert (await health.done()).status == 200
    gate.set()
    assert [(await one.done()).status for one in (first, second)] == [200, 200]
    assert (await start(app, body=ASKED, headers=AUTH).done()).status == 200


async def test_who_leaves_the_queue_takes_no_place():
    crowd = Crowd(1, 5)
    assert crowd.enter()
    assert not crowd.enter()
    left, stays = asyncio.ensure_future(crowd.wait()), asyncio.ensure_future(crowd.wait())
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.sleep(0)
    assert not stays.done()
    crowd.leave()
    await stays
    crowd.leave()
    assert crowd.enter()


async def test_whose_turn_came_as_it_left_gives_it_on():
    crowd = Crowd(1, 5)
    assert crowd.enter()
    left = asyncio.ensure_future(crowd.wait())
    await asyncio.sleep(0)
    crowd.leave()
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    assert crowd.enter()


@pytest.mark.timeout(60)
def test_a_server_that_is_stopped_finishes_its_streams(tmp_path: Path):
    with processes.cutwater(tmp_path, []) as server:
        body = {"model": "demo-slow", "stream": True, "messages": ASKED["messages"]}
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
        headers = {"authorization": "Bearer demo", "content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", msgspec.json.encode(body), headers)
        answer = connection.getresponse()
        said = answer.readline()
        server.process.send_signal(signal.SIGTERM)
        said += answer.read()
        connection.close()
        assert said.endswith(b"data: [DONE]\n\n")
        assert server.process.wait(timeout=30) in (0, -signal.SIGTERM)
