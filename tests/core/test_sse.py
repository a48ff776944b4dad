"""Server-sent events: the cases of the specification, under any split of the bytes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UpstreamError
from core.sse import HEARTBEAT, Event, Framer, parse, render

FRAMES = [
    (b"data: x\n\n", Event(b"x")),
    (b"data:x\n\n", Event(b"x")),
    (b"data:  x\n\n", Event(b" x")),
    (b"data: x\r\n\r\n", Event(b"x")),
    (b"data: x\r\r", Event(b"x")),
    (b"data: x\r\n\n", Event(b"x")),
    (b"data: a\ndata: b\n\n", Event(b"a\nb")),
    (b"data: a\r\ndata:\r\ndata: b\r\n\r\n", Event(b"a\n\nb")),
    (b"data\n\n", Event(b"")),
    (b"data:\n\n", Event(b"")),
    (b"event: ping\ndata: {}\n\n", Event(b"{}", b"ping")),
    (b"data: {}\nevent:ping\n\n", Event(b"{}", b"ping")),
    (b"event: a\nevent: b\ndata: 1\n\n", Event(b"1", b"b")),
    (b"id: 7\nretry: 10\nunknown: x\ndata: y\n\n", Event(b"y")),
    (b"\xef\xbb\xbfdata: x\n\n", Event(b"x")),
    (b": comment\n\n", None),
    (b":\n\n", None),
    (HEARTBEAT, None),
    (b"event: ping\n\n", None),
    (b"\n\n", None),
    (b": c\ndata: x\n\n", Event(b"x")),
    (b"data: a:b: c\n\n", Event(b"a:b: c")),
    (b" data: x\n\n", None),
    (
        "data: a\u2028b\u2029c\x0b\x0c\x85d\n\n".encode(),
        Event("a\u2028b\u2029c\x0b\x0c\x85d".encode()),
    ),
]


@pytest.mark.parametrize(("frame", "event"), FRAMES)
def test_a_frame_parses_as_the_specification_says(frame: bytes, event: Event | None):
    assert parse(frame) == event


STREAMS = [
    (b"data: a\n\ndata: b\n\n", [b"data: a\n\n", b"data: b\n\n"]),
    (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"data: a\r\n\r\n", b"data: b\r\n\r\n"]),
    (b"data: a\r\rdata: b\r\r", [b"data: a\r\r", b"data: b\r\r"]),
    (b": c\n\ndata: a\n\n", [b": c\n\n", b"data: a\n\n"]),
    (b"data: a\n\r\ndata: b\r\n\n", [b"data: a\n\r\n", b"data: b\r\n\n"]),
    (b"data: a\ndata: b\n\n", [b"data: a\ndata: b\n\n"]),
    (b"data: a\r\ndata: b\r\n\r\n", [b"data: a\r\ndata: b\r\n\r\n"]),
    (b"\n\n", [b"\n\n"]),
    (b"\n\n\ndata: x\n\n", [b"\n\n", b"\ndata: x\n\n"]),
    (b"data: a\n", []),
    ("data: a\u2028\u2028b\n\n".encode(), ["data: a\u2028\u2028b\n\n".encode()]),
]


def made_whole(rest: bytes) -> bytes:
    """What is left at the end, with the blank line that it lacks; nothing where it is no event."""
    whole = rest.rstrip(b"\r\n") + b"\n\n"
    return b"" if parse(whole) is None else whole


@pytest.mark.parametrize(
    ("rest", "last"),
    [
        (b"data: a", b"data: a\n\n"),
        (b"data: a\r\n", b"data: a\n\n"),
        (b"event: e\ndata: a\n", b"event: e\ndata: a\n\n"),
        (b"event: e\n", b""),
        (b": c", b""),
        (b"\n", b""),
    ],
)
def test_a_last_event_without_its_blank_line_is_made_whole(rest: bytes, last: bytes):
    framer = Framer()
    assert framer.feed(b"data: x\n\n" + rest) == [b"data: x\n\n"]
    assert framer.flush() == last
    assert framer.flush() == b""


@pytest.mark.parametrize(("stream", "frames"), STREAMS)
def test_frames_end_at_blank_lines_only(stream: bytes, frames: list[bytes]):
    framer = Framer()
    assert framer.feed(stream) == frames
    assert framer.flush() == made_whole(stream.removeprefix(b"".join(frames)))
    assert framer.flush() == b""


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in itertools.pairwise(marks)]


line = st.sampled_from(
    [b"data: {}", b"data:x", b": c", b"event: e", b"id: 1", "data: \u2028é".encode(), b"data", b""]
)
line_end = st.sampled_from([b"\n", b"\r\n", b"\r"])
streams = st.lists(st.tuples(line, line_end), max_size=20).map(
    lambda lines: b"".join(text + end for text, end in lines)
)


def events_of(chunks: list[bytes]) -> list[Event]:
    """Not a byte is lost or changed, but for the end of a last event that lacks its own."""
    framer = Framer()
    frames = [frame for chunk in chunks for frame in framer.feed(chunk)]
    stream, framed, last = b"".join(chunks), b"".join(frames), framer.flush()
    assert stream.startswith(framed)
    assert last == made_whole(stream.removeprefix(framed))
    return [event for frame in [*frames, last] if (event := parse(frame)) is not None]


@given(streams, st.lists(st.integers(0, 400), max_size=12))
def test_any_split_of_the_bytes_gives_the_same_events(stream: bytes, places: list[int]):
    whole = events_of([stream])
    assert events_of(cut(stream, places)) == whole
    assert events_of([stream[i : i + 1] for i in range(len(stream))]) == whole


@pytest.mark.parametrize(
    ("name", "expected"), [(b"", b"data: {}\n\n"), (b"e", b"event: e\ndata: {}\n\n")]
)
def test_a_rendered_event_parses_back(name: bytes, expected: bytes):
    assert render(b"{}", name) == expected
    assert parse(expected) == Event(b"{}", name)


@pytest.mark.timeout(10)
def test_an_event_without_end_costs_no_more_than_its_bytes_and_is_an_error():
    framer, piece = Framer(), b"data: " + b"x" * 1018
    for _ in range(16 * 1024):
        assert framer.feed(piece) == []
    (frame,) = framer.feed(b"\n\n")
    assert len(frame) == 16 * 1024 * 1024 + 2
    for _ in range(32):
        framer.feed(b"x" * 1024 * 1024)
    with pytest.raises(UpstreamError, match="without end"):
        framer.feed(b"x")


@pytest.mark.parametrize("end", [b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r\n", b"\r\n\n"])
def test_an_end_in_pieces_ends_an_event_in_pieces(end: bytes):
    frames = []
    framer = Framer()
    for byte in b"data: a\nid: 1" + end + b"data: b\n\n":
        frames += framer.feed(bytes((byte,)))
    assert [event for frame in frames if (event := parse(frame))] == [Event(b"a"), Event(b"b")]
