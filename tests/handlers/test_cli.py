"""The command line."""

import contextlib
import http.client
import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from core import __version__ as version
from handlers.cli import cli
from tests import processes
from tests.fakes import KEY


def run(*arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    found = CliRunner().invoke(cli, [*arguments], env=environment, catch_exceptions=False)
    return found.exit_code, found.stdout, found.stderr


def write(folder: Path, name: str, document: Any) -> str:
    path = folder / name
    path.write_bytes(document if isinstance(document, bytes) else msgspec.json.encode(document))
    return str(path)


def test_the_version_is_told():
    assert run("version") == (0, version + "\n", "")


def test_without_a_verb_there_is_help():
    code, out, err = run()
    assert code in (0, 2)
    assert "serve" in out + err


BAD = [
    ({"name": "a", "endpoint": []}, "unknown field `endpoint`"),
    ({"name": "a", "endpoints": [{"type": "opnai"}]}, "at `$.endpoints[0].type`"),
    ({"name": "a", "endpoints": [{"type": "openai", "weight": -1}]}, "at `$.endpoints[0].weight`"),
    ({"name": "[bold]a", "keys": [{"name": "k", "key": "sk-sentinel"}]}, "at `$.keys[0].key`"),
    (b"{", "not JSON"),
]


@pytest.mark.parametrize(("document", "words"), BAD)
def test_serve_refuses_a_bad_organisation_file_in_one_line_that_names_it(
    tmp_path: Path, document: Any, words: str
):
    path = write(
        tmp_path, "with-a-rather-long-name-so-that-a-narrow-terminal-would-wrap.json", document
    )
    data = str(tmp_path / "data")
    code, out, err = run("serve", "--org", path, "--data", data)
    assert (code, out) == (2, "")
    assert err.startswith(f"cutwater: {path}: ")
    assert words in err
    assert err.count("\n") == 1
    assert "sentinel" not in err


def test_serve_refuses_a_bad_file_or_switch_of_the_environment(tmp_path: Path):
    path = write(tmp_path, "bad.json", b"{")
    data = ("--data", str(tmp_path / "data"))
    quiet = {"OLLAMA_HOST": "http://127.0.0.1:9"}
    code, _, err = run("serve", *data, environment={**quiet, "CUTWATER_ORG_FILES": path})
    assert (code, path in err) == (2, True)
    code, _, err = run("serve", *data, environment={**quiet, "CUTWATER_DEMO": "no"})
    assert (code, "CUTWATER_DEMO" in err) == (2, True)


def test_serve_refuses_a_data_folder_that_is_none(tmp_path: Path):
    path = write(tmp_path, "file", b"")
    code, _, err = run(
        "serve", "--data", f"{path}/data", environment={"OLLAMA_HOST": "http://127.0.0.1:9"}
    )
    assert code == 2
    assert err.startswith(f"cutwater: {path}")


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((processes.HOST, 0)) as server:
        yield server.getsockname()[1]


def test_serve_says_when_the_port_is_taken(tmp_path: Path, taken: int):
    code, out, err = run(
        "serve",
        "--port",
        str(taken),
        "--data",
        str(tmp_path),
        environment={"OLLAMA_HOST": "http://127.0.0.1:9"},
    )
    assert (code, out) == (2, "")
    assert f"127.0.0.1:{taken} cannot be used: Address already in use" in err
    assert "--port" in err


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.1"])
def test_serve_says_when_the_address_is_not_ours(tmp_path: Path, host: str):
    code, _, err = run(
        "serve",
        "--host",
        host,
        "--data",
        str(tmp_path),
        environment={"OLLAMA_HOST": "http://127.0.0.1:9"},
    )
    assert code == 2
    assert f"{host}:8787 cannot be used" in err


ORG = {
    "name": "acme",
    "keys": [{"name": "ci", "key": KEY}],
    "endpoints": [{"type": "openai", "name": "main", "secret": "sk-sentinel"}],
}


def test_serve_greets_with_what_a_newcomer_needs_and_works_and_stops(tmp_path: Path):
    with processes.cutwater(tmp_path, [ORG], changes={"OPENAI_API_KEY": "sk-sentinel"}) as server:
        greeting = server.log.read_text()
        assert f"Cutwater {version} is listening on {server.url}/v1" in greeting
        assert "organisation acme: main" in greeting
        assert "organisation local: openai-local" in greeting
        assert f'base_url="{server.url}/v1"' in greeting
        assert "sentinel" not in greeting
        assert KEY not in greeting
        local_key = re.search(r"key of the organisation local: (cw_local_\w+)", greeting)
        assert local_key
        assert (tmp_path / "data" / "local.key").read_text().strip() == local_key[1]
        for key in ("demo", KEY, local_key[1]):
            assert ask(server, key) == 200
        assert ask(server, "cw_wrong_0123456789abcdef") == 401
    assert server.process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in server.log.read_text()


def test_a_file_that_names_the_organisation_local_takes_its_place(tmp_path: Path):
    with processes.cutwater(tmp_path, [{**ORG, "name": "local"}]) as server:
        assert "organisation local: main" in server.log.read_text()
        assert ask(server, KEY) == 200
    assert not (tmp_path / "data").exists()


def test_an_organisation_without_endpoints_is_said_to_have_none_yet(tmp_path: Path):
    with processes.cutwater(tmp_path, [{"name": "local"}]) as server:
        greeting = server.log.read_text()
    assert "organisation local: none yet" in greeting
    assert "key of the organisation" not in greeting


def test_the_command_is_installed(tmp_path: Path):
    log = tmp_path / "log"
    process = processes.start([sys.executable, "-m", "handlers.cli", "version"], log, {})
    assert process.wait(20) == 0
    assert log.read_text() == version + "\n"


def ask(server: processes.Server, key: str) -> int:
    with contextlib.closing(
        http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    ) as connection:
        body = b'{"model":"demo-echo","messages":[{"role":"user","content":"hello"}]}'
        connection.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {key}"})
        return connection.getresponse().status
