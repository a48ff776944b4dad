"""The guard of what is fetched for a provider, and what becomes of it.

A caller chooses the URL, so the URL is an attack until shown otherwise: it may
name this machine, the cloud's metadata service, or a name that resolves to
them. A name says nothing; only the addresses that it resolves to do, and the
connection must go to those very addresses.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Final

from msgspec import Struct

from core import addresses
from core.dialects.openai_common import is_text
from core.media import Inline, MediaError, Wanted, kind_of, shown, type_by_ending
from core.ports import Fetched

MEGABYTE: Final = 1024 * 1024


class Limits(Struct, frozen=True, kw_only=True):
    each: int = 20 * MEGABYTE
    total: int = 32 * MEGABYTE
    """Of all that one request has fetched: a provider takes hardly more."""
    seconds: float = 10.0
    redirects: int = 3
    urls: int = 20


class ForbiddenAddressError(Exception):
    """Where a URL or a redirect leads is not to be asked."""


class Room:
    """How much may still be read for one request."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = limits.total

    def take(self, url: str, piece: int, so_far: int) -> None:
        """`piece` bytes more of a medium that has `so_far` of them with these."""
        self._left -= piece
        self.check(url, so_far)
        if self._left < 0:
            most = self._limits.total // MEGABYTE
            raise MediaError(url, f"and the others are together larger than {most} MB.")

    def check(self, url: str, size: int) -> None:
        if size > self._limits.each:
            raise MediaError(url, f"is larger than {self._limits.each // MEGABYTE} MB.")


_HOST: Final = re.compile(r"[a-z0-9_][a-z0-9_.-]*")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


def check_url(url: str) -> None:
    """Before it is parsed: parsers disagree about such characters, and an attacker knows how."""
    if "\\" in url or any(letter <= " " or letter == "\x7f" for letter in url):
        raise ForbiddenAddressError("is no URL: encode its special characters")


def check_target(scheme: str, host: str | None, port: int | None, *, has_user: bool) -> str | None:
    """The address, where the host is one; None where it is a name that has to be resolved.

    The arguments are of the parsed URL that is then asked: no second parser, no second opinion.
    """
    if scheme not in ("http", "https"):
        raise ForbiddenAddressError("leads to what is neither http nor https")
    if has_user:
        raise ForbiddenAddressError("holds a user name: send it without")
    if port is None or not (port in (80, 443) or 1024 <= port <= 65535):
        raise ForbiddenAddressError("leads to a port that is not asked: use 80, 443 or above 1023")
    name = (host or "").lower()
    if ":" in name:
        if addresses.parsed(name) is None:
            raise ForbiddenAddressError("has no usable address")
        return name
    if len(name) > 253 or _HOST.fullmatch(name) is None:
        raise ForbiddenAddressError("has no usable host")
    # `127.1`, `0177.0.0.1`, `0x7f000001`, `2130706433`: C libraries read them all as addresses.
    if _NUMBER.fullmatch(name.rstrip(".").rpartition(".")[2]) is None:
        return None
    try:
        return str(IPv4Address(name))
    except ValueError as error:
        raise ForbiddenAddressError("has no usable address") from error


def check_redirect(scheme: str, next_scheme: str, followed: int, limits: Limits) -> None:
    if followed >= limits.redirects:
        raise ForbiddenAddressError(f"redirects more than {limits.redirects} times")
    if scheme == "https" and next_scheme == "http":
        raise ForbiddenAddressError("redirects from https to http")


def check_count(urls: Sequence[str], limits: Limits) -> None:
    if len(urls) > limits.urls:
        raise MediaError(
            urls[limits.urls], f"is one too many: at most {limits.urls} URLs are fetched."
        )


