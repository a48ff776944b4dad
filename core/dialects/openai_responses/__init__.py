"""OpenAI responses. https://platform.openai.com/docs/api-reference/responses

An answer is a list of items, not one message, and every item has an id of its
own; what binds a tool's result to its call is `call_id`, never that id. In
the neutral lane nothing is kept at the provider: each request carries the
whole conversation, sealed thoughts included.
"""

from core.dialects.openai_responses.reply import parse_reply
from core.dialects.openai_responses.reply_out import error_body, error_event, render_reply
from core.dialects.openai_responses.request import check_request, parse_request, view_of
from core.dialects.openai_responses.request_out import render_request
from core.dialects.openai_responses.stream import StreamParser
from core.dialects.openai_responses.stream_out import StreamRenderer
from core.dialects.openai_responses.watcher import TOKEN, StreamWatcher
from core.wire import SSE

WIRE = SSE
PATHS = ("/responses", "/responses")
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
