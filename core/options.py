"""Request headers -> `Options`. The only place that knows their names."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, get_args

from msgspec import Struct

from core.errors import AuthenticationError, BadRequestError
from core.routes import unquote

Headers = Mapping[str, str]

KEY_HEADERS: Final = ("authorization", "x-api-key", "api-key", "x-goog-api-key")

_NEVER_FORWARDED: Final = frozenset(
    {
        *KEY_HEADERS,
        "accept-encoding",
        "azureml-model-deployment",
        "baggage",
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
        "http2-settings",
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
    "x-appengine-",
    "x-azure-",
    "x-http-method",
    "x-original-",
    "x-rewrite-",
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
    "auth|token|csrf|xsrf|jwt|secret|credential|session|principal|password|api-?key|cert"
    "|identity|^if-|^range$|^content-encoding$|method-override"
    # Where a request came from, and for whom: what a server behind a gateway believes.
    r"|forwarded|\bremote-|(?:\b|client|socket)ip$|(?<!anthropic-)(?<!openai-)\buser\b|\bhost$"
)
"""Words of names that carry somebody's credentials, or that speak of another exchange."""
_USUAL_NAME: Final = 64
"""What is longer is decided anew each time: remembered, it would fill the memory."""
_ACCOUNT: Final = frozenset({"openai-organization", "openai-project", "x-goog-user-project"})
"""Whom a key bills: the caller's to say with the caller's own key only."""
_DIALECT_OF_PREFIX: Final = {
    "anthropic-": "anthropic",
    "openai-": "openai",
    "x-goog-": "gemini",
    "x-stainless-": "",
}
"""Headers that mean something to one family of dialects only; empty: to the SDK alone."""


UseCache: TypeAlias = Literal["auto", "always", "never", "record", "replay"]
UseCredsCache: TypeAlias = Literal["auto", "always", "never"]

MOST_FALLBACKS: Final = 8
_LONGEST_MODEL: Final = 256
LONGEST_TTL_S: Final = 7 * 24 * 3600
LONGEST_PARENT: Final = 1000
_CASSETTE: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")


class Options(Struct, frozen=True, kw_only=True):
    """What the caller asked for in headers. It carries a key: it has no repr."""

    key: str | None = None
    org: str | None = None
    endpoint: str | None = None
    fallbacks: tuple[str, ...] | None = None
    """Models to go on with where the one asked for cannot be had; None: as the settings say."""
    strict: bool = False
    use_creds_cache: UseCredsCache = "auto"
    """`never`: an organisation's settings as they are stored at this moment."""
    use_cache: UseCache = "auto"
    cache_ttl_s: int = LONGEST_TTL_S
    max_age_s: int | None = None
    """An older answer of the cache is not wanted; 0: none is."""
    no_store: bool = False
    cassette: str | None = None
    parent: str | None = None
    """What a session is logged under, with what was said in it."""
    compress_audio: bool = False

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
    if name not in headers:
        return False
    value = headers[name].lower()
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


def _name(headers: Headers, header: str) -> str | None:
    """Settings are in UTF-8, headers are read as Latin-1."""
    said = headers.get(header)
    if said is not None and not said.isascii():
        with suppress(UnicodeError):
            said = said.encode("latin-1").decode()
    return said or None


_CACHE_HEADERS: Final = frozenset(
    {"x-bt-use-cache", "x-bt-cache-ttl", "cache-control", "x-bt-cassette"}
)
_ASKING: Final = _CACHE_HEADERS | {
    "x-bt-org-name",
    "x-bt-endpoint-name",
    "x-bt-fallback-models",
    "x-bt-strict",
    "x-bt-use-creds-cache",
    "x-bt-parent",
    "x-bt-compress-audio",
}
"""Most requests have none of these."""


def parse(headers: Headers, query: str = "") -> Options:
    key = _key(headers) or _key_in(query)
    if key is not None and not key.isprintable():
        raise AuthenticationError("The API key holds a character that no key has.")
    if _ASKING.isdisjoint(headers):
        return Options(key=key)
    return Options(
        key=key,
        org=_name(headers, "x-bt-org-name"),
        endpoint=_name(headers, "x-bt-endpoint-name"),
        fallbacks=_fallbacks(headers),
        strict=_flag(headers, "x-bt-strict"),
        use_creds_cache=_use_creds_cache(headers.get("x-bt-use-creds-cache", "auto")),
        **_cache(headers),
        **_logging(headers),
    )


def _fallbacks(headers: Headers) -> tuple[str, ...] | None:
    """Names separated by commas; an empty list switches those of the settings off."""
    said = headers.get("x-bt-fallback-models")
    if said is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in said.split(",") if name.strip()))
    if len(names) > MOST_FALLBACKS or any(len(name) > _LONGEST_MODEL for name in names):
        raise BadRequestError(
            f"x-bt-fallback-models is at most {MOST_FALLBACKS} names of models, separated by "
            "commas.",
            param="x-bt-fallback-models",
        )
    return names


