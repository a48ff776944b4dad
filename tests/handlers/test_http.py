"""The Lambda entry: events in, streams or whole answers out."""

import base64
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

import handlers.http
from handlers.http import CHUNKS_AHEAD, Answer, Entry, UnfinishedResponseError, serve
from handlers.lambda_stream import Stream, prelude
from tests import events, lambda_host
from tests.handlers.gate import gate
from tests.handlers.lambda_apps import BINARY, SECRET, Paths

CHAT = (
    b'{"model":"demo-echo","messages":[{"role":"user","content":"hello live world"}],"stream":true}'
)
NOT_REST = ["http_v2_post", "function_url_post", "alb_post"]

posix = pytest.mark.skipif(sys.platform == "win32", reason="awslambdaric is not for Windows.")


class Context:
    """As much of Lambda's context as an app may ask for."""

    def get_remaining_time_in_millis(self) -> int:
        return 1234


class Apps:
    """Builds apps, and knows them all."""

    def __init__(self) -> None:
        self.built: list[Paths] = []

    def __call__(self) -> Paths:
        self.built.append(Paths())
        return self.built[-1]

    @property
    def events(self) -> list[str]:
        return self.built[-1].events


MakeEntry = Callable[..., Entry]


@pytest.fixture
def apps() -> Apps:
    return Apps()


@pytest.fixture
def make_entry(apps: Apps) -> Iterator[MakeEntry]:
    made: list[Entry] = []

    def make(*, streaming: bool = True, seams: bool = True, linger_s: float = 5.0) -> Entry:
        made.append(Entry(apps, streaming=streaming, seams=seams, linger_s=linger_s))
        return made[-1]

    yield make
    for entry in made:
        entry.stop()


@pytest.fixture
def entry(make_entry: MakeEntry) -> Entry:
    return make_entry()


def drain(answer: Answer) -> bytes:
    assert isinstance(answer, Stream)
    try:
        return b"".join(answer.body)
    finally:
        answer.close()


def ask(entry: Entry, path: str) -> tuple[int, dict[bytes, bytes], bytes]:
    answer = entry(events.get(path), Context())
    assert isinstance(answer, Stream)
    return answer.status, dict(answer.headers), drain(answer)


def plain(answer: Answer) -> dict[str, Any]:
    assert isinstance(answer, dict)
    return answer


def told(entry: Entry, event: dict[str, Any]) -> Any:
    """What the app heard of an event."""
    answer = entry(event, Context())
    return msgspec.json.decode(
        drain(answer) if isinstance(answer, Stream) else plain(answer)["body"]
    )


def error_of(body: bytes | str) -> Any:
    error = msgspec.json.decode(body)["error"]
    assert SECRET not in error["message"]
    return error


def test_a_rest_event_is_streamed_with_its_head(entry: Entry) -> None:
    status, headers, body = ask(entry, "/binary")
    assert (status, headers[b"content-type"]) == (200, b"application/octet-stream")
    assert body == BINARY


def test_cookies_of_a_stream_stay_apart(entry: Entry) -> None:
    answer = entry(events.get("/binary"), Context())
    assert isinstance(answer, Stream)
    assert [value for name, value in answer.headers if name == b"set-cookie"] == [
        b"a=1",
        b"b=2; Path=/",
    ]
    drain(answer)


@pytest.mark.parametrize("name", ["rest_post", *NOT_REST])
def test_every_kind_of_event_brings_the_same_request(entry: Entry, name: str) -> None:
    heard = told(entry, events.load(name))
    headers = dict(heard["headers"])
    assert (heard["method"], heard["path"]) == ("POST", "/v1/chat/completions")
    assert heard["raw_path"] == base64.b64encode(b"/v1/chat/completions").decode()
    assert base64.b64decode(heard["body"]) == CHAT
    assert headers["authorization"] == "Bearer demo"
    assert headers["content-type"] == "application/json"
    assert heard["remaining"] == 1234


