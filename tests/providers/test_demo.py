"""The built-in provider: what it says, and how it fails on purpose."""

from typing import Any

import msgspec
import pytest

from core.sse import Framer, parse
from providers import demo
from providers.demo import Script
from providers.models import DEMO_MODELS

NOW = 1_700_000_000
USER = {"role": "user", "content": "one two  three"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "exact": {"type": "boolean"},
                "share": {"type": "number"},
                "tags": {"type": "array"},
                "more": {"type": "object"},
                "nothing": {"type": "null"},
                "either": {"type": ["string", "null"]},
                "free": {},
            }
        },
    },
}


def ask(model: str, *messages: dict[str, Any], **fields: Any) -> Script:
    body = {"model": model, "messages": [*(messages or [USER])], **fields}
    return demo.answer(msgspec.json.encode(body), now=NOW)


def sent(script: Script) -> bytes:
    return b"".join(data for _, data in script.steps)


def chunks(script: Script) -> list[Any]:
    framer = Framer()
    events = [parse(frame) for frame in framer.feed(sent(script))]
    assert framer.flush() == b""
    return [e.data if e.data == b"[DONE]" else msgspec.json.decode(e.data) for e in events if e]


def words(script: Script) -> list[str]:
    return [
        choice["delta"]["content"]
        for chunk in chunks(script)[:-1]
        for choice in chunk["choices"]
        if choice["delta"].get("content")
    ]


@pytest.mark.parametrize("model", DEMO_MODELS)
@pytest.mark.parametrize("stream", [False, True])
def test_every_demo_model_answers_with_its_kind_of_reply(model: str, stream: bool):
    script = ask(model, stream=stream)
    fault = demo.FAULTS.get(model, demo.Fault())
    if fault.fails:
        assert (script.fails, script.steps) == (fault.fails, ())
        return
    refuses = fault.status != 200
    kind = "text/event-stream; charset=utf-8" if stream and not refuses else "application/json"
    assert script.status == fault.status
    assert script.headers["content-type"] == kind
    if model == "demo-fault-no-token":
        assert (sent(script), script.steps[-1][0]) == (b"", demo.STALL_S)
        return
    assert sent(script)


def test_the_echo_comes_word_by_word_with_usage_and_an_end():
    script = ask("demo-echo", stream=True)
    assert words(script) == ["one ", "two ", " ", "three"]
    *_, finish, usage, done = chunks(script)
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert (usage["choices"], usage["usage"]["prompt_tokens"]) == ([], 3)
    assert usage["usage"]["completion_tokens"] == 3
    assert done == b"[DONE]"
    assert [gap for gap, _ in script.steps] == [0.0] + [demo.WORD_S] * (len(script.steps) - 1)
    assert not script.cut


def test_the_whole_echo_says_the_same():
    answer = msgspec.json.decode(sent(ask("demo-echo")))
    assert answer["choices"][0]["message"]["content"] == "one two  three"
    assert (answer["model"], answer["created"]) == ("demo-echo", NOW)
    assert answer["usage"]["total_tokens"] == 6


@pytest.mark.parametrize(
    ("messages", "echo"),
    [
        ([USER, {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}], "b"),
        (
            [{"role": "user", "content": [{"type": "text", "text": t} for t in ("x", "y")]}],
            "x y",
        ),
        ([{"role": "system", "content": "s"}], "The demo heard nothing."),
        ([USER, {"role": "user", "content": ""}], None),
    ],
)
def test_the_echo_is_of_the_last_user_message(messages: list[dict[str, Any]], echo: str | None):
    answer = msgspec.json.decode(sent(ask("demo-echo", *messages)))
    if echo is not None:
        assert answer["choices"][0]["message"]["content"] == echo


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_with_a_value_for_each_property(stream: bool):
    script = ask("demo-tools", tools=[TOOL], stream=stream)
    if stream:
        deltas = [c["choices"][0]["delta"] for c in chunks(script)[:-2]]
        calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
        arguments = "".join(call["function"]["arguments"] for call in calls)
        assert chunks(script)[-3]["choices"][0]["finish_reason"] == "tool_calls"
    else:
        choice = msgspec.json.decode(sent(script))["choices"][0]
        assert choice["finish_reason"] == "tool_calls"
        calls = choice["message"]["tool_calls"]
        arguments = calls[0]["function"]["arguments"]
    assert (calls[0]["id"], calls[0]["function"]["name"]) == ("call_demo_0", "weather")
    assert msgspec.json.decode(arguments) == {
        "city": "demo",
        "days": 1,
        "exact": True,
        "share": 1.5,
        "tags": [],
        "more": {},
        "nothing": None,
        "either": "demo",
        "free": "demo",
    }


