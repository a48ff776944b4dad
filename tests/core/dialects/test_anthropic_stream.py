"""The event stream of a message, both ways, and the watcher of the pass lane."""

from collections.abc import Iterable
from typing import Any

import pytest

from core.dialects import anthropic
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
    View,
)
from tests.core.dialects.wire import documents, events, named, parse_stream, told_by

VIEW = View(stream=True, model="asked", fresh_id="fresh")
MESSAGE = {"id": "msg", "model": "m", "usage": {"input_tokens": 4, "output_tokens": 1}}
START = {"type": "message_start", "message": MESSAGE}
STARTED = Started(id="msg", model="m", usage=Usage(input_tokens=4, output_tokens=1))
STOP = {"type": "message_stop"}


def begin(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def piece(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    delta = {"type": f"{kind}_delta", **fields}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def close(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def finish(reason: str | None = "end_turn", **more: Any) -> dict[str, Any]:
    delta = {"stop_reason": reason, "stop_sequence": None, **more}
    return {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 9}}


USAGE = UsageDelta(Usage(input_tokens=4, output_tokens=9))


def parse(*messages: Any) -> list[Delta]:
    return parse_stream(anthropic.StreamParser(), named(*messages))


@pytest.mark.parametrize(
    ("messages", "deltas"),
    [
        pytest.param(
            [
                begin(0, type="text", text=""),
                {"type": "ping"},
                piece(0, "text", text="a"),
                piece(0, "text", text="b"),
                close(0),
            ],
            [TextDelta(0, "a"), TextDelta(0, "b")],
            id="text",
        ),
        pytest.param(
            [begin(0, type="text", text="a")],
            [TextDelta(0, "a")],
            id="text that comes with its start",
        ),
        pytest.param(
            [
                begin(0, type="thinking", thinking="", signature=""),
                piece(0, "thinking", thinking="why"),
                piece(0, "signature", signature="sig"),
                close(0),
                begin(1, type="redacted_thinking", data="sealed"),
                close(1),
            ],
            [
                ReasoningDelta(0),
                ReasoningDelta(0, "why"),
                ReasoningDelta(0, signature="sig"),
                ReasoningDelta(1, redacted="sealed"),
            ],
            id="thinking with signatures and seals",
        ),
        pytest.param(
            [
                begin(1, type="tool_use", id="t1", name="f", input={}),
                piece(1, "input_json", partial_json=""),
                piece(1, "input_json", partial_json='{"a"'),
                piece(1, "input_json", partial_json=":1}"),
                close(1),
                begin(2, type="tool_use", id="t2", name="g", input={"b": 2}),
                close(2),
                begin(3, type="tool_use"),
                close(3),
            ],
            [
                ToolCallStarted(1, "t1", "f"),
                ToolCallDelta(1, '{"a"'),
                ToolCallDelta(1, ":1}"),
                ToolCallStarted(2, "t2", "g"),
                ToolCallDelta(2, '{"b":2}'),
                ToolCallStarted(3, "", ""),
                ToolCallDelta(3, "{}"),
            ],
            id="parallel calls, their input in pieces, whole, or none",
        ),
        pytest.param(
            [
                begin(0, type="server_tool_use", id="s", name="web_search", input={}),
                piece(0, "input_json", partial_json='{"q":1}'),
                close(0),
                begin(1, type="web_search_tool_result", content=[]),
                close(1),
                begin(2, type="text", text=""),
                piece(2, "citations", citation={}),
                piece(2, "brand_new"),
                {"type": "brand_new"},
                {"type": "content_block_start", "index": 3},
                {"type": "content_block_delta", "index": 3},
                {"type": "message_delta"},
            ],
            [],
            id="what only Anthropic's own clients read",
        ),
        pytest.param(
            [piece(0, "text"), piece(0, "thinking"), piece(0, "signature")],
            [TextDelta(0, ""), ReasoningDelta(0, ""), ReasoningDelta(0, "", "")],
            id="pieces of nothing",
        ),
    ],
)
def test_a_stream_is_read(messages: list[Any], deltas: list[Delta]):
    end = [Finished("stop", "end_turn"), USAGE, Ended()]
    assert parse(START, *messages, finish(), STOP) == [STARTED, *deltas, *end]


@pytest.mark.parametrize(
    ("raw_reason", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "other"),
    ],
)
def test_stop_reasons_are_read(raw_reason: str, reason: Any):
    deltas = parse(finish(raw_reason, stop_sequence="X"))
    assert deltas[0] == Finished(reason, raw_reason, "X")


def test_why_it_refused_is_read():
    deltas = parse(START, begin(2, type="text"), finish("refusal", stop_details={}))
    assert deltas[1] == Finished("content_filter", "refusal")
    told = finish("refusal", stop_details={"explanation": "no"})
    deltas = parse(START, begin(2, type="text"), told)
    assert deltas[1:3] == [RefusalDelta(3, "no"), Finished("content_filter", "refusal")]


def test_the_end_of_a_stream_adds_to_the_usage_of_its_start():
    start = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 4, "cache_read_input_tokens": 2}},
    }
    first, last = (
        Usage(input_tokens=6, cache_read_tokens=2),
        Usage(input_tokens=9, output_tokens=5, cache_read_tokens=2, reasoning_tokens=3),
    )
    usage = {
        "input_tokens": 7,
        "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 3},
    }
    end = {"type": "message_delta", "delta": {}, "usage": usage}
    bare = {"type": "message_delta", "delta": {}}
    assert parse(start, bare, end) == [Started(usage=first), UsageDelta(first), UsageDelta(last)]