def test_a_binary_request_body_arrives_as_bytes(entry: Entry) -> None:
    assert base64.b64decode(told(entry, events.load("rest_post_base64"))["body"]) == BINARY


@pytest.mark.parametrize("name", ["rest_get", *NOT_REST])
def test_the_query_is_kept_with_its_repetitions(entry: Entry, name: str) -> None:
    query = told(entry, events.load(name))["query"].replace("%20", "+")
    assert sorted(query.split("&")) == ["after=b+c", "limit=1", "limit=2"]


@pytest.mark.parametrize(
    ("path", "raw_path", "decoded"),
    [
        ("/v1beta/models/gemini:streamGenerateContent", None, None),
        ("/model/arn%3Aaws%2Fx/converse", None, "/model/arn:aws/x/converse"),
        ("/models/ü 100%", "/models/%C3%BC%20100%25", "/models/ü 100%"),
        ("", "/", "/"),
    ],
)
def test_the_raw_path_keeps_what_was_escaped_and_escapes_the_rest(
    entry: Entry, path: str, raw_path: str | None, decoded: str | None
) -> None:
    heard = told(entry, events.load("rest_get", path=path))
    assert base64.b64decode(heard["raw_path"]).decode() == (raw_path or path)
    assert heard["path"] == (decoded or path)


@pytest.mark.parametrize("name", NOT_REST)
def test_what_cannot_stream_gets_a_whole_proxy_answer(entry: Entry, name: str) -> None:
    answer = plain(entry(events.load(name), Context()))
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)


def test_an_http_api_with_the_old_payload_is_not_streamed(entry: Entry) -> None:
    assert plain(entry(events.load("rest_post", version="1.0"), Context()))["statusCode"] == 200


def test_a_whole_binary_answer_is_encoded_and_keeps_its_cookies(make_entry: MakeEntry) -> None:
    answer = plain(make_entry(streaming=False)(events.get("/binary"), Context()))
    assert (answer["isBase64Encoded"], base64.b64decode(answer["body"])) == (True, BINARY)
    assert answer["multiValueHeaders"]["set-cookie"] == ["a=1", "b=2; Path=/"]


def test_a_latin_1_header_survives_mangum(make_entry: MakeEntry) -> None:
    answer = plain(make_entry(streaming=False)(events.get("/latin"), Context()))
    assert answer["headers"]["x-name"] == "café"


def test_without_the_seams_the_same_bytes_come_whole(make_entry: MakeEntry) -> None:
    answer = make_entry(seams=False)(events.get("/binary"), Context())
    assert isinstance(answer, bytes)
    head, nul, body = answer.partition(bytes(8))
    assert (body, nul) == (BINARY, bytes(8))
    assert msgspec.json.decode(head)["statusCode"] == 200


@pytest.mark.parametrize("path", ["/fails", "/silent", "/headless"])
def test_a_failure_before_the_head_is_a_clear_500(
    entry: Entry, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    status, headers, body = ask(entry, path)
    assert (status, headers) == (500, {b"content-type": b"application/json"})
    assert {"type": "server_error", "param": None, "code": None}.items() <= error_of(body).items()
    assert SECRET not in caplog.text
    assert ask(entry, "/binary")[2] == BINARY


def test_the_log_says_where_the_app_failed(entry: Entry, caplog: pytest.LogCaptureFixture) -> None:
    ask(entry, "/fails")
    assert "The app failed: ValueError" in caplog.text
    assert "in fails" in caplog.text


@pytest.mark.parametrize("path", ["/breaks", "/half", "/suicidal"])
def test_a_failure_after_the_head_of_a_whole_answer_is_still_a_500(
    make_entry: MakeEntry, path: str
) -> None:
    buffered = plain(make_entry(streaming=False)(events.get(path), Context()))
    assert (buffered["statusCode"], error_of(buffered["body"])["type"]) == (500, "server_error")
    fallback = make_entry(seams=False)(events.get(path), Context())
    assert isinstance(fallback, bytes)
    assert fallback.startswith(prelude(500, [(b"content-type", b"application/json")]))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/breaks", ValueError),
        ("/half", UnfinishedResponseError),
        ("/suicidal", UnfinishedResponseError),
    ],
)
def test_a_failure_after_the_head_of_a_stream_breaks_it(
    entry: Entry, path: str, kind: type[Exception]
) -> None:
    answer = entry(events.get(path), Context())
    assert isinstance(answer, Stream)
    with pytest.raises(kind):
        drain(answer)


