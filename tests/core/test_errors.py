"""What a caller can be told."""

import pytest

from core import errors
from core.errors import CutwaterError, ProviderError, UpstreamError, untraced

STATUS_OF_CLASS = [
    (errors.CutwaterError, 500, "server_error", None),
    (errors.BadRequestError, 400, "invalid_request_error", None),
    (errors.AuthenticationError, 401, "authentication_error", "invalid_api_key"),
    (errors.PermissionDeniedError, 403, "permission_error", "permission_denied"),
    (errors.NotFoundError, 404, "not_found_error", "not_found"),
    (errors.ModelNotFoundError, 404, "not_found_error", "model_not_found"),
    (errors.MethodNotAllowedError, 405, "invalid_request_error", "method_not_allowed"),
    (errors.RequestTimeoutError, 408, "timeout_error", "request_timeout"),
    (errors.TooLargeError, 413, "request_too_large", "request_too_large"),
    (errors.RateLimitError, 429, "rate_limit_error", "rate_limit_exceeded"),
    (errors.HeadersTooLargeError, 431, "invalid_request_error", "headers_too_large"),
    (errors.UpstreamError, 502, "upstream_error", "upstream_error"),
    (errors.UnavailableError, 503, "unavailable_error", "unavailable"),
    (errors.UpstreamTimeoutError, 504, "timeout_error", "upstream_timeout"),
]


@pytest.mark.parametrize(("kind", "status", "word", "code"), STATUS_OF_CLASS)
def test_each_error_carries_its_status_and_openais_words(
    kind: type[CutwaterError], status: int, word: str, code: str | None
):
    error = kind("Do this.", param="model")
    assert (error.status, error.type, error.code) == (status, word, code)
    assert (error.message, error.param, str(error), error.headers) == (
        "Do this.",
        "model",
        "Do this.",
        {},
    )


@pytest.mark.parametrize(
    ("status", "given", "word"),
    [
        (400, None, "invalid_request_error"),
        (401, None, "authentication_error"),
        (418, None, "invalid_request_error"),
        (429, None, "rate_limit_error"),
        (429, "insufficient_quota", "insufficient_quota"),
        (500, None, "api_error"),
        (520, None, "server_error"),
        (529, None, "overloaded_error"),
        (503, "engine_overloaded", "engine_overloaded"),
    ],
)
def test_a_providers_error_keeps_its_status_and_gets_a_type(
    status: int, given: str | None, word: str
):
    error = ProviderError("No.", status=status, type=given, code="c", param="p")
    assert (error.status, error.type, error.code, error.param) == (status, word, "c", "p")


def raised() -> UpstreamError:
    try:
        try:
            int("deep")
        except ValueError as error:
            raise UpstreamError("It was cut.") from error
    except UpstreamError as error:
        return error


def test_an_error_that_is_kept_holds_no_frames_and_its_causes_hold_none():
    error = raised()
    assert untraced(error) is error
    assert error.__traceback__ is None
    assert error.__cause__ is not None
    assert error.__cause__.__traceback__ is None


def test_a_ring_of_causes_is_no_trap():
    error, other = raised(), raised()
    error.__cause__, other.__cause__ = other, error
    untraced(error)
    assert other.__traceback__ is None
