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
from core.dialects.openai_common import effort as effort_of
from core.envelope import raw
from core.errors import BadRequestError
from core.neutral import (
    Facts,
    Media,
    Message,
    Part,
    Reasoning,
    Refusal,
    Rendered,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

LONGEST_USER: Final = 64
"""OpenAI answers 400 to a longer `user`; Claude Code's `metadata.user_id` is longer."""

_SAMPLING: Final = ("temperature", "top_p")


def render_request(request: Request, facts: Facts) -> Rendered:
    fields, dropped = parameters.render(request.parameters, "openai_chat")
    notes: list[str] = []
    fields["model"] = raw(request.model)
    fields["messages"] = raw(_messages(request.messages, notes))
    if request.stream:
        fields["stream"] = Raw(b"true")
        # Always asked for, so that cost is known; shown only to a client that asked too.
        fields["stream_options"] = Raw(b'{"include_usage":true}')
    if request.tools:
        fields["tools"] = raw([_tool(tool) for tool in request.tools])
        if request.tool_choice is not None:
            fields["tool_choice"] = raw(_choice(request.tool_choice))
        if request.parallel_tool_calls is not None:
            fields["parallel_tool_calls"] = raw(request.parallel_tool_calls)
    if request.max_tokens is not None:
        fields["max_completion_tokens"] = raw(request.max_tokens)
    if request.schema is not None:
        fields["response_format"] = raw(_response_format(request))
    if len(fields.get("user", b"")) > LONGEST_USER + len('""'):
        del fields["user"]
        dropped.append("user")
    _reason(request, facts, fields, dropped)
    return Rendered(
        body=msgspec.json.encode(fields),
        dropped=(*request.dropped, *dropped, *dict.fromkeys(notes)),
    )


def _reason(request: Request, facts: Facts, fields: dict[str, Raw], dropped: list[str]) -> None:
    if facts.reasoning:
        # OpenAI's reasoning models answer 400 to sampling parameters.
        dropped += [name for name in _SAMPLING if fields.pop(name, None) is not None]
    if request.thinking is None:
        return
    effort = effort_of(request.thinking)
    if facts.reasoning is False or (effort is None and request.thinking.enabled):
        if request.thinking.enabled:
            dropped.append("thinking")
    elif effort is not None:
        fields["reasoning_effort"] = raw(effort)


def _response_format(request: Request) -> dict[str, Any]:
    schema = request.schema
    if schema is None or schema.schema is None:
        return {"type": "json_object"}
    given = {
        "name": schema.name,
        "description": schema.description,
        "schema": schema.schema,
        "strict": schema.strict,
    }
    present = {name: value for name, value in given.items() if value is not None}
    return {"type": "json_schema", "json_schema": present}


def _tool(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.schema,
        "strict": tool.strict,
    }
    present = {name: value for name, value in function.items() if value is not None}
    return {"type": "function", "function": present}


def _choice(choice: ToolChoice) -> str | dict[str, Any]:
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode


def _messages(messages: Sequence[Message], notes: list[str]) -> list[dict[str, Any]]:
    rendered: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "assistant":
            rendered.append(_assistant(message, notes))
        else:
            rendered += _other(message, notes)
    return rendered


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
    if message.name:
        fields["name"] = message.name
    return fields


def _other(message: Message, notes: list[str]) -> list[dict[str, Any]]:
    rendered: list[dict[str, Any]] = []
    spoken: list[Part] = []
    for part in message.parts:
        if not isinstance(part, ToolResult):
            spoken.append(part)
            continue
        texts = [piece.text for piece in part.parts if isinstance(piece, Text)]
        spoken += [piece for piece in part.parts if isinstance(piece, Media)]
        if part.is_error:
            notes.append("tool_result.is_error")
        rendered.append({"role": "tool", "tool_call_id": part.call_id, "content": "\n".join(texts)})
    if spoken or not rendered:
        said: dict[str, Any] = {"role": message.role, "content": _content(spoken)}
        if message.name:
            said["name"] = message.name
        rendered.append(said)
    return rendered


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
        case Media(kind="audio", media_type=str(media_type)):
            audio = {"data": part.data, "format": media_type.removeprefix("audio/")}
            return {"type": "input_audio", "input_audio": audio}
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
