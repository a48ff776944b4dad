"""The stream that goes to the Runtime API, alone and through the real awslambdaric."""

import asyncio
import base64
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from handlers import lambda_stream
from handlers.lambda_stream import CONTENT_TYPE, Stream
from tests import events, lambda_host, processes
from tests.handlers import runtimes
from tests.handlers.gate import gate
from tests.handlers.lambda_apps import SECRET
from tests.lambda_host import Invocation, RuntimeApi

ENTRY = "tests.handlers.lambda_entry.handler"
GAP = 0.1

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="awslambdaric is not made for Windows."
)


def breaking() -> Iterator[bytes]:
    yield b"a"
    raise KeyError(SECRET)


def head_of(prelude: bytes) -> Any:
    return msgspec.json.decode(prelude.removesuffix(bytes(8)))


def test_the_prelude_is_json_and_eight_nul_bytes() -> None:
    prelude = lambda_stream.prelude(201, [(b"Content-Type", b"text/plain")])
    assert prelude.endswith(b"}" + bytes(8))
    assert head_of(prelude) == {
        "statusCode": 201,
        "headers": {"content-type": "text/plain"},
        "multiValueHeaders": {},
    }


def test_repeated_headers_stay_apart() -> None:
    cookies = [(b"set-cookie", b"a=1"), (b"vary", b"origin"), (b"Set-Cookie", b"b=2")]
    head = head_of(lambda_stream.prelude(200, cookies))
    assert head["multiValueHeaders"] == {"set-cookie": ["a=1", "b=2"]}
    assert head["headers"] == {"vary": "origin"}


def test_headers_of_our_own_framing_stay_here() -> None:
    headers = [(b"content-length", b"2"), (b"connection", b"close"), (b"x-a", b"\xe9")]
    assert head_of(lambda_stream.prelude(200, headers))["headers"] == {"x-a": "é"}


def test_each_chunk_is_one_frame_and_an_empty_one_does_not_end_the_body() -> None:
    frames = list(Stream(200, [], [b"a", b"", b"b" * 16]).frames())
    assert frames[1:] == [b"1\r\na\r\n", b"10\r\n" + b"b" * 16 + b"\r\n", b"0\r\n\r\n"]


def test_an_error_after_the_head_is_told_in_trailers_without_its_text() -> None:
    *_, chunk, last = Stream(200, [], breaking()).frames()
    assert chunk == b"1\r\na\r\n"
    zero, kind, body, *rest = last.split(b"\r\n")
    assert (zero, kind, rest) == (
        b"0",
        b"Lambda-Runtime-Function-Error-Type: Runtime.KeyError",
        [b"", b""],
    )
    report = base64.b64decode(body.removeprefix(b"Lambda-Runtime-Function-Error-Body: "))
    assert msgspec.json.decode(report)["errorType"] == "KeyError"
    assert SECRET.encode() not in report


class FakeMarshaller:
    known = "as before"

    def marshal_response(self, response: object) -> tuple[object, str]:
        return response, "application/json"


def fake_client(name: str, **members: Any) -> ModuleType:
    module = ModuleType("fake_client")
    module.__dict__[name] = type(name, (), members)
    return module


def whole_post(client: Any, *args: Any, **named: Any) -> Any:
    assert client.marshaller
    return "whole", args, named


@pytest.mark.parametrize("name", ["BaseLambdaRuntimeClient", "LambdaRuntimeClient"])
def test_what_is_no_stream_passes_the_seams_untouched(name: str) -> None:
    module = fake_client(name, marshaller=FakeMarshaller(), post_invocation_result=whole_post)
    assert lambda_stream.install(module)
    client = getattr(module, name)()
    assert client.marshaller.known == "as before"
    assert client.marshaller.marshal_response({"a": 1}) == ({"a": 1}, "application/json")
    assert client.post_invocation_result("id", b"{}", "application/json", None) == (
        "whole",
        ("id", b"{}", "application/json", None),
        {},
    )


@pytest.mark.parametrize(
    "module",
    [
        ModuleType("empty"),
        fake_client("LambdaRuntimeClient", post_invocation_result=whole_post),
        fake_client("LambdaRuntimeClient", marshaller=FakeMarshaller()),
        fake_client("LambdaRuntimeClient", marshaller=object(), post_invocation_result=whole_post),
    ],
)
def test_where_a_seam_is_missing_nothing_is_changed(module: ModuleType) -> None:
    before = {name: dict(vars(kind)) for name, kind in vars(module).items() if name[0] == "L"}
    assert not lambda_stream.install(module)
    after = {name: dict(vars(kind)) for name, kind in vars(module).items() if name[0] == "L"}
    assert before == after


def posting_client() -> Any:
    module = fake_client(
        "LambdaRuntimeClient", marshaller=FakeMarshaller(), post_invocation_result=whole_post
    )
    assert lambda_stream.install(module)
    return module.LambdaRuntimeClient()


