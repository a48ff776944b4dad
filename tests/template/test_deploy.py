"""What follows a deployment: old versions go, the one in use stays, the URL is asked."""

import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from scripts import deploy, sam_local


class FakeLambda:
    """Versions 1 to 5, of which two aliases use two, and one is being tried."""

    def __init__(self) -> None:
        self.deleted: list[tuple[str, str]] = []

    def get_paginator(self, operation: str) -> Any:
        self.operation = operation
        return self

    def paginate(self, **asked: str) -> list[dict[str, Any]]:
        assert asked == {"FunctionName": "f"}
        if self.operation == "list_aliases":
            weights = {"AdditionalVersionWeights": {"4": 0.1}}
            live = {"FunctionVersion": "3", "RoutingConfig": weights}
            return [{"Aliases": [live]}, {"Aliases": [{"FunctionVersion": "5"}]}]
        return [{"Versions": [{"Version": v} for v in ("$LATEST", "1", "2", "3", "4", "5")]}]

    def delete_function(self, **asked: str) -> None:
        self.deleted.append((asked["FunctionName"], asked["Qualifier"]))


def test_versions_that_no_alias_leads_to_are_deleted():
    client = FakeLambda()
    assert list(deploy.prune(client, ["f"])) == [("f", "1"), ("f", "2")]
    assert client.deleted == [("f", "1"), ("f", "2")]


def test_parameters_go_to_sam_and_nothing_is_asked_unless_guided():
    command = deploy.deploying("mine", ["Waf=on"], guided=False)
    assert command[-2:] == ["--parameter-overrides", "Waf=on"]
    assert "--no-confirm-changeset" in command
    assert deploy.deploying("mine", [], guided=True)[-1] == "--guided"


class Site(BaseHTTPRequestHandler):
    """A deployment that answers as its class says."""

    health = 200
    without_key = 401

    def do_GET(self) -> None:
        self._say(self.health, b'{"status":"ok"}')

    def do_POST(self) -> None:
        self._say(self.without_key, b"{}")

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def site() -> Iterator[Any]:
    servers = []

    def serve(**answers: int) -> str:
        kind = type("OneSite", (Site,), answers)
        server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/v1"

    yield serve
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_deployment_that_answers_is_said_to(site: Any):
    assert "it answers" in deploy.smoke(site())


@pytest.mark.parametrize(
    ("answers", "words"),
    [({"health": 502}, "/health with 502"), ({"without_key": 200}, "without a key with 200")],
)
def test_a_deployment_that_answers_wrong_fails(site: Any, answers: dict[str, int], words: str):
    with pytest.raises(SystemExit, match=words):
        deploy.smoke(site(**answers), patience_s=0)


def test_a_deployment_is_given_time_to_come_up():
    waited: list[float] = []
    times = iter([0.0, 1.0, 3.0, 61.0])
    with pytest.raises(SystemExit, match="does not answer"):
        deploy.smoke("http://127.0.0.1:9/v1", sleep=waited.append, now=lambda: next(times))
    assert waited == [2.0, 2.0]


def test_without_docker_sam_local_is_skipped_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["sam_local.py"])
    monkeypatch.setenv("PATH", "/nonexistent")
    sam_local.main()
    assert "Docker does not run here" in capsys.readouterr().out
