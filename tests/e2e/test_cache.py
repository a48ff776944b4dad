"""The official SDKs ask twice: the second answer is the first one, and no provider made it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests import processes
from tests.processes import Server

pytestmark = pytest.mark.timeout(60)

QUESTION: list[Any] = [{"role": "user", "content": "Hello from Cutwater"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
MODELS = ["demo-echo", "demo-tools"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with processes.cutwater(tmp_path_factory.mktemp("cache"), []) as running:
        yield running


@pytest.fixture
def clients(server: Server) -> Iterator[tuple[openai.OpenAI, anthropic.Anthropic]]:
    with ExitStack() as opened:
        ours = openai.OpenAI(base_url=f"{server.url}/v1", api_key="demo", max_retries=0)
        theirs = anthropic.Anthropic(base_url=server.url, api_key="demo", max_retries=0)
        yield opened.enter_context(ours), opened.enter_context(theirs)


Said = tuple[str, Any]


def openai_chat(client: openai.OpenAI, model: str, *, stream: bool) -> Said:
    asked: Any = {"model": model, "messages": QUESTION, "temperature": 0, "tools": TOOLS}
    raw = client.chat.completions.with_raw_response.create(stream=stream, **asked)
    answer: Any = raw.parse()
    dump = [chunk.model_dump() for chunk in answer] if stream else answer.model_dump()
    return raw.headers["x-bt-cached"], dump


def openai_responses(client: openai.OpenAI, model: str, *, stream: bool) -> Said:
    asked: Any = {"model": model, "input": QUESTION, "temperature": 0}
    raw = client.responses.with_raw_response.create(stream=stream, **asked)
    answer: Any = raw.parse()
    dump = [event.model_dump() for event in answer] if stream else answer.model_dump()
    return raw.headers["x-bt-cached"], dump


def anthropic_messages(client: anthropic.Anthropic, model: str, *, stream: bool) -> Said:
    tools = [{"name": "weather", "input_schema": {"type": "object"}}]
    # Its newest version has no such argument any more; older models know the field.
    asked: Any = {"model": model, "messages": QUESTION, "max_tokens": 99}
    asked["extra_body"] = {"temperature": 0}
    raw = client.messages.with_raw_response.create(stream=stream, tools=tools, **asked)
    answer: Any = raw.parse()
    dump = [event.model_dump() for event in answer] if stream else answer.model_dump()
    return raw.headers["x-bt-cached"], dump


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("ask", [openai_chat, openai_responses, anthropic_messages])
def test_an_sdk_gets_the_same_object_twice(
    clients: tuple[openai.OpenAI, anthropic.Anthropic], ask: Any, stream: bool, model: str
) -> None:
    client = clients[ask is anthropic_messages]
    first, second = (ask(client, model, stream=stream) for _ in range(2))
    assert (first[0], second[0]) == ("MISS", "HIT")
    assert first[1] == second[1]
    assert second[1]


def cli(*words: str) -> str:
    command = [sys.executable, "-m", "handlers.cli", "cache", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def test_a_cassette_is_recorded_here_and_replayed_in_ci_without_a_provider(tmp_path: Path) -> None:
    file = tmp_path / "checkout.jsonl"
    asked: Any = {"model": "demo-echo", "messages": QUESTION}

    def ask(server: Server, key: str, mode: str) -> Any:
        headers = {"x-bt-use-cache": mode, "x-bt-cassette": "checkout"}
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client:
            return client.chat.completions.create(extra_headers=headers, **asked)

    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    with processes.cutwater(here, []) as recording:
        first = ask(recording, "demo", "record")
    named = ["--cassette", "checkout", "--data", str(here / "data")]
    assert "1 answers" in cli("export", str(file), "--key", "demo", *named)
    named[-1] = str(there / "data")
    assert "1 answers" in cli("import", str(file), "--key", "ci", *named)
    with processes.cutwater(there, [], changes={"CUTWATER_DEMO": "off"}) as replaying:
        assert ask(replaying, "ci", "replay") == first
        asked["seed"] = 1
        with pytest.raises(openai.NotFoundError, match="holds no answer"):
            ask(replaying, "ci", "replay")
