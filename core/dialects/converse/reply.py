"""Whole answers, and errors, both ways.

`inputTokens` does not count what was read from a cache or written to one. An
AWS client finds the class of an error in a header, so `error_headers` belongs
to the body.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from core import neutral
from core.dialects import made
from core.dialects.converse.blocks import (
    FORMATS,
    Citations,
    MediaBlock,
    ReasoningContent,
    Source,
    ToolUse,
    picture,
    sealed,
    wire_citation,
)
from core.dialects.structured import answered
from core.envelope import present, read_mended
from core.errors import CutwaterError, UpstreamError
from core.eventstream import render_exception
from core.neutral import (
    Choice,
    FinishReason,
    Media,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)

FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}
_WIRE_REASONS: Final[Mapping[FinishReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
    "error": "malformed_model_output",
    "other": "end_turn",
}

EXCEPTIONS: Final[Mapping[int, str]] = {
    400: "ValidationException",
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
    504: "ModelTimeoutException",
}
"""The class of an error by its status; any other is `exception_of`'s to say."""

STREAMED_EXCEPTIONS: Final[Mapping[str, int]] = {
    "internalServerException": 500,
    "modelStreamErrorException": 502,  # AWS says 424, a word that nobody else's client knows.
    "modelTimeoutException": 504,
    "serviceUnavailableException": 503,
    "throttlingException": 429,
    "validationException": 400,
}
"""What status an exception inside a stream stands for. Others: 500."""


class WireUsage(Struct, rename="camel"):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None

    def neutral(self) -> Usage:
        read, written = self.cache_read_input_tokens or 0, self.cache_write_input_tokens or 0
        return Usage(
            input_tokens=(self.input_tokens or 0) + read + written,
            output_tokens=self.output_tokens or 0,
            cache_read_tokens=read,
            cache_write_tokens=written,
        )


class WireBlock(Struct, rename="camel"):
    text: str | None = None
    tool_use: ToolUse | None = None
    reasoning_content: ReasoningContent | None = None
    citations_content: Citations | None = None
    image: MediaBlock | None = None


class WireMessage(Struct):
    content: list[WireBlock] = []


class Output(Struct):
    message: WireMessage


class WireReply(Struct, rename="camel"):
    output: Output
    stop_reason: str | None = None
    usage: WireUsage | None = None
    additional_model_response_fields: Raw = Raw()


class ModelFields(Struct):
    stop_sequence: str | None = None


_decode = msgspec.json.Decoder(WireReply).decode


def stop_sequence_of(fields: Raw) -> str | None:
    """What a model said of itself; its shape is the model's own."""
    try:
        return msgspec.json.decode(present(fields) or b"{}", type=ModelFields).stop_sequence
    except msgspec.ValidationError:
        return None


def part_of(block: WireBlock) -> Part | None:
    """None for what Bedrock's own tools did: other clients have no word for it."""
    match block:
        case WireBlock(text=str(text)):
            return Text(text)
        case WireBlock(citations_content=Citations() as cited):
            return Text(cited.text, citations=cited.found)
        case WireBlock(reasoning_content=ReasoningContent() as thought):
            return thought.neutral()
        case WireBlock(tool_use=ToolUse(by_bedrock=False) as call):
            arguments = bytes(present(call.input) or b"{}").decode()
            return ToolCall(id=call.tool_use_id, name=call.name, arguments=arguments)
        case WireBlock(image=MediaBlock(source=Source(bytes=str())) as image):
            return picture(image)
        case _:
            return None


