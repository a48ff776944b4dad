"""Chat completion chunks, read into deltas."""

from typing import Any

import msgspec
import pytest

from core.dialects import openai_chat
from core.neutral import (
    Delta,
    Ended,
    Failed,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageDelta,
)
from core.sse import Event
from tests.core.dialects.openai_chat_chunks import HEAD, STARTED, USAGE, VIEW, chunk, parse
from tests.core.dialects.wire import data, parse_stream, told_by


def tool(index: int | None, id: str | None = None, **function: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"function": function}
    if index is not None:
        fields["index"] = index
    if id is not None:
        fields["id"] = id
    return {"tool_calls": [fields]}


@pytest.mark.parametrize(
    ("chunks", "deltas"),
    [
        pytest.param(
            [
                chunk(role="assistant", content=""),
                chunk(content="a"),
                chunk(content="b"),
                chunk(reason="stop"),
                {**HEAD, "choices": [], "usage": USAGE},
            ],
            [
                STARTED,
                TextDelta(0, "a"),
                TextDelta(0, "b"),
                Finished("stop", "stop"),
                UsageDelta(Usage(input_tokens=10, output_tokens=5)),
            ],
            id="text, with usage at the end",
        ),
        pytest.param(
            [
                {"choices": [], "prompt_filter_results": []},
                chunk(content="a", reason="stop"),
                {**chunk(reason="stop"), "usage": USAGE},
            ],
            [
                STARTED,
                TextDelta(0, "a"),
                Finished("stop", "stop"),
                UsageDelta(Usage(input_tokens=10, output_tokens=5)),
            ],
            id="a chunk without choices starts nothing, a finish is told once",
        ),
        pytest.param(
            [
                chunk(content="a"),
                chunk(**tool(0, "c1", name="f", arguments="")),
                chunk(**tool(1, "c2", name="g", arguments="{")),
                chunk(**tool(0, arguments='{"a":1}')),
                chunk(**tool(1, arguments="}")),
                chunk(content="b"),
                chunk(reason="tool_calls"),
            ],
            [
                STARTED,
                TextDelta(0, "a"),
                ToolCallStarted(1, "c1", "f"),
                ToolCallStarted(2, "c2", "g"),
                ToolCallDelta(2, "{"),
                ToolCallDelta(1, '{"a":1}'),
                ToolCallDelta(2, "}"),
                TextDelta(3, "b"),
                Finished("tool_calls", "tool_calls"),
            ],
            id="parallel calls that take turns",
        ),
        pytest.param(
            [
                chunk(**tool(0, "c1", name="f", arguments="{}")),
                chunk(**tool(0, "c2", name="g", arguments="{}")),
                chunk(**tool(0, "c2", arguments=" ")),
                chunk(reason="tool_calls"),
            ],
            [
                STARTED,
                ToolCallStarted(0, "c1", "f"),
                ToolCallDelta(0, "{}"),
                ToolCallStarted(1, "c2", "g"),
                ToolCallDelta(1, "{}"),
                ToolCallDelta(1, " "),
                Finished("tool_calls", "tool_calls"),
            ],
            id="another id at the same index is another call",
        ),
        pytest.param(
            [
                chunk(**tool(None, "c1", name="f", arguments="{")),
                chunk(**tool(None, arguments="}")),
                chunk(**tool(None, "c2", name="g", arguments="{}")),
                chunk(tool_calls=[{"index": 5, "id": "c3"}]),
                chunk(reason="tool_calls"),
            ],
            [
                STARTED,
                ToolCallStarted(0, "c1", "f"),
                ToolCallDelta(0, "{"),
                ToolCallDelta(0, "}"),
                ToolCallStarted(1, "c2", "g"),
                ToolCallDelta(1, "{}"),
                ToolCallStarted(2, "c3", ""),
                Finished("tool_calls", "tool_calls"),
            ],
            id="calls without an index",
        ),
        pytest.param(
            [
                chunk(function_call={"name": "f", "arguments": ""}),
                chunk(function_call={"arguments": "{}"}),
                chunk(reason="function_call"),
            ],
            [
                STARTED,
                ToolCallStarted(0, "call_0", "f"),
                ToolCallDelta(0, "{}"),
                Finished("tool_calls", "function_call"),
            ],
            id="a legacy function call",
        ),
        pytest.param(
            [chunk(**tool(0, "c1", name="f", arguments="{}")), chunk(reason="stop")],
            [
                STARTED,
                ToolCallStarted(0, "c1", "f"),
                ToolCallDelta(0, "{}"),
                Finished("tool_calls", "stop"),
            ],
            id="an answer that calls the tool it was told to",
        ),
        pytest.param(
            [chunk(refusal="n"), chunk(refusal="o"), chunk(reason="stop")],
            [STARTED, RefusalDelta(0, "n"), RefusalDelta(0, "o"), Finished("stop", "stop")],
            id="a refusal",
        ),
        pytest.param(
            [
                chunk(reasoning_content="a", content=None),
                chunk(reasoning_content="b", content=""),
                chunk(content="c"),
                chunk(reasoning="d"),
                chunk(reason="stop"),
            ],
            [
                STARTED,
                ReasoningDelta(0, "a"),
                ReasoningDelta(0, "b"),
                TextDelta(1, "c"),
                ReasoningDelta(2, "d"),
                Finished("stop", "stop"),
            ],
            id="reasoning under either name, before and between texts",
        ),
        pytest.param(
            [
                chunk(reasoning={"index": 0, "content": "a"}),
                chunk(reasoning={"index": 0, "id": "s1"}),
                chunk(reasoning={"index": 1, "redacted": "x"}),
                chunk(reasoning={"content": "b"}),
                chunk(reason="stop"),
            ],
            [
                STARTED,
                ReasoningDelta(0, "a"),
                ReasoningDelta(0, "", "s1"),
                ReasoningDelta(1, redacted="x"),
                ReasoningDelta(2, "b"),
                Finished("stop", "stop"),
            ],
            id="each thought has a signature or a seal of its own",
        ),
        pytest.param(
            [
                chunk(reasoning=[{"id": "s1", "content": "a"}, {"id": "s2", "content": "b"}]),
                chunk(reason="stop"),
            ],
            [
                STARTED,
                ReasoningDelta(0, "a", "s1"),
                ReasoningDelta(1, "b", "s2"),
                Finished("stop", "stop"),
            ],
            id="thoughts in one chunk stay apart",
        ),
        pytest.param(
            [
                chunk(content=[{"type": "thinking", "thinking": [{"text": "a"}]}]),
                chunk(content=[{"type": "thinking", "thinking": [{"text": "b"}]}]),
                chunk(content=[{"type": "text", "text": "c"}]),
                chunk(reason="stop"),
            ],
            [
                STARTED,
                ReasoningDelta(0, "a"),
                ReasoningDelta(0, "b"),
                TextDelta(1, "c"),
                Finished("stop", "stop"),
            ],
            id="Mistral's pieces",
        ),
        pytest.param(
            [
                chunk(0, content="a"),
                chunk(1, content="b"),
                chunk(0, "stop"),
                chunk(1, "length"),
            ],
            [
                STARTED,
                TextDelta(0, "a"),
                TextDelta(0, "b", 1),
                Finished("stop", "stop"),
                Finished("length", "length", None, 1),
            ],
            id="several choices",
        ),
        pytest.param(
            [{"choices": [{"index": 0, "finish_reason": "eos"}]}],
            [Started(), Finished("other", "eos")],
            id="a chunk that says next to nothing",
        ),
    ],
)
def test_a_stream_is_read(chunks: list[Any], deltas: list[Delta]):
    assert parse(*chunks) == [*deltas, Ended()]


