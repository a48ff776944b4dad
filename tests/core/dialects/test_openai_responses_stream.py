"""The event stream of a response, both ways."""

from typing import Any

import msgspec
import pytest

from core import sse
from core.dialects import openai_responses as dialect
from core.errors import ProviderError, UpstreamError
from core.neutral import (
    Delta,
    Ended,
    Failed,
    Finished,
    Media,
    MediaDelta,
    Reasoning,
    ReasoningDelta,
    Refusal,
    RefusalDelta,
    Started,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageDelta,
    View,
    fold,
)
from core.sse import Event
from core.streams import NeutralRelay, PassRelay
from tests.core.dialects.sdk import accumulate, events

HEAD = {"id": "resp_1", "model": "m", "created_at": 5.0, "status": "in_progress"}
CREATED = {"type": "response.created", "response": HEAD}
PROGRESS = {"type": "response.in_progress", "response": HEAD}
USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
STARTED = Started(id="resp_1", model="m", created=5)
TOLD = UsageDelta(Usage(input_tokens=3, output_tokens=2))


def end(status: str = "completed", **fields: Any) -> dict[str, Any]:
    response = {**HEAD, "status": status, "usage": USAGE, **fields}
    return {"type": f"response.{status}", "response": response}


def added(item: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(item: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def text(piece: str, index: int = 0, place: int = 0) -> dict[str, Any]:
    at = {"output_index": index, "content_index": place, "delta": piece}
    return {"type": "response.output_text.delta", **at}


def message(*texts: str) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": t} for t in texts]}


def call(arguments: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c1",
        "name": "f",
        "arguments": arguments,
    }


def feed(*documents: dict[str, Any]) -> list[Delta]:
    parser = dialect.StreamParser()
    found = [d for doc in documents for d in parser.feed(Event(msgspec.json.encode(doc)))]
    assert parser.complete == (Ended() in found)
    return found


def frame(document: dict[str, Any]) -> bytes:
    return sse.render(msgspec.json.encode(document), document["type"].encode())


# --- From a provider ----------------------------------------------------------------------------


def test_a_text_as_it_comes_is_told_once():
    assert feed(
        CREATED,
        PROGRESS,
        added({"type": "message", "content": []}),
        {"type": "response.content_part.added", "part": {"type": "output_text", "text": ""}},
        text("he"),
        text("y"),
        {"type": "response.output_text.done", "text": "hey"},
        {"type": "response.content_part.done"},
        done(message("hey")),
        end(output=[message("hey")]),
    ) == [
        STARTED,
        TextDelta(0, "he"),
        TextDelta(0, "y"),
        Finished("stop", "completed"),
        TOLD,
        Ended(),
    ]


def test_calls_may_take_turns_and_go_by_their_call_id():
    second = {**call(""), "call_id": "c2"}
    arguments = {"type": "response.function_call_arguments.delta"}
    assert feed(
        CREATED,
        added(call("")),
        added(second, 1),
        {**arguments, "output_index": 0, "delta": '{"a"'},
        {**arguments, "output_index": 1, "delta": "{}"},
        {**arguments, "output_index": 0, "delta": ":1}"},
        {**arguments, "output_index": 7, "delta": "of a tool of OpenAI's own"},
        done(call('{"a":1}')),
        done({**second, "arguments": "{}"}, 1),
        end(),
    )[1:-2] == [
        ToolCallStarted(0, "c1", "f"),
        ToolCallStarted(1, "c2", "f"),
        ToolCallDelta(0, '{"a"'),
        ToolCallDelta(1, "{}"),
        ToolCallDelta(0, ":1}"),
        Finished("tool_calls", "completed"),
    ]


def test_thoughts_are_texts_with_a_seal_at_their_end():
    delta = {"type": "response.reasoning_summary_text.delta", "delta": "a"}
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"text": "ab"}, {"text": "c"}],
        "encrypted_content": "e",
    }
    deltas = feed(
        CREATED,
        added({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "early"}),
        {**delta, "summary_index": 0},
        {**delta, "summary_index": 0, "delta": "b"},
        {**delta, "summary_index": 1, "delta": "c"},
        done(item),
        end(),
    )
    whole = dialect.parse_reply(msgspec.json.encode({"output": [item]}))
    assert fold(deltas).choices[0].parts == whole.choices[0].parts
    assert deltas[1:4] == [
        ReasoningDelta(0, "a"),
        ReasoningDelta(0, "b"),
        ReasoningDelta(0, "\n\nc"),
    ]


