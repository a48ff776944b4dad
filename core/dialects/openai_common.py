"""What OpenAI's two formats have in common: errors, media by URL, words for effort.

A data URL may hold what its field does not say: an image field with a PDF in
it is a document, and a text file is text that any model can read.
"""

import binascii
from base64 import b64decode
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw

from core.errors import BadRequestError, CutwaterError
from core.neutral import Citation, Facts, Media, Thinking

EFFORT_OF_BUDGET: Final = ((2048, "low"), (8192, "medium"))
"""Up to how many thinking tokens an effort stands for; more is `high`."""
_HARDLY: Final = ("none", "minimal")
"""Efforts that pass for no thinking."""


def error_fields(error: CutwaterError) -> dict[str, Any]:
    return {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }


def error_body(error: CutwaterError, request_id: str) -> bytes:
    return msgspec.json.encode({"error": error_fields(error), "request_id": request_id})


def effort(thinking: Thinking) -> str | None:
    """The effort to ask for; None leaves the model its default."""
    if not thinking.enabled:
        return None
    if thinking.effort is not None:
        return {"max": "xhigh"}.get(thinking.effort, thinking.effort)
    if thinking.budget is None:
        return "medium"
    return next((word for most, word in EFFORT_OF_BUDGET if thinking.budget <= most), "high")


def effort_of(thinking: Thinking, facts: Facts) -> tuple[str | None, bool]:
    """The effort to say, None for the model's default; and whether the wish is lost with it."""
    if facts.reasoning is False:
        return None, thinking.enabled
    if thinking.enabled:
        return effort(thinking), False
    least = None if facts.quirks is None else facts.quirks.least
    if least is not None:
        return least or None, least not in _HARDLY
    # Who says the word himself may mean a model that nobody here knows.
    return ("none", False) if thinking.effort == "none" else (None, bool(facts.reasoning))


def url_citation(annotation: Any) -> Citation | None:
    """What either format says of a page that a text rests on; None for other annotations."""
    match annotation:
        case {"type": "url_citation", "url_citation": {"url": str(url)} as fields}:
            pass
        case {"type": "url_citation", "url": str(url)} as fields:
            pass
        case _:
            return None
    title, start, end = (fields.get(name) for name in ("title", "start_index", "end_index"))
    placed = isinstance(start, int) and isinstance(end, int) and 0 <= start < end
    return Citation(
        url=url,
        title=title if isinstance(title, str) and title else None,
        start=start if placed else None,
        end=end if placed else None,
    )


def wire_citation(citation: Citation, length: int, before: int = 0) -> dict[str, Any]:
    """`length`: of the text that it is about; `before`: of what came before that text."""
    start = 0 if citation.start is None else citation.start
    end = length if citation.end is None else citation.end
    return {
        "url": citation.url,
        "title": citation.title or "",
        "start_index": before + start,
        "end_index": before + end,
    }


def media_from_url(
    url: str,
    kind: Literal["image", "document"],
    param: str,
    *,
    name: str | None = None,
    detail: str | None = None,
    cache_control: Raw | None = None,
) -> Media:
    """`param` names the field in the 400 for what is no usable URL."""
    if not url.startswith("data:"):
        if kind == "document" and "://" not in url[:16]:
            # Some clients send a file's base64 without the data URL around it.
            return Media(kind=kind, media_type="application/pdf", data=url, name=name)
        return Media(kind=kind, url=url, detail=detail, name=name, cache_control=cache_control)
    head, _, data = url[5:].partition(",")
    media_type = head.partition(";")[0] or "text/plain"
    if not head.endswith(";base64"):
        raise BadRequestError("A data URL must be base64 encoded.", param=param)
    if not media_type.startswith("image/"):
        kind = "document"
    if is_text(media_type):
        media_type, data = "text/plain", _decoded(data, param)
    return Media(
        kind=kind,
        media_type=media_type,
        data=data,
        name=name,
        detail=detail,
        cache_control=cache_control,
    )


def is_text(media_type: str) -> bool:
    """Documents that a model reads as plain text."""
    return media_type.startswith("text/") or media_type in (
        "application/json",
        "application/xml",
        "application/yaml",
        "application/x-yaml",
        "application/javascript",
    )


def _decoded(data: str, param: str) -> str:
    try:
        return b64decode(data, validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise BadRequestError("A text file must be base64 of UTF-8.", param=param) from error
