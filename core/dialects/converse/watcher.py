"""What the pass lane has to know of an answer's stream.

It is whole at `messageStop`; the `metadata` that tells the usage comes after that.
"""

from typing import TYPE_CHECKING

from core.dialects.converse.stream import decode, failure_of
from core.neutral import Usage, View

if TYPE_CHECKING:
    from core.errors import ProviderError
    from core.sse import Event


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
                self.complete = True
            case b"metadata":
                told = decode(event.data)
                self.usage = told.usage.neutral() if told.usage else None
                self.ended = self.complete
        return True

    def ending(self) -> bytes:
        """Nothing: without `metadata` an answer is whole all the same."""
        return b""
