"""Servers as processes of their own, on free loopback ports, gone when the test is over.

What a server prints goes to a file: a pipe that nobody reads would stall it.
"""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
_REPOSITORY: Final = Path(__file__).resolve().parents[1]
_PROVIDER_ENVIRONMENT: Final = ("_API_KEY", "_BASE_URL", "_AUTH_TOKEN", "_PROXY", "_proxy")
"""Ends of names of variables that would add endpoints of the developer's own, or a detour."""


class Server:
    """A running process: where it listens, and what it has printed."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log

    def get(self, path: str) -> tuple[int, Any]:
        """Status and decoded JSON body of a GET."""
        return get(self.url, path)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def get(url: str, path: str, *, seconds: float = 5.0) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=seconds)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    return answer.status, msgspec.json.decode(body) if body else None


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """This process's variables without provider keys, and with `changes`.

    No test asks a stranger's server for media.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.endswith(_PROVIDER_ENVIRONMENT)
    }
    return kept | {"CUTWATER_FETCH_MEDIA": "off"} | changes


def start(
    command: Sequence[str], log: Path, changes: Mapping[str, str], *, folder: Path = _REPOSITORY
) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment(changes),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask it to end, by its own id; make it where it does not listen."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


def wait_until(ready: Callable[[], Any], process: "subprocess.Popen[bytes]", log: Path) -> Any:
    """Poll until `ready` gives something; an early end or silence shows what was printed."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            why = f"ended with status {process.returncode}"
            break
        try:
            found = ready()
        except (OSError, http.client.HTTPException, msgspec.DecodeError):
            found = None
        if found:
            return found
        time.sleep(_POLL_SECONDS)
    else:
        why = f"was not ready after {START_SECONDS:.0f} s"
    printed = log.read_text(errors="replace")[-4000:]
    raise RuntimeError(f"{process.args!r} {why}; it printed:\n{printed}")


@contextmanager
def cutwater(
    directory: Path, orgs: Sequence[Mapping[str, Any]], *, changes: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """`cutwater serve` with these organisations; its files live in `directory`."""
    port = free_port()
    command = [sys.executable, "-m", "handlers.cli", "serve", "--host", HOST, "--port", str(port)]
    for number, org in enumerate(orgs):
        path = directory / f"org-{number}.json"
        path.write_bytes(msgspec.json.encode(org))
        command += ["--org", str(path)]
    command += ["--data", str(directory / "data")]
    log = directory / "cutwater.log"
    url = f"http://{HOST}:{port}"
    process = start(command, log, changes or {})
    try:
        wait_until(lambda: get(url, "/health", seconds=1.0)[0] == 200, process, log)
        yield Server(process, url, log)
    finally:
        stop(process)


@contextmanager
def replay_upstream(
    directory: Path, corpus: Path, apis: Sequence[str], *, defaults: Mapping[str, Any] | None = None
) -> Iterator[Server]:
    """The provider's side of the recordings of `apis`: fewer APIs, faster start."""
    chosen = directory / "recordings"
    chosen.mkdir(exist_ok=True)
    for api in apis:
        link = chosen / f"{api}.jsonl"
        if not link.exists():
            link.symlink_to(corpus / "recordings" / f"{api}.jsonl")
    command = [sys.executable, str(corpus / "replay_upstream.py"), "--host", HOST, "--port", "0"]
    command += ["--corpus", str(chosen)]
    for name, value in (defaults or {}).items():
        command += ["--default", f"{name}={value}"]
    log = directory / "replay.log"
    process = start(command, log, {})
    try:
        url = wait_until(lambda: _printed_url(log), process, log)
        yield Server(process, url, log)
    finally:
        stop(process)


_UNMEASURED: Final = {"COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""}


@contextmanager
def moto(directory: Path) -> Iterator[Server]:
    """moto's server: DynamoDB, Secrets Manager and more of AWS in memory."""
    port = free_port()
    # -P: the repository's own folders must not stand in for modules that moto imports.
    command = [sys.executable, "-P", "-m", "moto.server", "-H", HOST, "-p", str(port)]
    with _emulator(directory / "moto.log", command, port, "/moto-api/data.json", {}) as server:
        yield server


@contextmanager
def ministack(directory: Path, program: Path, *, iam: bool = False) -> Iterator[Server]:
    """The stack as it is deployed, from an environment of its own; nothing outlives it.

    `iam`: signatures and policies are held to; the account's root is test, test.
    """
    port = free_port()
    changes = {
        "AUTH": str(iam).lower(),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "IOT_MTLS_ENABLED": "0",
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "PERSIST_STATE": "0",
        "TMPDIR": str(directory),
    }
    log, health = directory / "ministack.log", "/_ministack/health"
    with _emulator(log, [str(program)], port, health, changes) as server:
        yield server


@contextmanager
def _emulator(
    log: Path, command: Sequence[str], port: int, health: str, changes: Mapping[str, str]
) -> Iterator[Server]:
    url = f"http://{HOST}:{port}"
    process = start(command, log, {**_UNMEASURED, **changes})
    try:
        wait_until(lambda: get(url, health, seconds=1.0)[0] == 200, process, log)
        yield Server(process, url, log)
    finally:
        stop(process)


def _printed_url(log: Path) -> str | None:
    first, newline, _ = log.read_bytes().partition(b"\n")
    if not newline:
        return None
    url: str = msgspec.json.decode(first)["url"]
    return url
