"""A Converse request, read into the neutral form.

What only Bedrock can do (guardrails, stored prompts, files in S3, its own
tools) is refused: dropping it would change what the answer is.
"""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from core import neutral
from core.dialects import parameters
from core.dialects.converse import blocks
from core.dialects.converse.blocks import MediaBlock
from core.envelope import Envelope, present, raw, read
from core.errors import BadRequestError
from core.neutral import Media, Message, Part, Text, ToolCall, ToolResult


class WireMessage(Struct):
    role: Literal["user", "assistant", "system"]
    content: list[dict[str, Raw]]


class InputSchema(Struct):
    json: Raw = Raw()


class ToolSpec(Struct, rename="camel"):
    name: str
    input_schema: InputSchema | None = None
    description: str | None = None
    strict: bool | None = None


class SystemTool(Struct):
    name: str = ""


class WireTool(Struct, rename="camel"):
    tool_spec: ToolSpec | None = None
    cache_point: blocks.CachePoint | None = None
    system_tool: SystemTool | None = None


class ToolConfig(Struct, rename="camel"):
    tools: list[WireTool] = []
    tool_choice: dict[str, Raw] = {}


class Named(Struct):
    name: str


class InferenceConfig(Struct, rename="camel"):
    max_tokens: int | None = None
    top_k: int | None = None


class WireThinking(Struct, rename={"max_reasoning_effort": "maxReasoningEffort"}):
    """Claude's `thinking` (once named reasoning_config) and Nova's `reasoningConfig`."""

    type: str = "enabled"
    budget_tokens: int | None = None
    max_reasoning_effort: str | None = None


class Effort(Struct):
    effort: str | None = None


class JsonSchema(Struct):
    schema: str
    name: str = "output"
    description: str | None = None


class Structure(Struct, rename="camel"):
    json_schema: JsonSchema


class TextFormat(Struct):
    structure: Structure


class OutputConfig(Struct, rename="camel"):
    text_format: TextFormat | None = None
    effort: str | None = None


MAPPED: Final = frozenset(
    {
        "model",
        "stream",
        "messages",
        "system",
        "inferenceConfig",
        "maxTokens",
        "toolConfig",
        "additionalModelRequestFields",
        "outputConfig",
    }
)
_THINKING: Final = ("thinking", "reasoning_config", "reasoningConfig")
_MODEL_FIELDS: Final = frozenset(
    {*_THINKING, "top_k", "inferenceConfig", "output_config", "reasoning_effort"}
)
MediaKind: TypeAlias = Literal["image", "document", "video", "audio"]
_TEXTS: Final = frozenset({"txt", "md", "csv", "html"})
"""Documents that are text: the neutral form holds them decoded."""


def check_request(envelope: Envelope) -> None:
    """400 for what no provider could answer, before anything is sent."""
    stored = ":prompt/" in read(envelope, "model", str, "")  # A stored prompt brings its own.
    if not (bytes(envelope.get("messages", b"")).startswith(b"[") or stored):
        raise BadRequestError("`messages` is missing or no list.", param="messages")


def parse_request(envelope: Envelope) -> neutral.Request:
    inference: Envelope = read(envelope, "inferenceConfig", dict[str, Raw], {})
    fields: Envelope = read(envelope, "additionalModelRequestFields", dict[str, Raw], {})
    values, dropped = parameters.parse({**envelope, **inference}, "converse", MAPPED)
    if (top_k := _top_k(fields)) is not None:
        values["top_k"] = top_k
    others = (name for name in fields if name not in _MODEL_FIELDS)
    notes = [f"additionalModelRequestFields.{name}" for name in others]
    messages = (*_system(envelope, notes), *_messages(envelope, notes))
    output = read(envelope, "outputConfig", OutputConfig, OutputConfig())
    tools, choice = _tools(envelope)
    return neutral.Request(
        model=read(envelope, "model", str, ""),
        messages=messages,
        stream=read(envelope, "stream", bool, False),
        tools=tools,
        tool_choice=choice,
        max_tokens=read(inference, "maxTokens", int | None, None),
        thinking=_thinking(fields, output.effort),
        schema=_schema(output),
        parameters=values,
        dropped=(*dropped, *dict.fromkeys(notes)),
        names=_names(fields, output),
    )


