"""The messages of a chat completion request, read into the neutral form.

The old shape has no ids: a `function` message answers the `function_call` just
before it, so both get an id counted here.
"""

from typing import Any, Literal

from msgspec import Raw, Struct

from core.dialects.openai_common import media_from_url
from core.envelope import present
from core.errors import BadRequestError
from core.neutral import Media, Message, Part, Reasoning, Refusal, Text, ToolCall, ToolResult


class ImageUrl(Struct):
    url: str
    detail: str | None = None


class File(Struct):
    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None


class InputAudio(Struct):
    data: str
    format: str


class ContentPart(Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | str | None = None
    file: File | None = None
    input_audio: InputAudio | None = None
    cache_control: Raw = Raw()


class Function(Struct):
    name: str
    arguments: str = ""


class Call(Struct):
    function: Function | None = None
    id: str = ""
    type: str = "function"
    extra_content: Any = None
    cache_control: Raw = Raw()


class ReasoningEntry(Struct):
    id: str | None = None
    content: str | None = None
    redacted: str | None = None
    entries: "list[ReasoningEntry] | None" = None
    """Of merged deltas: the thoughts one by one (thoughts.py)."""


class ChatMessage(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    function_call: Function | None = None
    refusal: str | None = None
    audio: Raw = Raw()
    """An answer in sound, by its id: only its provider has it."""
    reasoning: list[ReasoningEntry] | ReasoningEntry | str | None = None
    reasoning_content: str | None = None
    cache_control: Raw = Raw()


def parse_messages(messages: list[ChatMessage]) -> tuple[Message, ...]:
    parsed: list[Message] = []
    legacy_id = 0
    for index, message in enumerate(messages):
        at = f"messages[{index}]"
        match message.role:
            case "tool" | "function":
                if message.role == "tool" and not message.tool_call_id:
                    raise BadRequestError("`tool_call_id` is missing.", param=f"{at}.tool_call_id")
                result = ToolResult(
                    # A legacy function result answers the call just before it.
                    call_id=message.tool_call_id or f"call_{legacy_id}",
                    parts=_result_parts(_content(message, at), at),
                    name=message.name,
                    cache_control=present(message.cache_control),
                )
                parsed.append(Message("user", (result,)))
            case "assistant":
                legacy_id += message.function_call is not None
                parsed.append(_assistant(message, at, legacy_id))
            case role:
                parsed.append(Message(role, _content(message, at), message.name))
    return tuple(parsed)


def _result_parts(parts: tuple[Part, ...], at: str) -> tuple[Text | Media, ...]:
    kept = tuple(part for part in parts if isinstance(part, Text | Media))
    if len(kept) != len(parts):
        raise BadRequestError("A tool result is text.", param=f"{at}.content")
    return kept


def _assistant(message: ChatMessage, at: str, legacy_id: int) -> Message:
    parts: list[Part] = [*_reasoning(message), *_content(message, at)]
    if message.refusal:
        parts.append(Refusal(message.refusal))
    for index, call in enumerate(message.tool_calls or ()):
        if call.function is None:
            raise BadRequestError(
                f"A tool call of type `{call.type}` cannot be translated: only function calls can.",
                param=f"{at}.tool_calls[{index}].type",
            )
        function = call.function
        parts.append(
            ToolCall(
                id=call.id,
                name=function.name,
                arguments=function.arguments,
                signature=_google_signature(call.extra_content),
                cache_control=present(call.cache_control),
            )
        )
    if (legacy := message.function_call) is not None:
        parts.append(ToolCall(id=f"call_{legacy_id}", name=legacy.name, arguments=legacy.arguments))
    return Message("assistant", tuple(parts), message.name)


def _google_signature(extra: Any) -> str | None:
    """Where Google's own OpenAI endpoint puts it; clients made for that one send it back."""
    match extra:
        case {"google": {"thought_signature": str(signature)}}:
            return signature
        case _:
            return None


def _reasoning(message: ChatMessage) -> list[Part]:
    given = message.reasoning
    if isinstance(given, ReasoningEntry):
        given = given.entries or [given]  # As our own stream tells it.
    if isinstance(given, list):
        return [
            Reasoning(text=entry.content or "", signature=entry.id or None, redacted=entry.redacted)
            for entry in given
        ]
    text = given or message.reasoning_content
    return [Reasoning(text=text)] if text else []


def _content(message: ChatMessage, at: str) -> tuple[Part, ...]:
    if message.content is None:
        return ()
    if isinstance(message.content, str):
        if not message.content:
            return ()
        cache_control = (
            None if message.role in ("tool", "function") else present(message.cache_control)
        )
        return (Text(message.content, cache_control),)
    return tuple(
        _part(part, f"{at}.content[{index}]") for index, part in enumerate(message.content)
    )


def _part(part: ContentPart, at: str) -> Part:
    cached = present(part.cache_control)
    match part:
        case ContentPart(type="text", text=str(text)):
            return Text(text, cached)
        case ContentPart(type="refusal", refusal=str(text)):
            return Refusal(text)
        case ContentPart(type="image_url", image_url=str(url)):
            return media_from_url(url, "image", part.type, cache_control=cached)
        case ContentPart(type="image_url", image_url=ImageUrl(url=url, detail=detail)):
            return media_from_url(url, "image", part.type, detail=detail, cache_control=cached)
        case ContentPart(type="file", file=File(file_data=str(data), filename=name)):
            return media_from_url(data, "document", part.type, name=name, cache_control=cached)
        case ContentPart(type="file", file=File(file_id=str())):
            raise BadRequestError(
                "A file id is known to one provider only: send the file itself as `file_data`.",
                param=f"{at}.file.file_id",
            )
        case ContentPart(type="input_audio", input_audio=InputAudio(data=data, format=kind)):
            return Media(kind="audio", media_type=f"audio/{kind}", data=data)
        case _:
            raise BadRequestError(f"`{part.type}` is no usable content part.", param=f"{at}.type")