@pytest.mark.parametrize(
    "parameters", [None, {}, {"properties": []}, {"properties": {"a": True}}, [1], "x"]
)
def test_a_schema_that_is_none_gives_no_arguments(parameters: Any):
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    answer = msgspec.json.decode(sent(ask("demo-tools", tools=[tool])))
    call = answer["choices"][0]["message"]["tool_calls"][0]
    assert call["function"]["arguments"] == "{}"


def test_after_the_tools_results_the_demo_speaks():
    first = msgspec.json.decode(sent(ask("demo-tools", tools=[TOOL])))["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": "call_demo_0", "content": "sunny"}
    second = msgspec.json.decode(sent(ask("demo-tools", USER, first, result, tools=[TOOL])))
    assert second["choices"][0]["message"]["content"] == "one two  three"
    assert second["choices"][0]["finish_reason"] == "stop"
    without = msgspec.json.decode(sent(ask("demo-tools")))
    assert without["choices"][0]["message"]["content"] == "one two  three"


def test_slow_waits_before_it_speaks():
    assert ask("demo-slow", stream=True).steps[0] == (2.0, b"")
    assert ask("demo-slow").steps[0][0] == 2.0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429, 500, 502, 503, 504, 529])
def test_a_refusal_is_an_openai_error_of_its_status(status: int, stream: bool):
    script = ask(f"demo-fault-{status}", stream=stream)
    error = msgspec.json.decode(sent(script))["error"]
    assert (script.status, error["type"]) == (status, "demo_fault")
    assert script.headers.get("retry-after") == ("2" if status == 429 else None)


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("demo-fault-429-bare", 429, None),
        ("demo-fault-404", 404, "model_not_found"),
        ("demo-fault-context", 400, "context_length_exceeded"),
        ("demo-fault-policy", 400, "content_policy_violation"),
    ],
)
def test_a_refusal_says_what_it_is_about(model: str, status: int, code: str | None):
    script = ask(model, stream=True)
    assert (script.status, msgspec.json.decode(sent(script))["error"]["code"]) == (status, code)
    assert "retry-after" not in script.headers


def test_an_error_before_the_first_token_is_all_there_is():
    assert sent(ask("demo-fault-error-first", stream=True)) == (
        demo.FAULTS["demo-fault-error-first"].splice
    )


def test_every_fault_is_a_model_that_is_listed():
    assert set(demo.FAULTS) == {name for name in DEMO_MODELS if name.startswith("demo-fault-")}


def test_faults_in_the_middle_of_a_stream():
    whole = sent(ask("demo-echo", stream=True)).replace(b"demo-echo", b"demo")
    found = {
        name: sent(ask(f"demo-fault-{name}", stream=True)).replace(
            f"demo-fault-{name}".encode(), b"demo"
        )
        for name in ("cut", "stall", "error", "garbage", "no-done")
    }
    for name in ("cut", "stall"):
        assert whole.startswith(found[name])
        assert b'finish_reason":"stop' not in found[name]
    assert ask("demo-fault-cut", stream=True).cut
    assert ask("demo-fault-stall", stream=True).steps[-1] == (demo.STALL_S, b"")
    assert found["error"].endswith(demo.FAULTS["demo-fault-error"].splice or b"-")
    assert found["garbage"].replace(demo.FAULTS["demo-fault-garbage"].splice or b"-", b"") == whole
    assert found["no-done"] + b"data: [DONE]\n\n" == whole


@pytest.mark.parametrize(
    ("name", "cut"), [("cut", True), ("stall", True), ("error", True), ("garbage", False)]
)
def test_faults_of_a_whole_reply(name: str, cut: bool):
    script = ask(f"demo-fault-{name}")
    assert script.cut is cut
    assert (script.steps[-1][0] == demo.STALL_S) is (name == "stall")
    try:
        msgspec.json.decode(sent(script))
    except msgspec.DecodeError:
        assert cut


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"model":"demo-echo"}', b'{"model":"demo-echo","messages":[{"role":"x"}]}'],
)
def test_a_request_that_makes_no_sense_is_a_400(body: bytes):
    script = demo.answer(body, now=NOW)
    assert script.status == 400
    assert msgspec.json.decode(sent(script))["error"]["type"] == "invalid_request_error"
