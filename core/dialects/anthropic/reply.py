"""Whole messages, and errors, both ways."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from core import neutral
from core.dialects import made
from core.dialects.structured import answered
from core.envelope import present, read_mended
from core.errors import TYPE_OF_STATUS, CutwaterError, UpstreamError
from core.neutral import (
    Choice,
    Citation,
    FinishReason,
    Media,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)

FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_WIRE_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "other": "end_turn",
}


class OutputDetails(Struct):
    thinking_tokens: int | None = None


class WireUsage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None

    def over(self, before: "WireUsage") -> "WireUsage":
        """What the end of a stream says, where it says it, over what its start said."""
        return WireUsage(
            *(
                getattr(before, name) if getattr(self, name) is None else getattr(self, name)
                for name in self.__struct_fields__
            )
        )

    def neutral(self) -> Usage:
        read, written = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        details = self.output_tokens_details
        return Usage(
            input_tokens=(self.input_tokens or 0) + read + written,
            output_tokens=self.output_tokens or 0,
            cache_read_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=(details and details.thinking_tokens) or 0,
        )


class StopDetails(Struct):
    explanation: str | None = None


class WireBlock(Struct):
    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = Raw()
    citations: Any = None


class WireReply(Struct):
    content: list[WireBlock]
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: WireUsage | None = None


_decode = msgspec.json.Decoder(WireReply).decode


def part_of(block: WireBlock) -> Part | None:
    """None for what Anthropic's own tools did: other clients have no word for it."""
    match block.type:
        case "text":
            if not isinstance(block.citations, list):
                return Text(block.text or "")
            found = [c for item in block.citations if (c := citation_of(item)) is not None]
            return Text(block.text or "", citations=tuple(found))
        case "thinking":
            return Reasoning(text=block.thinking or "", signature=block.signature or None)
        case "redacted_thinking":
            return Reasoning(redacted=block.data or "")
        case "tool_use":
            arguments = bytes(present(block.input) or b"{}").decode()
            return ToolCall(id=block.id or "", name=block.name or "", arguments=arguments)
        case _:
            return None


def citation_of(item: Any) -> Citation | None:
    """Of a page on the web; None for a place in a document that the client sent itself."""
    match item:
        case {"type": "web_search_result_location", "url": str(url)}:
            pass
        case {"type": "search_result_location", "source": str(url)} if "://" in url:
            pass
        case _:
            return None
    title, quote = item.get("title"), item.get("cited_text")
    return Citation(
        url=url,
        title=title if isinstance(title, str) else None,
        quote=quote if isinstance(quote, str) else None,
    )


def wire_citation(citation: Citation) -> dict[str, Any]:
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.quote or "",
        "encrypted_index": "",
    }


def parse_reply(body: bytes) -> neutral.Reply:
    try:
        reply = read_mended(_decode, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The provider's answer is no message.") from error
    parts = [part for block in reply.content if (part := part_of(block)) is not None]
    if reply.stop_details and reply.stop_details.explanation:
        parts.append(Refusal(reply.stop_details.explanation))
    choice = Choice(
        parts=tuple(parts),
        reason=FINISH_REASONS.get(reply.stop_reason or "end_turn", "other"),
        raw_reason=reply.stop_reason,
        stop_sequence=reply.stop_sequence,
    )
    return neutral.Reply(
        id=reply.id,
        model=reply.model,
        choices=(choice,),
        usage=reply.usage.neutral() if reply.usage else None,
    )


def wire_reason(reason: FinishReason, stop_sequence: str | None, *, refused: bool) -> str:
    if reason == "error":
        raise made.unfinished()
    if refused:
        return "refusal"
    return "stop_sequence" if stop_sequence else _WIRE_REASONS[reason]


def wire_usage(usage: Usage | None) -> dict[str, Any]:
    usage = usage or Usage()
    fields: dict[str, Any] = {
        "input_tokens": max(
            usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens, 0
        ),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        fields["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return fields


def render_reply(reply: neutral.Reply, view: neutral.View) -> bytes:
    choice = reply.choices[0] if reply.choices else Choice(reason="stop")
    refused = any(isinstance(part, Refusal) for part in choice.parts)
    return msgspec.json.encode(
        {
            "id": reply.id or view.fresh_id,
            "type": "message",
            "role": "assistant",
            "model": reply.model or view.model,
            "content": [wire_block(part, cut=choice.reason == "length") for part in choice.parts],
            "stop_reason": wire_reason(
                choice.reason or "stop", choice.stop_sequence, refused=refused
            ),
            "stop_sequence": choice.stop_sequence,
            "usage": wire_usage(reply.usage),
        }
    )


def wire_block(part: Part, *, cut: bool = False) -> dict[str, Any]:
    """`cut`: the answer ended at its limit, perhaps in the middle of this part."""
    match part:
        case Text(citations=citations) if citations:
            cited = [wire_citation(citation) for citation in citations]
            return {"type": "text", "text": part.text, "citations": cited}
        case Text() | Refusal():
            return {"type": "text", "text": part.text}
        case Media():
            return {"type": "text", "text": made.told(part)}
        case Reasoning(redacted=str(data)):
            return {"type": "redacted_thinking", "data": data}
        case Reasoning():
            return {
                "type": "thinking",
                "thinking": part.text,
                "signature": part.signature or "",
            }
        case ToolCall():
            return {
                "type": "tool_use",
                "id": part.id,
                "name": part.name,
                "input": answered(part.arguments, cut=cut),
            }
        case _:
            raise UpstreamError(
                "The provider's answer holds a part that Anthropic has no word for."
            )


def error_body(error: CutwaterError, request_id: str) -> bytes:
    kind = TYPE_OF_STATUS.get(error.status) or (
        "api_error" if error.status >= 500 else "invalid_request_error"
    )
    return msgspec.json.encode(
        {
            "type": "error",
            "error": {"type": kind, "message": error.message},
            "request_id": request_id,
        }
    )


def error_event(error: CutwaterError, request_id: str) -> bytes:
    """What ends a stream that cannot be completed. No `message_stop` follows it."""
    return b"event: error\ndata: " + error_body(error, request_id) + b"\n\n"
