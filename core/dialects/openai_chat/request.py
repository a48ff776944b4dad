"""A chat completion request, read into the neutral form."""

from typing import Any, Final, Literal

import msgspec
from msgspec import Raw, Struct

from core import neutral
from core.dialects import parameters
from core.dialects.openai_chat.messages import ChatMessage, parse_messages
from core.envelope import Envelope, is_filled_list, present, read
from core.errors import BadRequestError


class FunctionSchema(Struct):
    name: str
    description: str | None = None
    parameters: Raw = Raw()
    strict: bool | None = None


class ToolSchema(Struct):
    type: str = "function"
    function: FunctionSchema | None = None
    cache_control: Raw = Raw()


class JsonSchema(Struct):
    name: str = "output"
    description: str | None = None
    schema: Raw = Raw()
    strict: bool | None = None


class ResponseFormat(Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Struct):
    include_usage: bool | None = None


MAPPED: Final = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "functions",
        "function_call",
        "max_tokens",
        "max_completion_tokens",
        "reasoning_effort",
        "reasoning_budget",
        "reasoning_enabled",
        "response_format",
        "stop",
        "use_cache",
        "modalities",
    }
)


def check_request(envelope: Envelope) -> None:
    """400 for what no provider could answer, before anything is sent."""
    if not is_filled_list(envelope, "messages"):
        raise BadRequestError("`messages` is missing, empty or no list.", param="messages")


def view_of(envelope: Envelope) -> neutral.View:
    options = read(envelope, "stream_options", StreamOptions, StreamOptions())
    return neutral.View(
        stream=read(envelope, "stream", bool, False),
        usage_in_stream=bool(options.include_usage),
        legacy_functions="functions" in envelope and "tools" not in envelope,
        model=read(envelope, "model", str, ""),
    )


def parse_request(envelope: Envelope) -> neutral.Request:
    messages: list[ChatMessage] = read(envelope, "messages", list[ChatMessage], [])
    values, dropped = parameters.parse(envelope, "openai_chat", MAPPED)
    stop: str | list[str] = read(envelope, "stop", str | list[str], [])
    if stop:
        values["stop"] = Raw(msgspec.json.encode([stop] if isinstance(stop, str) else stop))
    modalities: list[str] = read(envelope, "modalities", list[str], [])
    if "audio" in modalities:
        why = parameters.REFUSED["openai_chat"]["audio"]
        raise BadRequestError(f"`modalities` cannot be translated. {why}", param="modalities")
    tools, choice = _tools(envelope)
    return neutral.Request(
        model=read(envelope, "model", str, ""),
        messages=parse_messages(messages),
        stream=read(envelope, "stream", bool, False),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=_parallel(envelope),
        max_tokens=_max_tokens(envelope),
        thinking=_thinking(envelope),
        schema=_schema(envelope),
        parameters=values,
        dropped=(*dropped, *_left_out(messages), *_unmade(modalities)),
        names=_names(envelope),
    )


_USUAL: Final = {
    "thinking": "reasoning_effort",
    "max_tokens": "max_completion_tokens",
    "tools": "tools",
    "tool_choice": "tool_choice",
}
_RARER: Final = {
    "reasoning_budget": "thinking",
    "reasoning_enabled": "thinking",
    "max_tokens": "max_tokens",
    "functions": "tools",
    "function_call": "tool_choice",
}


def _names(envelope: Envelope) -> dict[str, str]:
    """Where this client used the rarer of two words."""
    names: dict[str, str] = {}
    for word, name in _RARER.items():
        if word not in envelope or name in names or not present(envelope[word]):
            continue
        if not present(envelope.get(_USUAL[name], Raw())):
            names[name] = word
    return names


def _unmade(modalities: list[str]) -> list[str]:
    return [f"modalities.{name[:64]}" for name in modalities if name != "text"]


def _left_out(messages: list[ChatMessage]) -> list[str]:
    """What of single messages has no neutral meaning."""
    return ["messages.audio"] if any(present(message.audio) for message in messages) else []


def _max_tokens(envelope: Envelope) -> int | None:
    names = ("max_completion_tokens", "max_tokens")
    given: list[int | None] = [read(envelope, name, int, None) for name in names]
    return max((limit for limit in given if limit is not None), default=None)


def _parallel(envelope: Envelope) -> bool | None:
    # A message of the old shape has room for one `function_call`.
    if "functions" in envelope and "tools" not in envelope:
        return False
    return read(envelope, "parallel_tool_calls", bool, None)


def _thinking(envelope: Envelope) -> neutral.Thinking | None:
    effort = read(envelope, "reasoning_effort", str, None)
    budget = read(envelope, "reasoning_budget", int, None)
    enabled = read(envelope, "reasoning_enabled", bool, None)
    if effort is None and budget is None and enabled is None:
        return None
    on = enabled is not False and budget != 0 and effort != "none"
    return neutral.Thinking(enabled=on, effort=effort, budget=budget)


def _schema(envelope: Envelope) -> neutral.Schema | None:
    wanted = read(envelope, "response_format", ResponseFormat, None)
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return neutral.Schema()
    if wanted.json_schema is None:
        raise BadRequestError(
            "`response_format.json_schema` is missing.", param="response_format.json_schema"
        )
    given = wanted.json_schema
    return neutral.Schema(
        name=given.name,
        description=given.description,
        schema=present(given.schema),
        strict=given.strict,
    )


def _tools(envelope: Envelope) -> tuple[tuple[neutral.Tool, ...], neutral.ToolChoice | None]:
    given: list[ToolSchema] = read(envelope, "tools", list[ToolSchema], [])
    choice = envelope.get("tool_choice")
    if not given and "functions" in envelope:
        functions: list[FunctionSchema] = read(envelope, "functions", list[FunctionSchema], [])
        given = [ToolSchema(function=function) for function in functions]
        choice = envelope.get("function_call")
    tools = []
    for index, tool in enumerate(given):
        if tool.function is None:
            raise BadRequestError(
                f"A tool of type `{tool.type}` runs at its provider and cannot be translated: "
                "only function tools can.",
                param=f"tools[{index}].type",
            )
        tools.append(
            neutral.Tool(
                name=tool.function.name,
                description=tool.function.description,
                schema=present(tool.function.parameters),
                strict=tool.function.strict,
                cache_control=present(tool.cache_control),
            )
        )
    return _chosen(tuple(tools), choice)


def _chosen(
    tools: tuple[neutral.Tool, ...], raw: Raw | None
) -> tuple[tuple[neutral.Tool, ...], neutral.ToolChoice | None]:
    if raw is None or bytes(raw) == b"null":
        return tools, None
    choice: Any = read({"tool_choice": raw}, "tool_choice", str | dict[str, Any], "auto")
    match choice:
        case "auto" | "none" | "required":
            return tools, neutral.ToolChoice(choice)
        case {"type": "function", "function": {"name": str(name)}} | {"name": str(name)}:
            return tools, neutral.ToolChoice("named", name)
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(allowed)}}:
            names = [_allowed_name(tool) for tool in allowed]
            kept = tuple(tool for tool in tools if tool.name in names)
            return kept, neutral.ToolChoice("required" if mode == "required" else "auto")
        case _:
            raise BadRequestError(
                "`tool_choice` must be auto, none, required or name a function.",
                param="tool_choice",
            )


def _allowed_name(tool: Any) -> str:
    match tool:
        case {"function": {"name": str(name)}}:
            return name
        case _:
            raise BadRequestError("`allowed_tools` must name functions.", param="tool_choice")
