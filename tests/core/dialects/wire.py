"""Short ways to say requests and streams in the tests of the dialects."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from core import sse
from core.dialects import StreamParser
from core.envelope import Envelope, split
from core.errors import ProviderError
from core.neutral import Delta, Facts, Failed, Message, Part, Request, Text

USER = Message("user", (Text("hi"),))


def body(**fields: Any) -> Envelope:
    """A request: one user message unless `messages` says otherwise."""
    given = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return split(msgspec.json.encode(given))


def raw(text: str) -> Raw:
    return Raw(text.encode())


def plain(value: Any) -> Any:
    """Compared by what it says: Raw has no equality."""
    return msgspec.json.decode(msgspec.json.encode(value))


def request(*messages: Message, **fields: Any) -> Request:
    return Request(model="m", messages=messages or (USER,), **fields)


def turn(role: Any, *parts: Part) -> Message:
    return Message(role, parts)


def rendered(render: Any, given: Request, facts: Facts | None = None) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(render(given, facts or Facts()).body)
    return fields


def changed(fields: Mapping[str, Any], *known: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in known}


def events(stream: bytes) -> list[sse.Event]:
    frames = sse.Framer().feed(stream)
    return [event for frame in frames if (event := sse.parse(frame)) is not None]


def parse_stream(parser: StreamParser, stream: bytes) -> list[Delta]:
    return [delta for event in events(stream) for delta in parser.feed(event)]


def data(*chunks: Any) -> bytes:
    """OpenAI's stream: unnamed events."""
    return b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks)


def named(*messages: Mapping[str, Any]) -> bytes:
    """Anthropic's stream: events named by their type."""
    return b"".join(
        b"event: " + message["type"].encode() + b"\ndata: " + msgspec.json.encode(message) + b"\n\n"
        for message in messages
    )


def told_by(error: ProviderError | None) -> Failed | None:
    """A watcher's error as a parser tells it."""
    return error and Failed(error.status, error.message, error.type, error.code)


def documents(stream: bytes) -> Iterable[Any]:
    return [
        event.data if event.data == b"[DONE]" else msgspec.json.decode(event.data)
        for event in events(stream)
    ]
