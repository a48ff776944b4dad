"""A request: messages, tools and what is asked of the model; and one rendered for a provider."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Raw, Struct

from core.neutral.parts import Part

Role: TypeAlias = Literal["system", "developer", "user", "assistant"]


class Message(Struct, frozen=True):
    role: Role
    parts: tuple[Part, ...]
    name: str | None = None


class Tool(Struct, frozen=True, kw_only=True):
    name: str
    description: str | None = None
    schema: Raw | None = None
    strict: bool | None = None
    cache_control: Raw | None = None


class ToolChoice(Struct, frozen=True):
    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None


class Thinking(Struct, frozen=True, kw_only=True):
    """How much the model may think; `enabled` alone leaves that to the model."""

    enabled: bool = True
    effort: str | None = None
    budget: int | None = None
    shown: bool = False
    """The client asked to read what the model thinks."""


class Schema(Struct, frozen=True, kw_only=True):
    """Structured output: any JSON object where `schema` is None."""

    name: str = "output"
    description: str | None = None
    schema: Raw | None = None
    strict: bool | None = None


class Request(Struct, frozen=True, kw_only=True):
    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    thinking: Thinking | None = None
    schema: Schema | None = None
    parameters: Mapping[str, Raw] = {}
    """Scalars that only change their name between dialects, by the names of `parameters.py`."""
    dropped: tuple[str, ...] = ()
    """What the client sent that has no neutral meaning, by the client's own names."""
    names: Mapping[str, str] = {}
    """Neutral names that this client said by another word than `parameters.client_names` has."""


class Rendered(Struct, frozen=True, kw_only=True):
    """A request in a provider's dialect."""

    body: bytes
    dropped: tuple[str, ...] = ()
    """Neutral parameter names, or a note, that this provider has no place for."""
    tool_as_text: str | None = None
    """A tool that stands in for structured output: its arguments are the answer's text."""
