"""Bedrock Converse and ConverseStream.

The path names the model and whether to stream, so neither is in the body, and
an answer tells neither model nor id.
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from core.dialects.converse.reply import (
    error_body,
    error_event,
    error_headers,
    parse_reply,
    render_reply,
)
from core.dialects.converse.request import check_request, parse_request
from core.dialects.converse.request_out import render_request
from core.dialects.converse.stream import StreamParser, StreamRenderer
from core.dialects.converse.watcher import TOKEN, StreamWatcher
from core.dialects.views import view_of
from core.eventstream import EVENT_STREAM

WIRE = EVENT_STREAM
PATHS = ("/model/{model}/converse", "/model/{model}/converse-stream")
MODEL_IN_BODY = False

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
    "error_headers",
    "parse_reply",
    "parse_request",
    "render_reply",
    "render_request",
    "view_of",
]
