"""A neutral request, written as a generateContent request.

Google finds the answer of a function by the function's name, so a tool result
is given the name of the call it answers. The model is not in the body. Names
in snake_case are those that the reference proxy sends; Google takes both.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from core.dialects import parameters
from core.dialects.gemini.thinking import config as thinking_config
from core.dialects.losses import losses
from core.dialects.repairs import check_said
from core.dialects.structured import as_object, beside_tools
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
from core.schemas import for_gemini, is_empty_object
from core.signatures import for_google, from_id

UNSIGNED: Final = "skip_thought_signature_validator"
"""Google's own word for a call that another model made: a model that demands a signature takes it.

https://ai.google.dev/gemini-api/docs/thought-signatures
"""

_LOST: Final = (
    "cache_control",
    "messages.image.detail",
    "messages.document.title",
    "schema.description",
    "tools.strict",
)
_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}
_MEDIA_TYPES: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "mp4": "video/mp4",
    "webm": "video/webm",
}


def render_request(request: Request, facts: Facts) -> Rendered:
    config, dropped = parameters.render(request.parameters, "gemini")
    turns = _Turns(request.messages, signed=facts.thinking == "level")
    check_said(turns.contents)
    fields: dict[str, Any] = {"contents": turns.contents}
    if turns.instruction:
        fields["systemInstruction"] = {"parts": turns.instruction}
    if request.max_tokens is not None:
        config["maxOutputTokens"] = raw(request.max_tokens)
    thinking, unmet = thinking_config(request, facts)
    if thinking:
        config["thinkingConfig"] = raw(thinking)
    dropped += losses(request, *_LOST)
    if request.schema is not None:
        if request.tools and not facts.schema_beside_tools:
            raise beside_tools()
        config["response_mime_type"] = Raw(b'"application/json"')
        if request.schema.schema is not None:
            lost: list[str] = []
            config["response_schema"] = for_gemini(request.schema.schema, lost)
            dropped += [f"schema.{keyword}" for keyword in lost]
    fields["generationConfig"] = config
    if request.tools:
        fields["tools"] = [{"function_declarations": _tools(request.tools, dropped)}]
        if request.tool_choice is not None:
            calling = _calling(request.tool_choice)
            fields["tool_config"] = {"function_calling_config": calling}
    if request.parallel_tool_calls is False:
        dropped.append("parallel_tool_calls")
    return Rendered(
        body=msgspec.json.encode(fields),
        dropped=(*request.dropped, *dropped, *unmet, *dict.fromkeys(turns.notes)),
    )


def _tools(tools: Iterable[Tool], dropped: list[str]) -> list[dict[str, Any]]:
    lost: list[str] = []
    declared = [_tool(tool, lost) for tool in tools]
    dropped += dict.fromkeys(f"tools.{keyword}" for keyword in lost)
    return declared


def _tool(tool: Tool, lost: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        fields["description"] = tool.description
    if tool.schema is not None:
        schema = for_gemini(tool.schema, lost)
        if not is_empty_object(schema):
            fields["parameters"] = schema
    return fields


def _calling(choice: ToolChoice) -> dict[str, Any]:
    mode: dict[str, Any] = {"mode": _MODES[choice.mode]}
    if choice.mode == "named":
        mode["allowed_function_names"] = [choice.name]
    return mode


class _Turns:
    """Messages as contents: neighbours of one role are one turn."""

    def __init__(self, messages: Iterable[Message], *, signed: bool) -> None:
        self.contents: list[dict[str, Any]] = []
        self.instruction: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self._signed = signed
        """The model refuses a call that nobody signed."""
        self._names: dict[str, str] = {}
        """Call id -> the function's name."""
        for message in messages:
            self._add(message)

    def _add(self, message: Message) -> None:
        if message.name:
            self.notes.append("messages.name")
        if message.role in ("system", "developer"):
            texts = [part.text for part in message.parts if isinstance(part, Text) and part.text]
            if any(not isinstance(part, Text) for part in message.parts):
                self.notes.append("messages.system.media")
            self.instruction += [{"text": text} for text in texts]
            return
        role = "model" if message.role == "assistant" else "user"
        parts = self._parts(message.parts)
        if not parts:
            return
        if self.contents and self.contents[-1]["role"] == role:
            self.contents[-1]["parts"] += parts
        else:
            self.contents.append({"parts": parts, "role": role})

    def _parts(self, parts: Iterable[Part]) -> list[dict[str, Any]]:
        written: list[dict[str, Any]] = []
        loose: list[str] = []
        """Signatures of texts, apart from their text: a client may have moved them to the front."""
        media: list[dict[str, Any]] = []
        for part in parts:
            if isinstance(part, Reasoning) and not part.text:
                if (signature := for_google(part.signature)) is not None:
                    loose.append(signature)
                elif part.signature or part.redacted is not None:
                    self.notes.append("messages.reasoning")  # Another provider's, sealed.
                continue
            written += self._part(part, media)
        if self._signed:
            _sign_first_call(written)
        return [*_with_signatures(written, loose), *media]

    def _part(self, part: Part, media: list[dict[str, Any]]) -> list[dict[str, Any]]:
        match part:
            case Text() | Refusal():
                return [{"text": part.text}] if part.text else []  # An empty part is a 400.
            case Media():
                return [_media(part)]
            case Reasoning():
                thought = {"text": part.text, "thought": True}
                return [_signed(thought, for_google(part.signature))]
            case ToolCall():
                return [self._call(part)]
            case ToolResult():
                # A medium stands beside the answer: older models take none inside it.
                media += [_media(piece) for piece in part.parts if isinstance(piece, Media)]
                return [self._result(part)]

    def _call(self, call: ToolCall) -> dict[str, Any]:
        call_id, carried = from_id(call.id)
        self._names[call_id] = call.name
        arguments = as_object(call.arguments)
        if arguments is None:
            raise BadRequestError(
                f"The arguments of the call `{call_id[:200]}` are no JSON object.", param="messages"
            )
        function: dict[str, Any] = {"name": call.name, "args": arguments}
        if call_id:
            function["id"] = call_id
        return _signed({"functionCall": function}, call.signature or carried)

    def _result(self, result: ToolResult) -> dict[str, Any]:
        call_id = from_id(result.call_id)[0]
        name = self._names.get(call_id) or result.name or call_id
        response = {"id": call_id, "name": name, "response": _response(result)}
        return {"functionResponse": response}