def parse_reply(body: bytes) -> neutral.Reply:
    try:
        reply = read_mended(_decode, body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamError("The provider's answer is no Converse answer.") from error
    choice = Choice(
        parts=_joined(part_of(block) for block in reply.output.message.content),
        reason=FINISH_REASONS.get(reply.stop_reason or "end_turn", "other"),
        raw_reason=reply.stop_reason,
        stop_sequence=stop_sequence_of(reply.additional_model_response_fields),
    )
    return neutral.Reply(choices=(choice,), usage=reply.usage.neutral() if reply.usage else None)


def _joined(given: Iterable[Part | None]) -> tuple[Part, ...]:
    parts: list[Part] = []
    for part in given:
        match (parts[-1] if parts else None), part:
            case _, None:
                continue
            case Text() as before, Text(text="", citations=citations):
                cited = (*before.citations, *citations)
                parts[-1] = msgspec.structs.replace(before, citations=cited)
            case _, Text() | Media() | Reasoning() | ToolCall():
                parts.append(part)
    return tuple(parts)


def wire_reason(reason: FinishReason, stop_sequence: str | None, *, refused: bool) -> str:
    if refused:
        return "content_filtered"
    return "stop_sequence" if stop_sequence else _WIRE_REASONS[reason]


def wire_usage(usage: Usage | None) -> dict[str, int]:
    usage = usage or Usage()
    cached = usage.cache_read_tokens + usage.cache_write_tokens
    fields = {
        "inputTokens": max(usage.input_tokens - cached, 0),
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
    }
    if cached:
        fields["cacheReadInputTokens"] = usage.cache_read_tokens
        fields["cacheWriteInputTokens"] = usage.cache_write_tokens
    return fields


NO_METRICS: Final = {"latencyMs": 0}
"""A member that AWS clients require; how long it took, the caller's own clock knows better."""


def render_reply(reply: neutral.Reply, view: neutral.View) -> bytes:
    del view  # Neither the model nor an id has a place in a Converse answer.
    choice = reply.choices[0] if reply.choices else Choice(reason="stop")
    refused = any(isinstance(part, Refusal) for part in choice.parts)
    reason = wire_reason(choice.reason or "stop", choice.stop_sequence, refused=refused)
    cut = choice.reason == "length"
    content = [block for part in choice.parts for block in wire_blocks(part, cut=cut)]
    return msgspec.json.encode(
        {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": reason,
            "usage": wire_usage(reply.usage),
            "metrics": NO_METRICS,
        }
    )


def wire_blocks(part: Part, *, cut: bool = False) -> list[dict[str, Any]]:
    """What a text rests on follows it: clients look for the text where a text always is."""
    blocks = [wire_block(part, cut=cut)]
    if isinstance(part, Text) and part.citations:
        cited = [wire_citation(citation) for citation in part.citations]
        blocks.append({"citationsContent": {"content": [], "citations": cited}})
    return blocks


def wire_block(part: Part, *, cut: bool = False) -> dict[str, Any]:
    """`cut`: the answer ended at its limit, perhaps in the middle of this part."""
    match part:
        case Text() | Refusal():
            return {"text": part.text}
        case Reasoning(redacted=str(redacted)):
            return {"reasoningContent": {"redactedContent": sealed(redacted)}}
        case Reasoning():
            thought = {"text": part.text}
            if part.signature is not None:
                thought["signature"] = part.signature
            return {"reasoningContent": {"reasoningText": thought}}
        case ToolCall():
            given = answered(part.arguments, cut=cut)
            return {"toolUse": {"toolUseId": part.id, "name": part.name, "input": given}}
        case Media(kind="image", data=str(data)):
            return {"image": {"format": image_format(part), "source": {"bytes": data}}}
        case Media():
            return {"text": made.told(part)}
        case _:
            raise UpstreamError("The provider's answer holds a part that Converse has no word for.")


def image_format(image: Media) -> str:
    return FORMATS.get(image.media_type or "", ("", "png"))[1]


def exception_of(error: CutwaterError) -> str:
    other = "InternalServerException" if error.status >= 500 else "ValidationException"
    return EXCEPTIONS.get(error.status, other)


def error_body(error: CutwaterError, request_id: str) -> bytes:
    del request_id  # It is in the header x-amzn-requestid.
    return msgspec.json.encode({"message": error.message})


def error_headers(error: CutwaterError, request_id: str) -> dict[str, str]:
    return {"x-amzn-errortype": exception_of(error), "x-amzn-requestid": request_id}


def error_event(error: CutwaterError, request_id: str) -> bytes:
    """What ends a stream that cannot be completed. No `messageStop` follows it."""
    name = exception_of(error)
    name = name[0].lower() + name[1:]
    if name not in STREAMED_EXCEPTIONS or name == "modelTimeoutException":
        # Members that the stream's union does not have: an AWS client would pass them over.
        name = "modelStreamErrorException" if error.status >= 500 else "validationException"
    return render_exception(error_body(error, request_id), name)
