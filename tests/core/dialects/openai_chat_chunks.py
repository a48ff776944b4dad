"""Chat completion chunks, in few words."""

from typing import Any

from core.dialects import openai_chat
from core.neutral import Delta, Started, View
from tests.core.dialects.wire import data, parse_stream

DONE = b"data: [DONE]\n\n"
HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 5, "model": "m"}
STARTED = Started(id="c", model="m", created=5)
VIEW = View(stream=True, model="asked", created=7, fresh_id="fresh")


def chunk(index: int = 0, reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


def parse(*chunks: Any) -> list[Delta]:
    return parse_stream(openai_chat.StreamParser(), data(*chunks) + DONE)


USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
