"""The system prompt that an endpoint's settings put before the client's own.

It joins the first one there is, a blank line between them, or becomes the
first; where the prompt is a list of parts it becomes the first part.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from core import envelope as envelopes
from core.envelope import Envelope
from core.routes import DialectName

_FIELD: Final[dict[DialectName, str]] = {
    "openai_chat": "messages",
    "openai_responses": "instructions",
    "anthropic": "system",
    "gemini": "systemInstruction",
    "converse": "system",
}


def put_first(fields: Envelope, dialect: DialectName, prompt: str) -> Envelope:
    name = _FIELD[dialect]
    if dialect == "gemini" and "system_instruction" in fields:
        name = "system_instruction"  # Google takes both spellings.
    said: Any = envelopes.read(fields, name, _TYPE[dialect], None)
    match dialect:
        case "openai_chat":
            value: Any = _messages(said or [], prompt)
        case "gemini":
            value = {**(said or {}), "parts": [{"text": prompt}, *_parts(said)]}
        case "converse":
            value = [{"text": prompt}, *(said or [])]
        case _:
            value = _content(said, prompt)
    return {**fields, name: envelopes.raw(value)}


_TYPE: Final[dict[DialectName, Any]] = {
    "openai_chat": list[Envelope],
    "openai_responses": str,
    "anthropic": str | list[dict[str, Any]],
    "gemini": dict[str, Any],
    "converse": list[dict[str, Any]],
}


def _content(said: Any, prompt: str) -> Any:
    if isinstance(said, list):
        return [{"type": "text", "text": prompt}, *said]
    return f"{prompt}\n\n{said}" if said else prompt


def _parts(said: Any) -> list[Any]:
    parts = (said or {}).get("parts") or []
    return parts if isinstance(parts, list) else [parts]


def _messages(messages: list[Envelope], prompt: str) -> list[Envelope]:
    first = messages[0] if messages else {}
    if bytes(first.get("role", Raw(b'""'))) not in (b'"system"', b'"developer"'):
        told = {"role": Raw(b'"system"'), "content": envelopes.raw(prompt)}
        return [told, *messages]
    said = msgspec.json.decode(first.get("content", Raw(b'""')))
    return [{**first, "content": envelopes.raw(_content(said, prompt))}, *messages[1:]]
