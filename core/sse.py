"""Server-sent events: bytes <-> events, for any split of the bytes.

Lines end at CR, LF or CRLF only (a JSON text may hold U+2028, which is no
line end here). `Framer` cuts at blank lines and keeps the bytes as they came,
so that the pass lane forwards what the provider sent and nothing is ever
written inside an event. https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import re
from typing import Final

from msgspec import Struct

from core.errors import UpstreamError

MOST_EVENT: Final = 32 * 1024 * 1024
HEARTBEAT: Final = b": keep-alive\n\n"
"""A comment: every SSE reader skips it, proxies on the way see traffic."""

_LONG: Final = 16 * 1024
"""What is shorter is joined at once: nearly every event."""
_LONGEST_END: Final = 3
"""A blank line spans at most four bytes, so three of it may already be here."""
# Atomic groups: without them `\r\n` would match as two line ends.
_blank_line = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
_line_end = re.compile(rb"\r\n|\r|\n")


class Event(Struct, frozen=True):
    data: bytes
    name: bytes = b""


class Framer:
    """Chunks in, frames out: the bytes of whole events, blank line included."""

    def __init__(self) -> None:
        self._rest = b""
        self._seen = 0
        """How much of `_rest` is known to hold no blank line."""
        self._later: list[bytes] = []
        """What came after a long `_rest` and ends no event: joined once, not at each chunk."""
        self._size = 0
        self._tail = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        data = chunk
        if self._rest:
            if len(self._rest) > _LONG and self._goes_on(chunk):
                return []
            data = (
                b"".join((self._rest, *self._later, chunk)) if self._later else self._rest + chunk
            )
            self._later.clear()
        if (
            b"\r" not in data
            and data.endswith(b"\n\n")
            and data.find(b"\n\n", self._seen) == (len(data) - 2)
        ):
            self._rest, self._seen = b"", 0  # By far the most common: one chunk is one event.
            return [data]
        frames = self._plain(data) if b"\r" not in data else self._mixed(data)
        # A blank line spans at most four bytes, so three of it may already be here.
        self._seen = max(len(self._rest) - 3, 0)
        return frames

    def _goes_on(self, chunk: bytes) -> bool:
        """Whether the event that has begun does not end in this chunk."""
        if not self._later:
            self._size, self._tail = len(self._rest), self._rest[-_LONGEST_END:]
        near = self._tail + chunk
        if _blank_line.search(near) is not None:
            if self._later:
                self._seen = self._size - len(self._tail)
            return False
        self._later.append(chunk)
        self._size += len(chunk)
        self._tail = near[-_LONGEST_END:]
        if self._size > MOST_EVENT:
            raise UpstreamError("The provider sent an event without end.")
        return True

    def _plain(self, data: bytes) -> list[bytes]:
        """Lines end at LF only, as nearly everywhere: no pattern is needed."""
        frames = []
        start, position = 0, self._seen
        while (found := data.find(b"\n\n", position)) >= 0:
            frames.append(data[start : found + 2])
            start = position = found + 2
        self._rest = data[start:]
        return frames

    def _mixed(self, data: bytes) -> list[bytes]:
        frames = []
        start, position = 0, self._seen
        while found := _blank_line.search(data, position):
            frames.append(data[start : found.end()])
            start = position = found.end()
        self._rest = data[start:]
        return frames

    def flush(self) -> bytes:
        """What came after the last blank line: some servers leave the last one out."""
        rest = b"".join((self._rest, *self._later)).rstrip(b"\r\n")
        self._rest, self._seen = b"", 0
        self._later.clear()
        # A name whose data was cut off is no event.
        return rest + b"\n\n" if parse(rest + b"\n\n") is not None else b""


def parse(frame: bytes) -> Event | None:
    """The event of one frame, None where it holds comments only."""
    if frame.startswith(b"data: ") and frame.find(b"\n") == len(frame) - 2 and b"\r" not in frame:
        return Event(frame[6:-2])
    if frame.startswith(b"event: ") and b"\r" not in frame and frame.count(b"\n") == 3:
        first = frame.find(b"\n")
        if frame.startswith(b"data: ", first + 1):
            return Event(frame[first + 7 : -2], frame[7:first])
    data: list[bytes] = []
    name = b""
    for line in _line_end.split(frame.removeprefix(b"\xef\xbb\xbf")):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    if not data:
        return None
    return Event(b"\n".join(data), name)


def render(data: bytes, name: bytes = b"") -> bytes:
    """One event; `data` is JSON on one line."""
    if name:
        return b"event: " + name + b"\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"
