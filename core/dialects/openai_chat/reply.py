"""Whole chat completions, and errors, both ways."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from core import neutral
from core.dialects import openai_common
from core.envelope import mended, present
from core.errors import CutwaterError, UpstreamError
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

error_body = openai_common.error_body

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
}
_WIRE_REASONS: dict[FinishReason, str] = {"other": "stop", "error": "stop"}


class Function(Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """Some providers send the arguments as the object they mean."""
        if isinstance(self.arguments, dict):
            return msgspec.json.encode(self.arguments).decode()
        return self.arguments or ""


class Call(Struct):
    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Spoken(Struct):
    """A message or a delta: they have the same fields."""

    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning: str | list[Any] | dict[str, Any] | None = None
    reasoning_content: str | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None


class Details(Struct):
    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class WireUsage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None

    def neutral(self) -> Usage:
        read, written = self.prompt_tokens_details, self.completion_tokens_details
        return Usage(
            input_tokens=self.prompt_tokens or 0,
            output_tokens=self.completion_tokens or 0,
            cache_read_tokens=(read and read.cached_tokens) or 0,
            # OpenAI's own name and the reference proxy's.
            cache_write_tokens=(read and (read.cache_write_tokens or read.cache_creation_tokens))
            or 0,
            reasoning_tokens=(written and written.reasoning_tokens) or 0,
        )


class WireChoice(Struct):
    message: Spoken
    finish_reason: str | None = None


class Completion(Struct):
    """Only what the answer is made of must have its shape."""

    choices: list[WireChoice]
    id: Any = None
    model: Any = None
    created: Any = None
    usage: Raw = Raw()


_decode = msgspec.json.Decoder(Completion).decode
_decode_usage = msgspec.json.Decoder(WireUsage).decode


def usage_of(raw: Raw) -> Usage | None:
    """None where there is none that can be read: an answer is not lost over its bill."""
    if present(raw) is None:
        return None
    try:
        return _decode_usage(raw).neutral()
    except msgspec.DecodeError:
        return None


def text_of(value: object) -> str:
    return value if isinstance(value, str) else ""


def seconds_of(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def split_content(content: str | list[Any] | None) -> list[Text | Reasoning]:
    """Text; a list holds Mistral's and Cohere's pieces, thinking among them."""
    if not isinstance(content, list):
        return [Text(content)] if content else []
    pieces: list[Text | Reasoning] = []
    for piece in content:
        match piece:
            case {"type": "thinking", "thinking": list(thoughts)}:
                text = "".join(t.get("text", "") for t in thoughts if isinstance(t, dict))
                pieces.append(Reasoning(text=text))
            case {"type": "thinking", "thinking": str(text)}:
                pieces.append(Reasoning(text=text))
            case {"text": str(text)}:
                pieces.append(Text(text))
    return pieces


def split_reasoning(spoken: Spoken) -> list[Reasoning]:
    match spoken.reasoning or spoken.reasoning_content:
        case str(text):
            return [Reasoning(text=text)]
        case list(entries):
            return [_reasoning_entry(entry) for entry in entries if isinstance(entry, dict)]
        case dict(entry):
            return [_reasoning_entry(entry)]
        case _:
            return []


def _reasoning_entry(entry: dict[str, Any]) -> Reasoning:
    return Reasoning(
        text=entry.get("content") or "",
        signature=entry.get("id") or None,
        redacted=entry.get("redacted"),
    )


def _decoded(body: bytes) -> Completion:
    try:
        return _decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return _decode(mended(body))


def parse_reply(body: bytes) -> neutral.Reply:
    try:
        completion = _decoded(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The provider's answer is no chat completion.") from error
    return neutral.Reply(
        id=text_of(completion.id),
        model=text_of(completion.model),
        created=seconds_of(completion.created),
        choices=tuple(_parse_choice(choice) for choice in completion.choices),
        usage=usage_of(completion.usage),
    )


def _parse_choice(choice: WireChoice) -> Choice:
    message = choice.message
    parts: list[Part] = [*split_reasoning(message), *split_content(message.content)]
    if message.refusal:
        parts.append(Refusal(message.refusal))
    for call in message.tool_calls or ():
        function = call.function or Function()
        parts.append(ToolCall(id=call.id or "", name=function.name or "", arguments=function.text))
    if (legacy := message.function_call) is not None:
        parts.append(ToolCall(id="call_0", name=legacy.name or "", arguments=legacy.text))
    called = any(isinstance(part, ToolCall) for part in parts)
    return Choice(
        parts=tuple(parts),
        # A whole reply without a reason is one that some provider never gives.
        reason=read_reason(choice.finish_reason or "stop", called=called),
        raw_reason=choice.finish_reason,
    )


def read_reason(raw_reason: str, *, called: bool) -> FinishReason:
    """`called`: the answer calls a tool. Where the request named the tool, OpenAI says `stop`."""
    reason = FINISH_REASONS.get(raw_reason, "other")
    return "tool_calls" if called and reason == "stop" else reason


def wire_reason(reason: FinishReason, view: neutral.View) -> str:
    if reason == "tool_calls" and view.legacy_functions:
        return "function_call"
    return _WIRE_REASONS.get(reason, reason)


def wire_usage(usage: Usage) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    if usage.cache_read_tokens or usage.cache_write_tokens:
        fields["prompt_tokens_details"] = {
            "cached_tokens": usage.cache_read_tokens,
            "cache_creation_tokens": usage.cache_write_tokens,
        }
    if usage.reasoning_tokens:
        fields["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return fields


def render_reply(reply: neutral.Reply, view: neutral.View) -> bytes:
    fields: dict[str, Any] = {
        "id": reply.id or view.fresh_id,
        "object": "chat.completion",
        "created": reply.created or view.created,
        "model": reply.model or view.model,
        "choices": [
            {
                "index": index,
                "message": _message(choice, view),
                "logprobs": None,
                "finish_reason": wire_reason(choice.reason or "stop", view),
            }
            for index, choice in enumerate(reply.choices)
        ],
    }
    if reply.usage is not None:
        fields["usage"] = wire_usage(reply.usage)
    return msgspec.json.encode(fields)


def _message(choice: Choice, view: neutral.View) -> dict[str, Any]:
    texts = [part.text for part in choice.parts if isinstance(part, Text)]
    refusals = [part.text for part in choice.parts if isinstance(part, Refusal)]
    calls = [part for part in choice.parts if isinstance(part, ToolCall)]
    thoughts = [part for part in choice.parts if isinstance(part, Reasoning)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": _pictured(choice) or ("".join(texts) if texts else None),
        "refusal": "".join(refusals) if refusals else None,
    }
    if thoughts:
        message["reasoning"] = [wire_reasoning(thought) for thought in thoughts]
    if calls and view.legacy_functions:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments}
    elif calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in calls
        ]
    return message


def _pictured(choice: Choice) -> list[dict[str, Any]]:
    """Parts, as in the reference proxy, where the model made images; empty for mere text."""
    if not any(isinstance(part, Media) and part.kind == "image" for part in choice.parts):
        return []
    pieces: list[dict[str, Any]] = []
    for part in choice.parts:
        match part:
            case Text():
                pieces.append({"type": "text", "text": part.text})
            case Media(kind="image"):
                url = part.url or f"data:{part.media_type};base64,{part.data}"
                pieces.append({"type": "image_url", "image_url": {"url": url}})
    return pieces


def wire_reasoning(thought: Reasoning) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": thought.signature or "", "content": thought.text}
    if thought.redacted is not None:
        entry["redacted"] = thought.redacted
    return entry


def error_event(error: CutwaterError, request_id: str) -> bytes:
    """What ends a stream that cannot be completed. No `[DONE]` follows it."""
    return b"data: " + error_body(error, request_id) + b"\n\n"
