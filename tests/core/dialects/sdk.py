"""The official SDK's own accumulation of a response stream, fed with rendered bytes."""

from collections.abc import Iterable
from typing import Any

import msgspec
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from core import sse
from core.dialects import StreamRenderer
from core.neutral import Delta

_event: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def events(data: bytes) -> list[dict[str, Any]]:
    found = []
    for frame in sse.Framer().feed(data):
        event = sse.parse(frame)
        assert event is not None
        document = msgspec.json.decode(event.data)
        assert event.name == document["type"].encode()
        found.append(document)
    return found


def accumulate(data: bytes) -> Response:
    """Each event must be valid and numbered; the end is what the SDK made of all of them."""
    state = ResponseStreamState(input_tools=omit, text_format=omit)
    last: Response | None = None
    for number, document in enumerate(events(data)):
        assert document["sequence_number"] == number
        for event in state.handle_event(_event.validate_python(document)):
            last = getattr(event, "response", last)
    assert last is not None
    return last


def accumulated(renderer: StreamRenderer, deltas: Iterable[Delta]) -> Response:
    return accumulate(b"".join(renderer.feed(delta) for delta in deltas))