def _response(result: ToolResult) -> Raw | Mapping[str, str]:
    """An object, as Google wants it; a text has its place under `output` or `error`."""
    text = "\n".join(part.text for part in result.parts if isinstance(part, Text))
    if result.is_error:
        return {"error": text}
    given = as_object(text) if text.strip() else None
    return {"output": text} if given is None else given


def _signed(part: dict[str, Any], signature: str | None) -> dict[str, Any]:
    return part if signature is None else {**part, "thoughtSignature": signature}


def _sign_first_call(parts: list[dict[str, Any]]) -> None:
    """Of several calls in a turn Google signs the first one alone, and asks for that one alone."""
    call = next((part for part in parts if "functionCall" in part), None)
    if call is not None:
        call.setdefault("thoughtSignature", UNSIGNED)


def _with_signatures(parts: list[dict[str, Any]], loose: list[str]) -> list[dict[str, Any]]:
    """The last signature belongs to the last text; others go where Google puts them in a stream."""
    if not loose:
        return parts
    texts = [p for p in parts if "text" in p and "thought" not in p and "thoughtSignature" not in p]
    if texts:
        texts[-1]["thoughtSignature"] = loose.pop()
    return [*parts, *({"text": "", "thoughtSignature": signature} for signature in loose)]


def _media(part: Media) -> dict[str, Any]:
    if part.data is None:
        file = {"fileUri": part.url}
        if (media_type := part.media_type or _media_type(part.url or "")) is not None:
            file["mimeType"] = media_type
        return {"fileData": file}
    data = part.data
    if part.media_type == "text/plain":
        data = b64encode(data.encode()).decode()
    return {"inlineData": {"mimeType": part.media_type, "data": data}}


def _media_type(url: str) -> str | None:
    path = url.partition("?")[0].partition("#")[0]
    return _MEDIA_TYPES.get(path.rpartition(".")[2].lower())
