"""From a request and its caller to the names and keys of the cache.

A request's digest says nothing of who asks; the caller's secret says nothing
of the request. An entry's name and the key that opens it need both, so that a
stolen table answers neither "what did they ask" nor "did they ask this".

HKDF: RFC 5869. Digests are taken over a canonical form of the body: sorted
names, no white space, numbers as they were written (`1.0` is not `1`).
"""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from core import options
from core.orgs import Org
from core.routes import Route

FORMAT: Final = 1
"""Of all that is derived and stored here; another number is another cache."""

_NEUTRAL_HEADERS: Final = frozenset(
    {
        "accept",
        "accept-language",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "anthropic-dangerous-direct-browser-access",
        "b3",
        "baggage",
        "content-language",
        "date",
        "dnt",
        "idempotency-key",
        "request-id",
        "sentry-trace",
        "traceparent",
        "tracestate",
        "uber-trace-id",
        "x-amzn-trace-id",
        "x-client-request-id",
        "x-correlation-id",
        "x-goog-api-client",
        "x-requested-with",
    }
)
_NEUTRAL_PREFIXES: Final = ("x-stainless-", "x-datadog-", "x-b3-", "x-cloud-trace")
"""These tell one call from another, or one client. Every other header that a provider gets to
see may change its answer."""

_decode: Final = msgspec.json.Decoder(float_hook=lambda digits: Raw(digits.encode())).decode
_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_pack: Final = msgspec.msgpack.Encoder().encode
_ESCAPED: Final = rb"\u00"
"""So begins a quote or a colon that is not written as itself."""
_SPACED: Final = re.compile(rb'"[ \t\r\n]+:')
_NAMES: Final = re.compile(rb'"(?:[^"\\]|\\.)*"\s*:?', re.DOTALL)


class Names(Struct, frozen=True, kw_only=True):
    """Where an answer lies, and what opens it. It holds a key: it has no repr."""

    pk: str
    seal: bytes
    digest: bytes

    def __repr__(self) -> str:
        return f"<Names {self.pk}>"


class Secret(Struct, frozen=True):
    """Of one caller, or of one generation of an organisation's data key. It has no repr."""

    value: bytes

    def __repr__(self) -> str:
        return "<Secret>"


def canonical(body: bytes) -> bytes | None:
    """The body in the one form of all that mean the same; None where it has no single meaning."""
    try:
        value: Any = _decode(body)
        said = _encode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return None
    return said if _names_are_single(body, said) else None


def _names_are_single(body: bytes, said: bytes) -> bool:
    """Of a name that comes twice this reader takes the last, another reader may take the first."""
    if _ESCAPED not in body and _SPACED.search(body) is None:
        # A text says `\\":` on both sides.
        return body.count(b'":') == said.count(b'":')
    return _count(body) == _count(said)


def _count(body: bytes) -> int:
    return sum(text.endswith(b":") for text in _NAMES.findall(body))


def digest(
    route: Route,
    body: bytes,
    headers: Mapping[str, str],
    *,
    query: str = "",
    endpoint: str | Sequence[Any] | None = None,
    strict: bool = False,
) -> bytes | None:
    """Of all that decides the answer but the caller; None where the body has no single meaning."""
    fields = canonical(body)
    if fields is None:
        return None
    seen = options.forwarded(headers, route.dialect, own_key=True)
    material = (
        FORMAT,
        route.kind,
        route.dialect,
        route.path,
        route.model,
        route.stream,
        _asked(query),
        endpoint,
        strict,
        sorted((name, value) for name, value in seen.items() if not _is_neutral(name)),
        fields,
    )
    return sha256(_pack(material)).digest()


def _asked(query: str) -> list[str]:
    """Of a name that comes twice the order may matter."""
    pairs = (pair for pair in query.split("&") if pair and not pair.startswith("key="))
    return sorted(pairs, key=lambda pair: pair.partition("=")[0])


def _is_neutral(name: str) -> bool:
    return name in _NEUTRAL_HEADERS or name.startswith(_NEUTRAL_PREFIXES)


def secrets_of(key: str, org: Org | None, *, org_name: str | None) -> tuple[Secret, ...]:
    """What the caller's entries are sealed under: the first one is written with, all are read.

    `key` is the caller's, whose scope it is; an organisation that shares its cache has its own.
    """
    rewrites = () if org is None else rewriting(org)
    if org is not None and org.shared_cache:
        return tuple(
            _secret(
                urlsafe_b64decode(data.key + "=="), ("org", org.name, data.generation, rewrites)
            )
            for data in sorted(org.data_keys, key=lambda data: -data.generation)
        )
    # Not as the caller named it: a key may come to belong to another organisation.
    whose = org_name if org is None else org.name
    return (_secret(key.encode(), ("caller", whose, rewrites)),)


def cassette_secret(key: str, cassette: str) -> Secret:
    """Of a cassette: its answers do not depend on the organisation that plays them."""
    return _secret(key.encode(), ("cassette", cassette))


def rewriting(org: Org) -> Sequence[Any]:
    """The settings that change what is asked: under other ones an old answer is none."""
    found: list[tuple[Any, ...]] = []
    for endpoint in org.endpoints:
        metadata = endpoint.metadata
        names = {n: m.upstream_name for n, m in metadata.custom_models.items() if m.upstream_name}
        headers = {name.lower(): value for name, value in metadata.additional_headers.items()}
        said = (
            metadata.override_model,
            metadata.override_system_prompt,
            metadata.deployment,
            sorted(names.items()),
            sorted((name, value) for name, value in headers.items() if not _is_neutral(name)),
        )
        if any(said):
            found.append((endpoint.label, *said))
    return sorted(found, key=repr)


def _secret(material: bytes, scope: Sequence[Any]) -> Secret:
    return Secret(_hkdf(material, salt=b"cutwater cache", info=_pack((FORMAT, scope))))


def names(secret: Secret, request: bytes, *, prefix: str = "cache") -> Names:
    """Name and key of the answer to a request's digest."""
    name = hmac.digest(_hkdf(secret.value, salt=b"", info=b"name"), request, "sha256")
    return Names(
        pk=f"{prefix}#{_text(name)}",
        seal=_hkdf(secret.value, salt=request, info=b"seal"),
        digest=request,
    )


def cassette_names(secret: Secret, request: bytes) -> tuple[Names, str]:
    """A cassette is one partition, all of which one key opens; the second value is the sort key."""
    label = hmac.digest(_hkdf(secret.value, salt=b"", info=b"cassette"), b"", "sha256")
    entry = names(secret, request)
    seal = _hkdf(secret.value, salt=b"", info=b"seal cassette")
    return Names(pk=f"cassette#{_text(label)}", seal=seal, digest=request), entry.pk[6:]


def tag(org: Org | None) -> str:
    """What housekeeping knows an organisation's rows by."""
    return "" if org is None else tag_of(org.name)


def tag_of(org_name: str) -> str:
    return _text(sha256(b"cutwater org " + org_name.encode()).digest()[:12])


def _hkdf(material: bytes, *, salt: bytes, info: bytes) -> bytes:
    """32 bytes: one block of RFC 5869 over SHA-256."""
    extracted = hmac.digest(salt or bytes(32), material, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
