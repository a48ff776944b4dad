"""Rows of frames, what is not settled, what is handed over."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.grants import Grant
from core.ports import Row, SocketClosed
from core.relay import handed, mailbox, replaying
from core.relay.handed import Handed, Start, UnreadableError
from core.relay.mailbox import Pace
from core.relay.ordering import Arrival
from core.relay.session import Totals
from core.relay.settling import Settling
from core.scopes import Scopes
from core.temporary import Credential

T = 1_700_000_000_000


def said(**fields):
    return msgspec.json.encode(fields).decode()


def arrival(number, **fields):
    return Arrival(at_ms=T + number, id=f"m{number}=", text=said(**fields))


# Rows.


@given(st.text(), st.integers(0, 9_999_999_999_999))
def test_a_frame_comes_back_as_it_was(text, at_ms):
    text = text.encode("utf-8", "ignore").decode()
    row = mailbox.frame_row("c", at_ms, "L0=#x", text)
    assert mailbox.read([row]) == ([Arrival(at_ms=at_ms, id="L0=#x", text=text)], None)
    assert mailbox.after(at_ms) <= row.sk < mailbox.LAST


def test_rows_are_in_the_order_of_their_arrival():
    names = [mailbox.frame_row("c", at, "m", "").sk for at in (0, 999, T, T + 1)]
    assert names == sorted(names)


@pytest.mark.parametrize("sk", ["in#", "in#x/m/a", "in#1/m", "session", "state#1"])
def test_what_is_no_frame_is_left_out(sk):
    assert mailbox.read([Row(pk="rt#c", sk=sk, data=b"")]) == ([], None)


@pytest.mark.parametrize(("said", "code"), [("1000", 1000), ("", 1001), ("x", 1001), (4001, 4001)])
def test_an_end_has_a_code_whatever_the_gateway_says(said, code):
    row = mailbox.left_row("c", T, "r/=", said, "é")
    assert mailbox.read([row]) == ([], SocketClosed(code, "é"))


def test_the_last_two_seconds_are_read_again_and_mostly_only_their_end():
    pace = Pace(T)
    assert pace.first(T) == mailbox.after(T)
    pace.saw([arrival(10_000)], new=True)
    near = [pace.first(T + 10_000 + step) for step in range(0, 1000, 100)]
    thorough = mailbox.after(T + 8000)
    assert near.count(thorough) == 2
    assert set(near) == {thorough, mailbox.after(T + 9700)}


def test_who_says_nothing_is_asked_less_often_and_never_less_than_five_times_a_second():
    pace = Pace(T)
    for _ in range(50):
        pace.saw([], new=False)
    assert pace.pause_s == mailbox.SLOWEST_S
    pace.saw([arrival(1)], new=True)
    assert pace.pause_s == mailbox.FASTEST_S


# What the provider has not answered for.

PAIRS = [
    ("session.update", "session.updated"),
    ("conversation.item.create", "conversation.item.added"),
    ("conversation.item.create", "conversation.item.created"),
    ("conversation.item.truncate", "conversation.item.truncated"),
    ("input_audio_buffer.commit", "input_audio_buffer.committed"),
    ("response.create", "response.created"),
    ("response.cancel", "response.done"),
]


@pytest.mark.parametrize(("asked", "answered"), PAIRS)
def test_a_frame_is_settled_by_its_own_answer(asked, answered):
    settling = Settling(0.0)
    settling.taken(arrival(1, type=asked), 0.0)
    settling.heard(said(type="rate_limits.updated"), 0.0)
    assert [one.id for one in settling.unsettled] == ["m1="]
    assert not settling.is_calm(100.0, listening=False)
    settling.heard(said(type=answered), 0.0)
    assert settling.unsettled == []
    assert settling.is_calm(100.0, listening=False)


def test_sound_is_settled_when_it_is_committed():
    settling = Settling(0.0)
    for number in range(3):
        settling.taken(arrival(number, type="input_audio_buffer.append"), 0.0)
    assert not settling.is_calm(9.0, listening=True)
    assert len(settling.unsettled) == 3
    settling.taken(arrival(3, type="input_audio_buffer.commit"), 0.0)
    settling.heard(said(type="input_audio_buffer.committed"), 0.0)
    assert settling.unsettled == []


def test_silence_is_kept_for_a_moment_only_where_the_provider_finds_speech():
    settling = Settling(0.0)
    settling.heard(said(type="input_audio_buffer.speech_started"), 0.0)
    for number in range(0, 5000, 100):
        settling.taken(arrival(number, type="input_audio_buffer.append"), 0.0)
    assert len(settling.unsettled) == 50
    assert not settling.is_calm(9.0, listening=True)
    settling.heard(said(type="input_audio_buffer.speech_stopped"), 0.0)
    settling.heard(said(type="input_audio_buffer.committed"), 0.0)
    for number in range(5000, 20_000, 100):
        settling.taken(arrival(number, type="input_audio_buffer.append"), 0.0)
    assert len(settling.unsettled) == 11
    assert settling.is_calm(9.0, listening=True)


def test_a_moment_is_calm_only_after_a_while():
    settling = Settling(0.0)
    settling.heard(said(type="input_audio_buffer.committed"), 10.0)
    assert not settling.is_calm(10.1, listening=False)
    assert settling.is_calm(10.8, listening=False)


def test_what_was_refused_is_not_sent_again():
    settling = Settling(0.0)
    settling.taken(arrival(1, type="conversation.item.create", event_id="a"), 0.0)
    settling.taken(arrival(2, type="response.create", event_id="b"), 0.0)
    settling.heard(said(type="error", error={"event_id": "b"}), 0.0)
    assert [one.id for one in settling.unsettled] == ["m1="]
    settling.heard(said(type="error", error={}), 0.0)
    assert settling.unsettled == []
    settling.heard(said(type="error"), 0.0)


# What is handed over.

START = Start("L0SM9=", 2, b"k" * 32)
CREDENTIAL = Credential(
    id="bt_tmp:1",
    parent_key="cw_secret",
    grant=Grant(model="gpt-realtime", max_cost_usd=1.5),
    org_name="acme",
    issued_at=1,
    expires_at=2,
)
GIVEN = Handed(
    request_id="req_1",
    path="/v1/realtime",
    headers=[("authorization", "Bearer cw_secret"), ("x", "é")],
    query="model=gpt-realtime",
    offered=["realtime"],
    connected_ms=T,
    scopes=(Scopes(models=("gpt-*",)),),
    credential=CREDENTIAL,
    left_usd=1.25,
    totals=Totals(responses=2, cost_usd=0.5),
    state=replaying.State(
        session={"voice": "alto"},
        items=[replaying.Told(id="a", fields={"type": "message"}, parts=[("input_text", "Hi")])],
    ),
    since_ms=T + 5,
    done=("m1=", "m2="),
)


def test_all_of_a_session_goes_over():
    sealed = handed.seal(GIVEN, START, b"n" * 12)
    assert b"cw_secret" not in sealed
    found = handed.opened(sealed, START)
    assert msgspec.json.encode(found) == msgspec.json.encode(GIVEN)
    assert found.credential == CREDENTIAL
    assert "cw_secret" not in repr(found) + repr(START)


@pytest.mark.parametrize(
    "start",
    [
        Start("L0SM9=", 1, START.key),
        Start("another", 2, START.key),
        Start("L0SM9=", 2, b"x" * 32),
    ],
)
def test_a_row_fits_one_event_only(start):
    sealed = handed.seal(GIVEN, START, b"n" * 12)
    with pytest.raises(UnreadableError):
        handed.opened(sealed, start)


@pytest.mark.parametrize("data", [b"", b"n" * 12, b"n" * 40])
def test_a_row_that_is_none_is_refused(data):
    with pytest.raises(UnreadableError):
        handed.opened(data, START)


def test_an_event_starts_the_session_that_it_names():
    assert handed.read_start(msgspec.json.decode(handed.start_event(START))) == START
    for event in ({}, None, {"connection": "c", "generation": 1, "key": "AAAA"}):
        with pytest.raises(UnreadableError):
            handed.read_start(event)