def test_a_stream_without_a_stop_reason_is_not_complete():
    parser = anthropic.StreamParser()
    assert parse_stream(parser, named(START, finish(None), STOP)) == [STARTED, USAGE]
    assert not parser.complete
    parse_stream(parser, named(finish()))
    assert parser.complete


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (
            {"type": "overloaded_error", "message": "Overloaded"},
            Failed(529, "Overloaded", "overloaded_error"),
        ),
        (
            {"type": "rate_limit_error", "message": "Wait."},
            Failed(429, "Wait.", "rate_limit_error"),
        ),
        ({"type": "api_error", "message": "Oh."}, Failed(500, "Oh.", "api_error")),
        (
            {"type": "invalid_request_error", "message": "No."},
            Failed(400, "No.", "invalid_request_error"),
        ),
        (
            {"type": "brand_new"},
            Failed(500, "The provider answered 500.", "brand_new"),
        ),
    ],
)
def test_an_error_in_a_stream_is_a_failure(error: Any, failed: Failed):
    told = {"type": "error", "error": error}
    assert parse(told) == [failed]
    watcher = anthropic.StreamWatcher(VIEW)
    assert [watcher.see(event) for event in events(named(told))] == [True]
    assert told_by(watcher.error) == failed
    assert not watcher.ended


def render(deltas: Iterable[Delta]) -> bytes:
    renderer = anthropic.StreamRenderer(VIEW)
    return b"".join(renderer.feed(delta) for delta in deltas)


def test_a_stream_byte_for_byte():
    usage = (
        b'"usage":{"input_tokens":%d,"cache_creation_input_tokens":0,'
        b'"cache_read_input_tokens":0,"output_tokens":%d}'
    )
    deltas = [STARTED, TextDelta(0, "a"), Finished("stop"), USAGE, Ended()]
    assert render(deltas) == b"".join(
        [
            b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg",'
            b'"type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,'
            b'"stop_sequence":null,' + usage % (4, 1) + b"}}\n\n",
            b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
            b'"content_block":{"type":"text","text":""}}\n\n',
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            b'"delta":{"type":"text_delta","text":"a"}}\n\n',
            b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
            b'event: message_delta\ndata: {"type":"message_delta","delta":'
            b'{"stop_reason":"end_turn","stop_sequence":null},' + usage % (4, 9) + b"}\n\n",
            b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        ]
    )


