"""The fields of a GenerateContentResponse, and the words for how it ends and what it cost.

A stream's chunks are whole responses with pieces in them, so that the stream
and the whole reply share all of this.
"""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from core.dialects.gemini.foreign import UNSIGNED_CALL, wrapped
from core.dialects.structured import answered
from core.neutral import (
    Finished,
    FinishReason,
    Media,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)
from core.signatures import for_google, from_id

FINISH_REASONS: Final[dict[str, FinishReason]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    # No text that could pass for a whole answer: better a wrong reason than `stop`.
    "OTHER": "content_filter",
    "FINISH_REASON_UNSPECIFIED": "content_filter",
    "MALFORMED_FUNCTION_CALL": "content_filter",
    "MALFORMED_RESPONSE": "content_filter",
    "UNEXPECTED_TOOL_CALL": "content_filter",
    "TOO_MANY_TOOL_CALLS": "content_filter",
    "MISSING_THOUGHT_SIGNATURE": "content_filter",
}
_NUMBERED: Final = {0: "FINISH_REASON_UNSPECIFIED", 1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY"}
"""Vertex says numbers to a client that asks for them; these mean the same everywhere."""

_WIRE_REASONS: Final[dict[FinishReason, str]] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "error": "OTHER",
    "other": "OTHER",
}


_YEAR_5138: Final = 10**11
"""In Unix seconds."""


class Blob(Struct, rename="camel"):
    mime_type: str = ""
    data: str = ""


class FileData(Struct, rename="camel"):
    file_uri: str = ""
    mime_type: str | None = None


class PartialArgument(Struct, rename="camel"):
    json_path: str
    string_value: str | None = None
    number_value: Raw = Raw()
    bool_value: bool | None = None


class WireCall(Struct, rename="camel"):
    name: str | None = None
    id: str | None = None
    args: Raw = Raw()
    partial_args: list[PartialArgument] | None = None
    will_continue: bool | None = None


class WirePart(Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: WireCall | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None


class WireContent(Struct):
    parts: list[WirePart] | None = None


class Candidate(Struct, rename="camel"):
    content: WireContent | None = None
    finish_reason: str | int | None = None
    finish_message: str | None = None
    index: int | None = None
    grounding_metadata: Any = None


class PromptFeedback(Struct, rename="camel"):
    block_reason: str | int | None = None
    block_reason_message: str | None = None


class WireUsage(Struct, rename="camel"):
    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None

    def neutral(self) -> Usage | None:
        """None where it counts nothing: the chunks of a stream begin like that."""
        if self.prompt_token_count is None and self.candidates_token_count is None:
            return None
        thoughts = self.thoughts_token_count or 0
        return Usage(
            input_tokens=(self.prompt_token_count or 0) + (self.tool_use_prompt_token_count or 0),
            output_tokens=(self.candidates_token_count or 0) + thoughts,
            cache_read_tokens=self.cached_content_token_count or 0,
            reasoning_tokens=thoughts,
        )


class Response(Struct, rename="camel"):
    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: WireUsage | None = None
    model_version: str | None = None
    response_id: str | None = None
    create_time: str | None = None
    error: Raw = Raw()


def reason_word(reason: str | int) -> str:
    return _NUMBERED.get(reason, f"OTHER_{reason}") if isinstance(reason, int) else reason


def seconds(created: str | None) -> int:
    """RFC 3339 as Unix seconds; 0 where it is absent or something else."""
    try:
        return int(datetime.fromisoformat(created or "").timestamp())
    except ValueError:
        return 0


def made_id(response_id: str, choice: int, number: int, name: str) -> str:
    """An id for a call that Google gave none: the same each time, and no other call's."""
    seed = f"{response_id}/{choice}/{number}/{name}"
    return "call_" + sha256(seed.encode()).hexdigest()[:24]


def wire_reason(end: Finished, *, refused: bool) -> str:
    if end.raw_reason is not None and end.raw_reason in FINISH_REASONS:
        return end.raw_reason
    return "SAFETY" if refused else _WIRE_REASONS[end.reason]


def wire_usage(usage: Usage) -> dict[str, int]:
    fields = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": max(usage.output_tokens - usage.reasoning_tokens, 0),
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.reasoning_tokens:
        fields["thoughtsTokenCount"] = usage.reasoning_tokens
    if usage.cache_read_tokens:
        fields["cachedContentTokenCount"] = usage.cache_read_tokens
    return fields


def head(response_id: str, model: str, created: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"modelVersion": model, "responseId": response_id}
    if 0 < created < _YEAR_5138:  # No other number is a time that can be written.
        fields["createTime"] = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return fields


def wire_part(part: Part, *, cut: bool = False) -> dict[str, Any] | None:
    """None for what says nothing. `cut`: the answer ended at its limit, perhaps in this part."""
    match part:
        case Text() | Refusal():
            return {"text": part.text} if part.text else None
        case Reasoning():
            return _thought(part)
        case ToolCall():
            return _call(part, cut=cut)
        case Media(data=str(data)):
            return {"inlineData": {"mimeType": part.media_type, "data": data}}
        case Media():
            return {"fileData": {"fileUri": part.url, "mimeType": part.media_type}}
        case _:
            return None


def _thought(part: Reasoning) -> dict[str, Any] | None:
    shown = wrapped(part.signature, part.redacted)
    if shown is None:
        return {"text": part.text, "thought": True} if part.text else None
    fields: dict[str, Any] = {"text": part.text, "thoughtSignature": shown}
    if part.text or for_google(part.signature) is None:
        fields["thought"] = True  # Without a word and by Google: a signature of the text before.
    return fields


def _call(call: ToolCall, *, cut: bool) -> dict[str, Any]:
    call_id, carried = from_id(call.id)
    arguments = answered(call.arguments, cut=cut)
    function = {"id": call_id, "name": call.name, "args": arguments}
    signature = call.signature or carried or UNSIGNED_CALL
    return {"functionCall": function, "thoughtSignature": signature}


encode = msgspec.json.Encoder().encode