def test_an_empty_legacy_call_is_none():
    empty = {"name": "", "arguments": ""}
    said = {"index": 0, "delta": {"content": "a", "function_call": empty}, "finish_reason": "stop"}
    deltas = parse({"id": "c", "choices": [said]})
    assert not any(isinstance(delta, ToolCallStarted) for delta in deltas)
    assert Finished("stop", "stop") in deltas


def test_calls_without_index_and_id_begin_with_a_name():
    pieces = [("f", '{"a"'), (None, ":1}"), ("f", "{}")]
    chunks = [
        chunk(tool_calls=[{"function": {"name": name, "arguments": text}}]) for name, text in pieces
    ]
    assert parse(*chunks, chunk(reason="tool_calls"))[1:-2] == [
        ToolCallStarted(0, "", "f"),
        ToolCallDelta(0, '{"a"'),
        ToolCallDelta(0, ":1}"),
        ToolCallStarted(1, "", "f"),
        ToolCallDelta(1, "{}"),
    ]


def test_the_end_marker_ends_what_never_told_its_reason():
    assert parse(chunk(content="a"))[1:] == [TextDelta(0, "a"), Finished("other"), Ended()]
    called = parse(chunk(**tool(0, "c", name="f", arguments="{}")))
    assert called[-2:] == [Finished("tool_calls"), Ended()]


