"""What a caller can be told, as exceptions that carry their HTTP status.

    CutwaterError
      BadRequestError 400        AuthenticationError 401   PermissionDeniedError 403
      NotFoundError 404          MethodNotAllowedError 405 RequestTimeoutError 408
      TooLargeError 413          UpgradeRequiredError 426  RateLimitError 429
      HeadersTooLargeError 431
      UpstreamError 502          UnavailableError 503      UpstreamTimeoutError 504
      ProviderError              the status that a provider gave

A message says what to do. It never holds a key, a prompt or an upstream header.
The body in a client's dialect is made by that dialect's `error_body`.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

E = TypeVar("E", bound=BaseException)

_LONGEST_CHAIN: Final = 16


class CutwaterError(Exception):
    """The root. `type` and `code` are OpenAI's words; other dialects go by the status."""

    status: int = 500
    type: str = "server_error"
    code: str | None = None

    def __init__(
        self, message: str, *, param: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers: Mapping[str, str] = headers or {}


class BadRequestError(CutwaterError):
    status, type = 400, "invalid_request_error"


class AuthenticationError(CutwaterError):
    status, type, code = 401, "authentication_error", "invalid_api_key"


class PermissionDeniedError(CutwaterError):
    status, type, code = 403, "permission_error", "permission_denied"


class NotFoundError(CutwaterError):
    status, type, code = 404, "not_found_error", "not_found"


class ModelNotFoundError(NotFoundError):
    code = "model_not_found"


class MethodNotAllowedError(CutwaterError):
    status, type, code = 405, "invalid_request_error", "method_not_allowed"


class RequestTimeoutError(CutwaterError):
    status, type, code = 408, "timeout_error", "request_timeout"


class TooLargeError(CutwaterError):
    status, type, code = 413, "request_too_large", "request_too_large"


class UpgradeRequiredError(CutwaterError):
    status, type, code = 426, "invalid_request_error", "upgrade_required"


class HeadersTooLargeError(CutwaterError):
    status, type, code = 431, "invalid_request_error", "headers_too_large"


class RateLimitError(CutwaterError):
    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"


class UpstreamError(CutwaterError):
    status, type, code = 502, "upstream_error", "upstream_error"


class UnavailableError(CutwaterError):
    status, type, code = 503, "unavailable_error", "unavailable"


class UpstreamTimeoutError(CutwaterError):
    status, type, code = 504, "timeout_error", "upstream_timeout"


class ProviderError(CutwaterError):
    """An error that the provider itself answered, on its way to the caller's dialect."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message, param=param)
        self.status = status
        self.type = type or TYPE_OF_STATUS.get(status, "invalid_request_error")
        self.code = code
        if status >= 500 and type is None:
            self.type = TYPE_OF_STATUS.get(status, "server_error")


TYPE_OF_STATUS: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Error types as Anthropic names them, by status; OpenAI clients read the status."""

STATUS_OF_TYPE: Final[Mapping[str, int]] = {
    **{name: status for status, name in TYPE_OF_STATUS.items() if name != "api_error"},
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "tokens": 429,
    "requests": 429,
    # google.rpc.Code
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""What status an error inside a 200 stream stands for, by its type or code."""


def untraced(error: E) -> E:
    """The same error without the frames that it and its causes went through.

    To be said before one is kept, or when it is dealt with: its frames hold all that the request
    held, mostly the error itself too, so that only the garbage collector would find them.
    """
    seen: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):  # It may be a ring: one error raised from what it led to.
        if seen is None:
            break
        seen.__traceback__ = None
        seen = seen.__cause__ or seen.__context__
    return error
