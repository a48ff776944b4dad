"""Anthropic messages. https://docs.anthropic.com/en/api/messages

A thinking block is readable only by the provider that signed it: its text and
signature go back byte for byte, and one without a signature is left out of a
request, since Anthropic refuses it.
"""

from core.dialects.anthropic.reply import error_body, error_event, parse_reply, render_reply
from core.dialects.anthropic.request import check_request, parse_request
from core.dialects.anthropic.request_out import render_request
from core.dialects.anthropic.stream import StreamParser, StreamRenderer
from core.dialects.anthropic.watcher import TOKEN, StreamWatcher
from core.dialects.views import view_of
from core.wire import SSE

WIRE = SSE
PATHS = ("/messages", "/messages")
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
