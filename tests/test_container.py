"""The container image: what goes into it, and that the server does there what it must."""

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import processes

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
LOCK = (ROOT / "scripts/container-requirements.txt").read_text()
FINAL = DOCKERFILE.rpartition("\nFROM ")[2]
SLOW = b'{"model":"demo-slow","stream":true,"messages":[{"role":"user","content":"a b c d"}]}'
HEADERS = {"authorization": "Bearer demo", "content-type": "application/json"}


# --- What is in it --------------------------------------------------------------------------------


def _pinned(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^ \\]+)", text, re.MULTILINE))


def test_every_package_is_one_version_known_by_its_hashes():
    lines = [line for line in LOCK.splitlines() if line and not line.startswith(("#", " "))]
    assert lines
    assert all("==" in line for line in lines)
    assert LOCK.count("--hash=sha256:") >= len(lines)
    assert "://" not in LOCK


def test_all_that_the_project_asks_for_is_there_and_nothing_for_developers():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["local"]]
    names = {re.split(r"[<>=; \[]", one)[0].lower() for one in asked}
    pinned = _pinned(LOCK)
    assert names <= set(pinned)
    assert not {"boto3", "pytest", "moto", "openai"} & set(pinned)


def test_what_lambda_has_too_is_there_in_the_same_version():
    here, there = _pinned(LOCK), _pinned((ROOT / "scripts/lambda-requirements.txt").read_text())
    assert {name: here.get(name) for name in there} == there


def test_all_folders_of_the_project_go_in_and_nothing_else():
    copied = re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE)
    assert copied == [
        "scripts/container-requirements.txt",
        "core",
        "providers",
        "infra",
        "handlers",
    ]
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert allowed.index("*") < allowed.index("!core")
    listed = {line[1:] for line in allowed if line.startswith("!")}
    assert listed == {*copied, "scripts"}
    assert allowed.index("!scripts") < allowed.index("scripts/*") < allowed.index(f"!{copied[0]}")


def test_it_does_not_run_as_root():
    assert re.search(r"^USER 10001:10001$", FINAL, re.MULTILINE)
    assert FINAL.index("USER 10001") < FINAL.index("ENTRYPOINT")


# --- What it runs ---------------------------------------------------------------------------------


def _environment(port: int, data: Path) -> dict[str, str]:
    """What the image sets, with another folder and another port."""
    said = dict(re.findall(r"(CUTWATER_[A-Z_]+)=(\S+)", FINAL))
    assert said == {
        "CUTWATER_HOST": "0.0.0.0",
        "CUTWATER_PORT": "8787",
        "CUTWATER_DATA": "/data",
    }
    return {
        **said,
        "CUTWATER_PORT": str(port),
        "CUTWATER_DATA": str(data),
        "OLLAMA_HOST": "http://127.0.0.1:9",
    }


@contextmanager
def serving(folder: Path, **changes: str) -> Iterator[tuple[processes.Server, dict[str, str]]]:
    port = processes.free_port()
    environment = {**_environment(port, folder / "data"), **changes}
    log = folder / "log"
    command = [sys.executable, "-m", "handlers.cli", "serve"]
    process = processes.start(command, log, environment)
    url = f"http://{processes.HOST}:{port}"
    try:
        ready = lambda: processes.get(url, "/health", seconds=1.0)[0] == 200  # noqa: E731
        processes.wait_until(ready, process, log)
        yield processes.Server(process, url, log), environment
    finally:
        processes.stop(process)


def _healthy(environment: dict[str, str]) -> int:
    """The exit status of the image's own health check."""
    found = re.search(r'CMD \["python", "-c", "(.+)"\]', FINAL)
    assert found
    command = [sys.executable, "-c", found[1]]
    done = subprocess.run(
        command, env={**os.environ, **environment}, timeout=20, capture_output=True, check=False
    )
    return done.returncode


def test_it_listens_everywhere_is_healthy_and_prints_no_key(tmp_path: Path):
    with serving(tmp_path) as (server, environment):
        assert _healthy(environment) == 0
        key = (tmp_path / "data" / "local.key").read_text().strip()
        printed = server.log.read_text()
    assert "http://0.0.0.0:" in printed
    assert key not in printed
    assert f"in {tmp_path / 'data' / 'local.key'}" in printed
    assert _healthy(environment) != 0


def test_a_stream_under_way_ends_well_when_it_is_told_to_stop(tmp_path: Path):
    with serving(tmp_path) as (server, _):
        address = server.url.removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=20)
        connection.request("POST", "/v1/chat/completions", SLOW, HEADERS)
        answer = connection.getresponse()
        # From now on its words are on their way, half a second apart.
        server.process.send_signal(signal.SIGTERM)
        assert answer.read().endswith(b"data: [DONE]\n\n")
        connection.close()
        assert server.process.wait(10) in (0, -signal.SIGTERM)
    assert "Traceback" not in server.log.read_text()


def test_what_takes_longer_than_it_may_is_cut_off(tmp_path: Path):
    body = SLOW.replace(b"a b c d", b" ".join([b"word"] * 60))  # Half a minute of them.
    with serving(tmp_path, CUTWATER_DRAIN_S="1") as (server, _):
        address = server.url.removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=20)
        connection.request("POST", "/v1/chat/completions", body, HEADERS)
        answer = connection.getresponse()
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        drained = threading.Thread(target=_swallow, args=(answer,))
        drained.start()
        server.process.wait(10)
        assert time.monotonic() - began < 8
        drained.join(10)
        connection.close()


def _swallow(answer: http.client.HTTPResponse) -> None:
    try:
        answer.read()
    except (http.client.HTTPException, OSError):
        return


def test_a_deployment_makes_no_organisation_of_the_keys_in_its_environment(tmp_path: Path):
    changes = {
        "CUTWATER_SECRETS_PREFIX": "cutwater",
        "OPENAI_API_KEY": "sk-sentinel",
        "AWS_REGION": "us-east-1",
    }
    with serving(tmp_path, **changes) as (server, _):
        printed = server.log.read_text()
    assert "organisation local" not in printed
    assert "sentinel" not in printed
    assert not (tmp_path / "data" / "local.key").exists()


@pytest.mark.parametrize("command", [["key", "list"], ["org", "list"]])
def test_commands_within_the_container_look_where_the_server_does(
    tmp_path: Path, command: list[str]
):
    data = tmp_path / "data"
    (data / "orgs").mkdir(parents=True)
    (data / "orgs" / "acme.json").write_text('{"name": "acme"}')
    done = subprocess.run(
        [sys.executable, "-m", "handlers.cli", *command, "--json"],
        env=processes.environment(_environment(1, data)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert ("acme" in done.stdout) is (command[0] == "org")
