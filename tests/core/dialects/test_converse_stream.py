"""Converse event streams, both ways, and the watcher of the pass lane."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from botocore.eventstream import EventStreamBuffer

from core import eventstream
from core.dialects import anthropic, converse
from core.errors import CutwaterError, ProviderError, UpstreamError
from core.neutral import (
    Choice,
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
    Reply,
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
    unfold,
)
from core.sse import Event
from core.streams import NeutralRelay, PassRelay


def event(name: str, **fields: Any) -> bytes:
    return eventstream.render(msgspec.json.encode({**fields, "p": "abcdef"}), name)


def delta(index: int, **piece: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta=piece)


def start(index: int, **what: Any) -> bytes:
    return event("contentBlockStart", contentBlockIndex=index, start=what)


def stop(index: int) -> bytes:
    return event("contentBlockStop", contentBlockIndex=index)


BEGIN = event("messageStart", role="assistant")
USAGE = {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}
METADATA = event("metadata", usage=USAGE, metrics={"latencyMs": 1})
TOOL = {"toolUse": {"toolUseId": "t1", "name": "lookup"}}


def end(reason: str | None = "end_turn", **fields: Any) -> bytes:
    return event("messageStop", stopReason=reason, **fields)


def parse(*frames: bytes) -> list[Delta]:
    parser = converse.StreamParser()
    return [d for frame in frames for d in parser.feed(eventstream.parse(frame))]


def test_a_stream_of_everything() -> None:
    thought = {"reasoningContent": {"text": "h"}}
    deltas = parse(
        BEGIN,
        delta(0, **thought),
        delta(0, reasoningContent={"signature": "s"}),
        stop(0),
        delta(1, text="He"),
        delta(1, text=""),
        delta(1, text="llo"),
        delta(1, citation={"title": "c"}),
        stop(1),
        start(2, **TOOL),
        delta(2, toolUse={"input": ""}),
        delta(2, toolUse={"input": '{"q":'}),
        delta(2, toolUse={"input": "1.50}"}),
        stop(2),
        end("tool_use"),
        METADATA,
    )
    assert deltas == [
        Started(),
        ReasoningDelta(0, "h"),
        ReasoningDelta(0, signature="s"),
        TextDelta(1, "He"),
        TextDelta(1, "llo"),
        ToolCallStarted(2, "t1", "lookup"),
        ToolCallDelta(2, '{"q":'),
        ToolCallDelta(2, "1.50}"),
        Finished("tool_calls", "tool_use"),
        UsageDelta(Usage(input_tokens=3, output_tokens=4)),
        Ended(),
    ]


def test_redacted_thinking_in_pieces_is_one() -> None:
    pieces = [delta(0, reasoningContent={"redactedContent": data}) for data in ("RXU=", "OEU=")]
    assert fold(parse(*pieces)).choices[0].parts == (Reasoning(redacted="Eu8E"),)


def test_an_image_that_a_model_made() -> None:
    piece = {"image": {"source": {"bytes": "AA=="}}}
    image = Media(kind="image", media_type="image/webp", data="AA==")
    assert parse(start(0, image={"format": "webp"}), delta(0, **piece)) == [MediaDelta(0, image)]
    assert parse(delta(0, image={"source": {}})) == []


def test_a_call_without_arguments_has_an_empty_object() -> None:
    calls = [d for d in parse(start(0, **TOOL), stop(0), stop(0)) if isinstance(d, ToolCallDelta)]
    assert calls == [ToolCallDelta(0, "{}")]


def test_another_kind_of_block_under_a_known_index_is_another_part() -> None:
    deltas = parse(delta(0, text="He"), start(0, **TOOL), delta(0, toolUse={"input": "{}"}))
    assert fold(deltas).choices[0].parts == (
        Text("He"),
        ToolCall(id="t1", name="lookup", arguments="{}"),
    )


@pytest.mark.parametrize(
    "frame",
    [
        start(0, toolUse={"toolUseId": "t", "name": "f", "type": "server_tool_use"}),
        start(0, toolResult={"toolUseId": "t"}),
        delta(0, toolUse={"input": "{}"}),
        delta(0, toolResult=[{"text": "a"}]),
        event("contentBlockDelta", contentBlockIndex=0),
        event("contentBlockStart", contentBlockIndex=0),
        event("somethingNew"),
        stop(0),
    ],
)
def test_what_nobody_else_has_a_word_for_says_nothing(frame: bytes) -> None:
    assert parse(frame) == []


def test_an_answer_is_whole_at_its_stop_and_over_at_its_metadata() -> None:
    parser = converse.StreamParser()
    told = parser.feed(eventstream.parse(METADATA))
    assert told == [UsageDelta(Usage(input_tokens=3, output_tokens=4))]
    assert not parser.complete
    parser.feed(eventstream.parse(end()))
    assert parser.complete
    assert parser.feed(eventstream.parse(event("metadata"))) == [Ended()]


@pytest.mark.parametrize(
    ("reason", "fields", "finished"),
    [
        ("end_turn", {}, Finished("stop", "end_turn")),
        (None, {}, Finished("stop", None)),
        ("new_word", {}, Finished("other", "new_word")),
        (
            "stop_sequence",
            {"additionalModelResponseFields": {"stop_sequence": "X"}},
            Finished("stop", "stop_sequence", "X"),
        ),
    ],
)
def test_why_it_stopped(reason: str | None, fields: Any, finished: Finished) -> None:
    assert parse(end(reason, **fields)) == [finished]


EXCEPTIONS = [
    ("internalServerException", 500),
    ("modelStreamErrorException", 502),
    ("modelTimeoutException", 504),
    ("serviceUnavailableException", 503),
    ("throttlingException", 429),
    ("ThrottlingException", 429),
    ("validationException", 400),
    ("somethingNewException", 500),
]


@pytest.mark.parametrize(("name", "status"), EXCEPTIONS)
def test_an_exception_is_a_failure_with_its_status(name: str, status: int) -> None:
    frame = eventstream.render_exception(b'{"message":"too fast"}', name)
    (failed,) = parse(frame)
    assert isinstance(failed, Failed)
    assert (failed.status, failed.message, failed.code) == (status, "too fast", name)
    watcher = converse.StreamWatcher(View())
    assert watcher.see(eventstream.parse(frame))
    assert watcher.error is not None
    assert watcher.error.status == status
    assert not watcher.complete


@pytest.mark.parametrize("name", ["contentBlockDelta", "messageStop", "metadata"])
def test_a_payload_that_is_no_json_is_left_out(name: str) -> None:
    whole = eventstream.render(b'{"role":"assistant"}', "messageStart")
    whole += eventstream.render(b'{"delta":{"text":"Hi"}}', "contentBlockDelta")
    relay = PassRelay(converse, converse.StreamWatcher(View()), "r1")
    assert relay.feed(whole + eventstream.render(b'{"delta":{"te', name)) == whole
    assert (relay.broken_events, relay.complete) == (1, False)


# --- What a client gets -------------------------------------------------------------------------


def told(data: bytes) -> list[tuple[str, Any]]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [
        (
            str(e.headers.get(":event-type") or e.headers[":exception-type"]),
            msgspec.json.decode(e.payload),
        )
        for e in buffer
    ]


def render(deltas: Iterable[Delta]) -> bytes:
    renderer = converse.StreamRenderer(View())
    return b"".join([renderer.feed(d) for d in deltas])


def test_events_are_those_of_bedrock() -> None:
    usage = Usage(input_tokens=10, output_tokens=4, cache_read_tokens=7)
    assert told(
        render(
            [
                Started(usage=Usage(input_tokens=1)),
                ReasoningDelta(0, "h"),
                ReasoningDelta(0, "m", "s"),
                TextDelta(1, "He"),
                TextDelta(1, "llo"),
                ToolCallStarted(2, "t1", "f"),
                ToolCallStarted(3, "t2", "g"),
                ToolCallDelta(2, "{}"),
                ToolCallDelta(3, "{}"),
                Finished("tool_calls"),
                UsageDelta(usage),
                Ended(),
            ]
        )
    ) == [
        ("messageStart", {"role": "assistant"}),
        (
            "contentBlockDelta",
            {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "h"}}},
        ),
        (
            "contentBlockDelta",
            {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "m"}}},
        ),
        (
            "contentBlockDelta",
            {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "s"}}},
        ),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "He"}}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "llo"}}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        (
            "contentBlockStart",
            {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t1", "name": "f"}}},
        ),
        (
            "contentBlockStart",
            {"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "t2", "name": "g"}}},
        ),
        ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": "{}"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 3, "delta": {"toolUse": {"input": "{}"}}}),
        ("contentBlockStop", {"contentBlockIndex": 2}),
        ("contentBlockStop", {"contentBlockIndex": 3}),
        ("messageStop", {"stopReason": "tool_use"}),
        (
            "metadata",
            {
                "usage": {
                    "inputTokens": 3,
                    "outputTokens": 4,
                    "totalTokens": 14,
                    "cacheReadInputTokens": 7,
                    "cacheWriteInputTokens": 0,
                },
                "metrics": {"latencyMs": 0},
            },
        ),
    ]


def test_what_comes_late_is_a_block_of_its_own() -> None:
    shown = told(
        render(
            [
                Started(),
                ReasoningDelta(0, "hm"),
                TextDelta(1, "a"),
                ReasoningDelta(0, signature="s"),
                Finished("stop"),
                Ended(),
            ]
        )
    )
    blocks = [fields["contentBlockIndex"] for name, fields in shown if "contentBlock" in name]
    assert blocks == sorted(blocks)
    assert blocks[-1] == 2


def test_nova_says_of_a_clients_call_that_it_is_one() -> None:
    use = {"toolUseId": "t1", "name": "f", "type": "tool_use"}
    said = parse(BEGIN, start(0, toolUse=use), stop(0))
    assert ToolCallStarted(0, "t1", "f") in said


def test_a_refusal_is_text_and_its_own_reason_to_stop() -> None:
    given = told(render([RefusalDelta(0, "no"), Finished("stop"), Ended()]))
    assert given[0] == ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "no"}})
    assert given[-2] == ("messageStop", {"stopReason": "content_filtered"})


def test_a_stop_sequence_is_told() -> None:
    given = told(render([Finished("stop", None, "X"), Ended()]))
    assert given[0] == ("messageStop", {"stopReason": "stop_sequence"})


@pytest.mark.parametrize(
    "unseen",
    [
        TextDelta(0, "second choice", 1),
        Finished("length", choice=1),
        Failed(500, "m"),
    ],
)
def test_a_converse_client_sees_one_choice_and_what_it_knows(unseen: Delta) -> None:
    assert render([unseen]) == b""


WHOLE = Reply(
    choices=(
        Choice(
            parts=(
                Reasoning(text="hm", signature="s"),
                Reasoning(redacted="\x00\xff"),
                Reasoning(),
                Text("hi"),
                ToolCall(id="t", name="f", arguments='{"a":1.50}'),
                Media(kind="image", media_type="image/gif", data="AA=="),
            ),
            reason="tool_calls",
            raw_reason="tool_use",
        ),
    ),
    usage=Usage(input_tokens=5, output_tokens=6, cache_write_tokens=2),
)


def test_what_is_rendered_parses_to_what_it_was() -> None:
    framer = eventstream.Framer()
    assert fold(parse(*framer.feed(render(unfold(WHOLE))))) == WHOLE
    assert Refusal("a") != Text("a")


# --- On the way through the relay ---------------------------------------------------------------

SAID = (BEGIN, delta(0, text="He"), stop(0), end("max_tokens"), METADATA)


def pass_relay() -> PassRelay:
    return PassRelay(converse, converse.StreamWatcher(View()), "r1")


def test_the_pass_lane_forwards_every_byte_and_knows_the_usage() -> None:
    relay = pass_relay()
    data = b"".join(SAID)
    said = b"".join(relay.feed(data[i : i + 7]) for i in range(0, len(data), 7))
    assert said + relay.finish(None) == data
    assert relay.ended
    assert relay.watcher.usage == Usage(input_tokens=3, output_tokens=4)


def test_the_pass_lane_takes_an_answer_without_metadata_for_whole() -> None:
    relay = pass_relay()
    assert relay.feed(b"".join(SAID[:-1])) + relay.finish(None) == b"".join(SAID[:-1])


def test_metadata_without_usage_end_the_pass_lane_all_the_same() -> None:
    watcher = converse.StreamWatcher(View())
    assert watcher.see(eventstream.parse(end()))
    assert watcher.see(eventstream.parse(event("metadata")))
    assert watcher.ended
    assert watcher.usage is None
    assert watcher.ending() == b""


@pytest.mark.parametrize("kept", [2, 3])
def test_a_cut_stream_ends_with_an_exception_in_both_lanes(kept: int) -> None:
    cut = b"".join(SAID[:kept])
    passed = pass_relay()
    (*_, last) = told(passed.feed(cut) + passed.finish(None))
    assert last[0] == "internalServerException"
    renderer = anthropic.StreamRenderer(View())
    relay = NeutralRelay(anthropic, converse, renderer, "r1")
    assert b"event: error" in relay.feed(cut) + relay.finish(None)


def test_a_stream_that_is_cut_before_its_first_token_is_no_answer() -> None:
    for relay in (
        pass_relay(),
        NeutralRelay(anthropic, converse, anthropic.StreamRenderer(View()), "r1"),
    ):
        assert relay.feed(SAID[0]) == b""
        with pytest.raises(UpstreamError, match="before the answer was complete"):
            relay.finish(None)


def test_an_exception_in_the_middle_is_told_and_nothing_follows() -> None:
    thrown = eventstream.render_exception(b'{"message":"slow down"}', "throttlingException")
    relay = pass_relay()
    assert relay.feed(SAID[0]) == b""
    assert relay.feed(SAID[1] + thrown + SAID[2]) == SAID[0] + SAID[1] + thrown
    assert relay.ended
    neutral = NeutralRelay(anthropic, converse, anthropic.StreamRenderer(View()), "r1")
    neutral.feed(SAID[0] + SAID[1])
    said = neutral.feed(thrown)
    assert b"rate_limit_error" in said
    assert b"message_stop" not in said + neutral.finish(None)


def test_an_exception_before_everything_is_a_status() -> None:
    thrown = eventstream.render_exception(b'{"message":"slow down"}', "throttlingException")
    relays = [
        pass_relay(),
        NeutralRelay(anthropic, converse, anthropic.StreamRenderer(View()), "r1"),
    ]
    for relay in relays:
        with pytest.raises(ProviderError, match="slow down") as caught:
            relay.feed(thrown)
        assert caught.value.status == 429


def test_a_damaged_frame_ends_the_stream_with_an_exception() -> None:
    relay = pass_relay()
    relay.feed(SAID[0] + SAID[1])
    with pytest.raises(UpstreamError, match="damaged") as caught:
        relay.feed(SAID[2][:-1] + b"\x00")
    error: CutwaterError = caught.value
    assert told(relay.finish(error))[0][0] == "internalServerException"


def test_an_event_that_is_no_json_is_left_out_and_counted() -> None:
    relay = NeutralRelay(anthropic, converse, anthropic.StreamRenderer(View()), "r1")
    relay.feed(SAID[0] + eventstream.render(b"{", "contentBlockDelta"))
    assert relay.broken_events == 1
    assert converse.StreamParser().feed(Event(b"{", b"unknown")) == []
