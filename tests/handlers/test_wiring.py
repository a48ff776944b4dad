"""Putting it together from files and the environment."""

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.orgs import SettingsError
from core.ports import Outgoing
from handlers import wiring
from infra.clock import SystemClock
from tests.asgi_driver import ask
from tests.fakes import KEY, openai_endpoint, org
from tests.infra.loopback import Connection, provider


def write(folder: Path, name: str, document: Any) -> Path:
    path = folder / name
    path.write_bytes(document if isinstance(document, bytes) else msgspec.json.encode(document))
    return path


def test_several_files_are_several_organisations(tmp_path: Path):
    paths = [write(tmp_path, f"{n}.json", {"name": n}) for n in ("a", "b")]
    assert [*wiring.read_orgs(paths)] == ["a", "b"]
    assert wiring.read_orgs([]) == {}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"name": "a", "endpoint": []}, "unknown field `endpoint`"),
        ({"name": "a", "endpoints": [{"type": "opnai"}]}, "at `$.endpoints[0].type`"),
        (b"{", "not JSON"),
    ],
)
def test_a_wrong_file_is_named_with_the_place(tmp_path: Path, document: Any, words: str):
    good, bad = write(tmp_path, "good.json", {"name": "g"}), write(tmp_path, "bad.json", document)
    with pytest.raises(SettingsError) as caught:
        wiring.read_orgs([good, bad])
    assert str(caught.value).startswith(f"{bad}: ")
    assert words in str(caught.value)


def test_two_files_of_one_name_are_refused(tmp_path: Path):
    paths = [write(tmp_path, f"{n}.json", {"name": "same"}) for n in ("one", "two")]
    with pytest.raises(SettingsError, match=r"two\.json: a second organisation named `same`"):
        wiring.read_orgs(paths)


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str):
    with pytest.raises(SettingsError) as caught:
        wiring.read_orgs([tmp_path / name])
    assert str(caught.value).startswith(str(tmp_path / name) + ": ")


BODY = {"model": "demo-echo", "messages": [{"role": "user", "content": "hello"}]}


async def test_the_application_reads_its_files_from_the_environment(tmp_path: Path):
    paths = [
        write(tmp_path, f"{n}.json", {"name": n, "keys": [{"name": "k", "key": f"cw_{n * 20}"}]})
        for n in ("a", "b")
    ]
    app = wiring.build({"CUTWATER_ORG_FILES": os.pathsep.join(map(str, paths))})
    for key, status in [("cw_" + "a" * 20, 200), ("cw_" + "b" * 20, 200), (KEY, 401)]:
        answered = await ask(app, body=BODY, headers={"x-api-key": key})
        assert answered.status == status
    assert answered.json["request_id"].startswith("req_")
    await app.shutdown()


@pytest.mark.parametrize(
    ("environment", "status"),
    [
        ({}, 200),
        ({"CUTWATER_PROVIDER_KEYS": "on"}, 200),
        ({"CUTWATER_PROVIDER_KEYS": "off"}, 401),
        ({"CUTWATER_DEMO": "off"}, 404),
    ],
)
async def test_switches_are_read_from_the_environment(environment: dict[str, str], status: int):
    app = wiring.build(environment)
    assert (await ask(app, body=BODY, headers={"x-api-key": "sk-own"})).status == status
    await app.shutdown()


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"CUTWATER_PROVIDER_KEYS": "of"}, "CUTWATER_PROVIDER_KEYS"),
        ({"CUTWATER_PROVIDER_KEYS": "false"}, "CUTWATER_PROVIDER_KEYS"),
        ({"CUTWATER_DEMO": "no"}, "CUTWATER_DEMO"),
    ],
)
def test_a_switch_that_is_neither_on_nor_off_is_refused(environment: dict[str, str], name: str):
    with pytest.raises(SettingsError, match=f"{name} is `on` or `off`"):
        wiring.build(environment)


async def test_requests_go_to_the_network_and_the_demos_to_its_script():
    asked: list[bytes] = []

    async def script(connection: Connection) -> None:
        asked.append((await connection.request())[0])
        await connection.say(b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{"choices":[]}')

    async with provider(script) as server:
        settings = org(endpoints=[openai_endpoint(metadata={"api_base": server.url})])
        app = wiring.build({}, {"acme": settings})
        headers = {"x-api-key": KEY}
        real = await ask(app, body={**BODY, "model": "gpt-4o"}, headers=headers)
        assert real.body == b'{"choices":[]}'
        assert (await ask(app, body=BODY, headers=headers)).status == 200
        await app.shutdown()
        await app.shutdown()
    assert [head.split(b"\r\n")[0] for head in asked] == [b"POST /chat/completions HTTP/1.1"]


GEMINI_SAYS = b'{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}]}'


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"CUTWATER_FETCH_MEDIA": "any"}, None),
        ({"CUTWATER_FETCH_MEDIA": "public"}, "leads to an address that is not public"),
        ({"CUTWATER_FETCH_MEDIA": ""}, "leads to an address that is not public"),
        ({}, "leads to an address that is not public"),
        ({"CUTWATER_FETCH_MEDIA": "off"}, "is not fetched by this deployment"),
    ],
)
async def test_a_deployment_says_which_addresses_media_are_fetched_from(
    setting: dict[str, str], said: str | None
):
    async def script(connection: Connection) -> None:
        head, _ = await connection.request()
        answer = b"GIF89a" if head.startswith(b"GET") else GEMINI_SAYS
        length = b"content-length: %d\r\n\r\n" % len(answer)
        await connection.say(b"HTTP/1.1 200 OK\r\n" + length + answer)

    async with provider(script) as server:
        google = {"type": "google", "secret": "k", "metadata": {"api_base": server.url}}
        app = wiring.build(setting, {"acme": org(endpoints=[google])})
        image = {"type": "image_url", "image_url": {"url": server.url + "/a.gif"}}
        body = {
            "model": "gemini-2.5-flash",
            "messages": [{"role": "user", "content": [image]}],
        }
        for _ in range(2):
            answered = await ask(app, body=body, headers={"x-api-key": KEY})
            if said is None:
                assert answered.status == 200, answered.body
            else:
                assert answered.status == 400
                assert said in answered.json["error"]["message"]
        await app.shutdown()
        assert server.connections == (4 if said is None else 0)


def test_a_word_for_which_addresses_that_is_not_known_is_refused():
    with pytest.raises(SettingsError, match="`public`, `any` or `off`"):
        wiring.build({"CUTWATER_FETCH_MEDIA": "on"})


async def test_the_demo_answers_without_a_network():
    upstreams = wiring.Upstreams(SystemClock(), "any")
    request = Outgoing(
        method="POST",
        url="demo:/chat/completions",
        headers={},
        body=msgspec.json.encode(BODY),
        connect_s=1,
        first_byte_s=1,
        idle_s=1,
        total_s=1,
    )
    async with upstreams.send(request) as reply:
        assert b"hello" in await reply.read()
    await upstreams.close()
    await asyncio.sleep(0)
