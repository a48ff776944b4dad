"""Content blocks as Converse writes them: an object with one key that says what it is.

Bytes of media stay base64 text; only redacted thinking is decoded, because its
pieces in a stream cannot be joined as base64. It becomes text one byte a
character: for Claude that is the very string that Anthropic's own API gives.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw, Struct

from core.neutral import Media, Reasoning


class Location(Struct):
    uri: str = ""


class TextPiece(Struct):
    text: str = ""


class Source(Struct):
    bytes: str | None = None
    s3Location: Location | None = None  # noqa: N815
    text: str | None = None
    content: list[TextPiece] | None = None


class MediaBlock(Struct):
    source: Source
    format: str | None = None
    name: str | None = None
    context: str | None = None
    citations: Raw = Raw()


class ToolUse(Struct):
    toolUseId: str = ""  # noqa: N815
    name: str = ""
    input: Raw = Raw()
    type: str | None = None
    """Set where Bedrock itself runs the tool."""


class SearchResult(Struct):
    source: str = ""
    title: str = ""
    content: list[TextPiece] = []


class ResultPiece(Struct):
    text: str | None = None
    json: Raw = Raw()
    image: MediaBlock | None = None
    document: MediaBlock | None = None
    video: MediaBlock | None = None
    searchResult: SearchResult | None = None  # noqa: N815


class ToolResult(Struct):
    toolUseId: str = ""  # noqa: N815
    content: list[ResultPiece] = []
    status: str | None = None
    type: str | None = None
    """Set where Bedrock itself ran the tool."""


class ReasoningText(Struct):
    text: str = ""
    signature: str | None = None


class ReasoningContent(Struct):
    reasoningText: ReasoningText | None = None  # noqa: N815
    redactedContent: bytes | None = None  # noqa: N815

    def neutral(self) -> Reasoning:
        if self.redactedContent is not None:
            return Reasoning(redacted=unsealed(self.redactedContent))
        thought = self.reasoningText or ReasoningText()
        return Reasoning(text=thought.text, signature=thought.signature or None)


class GuardContent(Struct):
    text: TextPiece | None = None
    image: MediaBlock | None = None


class CachePoint(Struct):
    ttl: str | None = None


class Citations(Struct):
    content: list[TextPiece] = []

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.content)


def unsealed(data: bytes) -> str:
    return data.decode("latin-1")


def sealed(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()  # No Bedrock model wrote it, so none has to read it.


FORMATS: Final[Mapping[str, tuple[str, str]]] = {
    # media type: its block and format; the first of a format is what the format is read as
    "image/png": ("image", "png"),
    "image/jpeg": ("image", "jpeg"),
    "image/jpg": ("image", "jpeg"),
    "image/gif": ("image", "gif"),
    "image/webp": ("image", "webp"),
    "application/pdf": ("document", "pdf"),
    "text/plain": ("document", "txt"),
    "text/csv": ("document", "csv"),
    "text/html": ("document", "html"),
    "text/markdown": ("document", "md"),
    "application/msword": ("document", "doc"),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": (
        "document",
        "docx",
    ),
    "application/vnd.ms-excel": ("document", "xls"),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ("document", "xlsx"),
    "video/mp4": ("video", "mp4"),
    "video/quicktime": ("video", "mov"),
    "video/x-matroska": ("video", "mkv"),
    "video/webm": ("video", "webm"),
    "video/x-flv": ("video", "flv"),
    "video/mpeg": ("video", "mpeg"),
    "video/mpg": ("video", "mpg"),
    "video/x-ms-wmv": ("video", "wmv"),
    "video/3gpp": ("video", "three_gp"),
    "audio/mp3": ("audio", "mp3"),
    "audio/mpeg": ("audio", "mp3"),
    "audio/wav": ("audio", "wav"),
    "audio/x-wav": ("audio", "wav"),
    "audio/aac": ("audio", "aac"),
    "audio/flac": ("audio", "flac"),
    "audio/ogg": ("audio", "ogg"),
    "audio/opus": ("audio", "opus"),
    "audio/mp4": ("audio", "mp4"),
    "audio/m4a": ("audio", "m4a"),
    "audio/webm": ("audio", "webm"),
    "audio/pcm": ("audio", "pcm"),
    "audio/x-matroska": ("audio", "mka"),
}


def picture(given: MediaBlock) -> Media:
    """An image that a model made."""
    kind = media_type("image", given.format)
    return Media(kind="image", media_type=kind, data=given.source.bytes or "")


def media_type(block: str, name: str | None) -> str:
    """The media type of a format; one that is not in the table says itself what it is."""
    known = (of for of, place in FORMATS.items() if place == (block, name))
    return next(known, f"{'application' if block == 'document' else block}/{name or 'pdf'}")
