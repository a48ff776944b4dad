"""Streams of Google's, both ways, and the watcher of the pass lane."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from core import sse
from core.dialects import anthropic, gemini
from core.dialects.gemini.answer import PartialArgument
from core.dialects.gemini.array import ArrayWriter, asks_for_events
from core.dialects.gemini.pieces import Arguments
from core.errors import ProviderError, UpstreamError
from core.neutral import (
    Delta,
    Ended,
    Failed,
    Finished,
    Media,
    MediaDelta,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageDelta,
    View,
    fold,
)
from core.signatures import into_id, of_google
from core.sse import Event
from core.streams import CUT, NeutralRelay, PassRelay

VIEW = View(stream=True, model="asked-for", fresh_id="fresh")


def chunk(*parts: Any, reason: str | None = None, index: int | None = None, **more: Any) -> bytes:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}}
    if reason is not None:
        candidate["finishReason"] = reason
    if index is not None:
        candidate["index"] = index
    return msgspec.json.encode({"candidates": [candidate], "responseId": "r1", **more})


def parsed(*chunks: bytes) -> tuple[list[Delta], bool]:
    parser = gemini.StreamParser()
    deltas = [delta for data in chunks for delta in parser.feed(Event(data))]
    return deltas, parser.complete


def test_text_comes_as_it_is_said():
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4}
    deltas, complete = parsed(
        chunk({"text": "a"}, {"text": "b"}, modelVersion="m", usageMetadata={"trafficType": "X"}),
        chunk({"text": "c"}, usageMetadata={"promptTokenCount": 3}),
        chunk({"text": "d"}, usageMetadata={"promptTokenCount": 3}),
        chunk({"text": ""}, reason="STOP", usageMetadata=usage),
    )
    assert deltas == [
        Started(id="r1", model="m"),
        TextDelta(0, "a"),
        TextDelta(0, "b"),
        TextDelta(0, "c"),
        UsageDelta(Usage(input_tokens=3)),
        TextDelta(0, "d"),
        Finished("stop", "STOP"),
        UsageDelta(Usage(input_tokens=3, output_tokens=4)),
    ]
    assert complete


def test_each_candidate_goes_its_own_way():
    deltas, complete = parsed(
        chunk({"text": "a"}, index=0), chunk({"text": "b"}, index=1), chunk(reason="STOP", index=0)
    )
    assert not complete
    assert TextDelta(0, "b", 1) in deltas
    _, complete = parsed(
        chunk({"text": "a"}, index=0),
        chunk(reason="STOP", index=0),
        chunk({"text": "b"}, reason="MAX_TOKENS", index=1),
    )
    assert complete


def test_parts_may_follow_the_reason():
    deltas, complete = parsed(
        chunk({"text": "a"}, reason="STOP"),
        chunk({"functionCall": {"id": "x", "name": "f", "args": {}}}, reason="STOP"),
    )
    assert complete
    reply = fold(deltas)
    assert reply.choices[0].reason == "tool_calls"
    assert reply.choices[0].parts[1] == ToolCall(id="x", name="f", arguments="{}")


def test_a_signature_at_the_end_of_a_text():
    deltas, _ = parsed(
        chunk({"text": "a"}),
        chunk({"text": "", "thoughtSignature": "T"}),
        chunk({"text": "th", "thought": True}),
        chunk({"text": "", "thought": True}),
        chunk({"text": "ink", "thought": True, "thoughtSignature": "R"}, reason="STOP"),
    )
    assert deltas[1:-1] == [
        TextDelta(0, "a"),
        ReasoningDelta(1, "", of_google("T")),
        ReasoningDelta(2, "th"),
        ReasoningDelta(2, "ink", of_google("R")),
    ]


def test_a_call_in_pieces_is_put_together():
    deltas, complete = parsed(
        chunk({"functionCall": {"name": "f", "willContinue": True}, "thoughtSignature": "S"}),
        chunk(_piece("$.place", stringValue="San", willContinue=True)),
        chunk(_piece("$.place", stringValue=" José")),
        chunk({"functionCall": {}}),
        chunk({"functionCall": {"name": "g", "willContinue": True}}),
        chunk(_piece("$.n", numberValue=1.5)),
        chunk({"functionCall": {"name": "h"}}),
        chunk({"functionCall": {"name": "i", "willContinue": True}}, reason="STOP"),
        chunk({"functionCall": {}}),
    )
    assert complete
    calls = [part for part in fold(deltas).choices[0].parts if isinstance(part, ToolCall)]
    assert [(call.name, call.arguments) for call in calls] == [
        ("f", '{"place":"San José"}'),
        ("g", '{"n":1.5}'),
        ("h", "{}"),
        ("i", "{}"),
    ]
    assert calls[0].signature == "S"


def _piece(path: str, **value: Any) -> dict[str, Any]:
    return {"functionCall": {"partialArgs": [{"jsonPath": path, **value}], "willContinue": True}}


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (
            [("$.a.b", "string_value", "x"), ("$.a.c", "bool_value", True)],
            '{"a":{"b":"x","c":true}}',
        ),
        (
            [("$.a[0].b", "string_value", "x"), ("$.a[1]", "string_value", "y")],
            '{"a":[{"b":"x"},"y"]}',
        ),
        ([("$.a[2]", "bool_value", False)], '{"a":[null,null,false]}'),
        ([("$['a.b']", "bool_value", None)], '{"a.b":null}'),
        ([("$", "string_value", "x"), ("$[0]", "string_value", "x")], "{}"),
        ([("$.a", "string_value", "x"), ("$.a.b", "string_value", "y")], '{"a":"x"}'),
        ([("$.a", "string_value", "x"), ("$.a.b.c", "string_value", "y")], '{"a":"x"}'),
        ([("$.a[99999999].b", "string_value", "x")], '{"a":[]}'),
    ],
)
def test_pieces_find_their_place(pieces, expected):
    arguments = Arguments()
    for path, kind, value in pieces:
        arguments.add(PartialArgument(json_path=path, **{kind: value}))
    assert arguments.json() == expected


def test_a_blocked_prompt_ends_the_stream():
    deltas, complete = parsed(b'{"promptFeedback":{"blockReason":"SAFETY"}}')
    assert complete
    assert deltas[-1] == Finished("content_filter", "SAFETY")


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_error_inside_the_stream(wrapped):
    error: Any = {"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}}
    deltas, complete = parsed(
        chunk({"text": "a"}), msgspec.json.encode([error] if wrapped else error)
    )
    assert deltas[-1] == Failed(503, "Overloaded.", "api_error")
    assert not complete


# --- To a client of Google's --------------------------------------------------------------------


def rendered(deltas: Iterable[Delta]) -> list[Any]:
    renderer = gemini.StreamRenderer(VIEW)
    framer = sse.Framer()
    frames = framer.feed(b"".join(renderer.feed(delta) for delta in deltas))
    events = [sse.parse(frame) for frame in frames]
    return [msgspec.json.decode(event.data) for event in events if event is not None]


def parts(event: Any) -> Any:
    return event["candidates"][0]["content"]["parts"]


def test_a_stream_as_google_would_say_it():
    events = rendered(
        [
            Started(id="msg_1", model="claude", usage=Usage(input_tokens=3)),
            ReasoningDelta(0, ""),
            ReasoningDelta(0, "th"),
            ReasoningDelta(0, "", "ErUB"),
            TextDelta(1, "a"),
            TextDelta(1, ""),
            TextDelta(1, "b"),
            MediaDelta(2, Media(kind="image", media_type="image/png", data="AAAA")),
            Finished("length", "max_tokens"),
            UsageDelta(Usage(input_tokens=3, output_tokens=4)),
            Ended(),
        ]
    )
    head = {"modelVersion": "claude", "responseId": "msg_1"}
    assert [parts(event) for event in events] == [
        [{"text": "th", "thought": True}],
        [{"text": "", "thought": True, "thoughtSignature": "Y3V0d2F0ZXI6c2lnbmF0dXJlOkVyVUI="}],
        [{"text": "a"}],
        [{"text": "b"}],
        [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}],
        [{"text": ""}],
    ]
    assert all(event.items() >= head.items() for event in events)
    assert [event["candidates"][0].get("finishReason") for event in events] == [None] * 5 + [
        "MAX_TOKENS"
    ]
    assert events[-1]["usageMetadata"] == {
        "promptTokenCount": 3,
        "candidatesTokenCount": 4,
        "totalTokenCount": 7,
    }


def test_a_call_comes_whole_whatever_its_pieces_were():
    events = rendered(
        [
            Started(),
            ToolCallStarted(0, "c1", "f"),
            ToolCallDelta(0, '{"a"'),
            ToolCallStarted(1, into_id("c2", "S"), "g"),
            ToolCallDelta(1, "{}"),
            ToolCallDelta(0, ":1}"),
            Finished("tool_calls", "tool_calls"),
            Ended(),
        ]
    )
    assert parts(events[0]) == [
        {
            "functionCall": {"id": "c1", "name": "f", "args": {"a": 1}},
            "thoughtSignature": "Y3V0d2F0ZXI6dW5zaWduZWQ=",
        },
        {"functionCall": {"id": "c2", "name": "g", "args": {}}, "thoughtSignature": "S"},
    ]
    assert events[-1]["candidates"][0]["finishReason"] == "STOP"
    assert "usageMetadata" not in events[-1]


def test_two_choices_and_a_refusal():
    events = rendered(
        [
            Started(),
            TextDelta(0, "a", 1),
            RefusalDelta(0, "No.", 0),
            Finished("stop", None, None, 1),
            Finished("stop", None, None, 0),
            Ended(),
        ]
    )
    assert [event["candidates"][0]["index"] for event in events[:-1]] == [1, 0]
    assert [
        (candidate["index"], candidate["finishReason"]) for candidate in events[-1]["candidates"]
    ] == [(0, "SAFETY"), (1, "STOP")]


def test_an_end_without_a_reason_is_a_stop():
    (event,) = rendered([Started(), Ended()])
    assert event["candidates"][0]["finishReason"] == "STOP"
    assert (event["modelVersion"], event["responseId"]) == ("asked-for", "fresh")


def test_a_failure_is_not_the_renderers():
    assert rendered([Started(), Failed(500, "m")]) == []


def test_what_was_rendered_reads_as_what_it_was():
    deltas = [
        Started(id="r1", model="m"),
        ReasoningDelta(0, "th", of_google("R")),
        TextDelta(1, "a"),
        ReasoningDelta(2, "", of_google("T")),
        ToolCallStarted(3, into_id("x", "C"), "f", 0, "C"),
        ToolCallDelta(3, '{"a":1}'),
        Finished("tool_calls", "STOP"),
        UsageDelta(Usage(input_tokens=3, output_tokens=9, reasoning_tokens=5)),
    ]
    again, complete = parsed(
        *(msgspec.json.encode(event) for event in rendered([*deltas, Ended()]))
    )
    assert complete
    assert fold(again) == fold(deltas)


# --- Through the relays -------------------------------------------------------------------------


def _neutral_relay() -> NeutralRelay:
    return NeutralRelay(anthropic, gemini, anthropic.StreamRenderer(VIEW), "req_1")


def _wire(data: bytes) -> bytes:
    return b"data: " + data + b"\r\n\r\n"


def test_the_end_of_the_bytes_ends_a_whole_stream():
    relay = _neutral_relay()
    said = relay.feed(_wire(chunk({"text": "a"})) + _wire(chunk(reason="STOP")))
    assert b"message_stop" not in said
    assert b"message_stop" in relay.finish(None)
    assert relay.ended


def test_a_stream_that_was_cut_is_not_presented_as_whole():
    relay = _neutral_relay()
    relay.feed(_wire(chunk({"text": "a"})))
    said = relay.finish(None)
    assert CUT.encode() in said
    assert b"message_stop" not in said


def test_arguments_that_are_no_object_end_the_stream_with_an_error():
    renderer = gemini.StreamRenderer(VIEW)
    for delta in (Started(), ToolCallStarted(0, "c", "f"), ToolCallDelta(0, "[")):
        renderer.feed(delta)
    with pytest.raises(UpstreamError):
        renderer.feed(Finished("tool_calls"))


def _pass_relay() -> PassRelay:
    return PassRelay(gemini, gemini.StreamWatcher(VIEW), "req_1")


def test_the_pass_lane_changes_no_byte_and_knows_the_usage():
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4}
    stream = _wire(chunk({"text": "a"}, usageMetadata={})) + _wire(
        chunk(reason="STOP", usageMetadata=usage)
    )
    relay = _pass_relay()
    assert relay.feed(stream) + relay.finish(None) == stream
    assert relay.ended
    assert relay.watcher.usage == Usage(input_tokens=3, output_tokens=4)


def test_the_pass_lane_tells_of_a_cut():
    relay = _pass_relay()
    relay.feed(_wire(chunk({"text": "a"}, index=0)) + _wire(chunk(reason="STOP", index=1)))
    assert CUT.encode() in relay.finish(None)


def test_the_pass_lane_knows_a_blocked_prompt_for_whole():
    relay = _pass_relay()
    relay.feed(_wire(b'{"promptFeedback":{"blockReason":"SAFETY"}}'))
    assert relay.finish(None) == b""


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_pass_lane_hears_an_error(wrapped):
    error: Any = {"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}}
    with pytest.raises(ProviderError) as caught:
        _pass_relay().feed(_wire(msgspec.json.encode([error] if wrapped else error)))
    assert caught.value.status == 429


def test_nothing_is_sent_between_the_events():
    """Google's SDK would take a comment for JSON."""
    assert gemini.WIRE.heartbeat == b""