def test_open_thoughts_and_refusals():
    assert feed(
        CREATED,
        {"type": "response.reasoning_text.delta", "delta": "hm"},
        {"type": "response.refusal.delta", "output_index": 1, "delta": "no"},
        end(),
    )[1:3] == [ReasoningDelta(0, "hm"), RefusalDelta(1, "no")]


@pytest.mark.parametrize(
    ("came", "parts"),
    [
        ([done(message("a", "b"))], (Text("a"), Text("b"))),
        ([text("a"), done(message("ab"))], (Text("ab"),)),
        ([text("a", place=1), done(message("a"))], (Text("a"),)),  # As vLLM counts.
        ([text("x"), done(message("ab"))], (Text("x"),)),
        (
            [done({"type": "message", "content": [{"type": "refusal", "refusal": "no"}]})],
            (Refusal("no"),),
        ),
        ([done({"type": "message", "content": [{"type": "new"}]}), text("a", 1)], (Text("a"),)),
        ([done(call("{}"))], (ToolCall(id="c1", name="f", arguments="{}"),)),
        ([added(call("")), done(call(""))], (ToolCall(id="c1", name="f", arguments=""),)),
        (
            [done({"type": "reasoning", "summary": [{"text": "a"}, {"text": "b"}]})],
            (Reasoning(text="a\n\nb"),),
        ),
        ([done({"type": "reasoning", "summary": []}), done(message("a"), 1)], (Text("a"),)),
        ([done({"type": "web_search_call"}), done(message("a"), 1)], (Text("a"),)),
    ],
)
def test_what_no_delta_told_is_taken_from_the_whole(came, parts):
    assert fold(feed(CREATED, *came, end())).choices[0].parts == parts


def test_an_end_alone_is_an_answer():
    deltas = feed(end(output=[message("a"), call("{}")]))
    assert fold(deltas).choices[0].parts == (
        Text("a"),
        ToolCall(id="c1", name="f", arguments="{}"),
    )
    assert Finished("tool_calls", "completed") in deltas


def test_an_answer_cut_by_its_limit_is_whole_and_says_so():
    why = {"reason": "max_output_tokens"}
    deltas = feed(CREATED, text("a"), end("incomplete", incomplete_details=why, usage=None))
    assert deltas[-2:] == [Finished("length", "max_output_tokens"), Ended()]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            {"type": "error", "code": "rate_limit_exceeded", "message": "slow", "param": None},
            Failed(429, "slow", "rate_limit_error", "rate_limit_exceeded"),
        ),
        (
            {"type": "error", "error": {"type": "insufficient_quota", "message": "pay"}},
            Failed(429, "pay", "insufficient_quota", None),
        ),
        (
            {"error": {"message": "bad", "code": "invalid_prompt"}},
            Failed(400, "bad", "invalid_request_error", "invalid_prompt"),
        ),
        (
            end("failed", error={"code": "server_error", "message": "oops"}),
            Failed(500, "oops", "api_error", "server_error"),
        ),
    ],
)
def test_an_error_before_the_first_token_is_told_alone(event, expected):
    """So that the client's answer has not begun and another endpoint may take over."""
    assert feed(CREATED, PROGRESS, event) == [expected]


def test_what_nobody_knows_says_nothing():
    assert feed({"type": "response.new"}, {"type": "response.audio.delta", "delta": {}}) == []
    assert dialect.StreamParser().feed(Event(b"[DONE]")) == []


# --- The pass lane ------------------------------------------------------------------------------


def test_a_watcher_hides_nothing_and_sees_the_end():
    watcher = dialect.StreamWatcher(View())
    for document in (CREATED, text("a")):
        assert watcher.see(Event(msgspec.json.encode(document)))
        assert not watcher.complete
    assert watcher.see(Event(msgspec.json.encode(end())))
    assert watcher.ended
    assert watcher.complete
    assert watcher.usage == TOLD.usage
    assert watcher.see(Event(b"[DONE]"))
    assert watcher.ending() == b""


def test_a_watcher_takes_an_end_without_usage():
    watcher = dialect.StreamWatcher(View())
    watcher.see(Event(msgspec.json.encode(end("incomplete", usage=None))))
    assert (watcher.complete, watcher.usage) == (True, None)


@pytest.mark.parametrize(
    "document",
    [
        {"type": "error", "message": "m"},
        {"error": {"message": "m"}},
        end("failed", error={"message": "m"}),
    ],
)
def test_a_watcher_sees_errors(document):
    watcher = dialect.StreamWatcher(View())
    assert watcher.see(Event(msgspec.json.encode(document)))
    assert watcher.error is not None
    assert (watcher.error.message, watcher.complete) == ("m", False)


