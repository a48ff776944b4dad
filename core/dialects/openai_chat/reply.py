"""Whole chat completions, and errors, both ways."""

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from core import neutral
from core.dialects import made, openai_common
from core.dialects.openai_chat.beside import (
    citations_of,
    image_of,
    images_of,
    placed,
    sources_of,
    wire_annotation,
    wire_image,
)
from core.dialects.openai_chat.thoughts import wire_reasoning
from core.envelope import mended, present, read_mended
from core.errors import CutwaterError, UpstreamError
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

error_body = openai_common.error_body

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
    # Mistral's and DeepSeek's.
    "model_length": "length",
    "insufficient_system_resource": "error",
}
_WIRE_REASONS: dict[FinishReason, str] = {"other": "stop"}


_decode_text = msgspec.json.Decoder(str).decode


class Function(Struct):
    name: str | None = None
    arguments: Raw = Raw()

    @property
    def says_something(self) -> bool:
        """Snowflake writes an empty `function_call` where none is meant."""
        return bool(self.name) or bytes(self.arguments) not in (b"", b"null", b'""', b"{}")

    @property
    def text(self) -> str:
        """Some providers send the arguments as the object they mean: its bytes, then."""
        given = bytes(present(self.arguments) or b"")
        if not given.startswith(b'"'):
            return given.decode("utf-8", "replace")
        try:
            return _decode_text(given)
        except msgspec.DecodeError:
            return _decode_text(mended(given))


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
    annotations: Any = None
    images: Any = None
    """OpenRouter's place for what the model drew."""


class Details(Struct):
    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class WireUsage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None
    total_tokens: int | None = None

    def neutral(self) -> Usage:
        read, written = self.prompt_tokens_details, self.completion_tokens_details
        reasoning = (written and written.reasoning_tokens) or 0
        return Usage(
            input_tokens=(self.prompt_tokens or 0)
            + self._apart(read.audio_tokens if read else None),
            output_tokens=(self.completion_tokens or 0) + self._apart(reasoning),
            cache_read_tokens=(read and read.cached_tokens) or 0,
            # OpenAI's own name and the reference proxy's.
            cache_write_tokens=(read and (read.cache_write_tokens or read.cache_creation_tokens))
            or 0,
            reasoning_tokens=reasoning,
        )

    def _apart(self, tokens: int | None) -> int:
        """Reasoning (xAI) or sound (Mistral) beside the rest, which only the total tells."""
        counted = (self.prompt_tokens or 0) + (self.completion_tokens or 0)
        return tokens if tokens and self.total_tokens == counted + tokens else 0


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
    citations: Any = None
    search_results: Any = None


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


_YEAR_5138: Final = 10**11


def seconds_of(value: object) -> int:
    """Unix seconds; some providers say milliseconds, and 0 is a time that nobody can show."""
    if not isinstance(value, int | float) or value <= 0:
        return 0
    seconds = value if value < _YEAR_5138 else value / 1000
    return int(seconds) if seconds < _YEAR_5138 else 0


def split_content(content: str | list[Any] | None) -> list[Text | Reasoning | Media]:
    """Text; a list holds Mistral's and Cohere's pieces, thinking among them, and images."""
    if not isinstance(content, list):
        return [Text(content)] if content else []
    pieces: list[Text | Reasoning | Media] = []
    for piece in content:
        match piece:
            case {"type": "thinking", "thinking": list(thoughts)}:
                text = "".join(t.get("text", "") for t in thoughts if isinstance(t, dict))
                pieces.append(Reasoning(text=text))
            case {"type": "thinking", "thinking": str(text)}:
                pieces.append(Reasoning(text=text))
            case {"text": str(text)}:
                pieces.append(Text(text))
            case {"image_url": _} if (image := image_of(piece)) is not None:
                pieces.append(image)
    return pieces


