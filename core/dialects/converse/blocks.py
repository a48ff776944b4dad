"""Content blocks as Converse writes them: an object with one key that says what it is.

Bytes of media stay base64 text; only redacted thinking is decoded, because its
pieces in a stream cannot be joined as base64. It becomes text one byte a
character: for Claude that is the very string that Anthropic's own API gives.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Raw, Struct

from core.neutral import Citation, Media, Reasoning


class Location(Struct):
    uri: str = ""


class TextPiece(Struct):
    text: str = ""


class Source(Struct, rename="camel"):
    bytes: str | None = None
    s3_location: Location | None = None
    text: str | None = None
    content: list[TextPiece] | None = None


class MediaBlock(Struct):
    source: Source
    format: str | None = None
    name: str | None = None
    context: str | None = None
    citations: Raw = Raw()


class ToolUse(Struct, rename="camel"):
    tool_use_id: str = ""
    name: str = ""
    input: Raw = Raw()
    type: str | None = None

    @property
    def by_bedrock(self) -> bool:
        """Whether Bedrock itself runs the tool. Nova says of a client's tool that it is one."""
        return self.type not in (None, "tool_use")


class SearchResult(Struct):
    source: str = ""
    title: str = ""
    content: list[TextPiece] = []


class ResultPiece(Struct, rename="camel"):
    text: str | None = None
    json: Raw = Raw()
    image: MediaBlock | None = None
    document: MediaBlock | None = None
    video: MediaBlock | None = None
    search_result: SearchResult | None = None


class ToolResult(Struct, rename="camel"):
    tool_use_id: str = ""
    content: list[ResultPiece] = []
    status: str | None = None
    type: str | None = None
    """Set where Bedrock itself ran the tool."""


class ReasoningText(Struct):
    text: str = ""
    signature: str | None = None


class ReasoningContent(Struct, rename="camel"):
    reasoning_text: ReasoningText | None = None
    redacted_content: bytes | None = None

    def neutral(self) -> Reasoning:
        if self.redacted_content is not None:
            return Reasoning(redacted=unsealed(self.redacted_content))
        thought = self.reasoning_text or ReasoningText()
        return Reasoning(text=thought.text, signature=thought.signature or None)


class GuardContent(Struct):
    text: TextPiece | None = None
    image: MediaBlock | None = None


class CachePoint(Struct):
    ttl: str | None = None


class WebLocation(Struct):
    url: str | None = None


class SourceLocation(Struct):
    web: WebLocation | None = None


class WireCitation(Struct, rename="camel"):
    title: str | None = None
    source: str | None = None
    source_content: list[TextPiece] | None = None
    location: SourceLocation | None = None

    def neutral(self) -> Citation | None:
        """None for a place in a document that the client sent itself."""
        web = self.location.web if self.location else None
        url = (web.url if web else None) or self.source or ""
        if "://" not in url:
            return None
        quote = "".join(piece.text for piece in self.source_content or ())
        return Citation(url=url, title=self.title, quote=quote or None)


class Citations(Struct):
    content: list[TextPiece] = []
    citations: list[WireCitation] = []

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.content)

    @property
    def found(self) -> tuple[Citation, ...]:
        given = (citation.neutral() for citation in self.citations)
        return tuple(citation for citation in given if citation is not None)


def wire_citation(citation: Citation) -> dict[str, Any]:
    fields = {
        "title": citation.title,
        "source": citation.url,
        "sourceContent": [{"text": citation.quote}] if citation.quote else None,
        "location": {"web": {"url": citation.url}},
    }
    return {name: value for name, value in fields.items() if value is not None}


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
