"""What the pass lane has to know of a response's stream.

The event that makes it whole is the one that ends it.
"""

import re
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from core.dialects.openai_responses.reply import Response, WireUsage, error_of, failure
from core.dialects.openai_responses.stream import DONE
from core.envelope import present
from core.neutral import Usage, View
from core.sse import Event

if TYPE_CHECKING:
    from core.errors import ProviderError

TOKEN: Final = re.compile(
    rb'"type"\s*:\s*"response\.(?:[a-z_.]+\.(?:delta|done)|completed|incomplete)"'
)
"""Not `response.created`, nor that an item or a part of one has been added."""


class WatchedResponse(Struct):
    usage: WireUsage | None = None


class WatchedEvent(Struct):
    type: str = ""
    error: Raw = Raw()
    response: Raw = Raw()


class WatchedEnd(Struct):
    response: WatchedResponse


_decode = msgspec.json.Decoder(WatchedEvent).decode
_decode_end = msgspec.json.Decoder(WatchedEnd).decode
_decode_response = msgspec.json.Decoder(Response).decode


class StreamWatcher:
    def __init__(self, view: View) -> None:
        del view  # Usage is shown to every client.
        self.usage: Usage | None = None
        self.ended = False
        self.error: ProviderError | None = None

    @property
    def complete(self) -> bool:
        return self.ended

    def see(self, event: Event) -> bool:
        if event.data.startswith(DONE):
            return True
        watched = _decode(event.data)
        match watched.type:
            case "response.completed" | "response.incomplete":
                usage = _decode_end(event.data).response.usage
                self.usage = usage.neutral() if usage else None
                self.ended = True
            case "response.failed":
                self.error = failure(_decode_response(watched.response))
            case kind if kind == "error" or present(watched.error):
                self.error = error_of(msgspec.json.decode(event.data))
        return True

    def ending(self) -> bytes:
        """Nothing: the event that makes a stream whole is the one that ends it."""
        return b""
