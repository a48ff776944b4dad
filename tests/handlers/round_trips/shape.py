"""What a provider is in these tests, and short ways to say its answers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from core.routes import DialectName
from tests.handlers.round_trips.said import ARGUMENTS, NAMES, Result

Fields = Mapping[str, Any]


class Request(Struct, frozen=True):
    """A request as its provider reads it."""

    said: Any
    """The model's turn, `frozen`."""
    results: Sequence[Result]
    pictures: Sequence[str]
    """The base64 of all images, in their order."""


class Provider(Struct, frozen=True, kw_only=True):
    dialect: DialectName
    model: str
    endpoint: Mapping[str, Any]
    whole: bytes
    stream: bytes
    said: Any
    """How its answer should come back, `frozen` but for the numbers."""
    ids: Sequence[str | None]
    read: Callable[[bytes], Request]
    flags_errors: bool
    pictures_inside: bool
    """A tool's result holds images."""
    content_type: str = "text/event-stream; charset=utf-8"
    plain_thoughts: bool = False
    """Nothing is signed: no other format can bring a thought back to it."""


def encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)


def events(*documents: Fields, named: bool = False) -> bytes:
    head = (lambda d: f"event: {d['type']}\n".encode()) if named else (lambda _: b"")
    return b"".join(head(d) + b"data: " + encoded(d) + b"\n\n" for d in documents)


def calls_of(ids: Sequence[str | None]) -> list[tuple[str | None, str, str]]:
    return list(zip(ids, NAMES, ARGUMENTS, strict=True))


def halves(text: str) -> tuple[str, str]:
    middle = len(text) // 2
    return text[:middle], text[middle:]


def texts(content: Any) -> str:
    return content if isinstance(content, str) else "".join(p.get("text", "") for p in content)
