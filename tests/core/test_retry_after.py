"""However a provider says how long to wait."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import retry_after

NOW = 1_700_000_000.0
"""Tue, 14 Nov 2023 22:13:20 GMT"""


def google(delay: object) -> bytes:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    details = [{"@type": "type.googleapis.com/google.rpc.Help"}, info]
    return msgspec.json.encode({"error": {"code": 429, "details": details}})


SAID = [
    ({"retry-after": "7"}, b"", 7.0),
    ({"retry-after": " 0 "}, b"", 0.0),
    ({"retry-after": "1.25"}, b"", 1.25),
    ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, b"", 30.0),
    ({"retry-after": "Tuesday, 14-Nov-23 22:13:50 GMT"}, b"", 30.0),
    ({"retry-after": "Tue Nov 14 22:13:50 2023"}, b"", 30.0),
    ({"retry-after": "2023-11-14T22:13:50Z"}, b"", 30.0),
    ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, b"", 0.0),
    ({"retry-after": "1700000030"}, b"", 30.0),
    ({"retry-after": "12s"}, b"", 12.0),
    ({"retry-after": "99999999"}, b"", 3600.0),
    ({"retry-after": "9" * 15}, b"", 3600.0),
    ({"retry-after": "9" * 400}, b"", None),
    ({"retry-after": "-5"}, b"", None),
    ({"retry-after": "soon"}, b"", None),
    ({"retry-after": "nan"}, b"", None),
    ({"retry-after": "1e3"}, b"", None),
    ({"retry-after": ""}, b"", None),
    ({"retry-after": "Tue, 31 Feb 2023 22:13:50 GMT"}, b"", None),
    ({"retry-after": "Tue, 14 Foo 2023 22:13:50 GMT"}, b"", None),
    ({"retry-after-ms": "1500"}, b"", 1.5),
    ({"retry-after-ms": "1500", "retry-after": "2"}, b"", 1.5),
    ({"retry-after-ms": "x", "retry-after": "2"}, b"", 2.0),
    ({"x-ratelimit-reset-requests": "1s"}, b"", 1.0),
    ({"x-ratelimit-reset-requests": "6m0s"}, b"", 360.0),
    ({"x-ratelimit-reset-requests": "1h2m3.5s"}, b"", 3600.0),
    ({"x-ratelimit-reset-tokens": "120ms"}, b"", 0.12),
    ({"x-ratelimit-reset-tokens": "7.66s"}, b"", 7.66),
    ({"x-ratelimit-reset-tokens-minute": "11.38"}, b"", 11.38),
    ({"x-ratelimit-reset-tokens": "7x"}, b"", None),
    # Of two limits the one that is used up counts; where none says so, the sooner.
    (
        {
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-remaining-requests": "12",
            "x-ratelimit-reset-tokens": "20s",
            "x-ratelimit-remaining-tokens": "0",
        },
        b"",
        20.0,
    ),
    ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "20s"}, b"", 1.0),
    ({"x-ratelimit-reset": "1700000012"}, b"", 12.0),
    ({"x-ratelimit-reset": "1700000012000"}, b"", 12.0),
    ({"x-ratelimit-reset": "12"}, b"", 12.0),
    ({"ratelimit-reset": "12"}, b"", 12.0),
    ({"x-ratelimit-reset": "1600000000"}, b"", 0.0),
    ({"anthropic-ratelimit-requests-reset": "2023-11-14T22:13:25Z"}, b"", 5.0),
    ({"anthropic-ratelimit-tokens-reset": "2023-11-14T22:13:25.5+00:00"}, b"", 5.5),
    ({"anthropic-ratelimit-unified-reset": "1700000009"}, b"", 9.0),
    (
        {
            "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:25Z",
            "anthropic-ratelimit-input-tokens-reset": "2023-11-14T22:14:20Z",
            "anthropic-ratelimit-input-tokens-remaining": "0",
        },
        b"",
        60.0,
    ),
    ({"anthropic-ratelimit-requests-reset": "2023-11-14"}, b"", None),
    ({"anthropic-ratelimit-requests-limit": "50"}, b"", None),
    ({"retry-after": "3", "x-ratelimit-reset-requests": "1s"}, b"", 3.0),
    ({}, google("34.074824224s"), 34.074824224),
    ({}, b"[" + google("34s") + b"]", 34.0),
    ({"retry-after": "3"}, google("34s"), 3.0),
    ({"x-ratelimit-reset-requests": "1s"}, google("34s"), 34.0),
    ({}, google(34), None),
    ({}, google("34"), None),
    ({}, b'{"error":{"details":"retryDelay"}}', None),
    ({}, b'"retryDelay', None),
    ({}, b"[" * 100_000 + b"retryDelay", None),
    ({}, b"", None),
]


@pytest.mark.parametrize(("headers", "body", "seconds"), SAID)
def test_every_form_is_understood_and_garbage_is_not_said(headers, body, seconds):
    assert retry_after.seconds(headers, body, NOW) == pytest.approx(seconds)


patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES = st.sampled_from([*{name for headers, _, _ in SAID for name in headers}])
VALUES = st.one_of(
    st.text(max_size=30),
    st.from_regex(r"[0-9]{1,20}(\.[0-9]{1,5})?(ms|s|m|h|d)?", fullmatch=True),
    st.sampled_from([value for headers, _, _ in SAID for value in headers.values()]),
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
    st.floats().map(str),
)


@patient
@given(st.dictionaries(NAMES, VALUES), st.binary(max_size=60), st.floats(0, 1e11))
def test_nothing_that_is_said_raises_or_is_out_of_bounds(headers, body, now):
    seconds = retry_after.seconds(headers, body + b"retryDelay", now)
    assert seconds is None or 0 <= seconds <= retry_after.LONGEST_S


@patient
@given(VALUES)
def test_nothing_that_google_says_raises_or_is_out_of_bounds(delay):
    seconds = retry_after.seconds({}, google(delay), NOW)
    assert seconds is None or 0 <= seconds <= retry_after.LONGEST_S


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached for gpt-4o. Please try again in 1.898s. Visit", 1.898),
        ("Please try again in 120ms.", 0.12),
        ("Please try again in 6m0s.", 360.0),
        ("Please retry after 20 seconds.", 20.0),
        ("Please retry in 34.5s.", 34.5),
        ("Try again in 9999999999d", 3600.0),
        ("Try again in a moment.", None),
        ("Try again in 5", None),
    ],
)
def test_an_error_in_a_stream_says_it_in_words(message, seconds):
    assert retry_after.in_words(message) == pytest.approx(seconds)


@patient
@given(st.text())
def test_no_words_raise(said):
    seconds = retry_after.in_words(f"try again in 1{said}s")
    assert seconds is None or 0 <= seconds <= retry_after.LONGEST_S