def test_the_pass_lane_takes_no_stream_without_its_end_for_whole():
    relay = PassRelay(dialect, dialect.StreamWatcher(View()), "req_1")
    said = relay.feed(frame(CREATED) + frame(text("a")))
    assert said == frame(CREATED) + frame(text("a"))
    assert b'"type":"error"' in relay.finish(None)


# --- For a client -------------------------------------------------------------------------------


def rendered(*deltas: Delta, view: View | None = None) -> bytes:
    renderer = dialect.StreamRenderer(view or View(stream=True))
    return b"".join(renderer.feed(delta) for delta in deltas)


def kinds(data: bytes) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events(data)]


def test_a_text_is_told_as_openai_tells_it():
    data = rendered(STARTED, TextDelta(0, "he"), TextDelta(0, "y"), Finished("stop"), TOLD, Ended())
    assert kinds(data) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    response = accumulate(data)
    assert (response.id, response.model, response.output_text) == ("resp_1", "m", "hey")
    assert response.usage is not None
    assert response.usage.total_tokens == 5


def test_everything_that_a_model_says_is_told_in_its_order():
    image = Media(kind="image", media_type="image/png", data="AAAA")
    data = rendered(
        Started(usage=Usage(input_tokens=1)),
        ReasoningDelta(0, "h"),
        ReasoningDelta(0, "m"),
        ReasoningDelta(0, signature="si"),
        ReasoningDelta(0, signature="g"),
        ReasoningDelta(1, redacted="r"),
        TextDelta(2, "a"),
        TextDelta(3, "b"),
        RefusalDelta(4, "no"),
        ToolCallStarted(5, "c1", "f"),
        ToolCallStarted(6, "c2", "g"),
        ToolCallDelta(5, "{"),
        ToolCallDelta(6, "[]"),
        ToolCallDelta(5, "}"),
        MediaDelta(7, image),
        MediaDelta(8, Media(kind="audio", data="AAAA")),
        TextDelta(0, "another choice", 1),
        Finished("tool_calls"),
        Ended(),
        view=View(model="asked", fresh_id="resp_f", created=9),
    )
    response = accumulate(data)
    assert (response.id, response.model, response.created_at) == ("resp_f", "asked", 9)
    note = "[The model made: audio. This format has no place for it.]"
    assert response.output_text == f"ab{note}"
    output = [item.to_dict() for item in response.output]
    assert [item["type"] for item in output] == [
        "reasoning",
        "reasoning",
        "message",
        "function_call",
        "function_call",
        "image_generation_call",
        "message",
    ]
    assert output[0]["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert output[0]["encrypted_content"] == "cutwater-signed:sig"
    assert output[1]["encrypted_content"] == "cutwater-redacted:r"
    assert output[2]["content"][2] == {"type": "refusal", "refusal": "no"}
    assert [item["arguments"] for item in output[3:5]] == ["{}", "[]"]
    assert output[5]["result"] == "AAAA"
    told = kinds(data)
    assert told.count("reasoning_summary_part.added") == 1
    assert told.count("reasoning_summary_text.done") == 1
    assert told.count("refusal.done") == 1
    assert told.count("function_call_arguments.done") == 2
    assert told.count("output_item.added") == told.count("output_item.done") == 7


@pytest.mark.parametrize(
    ("reason", "last", "item"),
    [
        ("length", "incomplete", "incomplete"),
        ("content_filter", "incomplete", "incomplete"),
        ("error", "failed", "completed"),
        ("other", "completed", "completed"),
    ],
)
def test_how_a_stream_ends(reason, last, item):
    data = rendered(STARTED, TextDelta(0, "a"), Finished(reason), Ended())
    assert kinds(data)[-1] == last
    response = events(data)[-1]["response"]
    assert (response["status"], response["output"][0]["status"]) == (last, item)


def test_an_error_after_the_first_byte_ends_the_stream_without_an_end():
    relay = NeutralRelay(dialect, dialect, dialect.StreamRenderer(View()), "req_1")
    said = relay.feed(frame(CREATED) + frame(text("a")))
    assert b"response.output_text.delta" in said
    last = relay.finish(UpstreamError("Cut."))
    assert last == dialect.error_event(UpstreamError("Cut."), "req_1")


def test_an_error_before_the_first_byte_is_raised():
    relay = NeutralRelay(dialect, dialect, dialect.StreamRenderer(View()), "req_1")
    error = {"type": "error", "error": {"type": "insufficient_quota", "message": "pay"}}
    with pytest.raises(ProviderError, match="pay"):
        relay.feed(frame(CREATED) + frame(PROGRESS) + frame(error))
