"""What the pass lane has to know of a message's stream.

Usage is told twice: what came in at the start, what went out at the end. Only
the parser knows how the two add up.
"""

import re
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from core import provider_errors
from core.dialects.anthropic.stream import StreamParser, framed
from core.neutral import Usage, UsageDelta, View
from core.sse import Event

if TYPE_CHECKING:
    from core.errors import ProviderError

TOKEN: Final = re.compile(rb'"type"\s*:\s*"(?:content_block_delta|message_delta)"')
"""Not `message_start`, `ping` and the beginning of a block."""


class WatchedEvent(Struct):
    type: str


_decode = msgspec.json.Decoder(WatchedEvent).decode


class StreamWatcher:
    def __init__(self, view: View) -> None:
        del view  # Anthropic shows usage to every client.
        self._parser = StreamParser()
        self.usage: Usage | None = None
        self.ended = False
        self.error: ProviderError | None = None

    @property
    def complete(self) -> bool:
        return self._parser.complete

    def see(self, event: Event) -> bool:
        match _decode(event.data).type:
            case "message_start" | "message_delta":
                for delta in self._parser.feed(event):
                    if isinstance(delta, UsageDelta):
                        self.usage = delta.usage
            case "message_stop":
                self.ended = self.complete
                return self.ended
            case "error":
                self.error = provider_errors.of_event(event.data)
        return True

    def ending(self) -> bytes:
        return framed("message_stop", {})
