"""A stream for a client that did not ask for server-sent events: one JSON array, piece by piece.

Google streams like this unless the query says `alt=sse`.
"""

from core import sse


def asks_for_events(query: str) -> bool:
    return "alt=sse" in query.split("&")


class ArrayWriter:
    """Our events in, in any split; the bytes of the array out."""

    content_type = b"application/json; charset=utf-8"

    def __init__(self) -> None:
        self._framer = sse.Framer()
        self._begun = False

    def feed(self, chunk: bytes) -> bytes:
        return b"".join([self._element(frame) for frame in self._framer.feed(chunk)])

    def finish(self) -> bytes:
        rest = self._framer.flush()
        last = self._element(rest) if rest else b""
        return last + (b"]" if self._begun else b"[]")

    def _element(self, frame: bytes) -> bytes:
        event = sse.parse(frame)
        if event is None:
            return b""
        before = b",\r\n" if self._begun else b"["
        self._begun = True
        return before + event.data
