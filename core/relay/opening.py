"""Before a session has begun: what a provider's refusal means, and whether to ask the next.

Some refuse the handshake with a status, others take it and say `error` first of all. A session
has begun when anything else was said: from then on the endpoint is never changed.
"""

from typing import Final

from core import provider_errors
from core.errors import CutwaterError, ProviderError, RateLimitError, UpstreamError
from core.relay import events
from core.relay.events import Frame

KEY_REFUSED: Final = frozenset({401, 402, 403})
"""About an endpoint's own key or account: no fault of the caller's."""
_ANOTHER_MAY: Final = frozenset({*KEY_REFUSED, 404, 408, 409, 425, 429})
"""A model that one endpoint does not have, another may."""


def may_fail_over(status: int) -> bool:
    return status in _ANOTHER_MAY or status >= 500 or status < 400


def refused(
    label: str, status: int, body: bytes, *, own_key: bool, keys: tuple[str, ...] = ()
) -> CutwaterError:
    """What to tell the caller of a handshake that was answered with `status`."""
    if status in KEY_REFUSED and not own_key:
        return UpstreamError(
            f"The provider refused the key of the endpoint `{label}` ({status}): check its secret."
        )
    if status < 400:
        return UpstreamError(
            f"The provider of the endpoint `{label}` answered the handshake with the status "
            f"{status}: check its `api_base`."
        )
    if status == 429:
        return RateLimitError(f"The provider of the endpoint `{label}` takes no more sessions now.")
    error = provider_errors.parse(status if status < 600 else 502, body)
    provider_errors.strike_error(error, keys)
    return error


def first_word(frame: Frame) -> ProviderError | None:
    """The error that a provider says instead of a session; None: the session has begun."""
    if isinstance(frame, bytes) or events.type_of(frame) != "error":
        return None
    error = provider_errors.of_event(frame.encode())
    # OpenAI calls a wrong key an invalid request: its code tells.
    error.status = _STATUS_OF_CODE.get(error.code or "", error.status)
    return error


_STATUS_OF_CODE: Final = {
    "invalid_api_key": 401,
    "model_not_found": 404,
    "invalid_model": 404,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
}