@pytest.mark.parametrize("by_name", [True, False])
async def test_a_stream_is_posted_with_the_id_of_its_invocation(by_name: bool) -> None:
    client = posting_client()
    closed: list[bool] = []
    stream, kind = client.marshaller.marshal_response(
        Stream(200, [], [b"\0\xff", b"b"], lambda: closed.append(True))
    )
    async with RuntimeApi().listening() as api:
        invocation = api.invoke({})
        client.lambda_runtime_address = api.address
        rest, named = ((), {"invocation_id": "i"}) if by_name else (("i",), {})
        await asyncio.to_thread(
            client.post_invocation_result, invocation.id, stream, kind, *rest, **named
        )
    assert [piece for _, piece in invocation.pieces[1:]] == [b"\0\xff", b"b"]
    assert invocation.headers["content-type"] == CONTENT_TYPE
    assert invocation.headers["lambda-runtime-function-response-mode"] == "streaming"
    assert invocation.headers["lambda-runtime-invocation-id"] == "i"
    assert invocation.trailers == {}
    assert closed == [True]


async def test_the_environment_names_the_runtime_api_where_the_client_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with RuntimeApi().listening() as api:
        monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", api.address)
        invocation = api.invoke({})
        post = posting_client().post_invocation_result
        await asyncio.to_thread(post, invocation.id, Stream(200, [], [b"a"]))
    assert invocation.content == b"a"


async def test_a_refusal_of_the_runtime_api_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with RuntimeApi().listening() as api:
        await asyncio.to_thread(lambda_stream.post, api.address, "x/y/z", None, Stream(200, [], []))
    assert "answered 404" in caplog.text


def test_where_nobody_listens_the_stream_is_closed_and_the_runtime_goes_on() -> None:
    closed: list[bool] = []
    stream = Stream(200, [], [b"a"], lambda: closed.append(True))
    lambda_stream.post(f"{processes.HOST}:{processes.free_port()}", "id", None, stream)
    assert closed == [True]


def gaps(invocation: Invocation) -> list[float]:
    times = [at for at, piece in invocation.pieces if piece]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


async def _sees_chunks_live(host: RuntimeApi) -> None:
    drip = await host.invoke(events.get("/drip", n=4, gap=GAP)).result()
    assert drip.outcome == "response"
    assert drip.head["headers"] == {"content-type": "text/event-stream"}
    assert [piece for _, piece in drip.pieces[1:]] == [b"data: %d\n\n" % n for n in range(4)]
    # Late is normal on a busy machine; early would mean that they came together.
    assert sum(gaps(drip)[1:]) > 3 * GAP * 0.5
    assert drip.trailers == {}


async def _is_in_step_with_its_producer(host: RuntimeApi) -> None:
    """A chunk arrives although the next one does not exist yet."""
    async with gate() as it:
        gated = host.invoke(events.get("/gated", port=it.port))
        for number in range(3):
            await it.pass_on(b"%d\n" % number)
            await gated.arrived(number + 2)
        await it.shut()
        await gated.result()
        assert gated.content == b"0\n1\n2\n"
        assert await it.last_words == b""


async def _cancels_what_nobody_hears(host: RuntimeApi) -> None:
    async with gate() as it:
        gone = host.invoke(events.get("/gated", port=it.port), hang_up_after=2)
        await it.pass_on(b"heard\n")
        await gone.result()
        # The connection is cut. The runtime learns it by writing; the first write may succeed.
        while not it.last_words.done():
            await it.pass_on(b"unheard\n")
            await asyncio.sleep(0.02)
        assert await it.last_words == b"cancelled"


async def _tells_what_broke(host: RuntimeApi) -> None:
    broken = await host.invoke(events.get("/breaks")).result()
    assert (broken.outcome, broken.content) == ("response", b"so far")
    assert broken.trailers["lambda-runtime-function-error-type"] == "Runtime.ValueError"
    assert broken.trailing_error["errorType"] == "ValueError"


async def _keeps_its_app(host: RuntimeApi) -> None:
    state = msgspec.json.decode((await host.invoke(events.get("/state")).result()).content)
    assert state["instance"] == 1
    assert state["same_loop"] is True
    assert state["events"] == ["startup", "drip", "gated", "gated", "breaks", "state"]


@pytest.mark.parametrize("version", runtimes.VERSIONS)
async def test_each_awslambdaric_streams_live_and_survives_what_goes_wrong(
    version: str, tmp_path: Path
) -> None:
    folder = runtimes.folder(version)
    async with lambda_host.running(ENTRY, tmp_path, awslambdaric=folder) as host:
        await _sees_chunks_live(host)
        await _is_in_step_with_its_producer(host)
        await _cancels_what_nobody_hears(host)
        await _tells_what_broke(host)
        await _keeps_its_app(host)
        whole = await host.invoke(events.load("http_v2_post")).result()
        assert (whole.outcome, whole.answer["statusCode"]) == ("response", 200)
    assert SECRET not in host.printed


@pytest.mark.parametrize("version", runtimes.WITH_SNAPSTART)
async def test_each_awslambdaric_restores_a_snapshot_with_a_new_loop_and_app(
    version: str, tmp_path: Path
) -> None:
    folder = runtimes.folder(version)
    snapstart = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
    async with lambda_host.running(
        ENTRY, tmp_path, awslambdaric=folder, environment=snapstart
    ) as host:
        state = msgspec.json.decode((await host.invoke(events.get("/state")).result()).content)
        drip = await host.invoke(events.get("/drip", n=2, gap=0)).result()
    assert [path.removeprefix("/2018-06-01/runtime") for path in host.calls[:2]] == [
        "/restore/next",
        "/invocation/next",
    ]
    # The first one answered a health check before the snapshot, and was shut down.
    assert state == {"instance": 2, "same_loop": True, "events": ["startup", "state"]}
    assert drip.content == b"data: 0\n\ndata: 1\n\n"
