"""The README's and the greeting's own commands, run as they are written."""

import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import anthropic
import openai
import pytest

from tests import processes

README = (Path(__file__).parents[2] / "README.md").read_text()
QUESTION = [{"role": "user", "content": "Hello from Cutwater"}]
TOOL = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with processes.cutwater(tmp_path_factory.mktemp("quickstart"), []) as running:
        yield running


@pytest.fixture
def connect(server):
    """Makes SDK clients for a base path and a key, and closes them."""
    with ExitStack() as clients:

        def connected(sdk: type, path: str = "", key: str = "demo"):
            client = sdk(base_url=server.url + path, api_key=key, max_retries=0)
            return clients.enter_context(client)

        yield connected


def run(command: list[str], text: str) -> str:
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_curl_of_the_readme_streams_the_words_back(server):
    command = next(block for block in blocks(README, "sh") if "curl" in block)
    printed = run(["sh"], command.replace("http://127.0.0.1:8787", server.url))
    words = re.findall(r'"content":"([^"]+)"', printed)
    assert words == ["Hello ", "from ", "Cutwater"]
    assert printed.endswith("data: [DONE]\n\n")


def test_the_python_of_the_readme_prints_the_words(server):
    code = blocks(README, "python")[0].replace("http://127.0.0.1:8787", server.url)
    assert run([sys.executable, "-"], code) == "Hello from Cutwater\n"


def test_the_boto3_of_the_docs_prints_the_words(server):
    page = (Path(__file__).parents[2] / "docs/routes.md").read_text()
    code = blocks(page, "python")[0].replace("http://127.0.0.1:8787", server.url)
    assert run([sys.executable, "-"], code) == "Hello from Cutwater\n"


def test_the_greeting_has_a_curl_and_a_python_that_work(server):
    greeting = server.log.read_text()
    assert f"{server.url}/v1" in greeting
    curl = re.search(r"  (curl .*?\}\]\}')", greeting, re.DOTALL)
    assert curl is not None
    assert "[DONE]" in run(["sh"], curl[1])
    code = re.search(r"\n  (from openai.*?\.content\)\n)", greeting, re.DOTALL)
    assert code is not None
    assert run([sys.executable, "-"], code[1].replace("\n  ", "\n")) == "Hello from Cutwater\n"


def test_the_printed_key_of_the_organisation_local_works(server, connect):
    key = re.search(r"cw_local_[0-9a-f]{32}", server.log.read_text())
    assert key is not None
    client = connect(openai.OpenAI, "/v1", key[0])
    assert "demo-echo" in [model.id for model in client.models.list()]


@pytest.mark.parametrize("path", ["", "/v1", "/v1/proxy", "/v1/proxy/v1", "/btorg/x/v1"])
def test_the_openai_sdk_works_under_every_prefix(connect, path):
    client = connect(openai.OpenAI, path)
    answer = client.chat.completions.create(model="demo-echo", messages=QUESTION)
    assert answer.choices[0].message.content == "Hello from Cutwater"
    assert answer.usage.completion_tokens == 3


@pytest.mark.parametrize("path", ["", "/anthropic", "/v1/proxy", "/v1/proxy/anthropic"])
def test_the_anthropic_sdk_works_under_every_prefix(connect, path):
    client = connect(anthropic.Anthropic, path)
    answer = client.messages.create(model="demo-echo", max_tokens=50, messages=QUESTION)
    assert answer.content[0].text == "Hello from Cutwater"
    with client.messages.stream(model="demo-echo", max_tokens=50, messages=QUESTION) as stream:
        assert "".join(stream.text_stream) == "Hello from Cutwater"
        assert stream.get_final_message().usage.output_tokens == 3


async def test_the_async_sdks_stream(server):
    client = openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="demo", max_retries=0)
    stream = await client.chat.completions.create(
        model="demo-echo", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Hello from Cutwater"
    assert chunks[-1].usage.total_tokens == 6
    await client.close()


def test_a_tool_loop_with_parallel_calls_goes_both_ways_through_the_openai_sdk(connect):
    client = connect(openai.OpenAI, "/v1")
    tools = [
        {"type": "function", "function": {"name": name, "parameters": TOOL}}
        for name in ("weather", "traffic")
    ]
    first = client.chat.completions.create(model="demo-tools", messages=QUESTION, tools=tools)
    calls = first.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["weather", "traffic"]
    results = [{"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in calls]
    turn = [*QUESTION, first.choices[0].message, *results]
    second = client.chat.completions.create(model="demo-tools", messages=turn, tools=tools)
    assert second.choices[0].message.content == "Hello from Cutwater"


def test_a_tool_loop_with_parallel_calls_goes_both_ways_through_the_anthropic_sdk(connect):
    client = connect(anthropic.Anthropic)
    tools = [{"name": name, "input_schema": TOOL} for name in ("weather", "traffic")]
    arguments = {"model": "demo-tools", "max_tokens": 50, "tools": tools}
    with client.messages.stream(messages=QUESTION, **arguments) as stream:
        first = stream.get_final_message()
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [{"city": "demo", "days": 1}] * 2
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "fine"} for call in calls]
    turn = [
        *QUESTION,
        {"role": "assistant", "content": [block.model_dump() for block in first.content]},
        {"role": "user", "content": results},
    ]
    second = client.messages.create(messages=turn, **arguments)
    assert second.content[0].text == "Hello from Cutwater"


@pytest.mark.parametrize(("model", "status"), [("demo-fault-429", 429), ("demo-fault-500", 500)])
def test_the_sdks_raise_the_errors_they_know(connect, model, status):
    ours = connect(openai.OpenAI, "/v1")
    with pytest.raises(openai.APIStatusError) as openai_error:
        ours.chat.completions.create(model=model, messages=QUESTION)
    theirs = connect(anthropic.Anthropic)
    with pytest.raises(anthropic.APIStatusError) as anthropic_error:
        theirs.messages.create(model=model, max_tokens=5, messages=QUESTION)
    assert openai_error.value.status_code == anthropic_error.value.status_code == status


@pytest.mark.parametrize("model", ["demo-fault-cut", "demo-fault-error"])
def test_the_sdks_raise_in_the_middle_of_a_broken_stream(connect, model):
    ours = connect(openai.OpenAI, "/v1")
    with pytest.raises(openai.APIError):
        list(ours.chat.completions.create(model=model, messages=QUESTION, stream=True))
    theirs = connect(anthropic.Anthropic)
    with pytest.raises(anthropic.APIError):
        list(theirs.messages.create(model=model, max_tokens=5, messages=QUESTION, stream=True))