def _names(fields: Envelope, output: OutputConfig) -> dict[str, str]:
    """Where this client said how much to think: there are as many words as makers of models."""
    words = (*_THINKING, "reasoning_effort", "output_config")
    used = next((name for name in words if name in fields), None)
    if used is not None:
        return {"thinking": f"additionalModelRequestFields.{used}"}
    return {"thinking": "outputConfig.effort"} if output.effort is not None else {}


def _top_k(fields: Envelope) -> Raw | None:
    nova = read(fields, "inferenceConfig", InferenceConfig, InferenceConfig())
    return fields.get("top_k") or (None if nova.top_k is None else raw(nova.top_k))


def _thinking(fields: Envelope, effort: str | None) -> neutral.Thinking | None:
    effort = (
        read(fields, "reasoning_effort", str | None, None)
        or read(fields, "output_config", Effort, Effort()).effort
        or effort
    )
    for name in _THINKING:
        wanted = read(fields, name, WireThinking | None, None)
        if wanted is not None:
            return neutral.Thinking(
                enabled=wanted.type != "disabled",
                effort=wanted.max_reasoning_effort or effort,
                budget=wanted.budget_tokens,
                shown=wanted.type != "disabled",
            )
    return None if effort is None else neutral.Thinking(effort=effort)


def _schema(output: OutputConfig) -> neutral.Schema | None:
    if output.text_format is None:
        return None
    given = output.text_format.structure.json_schema
    try:
        msgspec.json.decode(given.schema, type=dict[str, Raw])
    except msgspec.DecodeError as error:
        at = "outputConfig.textFormat.structure.jsonSchema.schema"
        raise BadRequestError("The schema is no JSON object in a string.", param=at) from error
    return neutral.Schema(
        name=given.name,
        description=given.description,
        schema=Raw(given.schema.encode()),
        strict=True,
    )


def _tools(envelope: Envelope) -> tuple[tuple[neutral.Tool, ...], neutral.ToolChoice | None]:
    config = read(envelope, "toolConfig", ToolConfig, ToolConfig())
    tools: list[neutral.Tool] = []
    for index, tool in enumerate(config.tools):
        if tool.cache_point is not None and tools:
            tools[-1] = msgspec.structs.replace(
                tools[-1], cache_control=_cache_control(tool.cache_point)
            )
        elif tool.tool_spec is not None:
            schema = tool.tool_spec.input_schema or InputSchema()
            tools.append(
                neutral.Tool(
                    name=tool.tool_spec.name,
                    description=tool.tool_spec.description,
                    schema=present(schema.json),
                    strict=tool.tool_spec.strict,
                )
            )
        elif tool.system_tool is not None:
            raise BadRequestError(
                f"The tool `{tool.system_tool.name}` runs at Bedrock and cannot be translated: "
                "only tools with a toolSpec can.",
                param=f"toolConfig.tools[{index}].systemTool",
            )
    return tuple(tools), _tool_choice(config.tool_choice)


def _tool_choice(choice: Envelope) -> neutral.ToolChoice | None:
    if "any" in choice:
        return neutral.ToolChoice("required")
    if "tool" in choice:
        return neutral.ToolChoice("named", read(choice, "tool", Named, Named("")).name)
    return neutral.ToolChoice("auto") if "auto" in choice else None


def _cache_control(point: blocks.CachePoint) -> Raw:
    fields = {"type": "ephemeral"} if point.ttl is None else {"type": "ephemeral", "ttl": point.ttl}
    return raw(fields)


def _system(envelope: Envelope, notes: list[str]) -> list[Message]:
    given: list[Envelope] = read(envelope, "system", list[dict[str, Raw]], [])
    parts = _parts(given, "system", notes)
    return [Message("system", (part,)) for part in parts]


def _messages(envelope: Envelope, notes: list[str]) -> list[Message]:
    given: list[WireMessage] = read(envelope, "messages", list[WireMessage], [])
    return [
        Message(message.role, tuple(_parts(message.content, f"messages[{index}].content", notes)))
        for index, message in enumerate(given)
    ]


def _parts(given: Sequence[Envelope], at: str, notes: list[str]) -> list[Part]:
    parts: list[Part] = []
    for place, block in enumerate(given):
        for kind, value in block.items():
            here = f"{at}[{place}].{kind}"
            if kind == "cachePoint":
                _mark(parts, _cache_control(_read(value, blocks.CachePoint, here)), notes)
            else:
                parts += _part(kind, value, here, notes)
    return parts


