"""AWS Signature Version 4: a request's headers, with the one that proves who sent it.

The path is signed as it stands in the URL, escaped once more: `%3A` is signed
as `%253A` (S3 alone differs, and is not spoken to here).
https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from msgspec import Struct

_UNRESERVED: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)


_SIGNED: Final = ("host", "content-type", "x-amz-", "x-goog-cloud-")
"""Names, or how they begin. The rest may be rewritten on the way, and needs no proof."""


class AwsKeys(Struct, frozen=True, kw_only=True):
    """No repr: it is a secret."""

    access_key: str
    secret_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return "<AwsKeys>"


class Scope(Struct, frozen=True):
    region: str
    service: str


def escape(text: str, *, keep: bytes = b"") -> str:
    return "".join(
        chr(byte) if byte in _UNRESERVED or byte in keep else f"%{byte:02X}"
        for byte in text.encode()
    )


class Signer(Struct, frozen=True):
    keys: AwsKeys
    scope: Scope


def sign(
    method: str, url: str, headers: Mapping[str, str], body: bytes, *, signer: Signer, now: float
) -> dict[str, str]:
    """`headers` (names in lower case) and those that sign; `content-type` is signed too.

    The query of `url` must already be escaped.
    """
    keys, scope = signer.keys, signer.scope
    host, path, query = _split(url)
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    signed = {**headers, "host": host, "x-amz-date": stamp}
    if keys.session_token:
        signed["x-amz-security-token"] = keys.session_token
    names = sorted(name for name in signed if name.startswith(_SIGNED))
    canonical = "\n".join(
        [
            method,
            escape(_plain(path), keep=b"/"),
            "&".join(f"{name}={value}" for name, value in sorted(_pairs(query))),
            *(f"{name}:{' '.join(signed[name].split())}" for name in names),
            "",
            ";".join(names),
            sha256(body).hexdigest(),
        ]
    )
    day = f"{stamp[:8]}/{scope.region}/{scope.service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{day}\n{sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{keys.secret_key}".encode()
    for part in day.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    if f"//{host}" in url or f"@{host}" in url:
        del signed["host"]  # Every HTTP client writes it by itself, as it stands in the URL.
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{day}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return signed


def _split(url: str) -> tuple[str, str, str]:
    rest = url.partition("://")[2].partition("#")[0]
    before, _, query = rest.partition("?")
    host, slash, path = before.partition("/")
    scheme = url.partition("://")[0]
    default = ":443" if scheme == "https" else ":80"
    host = host.rpartition("@")[2].lower()
    return host.removesuffix(default), slash + path or "/", query


def _plain(path: str) -> str:
    """Without empty segments and dots, as RFC 3986 and AWS resolve them."""
    if "//" not in path and "/." not in path:
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")


def _pairs(query: str) -> list[tuple[str, str]]:
    """To be sorted by name, then by value: `a=1` comes before `a-b=1`."""
    split = (pair.partition("=") for pair in query.split("&") if pair)
    return [(name, value) for name, _, value in split]
