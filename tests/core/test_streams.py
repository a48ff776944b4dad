"""Streams in both lanes: any split, any cut, any dialect."""

import itertools
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dialects import anthropic, converse, openai_chat
from core.errors import CutwaterError, ProviderError, UpstreamError, UpstreamTimeoutError
from core.eventstream import render
from core.halves import Halves
from core.neutral import Finished, ToolCallDelta, View, tool_as_text
from core.sse import Event, Framer, parse
from core.streams import CUT, NeutralRelay, PassRelay, Relay, fold_stream

# Text that breaks naive readers: U+2028, characters of several bytes, line ends as escapes.
OPENAI = [
    ": OPENROUTER PROCESSING\n\n",
    'data: {"id":"c1","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant",'
    '"content":""},"finish_reason":null}],"usage":null}\n\n',
    'data: {"id":"c1","new_field":1.50,"choices":[{"index":0,"delta":{"content":"H\u00e9\u2028"},'
    '"finish_reason":null}]}\n\n',
    'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"\\n\U0001f600 [DONE]"}}]}\n\n',
    'data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n',
    "data: [DONE]\n\n",
]
ANTHROPIC = [
    'event: message_start\ndata: {"type":"message_start","message":{"id":"m1","model":"m",'
    '"usage":{"input_tokens":3,"output_tokens":1}}}\n\n',
    'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    '"content_block":{"type":"text","text":""}}\n\n',
    'event: ping\ndata: {"type": "ping"}\n\n',
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    '"delta":{"type":"text_delta","text":"H\u00e9\u2028"},"new_field":1.50}\n\n',
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    '"delta":{"type":"text_delta","text":"\\n\U0001f600 message_stop"}}\n\n',
    'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
    'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    '"usage":{"output_tokens":2}}\n\n',
    'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]
STREAMS = {"openai_chat": "".join(OPENAI).encode(), "anthropic": "".join(ANTHROPIC).encode()}
FINISH = {"openai_chat": b'"finish_reason":"stop"}]}', "anthropic": b'"output_tokens":2}}'}
"""The last bytes of the event that makes the answer whole."""
DIALECTS: dict[str, Any] = {"openai_chat": openai_chat, "anthropic": anthropic}
LANES = [(client, provider) for client in DIALECTS for provider in DIALECTS]
in_every_lane = pytest.mark.parametrize(("client", "provider"), LANES)


def relay(client: str, provider: str, *, usage: bool = False) -> Any:
    view = View(stream=True, usage_in_stream=usage, model="m", created=1, fresh_id="f1")
    spoken = DIALECTS[client]
    if client == provider:
        return PassRelay(spoken, spoken.StreamWatcher(view), "req_1")
    return NeutralRelay(spoken, DIALECTS[provider], spoken.StreamRenderer(view), "req_1")


def run(relay: Relay, chunks: Iterable[bytes], error: CutwaterError | None = None) -> bytes:
    said = b""
    for chunk in chunks:
        said += relay.feed(chunk)
        if relay.ended:
            break
    return said + relay.finish(error)


def run_or_raise(relay: Relay, stream: bytes) -> bytes | UpstreamError:
    try:
        return run(relay, [stream])
    except UpstreamError as error:
        return error


def events(said: bytes) -> list[Event]:
    """As a strict reader sees them: every frame with an event's name has data, and it is JSON."""
    framer = Framer()
    found = []
    for frame in framer.feed(said):
        event = parse(frame)
        if event is None:
            assert b"event" not in frame, f"An event without data: {frame!r}"
            continue
        if event.data != b"[DONE]":
            msgspec.json.decode(event.data)
        found.append(event)
    assert framer.flush() == b""
    return found


def ends_as_complete(said: bytes) -> bool:
    last = events(said)[-1]
    return last.data == b"[DONE]" or last.name == b"message_stop"


def ends_with_an_error(said: bytes) -> bool:
    last = events(said)[-1]
    return last.data.startswith((b'{"error"', b'{"type":"error"'))


def text_of(said: bytes, client: str) -> str:
    """What the client's reader adds up to."""
    text = ""
    parser = DIALECTS[client].StreamParser()
    for event in events(said):
        text += "".join(getattr(delta, "text", "") for delta in parser.feed(event))
    return text


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in itertools.pairwise(marks)]


# --- Whole streams ------------------------------------------------------------------------------


