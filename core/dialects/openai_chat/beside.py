"""What stands beside the text of a chat message: the pages that it rests on, and pictures.

OpenAI says pages as `annotations` that count characters of the whole message,
Perplexity as a list beside the message. Pictures are where OpenRouter has them.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from core.dialects.openai_common import media_from_url, url_citation, wire_citation
from core.errors import BadRequestError
from core.neutral import Citation, Media


def citations_of(annotations: Any) -> list[Citation]:
    given = annotations if isinstance(annotations, list) else []
    return [found for item in given if (found := url_citation(item)) is not None]


def sources_of(search_results: Any, citations: Any) -> list[Citation]:
    """Perplexity's: of the answer as a whole, with titles where it sends both."""
    found = []
    for item in search_results if isinstance(search_results, list) else []:
        match item:
            case {"url": str(url), "title": str(title)}:
                found.append(Citation(url=url, title=title or None))
    if not found and isinstance(citations, list):
        found = [Citation(url=url) for url in citations if isinstance(url, str)]
    return found


def placed(citation: Citation, lengths: Mapping[int, int]) -> tuple[int, Citation] | None:
    """The text that a citation of the whole message is about, and its place in that text."""
    before = 0
    for part, length in lengths.items():
        if citation.start is None or citation.end is None:
            return part, citation
        if citation.start < before + length:
            start, end = citation.start - before, min(citation.end - before, length)
            return part, msgspec.structs.replace(citation, start=start, end=end)
        before += length
    return None


def wire_annotation(citation: Citation, length: int, before: int) -> dict[str, Any]:
    return {"type": "url_citation", "url_citation": wire_citation(citation, length, before)}


def images_of(images: Any) -> list[Media]:
    given = images if isinstance(images, list) else []
    return [found for item in given if (found := image_of(item)) is not None]


def image_of(item: Any) -> Media | None:
    match item:
        case {"image_url": {"url": str(url)} | str(url)}:
            try:
                return media_from_url(url, "image", "image_url")
            except BadRequestError:
                return None  # A data URL that nobody can read.
        case _:
            return None


def wire_image(image: Media) -> dict[str, Any]:
    url = image.url or f"data:{image.media_type};base64,{image.data}"
    return {"type": "image_url", "image_url": {"url": url}}
