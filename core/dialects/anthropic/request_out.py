"""A neutral request, written as a messages request.

Anthropic wants the system prompt apart, roles that take turns, and arguments
of tools as objects; a tool result comes first in the user's turn.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from core.dialects import parameters
from core.dialects.losses import losses
from core.dialects.repairs import check_said, known_id, may_think, spoken_stops
from core.dialects.structured import STAND_IN, as_object, held_tools, native, stand_in
from core.dialects.thinking import effort as effort_of
from core.dialects.thinking import room
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
    Schema,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from core.signatures import is_marked

DEFAULT_MAX_TOKENS: Final = 4096
_EFFORTS: Final = {"minimal": "low"}
LONGEST_TITLE: Final = 500
_NOT_IN_IDS: Final = re.compile(r"[^a-zA-Z0-9_-]")
_NO_SCHEMA: Final = Raw(b'{"type":"object","properties":{}}')


class _Body:
    """The request being written."""

    def __init__(self, request: Request, facts: Facts, turns: list[dict[str, Any]]) -> None:
        self.request = request
        self.turns = turns
        self.facts = facts
        self.fields, self.dropped = parameters.render(request.parameters, "anthropic")
        self.config: dict[str, Any] = {}
        self.thinks = False
        self.tool_as_text: str | None = None


def render_request(request: Request, facts: Facts) -> Rendered:
    notes = losses(request, "messages.image.detail")
    system, turns = _turns(request.messages, notes)
    body = _Body(request, facts, turns)
    body.fields["model"] = raw(request.model)
    body.fields["messages"] = raw(turns)
    check_said(turns)
    if system:
        body.fields["system"] = raw(system)
    if request.stream:
        body.fields["stream"] = Raw(b"true")
    body.fields["max_tokens"] = raw(
        request.max_tokens
        if request.max_tokens is not None
        else facts.max_output_tokens or DEFAULT_MAX_TOKENS
    )
    _think(body)
    _sample(body)
    _use_tools(body)
    _structure(body)
    if body.config:
        body.fields["output_config"] = raw(body.config)
    return Rendered(
        body=msgspec.json.encode(body.fields),
        dropped=(*request.dropped, *body.dropped, *dict.fromkeys(notes)),
        tool_as_text=body.tool_as_text,
    )


def _think(body: _Body) -> None:
    thinking = body.request.thinking
    if thinking is None:
        return
    adapts = body.facts.thinking == "adaptive"
    refused = not adapts and not may_think(_kinds(body.turns))
    if body.facts.reasoning is False or (thinking.enabled and refused):
        if thinking.enabled:
            body.dropped.append("thinking")
        return
    if not thinking.enabled:
        body.fields["thinking"] = Raw(b'{"type":"disabled"}')
        return
    body.thinks = True
    if adapts:
        body.fields["thinking"] = Raw(b'{"type":"adaptive"}')
        if (effort := effort_of(thinking, int(bytes(body.fields["max_tokens"])))) is not None:
            body.config["effort"] = _EFFORTS.get(effort, effort)
        return
    most = int(bytes(body.fields["max_tokens"]))
    budget, most, lost = room(thinking, most, body.facts.max_output_tokens)
    body.fields["max_tokens"] = raw(most)
    body.dropped += lost
    body.fields["thinking"] = raw({"type": "enabled", "budget_tokens": budget})


def _kinds(turns: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    return [(turn["role"], [block["type"] for block in turn["content"]]) for turn in turns]


def _sample(body: _Body) -> None:
    fields = body.fields
    _stop(body)
    if not body.facts.sampling:
        body.dropped += [n for n in ("temperature", "top_p", "top_k") if fields.pop(n, None)]
    elif body.thinks:
        # Thinking goes with temperature 1 and no top_k; every other value is a 400.
        body.dropped += [n for n in ("top_p", "top_k") if fields.pop(n, None)]
        if bytes(fields.get("temperature", b"1")) not in (b"1", b"1.0"):
            body.dropped.append("temperature")
        fields["temperature"] = Raw(b"1")
    elif (given := fields.get("temperature")) is not None and _above_one(given):
        fields["temperature"] = Raw(b"1")
        body.dropped.append("temperature>1")
    if body.facts.temperature_or_top_p and fields.keys() >= {"temperature", "top_p"}:
        del fields["top_p"]
        body.dropped.append("top_p")


def _stop(body: _Body) -> None:
    kept, lost = spoken_stops(body.fields.pop("stop_sequences", None))
    if kept is not None:
        body.fields["stop_sequences"] = kept
    if lost:
        body.dropped.append("stop")


def _above_one(value: Raw) -> bool:
    try:
        return msgspec.json.decode(value, type=float) > 1
    except msgspec.ValidationError as error:
        raise BadRequestError("`temperature` is a number.", param="temperature") from error


def _use_tools(body: _Body) -> None:
    request = body.request
    if not request.tools:
        return
    tools, lost = held_tools(request.tools, "tools", able=body.facts.native_schema)
    body.fields["tools"] = raw([_tool(tool) for tool in tools])
    body.dropped += dict.fromkeys(lost)
    choice: dict[str, Any] = {}
    match request.tool_choice:
        case None:
            pass
        case wanted if wanted.mode in ("required", "named") and body.thinks:
            # A thinking model may not be forced to a tool.
            body.dropped.append("tool_choice")
            choice = {"type": "auto"}
        case wanted if wanted.mode == "named":
            choice = {"type": "tool", "name": wanted.name}
        case wanted:
            choice = {"type": "any" if wanted.mode == "required" else wanted.mode}
    if request.parallel_tool_calls is False and choice.get("type") != "none":
        choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
    if choice:
        body.fields["tool_choice"] = raw(choice)


def _tool(tool: Tool) -> dict[str, Any]:
    fields = {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.schema or _NO_SCHEMA,
        "strict": tool.strict,
        "cache_control": tool.cache_control,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _structure(body: _Body) -> None:
    schema = body.request.schema
    if schema is None:
        return
    found = native(body.request, schema, body.facts, thinks=body.thinks)
    if found is not None:
        body.config["format"] = {"type": "json_schema", "schema": found.schema}
        body.dropped += [f"schema.{keyword}" for keyword in found.moved]
        body.dropped += losses(body.request, "schema.description")
        return
    body.tool_as_text = STAND_IN
    body.fields["tools"] = raw([_tool(_stand_in(schema, body))])
    if not body.thinks:
        body.fields["tool_choice"] = raw({"type": "tool", "name": STAND_IN})


def _stand_in(schema: Schema, body: _Body) -> Tool:
    strict = bool(schema.strict and schema.schema is not None)
    tools, lost = held_tools(
        [stand_in(schema, strict=strict)], "schema", able=body.facts.native_schema
    )
    body.dropped += [*lost, *losses(body.request, "schema.description")]
    return tools[0]


def _turns(
    messages: Iterable[Message], notes: list[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All system and developer messages in their order, and the turns of the others."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        parts = message.parts
        if message.role == "assistant":
            # What a model drew is no input of its own turn here.
            notes += [f"messages.{part.kind}" for part in parts if isinstance(part, Media)]
            parts = tuple(part for part in parts if not isinstance(part, Media))
        blocks = _blocks(parts, notes)
        if message.role in ("system", "developer"):
            if not all(block["type"] == "text" for block in blocks):
                raise BadRequestError("A system message is text for this model.", param="messages")
            system += blocks
            continue
        if message.name:
            notes.append("messages.name")
        if turns and turns[-1]["role"] == message.role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": message.role, "content": blocks})
    for turn in turns:
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    turns = [turn for turn in turns if turn["content"]]
    if turns and turns[-1]["role"] == "assistant" and "text" in turns[-1]["content"][-1]:
        # The beginning of an answer may not end in white space.
        last = turns[-1]["content"][-1]
        last["text"] = last["text"].rstrip()
    return system, turns


def _blocks(parts: Sequence[Part], notes: list[str]) -> list[dict[str, Any]]:
    blocks = []
    for part in parts:
        block = _block(part, notes)
        if block:
            blocks.append({name: value for name, value in block.items() if value is not None})
    return blocks


def _block(part: Part, notes: list[str]) -> dict[str, Any]:
    match part:
        case Text(text=text) | Refusal(text=text) if not text.strip():
            return {}  # A text block without a word is a 400.
        case Text():
            return {"type": "text", "text": part.text, "cache_control": part.cache_control}
        case Refusal():
            return {"type": "text", "text": part.text}
        case Media():
            return _media(part)
        case Reasoning(redacted=str(data)):
            return {"type": "redacted_thinking", "data": data}
        case Reasoning(signature=str(signature)) if not is_marked(signature):
            return {"type": "thinking", "thinking": part.text, "signature": signature}
        case Reasoning():
            notes.append("messages.reasoning")
            return {}
        case ToolCall():
            return {
                "type": "tool_use",
                "id": known_id(part.id, _NOT_IN_IDS),
                "name": part.name,
                "input": _arguments(part),
                "cache_control": part.cache_control,
            }
        case ToolResult():
            return {
                "type": "tool_result",
                "tool_use_id": known_id(part.call_id, _NOT_IN_IDS),
                "content": _result_content(part, notes),
                "is_error": part.is_error or None,
                "cache_control": part.cache_control,
            }


def _arguments(call: ToolCall) -> Raw:
    if call.arguments.strip() in ("", "null"):
        return Raw(b"{}")
    arguments = as_object(call.arguments)
    if arguments is None:
        raise BadRequestError(
            f"The arguments of the call `{call.id}` are no JSON object.", param="messages"
        )
    return arguments


def _result_content(result: ToolResult, notes: list[str]) -> str | list[dict[str, Any]]:
    match result.parts:
        case ():
            return ""
        case (Text(text=text, cache_control=None),):
            return text
        case parts:
            return _blocks(parts, notes)


def _media(part: Media) -> dict[str, Any]:
    match part:
        case Media(kind="audio" | "video"):
            raise BadRequestError(f"This model takes no {part.kind}.", param="messages")
        case Media(url=str(url)):
            source: dict[str, Any] = {"type": "url", "url": url}
        case Media(media_type="text/plain"):
            source = {"type": "text", "media_type": "text/plain", "data": part.data}
        case _:
            source = {"type": "base64", "media_type": part.media_type, "data": part.data}
    title = part.name[:LONGEST_TITLE] if part.kind == "document" and part.name else None
    return {
        "type": part.kind,
        "source": source,
        "title": title,
        "cache_control": part.cache_control,
    }