def test_the_app_hears_of_the_end_only_after_it_has_answered(entry: Entry, apps: Apps) -> None:
    assert ask(entry, "/listening")[2] == b"ok"
    assert apps.events[-2:] == ["disconnected early: False", "http.disconnect"]


def test_work_after_the_last_byte_is_finished_before_the_next_event(
    entry: Entry, apps: Apps
) -> None:
    assert ask(entry, "/late")[2] == b"ok"
    assert apps.events[-1] == "late work"


def test_work_that_never_ends_is_cancelled(make_entry: MakeEntry, apps: Apps) -> None:
    assert ask(make_entry(linger_s=0.05), "/stuck")[2] == b"ok"
    assert apps.events[-1] == "cancelled at last"


def test_the_app_does_not_run_ahead_of_a_slow_reader(entry: Entry, apps: Apps) -> None:
    answer = entry(events.get("/eager"), Context())
    assert isinstance(answer, Stream)
    chunks = iter(answer.body)
    next(chunks)
    assert sum(event.startswith("sent") for event in apps.events) <= CHUNKS_AHEAD + 3
    assert b"".join(chunks) == b"x" * 99
    answer.close()


def test_one_app_on_one_loop_serves_all_events(entry: Entry, apps: Apps) -> None:
    ask(entry, "/binary")
    state = msgspec.json.decode(ask(entry, "/state")[2])
    assert state["same_loop"] is True
    assert state["events"] == ["startup", "binary", "state"]
    assert len(apps.built) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"multiValueHeaders": {"Host": ["[::1]:3000"]}},
        {"body": "a", "isBase64Encoded": True},
    ],
)
def test_an_event_that_cannot_be_read_is_a_400(
    make_entry: MakeEntry, changes: dict[str, Any]
) -> None:
    event = events.load("rest_post", **changes)
    stream = make_entry()(event, Context())
    assert isinstance(stream, Stream)
    assert stream.status == 400
    assert error_of(drain(stream))["type"] == "invalid_request_error"
    fallback = make_entry(seams=False)(event, Context())
    assert isinstance(fallback, bytes)
    assert fallback.startswith(b'{"statusCode":400')
    whole = plain(make_entry(streaming=False)(event, Context()))
    assert (whole["statusCode"], error_of(whole["body"])["type"]) == (400, "invalid_request_error")


def test_an_event_that_is_no_request_is_an_error_of_the_function(entry: Entry) -> None:
    with pytest.raises(RuntimeError, match="infer"):
        entry({"source": "aws.events"}, Context())


def test_an_app_that_cannot_start_leaves_no_loop_open() -> None:
    class Broken(Paths):
        async def startup(self) -> None:
            raise ValueError(SECRET)

    entry = Entry(Broken, streaming=True, seams=True)
    with pytest.raises(ValueError, match=SECRET):
        entry.start()
    entry.stop()


def test_a_snapshot_holds_no_loop_and_a_restore_makes_a_new_one(apps: Apps, entry: Entry) -> None:
    entry.before_snapshot()
    assert apps.built[0].events == ["startup", "health", "shutdown"]
    assert apps.built[0].loops[0].is_closed()
    entry.after_restore()
    assert ask(entry, "/binary")[2] == BINARY
    assert apps.built[1].events == ["startup", "binary"]


