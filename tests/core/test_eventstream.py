"""The binary event stream, held against botocore's own reader of it."""

import struct
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from core import eventstream
from core.errors import UpstreamError
from core.eventstream import EVENT_STREAM, Framer
from core.sse import Event


def frame(headers: bytes, payload: bytes) -> bytes:
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    checked = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return checked + struct.pack(">I", crc32(checked))


def header(name: bytes, kind: int, value: bytes) -> bytes:
    return bytes((len(name),)) + name + bytes((kind,)) + value


def string(name: bytes, value: bytes) -> bytes:
    return header(name, 7, struct.pack(">H", len(value)) + value)


EVERY_TYPE = b"".join(
    (
        header(b"yes", 0, b""),
        header(b"no", 1, b""),
        header(b"byte", 2, b"\x01"),
        header(b"short", 3, b"\x00\x01"),
        header(b"integer", 4, bytes(4)),
        header(b"long", 5, bytes(8)),
        header(b"blob", 6, b"\x00\x03abc"),
        header(b"when", 8, bytes(8)),
        header(b"uuid", 9, bytes(16)),
        string(b":event-type", b"chunk"),
        string(b":message-type", b"event"),
    )
)


def by_botocore(data: bytes) -> list[tuple[str, bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    names = (":event-type", ":exception-type", ":error-code")
    return [(next(str(e.headers[n]) for n in names if n in e.headers), e.payload) for e in buffer]


def by_us(chunks: list[bytes]) -> list[tuple[str, bytes]]:
    framer = EVENT_STREAM.framer()
    frames = [whole for chunk in chunks for whole in framer.feed(chunk)]
    assert framer.flush() == b""
    events = [EVENT_STREAM.parse(whole) for whole in frames]
    return [(event.name.decode(), event.data) for event in events if event]


events = st.lists(
    st.tuples(st.sampled_from(["messageStart", "contentBlockDelta", "x" * 200]), st.binary()),
    max_size=5,
)


@given(events=events, data=st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_is_rendered_is_read_by_botocore_and_by_us_however_it_is_split(
    events: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    wire = b"".join(eventstream.render(payload, name) for name, payload in events)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(wire)), max_size=12)))
    chunks = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert by_us(chunks) == events == by_botocore(wire)


def test_one_byte_at_a_time_frames_are_the_bytes_that_came() -> None:
    one, two = eventstream.render(b"{}", "a"), eventstream.render(b"[]", "b")
    framer = Framer()
    frames = [got for byte in one + two for got in framer.feed(bytes((byte,)))]
    assert frames == [one, two]


def test_headers_of_every_type_are_passed_over() -> None:
    whole = frame(EVERY_TYPE, b"payload")
    assert eventstream.parse(whole) == Event(b"payload", b"chunk")
    assert by_botocore(whole) == [("chunk", b"payload")]


def test_a_rendered_event_says_what_botocore_expects_of_one() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(eventstream.render(b"{}", "metadata"))
    buffer.add_data(eventstream.render_exception(b"{}", "throttlingException"))
    event, exception = buffer
    assert event.headers == {
        ":event-type": "metadata",
        ":message-type": "event",
        ":content-type": "application/json",
    }
    assert exception.headers[":message-type"] == "exception"
    assert exception.to_response_dict()["status_code"] == 400


@pytest.mark.parametrize(
    ("headers", "payload", "event"),
    [
        (
            string(b":message-type", b"exception") + string(b":exception-type", b"aException"),
            b'{"message":"m"}',
            Event(b'{"message":"m"}', b"aException"),
        ),
        (
            string(b":message-type", b"exception") + string(b":exception-type", b"odd"),
            b"{}",
            Event(b"{}", b"oddException"),
        ),
        (
            string(b":message-type", b"error")
            + string(b":error-code", b"InternalFailure")
            + string(b":error-message", b"say \xff"),
            b"",
            Event('{"message":"say \ufffd"}'.encode(), b"InternalFailureException"),
        ),
        (b"", b"{}", Event(b"{}", b"")),
    ],
)
def test_the_name_of_an_error_ends_in_exception(
    headers: bytes, payload: bytes, event: Event
) -> None:
    assert eventstream.parse(frame(headers, payload)) == event


def damaged(whole: bytes, at: int) -> bytes:
    return whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :]


WHOLE = eventstream.render(b'{"a":1}', "chunk")


@pytest.mark.parametrize("at", range(len(WHOLE)))
def test_one_flipped_bit_anywhere_is_an_error_and_never_an_event(at: int) -> None:
    framer = Framer()
    frames = framer.feed(damaged(WHOLE, at))
    assert len(frames) == 1
    with pytest.raises(UpstreamError, match="damaged"):
        eventstream.parse(frames[0])


@pytest.mark.parametrize(
    ("whole", "why"),
    [
        (b"", "length"),
        (b"short", "length"),
        (WHOLE[:-1], "length"),
        (WHOLE + b"x", "length"),
        (damaged(WHOLE, 4), "length"),
        (damaged(WHOLE, 20), "checksum"),
        (frame(b"\x05ab", b""), "headers"),
        (frame(b"\x01a\x0b", b""), "headers"),
        (frame(b"\x01a\x07\x00", b""), "headers"),
        (frame(b"\x01a\x07\x00\x09x", b"enough payload"), "headers"),
        (frame(b"\x01a\x05abc", b"enough payload"), "headers"),
    ],
)
def test_a_damaged_frame_says_what_is_wrong(whole: bytes, why: str) -> None:
    with pytest.raises(UpstreamError, match=why):
        eventstream.parse(whole)


@pytest.mark.parametrize(
    "lengths", [(15, 0), (20, 5), (26 * 1024 * 1024, 0)], ids=["short", "headers", "long"]
)
def test_a_length_that_cannot_be_is_not_waited_for(lengths: tuple[int, int]) -> None:
    packed = struct.pack(">II", *lengths)
    data = packed + struct.pack(">I", crc32(packed))
    assert Framer().feed(data) == [data]


def test_what_comes_after_a_damaged_frame_is_handed_out_to_be_refused() -> None:
    framer = Framer()
    assert framer.feed(WHOLE + damaged(WHOLE, 0) + WHOLE) == [WHOLE, damaged(WHOLE, 0) + WHOLE]
    assert framer.feed(WHOLE) == [WHOLE]


def test_a_frame_that_was_cut_off_is_none() -> None:
    framer = Framer()
    assert framer.feed(WHOLE[:-1]) == []
    assert framer.flush() == b""
    assert framer.feed(WHOLE) == [WHOLE]


def test_nothing_may_be_sent_between_two_events() -> None:
    assert EVENT_STREAM.heartbeat == b""
    assert EVENT_STREAM.content_type == "application/vnd.amazon.eventstream"


@pytest.mark.timeout(8)
def test_a_large_frame_in_small_chunks_costs_no_more_than_its_bytes() -> None:
    whole = eventstream.render(b"x" * (24 * 1024 * 1024), "e")
    framer = eventstream.Framer()
    frames = []
    for start in range(0, len(whole), 500):
        frames += framer.feed(whole[start : start + 500])
    assert frames == [whole]