def _logging(headers: Headers) -> dict[str, Any]:
    parent = headers.get("x-bt-parent")
    if parent is None:
        return {}
    if not 0 < len(parent) <= LONGEST_PARENT or not parent.isprintable():
        raise BadRequestError(
            f"Invalid x-bt-parent header: it has 1 to {LONGEST_PARENT} printable characters, "
            "such as `project_name:support`.",
            param="x-bt-parent",
        )
    return {"parent": parent, "compress_audio": _flag(headers, "x-bt-compress-audio")}


def _use_creds_cache(said: str) -> UseCredsCache:
    match said.strip().lower():
        case "auto" | "always" | "never" as mode:
            return mode
    raise BadRequestError(
        f"Invalid x-bt-use-creds-cache header '{said[:80]}'. Must be one of auto, always, never.",
        param="x-bt-use-creds-cache",
    )


def _cache(headers: Headers) -> dict[str, Any]:
    if _CACHE_HEADERS.isdisjoint(headers):
        return {}
    mode = headers.get("x-bt-use-cache", "auto").strip().lower()
    if mode not in get_args(UseCache):
        raise BadRequestError(
            f"Invalid x-bt-use-cache header '{mode[:80]}'. Must be one of auto, always, never "
            "(or record, replay, with a name in x-bt-cassette).",
            param="x-bt-use-cache",
        )
    said = headers.get("cache-control", "").lower()
    directives = {name.strip(): value for name, _, value in _directives(said)}
    max_age = _seconds("max-age of cache-control", directives.get("max-age"))
    return {
        "use_cache": mode,
        "cache_ttl_s": _ttl(headers.get("x-bt-cache-ttl")),
        "max_age_s": 0 if "no-cache" in directives else max_age,
        "no_store": "no-store" in directives,
        "cassette": _cassette(headers, mode),
    }


def _directives(said: str) -> Iterable[tuple[str, str, str]]:
    return (part.partition("=") for part in said.split(",") if part.strip())


def _seconds(name: str, said: str | None) -> int | None:
    if said is None:
        return None
    digits = said.strip().strip('"')
    if not digits.isascii() or not digits.removeprefix("-").isdecimal() or len(digits) > 18:
        raise BadRequestError(
            f"The {name} must be a whole number of seconds, such as 3600.",
            param=name.rpartition(" ")[2],
        )
    return max(0, int(digits))


def _ttl(said: str | None) -> int:
    """Cut to 1 second to 7 days."""
    seconds = _seconds("header x-bt-cache-ttl", said)
    return LONGEST_TTL_S if seconds is None else min(max(1, seconds), LONGEST_TTL_S)


def _cassette(headers: Headers, mode: str) -> str | None:
    name = headers.get("x-bt-cassette")
    if mode not in ("record", "replay"):
        return None
    if name is None or not _CASSETTE.fullmatch(name):
        raise BadRequestError(
            f"x-bt-use-cache: {mode} needs x-bt-cassette: a name of 1 to 100 letters, digits, "
            "`.`, `_` or `-`.",
            param="x-bt-cassette",
        )
    return name


def without_key(headers: dict[str, str], key: str) -> dict[str, str]:
    """For a key that nobody else may see: callers put it into more headers than one."""
    for name, value in headers.items():
        if (key in value or "%" in value) and name not in KEY_HEADERS:
            break
    else:
        return headers  # By far the most common.
    return {
        name: value
        for name, value in headers.items()
        if name in KEY_HEADERS
        or (key not in value and ("%" not in value or key not in unquote(value)))
    }


def query_without(query: str, key: str) -> str:
    """Likewise, by whatever name it goes there."""
    if not query:
        return query
    return "&".join(pair for pair in query.split("&") if key not in unquote(pair))


def forwarded(headers: Headers, dialect: str, *, own_key: bool = False) -> dict[str, str]:
    """What of the caller's headers an endpoint that speaks `dialect` gets to see."""
    hops = _hops(headers)
    return {
        name: value
        for name, value in headers.items()
        if name not in _NEVER_FORWARDED
        and name not in hops
        and (_travels if len(name) <= _USUAL_NAME else _travels.__wrapped__)(name, dialect, own_key)
    }


def _hops(headers: Headers) -> frozenset[str]:
    """Names that are about one connection only, as its own header says."""
    said = headers.get("connection")
    if said is None:
        return frozenset()
    return frozenset(name.strip().lower() for name in said.split(","))


@lru_cache(maxsize=1024)
def _travels(name: str, dialect: str, own_key: bool) -> bool:
    if name in _ACCOUNT:
        if not own_key:
            return False
    elif name in _NEVER_FORWARDED or _NEVER_FORWARDED_PARTS.search(name):
        return False
    if name.startswith(_NEVER_FORWARDED_PREFIXES):
        return False
    return not any(
        name.startswith(prefix) and not (owner and dialect.startswith(owner))
        for prefix, owner in _DIALECT_OF_PREFIX.items()
    )


_NEVER_RETURNED: Final = frozenset(
    {
        # Whose account it is.
        "anthropic-organization-id",
        "openai-organization",
        "openai-project",
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
    hops = _hops(headers)
    return [
        # As they came: a header's bytes are not always text.
        (name.encode(), value.encode("utf-8", "surrogateescape"))
        for name, value in headers.items()
        if name not in _NEVER_RETURNED
        and name not in hops
        and not name.startswith(_NEVER_RETURNED_PREFIXES)
    ]
