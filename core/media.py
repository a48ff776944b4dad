"""Media by URL: which a provider reads itself, and which have to be fetched for it.

What a URL points to is not known before it is fetched: an image field may lead
to a PDF, and a document to a page that says "please log in".
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from core.envelope import Envelope
from core.errors import BadRequestError
from core.neutral import Media, Message, Part, Request, ToolResult
from core.routes import DialectName

Kind: TypeAlias = Literal["image", "document", "audio", "video"]

_WEB: Final = ("https://", "http://")
_ANY: Final = ("",)
"""Left to the dialect, which says that its models take no such thing."""
_HELD_BY_GOOGLE: Final = "https://generativelanguage.googleapis.com/"
_READ_BY_GEMINI: Final = (
    _HELD_BY_GOOGLE,
    "https://www.youtube.com/",
    "https://youtube.com/",
    "https://youtu.be/",
)
_S3: Final = ("s3://",)
_LONGEST_SHOWN: Final = 200


class Urls(Struct, frozen=True, kw_only=True):
    """How the URLs begin that a provider reads itself, by kind; all others are fetched."""

    image: tuple[str, ...] = ()
    document: tuple[str, ...] = ()
    audio: tuple[str, ...] = ()
    video: tuple[str, ...] = ()
    document_types: frozenset[str] = frozenset()
    """The only documents that it reads; empty: all. Others are fetched."""
    typed: bool = False
    """It has to be told the type: a URL of an unknown type is fetched."""


NOTHING: Final = Urls()
"""For those who take bytes only."""

TAKEN: Final[Mapping[DialectName, Urls]] = {
    # https://platform.openai.com/docs/guides/pdf-files: files by URL in `responses` only.
    "openai_chat": Urls(image=_WEB, video=_ANY),
    "openai_responses": Urls(image=_WEB, document=_WEB, audio=_ANY, video=_ANY),
    # https://docs.anthropic.com/en/docs/build-with-claude/pdf-support: `url` is for PDFs.
    "anthropic": Urls(
        image=("https://",),
        document=("https://",),
        audio=_ANY,
        video=_ANY,
        document_types=frozenset({"application/pdf"}),
    ),
    # https://ai.google.dev/gemini-api/docs/file-input-methods: other URLs by newer models only;
    # a video is too much to be sent inline.
    "gemini": Urls(
        image=_READ_BY_GEMINI,
        document=_READ_BY_GEMINI,
        audio=_READ_BY_GEMINI,
        video=("https://",),
    ),
    "converse": Urls(image=_S3, document=_S3, audio=_S3, video=_S3),
}
"""By dialect; a provider's row may say something else."""

_ENDINGS: Final[Mapping[str, str]] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
}


class MediaError(BadRequestError):
    """A URL that cannot be made use of. `url` is for finding its place, never to be shown whole."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"{shown(url)} {why}")
        self.url = url


class Wanted(Struct, frozen=True):
    """A URL to fetch, and what the client takes it for."""

    url: str
    kind: Kind
    media_type: str | None = None


class Inline(Struct, frozen=True):
    """What was fetched, as a part of a request holds it: base64, or text where it is text."""

    kind: Kind
    media_type: str
    data: str

    @property
    def data_url(self) -> str:
        return f"data:{self.media_type};base64,{self.data}"


Visit: TypeAlias = Callable[[Media], Media]


def shown(url: str) -> str:
    """Without what may be secret: a query often holds a signature, a name a password."""
    bare = url.partition("?")[0].partition("#")[0]
    scheme, slashes, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    plain = f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}" if slashes else "The URL"
    cut = plain if len(plain) <= _LONGEST_SHOWN else plain[:_LONGEST_SHOWN] + "..."
    return "".join(letter if letter.isprintable() else "?" for letter in cut)


def ending(url: str) -> str:
    """The last piece of the path: often the name of a file."""
    path = url.partition("?")[0].partition("#")[0].partition("://")[2]
    return path.rpartition("/")[2] if "/" in path else ""


def type_by_ending(url: str) -> str | None:
    _, dot, suffix = ending(url).rpartition(".")
    return _ENDINGS.get(suffix.lower()) if dot else None


def kind_of(media_type: str) -> Kind:
    match media_type.partition("/")[0]:
        case "image" | "audio" | "video" as kind:
            return kind
        case _:
            return "document"


def settle(request: Request) -> Request:
    """The request with media by URL as what they are, by their types."""
    if not _by_url(request):
        return request
    messages = tuple(_visited(message, settled) for message in request.messages)
    return request if messages == request.messages else replace(request, messages=messages)


def _by_url(request: Request) -> list[Media]:
    """Mostly none: one look at each part costs less than to visit them all."""
    found: list[Media] = []
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, Media):
                found.append(part)
            elif isinstance(part, ToolResult):
                found += [piece for piece in part.parts if isinstance(piece, Media)]
    return [part for part in found if part.url is not None]


def settled(part: Media) -> Media:
    """A type says more than the field that it was sent in: a PDF is no image."""
    known = part.media_type or type_by_ending(part.url or "")
    if known is None:
        return part
    misplaced = (part.kind == "image" and known == "application/pdf") or (
        # Where a client says no type, `document` only says that it said none.
        part.kind == "document" and part.media_type is None
    )
    kind = kind_of(known) if misplaced else part.kind
    if (kind, known) == (part.kind, part.media_type):
        return part
    return replace(part, kind=kind, media_type=known)


def reads(urls: Urls, part: Media) -> bool:
    """Whether a provider that reads `urls` itself reads this part's."""
    url = _plain_scheme(part.url or "")
    begins: tuple[str, ...] = getattr(urls, part.kind)
    if not url.startswith(begins):
        return False
    known = part.media_type or type_by_ending(url)
    if known is None:
        return not urls.typed
    limited = part.kind == "document" and bool(urls.document_types)
    return not limited or known in urls.document_types


