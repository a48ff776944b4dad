"""What the pass lane has to know of a stream of GenerateContentResponses.

It never says that nothing follows: it is whole once every candidate has finished.
"""

import re
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from core import provider_errors
from core.dialects.gemini.answer import PromptFeedback, WireUsage
from core.envelope import present
from core.neutral import Usage, View
from core.sse import Event

if TYPE_CHECKING:
    from core.errors import ProviderError

TOKEN: Final = re.compile(rb'"(?:parts|finishReason|blockReason|groundingMetadata)"\s*:')
"""A chunk may count tokens and say nothing."""


class WatchedCandidate(Struct, rename="camel"):
    index: int | None = None
    finish_reason: str | int | None = None


class Watched(Struct, rename="camel"):
    candidates: list[WatchedCandidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: WireUsage | None = None
    error: Raw = Raw()


_decode = msgspec.json.Decoder(Watched).decode


class StreamWatcher:
    def __init__(self, view: View) -> None:
        del view  # Google shows usage to every client.
        self._finished: dict[int, bool] = {}
        self.usage: Usage | None = None
        self.ended = False
        """Never: the end of the bytes is the only one there is."""
        self.error: ProviderError | None = None

    @property
    def complete(self) -> bool:
        return bool(self._finished) and all(self._finished.values())

    def see(self, event: Event) -> bool:
        if event.data.startswith(b"["):
            self.error = provider_errors.of_event(event.data)
            return True
        response = _decode(event.data)
        if present(response.error) is not None:
            self.error = provider_errors.of_event(event.data)
            return True
        for candidate in response.candidates or ():
            index = candidate.index or 0
            over = candidate.finish_reason is not None
            self._finished[index] = self._finished.get(index, False) or over
        feedback = response.prompt_feedback
        if feedback is not None and feedback.block_reason and not response.candidates:
            self._finished[0] = True
        if response.usage_metadata is not None:
            self.usage = response.usage_metadata.neutral() or self.usage
        return True

    def ending(self) -> bytes:
        return b""