@pytest.mark.parametrize(
    ("deltas", "shown"),
    [
        pytest.param(
            [
                ReasoningDelta(0),
                ReasoningDelta(0, "why"),
                ReasoningDelta(0, signature="sig"),
                ReasoningDelta(1, redacted="sealed"),
                TextDelta(2, "a"),
            ],
            [
                begin(0, type="thinking", thinking="", signature=""),
                piece(0, "thinking", thinking=""),
                piece(0, "thinking", thinking="why"),
                piece(0, "signature", signature="sig"),
                close(0),
                begin(1, type="redacted_thinking", data="sealed"),
                close(1),
                begin(2, type="text", text=""),
                piece(2, "text", text="a"),
                close(2),
            ],
            id="thinking with signatures and seals",
        ),
        pytest.param(
            [
                TextDelta(0, "a"),
                ToolCallStarted(1, "t1", "f"),
                ToolCallDelta(1, '{"a"'),
                ToolCallStarted(2, "t2", "g"),
                ToolCallDelta(2, "{}"),
                ToolCallDelta(1, ":1}"),
            ],
            [
                begin(0, type="text", text=""),
                piece(0, "text", text="a"),
                close(0),
                begin(1, type="tool_use", id="t1", name="f", input={}),
                piece(1, "input_json", partial_json='{"a"'),
                begin(2, type="tool_use", id="t2", name="g", input={}),
                piece(2, "input_json", partial_json="{}"),
                piece(1, "input_json", partial_json=":1}"),
                close(1),
                close(2),
            ],
            id="parallel calls may take turns",
        ),
        pytest.param(
            [
                ToolCallStarted(0, "t1", "f"),
                ToolCallDelta(0, "{}"),
                ToolCallStarted(1, "t2", "g"),
                ToolCallDelta(0, "\n"),
                ToolCallDelta(1, "{}"),
            ],
            [
                begin(0, type="tool_use", id="t1", name="f", input={}),
                piece(0, "input_json", partial_json="{}"),
                close(0),
                begin(1, type="tool_use", id="t2", name="g", input={}),
                piece(1, "input_json", partial_json="{}"),
                close(1),
            ],
            id="a call whose input is whole ends where the next begins",
        ),
        pytest.param(
            [
                ToolCallStarted(0, "t1", "f"),
                ToolCallDelta(0, "[" * 5000),
                ToolCallStarted(1, "t2", "g"),
                ToolCallDelta(1, "{}"),
            ],
            [
                begin(0, type="tool_use", id="t1", name="f", input={}),
                piece(0, "input_json", partial_json="[" * 5000),
                begin(1, type="tool_use", id="t2", name="g", input={}),
                piece(1, "input_json", partial_json="{}"),
                close(0),
                close(1),
            ],
            id="an input too deep to be read is not whole",
        ),
        pytest.param(
            [TextDelta(0, "a"), TextDelta(0, "b", 1), Failed(500, "x")],
            [begin(0, type="text", text=""), piece(0, "text", text="a"), close(0)],
            id="only the first choice",
        ),
        pytest.param(
            [TextDelta(3, "a"), RefusalDelta(5, "no")],
            [
                begin(0, type="text", text=""),
                piece(0, "text", text="a"),
                close(0),
                begin(1, type="text", text=""),
                piece(1, "text", text="no"),
                close(1),
            ],
            id="blocks are counted from 0, and a refusal is text",
        ),
    ],
)
def test_a_stream_is_written(deltas: list[Delta], shown: list[Any]):
    assert list(documents(render([STARTED, *deltas, Ended()])))[1:-2] == shown


def test_what_comes_late_is_a_block_of_its_own():
    """OpenRouter's responses seal a thought when the text after it is over."""
    deltas = [
        STARTED,
        ReasoningDelta(0, "hm"),
        TextDelta(1, "a"),
        ReasoningDelta(0, signature="s"),
        Finished("stop"),
        Ended(),
    ]
    shown = documents(render(deltas))
    started = [e["content_block"]["type"] for e in shown if e["type"] == "content_block_start"]
    assert started == ["thinking", "text", "thinking"]
    running: int | None = None
    for event in shown:
        match event["type"]:
            case "content_block_start":
                assert running is None
                running = event["index"]
            case "content_block_delta":
                assert event["index"] == running
            case "content_block_stop":
                assert event["index"] == running
                running = None


@pytest.mark.parametrize(
    ("deltas", "reason", "sequence"),
    [
        ([], "end_turn", None),
        ([Finished("stop", "stop_sequence", "X")], "stop_sequence", "X"),
        ([Finished("length")], "max_tokens", None),
        ([Finished("tool_calls")], "tool_use", None),
        ([Finished("content_filter")], "refusal", None),
        ([RefusalDelta(0, "no"), Finished("stop")], "refusal", None),
        ([Finished("other")], "end_turn", None),
    ],
)
def test_stop_reasons_are_written(deltas: list[Delta], reason: str, sequence: str | None):
    end = list(documents(render([*deltas, Ended()])))[-2]
    assert end["delta"] == {"stop_reason": reason, "stop_sequence": sequence}


def test_what_a_provider_does_not_say_is_made_up():
    (start,) = documents(render([Started()]))
    message = start["message"]
    assert (message["id"], message["model"]) == ("fresh", "asked")
    assert message["usage"] == {
        "input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 0,
    }


def test_the_watcher_shows_all_and_notes_the_usage_and_the_end():
    watcher = anthropic.StreamWatcher(VIEW)
    stream = named(START, {"type": "ping"}, begin(0, type="text"), finish(), STOP)
    assert [watcher.see(event) for event in events(stream)] == [True] * 5
    assert watcher.usage == USAGE.usage
    assert (watcher.complete, watcher.ended, watcher.error) == (True, True, None)


def test_the_watcher_does_not_show_an_end_that_is_none():
    watcher = anthropic.StreamWatcher(VIEW)
    assert [watcher.see(event) for event in events(named(START, STOP))] == [True, False]
    assert (watcher.complete, watcher.ended) == (False, False)


def test_a_whole_stream_lacks_only_its_last_event():
    assert anthropic.StreamWatcher(VIEW).ending() == named(STOP)
