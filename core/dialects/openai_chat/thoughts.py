"""Thoughts in the stream of a client: `{"reasoning": {"index": 0, "content": ...}}`.

A client that merges deltas as OpenAI's SDK does adds the strings of all thoughts
up, and two signatures in one are none. So the last delta tells more than one
thought again, each by itself, as `entries`: that list is what counts when the
merged object comes back.
"""

from typing import Any

from core.neutral import Reasoning, ReasoningDelta


def wire_reasoning(thought: Reasoning) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": thought.signature or "", "content": thought.text}
    if thought.redacted is not None:
        entry["redacted"] = thought.redacted
    return entry


class _Written:
    def __init__(self) -> None:
        self.text: list[str] = []
        self.signature: list[str] = []
        self.redacted: list[str] = []

    def add(self, delta: ReasoningDelta) -> None:
        self.text.append(delta.text)
        if delta.signature is not None:
            self.signature.append(delta.signature)
        if delta.redacted is not None:
            self.redacted.append(delta.redacted)

    def whole(self) -> Reasoning:
        return Reasoning(
            text="".join(self.text),
            signature="".join(self.signature) or None,
            redacted="".join(self.redacted) if self.redacted else None,
        )


class Thoughts:
    """Those of one choice."""

    def __init__(self) -> None:
        self._written: dict[int, _Written] = {}

    def piece(self, delta: ReasoningDelta) -> dict[str, Any]:
        self._written.setdefault(delta.part, _Written()).add(delta)
        entry: dict[str, Any] = {"index": [*self._written].index(delta.part)}
        if delta.text or (delta.signature is None and delta.redacted is None):
            entry["content"] = delta.text
        if delta.signature is not None:
            entry["id"] = delta.signature
        if delta.redacted is not None:
            entry["redacted"] = delta.redacted
        return entry

    def last(self) -> dict[str, Any]:
        """What the delta that ends the choice says of them."""
        if len(self._written) < 2:
            return {}
        entries = [wire_reasoning(written.whole()) for written in self._written.values()]
        return {"reasoning": {"entries": entries}}
