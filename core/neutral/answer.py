"""An answer: the deltas of its stream, and what they add up to.

In a delta `choice` counts from 0; `part` identifies a part within its choice and
only ever grows.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Raw, Struct

from core.neutral.parts import Citation, Media, Part

FinishReason: TypeAlias = Literal[
    "stop", "length", "tool_calls", "content_filter", "error", "other"
]


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens. `input_tokens` counts cached ones too, `output_tokens` counts reasoning too."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


class View(Struct, frozen=True, kw_only=True):
    """How this client asked to see the answer."""

    stream: bool = False
    usage_in_stream: bool = False
    legacy_functions: bool = False
    model: str = ""
    """What the client asked for: shown where a provider does not name its model."""
    created: int = 0
    """Unix seconds."""
    fresh_id: str = ""
    """For an answer whose provider gave none."""
    echo: Mapping[str, Raw] = {}
    """Fields of the request that the answer repeats."""


class Started(Struct, frozen=True, kw_only=True):
    id: str = ""
    model: str = ""
    created: int = 0
    usage: Usage | None = None
    """What is known before the first token (Anthropic tells the input tokens here)."""


class TextDelta(Struct, frozen=True):
    part: int
    text: str
    choice: int = 0


class CitationDelta(Struct, frozen=True):
    """What a text that has begun rests on. Its end may come after other parts have begun."""

    part: int
    citation: Citation
    choice: int = 0


class RefusalDelta(Struct, frozen=True):
    part: int
    text: str
    choice: int = 0


class ReasoningDelta(Struct, frozen=True):
    part: int
    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    choice: int = 0


class ToolCallStarted(Struct, frozen=True):
    part: int
    id: str
    name: str
    choice: int = 0
    signature: str | None = None


class ToolCallDelta(Struct, frozen=True):
    part: int
    arguments: str
    choice: int = 0


class MediaDelta(Struct, frozen=True):
    """An image or a sound that the model made: it comes whole."""

    part: int
    media: Media
    choice: int = 0


class Finished(Struct, frozen=True):
    """One choice is complete."""

    reason: FinishReason
    raw_reason: str | None = None
    stop_sequence: str | None = None
    choice: int = 0


class UsageDelta(Struct, frozen=True):
    usage: Usage


class Ended(Struct, frozen=True):
    """The provider said that nothing follows."""


class Failed(Struct, frozen=True):
    """An error inside a stream that had begun with status 200."""

    status: int
    message: str
    type: str | None = None
    code: str | None = None


Delta: TypeAlias = (
    Started
    | TextDelta
    | CitationDelta
    | RefusalDelta
    | ReasoningDelta
    | ToolCallStarted
    | ToolCallDelta
    | MediaDelta
    | Finished
    | UsageDelta
    | Ended
    | Failed
)


class Choice(Struct, frozen=True, kw_only=True):
    parts: tuple[Part, ...] = ()
    reason: FinishReason | None = None
    raw_reason: str | None = None
    stop_sequence: str | None = None


class Reply(Struct, frozen=True, kw_only=True):
    id: str = ""
    model: str = ""
    created: int = 0
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
