"""For transports that disorder, count and bound messages: order, merging, a session told anew."""

from base64 import b64decode, b64encode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.relay import coalescing, ordering, replaying
from core.relay.ordering import Arrival, Window
from core.relay.replaying import Log


def said(**event):
    return msgspec.json.encode(event).decode()


def arrival(at_ms, name, text=None, **event):
    return Arrival(at_ms=at_ms, id=name, text=text or said(**(event or {"type": "x", "n": name})))


# Order.


@given(
    st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 39)),
        min_size=1,
        max_size=40,
        unique_by=lambda pair: pair[0],
    ),
    st.integers(1, 60),
)
def test_frames_delayed_by_less_than_the_window_come_out_in_the_order_they_were_sent(sent, step):
    """`sent`: (when the gateway got it, how long until we can read it)."""
    window = Window()
    taken = []
    for now in range(0, 2200, step):
        seen = [(at, late) for at, late in sent if now - step < at + late <= now]
        window.add(arrival(at, f"m{at}") for at, late in seen)
        taken += window.take(now - step)  # Read as of then: what had arrived is all there.
    taken += window.flush()
    assert taken == [arrival(at, f"m{at}") for at, _ in sorted(sent)]
    assert window.late == 0


def test_within_a_millisecond_a_conversation_keeps_its_order():
    kinds = [
        "session.update",
        "conversation.item.create",
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "response.create",
        "response.cancel",
        "something.new",
    ]
    window = Window()
    window.add(arrival(5, f"id{9 - n}", type=kind) for n, kind in enumerate(reversed(kinds)))
    taken = [msgspec.json.decode(one.text)["type"] for one in window.take(45)]
    assert taken == kinds


def test_appends_of_one_millisecond_follow_the_clients_own_numbers():
    window = Window()
    append = "input_audio_buffer.append"
    window.add(arrival(5, f"z{9 - n}", type=append, event_id=f"event_{n}") for n in (10, 9, 2))
    taken = [msgspec.json.decode(one.text)["event_id"] for one in window.take(45)]
    assert taken == ["event_2", "event_9", "event_10"]


def test_a_frame_is_held_for_the_window_and_no_longer():
    window = Window()
    window.add([arrival(1000, "a")])
    assert window.next_at_ms() == 1040
    assert window.take(1039) == []
    assert len(window) == 1
    assert len(window.take(1040)) == 1
    assert window.next_at_ms() is None


def test_what_is_read_twice_is_sent_once():
    window = Window()
    window.add([arrival(1, "a"), arrival(1, "a")])
    assert len(window.take(100)) == 1
    window.add([arrival(1, "a")])
    assert window.take(1000) == []
    assert window.duplicates == 2


def test_what_a_predecessor_took_is_not_taken_again():
    window = Window()
    window.knows(["a"])
    window.add([arrival(1, "a"), arrival(2, "b")])
    assert [one.id for one in window.take(100)] == ["b"]


def test_the_window_grows_where_a_frame_came_too_late_and_shrinks_in_calm():
    window = Window()
    window.add([arrival(1000, "b")])
    window.take(1040)
    window.add([arrival(990, "a")])
    assert window.late == 1
    assert window.window_ms == 80
    assert len(window.take(1100)) == 1  # Late, and not lost.
    for late in range(4):
        window.add([arrival(980 - late, f"late{late}")])
    assert window.window_ms == ordering.LONGEST_WINDOW_MS
    for number in range(5000):
        window.add([arrival(2000 + number, f"n{number}")])
        window.take(2000 + number + 200)
    assert window.window_ms == ordering.WINDOW_MS


def test_what_is_no_json_has_its_place_in_time_too():
    window = Window()
    window.add([arrival(2, "b", text="no JSON"), arrival(1, "a", text="[]")])
    assert [one.text for one in window.take(100)] == ["[]", "no JSON"]


def test_ids_are_not_remembered_for_ever():
    window = Window()
    window.add(arrival(n, f"n{n}") for n in range(5000))
    assert len(window._known) == 4096


# Coalescing.


def delta(piece, kind="response.output_audio_transcript.delta", item="item_1", n=0, **more):
    return said(type=kind, event_id=f"e{n}", item_id=item, content_index=0, delta=piece, **more)


def sound(raw, n=0):
    return delta(b64encode(raw).decode(), "response.output_audio.delta", n=n)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=30))