@pytest.mark.parametrize("environment", [{"AWS_SAM_LOCAL": "true"}, {"CUTWATER_STREAMING": "off"}])
def test_a_deployment_that_cannot_stream_answers_whole(
    apps: Apps, environment: Mapping[str, str]
) -> None:
    entry = serve(apps, environment)
    assert plain(entry(events.get("/binary"), Context()))["statusCode"] == 200
    entry.stop()


def test_outside_lambda_nothing_starts_before_the_first_event(apps: Apps) -> None:
    serve(apps, {}).stop()
    assert apps.built == []


def test_in_lambda_the_app_starts_while_initialising(apps: Apps) -> None:
    entry = serve(apps, {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9"})
    assert apps.events == ["startup"]
    entry.stop()


def test_a_runtime_without_snapshot_hooks_starts_the_app_with_the_first_event(
    apps: Apps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", None)
    entry = serve(apps, {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"})
    assert apps.built == []
    assert plain(entry(events.load("alb_post"), Context()))["statusCode"] == 200
    entry.stop()


def test_the_runtime_finds_the_handler_by_its_name() -> None:
    assert isinstance(handlers.http.handler, Entry)
    assert handlers.http.handler is handlers.http.handler
    with pytest.raises(AttributeError, match="no attribute 'handle'"):
        _ = handlers.http.handle


@posix
async def test_without_the_seams_the_runtime_posts_the_bytes_as_they_are(tmp_path: Path) -> None:
    name = "tests.handlers.lambda_entry.without_seams"
    async with lambda_host.running(name, tmp_path) as host:
        answer = await host.invoke(events.get("/binary")).result()
    assert (answer.outcome, answer.content) == ("response", BINARY)
    assert answer.head["multiValueHeaders"] == {"set-cookie": ["a=1", "b=2; Path=/"]}
    assert "transfer-encoding" not in answer.headers or len(answer.pieces) == 1


@posix
async def test_several_requests_at_once_are_served_by_processes_of_their_own(
    tmp_path: Path,
) -> None:
    at_once = {"AWS_LAMBDA_MAX_CONCURRENCY": "2"}
    name = "tests.handlers.lambda_entry.handler"
    host_running = lambda_host.running(name, tmp_path, environment=at_once)
    async with host_running as host, gate() as one, gate() as other:
        both = [host.invoke(events.get("/gated", port=it.port)) for it in (one, other)]
        for it, invocation in zip((one, other), both, strict=True):
            await it.pass_on(b"hello\n")
            await invocation.arrived(2)
        # Both have begun, and neither is over.
        for it, invocation in zip((one, other), both, strict=True):
            await it.shut()
            assert (await invocation.result()).content == b"hello\n"


@posix
async def test_an_unbuildable_app_is_reported_while_initialising(tmp_path: Path) -> None:
    wrong = {"CUTWATER_ORG_FILES": str(tmp_path / "absent.json")}
    async with lambda_host.running("handlers.http.handler", tmp_path, environment=wrong) as host:
        await host.initialised()
    assert host.init_error["errorType"] == "SettingsError"


@posix
async def test_the_real_app_streams_the_demo_live(tmp_path: Path) -> None:
    async with lambda_host.running("handlers.http.handler", tmp_path) as host:
        answer = await host.invoke(events.load("rest_post")).result()
        whole = await host.invoke(events.load("http_v2_post")).result()
    assert answer.head["statusCode"] == 200
    assert answer.head["headers"]["content-type"].startswith("text/event-stream")
    assert len(answer.pieces) > 4
    assert answer.content.rstrip().endswith(b"data: [DONE]")
    text = b"hello", b"live", b"world"
    assert all(word in answer.content for word in text)
    assert whole.answer["statusCode"] == 200
    assert whole.answer["body"].rstrip().endswith("data: [DONE]")