def test_the_end_marker_alone_is_no_answer():
    assert parse() == []


@pytest.mark.parametrize(
    ("name", "error", "failed"),
    [
        pytest.param(
            b"",
            {"error": {"message": "Busy.", "type": "server_error", "code": None}},
            Failed(500, "Busy.", "server_error"),
            id="an error chunk",
        ),
        pytest.param(
            b"error",
            {"message": "Slow down.", "code": "rate_limit_exceeded"},
            Failed(429, "Slow down.", "rate_limit_error", "rate_limit_exceeded"),
            id="an event named error",
        ),
        pytest.param(
            b"",
            {"error": {"message": "Down.", "code": 503}},
            Failed(503, "Down.", "api_error"),
            id="an error whose code is a status",
        ),
    ],
)
def test_an_error_in_a_stream_is_a_failure(name: bytes, error: Any, failed: Failed):
    event = Event(msgspec.json.encode(error), name)
    assert openai_chat.StreamParser().feed(event) == [failed]
    watcher = openai_chat.StreamWatcher(VIEW)
    assert watcher.see(event)
    assert told_by(watcher.error) == failed


def test_a_stream_is_complete_when_every_choice_that_began_has_finished():
    parser = openai_chat.StreamParser()
    seen = []
    for step in (chunk(0, content="a"), chunk(1, content="b"), chunk(0, "stop"), chunk(1, "stop")):
        parse_stream(parser, data(step))
        seen.append(parser.complete)
    assert seen == [False, False, False, True]


def test_a_call_is_told_once_it_has_a_name():
    begun = tool(0, "c1", arguments='{"a"')
    told = parse(
        chunk(**begun),
        chunk(**tool(0, name="f", arguments=":1}")),
        chunk(reason="tool_calls"),
    )
    assert told[1:-1] == [
        ToolCallStarted(0, "c1", "f"),
        ToolCallDelta(0, '{"a"'),
        ToolCallDelta(0, ":1}"),
        Finished("tool_calls", "tool_calls"),
    ]


@pytest.mark.parametrize("reason", ["tool_calls", None])
def test_a_call_that_never_got_a_name_is_told_all_the_same(reason: str | None):
    given = [chunk(**tool(0, "c1", arguments="{")), chunk(**tool(0, "c2", arguments="}"))]
    told = parse(*given, chunk(reason=reason))
    assert told[1:-2] == [
        ToolCallStarted(0, "c1", ""),
        ToolCallDelta(0, "{"),
        ToolCallStarted(1, "c2", ""),
        ToolCallDelta(1, "}"),
    ]
    assert isinstance(told[-2], Finished)
