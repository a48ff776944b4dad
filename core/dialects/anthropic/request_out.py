"""A neutral request, written as a messages request.

Anthropic wants the system prompt apart, roles that take turns, and arguments
of tools as objects; a tool result comes first in the user's turn.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final
from zlib import crc32

import msgspec
from msgspec import Raw

from core.dialects import parameters
from core.dialects.structured import STAND_IN, as_object, is_native, stand_in
from core.dialects.thinking import budget as budget_of
from core.dialects.thinking import effort as effort_of
from core.envelope import raw, read
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
    ToolResult,
)
from core.signatures import is_marked

DEFAULT_MAX_TOKENS: Final = 4096
_EFFORTS: Final = {"minimal": "low"}
_THOUGHTS: Final = ("thinking", "redacted_thinking")
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
    notes: list[str] = []
    system, turns = _turns(request.messages, notes)
    body = _Body(request, facts, turns)
    body.fields["model"] = raw(request.model)
    body.fields["messages"] = raw(turns)
    if not turns:
        raise BadRequestError("No message says anything to this model.", param="messages")
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
    if body.facts.reasoning is False or (thinking.enabled and not adapts and not _may(body.turns)):
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
    budget = budget_of(thinking, most)
    if budget >= most:
        limit = body.facts.max_output_tokens or 0
        raised = int(budget * 1.5)
        body.fields["max_tokens"] = raw(min(raised, limit) if limit > budget else raised)
    body.fields["thinking"] = raw({"type": "enabled", "budget_tokens": budget})


def _may(turns: Sequence[dict[str, Any]]) -> bool:
    """Whether thinking by budget is taken: an answer that has begun must have begun with a thought.

    So not in a prefill, nor in a tool loop whose client sent no thinking back.
    """
    last = next((turn for turn in reversed(turns) if turn["role"] == "assistant"), None)
    if last is None:
        return True
    kinds = [block["type"] for block in last["content"]]
    return last is not turns[-1] and ("tool_use" not in kinds or kinds[0] in _THOUGHTS)


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


def _stop(body: _Body) -> None:
    """A stop sequence of white space is a 400."""
    if (given := body.fields.pop("stop_sequences", None)) is None:
        return
    stops: list[str] = read({"stop": given}, "stop", list[str], [])
    kept = [stop for stop in stops if stop.strip()]
    if kept:
        body.fields["stop_sequences"] = raw(kept)
    if len(kept) < len(stops):
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
    held = body.facts.native_schema
    body.fields["tools"] = raw([_tool(tool, held=held) for tool in request.tools])
    if not held and any(tool.strict for tool in request.tools):
        body.dropped.append("tools.strict")
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


def _tool(tool: Tool, *, held: bool) -> dict[str, Any]:
    """`held`: the model can be held to a schema; to others `strict` is an unknown field."""
    fields = {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.schema or _NO_SCHEMA,
        "strict": True if tool.strict and held else None,
        "cache_control": tool.cache_control,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _structure(body: _Body) -> None:
    schema = body.request.schema
    if schema is None:
        return
    if is_native(body.request, schema, body.facts, thinks=body.thinks):
        body.config["format"] = {"type": "json_schema", "schema": schema.schema}
        return
    body.tool_as_text = STAND_IN
    body.fields["tools"] = raw([_tool(stand_in(schema), held=False)])
    if not body.thinks:
        body.fields["tool_choice"] = raw({"type": "tool", "name": STAND_IN})


def _turns(
    messages: Iterable[Message], notes: list[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All system and developer messages in their order, and the turns of the others."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        blocks = _blocks(message.parts, notes)
        if message.role in ("system", "developer"):
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
                "id": _id(part.id),
                "name": part.name,
                "input": _arguments(part),
                "cache_control": part.cache_control,
            }
        case ToolResult():
            return {
                "type": "tool_result",
                "tool_use_id": _id(part.call_id),
                "content": _result_content(part, notes),
                "is_error": part.is_error or None,
                "cache_control": part.cache_control,
            }


def _id(call_id: str) -> str:
    """The same for a call and its result. Some providers' ids hold what Anthropic refuses."""
    plain = _NOT_IN_IDS.sub("_", call_id)
    # The sum keeps two ids apart that differ in such characters only.
    return plain if plain == call_id else f"{plain}_{crc32(call_id.encode()):08x}"


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
    # The reference proxy sends no title, and a PDF's name says nothing to the model.
    return {"type": part.kind, "source": source, "cache_control": part.cache_control}
