"""What the pass lane has to know of an answer's stream.

It is whole at `messageStop`; the `metadata` that tells the usage comes after that.
"""

import re
from typing import TYPE_CHECKING, Final

import msgspec

from core.dialects.converse.stream import decode, failure_of
from core.neutral import Usage, View

if TYPE_CHECKING:
    from core.errors import ProviderError
    from core.sse import Event

TOKEN: Final = re.compile(rb'"(?:delta|start|stopReason)"\s*:')
"""Not `messageStart`."""
_read: Final = msgspec.json.Decoder(msgspec.Raw).decode
"""Fails where something is no JSON, and builds nothing."""


class StreamWatcher:
    def __init__(self, view: View) -> None:
        del view  # Converse shows usage to every client.
        self.usage: Usage | None = None
        self.ended = False
        self.error: ProviderError | None = None
        self.complete = False

    def see(self, event: "Event") -> bool:
        self.error = failure_of(event)
        match event.name:
            case b"messageStop":
                _read(event.data)
                self.complete = True
            case b"metadata":
                told = decode(event.data)
                self.usage = told.usage.neutral() if told.usage else None
                self.ended = self.complete
            case _:
                _read(event.data)  # What is cut would stop the client's own reader.
        return True

    def ending(self) -> bytes:
        """Nothing: without `metadata` an answer is whole all the same."""
        return b""
