"""Google's generateContent and streamGenerateContent. https://ai.google.dev/api/generate-content

Google signs what its models think, and refuses a conversation that comes back
without a call's `thoughtSignature`. A client that speaks another format keeps
a call's id and nothing more, so the parser puts the signature into the id and
`render_request` takes it out again; see core/signatures.py. What another
provider signed is shown to a Gemini client under a mark of ours (foreign.py).
"""

from msgspec.structs import replace

from core.dialects.gemini.reply import error_body, error_event, parse_reply, render_reply
from core.dialects.gemini.request import check_request, parse_request
from core.dialects.gemini.request_out import render_request
from core.dialects.gemini.stream import StreamParser, StreamRenderer
from core.dialects.gemini.watcher import TOKEN, StreamWatcher
from core.dialects.views import view_of
from core.wire import SSE

WIRE = replace(SSE, heartbeat=b"")
"""No comments between events: Google's SDK takes every other line for JSON."""
PATHS = ("/models/{model}:generateContent", "/models/{model}:streamGenerateContent?alt=sse")
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
    "parse_reply",
    "parse_request",
    "render_reply",
    "render_request",
    "view_of",
]
