"""Chat completion requests, in few words."""

from typing import Any

from core.dialects import openai_chat
from core.neutral import Request
from tests.core.dialects.wire import body, raw

EPHEMERAL = {"type": "ephemeral"}
CACHED = raw('{"type":"ephemeral"}')


def parse(**fields: Any) -> Request:
    envelope = body(**fields)
    openai_chat.check_request(envelope)
    return openai_chat.parse_request(envelope)