def test_in_the_pass_lane_the_bytes_are_the_providers_own_but_for_usage_that_was_not_asked_for():
    assert run(relay("anthropic", "anthropic"), [STREAMS["anthropic"]]) == STREAMS["anthropic"]
    whole = STREAMS["openai_chat"]
    assert run(relay("openai_chat", "openai_chat", usage=True), [whole]) == whole
    hidden = whole.replace(OPENAI[5].encode(), b"")
    assert run(relay("openai_chat", "openai_chat"), [whole]) == hidden


@in_every_lane
def test_every_lane_says_the_same_text_and_ends_as_complete(client: str, provider: str):
    said = run(relay(client, provider), [STREAMS[provider]])
    assert ends_as_complete(said)
    expected = "H\u00e9\u2028\n\U0001f600 " + (
        "[DONE]" if provider == "openai_chat" else "message_stop"
    )
    assert text_of(said, client) == expected


@in_every_lane
def test_every_event_is_sent_on_at_once(client: str, provider: str):
    frames = OPENAI if provider == "openai_chat" else ANTHROPIC
    under_test = relay(client, provider)
    for frame in frames:
        said = under_test.feed(frame.encode())
        if '"H' in frame or "\U0001f600" in frame:
            assert events(said)


places = st.lists(st.integers(0, 5000), max_size=20)


@in_every_lane
@given(places)
def test_any_split_of_the_bytes_gives_the_same_bytes(client: str, provider: str, places: list[int]):
    whole = STREAMS[provider]
    expected = run(relay(client, provider), [whole])
    assert run(relay(client, provider), cut(whole, places)) == expected


@in_every_lane
@given(places, st.sampled_from([b"\r\n", b"\r"]))
def test_with_other_line_ends_any_split_gives_the_same_events(
    client: str, provider: str, places: list[int], line_end: bytes
):
    expected = events(run(relay(client, provider), [STREAMS[provider]]))
    other = STREAMS[provider].replace(b"\n", line_end)
    said = run(relay(client, provider), cut(other, places))
    assert events(said.replace(b"\r\n", b"\n").replace(b"\r", b"\n")) == expected


@in_every_lane
def test_single_bytes_give_the_same_bytes(client: str, provider: str):
    whole = STREAMS[provider]
    singles = [whole[i : i + 1] for i in range(len(whole))]
    assert run(relay(client, provider), singles) == run(relay(client, provider), [whole])


@in_every_lane
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_missing_last_blank_line_is_no_fault(client: str, provider: str, end: bytes):
    whole = STREAMS[provider]
    cut_short = whole.rstrip(b"\n") + end
    assert run(relay(client, provider), [cut_short]) == run(relay(client, provider), [whole])


@in_every_lane
def test_what_comes_after_the_end_is_not_heard(client: str, provider: str):
    under_test = relay(client, provider)
    said = under_test.feed(STREAMS[provider] * 2)
    assert said == run(relay(client, provider), [STREAMS[provider]])
    assert under_test.ended
    assert under_test.feed(STREAMS[provider]) == b""
    assert under_test.finish(UpstreamError("late")) == b""


# --- Streams that are not whole -----------------------------------------------------------------


def whole_from(provider: str) -> int:
    """From how many bytes on the answer is whole."""
    found = STREAMS[provider].index(FINISH[provider])
    return found + len(FINISH[provider])


@in_every_lane
def test_no_prefix_of_an_answer_ends_as_a_complete_one(client: str, provider: str):
    whole = STREAMS[provider]
    for length in range(len(whole)):
        is_whole = length >= whole_from(provider)
        said = run_or_raise(relay(client, provider), whole[:length])
        if isinstance(said, UpstreamError):
            # Not a byte has left: the client can be told by the status.
            assert (said.message, is_whole) == (CUT, False)
            continue
        assert ends_as_complete(said) is is_whole, whole[:length]
        assert ends_with_an_error(said) is not is_whole, whole[:length]


@in_every_lane
@pytest.mark.parametrize("error", [UpstreamError("Cut."), UpstreamTimeoutError("Stalled.")])
def test_a_stream_that_breaks_ends_with_the_error_in_the_clients_dialect(
    client: str, provider: str, error: CutwaterError
):
    whole = STREAMS[provider]
    for length in range(0, len(whole), 7):
        under_test = relay(client, provider)
        said = under_test.feed(whole[:length])
        if not said.startswith((b"data", b"event")) and b"\ndata" not in said:
            # A comment is no word of the answer: the error has its own status still.
            with pytest.raises(type(error)):
                under_test.finish(error)
            continue
        if under_test.ended:
            continue
        last = under_test.finish(error)
        assert last == DIALECTS[client].error_event(error, "req_1")
        assert under_test.ended


