"""A stream folded to the whole reply, a whole reply unfolded, and steps in between."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import msgspec

from core.neutral.answer import (
    Choice,
    CitationDelta,
    Delta,
    Ended,
    Failed,
    Finished,
    MediaDelta,
    ReasoningDelta,
    RefusalDelta,
    Reply,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageDelta,
)
from core.neutral.parts import Media, Part, Reasoning, Refusal, Text, ToolCall


def _append(part: Part | None, delta: Delta) -> Part:
    match delta:
        case TextDelta():
            known = part if isinstance(part, Text) else Text("")
            return Text(known.text + delta.text, citations=known.citations)
        case CitationDelta():
            known = part if isinstance(part, Text) else Text("")
            return Text(known.text, citations=(*known.citations, delta.citation))
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
    return Reply(
        id=start.id,
        model=start.model,
        created=start.created,
        choices=tuple(_choice(parts[index], finished.get(index)) for index in sorted(parts)),
        usage=usage,
    )


def _choice(parts: dict[int, Part], end: Finished | None) -> Choice:
    told = tuple(parts.values())
    if end is None:
        return Choice(parts=told)
    return Choice(
        parts=told,
        reason=end.reason,
        raw_reason=end.raw_reason,
        stop_sequence=end.stop_sequence,
    )


def _deltas_of(part: Part, number: int, choice: int) -> Iterable[Delta]:
    match part:
        case Text():
            yield TextDelta(number, part.text, choice)
            for citation in part.citations:
                yield CitationDelta(number, citation, choice)
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


Step: TypeAlias = Callable[[Delta], Sequence[Delta]]
"""What becomes of each delta of one answer, in their order."""


def tool_as_text(name: str) -> Step:
    """The arguments of the stand-in tool `name` become the text.

    A thinking model cannot be forced to the tool, and may say something before
    it. Such words are held back: beside the tool they would spoil the JSON,
    without it they are all there is.
    """
    stand_ins: dict[int, list[int]] = {}
    """The parts that were calls of the tool, by choice: the first is the answer."""
    held: dict[int, list[Delta]] = {}

    def step(delta: Delta) -> Sequence[Delta]:
        match delta:
            case ToolCallStarted() if delta.name == name:
                stand_ins.setdefault(delta.choice, []).append(delta.part)
                held.pop(delta.choice, None)
                return ()
            case ToolCallDelta() if delta.part in stand_ins.get(delta.choice, ()):
                said = TextDelta(delta.part, delta.arguments, delta.choice)
                return (said,) if stand_ins[delta.choice][0] == delta.part else ()
            case TextDelta() | CitationDelta():
                if delta.choice not in stand_ins:
                    held.setdefault(delta.choice, []).append(delta)
                return ()
            case Finished("tool_calls") if delta.choice in stand_ins:
                return (Finished("stop", delta.raw_reason, None, delta.choice),)
            case Finished():
                return (*held.pop(delta.choice, ()), delta)
            case _:
                return (delta,)

    return step
