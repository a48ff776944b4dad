"""What pages of other origins may do with an answer (CORS).

A browser sends the request all the same; what is decided here is whether the
page may read the answer. A long-lived key has no place in a page, so a page
that uses one reads nothing unless its origin is named in the settings.

Fetch standard, sections 3.3 and 4.8: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

import re
from typing import Final, Literal, TypeAlias

Headers: TypeAlias = list[tuple[bytes, bytes]]
Origins: TypeAlias = frozenset[str] | Literal["any"] | None
"""Those that may read every answer. None: every page may, but none with a long-lived key."""

METHODS: Final = b"GET, POST, PUT, PATCH, DELETE, OPTIONS"
PREFLIGHT_S: Final = 86_400
EXPOSED: Final = (
    "x-bt-cached",
    "x-bt-cache-reason",
    "x-bt-used-endpoint",
    "x-bt-dropped-params",
    "age",
    "cache-control",
    "retry-after",
    "request-id",
    "x-request-id",
    "openai-processing-ms",
)
_EXPOSE: Final = ", ".join(EXPOSED).encode()
_ORIGIN: Final = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[a-z0-9_-][a-z0-9._-]*)(?::[0-9]{1,5})?"
)
_ASKED: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,4096}")


def parse(said: str | None) -> Origins:
    """The setting CUTWATER_ALLOWED_ORIGINS: `*`, or origins with spaces or commas between.

    ValueError where one of them is no origin.
    """
    names = (said or "").replace(",", " ").lower().split()
    if names == ["*"]:
        return "any"
    for name in names:
        if not _ORIGIN.fullmatch(name.removesuffix("/")):
            raise ValueError(
                f"CUTWATER_ALLOWED_ORIGINS: `{name[:200]}` is no origin, such as "
                "https://app.example.com; `*` alone means all of them."
            )
    return frozenset(name.removesuffix("/") for name in names) or None


def told(origins: Origins, origin: str, *, long_lived: bool) -> Headers:
    """The headers of an answer to a page of `origin`; `long_lived`: it sent such a key."""
    if isinstance(origins, frozenset):
        allow = origin if origin.lower() in origins else None
    else:
        allow = None if long_lived and origins is None else "*"
    if allow is None:
        return [(b"vary", b"Origin")]
    return [
        (b"access-control-allow-origin", allow.encode("latin-1", "replace")),
        (b"access-control-expose-headers", _EXPOSE),
        (b"vary", b"Origin"),
    ]


def preflight(origins: Origins, origin: str, asked_headers: str) -> Headers:
    """What a browser asks before: it sends no key along, so any origin that might be allowed is."""
    headers = told(origins, origin, long_lived=False)
    if len(headers) == 1:
        return headers
    # Named one by one: `*` would leave out `Authorization`.
    allowed = asked_headers if _ASKED.fullmatch(asked_headers) else "authorization, content-type"
    return [
        *headers,
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", allowed.encode()),
        (b"access-control-max-age", b"%d" % PREFLIGHT_S),
    ]