def test_merged_deltas_say_the_same_text(pieces):
    merged = coalescing.merged(delta(piece, n=n) for n, piece in enumerate(pieces))
    assert "".join(msgspec.json.decode(one)["delta"] for one in merged) == "".join(pieces)
    assert len(merged) == 1
    assert msgspec.json.decode(merged[0])["event_id"] == "e0"


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=20))
def test_merged_sound_is_the_same_sound(pieces):
    merged = coalescing.merged(sound(piece, n) for n, piece in enumerate(pieces))
    heard = b"".join(b64decode(msgspec.json.decode(one)["delta"]) for one in merged)
    assert heard == b"".join(pieces)
    assert len(merged) == 1


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=20))
def test_merged_appends_are_the_same_sound(pieces):
    frames = [
        said(type="input_audio_buffer.append", audio=b64encode(piece).decode()) for piece in pieces
    ]
    (one,) = coalescing.merged(frames)
    assert b64decode(msgspec.json.decode(one)["audio"]) == b"".join(pieces)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (delta("a"), delta("b", item="item_2")),
        (delta("a"), delta("b", kind="response.output_text.delta")),
        (delta("a"), said(type="response.done")),
        (said(type="response.done"), said(type="response.done")),
        (delta("a"), delta("b", logprobs=[1])),
        (delta("a", logprobs=[1]), delta("b", logprobs=[2])),
        (delta("a"), "no JSON"),
        (said(type="x.delta", delta=1), said(type="x.delta", delta=2)),
        (said(type="x.delta"), said(type="x.delta")),
        (delta("!=", "response.audio.delta"), delta("AAAA", "response.audio.delta")),
    ],
)
def test_events_that_differ_in_more_than_their_piece_stay_two(first, second):
    assert coalescing.merge(first, second) is None


def test_padding_does_not_keep_two_deltas_apart():
    merged = coalescing.merged([delta("a", obfuscation="xyz"), delta("b", obfuscation="z")])
    assert [msgspec.json.decode(one)["delta"] for one in merged] == ["ab"]


def test_only_neighbours_are_merged():
    done = said(type="response.done")
    merged = coalescing.merged([delta("a"), delta("b"), done, delta("c"), delta("d")])
    assert [msgspec.json.decode(one).get("delta") for one in merged] == ["ab", None, "cd"]


def test_no_merged_event_is_larger_than_a_message():
    merged = coalescing.merged(sound(b"x" * 3000, n) for n in range(40))
    assert 1 < len(merged) < 40
    assert all(len(one.encode()) <= coalescing.MOST_BYTES for one in merged)


@given(st.binary(min_size=1, max_size=4000), st.integers(300, 2000))
def test_sound_that_is_too_long_for_a_message_is_cut_into_several(raw, most):
    pieces = coalescing.cut(sound(raw), most=most)
    assert all(len(one) <= most for one in pieces)
    assert b"".join(b64decode(msgspec.json.decode(one)["delta"]) for one in pieces) == raw


@given(st.text(min_size=1, max_size=2000), st.integers(300, 2000))
def test_text_that_is_too_long_for_a_message_is_cut_into_several(text, most):
    pieces = coalescing.cut(delta(text), most=most)
    assert all(len(one.encode()) <= most for one in pieces)
    assert "".join(msgspec.json.decode(one)["delta"] for one in pieces) == text


@pytest.mark.parametrize(
    "frame",
    [
        said(type="session.created", session="x" * 500),
        "x" * 500,
        delta("x" * 500, pad="y" * 300),
    ],
)
def test_what_cannot_be_cut_is_left_whole(frame):
    assert coalescing.cut(frame, most=300) == [frame]


# A conversation told again.


def item(name, role, *parts, kind="message", **fields):
    return {"id": name, "type": kind, "role": role, "content": list(parts), **fields}


