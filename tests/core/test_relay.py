"""The relay's session: what goes on, what is answered, what ends it."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import (
    AuthenticationError,
    BadRequestError,
    CutwaterError,
    PermissionDeniedError,
    RateLimitError,
    TooLargeError,
    UnavailableError,
    UpstreamError,
    UpstreamTimeoutError,
)
from core.realtime_usage import Usage
from core.relay import closing, events, opening, report
from core.relay.closing import Close
from core.relay.queueing import Queue
from core.relay.report import About
from core.relay.session import Limits, Session, Terms, Totals
from core.relay.transcript import Turn
from core.routing import Costs

PRICES = Costs(
    input=4, output=16, cache_read=0.4, input_audio=32, output_audio=64, cache_read_audio=0.4
)


def said(**event):
    return msgspec.json.encode(event).decode()


def done(response_id="resp_1", *, status="completed", **usage):
    response = {"id": response_id, "status": status, "usage": usage or None}
    return said(type="response.done", response=response)


def session(now=0.0, before=None, **terms):
    ids = itertools.count()
    return Session(
        Terms(**{"costs": PRICES} | terms), now=now, fresh_id=lambda: f"event_{next(ids)}",
        before=before,
    )  # fmt: skip


def told(step):
    """The one error that a step tells the client."""
    (event,) = step.answers
    return msgspec.json.decode(event)["error"]


# What is relayed.


@pytest.mark.parametrize(
    "frame",
    [
        said(type="session.created", session={}),
        said(type="response.audio.delta", delta="AAAA"),
        said(type="response.output_audio.delta", delta="AAAA"),
        said(type="something.of.next.year", deep={"a": [1]}),
        '{"type": "response.done"',
        "[1, 2]",
        "no JSON at all",
        "",
        '{"type": 7}',
        b"\x00\xffsound",
    ],
)
def test_a_frame_of_which_nothing_is_to_be_said_goes_on_as_it_came(frame):
    one = session()
    assert one.from_client(frame, 1.0) is None
    assert one.from_server(frame, 1.0) is None


@given(st.text() | st.binary())
def test_no_frame_of_a_client_or_a_provider_breaks_the_session(frame):
    one = session(keep_transcript=True)
    for relayed in (one.from_client(frame, 1.0), one.from_server(frame, 1.0)):
        assert relayed is None or relayed.forward == frame


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
_types = st.sampled_from(
    [
        "response.done",
        "response.created",
        "error",
        "session.update",
        "conversation.item.create",
        "conversation.item.input_audio_transcription.completed",
        "response.output_text.done",
        "response.function_call_arguments.done",
    ]
)


@given(
    _types,
    st.dictionaries(
        st.sampled_from(["response", "session", "item", "usage", "transcript", "error"]), _values
    ),
)
def test_events_of_another_shape_than_expected_are_relayed(kind, fields):
    frame = said(type=kind, **fields)
    one = session(keep_transcript=True)
    for relayed in (one.from_client(frame, 1.0), one.from_server(frame, 1.0)):
        assert relayed is None or relayed.forward == frame


def test_a_providers_error_goes_on_without_the_key_that_it_quotes():
    one = session(hidden=("sk-of-the-org",))
    frame = said(type="error", error={"message": "Incorrect API key: sk-of-the-org"})
    step = one.from_server(frame, 1.0)
    assert step.forward == frame.replace("sk-of-the-org", "***")
    assert step.close is None
    assert one.totals(1.0).errors == 1


def test_a_session_is_led_to_no_model_that_its_key_may_not_use():
    one = session(may_use=lambda model: model == "gpt-realtime")
    allowed = said(type="session.update", session={"model": "gpt-realtime"})
    assert one.from_client(allowed, 1.0) is None
    assert one.from_client(said(type="session.update", session={"voice": "ash"}), 1.0) is None
    step = one.from_client(
        said(type="session.update", event_id="mine", session={"model": "gpt-dear"}), 1.0
    )
    assert (step.forward, step.close) == (None, None)
    error = told(step)
    assert (error["code"], error["param"]) == ("permission_denied", "session.model")
    assert error["event_id"] == "mine"


@pytest.mark.parametrize(("side", "who"), [("from_client", "client"), ("from_server", "provider")])
def test_a_frame_that_is_too_large_ends_the_session(side, who):
    one = session(limits=Limits(frame_bytes=10))
    step = getattr(one, side)("x" * 11, 1.0)
    assert step.forward is None
    assert step.close == Close(1009, "request_too_large.request_too_large")
    assert who in told(step)["message"]


# What it costs.


def test_each_response_is_recorded_with_its_tokens_by_kind_and_its_cost():
    one = session()
    one.from_server(said(type="response.created", response={"id": "resp_1"}), 10.0)
    frame = done(
        input_tokens=150,
        output_tokens=90,
        input_token_details={
            "text_tokens": 100,
            "audio_tokens": 50,
            "cached_tokens": 70,
            "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 10},
        },
        output_token_details={"text_tokens": 20, "audio_tokens": 70},
    )
    step = one.from_server(frame, 12.5)
    (record,) = step.records
    assert step.forward == frame
    assert record.usage == Usage(
        input_text=100,
        input_audio=50,
        cached_text=60,
        cached_audio=10,
        output_text=20,
        output_audio=70,
    )
    dollars = (40 * 4 + 40 * 32 + 70 * 0.4 + 20 * 16 + 70 * 64) / 1e6
    assert record.cost_usd == pytest.approx(dollars)
    assert (record.status, record.seconds) == ("completed", 2.5)
    totals = one.totals(20.0)
    assert (totals.responses, totals.unpriced, totals.seconds) == (1, 0, 20.0)
    assert totals.cost_usd == pytest.approx(dollars)


def test_a_response_whose_usage_nobody_said_is_counted_as_unpriced():
    one = session()
    (record,) = one.from_server(done(), 1.0).records
    assert (record.usage, record.cost_usd) == (None, None)
    assert one.totals(1.0).unpriced == 1


def test_a_failed_response_is_recorded_with_its_code():
    one = session()
    failed = said(
        type="response.done",
        response={
            "id": "resp_1",
            "status": "failed",
            "status_details": {"type": "failed", "error": {"code": "model_not_found"}},
        },
    )
    (record,) = one.from_server(failed, 1.0).records
    assert (record.status, record.code) == ("failed", "model_not_found")


def test_the_response_that_uses_up_the_budget_is_heard_and_is_the_last():
    one = session(limits=Limits(max_cost_usd=0.002))
    first = one.from_server(done(input_tokens=100, output_tokens=50), 1.0)
    assert first.close is None
    frame = done(input_tokens=100, output_tokens=50)
    second = one.from_server(frame, 2.0)
    assert second.forward == frame
    assert len(second.records) == 1
    assert second.close == Close(3003, "permission_error.permission_denied")
    assert "spend" in told(second)["message"]


def test_what_a_session_spent_before_a_hand_over_counts():
    before = Totals(cost_usd=0.0019, seconds=100.0, responses=3, turns=(Turn("user", "Hello"),))
    one = session(now=1000.0, before=before, limits=Limits(max_cost_usd=0.002))
    assert one.from_server(done(input_tokens=100, output_tokens=50), 1001.0).close is not None
    totals = one.totals(1010.0)
    assert (totals.responses, totals.seconds) == (4, 110.0)
    assert totals.turns == before.turns


def test_totals_survive_json():
    one = session(keep_transcript=True)
    one.from_client("x", 1.0)
    one.from_server(done(input_tokens=100, output_tokens=50), 1.0)
    totals = one.totals(2.0)
    assert msgspec.json.decode(msgspec.json.encode(totals), type=Totals) == totals


# What was said.


def test_a_transcript_is_kept_where_it_was_asked_for():
    one = session(keep_transcript=True)
    text = [{"type": "input_text", "text": "What is the weather?"}]
    one.from_client(
        said(type="conversation.item.create", item={"type": "message", "content": text}), 1.0
    )
    one.from_client(
        said(
            type="conversation.item.create",
            item={"type": "function_call_output", "call_id": "call_1", "output": "12 degrees"},
        ),
        1.0,
    )
    heard = "conversation.item.input_audio_transcription.completed"
    usage = {"type": "duration", "seconds": 3}
    one.from_server(said(type=heard, item_id="item_1", transcript="In Oslo", usage=usage), 1.0)
    call = {"name": "weather", "arguments": "{}", "item_id": "item_2"}
    one.from_server(said(type="response.function_call_arguments.done", **call), 1.0)
    for kind in ("response.audio_transcript.done", "response.output_audio_transcript.done"):
        one.from_server(said(type=kind, transcript="It is cold."), 1.0)
    for kind in ("response.text.done", "response.output_text.done"):
        one.from_server(said(type=kind, text="It is warm."), 1.0)
    totals = one.totals(1.0)
    assert [(turn.role, turn.text) for turn in totals.turns] == [
        ("user", "What is the weather?"),
        ("tool", "12 degrees"),
        ("user", "In Oslo"),
        ("tool_call", "weather({})"),
        ("assistant", "It is cold."),
        ("assistant", "It is cold."),
        ("assistant", "It is warm."),
        ("assistant", "It is warm."),
    ]
    assert totals.transcribed_s == 3.0


def test_nothing_is_kept_unless_somebody_asked():
    one = session()
    heard = "conversation.item.input_audio_transcription.completed"
    one.from_server(said(type=heard, transcript="In Oslo"), 1.0)
    one.from_server(said(type="response.output_text.done", text="It is warm."), 1.0)
    assert one.totals(1.0).turns == ()


def test_a_transcript_is_bounded_and_says_what_it_left_out():
    one = session(keep_transcript=True)
    for _ in range(3):
        one.from_server(said(type="response.output_text.done", text="x" * 100_000), 1.0)
    totals = one.totals(1.0)
    assert (len(totals.turns), totals.turns_left_out) == (2, 1)


# Time.


def test_an_idle_session_is_closed_and_told_why():
    one = session(limits=Limits(idle_s=10))
    one.from_client("x", 5.0)
    assert one.next_look() == 15.0
    assert one.tick(14.9) is None
    step = one.tick(15.0)
    assert told(step)["code"] == "session_idle"
    assert step.close.code == 3008
    assert one.tick(100.0) is None


def test_the_end_of_a_session_is_announced_and_then_it_ends():
    one = session(limits=Limits(session_s=100, warn_s=20))
    assert one.next_look() == 80.0
    assert one.tick(79.0) is None
    (event,) = one.tick(80.0).answers
    assert msgspec.json.decode(event)["type"] == "cutwater.session.ending"
    assert msgspec.json.decode(event)["seconds_left"] == 20
    assert one.tick(81.0) is None
    assert one.next_look() == 100.0
    step = one.tick(100.0)
    assert told(step)["code"] == "session_expired"
    assert step.close == Close(1001, "session_expired")


def test_whoever_takes_nothing_for_too_long_ends_the_session():
    one = session(limits=Limits(stalled_s=30))
    assert one.stalled(29.0, client=0.0, provider=None) is None
    assert one.stalled(100.0, client=None, provider=None) is None
    assert one.stalled(30.0, client=0.0, provider=None).close.code == 3008
    assert session().stalled(30.0, client=None, provider=0.0).close.code == 1011


def test_a_session_is_quiet_when_no_answer_is_made_and_no_audio_waits():
    one = session()
    assert one.is_quiet
    one.from_client(said(type="input_audio_buffer.append", audio="AAAA"), 1.0)
    assert not one.is_quiet
    one.from_server(said(type="input_audio_buffer.committed"), 1.0)
    assert one.is_quiet
    one.from_server(said(type="response.created", response={"id": "resp_1"}), 1.0)
    assert not one.is_quiet
    one.from_server(done("resp_1"), 2.0)
    assert one.is_quiet
    one.from_client(said(type="input_audio_buffer.append", audio="AAAA"), 1.0)
    one.from_client(said(type="input_audio_buffer.clear"), 1.0)
    assert one.is_quiet


def test_responses_that_never_end_do_not_fill_the_memory():
    one = session()
    for number in range(300):
        one.from_server(said(type="response.created", response={"id": f"resp_{number}"}), 1.0)
    one.from_server(done("another"), 1.0)
    assert one.is_quiet


# Ends.


@pytest.mark.parametrize(
    ("code", "reason", "passed"),
    [
        (1000, "bye", Close(1000, "bye")),
        (1011, "test reconnect", Close(1011, "test reconnect")),
        (1013, "", Close(1013)),
        (3000, "invalid_request_error.invalid_api_key",
         Close(3000, "invalid_request_error.invalid_api_key")),
        (4999, "x", Close(4999, "x")),
        (1005, "", Close(1000)),
        (1006, "", Close(1001)),
        (None, "", Close(1001)),
        (1004, "reserved", Close(1011)),
        (1015, "", Close(1011)),
        (1016, "", Close(1011)),
        (2999, "", Close(1011)),
        (5000, "", Close(1011)),
        (999, "", Close(1011)),
        (0, "", Close(1011)),
    ],
)  # fmt: skip
def test_a_close_code_is_passed_on_where_it_may_be_said_and_translated_where_not(
    code, reason, passed
):
    assert closing.passed_on(code, reason) == passed
    assert closing.is_sendable(closing.passed_on(code).code)


@given(st.integers(0, 6000) | st.none(), st.text(max_size=200))
def test_every_close_can_be_sent(code, reason):
    close = closing.passed_on(code, reason)
    assert closing.is_sendable(close.code)
    assert len(close.reason.encode()) <= closing.LONGEST_REASON


def test_a_reason_that_is_too_long_is_cut_between_two_characters():
    assert closing.shortened("é" * 100) == "é" * 61


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadRequestError("x"), 4000),
        (AuthenticationError("x"), 3000),
        (PermissionDeniedError("x"), 3003),
        (TooLargeError("x"), 1009),
        (RateLimitError("x"), 1013),
        (CutwaterError("x"), 1011),
        (UpstreamError("x"), 1011),
        (UnavailableError("x"), 1013),
        (UpstreamTimeoutError("x"), 1011),
    ],
)
def test_an_error_has_a_close_code_that_tells_clients_whether_to_try_again(error, code):
    assert closing.of_error(error).code == code


def test_the_providers_own_close_reaches_the_client():
    one = session()
    step = one.server_closed(1011, "test reconnect")
    assert (step.answers, step.close) == ((), Close(1011, "test reconnect"))
    assert one.ended == Close(1011, "test reconnect")


def test_a_reason_that_quotes_a_key_reaches_the_client_without_it():
    step = session(hidden=("sk-of-the-org",)).server_closed(3000, "bad key sk-of-the-org")
    assert step.close == Close(3000, "bad key ***")


@pytest.mark.parametrize("code", [None, 1006, 1015])
def test_a_connection_that_breaks_off_is_told_as_an_error_then_a_code_to_reconnect_at(code):
    step = session().server_closed(code)
    assert told(step)["code"] == "upstream_error"
    assert step.close.code == 1011


def test_a_client_that_leaves_tells_the_provider_so():
    one = session()
    assert one.client_closed(1001, "page closed") == Close(1001, "page closed")
    assert session().client_closed(1006) == Close(1001)
    assert one.ended == Close(1001, "page closed")


# Refusals before a session.


@pytest.mark.parametrize(
    ("status", "another_may"),
    [(101, True), (302, True), (400, False), (401, True), (403, True), (404, True), (409, True),
     (413, False), (422, False), (429, True), (500, True), (503, True)],
)  # fmt: skip
def test_which_refusals_another_endpoint_may_not_share(status, another_may):
    assert opening.may_fail_over(status) is another_may


def test_an_endpoints_own_key_is_no_fault_of_the_callers():
    body = b'{"error": {"message": "Incorrect API key: sk-secret", "code": "invalid_api_key"}}'
    ours = opening.refused("main", 401, body, own_key=False)
    assert (ours.status, "check its secret" in ours.message) == (502, True)
    assert "sk-secret" not in ours.message
    theirs = opening.refused("openai", 401, body, own_key=True, keys=("sk-secret",))
    assert (theirs.status, theirs.code) == (401, "invalid_api_key")
    assert theirs.message == "Incorrect API key: ***"


@pytest.mark.parametrize(
    ("status", "own", "told_as"),
    [(302, True, 502), (429, True, 429), (404, True, 404), (599, True, 599), (700, True, 502)],
)
def test_a_refused_handshake_is_told_with_a_status(status, own, told_as):
    assert opening.refused("main", status, b"", own_key=own).status == told_as


def test_an_error_that_is_said_first_of_all_means_that_no_session_begins():
    frame = said(type="error", error={"type": "invalid_request_error", "code": "invalid_api_key"})
    assert opening.first_word(frame).status == 401
    frame = said(type="error", error={"type": "invalid_request_error", "code": "model_not_found"})
    assert opening.first_word(frame).status == 404
    assert opening.first_word(said(type="session.created")) is None
    assert opening.first_word(b"sound") is None


# What waits.


def test_a_queue_gives_its_frames_in_order_and_knows_when_it_is_full():
    queue = Queue(Limits(buffered_bytes=10, buffered_frames=4))
    for frame in ("abc", "def"):
        queue.add(frame, 1.0)
    assert not queue.is_full
    assert queue.overflow() is None
    queue.add("ghij", 2.0)
    assert queue.is_full
    assert isinstance(queue.overflow(), TooLargeError)
    assert queue.take_all(3.0) == ["abc", "def", "ghij"]
    assert queue.is_drained
    assert (len(queue), queue.size) == (0, 0)


def test_a_queue_is_full_by_number_too():
    queue = Queue(Limits(buffered_frames=2))
    queue.add("", 1.0)
    queue.add("", 1.0)
    assert queue.is_full


def test_frames_put_back_come_first():
    queue = Queue(Limits())
    queue.add("c", 1.0)
    queue.put_back(["a", "b"])
    assert queue.take_all(2.0) == ["a", "b", "c"]


def test_a_reader_that_takes_nothing_is_stalled_and_one_that_does_is_not():
    queue = Queue(Limits(stalled_s=30))
    assert queue.stall(1000.0) is None
    queue.add("a", 1.0)
    assert queue.stall(30.9) is None
    assert queue.stall(31.0) is not None
    queue.take_all(31.0)
    queue.add("b", 31.0)
    assert queue.stall(60.0) is None


# The log.


def test_the_log_tells_of_a_session_without_a_word_of_it():
    one = session(keep_transcript=True)
    one.from_server(said(type="response.output_text.done", text="a secret"), 1.0)
    step = one.from_server(done(input_tokens=100, output_tokens=50), 2.0)
    about = About(
        request_id="req_1", org="acme", model="gpt-realtime", provider="openai", endpoint="main"
    )
    response = report.of_response(about, step.records[0])
    assert response["gen_ai.usage.input_tokens"] == 100
    assert response["cost_usd"] == pytest.approx(0.0012)
    whole = report.of_session(about, one.totals(3.0), Close(1000))
    assert whole["gen_ai.request.model"] == "gpt-realtime"
    assert (whole["responses"], whole["seconds"], whole["close_code"]) == (1, 3.0, 1000)
    assert "a secret" not in repr([response, whole])


def test_an_error_event_has_the_shape_that_realtime_clients_read():
    event = events.error_event(BadRequestError("No.", param="model"), "event_1", caused_by="mine")
    assert msgspec.json.decode(event) == {
        "type": "error",
        "event_id": "event_1",
        "error": {
            "type": "invalid_request_error",
            "code": None,
            "message": "No.",
            "param": "model",
            "event_id": "mine",
        },
    }
