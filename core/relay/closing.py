"""How a WebSocket ends: RFC 6455, section 7.4, and the IANA registry of close codes.

Some codes are never on the wire: they say how no code came. They must be translated before
they are passed on, or the library on the way raises.
"""

from typing import Final

from msgspec import Struct

from core.errors import CutwaterError, UpstreamError

NO_STATUS: Final = 1005
"""The other side closed and said no code."""
LOST: Final = 1006
"""The connection is gone without a word."""
LONGEST_REASON: Final = 123
"""Bytes: a control frame has 125, and two of them are the code."""
_ON_THE_WIRE: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
_ALIKE: Final = {NO_STATUS: 1000, LOST: 1001}
"""What to say to one side where the other one said nothing."""
_OF_STATUS: Final = {
    401: 3000,  # "Unauthorized", as OpenAI says it; 3003: "Forbidden"; 3008: "Timeout".
    403: 3003,
    408: 3008,
    413: 1009,
    429: 1013,
    503: 1013,
}
REFUSED: Final = 4000
"""A request that will be refused again: SDKs do not try such a code once more."""
FAILED: Final = 1011
"""Something broke: SDKs that reconnect do so at this code."""


class Close(Struct, frozen=True):
    """Both can be sent as they are."""

    code: int = 1000
    reason: str = ""


def is_sendable(code: int) -> bool:
    """Whether a close frame may hold this code."""
    return code in _ON_THE_WIRE or 3000 <= code <= 4999


def passed_on(code: int | None, reason: str = "") -> Close:
    """What to tell one side when the other one closed with this. None: no code is known."""
    if code is None:
        return Close(_ALIKE[LOST])
    if is_sendable(code):
        return Close(code, shortened(reason))
    return Close(_ALIKE.get(code, FAILED))


def broke_off(code: int | None) -> bool:
    """Whether a connection ended without a close frame: nobody meant it to end."""
    return code is None or code in (LOST, 1015)


def of_error(error: CutwaterError) -> Close:
    """After the `error` event that tells it, for clients that look at the code only."""
    fallback = REFUSED if error.status < 500 else FAILED
    reason = f"{error.type}.{error.code}" if error.code else error.type
    return Close(_OF_STATUS.get(error.status, fallback), shortened(reason))


LOST_PROVIDER: Final = UpstreamError(
    "The provider's connection was lost in the middle of the session: connect again."
)


def shortened(reason: str) -> str:
    """At most what a close frame holds; no character is cut in two."""
    raw = reason.encode("utf-8", "replace")
    return raw[:LONGEST_REASON].decode("utf-8", "ignore")
