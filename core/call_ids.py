"""Ids for tool calls whose provider gave none, or the same one twice.

A result finds its call by the id alone, and most formats refuse a conversation
in which an id is empty or stands twice. The request's own id is the seed: ids
that only told the calls of one answer apart would meet again in the next turn.
"""

from collections.abc import Sequence
from hashlib import sha256

from msgspec.structs import replace

from core.neutral import Choice, Delta, Reply, Step, ToolCall, ToolCallStarted


class _Given:
    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._known: set[tuple[int, str]] = set()
        self._made = 0

    def settled(self, call_id: str, choice: int) -> str:
        """The id itself wherever it tells this call from the others of its choice."""
        if not call_id or (choice, call_id) in self._known:
            call_id = "call_" + sha256(f"{self._seed}/{self._made}".encode()).hexdigest()[:24]
            self._made += 1
        self._known.add((choice, call_id))
        return call_id


def step(seed: str) -> Step:
    """A step for each delta of one answer."""
    given = _Given(seed)

    def settle(delta: Delta) -> Sequence[Delta]:
        if type(delta) is not ToolCallStarted:  # Mostly: isinstance takes three times as long.
            return (delta,)
        call_id = given.settled(delta.id, delta.choice)
        return (delta if call_id == delta.id else replace(delta, id=call_id),)

    return settle


def settled(reply: Reply, seed: str) -> Reply:
    """The same for a whole reply; the very reply where its ids are good."""
    if not any(isinstance(part, ToolCall) for choice in reply.choices for part in choice.parts):
        return reply
    given = _Given(seed)
    choices = tuple(_settled(choice, index, given) for index, choice in enumerate(reply.choices))
    return reply if choices == reply.choices else replace(reply, choices=choices)


def _settled(choice: Choice, index: int, given: _Given) -> Choice:
    parts = tuple(
        replace(part, id=given.settled(part.id, index)) if isinstance(part, ToolCall) else part
        for part in choice.parts
    )
    return replace(choice, parts=parts)