def wanted_for(urls: Urls, part: Media) -> Wanted | None:
    """What to fetch for this part; None where nothing has to be. 400 where it cannot be fetched."""
    if part.url is None or reads(urls, part):
        return None
    if why := _held_elsewhere(_plain_scheme(part.url)):
        raise MediaError(part.url, why)
    return Wanted(part.url, part.kind, part.media_type)


def _plain_scheme(url: str) -> str:
    scheme, slashes, rest = url.partition("://")
    return scheme.lower() + slashes + rest


def _held_elsewhere(url: str) -> str | None:
    if url.startswith(_HELD_BY_GOOGLE):
        return "is held by Google's Files API, which no other provider reads: send the file itself."
    if url.startswith("gs://"):
        return "can be read by Gemini on Vertex AI only: send an https URL or the file itself."
    if url.startswith("s3://"):
        return "can be read by Bedrock Converse only: send a presigned https URL or the file."
    if not url.startswith(_WEB):
        return "is no http or https URL: send one, or the file itself as base64."
    return None


def wanted(request: Request, urls: Urls) -> tuple[Wanted, ...]:
    """What has to be fetched before a settled request can be said to who reads `urls` only."""
    every = [wanted_for(urls, part) for part in _by_url(request)]
    return tuple(dict.fromkeys([one for one in every if one is not None]))


def with_media(request: Request, urls: Urls, media: Mapping[str, Inline]) -> Request:
    """The request with what was fetched in the place of its URL."""

    def put(part: Media) -> Media:
        if part.url is None or reads(urls, part) or part.url not in media:
            return part
        return inlined(part, media[part.url])

    messages = tuple(_visited(message, put) for message in request.messages)
    return replace(request, messages=messages)


def inlined(part: Media, got: Inline) -> Media:
    name = part.name or (part.url and got.kind == "document" and ending(part.url)) or None
    return replace(
        part, kind=got.kind, media_type=got.media_type, data=got.data, url=None, name=name
    )


def _visited(message: Message, visit: Visit) -> Message:
    """The very object where nothing changes: most messages hold no media."""
    parts = tuple(_visited_part(part, visit) for part in message.parts)
    # A tuple compares its members by identity first: this is quick where nothing changed.
    return message if parts == message.parts else replace(message, parts=parts)


def _visited_part(part: Part, visit: Visit) -> Part:
    match part:
        case Media(url=str()):
            return visit(part)
        case ToolResult():
            pieces = tuple(visit(p) if isinstance(p, Media) and p.url else p for p in part.parts)
            return part if pieces == part.parts else replace(part, parts=pieces)
        case _:
            return part


def path_of(fields: Envelope, url: str) -> str | None:
    """Where in the client's own body a URL stands, such as `messages[0].content[1].image_url`."""
    for name, raw in fields.items():
        try:
            if (path := _path(msgspec.json.decode(raw), name, url)) is not None:
                return path
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    return None


def _path(value: Any, at: str, url: str) -> str | None:
    match value:
        case str():
            return at if value == url else None
        case dict():
            inner = ((f"{at}.{name}", piece) for name, piece in value.items())
        case list():
            inner = ((f"{at}[{index}]", piece) for index, piece in enumerate(value))
        case _:
            return None
    return next((path for name, piece in inner if (path := _path(piece, name, url))), None)
