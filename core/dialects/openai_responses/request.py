"""A request for a response, read into the neutral form.

Items become messages: what the assistant did in one turn (thoughts, texts,
calls) is one message, as other formats want it. Whatever the request refers
to at OpenAI (a stored response, a file, a prompt) cannot be told to another
provider and is refused.
"""

from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from core import neutral
from core.dialects import parameters, views
from core.dialects.openai_common import media_from_url
from core.dialects.openai_responses import thoughts
from core.dialects.openai_responses.reply_out import ECHOED
from core.dialects.openai_responses.thoughts import ReasoningItem
from core.envelope import Envelope, present, read
from core.errors import BadRequestError
from core.neutral import Media, Message, Part, Refusal, Role, Text, ToolCall, ToolResult

T = TypeVar("T")


class InputAudio(Struct):
    data: str
    format: str


class ContentPart(Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None
    input_audio: InputAudio | None = None


class Kind(Struct):
    type: str = "message"


class MessageItem(Struct):
    role: Role
    content: str | list[ContentPart]


class CallItem(Struct):
    name: str
    call_id: str
    arguments: str = ""


class OutputItem(Struct):
    call_id: str
    output: str | list[ContentPart]


class WireTool(Struct):
    type: str
    name: str = ""
    description: str | None = None
    parameters: Raw = Raw()
    strict: bool | None = None


class TextFormat(Struct):
    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str = "output"
    description: str | None = None
    schema: Raw = Raw()
    strict: bool | None = None


class TextConfig(Struct):
    format: TextFormat | None = None
    verbosity: Raw = Raw()


class ReasoningConfig(Struct):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None
    """Its older name."""


MAPPED: Final = frozenset(
    {
        "model",
        "input",
        "instructions",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_output_tokens",
        "reasoning",
        "text",
        "include",
        "use_cache",
    }
)
_ELSEWHERE: Final = ("prompt", "previous_response_id", "conversation")
"""What may stand for the input: OpenAI keeps it."""

_THOUGHTS: Final = "reasoning.encrypted_content"
_INPUT: Final = (b'"', b"[")


def check_request(envelope: Envelope) -> None:
    """400 for what no provider could answer, before anything is sent."""
    given = envelope.get("input")
    if given is None or bytes(given) == b"null":
        if not any(bytes(envelope.get(name, b"null")) != b"null" for name in _ELSEWHERE):
            raise BadRequestError("`input` is missing.", param="input")
    elif not bytes(given).startswith(_INPUT):
        raise BadRequestError("`input` is a text or a list of items.", param="input")


def view_of(envelope: Envelope) -> neutral.View:
    return replace(
        views.view_of(envelope),
        echo={
            name: value
            for name, value in envelope.items()
            if name in ECHOED and bytes(value) != b"null"
        },
    )


def parse_request(envelope: Envelope) -> neutral.Request:
    values, dropped = parameters.parse(envelope, "openai_responses", MAPPED)
    notes: list[str] = []
    included: list[str] = read(envelope, "include", list[str], [])
    if any(name != _THOUGHTS for name in included):
        notes.append("include")
    config = read(envelope, "text", TextConfig, TextConfig())
    if (verbosity := present(config.verbosity)) is not None:
        values["verbosity"] = verbosity
    messages = (*_instructions(envelope), *_messages(envelope, notes))
    tools, choice = _tools(envelope)
    return neutral.Request(
        model=read(envelope, "model", str, ""),
        messages=messages,
        stream=read(envelope, "stream", bool, False),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=read(envelope, "parallel_tool_calls", bool | None, None),
        max_tokens=read(envelope, "max_output_tokens", int | None, None),
        thinking=_thinking(envelope),
        schema=_schema(config.format),
        parameters=values,
        dropped=(*dropped, *dict.fromkeys(notes)),
    )


def _thinking(envelope: Envelope) -> neutral.Thinking | None:
    config = read(envelope, "reasoning", ReasoningConfig, ReasoningConfig())
    shown = bool(config.summary or config.generate_summary)
    if config.effort is None and not shown:
        return None
    return neutral.Thinking(enabled=config.effort != "none", effort=config.effort, shown=shown)


def _schema(wanted: TextFormat | None) -> neutral.Schema | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return neutral.Schema()
    if (schema := present(wanted.schema)) is None:
        raise BadRequestError("`text.format.schema` is missing.", param="text.format.schema")
    return neutral.Schema(
        name=wanted.name, description=wanted.description, schema=schema, strict=wanted.strict
    )


def _tools(envelope: Envelope) -> tuple[tuple[neutral.Tool, ...], neutral.ToolChoice | None]:
    given: list[WireTool] = read(envelope, "tools", list[WireTool], [])
    tools = []
    for index, tool in enumerate(given):
        if tool.type != "function":
            raise BadRequestError(
                f"The tool `{tool.type[:100]}` is OpenAI's own and cannot be translated: use a "
                "model whose endpoint speaks OpenAI responses, or a tool of the type function.",
                param=f"tools[{index}].type",
            )
        tools.append(
            neutral.Tool(
                name=tool.name,
                description=tool.description,
                schema=present(tool.parameters),
                strict=tool.strict,
            )
        )
    return _chosen(tuple(tools), envelope)


def _chosen(
    tools: tuple[neutral.Tool, ...], envelope: Envelope
) -> tuple[tuple[neutral.Tool, ...], neutral.ToolChoice | None]:
    choice: Any = read(envelope, "tool_choice", str | dict[str, Any], None)
    match choice:
        case None:
            return tools, None
        case "auto" | "none" | "required":
            return tools, neutral.ToolChoice(choice)
        case {"type": "function", "name": str(name)}:
            return tools, neutral.ToolChoice("named", name)
        case {"type": "allowed_tools", "mode": mode, "tools": list(allowed)}:
            names = {tool.get("name") for tool in allowed if isinstance(tool, dict)}
            kept = tuple(tool for tool in tools if tool.name in names)
            return kept, neutral.ToolChoice("required" if mode == "required" else "auto")
        case _:
            raise BadRequestError(
                "`tool_choice` must be auto, none, required or name a function.",
                param="tool_choice",
            )


def _instructions(envelope: Envelope) -> list[Message]:
    text = read(envelope, "instructions", str, "")
    return [Message("system", (Text(text),))] if text else []


def _messages(envelope: Envelope, notes: list[str]) -> list[Message]:
    given: str | list[Raw] = read(envelope, "input", str | list[Any], "")
    if isinstance(given, str):
        return [Message("user", (Text(given),))]
    turns = _Turns()
    items: list[Raw] = read(envelope, "input", list[Raw], [])
    for index, item in enumerate(items):
        _add(turns, item, f"input[{index}]", notes)
    return turns.whole()


class _Turns:
    """Messages, of which the assistant's is still open while its items follow each other."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._open: list[Part] = []

    def say(self, role: Role, parts: tuple[Part, ...]) -> None:
        self._close()
        self._messages.append(Message(role, parts))

    def act(self, *parts: Part) -> None:
        self._open += parts

    def speak(self, parts: tuple[Part, ...]) -> None:
        """A message of the assistant: a new one, unless calls without a result are open."""
        spoke = any(isinstance(part, Text | Refusal) for part in self._open)
        if spoke and not any(isinstance(part, ToolCall) for part in self._open):
            self._close()
        self._open += parts

    def whole(self) -> list[Message]:
        self._close()
        return self._messages

    def _close(self) -> None:
        if self._open:
            self._messages.append(Message("assistant", tuple(self._open)))
            self._open = []


def _add(turns: _Turns, item: Raw, at: str, notes: list[str]) -> None:
    kind = _as(item, Kind, at).type
    match kind:
        case "message":
            message = _as(item, MessageItem, at)
            parts = _content(message.content, f"{at}.content")
            if message.role == "assistant":
                turns.speak(parts)
            else:
                turns.say(message.role, parts)
        case "function_call":
            call = _as(item, CallItem, at)
            turns.act(ToolCall(id=call.call_id, name=call.name, arguments=call.arguments))
        case "function_call_output":
            output = _as(item, OutputItem, at)
            pieces = _content(output.output, f"{at}.output")
            results = tuple(piece for piece in pieces if isinstance(piece, Text | Media))
            turns.say("user", (ToolResult(call_id=output.call_id, parts=results),))
        case "reasoning":
            thought = thoughts.client_thought(_as(item, ReasoningItem, at))
            if thought is None:
                notes.append("input.reasoning")
            else:
                turns.act(thought)
        case "item_reference":
            raise BadRequestError(
                "An item reference is known to OpenAI only: send the item itself.", param=at
            )
        case _:
            # What OpenAI's own tools left in the history; no other provider knows it.
            notes.append(f"input.{kind}")


def _as(item: Raw, kind: type[T], at: str) -> T:
    try:
        return msgspec.json.decode(item, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequestError(f"`{at}` is not usable: {error}", param=at) from error


def _content(content: str | list[ContentPart], at: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),) if content else ()
    return tuple(_part(part, f"{at}[{index}]") for index, part in enumerate(content))


def _part(part: ContentPart, at: str) -> Part:
    match part:
        case ContentPart(type="input_text" | "output_text" | "text", text=str(text)):
            return Text(text)
        case ContentPart(type="refusal", refusal=str(text)):
            return Refusal(text)
        case ContentPart(type="input_image", image_url=str(url)):
            return media_from_url(url, "image", f"{at}.image_url", detail=part.detail)
        case ContentPart(type="input_file", file_data=str(data)):
            return media_from_url(data, "document", f"{at}.file_data", name=part.filename)
        case ContentPart(type="input_file", file_url=str(url)):
            return Media(kind="document", url=url, name=part.filename)
        case ContentPart(type="input_image" | "input_file", file_id=str()):
            raise BadRequestError(
                "A file id is known to one provider only: send the file itself.",
                param=f"{at}.file_id",
            )
        case ContentPart(type="input_audio", input_audio=InputAudio(data=data, format=kind)):
            return Media(kind="audio", media_type=f"audio/{kind}", data=data)
        case _:
            raise BadRequestError(
                f"`{part.type[:100]}` is no usable content part.", param=f"{at}.type"
            )
