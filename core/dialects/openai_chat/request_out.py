"""A neutral request, written as a chat completion request.

Tool results are messages of their own here and come before what the user says
beside them; text is all that they hold, so an image that a tool returned
follows as a message of the user.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from core.dialects import parameters
from core.dialects.losses import losses
from core.dialects.openai_common import effort_of
from core.dialects.structured import hold
from core.envelope import raw
from core.errors import BadRequestError
from core.held_schemas import OPENAI
from core.neutral import (
    Facts,
    Media,
    Message,
    Part,
    Quirks,
    Reasoning,
    Refusal,
    Rendered,
    Request,
    Schema,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

LONGEST_USER: Final = 64
"""OpenAI answers 400 to a longer `user`; Claude Code's `metadata.user_id` is longer."""

SOUNDS: Final = frozenset({"wav", "mp3", "flac", "ogg", "aac", "aiff", "m4a", "pcm16", "pcm24"})
"""OpenAI takes the first two, OpenRouter all: https://openrouter.ai/docs/features/multimodal."""
_SOUNDS: Final = {
    "mpeg": "mp3",
    "x-mp3": "mp3",
    "wave": "wav",
    "x-wav": "wav",
    "vnd.wave": "wav",
    "x-flac": "flac",
    "x-aiff": "aiff",
    "x-m4a": "m4a",
    "mp4": "m4a",
}
"""Other words for them in media types."""

_LOST: Final = ("cache_control", "messages.document.title")


def render_request(request: Request, facts: Facts) -> Rendered:
    fields, dropped = parameters.render(request.parameters, "openai_chat")
    notes: list[str] = losses(request, *_LOST)
    fields["model"] = raw(request.model)
    fields["messages"] = raw(_messages(request.messages, notes))
    if request.stream:
        fields["stream"] = Raw(b"true")
        # Always asked for, so that cost is known; shown only to a client that asked too.
        fields["stream_options"] = Raw(b'{"include_usage":true}')
    if request.tools:
        fields["tools"] = raw([_tool(tool, notes) for tool in request.tools])
        if request.tool_choice is not None:
            fields["tool_choice"] = raw(_choice(request.tool_choice))
        if request.parallel_tool_calls is not None:
            fields["parallel_tool_calls"] = raw(request.parallel_tool_calls)
    if request.max_tokens is not None:
        fields["max_completion_tokens"] = raw(request.max_tokens)
    if request.schema is not None:
        fields["response_format"] = raw(_response_format(request.schema, notes))
    if len(fields.get("user", b"")) > LONGEST_USER + len('""'):
        del fields["user"]
        dropped.append("user")
    _reason(request, facts, fields, dropped)
    return Rendered(
        body=msgspec.json.encode(fields),
        dropped=(*request.dropped, *dropped, *dict.fromkeys(notes)),
    )


def _reason(request: Request, facts: Facts, fields: dict[str, Raw], dropped: list[str]) -> None:
    quirks, effort, lost = facts.quirks or Quirks(), None, False
    if request.thinking is not None:
        effort, lost = effort_of(request.thinking, facts)
    if quirks.refuses and effort not in quirks.sampling_at:
        # OpenAI's reasoning models answer 400 to these; those of others mostly take them.
        for name, words in parameters.PARAMETERS.items():
            if name in quirks.refuses and fields.pop(words["openai_chat"], None) is not None:
                dropped.append(name)
    if lost:
        dropped.append("thinking")
    if effort is not None:
        fields["reasoning_effort"] = raw(effort)


def _response_format(schema: Schema, notes: list[str]) -> dict[str, Any]:
    if schema.schema is None:
        return {"type": "json_object"}
    shape, is_held, lost = hold(schema.schema, OPENAI, "schema", strict=schema.strict)
    notes += lost
    given = {
        "name": schema.name,
        "description": schema.description,
        "schema": shape,
        "strict": None if schema.strict is None else is_held,
    }
    present = {name: value for name, value in given.items() if value is not None}
    return {"type": "json_schema", "json_schema": present}


