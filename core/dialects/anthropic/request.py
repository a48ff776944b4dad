"""A messages request, read into the neutral form."""

from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from core import neutral
from core.dialects import parameters
from core.envelope import Envelope, is_filled_list, present, raw, read
from core.errors import BadRequestError
from core.neutral import Media, Message, Part, Reasoning, Text, ToolCall, ToolResult


class Source(Struct):
    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    content: str | list[Raw] | None = None


class Block(Struct):
    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    source: Source | str | None = None
    title: str | None = None
    context: str | None = None
    citations: Raw = Raw()
    id: str | None = None
    name: str | None = None
    input: Raw = Raw()
    tool_use_id: str | None = None
    content: str | list[Raw] | None = None
    is_error: bool | None = None
    cache_control: Raw = Raw()


class WireMessage(Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[Raw]


class WireTool(Struct):
    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: Raw = Raw()
    strict: bool | None = None
    cache_control: Raw = Raw()
    input_examples: Raw = Raw()
    defer_loading: bool | None = None
    allowed_callers: list[str] | None = None
    eager_input_streaming: bool | None = None


class WireToolChoice(Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class WireThinking(Struct):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class OutputFormat(Struct):
    type: str = "json_schema"
    schema: Raw = Raw()


class OutputConfig(Struct):
    format: OutputFormat | None = None
    effort: str | None = None
    task_budget: Raw = Raw()


class Metadata(Struct):
    user_id: str | None = None


MAPPED: Final = frozenset(
    {
        "model",
        "messages",
        "system",
        "stream",
        "max_tokens",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "output_format",
        "metadata",
    }
)

KNOWN: Final = frozenset({"text", "image", "document", "tool_use", "tool_result", "search_result"})
"""Blocks that must have what they need; others may be Anthropic's own."""


def check_request(envelope: Envelope) -> None:
    """400 for what no provider could answer, before anything is sent."""
    if not is_filled_list(envelope, "messages"):
        raise BadRequestError("`messages` is missing, empty or no list.", param="messages")


def parse_request(envelope: Envelope) -> neutral.Request:
    values, dropped = parameters.parse(envelope, "anthropic", MAPPED)
    if user := read(envelope, "metadata", Metadata, Metadata()).user_id:
        values["user"] = raw(user)
    notes: list[str] = []
    messages = (*_system(envelope), *_messages(envelope, notes))
    config = read(envelope, "output_config", OutputConfig, OutputConfig())
    wanted = config.format or read(envelope, "output_format", OutputFormat | None, None)
    choice = read(envelope, "tool_choice", WireToolChoice | None, None)
    tools = _tools(envelope, notes)
    if present(config.task_budget):
        notes.append("output_config.task_budget")
    return neutral.Request(
        model=read(envelope, "model", str, ""),
        messages=messages,
        stream=read(envelope, "stream", bool, False),
        tools=tools,
        tool_choice=choice and _tool_choice(choice),
        parallel_tool_calls=False if choice and choice.disable_parallel_tool_use else None,
        max_tokens=read(envelope, "max_tokens", int | None, None),
        thinking=_thinking(envelope, config.effort),
        schema=neutral.Schema(schema=present(wanted.schema), strict=True) if wanted else None,
        parameters=values,
        dropped=(*dropped, *dict.fromkeys(notes)),
        names=_names(envelope, config),
    )


def _names(envelope: Envelope, config: OutputConfig) -> dict[str, str]:
    """Where this client used the rarer of two words."""
    names = {}
    if config.effort is not None and "thinking" not in envelope:
        names["thinking"] = "output_config.effort"
    if config.format is None and "output_format" in envelope:
        names["schema"] = "output_format"
    return names


def _thinking(envelope: Envelope, effort: str | None) -> neutral.Thinking | None:
    wanted = read(envelope, "thinking", WireThinking | None, None)
    if wanted is None:
        return None if effort is None else neutral.Thinking(effort=effort)
    return neutral.Thinking(
        enabled=wanted.type != "disabled",
        effort=effort,
        budget=wanted.budget_tokens,
        shown=wanted.type != "disabled" and wanted.display != "omitted",
    )


_ADVISORY: Final = ("tool_search_tool_",)
"""Anthropic's own tools without which the others work as well."""
_AT_CLIENT: Final = ("bash_", "text_editor_", "computer_", "memory_")
"""Anthropic's own tools that the client runs; their schema is in the model."""


def _refused_tool(kind: str, at: str) -> BadRequestError:
    if kind.startswith(_AT_CLIENT):
        how = (
            "only Anthropic's models know its schema. Describe it as a tool of your own, with "
            "an input_schema, or use a model that Anthropic serves."
        )
    else:
        how = (
            "Anthropic runs it. Leave it out, offer a tool of your own with an input_schema, or "
            "use a model that Anthropic serves."
        )
    return BadRequestError(f"The tool `{kind[:100]}` cannot be translated: {how}", param=at)


def _tools(envelope: Envelope, notes: list[str]) -> tuple[neutral.Tool, ...]:
    tools = []
    given: list[WireTool] = read(envelope, "tools", list[WireTool], [])
    for index, tool in enumerate(given):
        if tool.type is not None and tool.type.startswith(_ADVISORY):
            notes.append(f"tools.{tool.type}")
            continue
        if tool.type not in (None, "custom"):
            raise _refused_tool(tool.type or "", f"tools[{index}].type")
        notes += _of_tool(tool)
        tools.append(
            neutral.Tool(
                name=tool.name,
                description=tool.description,
                schema=present(tool.input_schema),
                strict=tool.strict,
                cache_control=present(tool.cache_control),
            )
        )
    return tuple(tools)


def _of_tool(tool: WireTool) -> list[str]:
    """What of a tool no other provider has a word for."""
    lost = {
        "tools.input_examples": present(tool.input_examples) is not None,
        "tools.defer_loading": bool(tool.defer_loading),
        "tools.eager_input_streaming": bool(tool.eager_input_streaming),
        "tools.allowed_callers": tool.allowed_callers not in (None, ["direct"]),
    }
    return [name for name, is_lost in lost.items() if is_lost]


def _tool_choice(choice: WireToolChoice) -> neutral.ToolChoice:
    match choice.type:
        case "any":
            return neutral.ToolChoice("required")
        case "tool":
            return neutral.ToolChoice("named", choice.name)
        case mode:
            return neutral.ToolChoice(mode)


def _system(envelope: Envelope) -> list[Message]:
    given = read(envelope, "system", str | list[Block], "")
    if isinstance(given, str):
        return [Message("system", (Text(given),))] if given else []
    return [
        Message("system", (Text(block.text or "", present(block.cache_control)),))
        for block in given
    ]


def _messages(envelope: Envelope, notes: list[str]) -> list[Message]:
    messages = []
    given: list[WireMessage] = read(envelope, "messages", list[WireMessage], [])
    for index, message in enumerate(given):
        at = f"messages[{index}].content"
        if isinstance(message.content, str):
            parts: list[Part] = [Text(message.content)] if message.content else []
        else:
            parts = []
            for place, value in enumerate(message.content):
                parts += _part(_block(value, f"{at}[{place}]"), f"{at}[{place}]", notes)
        messages.append(Message(message.role, tuple(parts)))
    return messages


def _block(value: Raw, at: str) -> Block:
    try:
        return msgspec.json.decode(value, type=Block)
    except msgspec.ValidationError as error:
        match msgspec.json.decode(value):
            # A block of Anthropic's own may use our field names for other shapes.
            case {"type": str(kind)} if kind not in KNOWN:
                return Block(type=kind)
        raise BadRequestError(f"`{at}` is not usable: {error}", param=at) from error


def _blocks(values: list[Raw], at: str, notes: list[str]) -> list[Part]:
    return [part for value in values for part in _part(_block(value, at), at, notes)]


def _part(block: Block, at: str, notes: list[str]) -> list[Part]:
    notes += _of_block(block)
    match block:
        case Block(type="text", text=str(text)):
            return [Text(text, present(block.cache_control))]
        case Block(type="image" | "document", source=Source()):
            return _media(block, at, notes)
        case Block(type="thinking"):
            return [Reasoning(text=block.thinking or "", signature=block.signature or None)]
        case Block(type="redacted_thinking"):
            return [Reasoning(redacted=block.data or "")]
        case Block(type="tool_use", id=str(id_), name=str(name)):
            arguments = bytes(present(block.input) or b"{}").decode()
            return [
                ToolCall(
                    id=id_,
                    name=name,
                    arguments=arguments,
                    cache_control=present(block.cache_control),
                )
            ]
        case Block(type="tool_result", tool_use_id=str(call_id)):
            return [_tool_result(block, call_id, at, notes)]
        case Block(type="search_result", content=list(content)):
            text = "\n".join(_block(piece, at).text or "" for piece in content)
            said = f"{block.title or ''}\n{block.source or ''}\n{text}".strip()
            return [Text(said, present(block.cache_control))]
        case _ if block.type in KNOWN:
            raise BadRequestError(f"A `{block.type}` block lacks a field.", param=at)
        case _:
            # What Anthropic's own tools left in the history; no other provider knows it.
            notes.append(f"messages.{block.type}")
            return []


class CitationsConfig(Struct):
    enabled: bool | None = None


def _of_block(block: Block) -> list[str]:
    """What of a block only Anthropic has a word for."""
    lost = []
    if block.context is not None:
        lost.append(f"messages.{block.type}.context")
    if bytes(block.citations).startswith(b"["):
        if bytes(block.citations) != b"[]":
            lost.append(f"messages.{block.type}.citations")
    elif present(block.citations) is not None:
        asked = read({"citations": block.citations}, "citations", CitationsConfig, None)
        if asked is not None and asked.enabled:
            lost.append(f"messages.{block.type}.citations")
    if block.title is not None and _is_content(block.source):
        lost.append(f"messages.{block.type}.title")
    return lost


def _is_content(source: Source | str | None) -> bool:
    return isinstance(source, Source) and source.type == "content"


def _media(block: Block, at: str, notes: list[str]) -> list[Part]:
    kind: Literal["image", "document"] = "image" if block.type == "image" else "document"
    match block.source:
        case (
            Source(type="base64", data=str(data), media_type=str(media_type))
            | Source(type="text" as media_type, data=str(data))
        ):
            return [
                Media(
                    kind=kind,
                    media_type="text/plain" if media_type == "text" else media_type,
                    data=data,
                    name=block.title,
                    cache_control=present(block.cache_control),
                )
            ]
        case Source(type="url", url=str(url)):
            return [
                Media(
                    kind=kind, url=url, name=block.title, cache_control=present(block.cache_control)
                )
            ]
        case Source(type="content", content=str(text)):
            return [Text(text, present(block.cache_control))]
        case Source(type="content", content=list(pieces)):
            return _blocks(pieces, at, notes)
        case Source(type="file"):
            raise BadRequestError(
                "A file id is known to Anthropic only: send the file itself.", param=f"{at}.source"
            )
        case _:
            raise BadRequestError("`source` is not usable.", param=f"{at}.source")


def _tool_result(block: Block, call_id: str, at: str, notes: list[str]) -> ToolResult:
    match block.content:
        case None:
            parts: list[Part] = []
        case str(text):
            parts = [Text(text)]
        case list(pieces):
            parts = _blocks(pieces, at, notes)
    return ToolResult(
        call_id=call_id,
        parts=tuple(part for part in parts if isinstance(part, Text | Media)),
        is_error=bool(block.is_error),
        cache_control=present(block.cache_control),
    )
