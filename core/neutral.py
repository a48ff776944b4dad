"""The neutral form: what every dialect is parsed to and rendered from.

A request is a tuple of messages made of parts. A reply is a stream of deltas;
a whole reply is that stream folded, a fake stream is a whole reply unfolded.
Values whose exact bytes matter (tool arguments, JSON schemas, numbers,
signatures) stay as they were written.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

Role: TypeAlias = Literal["system", "developer", "user", "assistant"]
FinishReason: TypeAlias = Literal[
    "stop", "length", "tool_calls", "content_filter", "error", "other"
]


class Text(Struct, frozen=True):
    text: str
    cache_control: Raw | None = None
    """Anthropic's cache breakpoint; OpenAI clients send it too (the reference proxy keeps it)."""


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


class Quirks(Struct, frozen=True, kw_only=True):
    """Where a model's API refuses what its dialect allows: OpenAI's reasoning models."""

    rename: Mapping[str, str] = {}
    drop: frozenset[str] = frozenset()
    sampling_at: frozenset[str] = frozenset()
    """Reasoning efforts with which `temperature` is taken all the same."""
    roles: Mapping[str, str] = {}
    """Roles of messages that it knows under another name."""
    efforts: Mapping[str, str] = {}
    """Reasoning efforts that it knows under another name."""


class Facts(Struct, frozen=True, kw_only=True):
    """What a renderer must know of the model it writes for. None: not known."""

    max_output_tokens: int | None = None
    reasoning: bool | None = None
    thinking: Literal["budget", "adaptive", "level"] = "budget"
    """A token budget, only an effort that the model adapts to, or (Google) one of `levels`."""
    levels: tuple[str, ...] = ("low", "high")
    """From the least thinking to the most."""
    budgets: tuple[int, int] | None = None
    """The least and the most tokens that a budget may be."""
    always_thinks: bool = False
    """Thinking cannot be switched off, only made small."""
    sampling: bool = True
    """False where the model refuses temperature, top_p and top_k."""
    native_schema: bool = False
    """The model takes a JSON schema as such; else a forced tool stands in for it."""
    quirks: Quirks | None = None
    regions: tuple[str, ...] = ()
    """Where a cloud offers the model; empty: not known."""


class Rendered(Struct, frozen=True, kw_only=True):
    """A request in a provider's dialect."""

    body: bytes
    dropped: tuple[str, ...] = ()
    """Neutral parameter names, or a note, that this provider has no place for."""
    tool_as_text: str | None = None
    """A tool that stands in for structured output: its arguments are the answer's text."""


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


# --- The answer, as a stream --------------------------------------------------------------------
# `choice` counts from 0; `part` identifies a part within its choice and only ever grows.


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


def _append(part: Part | None, delta: Delta) -> Part:
    match delta:
        case TextDelta():
            before = part.text if isinstance(part, Text) else ""
            return Text(before + delta.text)
        case RefusalDelta():
            before = part.text if isinstance(part, Refusal) else ""
            return Refusal(before + delta.text)
        case ReasoningDelta():
            old = part if isinstance(part, Reasoning) else Reasoning()
            return Reasoning(
                text=old.text + delta.text,
                # A signature comes whole from some providers and in pieces from others.
                signature=_joined(old.signature, delta.signature),
                redacted=_joined(old.redacted, delta.redacted),
            )
        case ToolCallStarted():
            return ToolCall(id=delta.id, name=delta.name, arguments="", signature=delta.signature)
        case ToolCallDelta() if isinstance(part, ToolCall):
            return msgspec.structs.replace(part, arguments=part.arguments + delta.arguments)
        case MediaDelta():
            return delta.media
        case _:
            raise ValueError(f"{type(delta).__name__} does not continue {type(part).__name__}")


def _joined(before: str | None, more: str | None) -> str | None:
    return more if before is None else before + (more or "")


def fold(deltas: Iterable[Delta]) -> Reply:
    """The whole reply that a stream adds up to."""
    start = Started()
    usage: Usage | None = None
    parts: dict[int, dict[int, Part]] = {}
    finished: dict[int, Finished] = {}
    for delta in deltas:
        match delta:
            case Started():
                start = delta
                usage = delta.usage or usage
                continue
            case UsageDelta():
                usage = delta.usage
                continue
            case Ended() | Failed():
                continue
            case Finished():
                finished[delta.choice] = delta
                parts.setdefault(delta.choice, {})
                continue
        choice = parts.setdefault(delta.choice, {})
        choice[delta.part] = _append(choice.get(delta.part), delta)
    choices = []
    for index in sorted(parts):
        end = finished.get(index)
        choices.append(
            Choice(
                parts=tuple(parts[index].values()),
                reason=end.reason if end else None,
                raw_reason=end.raw_reason if end else None,
                stop_sequence=end.stop_sequence if end else None,
            )
        )
    return Reply(
        id=start.id,
        model=start.model,
        created=start.created,
        choices=tuple(choices),
        usage=usage,
    )


def _deltas_of(part: Part, number: int, choice: int) -> Iterable[Delta]:
    match part:
        case Text():
            yield TextDelta(number, part.text, choice)
        case Refusal():
            yield RefusalDelta(number, part.text, choice)
        case Reasoning():
            yield ReasoningDelta(number, part.text, part.signature, part.redacted, choice)
        case ToolCall():
            yield ToolCallStarted(number, part.id, part.name, choice, part.signature)
            yield ToolCallDelta(number, part.arguments, choice)
        case Media():
            yield MediaDelta(number, part, choice)
        case _:
            return  # A tool result is no part of an answer.


def unfold(reply: Reply) -> Iterable[Delta]:
    """A whole reply as the stream it might have been."""
    yield Started(id=reply.id, model=reply.model, created=reply.created, usage=reply.usage)
    for index, choice in enumerate(reply.choices):
        for number, part in enumerate(choice.parts):
            yield from _deltas_of(part, number, index)
        if choice.reason is not None:
            yield Finished(choice.reason, choice.raw_reason, choice.stop_sequence, index)
    if reply.usage is not None:
        yield UsageDelta(reply.usage)
    yield Ended()


def tool_as_text(name: str) -> Callable[[Delta], Delta | None]:
    """A step for each delta: the arguments of the stand-in tool `name` become text."""
    stands_in: set[tuple[int, int]] = set()

    def step(delta: Delta) -> Delta | None:
        match delta:
            case ToolCallStarted() if delta.name == name:
                stands_in.add((delta.choice, delta.part))
                return None
            case ToolCallDelta() if (delta.choice, delta.part) in stands_in:
                return TextDelta(delta.part, delta.arguments, delta.choice)
            case Finished("tool_calls") if any(c == delta.choice for c, _ in stands_in):
                return Finished("stop", delta.raw_reason, None, delta.choice)
            case _:
                return delta

    return step