# --- As an array --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_a_stream_as_an_array_in_any_split(size):
    documents = [{"a": "\u2028é"}, {"b": 2}, {"error": {"code": 500}}]
    stream = b": hello\n\n" + b"".join(_wire(msgspec.json.encode(d)) for d in documents)
    stream = stream[:-2]  # The last blank line may be missing.
    writer = ArrayWriter()
    pieces = [writer.feed(stream[at : at + size]) for at in range(0, len(stream), size)]
    written = b"".join([*pieces, writer.finish()])
    assert msgspec.json.decode(written) == documents
    assert written.startswith(b'[{"a"')


def test_an_empty_stream_is_an_empty_array():
    assert ArrayWriter().finish() == b"[]"


@pytest.mark.parametrize(
    ("query", "asks"),
    [
        ("alt=sse", True),
        ("key=x&alt=sse", True),
        ("", False),
        ("alt=json", False),
        ("xalt=sse", False),
    ],
)
def test_who_asks_for_events(query, asks):
    assert asks_for_events(query) is asks


def test_a_call_that_was_cut_at_the_limit_does_not_cost_the_answer():
    renderer = gemini.StreamRenderer(View(stream=True))
    said = b"".join(
        renderer.feed(delta)
        for delta in (
            Started(),
            ToolCallStarted(0, "t", "f"),
            ToolCallDelta(0, '{"a": "b'),
            Finished("length"),
            ToolCallDelta(0, "c"),
            Ended(),
        )
    )
    assert b'"args":{}' in said
    assert b"MAX_TOKENS" in said
