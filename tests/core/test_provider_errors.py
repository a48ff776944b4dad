"""Providers' errors, whatever shape they have."""

import pytest

from core import provider_errors
from core.errors import ProviderError

BODIES = [
    (
        b'{"error":{"message":"Slow down","type":"tokens","code":"rate_limit_exceeded",'
        b'"param":"n"}}',
        ("Slow down", 418, "tokens", "rate_limit_exceeded", "n"),
    ),
    (b'{"error":"plain text"}', ("plain text", 418, "invalid_request_error", None, None)),
    (b'{"message":"bare"}', ("bare", 418, "invalid_request_error", None, None)),
    (
        b'{"detail":"as FastAPI says"}',
        ("as FastAPI says", 418, "invalid_request_error", None, None),
    ),
    (
        b'{"error":{"code":400},"message":"beside"}',
        ("beside", 418, "invalid_request_error", None, None),
    ),
    (b'{"detail":[{"loc":[]}]}', ("The provider answered 418.",) + ("",) * 4),
    (b'{"error":{"message":7}}', ("The provider answered 418.",) + ("",) * 4),
    (b'{"error":[1]}', ("The provider answered 418.",) + ("",) * 4),
    (b"[1]", ("The provider answered 418.",) + ("",) * 4),
    (b"", ("The provider answered 418.",) + ("",) * 4),
    (b"<html>", ("The provider answered 418.",) + ("",) * 4),
    (b'"\xff"', ("The provider answered 418.",) + ("",) * 4),
    (b"[" * 100_000, ("The provider answered 418.",) + ("",) * 4),
]


@pytest.mark.parametrize(("body", "expected"), BODIES)
def test_any_body_becomes_an_error_of_its_status(body: bytes, expected: tuple[str | None, ...]):
    error = provider_errors.parse(418, body)
    assert error.status == 418
    assert error.message == expected[0]
    if expected[1]:
        assert (error.type, error.code, error.param) == expected[2:]


def test_a_long_message_is_cut():
    assert len(provider_errors.parse(400, b'{"error":"' + b"x" * 9000 + b'"}').message) == 4000


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"error": {"code": 429}}, 429),
        ({"error": {"status_code": 503, "code": 400}}, 503),
        ({"error": {"status": 404}}, 404),
        ({"error": {"status": "NOT_FOUND", "code": 200}}, 404),
        ({"error": {"status": "UNHEARD_OF", "code": 200}}, 500),
        ([{"error": {"status": "RESOURCE_EXHAUSTED", "code": 429}}], 429),
        ({"error": {"type": "overloaded_error"}}, 529),
        ({"error": {"type": "unheard_of", "code": "insufficient_quota"}}, 429),
        ({"error": {"type": "rate_limit_error"}}, 429),
        ({"error": {"type": "authentication_error"}}, 401),
        ({"error": {"type": "api_error"}}, 500),
        ({"error": {"type": "timeout_error"}}, 504),
        ({"error": "text only"}, 500),
        (None, 500),
    ],
)
def test_inside_a_stream_the_words_say_the_status(document: object, status: int):
    assert provider_errors.of_document(document).status == status


def test_keys_are_struck_out_of_bodies_and_errors():
    keys = ["sk-one", "sk-two"]
    assert provider_errors.strike(b"a sk-one b sk-two sk-one", keys) == b"a *** b *** ***"
    body = b'{"error":{"message":"not sk-one","type":"sk-two","code":"sk-one","param":"sk-one"}}'
    error = provider_errors.of_event(body)
    provider_errors.strike_error(error, keys)
    assert (error.message, error.type, error.code, error.param) == ("not ***", "***", "***", "***")
    plain = provider_errors.of_event(b"{}")
    provider_errors.strike_error(plain, keys)
    assert (plain.code, plain.param) == (None, None)


@pytest.mark.parametrize(
    ("body", "known"),
    [
        (b'{"error":{"message":"m"}}', True),
        (b' {"error":"m"} ', True),
        (b'{"error":{"message":"m"', False),
        (b'{"message":"no \\"error\\" here"}', False),
        (b'["error"]', False),
    ],
)
def test_only_a_whole_error_is_one_that_clients_can_read(body: bytes, known: bool):
    assert provider_errors.is_error(body) is known


@pytest.mark.parametrize(
    "body", [b'{"message":"Too many requests"}', b'{"__type":"x","Message":"Too many requests"}']
)
def test_an_error_without_an_envelope_is_no_answer_whatever_its_status(body: bytes):
    with pytest.raises(ProviderError, match="Too many requests"):
        provider_errors.check_whole(body)


def test_an_answer_that_has_a_message_too_is_an_answer():
    provider_errors.check_whole(b'{"message":"hi","output":{}}')
    provider_errors.check_whole(b"{}")
