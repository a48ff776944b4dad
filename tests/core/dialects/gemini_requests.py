"""Gemini requests, in few words."""

from typing import Any

import msgspec
from msgspec import Raw

from core.dialects import gemini
from core.envelope import split
from core.neutral import Request

HI = [{"role": "user", "parts": [{"text": "hi"}]}]


def parse(**body: Any) -> Request:
    envelope = split(msgspec.json.encode({"contents": HI, **body}))
    envelope["model"], envelope["stream"] = Raw(b'"gemini-x"'), Raw(b"true")
    return gemini.parse_request(envelope)