def _tool(tool: Tool, notes: list[str]) -> dict[str, Any]:
    shape, is_held, lost = hold(tool.schema, OPENAI, "tools", strict=tool.strict)
    notes += lost
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": shape,
        "strict": None if tool.strict is None else is_held,
    }
    present = {name: value for name, value in function.items() if value is not None}
    return {"type": "function", "function": present}


def _choice(choice: ToolChoice) -> str | dict[str, Any]:
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode


def _messages(messages: Sequence[Message], notes: list[str]) -> list[dict[str, Any]]:
    rendered: list[dict[str, Any]] = []
    waiting: list[Message] = []
    """Said beside results: nothing may stand between the results of one turn's calls."""
    for message in messages:
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        if results:
            rendered += [_result(result, notes) for result in results]
            waiting.append(message)
            continue
        rendered += _beside(waiting)
        waiting = []
        if message.role == "assistant":
            rendered.append(_assistant(message, notes))
        else:
            rendered.append(_said(message, message.parts))
    return [*rendered, *_beside(waiting)]


def _result(result: ToolResult, notes: list[str]) -> dict[str, Any]:
    if result.is_error:
        notes.append("tool_result.is_error")
    texts = [piece.text for piece in result.parts if isinstance(piece, Text)]
    return {"role": "tool", "tool_call_id": result.call_id, "content": "\n".join(texts)}


def _beside(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """One message of the user with what his results hold beside text, and what he said."""
    if not messages:
        return []
    parts: list[Part] = []
    for part in (part for message in messages for part in message.parts):
        if isinstance(part, ToolResult):
            parts += [piece for piece in part.parts if isinstance(piece, Media)]
        else:
            parts.append(part)
    return [_said(messages[-1], parts)] if parts else []


def _said(message: Message, parts: Sequence[Part]) -> dict[str, Any]:
    said: dict[str, Any] = {"role": message.role, "content": _content(parts)}
    if message.name:
        said["name"] = message.name
    return said


def _assistant(message: Message, notes: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": "assistant"}
    texts = [part.text for part in message.parts if isinstance(part, Text)]
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    fields["content"] = "".join(texts) if texts or not calls else None
    refusals = [part.text for part in message.parts if isinstance(part, Refusal)]
    if refusals:
        fields["refusal"] = "".join(refusals)
    if calls:
        fields["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments or "{}"},
            }
            for call in calls
        ]
    if any(isinstance(part, Reasoning) for part in message.parts):
        notes.append("messages.reasoning")  # Nobody but its own provider can read it.
    notes += [f"messages.{part.kind}" for part in message.parts if isinstance(part, Media)]
    if message.name:
        fields["name"] = message.name
    return fields


def _content(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    match parts:
        case []:
            return ""
        case [Text(text=text)]:
            return text
        case _:
            return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text() | Refusal():
            return {"type": "text", "text": part.text}
        case Media(kind="image"):
            url = part.url or f"data:{part.media_type};base64,{part.data}"
            image = {"url": url} if part.detail is None else {"url": url, "detail": part.detail}
            return {"type": "image_url", "image_url": image}
        case Media(kind="audio", data=str(data), media_type=str(media_type)):
            word = media_type.partition(";")[0].removeprefix("audio/")
            word = _SOUNDS.get(word, word)
            if word not in SOUNDS:
                known = ", ".join(sorted(SOUNDS))
                raise BadRequestError(
                    f"`{media_type[:100]}` is no sound that this model takes, only: {known}.",
                    param="messages",
                )
            return {"type": "input_audio", "input_audio": {"data": data, "format": word}}
        case Media(kind="audio"):
            raise BadRequestError(
                "This model takes no link to a sound: send it as base64.", param="messages"
            )
        case Media(kind="video"):
            raise BadRequestError("This model takes no video.", param="messages")
        case Media(data=str(data), media_type="text/plain"):
            return {"type": "text", "text": data}
        case Media(data=str(data)):
            file = {
                "filename": part.name or "document.pdf",
                "file_data": f"data:{part.media_type};base64,{data}",
            }
            return {"type": "file", "file": file}
        case Media():
            raise BadRequestError(
                "This model takes documents inline only: send the document as base64."
            )
        case _:
            raise BadRequestError(f"A {type(part).__name__} has no place in a user's message.")