def conversation():
    log = Log()
    log.from_client(said(type="session.update", session={"voice": "ash", "audio": {"input": 1}}))
    log.from_client(said(type="session.update", session={"audio": {"output": 2}}))
    asked = item("item_1", "user", {"type": "input_text", "text": "Hello"})
    log.from_server(said(type="conversation.item.added", item=asked))
    log.from_server(said(type="conversation.item.done", item=asked))
    spoken = item("item_2", "assistant", {"type": "output_audio"})
    log.from_server(said(type="conversation.item.added", item=item("item_2", "assistant")))
    log.from_server(
        said(
            type="response.output_audio_transcript.done",
            item_id="item_2",
            content_index=0,
            transcript="Hi there.",
        )
    )
    log.from_server(said(type="response.output_item.done", item=spoken))
    heard = item("item_3", "user", {"type": "input_audio", "transcript": None})
    log.from_server(said(type="conversation.item.added", item=heard))
    log.from_server(
        said(
            type="conversation.item.input_audio_transcription.completed",
            item_id="item_3",
            content_index=0,
            transcript="And the weather?",
        )
    )
    call = {"id": "item_4", "type": "function_call", "call_id": "c", "name": "w", "arguments": "{}"}
    log.from_server(said(type="conversation.item.created", item={**call, "status": "completed"}))
    output = {"id": "item_5", "type": "function_call_output", "call_id": "c", "output": "fog"}
    log.from_server(said(type="conversation.item.created", item=output))
    return log


def test_a_conversation_is_told_again_with_its_settings_and_items_in_order():
    frames = [msgspec.json.decode(frame) for frame in conversation().frames()]
    assert frames[0] == {
        "type": "session.update",
        "session": {"voice": "ash", "audio": {"input": 1, "output": 2}},
    }
    assert [frame["item"] for frame in frames[1:]] == [
        item("item_1", "user", {"type": "input_text", "text": "Hello"}),
        item("item_2", "assistant", {"type": "output_text", "text": "Hi there."}),
        item("item_3", "user", {"type": "input_text", "text": "And the weather?"}),
        {"id": "item_4", "type": "function_call", "call_id": "c", "name": "w", "arguments": "{}"},
        {"id": "item_5", "type": "function_call_output", "call_id": "c", "output": "fog"},
    ]


def test_the_beta_is_told_in_its_own_words():
    log = Log()
    said_before = item("item_1", "assistant", {"type": "audio", "transcript": "Hi."})
    log.from_server(said(type="conversation.item.created", item=said_before))
    (frame,) = log.frames()
    assert msgspec.json.decode(frame)["item"]["content"] == [{"type": "text", "text": "Hi."}]


def test_sound_without_a_transcript_is_not_left_out_in_silence():
    log = Log()
    log.from_server(
        said(type="conversation.item.added", item=item("i", "user", {"type": "input_audio"}))
    )
    (frame,) = log.frames()
    assert replaying.INAUDIBLE in frame


def test_what_was_deleted_is_not_told_again():
    log = conversation()
    log.from_server(said(type="conversation.item.deleted", item_id="item_1"))
    assert "Hello" not in "".join(log.frames())


def test_a_log_is_bounded_and_forgets_the_oldest():
    log = Log()
    for number in range(10):
        part = {"type": "input_text", "text": "x" * 60_000}
        log.from_server(said(type="conversation.item.added", item=item(f"i{number}", "user", part)))
    names = [told.id for told in log.state.items]
    assert names == ["i6", "i7", "i8", "i9"]


def test_a_log_survives_json():
    log = conversation()
    state = msgspec.json.decode(msgspec.json.encode(log.state), type=replaying.State)
    assert Log(state).frames() == log.frames()


def test_the_client_hears_nothing_of_what_is_only_told_again():
    log = conversation()
    resumption = log.resumption()
    for frame in (
        said(type="session.created"),
        said(type="conversation.created"),
        said(type="session.updated"),
        said(type="conversation.item.added", item={"id": "item_1"}),
        said(type="conversation.item.done", item={"id": "item_5"}),
    ):
        assert resumption.swallows(frame)
    for frame in (
        said(type="session.updated"),
        said(type="session.created"),
        said(type="conversation.item.added", item={"id": "item_9"}),
        said(type="error", error={}),
        said(type="response.created"),
        "no JSON",
    ):
        assert not resumption.swallows(frame)


@given(st.text(max_size=40), st.dictionaries(st.text(max_size=8), st.integers() | st.text()))
def test_no_event_breaks_the_log(kind, fields):
    log = Log()
    kinds = (kind, "conversation.item.added", "response.text.done", "session.update")
    for name in kinds:
        frame = said(type=name, item=fields, session=fields, item_id=kind)
        log.from_client(frame)
        log.from_server(frame)
    log.frames()
