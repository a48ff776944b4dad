"""A function call that comes in pieces: values by their place in the arguments.

Only a client that asked for `streamFunctionCallArguments` sees them.
https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling
"""

import re
from itertools import pairwise
from typing import Any, Final

import msgspec

from core.dialects.gemini.answer import PartialArgument

_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]")
_MOST_ITEMS: Final = 10_000


class Arguments:
    """The object that the pieces add up to."""

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}

    def add(self, piece: PartialArgument) -> None:
        steps = _steps(piece.json_path)
        if not steps or isinstance(steps[0], int):
            return
        place: Any = self._root
        for step, following in pairwise(steps):
            place = _inside(place, step, [] if isinstance(following, int) else {})
            if place is None:
                return
        before = _inside(place, steps[-1], _value(piece))
        if isinstance(before, _Text) and piece.string_value is not None:
            before.append(piece.string_value)

    def json(self) -> str:
        return msgspec.json.encode(_joined(self._root)).decode()


class _Text(list[str]):
    """A text in pieces."""


def _steps(path: str) -> list[str | int]:
    return [int(found[2]) if found[2] else found[1] or found[3] for found in _STEP.finditer(path)]


def _value(piece: PartialArgument) -> Any:
    if piece.string_value is not None:
        return _Text()
    if bytes(piece.number_value):
        return piece.number_value
    return piece.bool_value  # None is null.


def _inside(place: Any, step: str | int, fresh: Any) -> Any:
    """What is there, made where it is not; None where the path leads nowhere."""
    if isinstance(place, dict) and isinstance(step, str):
        return place.setdefault(step, fresh)
    if isinstance(place, list) and isinstance(step, int) and step < _MOST_ITEMS:
        while len(place) < step:
            place.append(None)
        if len(place) == step:
            place.append(fresh)
        return place[step]
    return None


def _joined(value: Any) -> Any:
    match value:
        case _Text():
            return "".join(value)
        case dict():
            return {name: _joined(inner) for name, inner in value.items()}
        case list():
            return [_joined(inner) for inner in value]
        case _:
            return value
