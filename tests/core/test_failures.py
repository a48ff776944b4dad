"""What a provider's refusal is, by its status and its words."""

import msgspec
import pytest

from core import failures
from core.errors import (
    BadRequestError,
    ProviderError,
    UnavailableError,
    UpstreamError,
    UpstreamTimeoutError,
)

NOW = 1_700_000_000.0


def body(message="", **more):
    return msgspec.json.encode({"error": {"message": message, **more}})


LONG = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."
REPLIES = [
    (429, body("slow down"), "rate_limited"),
    (429, body("Too many tokens, please wait before trying again."), "rate_limited"),
    (429, body("You exceeded your quota", code="insufficient_quota"), "quota"),
    (500, b"oops", "server_error"),
    (502, b"<html>", "server_error"),
    (503, body(), "server_error"),
    (504, body(), "server_error"),
    (529, body(type="overloaded_error"), "server_error"),
    (408, body(), "server_error"),
    (424, body("The model returned an error"), "server_error"),
    (400, body(LONG, code="context_length_exceeded"), "too_long"),
    (400, body("prompt is too long: 210000 tokens > 200000 maximum"), "too_long"),
    (400, body("input length and `max_tokens` exceed context limit: 1 + 2 > 2"), "too_long"),
    (400, body("Input is too long for requested model."), "too_long"),
    (
        400,
        body("The input token count (2000000) exceeds the maximum number of tokens allowed (1)."),
        "too_long",
    ),
    (400, body("Prompt contains 40000 tokens, too large for model with 32768"), "too_long"),
    (400, body("The response was filtered", code="content_filter"), "refused"),
    (400, body("`temperature` is too hot"), "refused"),
    (400, body("API key not valid. Please pass a valid API key."), "key_refused"),
    (400, body("Your credit balance is too low to access the Anthropic API."), "quota"),
    (400, body("The provided model identifier is invalid."), "model_missing"),
    (413, body("Request too large"), "refused"),
    (422, body(), "refused"),
    (401, body(), "key_refused"),
    (402, body(), "quota"),
    (403, body(), "key_refused"),
    (404, body("The model `x` does not exist", code="model_not_found"), "model_missing"),
    (404, b"", "model_missing"),
    (405, b"", "refused"),
    (302, b"", "misdirected"),
    (101, b"", "misdirected"),
    (999, b"", "misdirected"),
]


@pytest.mark.parametrize(("status", "said", "kind"), REPLIES)
def test_a_reply_is_what_its_words_say_or_else_its_status(status, said, kind):
    failure = failures.of_reply(status, {}, said, now=NOW)
    assert (failure.kind, failure.status) == (kind, status)


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_what_the_callers_own_key_is_refused_is_returned(status):
    failure = failures.of_reply(status, {}, body("no"), now=NOW, own_key=True)
    assert (failure.kind, failure.error.status) == ("refused", status)
    assert failure.said is not None
    assert failures.of_endpoint(failure, "e", "m") is failure


def test_the_wait_is_read_from_the_reply():
    failure = failures.of_reply(429, {"retry-after": "3"}, b"", now=NOW)
    assert failure.retry_after_s == 3.0
    assert failures.of_reply(400, {"retry-after": "3"}, b"", now=NOW).retry_after_s is None


@pytest.mark.parametrize(
    ("error", "head", "kind"),
    [
        (UpstreamError("The provider could not be reached."), False, "unreachable"),
        (UpstreamError("The provider's answer was cut off."), True, "broken"),
        (UpstreamTimeoutError("The provider did not answer in time."), False, "silent"),
        (UpstreamTimeoutError("No token."), True, "no_token"),
        (UnavailableError("No token of AWS."), False, "unreachable"),
        (BadRequestError("It cannot be said."), False, "unfit"),
        # An error event before the first token is the status that it stands for.
        (ProviderError("overloaded", status=529), True, "server_error"),
        (ProviderError("slow down", status=429), True, "rate_limited"),
        (ProviderError(LONG, status=400, code="context_length_exceeded"), True, "too_long"),
        (ProviderError("filtered", status=400, code="content_filter"), True, "refused"),
    ],
)
def test_an_error_is_what_it_stands_for(error, head, kind):
    assert failures.of_error(error, head=head).kind == kind


def test_an_error_in_a_stream_brings_its_wait_in_words():
    error = ProviderError("Rate limit reached. Please try again in 2s.", status=429)
    assert failures.of_error(error, head=True).retry_after_s == 2.0


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "refused the key of the endpoint `main` (401)"),
        (402, "The account of the endpoint `main` is used up (402): no"),
        (404, "The endpoint `main` does not serve the model `m` (404): no"),
        (307, "of the endpoint `main` answered with a redirect: check its `api_base`."),
        (101, "of the endpoint `main` answered with the status 101, which is no answer."),
    ],
)
def test_what_is_the_endpoints_own_fault_is_a_502_with_the_reason(status, words):
    failure = failures.of_reply(status, {}, body("no"), now=NOW)
    told = failures.of_endpoint(failure, "main", "m")
    assert told.error.status == 502
    assert words in told.error.message
    assert told.said is None  # The provider's own words would put the blame on the caller.


def test_a_refusal_shows_nothing_of_its_body():
    failure = failures.of_reply(500, {"x": "sentinel"}, b"sentinel", now=NOW)
    assert "sentinel" not in repr(failure.said)
