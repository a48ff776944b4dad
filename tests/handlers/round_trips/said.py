"""What is said in every round trip, whoever says it, and how two JSON values are compared."""

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

THOUGHT: Final = 'First the rates.\nThen ☃, "twice".'
TEXT: Final = "I will look it up — at once ☃."
QUESTION: Final = "What does the picture cost in Zürich?"
NAMES: Final = ("look_up", "look_up", "now")
ARGUMENTS: Final = (
    '{"amount": 1.50, "city": "Zürich ☃ \\"x\\"", "deep": {"n": [1e3, -0.0]}}',
    '{"amount":2,"city":"Oslo\\n"}',
    "{}",
)

PIXEL: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""In the user's question."""
CHART: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
"""In a tool's result."""

RESULTS: Final = ("1.0842", "Timed out ☃.", "12:00")
"""Of the calls in their order; the first may hold a picture, the second is an error."""
FAILED: Final = 1

SCHEMA: Final = {
    "type": "object",
    "properties": {"amount": {"type": "number"}, "city": {"type": "string"}},
}


_STANDARD: Final = str.maketrans("-_", "+/")


class Result(Struct, frozen=True):
    """A tool's result as a provider is told it. None: its format has no word for it."""

    call_id: str | None
    text: str
    failed: bool
    pictured: bool


def frozen(value: Raw | bytes, *, written: bool = True) -> Any:
    """A value in which numbers are what was written; with `written=False` what they are worth."""
    text = bytes(value).strip()
    match text[:1]:
        case b"{":
            fields = msgspec.json.decode(text, type=dict[str, Raw])
            return {name: _field(name, inner, written=written) for name, inner in fields.items()}
        case b"[":
            items = msgspec.json.decode(text, type=list[Raw])
            return [frozen(inner, written=written) for inner in items]
        case b'"':
            return msgspec.json.decode(text)
        case _ if written or text in (b"true", b"false", b"null"):
            return ("written", text.decode())
        case _:
            return float(text)


def _field(name: str, value: Raw, *, written: bool) -> Any:
    told = frozen(value, written=written)
    if not written and name == "arguments":
        return frozen(told.encode(), written=False)  # JSON in a text.
    # Google reads both alphabets of base64, and so does its SDK write.
    return told.translate(_STANDARD) if not written and name == "thoughtSignature" else told


def fields_of(value: Raw | bytes) -> dict[str, Raw]:
    return msgspec.json.decode(value, type=dict[str, Raw])


def items_of(value: Raw) -> list[Raw]:
    return msgspec.json.decode(value, type=list[Raw])


def str_of(value: Raw | None) -> str:
    return "" if value is None else msgspec.json.decode(value) or ""


def raw_of(text: str) -> Raw:
    return Raw(text.encode())