@in_every_lane
def test_an_answer_without_its_end_marker_is_ended(client: str, provider: str):
    frames = OPENAI if provider == "openai_chat" else ANTHROPIC
    whole = run(relay(client, provider), [STREAMS[provider]])
    assert run(relay(client, provider), ["".join(frames[:-1]).encode()]) == whole


@in_every_lane
def test_an_end_marker_without_an_answer_is_no_end(client: str, provider: str):
    frames = OPENAI if provider == "openai_chat" else ANTHROPIC
    with pytest.raises(UpstreamError):
        run(relay(client, provider), [frames[-1].encode()])


@pytest.mark.parametrize("client", DIALECTS)
def test_anthropics_end_marker_without_a_stop_reason_is_no_end(client: str):
    said = run(relay(client, "anthropic"), ["".join([*ANTHROPIC[:5], ANTHROPIC[-1]]).encode()])
    assert not any(e.data == b"[DONE]" or e.name == b"message_stop" for e in events(said))
    assert ends_with_an_error(said)


@in_every_lane
@pytest.mark.parametrize("stream", [b"", b": only a comment", b"event: x"])
def test_a_stream_without_an_answer_is_an_error_with_a_status(
    client: str, provider: str, stream: bytes
):
    with pytest.raises(UpstreamError, match="before the answer was complete"):
        run(relay(client, provider), [stream])


# --- Events that are broken or errors -----------------------------------------------------------

GARBAGE = [b'data: {"choices":[{"index"\n\n', b"data: hello\n\n", b'data: {"choices":\xff}\n\n']


@in_every_lane
@pytest.mark.parametrize("garbage", GARBAGE)
def test_an_event_that_is_no_json_is_left_out_and_counted(
    client: str, provider: str, garbage: bytes
):
    frames = [f.encode() for f in (OPENAI if provider == "openai_chat" else ANTHROPIC)]
    under_test = relay(client, provider)
    said = run(under_test, [b"".join([*frames[:3], garbage, *frames[3:]])])
    assert said == run(relay(client, provider), [STREAMS[provider]])
    assert under_test.broken_events == 1


@pytest.mark.parametrize(
    ("dialect", "odd"),
    [
        ("openai_chat", b'data: {"choices":[{"index":null,"delta":{"content":"x"}}]}\n\n'),
        ("openai_chat", b'data: {"choices":[],"usage":{"prompt_tokens":"many"}}\n\n'),
        ("openai_chat", b'data: {"choices":{}}\n\n'),
        ("openai_chat", b'data: "ready"\n\n'),
        ("anthropic", b'event: message_delta\ndata: {"type":"message_delta","delta":7}\n\n'),
        ("anthropic", b'event: x\ndata: {"kind":"x"}\n\n'),
    ],
)
def test_in_the_pass_lane_json_that_we_do_not_understand_goes_through(dialect: str, odd: bytes):
    frames = [f.encode() for f in (OPENAI if dialect == "openai_chat" else ANTHROPIC)]
    under_test = relay(dialect, dialect, usage=True)
    whole = b"".join([*frames[:3], odd, *frames[3:]])
    assert run(under_test, [whole]) == whole
    assert under_test.broken_events == 0


ERRORS = {
    "openai_chat": b'data: {"error":{"message":"Slow down","type":"rate_limit_error"}}\n\n',
    "anthropic": b'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error",'
    b'"message":"Slow down"}}\n\n',
}


@in_every_lane
def test_an_error_before_anything_was_said_has_its_real_status(client: str, provider: str):
    with pytest.raises(ProviderError) as caught:
        relay(client, provider).feed(ERRORS[provider])
    assert (caught.value.status, caught.value.message) == (429, "Slow down")


@in_every_lane
def test_an_error_in_the_last_line_has_its_real_status_too(client: str, provider: str):
    under_test = relay(client, provider)
    assert under_test.feed(ERRORS[provider].rstrip(b"\n")) == b""
    with pytest.raises(ProviderError):
        under_test.finish(None)


@in_every_lane
def test_an_error_in_the_middle_is_told_once_and_nothing_follows(client: str, provider: str):
    frames = [f.encode() for f in (OPENAI if provider == "openai_chat" else ANTHROPIC)]
    broken = b"".join([*frames[:5], ERRORS[provider], *frames[5:]])
    said = run(relay(client, provider), [broken])
    assert ends_with_an_error(said)
    assert b"Slow down" in said
    assert said.count(b"rate_limit_error") == 1
    for size in (1, 50, 10_000):
        pieces = [broken[i : i + size] for i in range(0, len(broken), size)]
        assert run(relay(client, provider), pieces) == said


