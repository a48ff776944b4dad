"""Request headers -> `Options`. The only place that knows their names."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from core.errors import AuthenticationError, BadRequestError
from core.routes import unquote

Headers = Mapping[str, str]

KEY_HEADERS: Final = ("authorization", "x-api-key", "api-key", "x-goog-api-key")

_NEVER_FORWARDED: Final = frozenset(
    {
        *KEY_HEADERS,
        "accept-encoding",
        "cache-control",
        "cdn-loop",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "cookie2",
        "expect",
        "fastly-client-ip",
        "fly-client-ip",
        "forwarded",
        "host",
        "keep-alive",
        "origin",
        "pragma",
        "priority",
        "proxy-authorization",
        "proxy-connection",
        "referer",
        "te",
        "trailer",
        "transfer-encoding",
        "true-client-ip",
        "upgrade",
        "user-agent",
        "via",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-forwarded",
        "x-original-forwarded-for",
        "x-real-ip",
        "x-request-id",
    }
)
_NEVER_FORWARDED_PREFIXES: Final = (
    "x-bt-",
    "x-amzn",
    "x-amz-",
    "x-forwarded-",
    "x-envoy-",
    "x-apigateway-",
    "cf-",
    "cloudfront-",
    "sec-",
)
_NEVER_FORWARDED_PARTS: Final = re.compile(
    "auth|token|csrf|xsrf|jwt|secret|credential|session|principal|password|api-?key"
    "|^if-|^range$|^content-encoding$|method-override"
)
"""Words of names that carry somebody's credentials, or that speak of another exchange."""
_ACCOUNT: Final = frozenset({"openai-organization", "openai-project"})
"""Whom a key bills: the caller's to say with the caller's own key only."""
_DIALECT_OF_PREFIX: Final = {
    "anthropic-": "anthropic",
    "openai-": "openai",
    "x-goog-": "gemini",
    "x-stainless-": "",
}
"""Headers that mean something to one family of dialects only; empty: to the SDK alone."""


class Options(Struct, frozen=True, kw_only=True):
    """What the caller asked for in headers. It carries a key: it has no repr."""

    key: str | None = None
    org: str | None = None
    endpoint: str | None = None
    strict: bool = False

    def __repr__(self) -> str:
        return "<Options>"


def collect(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """ASGI headers as a dict, names in lower case; repeated ones joined as RFC 9110 says."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _flag(headers: Headers, name: str) -> bool:
    value = headers.get(name, "false").lower()
    if value not in ("true", "false", "1", "0"):
        raise BadRequestError(f"{name} must be one of true, false, 1, 0.", param=name)
    return value in ("true", "1")


def _key(headers: Headers) -> str | None:
    authorization = headers.get("authorization", "").strip()
    if authorization:
        scheme, _, key = authorization.partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key or " " in key:
            raise AuthenticationError("The Authorization header must be `Bearer <key>`.")
        return key
    for name in KEY_HEADERS[1:]:
        if key := headers.get(name, "").strip():
            return key
    return None


def _key_in(query: str) -> str | None:
    """Google's clients may put the key into the query."""
    pairs = (pair.partition("=") for pair in query.split("&"))
    return next((unquote(value) for name, _, value in pairs if name == "key" and value), None)


def parse(headers: Headers, query: str = "") -> Options:
    return Options(
        key=_key(headers) or _key_in(query),
        org=headers.get("x-bt-org-name") or None,
        endpoint=headers.get("x-bt-endpoint-name") or None,
        strict=_flag(headers, "x-bt-strict"),
    )


def forwarded(headers: Headers, dialect: str, *, own_key: bool = False) -> dict[str, str]:
    """What of the caller's headers an endpoint that speaks `dialect` gets to see."""
    hops = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    kept: dict[str, str] = {}
    for name, value in headers.items():
        if name in _NEVER_FORWARDED or name in hops or _NEVER_FORWARDED_PARTS.search(name):
            continue
        if name.startswith(_NEVER_FORWARDED_PREFIXES) or (name in _ACCOUNT and not own_key):
            continue
        for prefix, owner in _DIALECT_OF_PREFIX.items():
            if name.startswith(prefix) and not (owner and dialect.startswith(owner)):
                break
        else:
            kept[name] = value
    return kept


_NEVER_RETURNED: Final = frozenset(
    {
        "alt-svc",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "expires",
        "keep-alive",
        "location",
        "nel",
        "pragma",
        "proxy-authenticate",
        "report-to",
        "server",
        "set-cookie",
        "set-cookie2",
        "strict-transport-security",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
        "via",
        "www-authenticate",
    }
)
_NEVER_RETURNED_PREFIXES: Final = ("access-control-", "cf-", "x-accel-", "x-bt-")


def returned(headers: Headers) -> list[tuple[bytes, bytes]]:
    """What of a provider's headers the caller gets to see, as ASGI wants them."""
    return [
        # As they came: a header's bytes are not always text.
        (name.encode(), value.encode("utf-8", "surrogateescape"))
        for name, value in headers.items()
        if name not in _NEVER_RETURNED and not name.startswith(_NEVER_RETURNED_PREFIXES)
    ]
