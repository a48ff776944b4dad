"""How a dialect puts events on the wire: server-sent events, or AWS's binary event stream."""

from collections.abc import Callable
from functools import cached_property
from typing import Final, Protocol

from msgspec import Struct

from core import sse
from core.sse import Event


class Framer(Protocol):
    """Chunks in, frames out: the bytes of whole events."""

    def feed(self, chunk: bytes) -> list[bytes]: ...

    def flush(self) -> bytes:
        """A last frame that only lacks its end mark, made whole; empty where there is none."""
        ...


class Wire(Struct, frozen=True, kw_only=True, dict=True):
    content_type: str
    framer: Callable[[], Framer]
    parse: Callable[[bytes], Event | None]
    """The event of one frame, None where it says nothing."""
    heartbeat: bytes = b""
    """What may be sent between two events to show that the stream lives; empty: nothing may."""

    @cached_property
    def media_type(self) -> str:
        return self.content_type.partition(";")[0]


SSE: Final = Wire(
    content_type="text/event-stream; charset=utf-8",
    framer=sse.Framer,
    parse=sse.parse,
    heartbeat=sse.HEARTBEAT,
)
