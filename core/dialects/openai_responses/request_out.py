"""A neutral request, written as a request for a response that nobody stores.

Calls and their results are items beside the messages, bound by `call_id`
alone: with an item's id OpenAI would look for the thought that came before it
and refuse the request where that is gone.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from core.dialects import parameters
from core.dialects.losses import losses
from core.dialects.openai_common import effort_of
from core.dialects.openai_responses.thoughts import provider_item
from core.dialects.structured import hold
from core.envelope import raw
from core.errors import BadRequestError
from core.held_schemas import OPENAI
from core.neutral import (
    Facts,
    Media,
    Message,
    Part,
    Reasoning,
    Refusal,
    Rendered,
    Request,
    Role,
    Schema,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

LEAST_TOKENS: Final = 16
"""OpenAI refuses `max_output_tokens` below this."""

_SAMPLING: Final = ("temperature", "top_p")
_LOST: Final = ("cache_control", "messages.document.title")
_NO_SCHEMA: Final = Raw(b'{"type":"object","properties":{}}')


def render_request(request: Request, facts: Facts) -> Rendered:
    values = dict(request.parameters)
    verbosity = values.pop("verbosity", None)
    fields, dropped = parameters.render(values, "openai_responses")
    notes = losses(request, *_LOST)
    fields["model"] = raw(request.model)
    fields["input"] = raw(_items(request.messages, notes))
    if request.stream:
        fields["stream"] = Raw(b"true")
    # The whole conversation comes with every request: nothing has to be kept there.
    fields["store"] = Raw(b"false")
    _use_tools(request, fields, notes)
    if request.max_tokens is not None:
        fields["max_output_tokens"] = raw(max(request.max_tokens, LEAST_TOKENS))
        if request.max_tokens < LEAST_TOKENS:
            dropped.append(f"max_tokens<{LEAST_TOKENS}")
    text: dict[str, Any] = {}
    if request.schema is not None:
        text["format"] = _format(request.schema, notes)
    if verbosity is not None:
        text["verbosity"] = verbosity
    if text:
        fields["text"] = raw(text)
    _reason(request, facts, fields, dropped)
    return Rendered(
        body=msgspec.json.encode(fields),
        dropped=(*request.dropped, *dropped, *dict.fromkeys(notes)),
    )


def _use_tools(request: Request, fields: dict[str, Raw], notes: list[str]) -> None:
    if not request.tools:
        return
    fields["tools"] = raw([_tool(tool, notes) for tool in request.tools])
    if request.tool_choice is not None:
        fields["tool_choice"] = raw(_choice(request.tool_choice))
    if request.parallel_tool_calls is not None:
        fields["parallel_tool_calls"] = raw(request.parallel_tool_calls)


def _reason(request: Request, facts: Facts, fields: dict[str, Raw], dropped: list[str]) -> None:
    thinking = request.thinking or Thinking()
    wanted, lost = (None, False) if request.thinking is None else effort_of(thinking, facts)
    if lost:
        dropped.append("thinking")
    off = not thinking.enabled and wanted in (None, "none")
    if (facts.reasoning and not off) or not facts.sampling:
        # A model answers 400 to sampling parameters while it reasons.
        dropped += [name for name in _SAMPLING if fields.pop(name, None) is not None]
    if facts.reasoning is False:
        return
    # Thoughts are told as summaries, and only to those who ask.
    shown = {"summary": "auto"} if thinking.shown and thinking.enabled else {}
    reasoning = shown if wanted is None else {"effort": wanted, **shown}
    if reasoning:
        fields["reasoning"] = raw(reasoning)
    if facts.reasoning or (request.thinking is not None and thinking.enabled):
        # Thoughts that are not stored there must come here, or the next turn lacks them.
        # A model that does not reason answers 400 to this.
        fields["include"] = Raw(b'["reasoning.encrypted_content"]')


def _format(schema: Schema, notes: list[str]) -> dict[str, Any]:
    if schema.schema is None:
        return {"type": "json_object"}
    shape, is_held, lost = hold(schema.schema, OPENAI, "schema", strict=schema.strict)
    notes += lost
    given = {
        "type": "json_schema",
        "name": schema.name,
        "description": schema.description,
        "schema": shape,
        "strict": None if schema.strict is None else is_held,
    }
    return {name: value for name, value in given.items() if value is not None}


def _tool(tool: Tool, notes: list[str]) -> dict[str, Any]:
    shape, is_held, lost = hold(tool.schema, OPENAI, "tools", strict=tool.strict)
    notes += lost
    given = {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": shape or _NO_SCHEMA,
        # Here strict is the default, and would change a schema that was not written for it.
        "strict": is_held,
    }
    return {name: value for name, value in given.items() if value is not None}


def _choice(choice: ToolChoice) -> str | dict[str, Any]:
    if choice.mode == "named":
        return {"type": "function", "name": choice.name}
    return choice.mode


def _items(messages: Sequence[Message], notes: list[str]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for message in messages:
        if message.name:
            notes.append("messages.name")
        spoken: list[Part] = []
        for part in message.parts:
            if message.role == "assistant" and isinstance(part, Media):
                # What a model made is no input of its own turn here.
                notes.append(f"messages.{part.kind}")
            elif isinstance(part, Text | Refusal | Media):
                spoken.append(part)
            else:
                items += _message(message.role, spoken)
                spoken = []
                items += _item(part, notes)
        items += _message(message.role, spoken)
    return items


def _item(part: Part, notes: list[str]) -> list[dict[str, Any]]:
    match part:
        case ToolCall():
            call = {"call_id": part.id, "name": part.name, "arguments": part.arguments or "{}"}
            return [{"type": "function_call", **call}]
        case ToolResult():
            if part.is_error:
                notes.append("tool_result.is_error")
            output = _content(part.parts, "user")
            return [{"type": "function_call_output", "call_id": part.call_id, "output": output}]
        case Reasoning():
            item = provider_item(part)
            if item is None:
                notes.append("messages.reasoning")  # Nobody but its own provider can read it.
            return [] if item is None else [item]
        case _:
            return []


def _message(role: Role, parts: Sequence[Part]) -> list[dict[str, Any]]:
    if not any(not isinstance(part, Text) or part.text for part in parts):
        return []
    return [{"type": "message", "role": role, "content": _content(parts, role)}]


def _content(parts: Sequence[Part], role: Role) -> str | list[dict[str, Any]]:
    match parts:
        case []:
            return ""
        case [Text(text=text)]:
            return text
        case _:
            return [_part(part, role) for part in parts]


def _part(part: Part, role: Role) -> dict[str, Any]:
    match part:
        case Refusal() if role == "assistant":
            return {"type": "refusal", "refusal": part.text}
        case Text() | Refusal():
            kind = "output_text" if role == "assistant" else "input_text"
            return {"type": kind, "text": part.text}
        case Media(kind="image"):
            url = part.url or f"data:{part.media_type};base64,{part.data}"
            return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
        case Media(kind="audio" | "video"):
            raise BadRequestError(f"This model takes no {part.kind}.", param="messages")
        case Media(url=str(url)):
            return {"type": "input_file", "file_url": url}
        case Media(data=str(data), media_type="text/plain"):
            return {"type": "input_text", "text": data}
        case Media():
            data = f"data:{part.media_type};base64,{part.data}"
            name = part.name or "document.pdf"
            return {"type": "input_file", "filename": name, "file_data": data}
        case _:
            raise BadRequestError(f"A {type(part).__name__} has no place in a message.")