def split_reasoning(spoken: Spoken) -> list[Reasoning]:
    match spoken.reasoning or spoken.reasoning_content:
        case str(text):
            return [Reasoning(text=text)]
        case list(entries):
            return [_reasoning_entry(entry) for entry in entries if isinstance(entry, dict)]
        case {"entries": _}:
            return []  # They have been told one by one: another Cutwater says so.
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


def parse_reply(body: bytes) -> neutral.Reply:
    try:
        completion = read_mended(_decode, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The provider's answer is no chat completion.") from error
    return neutral.Reply(
        id=text_of(completion.id),
        model=text_of(completion.model),
        created=seconds_of(completion.created),
        choices=tuple(
            _parse_choice(choice, sources_of(completion.search_results, completion.citations))
            for choice in completion.choices
        ),
        usage=usage_of(completion.usage),
    )


def _parse_choice(choice: WireChoice, sources: list[Citation]) -> Choice:
    message = choice.message
    parts: list[Part] = [*split_reasoning(message), *split_content(message.content)]
    if citations := citations_of(message.annotations) or sources:
        _cite(parts, citations)
    parts += images_of(message.images)
    if message.refusal:
        parts.append(Refusal(message.refusal))
    for call in message.tool_calls or ():
        function = call.function or Function()
        parts.append(ToolCall(id=call.id or "", name=function.name or "", arguments=function.text))
    if (legacy := message.function_call) is not None and legacy.says_something:
        parts.append(ToolCall(id="call_0", name=legacy.name or "", arguments=legacy.text))
    called = any(isinstance(part, ToolCall) for part in parts)
    return Choice(
        parts=tuple(parts),
        # A whole reply without a reason is one that some provider never gives.
        reason=read_reason(choice.finish_reason or "stop", called=called),
        raw_reason=choice.finish_reason,
    )


def _cite(parts: list[Part], citations: list[Citation]) -> None:
    lengths = {i: len(part.text) for i, part in enumerate(parts) if isinstance(part, Text)}
    for given in citations:
        if (found := placed(given, lengths)) is not None:
            index, citation = found
            text = parts[index]
            if isinstance(text, Text):
                cited = (*text.citations, citation)
                parts[index] = msgspec.structs.replace(text, citations=cited)


def read_reason(raw_reason: str, *, called: bool) -> FinishReason:
    """`called`: the answer calls a tool. Where the request named the tool, OpenAI says `stop`."""
    reason = FINISH_REASONS.get(raw_reason, "other")
    return "tool_calls" if called and reason == "stop" else reason


def wire_reason(reason: FinishReason, view: neutral.View) -> str:
    if reason == "error":
        raise made.unfinished()
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
    spoken = [_in_words(part) for part in choice.parts]
    texts = [part.text for part in spoken if isinstance(part, Text)]
    refusals = [part.text for part in choice.parts if isinstance(part, Refusal)]
    calls = [part for part in choice.parts if isinstance(part, ToolCall)]
    thoughts = [part for part in choice.parts if isinstance(part, Reasoning)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": _pictured(choice) or ("".join(texts) if texts else None),
        "refusal": "".join(refusals) if refusals else None,
    }
    if annotations := _annotations(spoken):
        message["annotations"] = annotations
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


def _in_words(part: Part) -> Part:
    """An image has its place; other things that a model makes have none."""
    return Text(made.told(part)) if isinstance(part, Media) and part.kind != "image" else part


def _annotations(parts: list[Part]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    before = 0
    for part in parts:
        if isinstance(part, Text):
            found += [wire_annotation(c, len(part.text), before) for c in part.citations]
            before += len(part.text)
    return found


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
                pieces.append(wire_image(part))
            case Media():
                pieces.append({"type": "text", "text": made.told(part)})
    return pieces


def error_event(error: CutwaterError, request_id: str) -> bytes:
    """What ends a stream that cannot be completed. No `[DONE]` follows it."""
    return b"data: " + error_body(error, request_id) + b"\n\n"