def test_an_openai_event_named_error_is_one_without_an_error_field_too():
    frame = b'event: error\ndata: {"message":"Overloaded","status":503}\n\n'
    with pytest.raises(ProviderError) as caught:
        relay("openai_chat", "openai_chat").feed(frame)
    assert (caught.value.status, caught.value.message) == (503, "Overloaded")


def test_an_error_whose_text_is_no_utf8_is_an_error_all_the_same():
    with pytest.raises(ProviderError) as caught:
        relay("openai_chat", "openai_chat").feed(b'data: {"error":{"message":"\xff"}}\n\n')
    assert caught.value.status == 500


# --- A stand-in tool ----------------------------------------------------------------------------


def test_a_stand_in_tools_arguments_are_the_text():
    stream = (
        b'data: {"type":"message_start","message":{"id":"m1","model":"m"}}\n\n'
        b'data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use",'
        b'"id":"t","name":"json","input":{}}}\n\n'
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta",'
        b'"partial_json":"{\\"a\\":1}"}}\n\n'
        b'data: {"type":"message_delta","delta":{"stop_reason":"tool_use"}}\n\n'
        b'data: {"type":"message_stop"}\n\n'
    )
    step = tool_as_text("json")
    under_test = NeutralRelay(
        openai_chat,
        anthropic,
        openai_chat.StreamRenderer(View(stream=True)),
        "req_1",
        step=step,
    )
    said = run(under_test, [stream])
    assert text_of(said, "openai_chat") == '{"a":1}'
    assert b"tool_calls" not in said
    assert b'"finish_reason":"stop"' in said


@pytest.mark.parametrize("client", DIALECTS)
def test_an_answer_that_broke_off_ends_with_an_error_behind_what_was_said(client: str):
    """Converse has a reason for that; these two clients' formats have not."""
    stream = render(b'{"role":"assistant"}', "messageStart") + render(
        b'{"contentBlockIndex":0,"delta":{"text":"half"}}', "contentBlockDelta"
    )
    stream += render(b'{"stopReason":"malformed_model_output"}', "messageStop")
    spoken = DIALECTS[client]
    view = View(stream=True, model="m", created=1, fresh_id="f1")
    said = run(NeutralRelay(spoken, converse, spoken.StreamRenderer(view), "req_1"), [stream])
    assert b"half" in said
    assert ends_with_an_error(said)
    assert not ends_as_complete(said)


def test_half_an_emoji_does_not_cost_a_stream_that_is_folded():
    body = STREAMS["openai_chat"].replace(b"[DONE]", b"\\ud83d", 1)
    reply = fold_stream(openai_chat, openai_chat.WIRE, body)
    assert reply.choices[0].parts[0].text.endswith("\ufffd")


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (("a\\ud83d", "\\ude00b"), "a\U0001f600b"),
        (("\\ud83d", "\\ud83d", "\\ude00"), "\ufffd\U0001f600"),
        (("a\\ud83d", "b"), "a\ufffdb"),
        (("\\ude00",), "\ufffd"),
        (("a\\ud83d",), "a\ufffd"),
    ],
)
@pytest.mark.parametrize("kind", ["content", "reasoning_content", "refusal"])
def test_an_emoji_in_two_events_is_one(pieces: tuple[str, ...], text: str, kind: str):
    stream = "".join(
        f'data: {{"id":"c","choices":[{{"index":0,"delta":{{"{kind}":"{piece}"}}}}]}}\n\n'
        for piece in pieces
    )
    stream += 'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    body = stream.encode() + b"data: [DONE]\n\n"
    (choice,) = fold_stream(openai_chat, openai_chat.WIRE, body).choices
    assert "".join(part.text for part in choice.parts) == text
    if kind == "content":
        assert text_of(run(relay("anthropic", "openai_chat"), [body]), "anthropic") == text


def test_an_emoji_in_two_pieces_of_arguments_is_one():
    deltas = [ToolCallDelta(0, "\U0010f83d"), ToolCallDelta(0, "\U0010fe00"), Finished("stop")]
    step = Halves().step
    assert [whole for delta in deltas for whole in step(delta)] == [
        ToolCallDelta(0, ""),
        ToolCallDelta(0, "\U0001f600"),
        Finished("stop"),
    ]
