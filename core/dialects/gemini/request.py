"""A generateContent request, read into the neutral form. https://ai.google.dev/api/generate-content"""

from typing import Any, Final

from msgspec import Raw

from core import neutral
from core.dialects import parameters
from core.dialects.gemini.contents import Reader
from core.dialects.gemini.fields import camel, listed, opened
from core.envelope import Envelope, present, read
from core.errors import BadRequestError
from core.schemas import from_gemini

MAPPED: Final = frozenset(
    {
        "model",
        "stream",
        "contents",
        "systemInstruction",
        "tools",
        "toolConfig",
        "generationConfig",
    }
)
_CONFIG_MAPPED: Final = frozenset(
    {
        "maxOutputTokens",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "responseModalities",
        "thinkingConfig",
    }
)


def check_request(envelope: Envelope) -> None:
    """400 for what no provider could answer, before anything is sent."""
    if not bytes(envelope.get("contents", b"")).startswith((b"[", b"{")):
        raise BadRequestError("`contents` is missing or no list.", param="contents")


def parse_request(envelope: Envelope) -> neutral.Request:
    fields = camel(envelope)
    _, dropped = parameters.parse(fields, "gemini", MAPPED)
    config = opened(fields.get("generationConfig", Raw(b"{}")), "generationConfig")
    values, dropped_config = parameters.parse(config, "gemini", _CONFIG_MAPPED)
    _only_text(config)
    reader = Reader()
    messages: list[neutral.Message] = []
    if (instruction := fields.get("systemInstruction")) is not None:
        messages += reader.instruction(instruction)
    messages += reader.messages(fields.get("contents"))
    tools = _tools(fields, reader.notes)
    tools, choice = _chosen(tools, fields, reader.notes)
    return neutral.Request(
        model=read(fields, "model", str, ""),
        messages=tuple(messages),
        stream=read(fields, "stream", bool, False),
        tools=tools,
        tool_choice=choice,
        max_tokens=read(config, "maxOutputTokens", int | None, None),
        thinking=_thinking(config),
        schema=_schema(config),
        parameters=values,
        dropped=(*dropped, *dropped_config, *dict.fromkeys(reader.notes)),
        names={"schema": "responseJsonSchema"} if "responseJsonSchema" in config else {},
    )


def _only_text(config: Envelope) -> None:
    wanted: list[str] = read(config, "responseModalities", list[str], [])
    if any(modality.upper() != "TEXT" for modality in wanted):
        why = parameters.REFUSED["gemini"]["responseModalities"]
        raise BadRequestError(
            f"`responseModalities` cannot be translated. {why}",
            param="generationConfig.responseModalities",
        )


def _thinking(config: Envelope) -> neutral.Thinking | None:
    if "thinkingConfig" not in config:
        return None
    wanted = opened(config["thinkingConfig"], "generationConfig.thinkingConfig")
    budget = read(wanted, "thinkingBudget", int | None, None)
    level = read(wanted, "thinkingLevel", str, "").lower()
    effort = None if level.endswith("unspecified") else level or None
    shown = read(wanted, "includeThoughts", bool, False)
    if budget is None and effort is None and not shown:
        return None
    # -1 leaves it to the model.
    most = budget if budget is not None and budget > 0 else None
    return neutral.Thinking(enabled=budget != 0, effort=effort, budget=most, shown=shown)


def _schema(config: Envelope) -> neutral.Schema | None:
    kind = read(config, "responseMimeType", str, "")
    if kind not in ("", "text/plain", "application/json"):
        raise BadRequestError(
            f"Only a model that Google serves answers with `{kind[:100]}`.",
            param="generationConfig.responseMimeType",
        )
    if (schema := config.get("responseJsonSchema")) is not None:
        return neutral.Schema(schema=schema)
    if (schema := config.get("responseSchema")) is not None:
        return neutral.Schema(schema=from_gemini(schema))
    return neutral.Schema() if kind == "application/json" else None


def _tools(fields: Envelope, notes: list[str]) -> tuple[neutral.Tool, ...]:
    tools: list[neutral.Tool] = []
    for index, value in enumerate(listed(fields.get("tools"), "tools")):
        tool = opened(value, f"tools[{index}]")
        for name in tool:
            if name != "functionDeclarations":
                raise BadRequestError(
                    f"The tool `{name[:100]}` is run by Google and cannot be translated: "
                    "use a model that Google serves, or functionDeclarations.",
                    param=f"tools[{index}].{name[:100]}",
                )
        at = f"tools[{index}].functionDeclarations"
        tools += [
            _declared(opened(declaration, f"{at}[{place}]"), f"{at}[{place}]", notes)
            for place, declaration in enumerate(listed(tool.get("functionDeclarations"), at))
        ]
    return tuple(tools)


def _declared(declaration: Envelope, at: str, notes: list[str]) -> neutral.Tool:
    name = read(declaration, "name", str, "")
    if not name:
        raise BadRequestError("A function declaration needs a `name`.", param=f"{at}.name")
    notes += [
        f"functionDeclarations.{field}"
        for field in ("response", "responseJsonSchema", "behavior")
        if field in declaration
    ]
    schema = present(declaration.get("parametersJsonSchema", Raw()))
    if schema is None and "parameters" in declaration:
        schema = from_gemini(declaration["parameters"])
    return neutral.Tool(
        name=name, description=read(declaration, "description", str | None, None), schema=schema
    )


def _chosen(
    tools: tuple[neutral.Tool, ...], fields: Envelope, notes: list[str]
) -> tuple[tuple[neutral.Tool, ...], neutral.ToolChoice | None]:
    config = opened(fields.get("toolConfig", Raw(b"{}")), "toolConfig")
    notes += [f"toolConfig.{name}" for name in config if name != "functionCallingConfig"]
    at = "toolConfig.functionCallingConfig"
    calling = opened(config.get("functionCallingConfig", Raw(b"{}")), at)
    if read(calling, "streamFunctionCallArguments", bool, False):
        notes.append(f"{at}.streamFunctionCallArguments")
    allowed: list[str] = read(calling, "allowedFunctionNames", list[str], [])
    kept = tuple(tool for tool in tools if tool.name in allowed) if allowed else tools
    mode: Any = read(calling, "mode", str, "").upper()
    match mode:
        case "" | "MODE_UNSPECIFIED":
            return tools, None
        case "NONE":
            return tools, neutral.ToolChoice("none")
        case "AUTO":
            return tools, neutral.ToolChoice("auto")
        case "VALIDATED":
            return kept, neutral.ToolChoice("auto")
        case "ANY" if len(allowed) == 1:
            return tools, neutral.ToolChoice("named", allowed[0])
        case "ANY":
            return kept, neutral.ToolChoice("required")
        case _:
            raise BadRequestError("`mode` is AUTO, ANY, NONE or VALIDATED.", param=f"{at}.mode")
