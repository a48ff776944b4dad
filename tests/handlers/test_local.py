"""`cutwater serve` on this machine: its organisation, its key, and a server that bounds heads."""

import http.client
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from core.orgs import KEY_PREFIX
from handlers import local
from tests import processes

NO_OLLAMA = {"OLLAMA_HOST": "http://127.0.0.1:9"}
BODY = b'{"model":"demo-echo","messages":[{"role":"user","content":"hello"}]}'


# --- The organisation `local` ---------------------------------------------------------------------


def test_the_key_is_drawn_once_and_for_its_owners_eyes_only(tmp_path: Path):
    data = tmp_path / "deep" / "data"
    key = local.local_key(data)
    assert key.startswith(KEY_PREFIX)
    assert len(key) > 32
    assert stat.S_IMODE((data / "local.key").stat().st_mode) == 0o600
    assert local.local_key(data) == key
    assert local.local_key(tmp_path / "other") != key


def test_a_key_file_left_empty_by_a_crash_gets_a_key(tmp_path: Path):
    (tmp_path / "local.key").touch(mode=0o600)
    key = local.local_key(tmp_path)
    assert key.startswith(KEY_PREFIX)
    assert local.local_key(tmp_path) == key


@pytest.mark.parametrize(
    ("environment", "endpoints"),
    [
        ({}, []),
        ({"OPENAI_API_KEY": ""}, []),
        ({"OPENAI_API_KEY": "sk-1"}, [("openai", "openai-local", "sk-1")]),
        ({"OPENAI_API_KEY": " sk-1\n"}, [("openai", "openai-local", "sk-1")]),
        (
            {"ANTHROPIC_API_KEY": "sk-2", "OPENAI_API_KEY": "sk-1"},
            [("openai", "openai-local", "sk-1"), ("anthropic", "anthropic-local", "sk-2")],
        ),
    ],
)
def test_each_provider_key_of_the_environment_is_an_endpoint(
    tmp_path: Path, environment: dict[str, str], endpoints: list[tuple[str, str, str]]
):
    org = local.local_org({**NO_OLLAMA, **environment}, tmp_path)
    assert [(e.type, e.name, e.secret) for e in org.endpoints] == endpoints
    assert (org.name, org.keys[0].key) == ("local", local.local_key(tmp_path))


def test_an_ollama_that_can_be_reached_is_an_endpoint(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        org = local.local_org({"OLLAMA_HOST": address}, tmp_path)
    assert [(e.type, e.secret) for e in org.endpoints] == [("ollama", None)]


@pytest.mark.parametrize(
    "host",
    [
        "http://[::1]:9",
        "http://[::1]",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:port",
        "http://no-such-host.invalid",
        "https://127.0.0.1:9",
        "http://[broken",
    ],
)
def test_an_ollama_host_that_leads_nowhere_is_no_endpoint_and_no_fault(tmp_path: Path, host: str):
    assert local.local_org({"OLLAMA_HOST": host}, tmp_path).endpoints == ()


# --- The server -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Server]:
    with processes.cutwater(tmp_path_factory.mktemp("local"), []) as started:
        yield started


def connect(server: processes.Server) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def head(length: int, *lines: bytes) -> bytes:
    return b"\r\n".join(
        [
            b"POST /v1/chat/completions HTTP/1.1",
            b"host: x",
            b"authorization: Bearer demo",
            b"content-length: %d" % length,
            *lines,
            b"",
            b"",
        ]
    )


def answer(connection: socket.socket) -> tuple[int, bytes]:
    response = http.client.HTTPResponse(connection, method="POST")
    response.begin()
    return response.status, response.read()


def test_several_requests_share_a_connection(server: processes.Server):
    with connect(server) as connection:
        for _ in range(3):
            connection.sendall(head(len(BODY)) + BODY)
            status, body = answer(connection)
            assert status == 200
            assert msgspec.json.decode(body)["choices"][0]["message"]["content"] == "hello"


@pytest.mark.parametrize("size", [100, 200_000, 1_000_000, 10_000_000])
def test_a_body_that_comes_together_with_its_head_is_no_head(server: processes.Server, size: int):
    body = BODY.replace(b"hello", b"x" * size)
    with connect(server) as connection:
        for _ in range(2):
            connection.sendall(head(len(body)) + body)
            status, said = answer(connection)
            assert status == 200
            assert len(said) > size


def test_a_head_that_comes_in_pieces_is_a_head(server: processes.Server):
    whole = head(len(BODY), b"x-long: " + b"y" * 30_000) + BODY
    with connect(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(whole), 5000):
            connection.sendall(whole[start : start + 5000])
        assert answer(connection)[0] == 200


@pytest.mark.parametrize(
    "lines",
    [
        [b"x-long: " + b"y" * 80_000],
        [b"x-%d: %s" % (i, b"y" * 1000) for i in range(80)],
        [b"x-long: " + b"y" * 400_000],
        [b"x-%d: %s" % (i, b"y" * 1000) for i in range(400)],
    ],
    ids=["one long", "many", "one very long", "very many"],
)
def test_a_head_that_is_too_large_is_a_431(server: processes.Server, lines: list[bytes]):
    with connect(server) as connection:
        connection.sendall(head(len(BODY), *lines) + BODY)
        status, body = answer(connection)
    assert status == 431
    error = msgspec.json.decode(body)
    assert error["error"]["code"] == "headers_too_large"
    assert error["request_id"].startswith("req_")
    assert server.get("/health")[0] == 200


@pytest.mark.parametrize("begin", [b"GET / HTTP/1.1\r\nx: ", b"GET /"], ids=["header", "path"])
def test_a_head_that_never_ends_is_cut_off(server: processes.Server, begin: bytes):
    sent = 0
    with connect(server) as connection:
        connection.sendall(begin)
        try:
            while sent < 50_000_000:
                connection.sendall(b"y" * 65536)
                sent += 65536
        except ConnectionError:
            pass
    assert sent < 50_000_000
    assert server.get("/health")[0] == 200


def test_a_client_that_hangs_up_in_the_middle_is_no_failure(server: processes.Server):
    stream = b'{"model":"demo-slow","stream":true,"messages":[{"role":"user","content":"a b c"}]}'
    for part in (
        head(len(stream))[:40],
        head(len(stream)) + stream[:20],
        head(len(stream)) + stream,
    ):
        with connect(server) as connection:
            connection.sendall(part)
    assert server.get("/health")[0] == 200
    assert b"failed_inside" not in server.log.read_bytes()
    assert b"Traceback" not in server.log.read_bytes()


def test_headers_of_the_server_itself_are_not_told(server: processes.Server):
    with connect(server) as connection:
        connection.sendall(head(len(BODY)) + BODY)
        response = http.client.HTTPResponse(connection, method="POST")
        response.begin()
        response.read()
    assert response.getheader("server") is None
    assert response.getheader("date") is None
