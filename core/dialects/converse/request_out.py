"""A neutral request, written as a Converse request.

Converse has no way to forbid tools, and refuses a conversation in which tools
were used unless they are described. So `none` leaves the tools out where none
was used yet; else they stay, and the choice is named as dropped.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from core.dialects import parameters
from core.dialects.converse.families import family_of
from core.dialects.converse.turns import Turns, cache_point, tools_used
from core.dialects.losses import losses
from core.dialects.repairs import check_said, may_think, spoken_stops
from core.dialects.structured import STAND_IN, held_tools, native, stand_in
from core.dialects.thinking import effort, room
from core.envelope import raw
from core.errors import BadRequestError
from core.neutral import Facts, Rendered, Request, Schema, Thinking, Tool, ToolChoice

DEFAULT_MAX_TOKENS: Final = 4096

_NO_SCHEMA: Final = Raw(b'{"type":"object","properties":{}}')
_TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NOVA_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium"}
"""Every other one is `high`."""


class _Body:
    """The request being written."""

    def __init__(self, request: Request, facts: Facts) -> None:
        self.request = request
        self.facts = facts
        self.family = family_of(request.model)
        self.inference, self.dropped = parameters.render(request.parameters, "converse")
        self.additional: dict[str, Any] = {}
        self.fields: dict[str, Any] = {}
        self.turns: list[dict[str, Any]] = []
        self.output: dict[str, Any] = {}
        self.thinks = False
        self.tool_as_text: str | None = None

    def drop(self, *names: str) -> None:
        """Neutral names of what is in `inference`."""
        for name in names:
            if self.inference.pop(parameters.PARAMETERS[name]["converse"], None) is not None:
                self.dropped.append(name)


def render_request(request: Request, facts: Facts) -> Rendered:
    body = _Body(request, facts)
    turns = Turns(body.family)
    turns.add(request.messages)
    body.fields["messages"] = body.turns = turns.rendered()
    check_said(body.turns)
    if turns.system:
        body.fields["system"] = turns.system
    if request.max_tokens is not None:
        body.inference["maxTokens"] = raw(request.max_tokens)
    _think(body)
    _stop(body)
    _sample(body)
    _use_tools(body)
    _structure(body)
    body.fields["inferenceConfig"] = body.inference
    if body.additional:
        body.fields["additionalModelRequestFields"] = body.additional
    if body.output:
        body.fields["outputConfig"] = body.output
    if body.family.names_stop_sequence and "stop" in request.parameters:
        body.fields["additionalModelResponseFieldPaths"] = ["/stop_sequence"]
    notes = [*body.dropped, *turns.notes, *losses(request, "messages.image.detail")]
    return Rendered(
        body=msgspec.json.encode(body.fields),
        dropped=(*request.dropped, *dict.fromkeys(notes)),
        tool_as_text=body.tool_as_text,
    )


def _think(body: _Body) -> None:
    thinking, facts = body.request.thinking, body.facts
    if thinking is None:
        return
    if not thinking.enabled:
        if body.family.thinking == "effort" and facts.reasoning is not False:
            body.additional["reasoning_effort"] = "low"  # The least that there is.
            body.dropped.append("thinking")
        # To be said only where a model thinks by itself; elsewhere it may not even be known.
        if body.family.thinking == "claude" and facts.thinking == "adaptive":
            body.additional["thinking"] = {"type": "disabled"}
        return
    if facts.reasoning is False or body.family.thinking is None or not _may_think(body):
        body.dropped.append("thinking")
        return
    body.thinks = True
    match body.family.thinking:
        case "claude":
            _think_as_claude(body, thinking)
        case "nova":
            word = effort(thinking, _most(body)) or "medium"
            nova = _NOVA_EFFORTS.get(word, "high")
            body.additional["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": nova}
        case "effort":
            body.additional["reasoning_effort"] = effort(thinking, _most(body)) or "medium"


def _may_think(body: _Body) -> bool:
    if body.family.thinking != "claude" or body.facts.thinking == "adaptive":
        return True
    return may_think([(t["role"], [next(iter(b)) for b in t["content"]]) for t in body.turns])


def _most(body: _Body) -> int:
    return body.request.max_tokens or body.facts.max_output_tokens or DEFAULT_MAX_TOKENS


def _think_as_claude(body: _Body, thinking: Thinking) -> None:
    most = _most(body)
    if body.facts.thinking == "adaptive":
        body.additional["thinking"] = {"type": "adaptive"}
        if (word := effort(thinking, most)) is not None:
            word = "low" if word == "minimal" else word
            body.additional["output_config"] = {"effort": word}
        return
    tokens, most, lost = room(thinking, most, body.facts.max_output_tokens)
    body.inference["maxTokens"] = raw(most)
    body.dropped += lost
    body.additional["thinking"] = {"type": "enabled", "budget_tokens": tokens}


def _stop(body: _Body) -> None:
    if body.family.thinking != "claude":
        return
    kept, lost = spoken_stops(body.inference.pop("stopSequences", None))
    if kept is not None:
        body.inference["stopSequences"] = kept
    if lost:
        body.dropped.append("stop")


def _sample(body: _Body) -> None:
    if not body.facts.sampling:
        body.drop("temperature", "top_p", "top_k")
    if body.thinks and body.family.thinking == "claude":
        # Thinking goes with temperature 1, which is its default, and with nothing else.
        if bytes(body.inference.get("temperature", b"")) in (b"1", b"1.0"):
            del body.inference["temperature"]
        body.drop("temperature", "top_p", "top_k")
    reasoning = body.additional.get("reasoningConfig", {})
    if reasoning.get("maxReasoningEffort") == "high":
        # Nova wants to be free to think as long as it likes.
        body.drop("temperature", "top_p", "top_k")
        if body.inference.pop("maxTokens", None) is not None:
            body.dropped.append("max_tokens")
    if (given := body.inference.get("temperature")) is not None and _above_one(given):
        body.inference["temperature"] = Raw(b"1")
        body.dropped.append("temperature>1")
    if body.facts.temperature_or_top_p and "temperature" in body.inference:
        body.drop("top_p")
    _place_top_k(body)


def _above_one(value: Raw) -> bool:
    try:
        return msgspec.json.decode(value, type=float) > 1
    except msgspec.ValidationError as error:
        raise BadRequestError("`temperature` is a number.", param="temperature") from error


def _place_top_k(body: _Body) -> None:
    if not body.family.top_k:
        body.drop("top_k")
    elif (top_k := body.inference.pop("top_k", None)) is not None:
        *outer, name = body.family.top_k
        place = body.additional
        for key in outer:
            place = place.setdefault(key, {})
        place[name] = top_k


def _use_tools(body: _Body) -> None:
    request = body.request
    used = tools_used(request.messages)
    tools: Sequence[Tool] = request.tools
    forbidden = request.tool_choice is not None and request.tool_choice.mode == "none"
    if forbidden and not used:
        return
    if request.parallel_tool_calls is False and tools:
        body.dropped.append("parallel_tool_calls")
    if used and not tools:
        tools = [Tool(name=name, description="No longer at hand.") for name in used]
    if tools:
        body.fields["toolConfig"] = _tool_config(body, tools, request.tool_choice)


def _tool_config(
    body: _Body, tools: Sequence[Tool], choice: ToolChoice | None
) -> Mapping[str, Any]:
    specs: list[dict[str, Any]] = []
    name = "schema" if body.tool_as_text else "tools"
    held, lost = held_tools(tools, name, able=body.facts.native_schema)
    body.dropped += lost
    for tool in held:
        specs.append({"toolSpec": _tool_spec(tool)})
        allowed = "tools" in body.family.caches
        specs += cache_point(tool.cache_control, body.dropped, allowed=allowed)
    config: dict[str, Any] = {"tools": specs}
    if choice is not None and (wire := _tool_choice(body, choice, tools)):
        config["toolChoice"] = wire
    return config


def _tool_spec(tool: Tool) -> dict[str, Any]:
    if not _TOOL_NAME.fullmatch(tool.name):
        raise BadRequestError(
            f"Bedrock takes no tool named `{tool.name[:100]}`: "
            "a name is up to 64 letters, digits, underscores and hyphens.",
            param="tools",
        )
    spec: dict[str, Any] = {"name": tool.name}
    if tool.description:
        spec["description"] = tool.description
    spec["inputSchema"] = {"json": tool.schema or _NO_SCHEMA}
    if tool.strict:
        spec["strict"] = True
    return spec


def _tool_choice(body: _Body, choice: ToolChoice, tools: Sequence[Tool]) -> dict[str, Any]:
    """Empty for `auto`, which is what a model does anyway (and some may not be told)."""
    forces = body.family.forces
    if choice.mode == "auto":
        return {}
    if choice.mode == "none" or (body.thinks and body.family.thinking == "claude"):
        body.dropped.append("tool_choice")  # A thinking model may not be forced to a tool.
        return {}
    if choice.mode == "named" and "tool" in forces:
        return {"tool": {"name": choice.name}}
    if "any" in forces and (choice.mode == "required" or len(tools) == 1):
        return {"any": {}}
    body.dropped.append("tool_choice")
    return {}


def _structure(body: _Body) -> None:
    schema = body.request.schema
    if schema is None:
        return
    found = native(body.request, schema, body.facts, thinks=body.thinks)
    if found is not None:
        body.output["textFormat"] = _text_format(schema, found.schema)
        body.dropped += [f"schema.{keyword}" for keyword in found.moved]
        return
    body.dropped += losses(body.request, "schema.description")
    tool = stand_in(schema, strict=bool(schema.strict and schema.schema is not None))
    body.tool_as_text = STAND_IN
    used = [Tool(name=name, description="No longer at hand.") for name in _others(body)]
    forced = None if body.thinks else ToolChoice("named", STAND_IN)
    body.fields["toolConfig"] = _tool_config(body, [tool, *used], forced)


def _others(body: _Body) -> list[str]:
    return [name for name in tools_used(body.request.messages) if name != STAND_IN]


def _text_format(schema: Schema, shape: Raw) -> dict[str, Any]:
    given = {
        "schema": bytes(shape).decode(),
        "name": schema.name,
        "description": schema.description,
    }
    json_schema = {name: value for name, value in given.items() if value is not None}
    return {"type": "json_schema", "structure": {"jsonSchema": json_schema}}
