"""The helpers that start and stop servers."""

import sys
from pathlib import Path

import pytest

from tests import corpus, processes


def test_a_server_that_ends_at_once_shows_what_it_printed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", "raise SystemExit('no such file')"]
    process = processes.start(command, log, {})
    with pytest.raises(RuntimeError, match=r"ended with status 1; it printed:\nno such file"):
        processes.wait_until(lambda: None, process, log)


def test_a_server_is_gone_when_the_test_is_over(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    process = processes.start(command, tmp_path / "log", {})
    assert process.poll() is None
    processes.stop(process)
    assert process.poll() is not None
    processes.stop(process)


def test_a_server_sees_none_of_the_developers_provider_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    seen = processes.environment({"CUTWATER_TEST": "1"})
    assert "OPENAI_API_KEY" not in seen
    assert "ANTHROPIC_BASE_URL" not in seen
    assert seen["CUTWATER_TEST"] == "1"
    assert "PATH" in seen


def test_free_ports_differ() -> None:
    assert len({processes.free_port() for _ in range(20)}) > 1


@pytest.mark.corpus
def test_the_replay_server_knows_the_chosen_recordings(tmp_path: Path) -> None:
    apis = ["openai.moderations"]
    with processes.replay_upstream(tmp_path, corpus.require(), apis) as server:
        status, health = server.get("/_health")
    assert (status, health["recordings"]) == (200, 2)
    assert server.process.poll() is not None