def _mark(parts: list[Part], cache_control: Raw, notes: list[str]) -> None:
    """A cache point closes what stands before it."""
    if parts and isinstance(parts[-1], Text | Media | ToolCall | ToolResult):
        parts[-1] = msgspec.structs.replace(parts[-1], cache_control=cache_control)
    else:
        notes.append("cachePoint")


def _read(value: Raw, kind: Any, at: str) -> Any:
    try:
        return msgspec.json.decode(value, type=kind)
    except msgspec.DecodeError as error:
        raise BadRequestError(f"`{at}` is not usable: {error}", param=at) from error


def _part(kind: str, value: Raw, at: str, notes: list[str]) -> list[Part]:
    match kind:
        case "text":
            return [Text(_read(value, str, at))]
        case "image" | "document" | "video" | "audio":
            return [_media(kind, _read(value, MediaBlock, at), at, notes)]
        case "toolUse":
            return _tool_use(_read(value, blocks.ToolUse, at), notes)
        case "toolResult":
            return _tool_result(_read(value, blocks.ToolResult, at), at, notes)
        case "reasoningContent":
            return [_read(value, blocks.ReasoningContent, at).neutral()]
        case "citationsContent":
            return [Text(_read(value, blocks.Citations, at).text)]
        case "guardContent":
            # Marked for a guardrail; without one it is what it holds.
            guarded = _read(value, blocks.GuardContent, at)
            if guarded.image is not None:
                return [_media("image", guarded.image, at, notes)]
            return [Text(guarded.text.text)] if guarded.text else []
        case "searchResult":
            return [_search_result(_read(value, blocks.SearchResult, at))]
        case _:
            raise BadRequestError(f"A block of `{kind}` cannot be translated.", param=at)


def _search_result(found: blocks.SearchResult) -> Text:
    text = "\n".join(piece.text for piece in found.content)
    return Text(f"{found.title}\n{found.source}\n{text}".strip())


def _tool_use(call: blocks.ToolUse, notes: list[str]) -> list[Part]:
    if call.by_bedrock:
        notes.append(f"messages.{call.type}")
        return []
    arguments = bytes(present(call.input) or b"{}").decode()
    return [ToolCall(id=call.tool_use_id, name=call.name, arguments=arguments)]


def _tool_result(result: blocks.ToolResult, at: str, notes: list[str]) -> list[Part]:
    if result.type is not None:
        notes.append(f"messages.{result.type}")
        return []
    parts: list[Text | Media] = []
    for place, piece in enumerate(result.content):
        parts += _result_piece(piece, f"{at}.content[{place}]", notes)
    return [
        ToolResult(
            call_id=result.tool_use_id, parts=tuple(parts), is_error=result.status == "error"
        )
    ]


def _result_piece(piece: blocks.ResultPiece, at: str, notes: list[str]) -> list[Text | Media]:
    if piece.text is not None:
        return [Text(piece.text)]
    if (value := present(piece.json)) is not None:
        return [Text(bytes(value).decode())]
    if piece.search_result is not None:
        return [_search_result(piece.search_result)]
    media: dict[MediaKind, MediaBlock | None] = {
        "image": piece.image,
        "document": piece.document,
        "video": piece.video,
    }
    return [_media(kind, block, at, notes) for kind, block in media.items() if block is not None]


def _media(block: MediaKind, given: MediaBlock, at: str, notes: list[str]) -> Media:
    if given.context is not None or present(given.citations) is not None:
        notes.append("messages.document.citations")
    source = given.source
    media_type = blocks.media_type(block, given.format)
    if source.s3_location is not None:
        raise BadRequestError("S3 is read by Bedrock only: send the bytes.", param=f"{at}.source")
    if source.content is not None:
        text = "\n".join(piece.text for piece in source.content)
        return Media(kind=block, media_type="text/plain", data=text, name=given.name)
    if source.text is not None:
        return Media(kind=block, media_type="text/plain", data=source.text, name=given.name)
    if source.bytes is None:
        raise BadRequestError("`source` is not usable.", param=f"{at}.source")
    data = source.bytes
    if block == "document" and given.format in _TEXTS:
        media_type, data = "text/plain", _decoded(data, f"{at}.source.bytes")
    return Media(kind=block, media_type=media_type, data=data, name=given.name)


def _decoded(data: str, at: str) -> str:
    try:
        return b64decode(data, validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise BadRequestError("A text document must be base64 of UTF-8.", param=at) from error
