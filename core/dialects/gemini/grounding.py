"""What an answer rests on, as Google tells it: chunks (the pages) and supports (the places).

A place counts the bytes of the UTF-8 text, not characters, and a page may
support many places. https://ai.google.dev/gemini-api/docs/google-search
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from core.neutral import Citation

Texts: TypeAlias = Mapping[int, str]
"""The answer's texts by part, in their order."""


def citations_of(metadata: Any, texts: Texts) -> list[tuple[int, Citation]]:
    """Citations with the part that they are about. Other shapes than the known one say nothing."""
    match metadata:
        case {"groundingChunks": list(chunks)}:
            pages = [_page(chunk) for chunk in chunks]
        case _:
            return []
    found: list[tuple[int, Citation]] = []
    supports = metadata.get("groundingSupports")
    for support in supports if isinstance(supports, list) else []:
        match support:
            case {"segment": dict(segment), "groundingChunkIndices": list(indices)}:
                place = _place(segment, texts)
                found += [
                    (place[0], _cited(pages[index], place))
                    for index in indices
                    if place and isinstance(index, int) and 0 <= index < len(pages) and pages[index]
                ]
    if not found and texts:
        first = next(iter(texts))
        found = [(first, Citation(url=url, title=title)) for url, title in filter(None, pages)]
    return found


def _page(chunk: Any) -> tuple[str, str | None] | None:
    match chunk:
        case {"web": {"uri": str(url)} as web} if url:
            title = web.get("title")
            return url, title if isinstance(title, str) else None
        case _:
            return None


def _cited(page: tuple[str, str | None] | None, place: tuple[int, int, int] | None) -> Citation:
    url, title = page or ("", None)
    _, start, end = place or (0, 0, 0)
    return Citation(url=url, title=title, start=start, end=end)


def _place(segment: Mapping[str, Any], texts: Texts) -> tuple[int, int, int] | None:
    """Part, start and end in characters."""
    start, end = segment.get("startIndex", 0), segment.get("endIndex")
    if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start < end:
        return None
    before = 0
    for part, text in texts.items():
        written = text.encode()
        if start < before + len(written):
            first, last = start - before, min(end - before, len(written))
            return part, _characters(written, first), _characters(written, last)
        before += len(written)
    return None


def _characters(written: bytes, count: int) -> int:
    return len(written[:count].decode("utf-8", "ignore"))


def wire_metadata(texts: Sequence[tuple[str, Sequence[Citation]]]) -> dict[str, Any] | None:
    """None where nothing is cited."""
    pages: dict[tuple[str, str | None], int] = {}
    supports: list[dict[str, Any]] = []
    before = 0
    for text, citations in texts:
        for citation in citations:
            page = pages.setdefault((citation.url, citation.title), len(pages))
            start = citation.start or 0
            end = len(text) if citation.end is None else citation.end
            first = before + len(text[:start].encode())
            segment = {
                "startIndex": first,
                "endIndex": first + len(text[start:end].encode()),
                "text": text[start:end],
            }
            supports.append({"segment": segment, "groundingChunkIndices": [page]})
        before += len(text.encode())
    if not pages:
        return None
    chunks = [{"web": {"uri": url, "title": title or ""}} for url, title in pages]
    return {"groundingChunks": chunks, "groundingSupports": supports}
