"""OpenAI chat completions. https://platform.openai.com/docs/api-reference/chat

Reasoning has no field of its own in this format: it travels in `reasoning`,
a list of `{"id": signature, "content": text}` as in the reference proxy, with
`redacted` beside them where a provider sealed it; a client sends the list back
as it came and the signatures survive the second turn.
"""

from core.dialects.openai_chat.reply import error_body, error_event, parse_reply, render_reply
from core.dialects.openai_chat.request import check_request, parse_request, view_of
from core.dialects.openai_chat.request_out import render_request
from core.dialects.openai_chat.stream import StreamParser, StreamRenderer
from core.dialects.openai_chat.watcher import TOKEN, StreamWatcher
from core.wire import SSE

WIRE = SSE
PATHS = ("/chat/completions", "/chat/completions")
MODEL_IN_BODY = True

__all__ = [
    "MODEL_IN_BODY",
    "PATHS",
    "StreamParser",
    "StreamRenderer",
    "StreamWatcher",
    "TOKEN",
    "WIRE",
    "check_request",
    "error_body",
    "error_event",
    "parse_reply",
    "parse_request",
    "render_reply",
    "render_request",
    "view_of",
]
