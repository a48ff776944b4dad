"""What messages and answers are made of.

A part is verbatim where a provider will look at it again: the arguments of a
call, a signature, sealed thoughts.
"""

from typing import Literal, TypeAlias

from msgspec import Raw, Struct


class Citation(Struct, frozen=True, kw_only=True):
    """A page on the web that a text rests on. Sources without an address are not told."""

    url: str
    title: str | None = None
    quote: str | None = None
    """What the page says."""
    start: int | None = None
    end: int | None = None
    """Of the text part, in characters; None: the text as a whole."""


class Text(Struct, frozen=True):
    text: str
    cache_control: Raw | None = None
    """Anthropic's cache breakpoint; OpenAI clients send it too (the reference proxy keeps it)."""
    citations: tuple[Citation, ...] = ()


class Media(Struct, frozen=True, kw_only=True):
    """Either `data` (base64, or plain text where `media_type` is text/plain) or `url`."""

    kind: Literal["image", "document", "audio", "video"]
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    name: str | None = None
    detail: str | None = None
    cache_control: Raw | None = None


class Reasoning(Struct, frozen=True, kw_only=True):
    """Thinking. Only the provider that made `signature` or `redacted` can read them: verbatim."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


class ToolCall(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    arguments: str
    """JSON text, as the model wrote it."""
    signature: str | None = None
    """Google signs a call: it goes back byte for byte (core/signatures.py says how it travels)."""
    cache_control: Raw | None = None


class ToolResult(Struct, frozen=True, kw_only=True):
    call_id: str
    parts: tuple["Text | Media", ...]
    is_error: bool = False
    name: str | None = None
    cache_control: Raw | None = None


class Refusal(Struct, frozen=True):
    text: str


Part: TypeAlias = Text | Media | Reasoning | ToolCall | ToolResult | Refusal
