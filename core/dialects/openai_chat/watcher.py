"""What the pass lane has to know of a chat completion stream.

Usage is always asked for; the chunk that tells it is hidden from a client that
did not ask.
"""

import re
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from core import provider_errors
from core.dialects.openai_chat.reply import usage_of
from core.dialects.openai_chat.stream import DONE
from core.envelope import present
from core.neutral import Usage, View
from core.sse import Event

if TYPE_CHECKING:
    from core.errors import ProviderError

TOKEN: Final = re.compile(
    rb'"(?:content|refusal|reasoning|reasoning_content|text|name|arguments)"\s*:\s*"[^"]'
    rb'|"finish_reason"\s*:\s*"|"(?:audio|images|annotations|content|reasoning)"\s*:\s*[\[{]'
)
"""A piece of an answer, or its end: a chunk before it names the role only."""


class WatchedChoice(Struct):
    index: int = 0
    finish_reason: str | None = None


class WatchedChunk(Struct):
    choices: list[WatchedChoice] | None = None
    usage: Raw = Raw()
    error: Raw = Raw()


_decode = msgspec.json.Decoder(WatchedChunk).decode


class StreamWatcher:
    def __init__(self, view: View) -> None:
        self._hide_usage = not view.usage_in_stream
        self._open: set[int] = set()
        self._finished: set[int] = set()
        self.usage: Usage | None = None
        self.ended = False
        self.error: ProviderError | None = None

    @property
    def complete(self) -> bool:
        return bool(self._finished) and self._finished >= self._open

    def see(self, event: Event) -> bool:
        if event.data.startswith(b"[DONE]"):
            # The marker ends what has begun, though some providers never give a finish reason.
            self.ended = bool(self._open)
            return self.ended
        chunk = _decode(event.data)
        if event.name == b"error" or present(chunk.error):
            self.error = provider_errors.of_event(event.data)
            return True
        for choice in chunk.choices or ():
            self._open.add(choice.index)
            if choice.finish_reason:
                self._finished.add(choice.index)
        if present(chunk.usage) is not None:
            self.usage = usage_of(chunk.usage) or self.usage
            # The chunk that only tells the usage is ours unless the client asked for it.
            return bool(chunk.choices) or not self._hide_usage
        return True

    def ending(self) -> bytes:
        return DONE
