"""Media by URL in a body that is not translated: found and replaced in its own format.

Only the parts that change are written anew; whatever else a client sends stays
as it was. What does not look as its dialect says is left to the provider.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw

from core import envelope as envelopes
from core.envelope import Envelope
from core.media import Inline, Urls, Wanted, ending, reads, settled, wanted_for
from core.neutral import Media
from core.routes import DialectName

Visit: TypeAlias = Callable[[Media], Inline | None]

_parts_of: Final = msgspec.json.Decoder(list[Envelope]).decode
_fields_of: Final = msgspec.json.Decoder(Envelope).decode
_LONGEST_SCHEME: Final = 16
"""Up to here `://` tells a URL from a data URL and from bare base64."""


def wanted(fields: Envelope, dialect: DialectName, urls: Urls) -> tuple[Wanted, ...]:
    """What has to be fetched before the body can go to who reads `urls` only."""
    found: dict[Wanted, None] = {}

    def see(part: Media) -> None:
        if (one := wanted_for(urls, settled(part))) is not None:
            found[one] = None

    _visited(fields, dialect, see)
    return tuple(found)


def with_media(
    fields: Envelope, dialect: DialectName, urls: Urls, media: Mapping[str, Inline]
) -> Envelope:
    """The fields with what was fetched; the very object where nothing changes."""

    def put(part: Media) -> Inline | None:
        part = settled(part)
        return None if reads(urls, part) else media.get(part.url or "")

    return _visited(fields, dialect, put)


def _visited(fields: Envelope, dialect: DialectName, visit: Visit) -> Envelope:
    change = {"openai_chat": _openai_part, "anthropic": _anthropic_block}.get(dialect)
    if change is None or "messages" not in fields:
        return fields

    def in_message(message: Envelope) -> Envelope:
        return _within(message, "content", lambda part: change(part, visit))

    return _within(fields, "messages", in_message)


def _within(fields: Envelope, name: str, change: Callable[[Envelope], Envelope]) -> Envelope:
    """The object with each object of its list `name` changed; itself where none was."""
    value = fields.get(name)
    if value is None or not bytes(value).startswith(b"["):
        return fields
    try:
        parts = _parts_of(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return fields
    changed = [change(part) for part in parts]
    if all(a is b for a, b in zip(changed, parts, strict=True)):
        return fields
    return {**fields, name: envelopes.raw(changed)}


def _opened(fields: Envelope, name: str) -> Envelope:
    try:
        return _fields_of(fields.get(name, b"{}"))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _said(fields: Envelope, name: str) -> str | None:
    try:
        return msgspec.json.decode(fields.get(name, b"null"), type=str | None)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _openai_part(part: Envelope, visit: Visit) -> Envelope:
    match _said(part, "type"):
        case "image_url":
            image = _opened(part, "image_url")
            url = _said(image, "url") or _said(part, "image_url")
            if url is None or "://" not in url[:_LONGEST_SCHEME]:
                return part
            got = visit(Media(kind="image", url=url))
            return part if got is None else _openai_written(part, got, url, image)
        case "file":
            file = _opened(part, "file")
            url = _said(file, "file_data")
            if url is None or "://" not in url[:_LONGEST_SCHEME]:
                return part
            got = visit(Media(kind="document", url=url))
            return part if got is None else _openai_written(part, got, url, file)
        case _:
            return part


def _openai_written(part: Envelope, got: Inline, url: str, holder: Envelope) -> Envelope:
    """`holder` is the object that held the URL, with what else it says."""
    kept = {name: raw for name, raw in part.items() if name not in ("image_url", "file")}
    if got.media_type == "text/plain":
        return {**kept, "type": envelopes.raw("text"), "text": envelopes.raw(got.data)}
    if got.kind == "image":
        detail = {name: raw for name, raw in holder.items() if name == "detail"}
        image = {**detail, "url": envelopes.raw(got.data_url)}
        return {**kept, "type": envelopes.raw("image_url"), "image_url": envelopes.raw(image)}
    filename = holder.get("filename", envelopes.raw(ending(url) or "document.pdf"))
    file = {"filename": filename, "file_data": envelopes.raw(got.data_url)}
    return {**kept, "type": envelopes.raw("file"), "file": envelopes.raw(file)}


def _anthropic_block(block: Envelope, visit: Visit) -> Envelope:
    kind = _said(block, "type")
    if kind == "tool_result":
        return _within(block, "content", lambda piece: _anthropic_block(piece, visit))
    if kind not in ("image", "document"):
        return block
    source = _opened(block, "source")
    if _said(source, "type") == "content":
        inner = _within(source, "content", lambda piece: _anthropic_block(piece, visit))
        return block if inner is source else {**block, "source": envelopes.raw(inner)}
    url = _said(source, "url") if _said(source, "type") == "url" else None
    if url is None:
        return block
    got = visit(Media(kind="image" if kind == "image" else "document", url=url))
    if got is None:
        return block
    return {**block, "type": envelopes.raw(got.kind), "source": _anthropic_source(got)}


def _anthropic_source(got: Inline) -> Raw:
    kind = "text" if got.media_type == "text/plain" else "base64"
    source: dict[str, Any] = {"type": kind, "media_type": got.media_type, "data": got.data}
    return envelopes.raw(source)