_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mp3"),
    (b"fLaC", "audio/flac"),
)
_BRANDS: Final = {b"heic": "image/heic", b"avif": "image/avif", b"mif1": "image/heif"}
_HTML: Final = (b"<!doctype html", b"<html", b"<head", b"<body")
_NOT_SAID: Final = ("", "application/octet-stream", "binary/octet-stream", "application/x-download")
_SAME: Final = {
    "image/jpg": "image/jpeg",
    "audio/mpeg": "audio/mp3",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "application/x-pdf": "application/pdf",
}
_OFFICE: Final = ("application/vnd.", "application/msword", "application/rtf", "application/epub")
_CHARSETS: Final = frozenset(
    {"utf-8", "utf8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16", "utf-16le", "utf-16be"}
)


def opened(wanted: Iterable[Wanted], fetched: Mapping[str, Fetched]) -> dict[str, Inline]:
    """What was fetched, as parts of a request. 400 for what is something else than it should be."""
    found: dict[str, Inline] = {}
    for one in wanted:
        got = fetched[one.url]
        media_type = type_of(got.media_type, got.data, one.url)
        _check_type(one, media_type)
        if one.url not in found:
            found[one.url] = _inline(one.url, media_type, got)
    return found


def type_of(said: str, data: bytes, url: str) -> str:
    """The bytes win: servers say what they like, and providers compare."""
    if (seen := _sniffed(data)) is not None:
        return seen
    named = said.partition(";")[0].strip().lower()
    named = _SAME.get(named, named)
    if data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_HTML):
        return named if named.startswith("text/") else "text/html"
    if named in _NOT_SAID:
        return type_by_ending(url) or ""
    return named


def _sniffed(data: bytes) -> str | None:
    for magic, media_type in _MAGIC:
        if data.startswith(magic):
            return media_type
    match data[:4], data[4:8], data[8:12]:
        case b"RIFF", _, b"WEBP":
            return "image/webp"
        case b"RIFF", _, b"WAVE":
            return "audio/wav"
        case _, b"ftyp", brand:
            return _BRANDS.get(brand)
        case _:
            return None


def _check_type(one: Wanted, media_type: str) -> None:
    if not media_type:
        raise MediaError(one.url, "does not say what type it has: send the file as base64.")
    kind = kind_of(media_type)
    match one.kind:
        case "document":
            fits = kind == "image" or (kind == "document" and _is_document(media_type))
            expected = one.media_type or type_by_ending(one.url)
            if media_type == "text/html" and expected not in (None, "text/html"):
                fits = False  # A page that says "please log in", most often.
        case "image":
            fits = kind == "image" or media_type == "application/pdf"
        case _:
            fits = kind == one.kind
    if not fits:
        raise MediaError(
            one.url,
            f"is of the type {shown_type(media_type)}, which is no {one.kind} that can be sent.",
        )


def shown_type(media_type: str) -> str:
    """It comes from a stranger's header."""
    return re.sub(r"[^a-z0-9./+-]", "?", media_type[:80])


def _is_document(media_type: str) -> bool:
    return media_type == "application/pdf" or is_text(media_type) or media_type.startswith(_OFFICE)


def _inline(url: str, media_type: str, got: Fetched) -> Inline:
    if not is_text(media_type):
        return Inline(kind_of(media_type), media_type, b64encode(got.data).decode())
    charset = got.media_type.lower().partition("charset=")[2].partition(";")[0].strip(" \"'")
    try:
        text = got.data.decode(charset if charset in _CHARSETS else "utf-8")
    except UnicodeDecodeError as error:
        raise MediaError(url, "is no text in UTF-8.") from error
    return Inline("document", "text/plain", text.removeprefix("\ufeff"))


def note(one: Wanted) -> Inline:
    """Stands in an explanation for what would be fetched."""
    guess = {"image": "image/png", "document": "application/pdf", "audio": "audio/wav"}
    media_type = one.media_type or type_by_ending(one.url) or guess.get(one.kind, "video/mp4")
    said = f"(fetched from {shown(one.url)})"
    if is_text(media_type):
        return Inline("document", "text/plain", said)
    return Inline(one.kind, media_type, said)
