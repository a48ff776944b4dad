"""Messages as Converse wants them: the system prompt apart, and roles that take turns.

Bedrock refuses blank text, a document without a text beside it, two documents
of one name, and names and ids that have other characters than it likes.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from core.dialects.converse.blocks import FORMATS, sealed
from core.dialects.converse.families import Family
from core.dialects.repairs import known_id
from core.dialects.structured import as_object
from core.errors import BadRequestError
from core.neutral import Media, Message, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from core.signatures import is_marked

Block = dict[str, Any]
_Group = list[Block]
"""A block and the cache point that closes it."""

FIRST_TURN: Final = "(The conversation begins.)"
"""Said by the user where an assistant spoke first and the model does not take that."""
NO_OUTPUT: Final = "(no output)"
"""Said by a tool that said nothing: Bedrock refuses blank text."""

_NOT_IN_NAME: Final = re.compile(r"[^A-Za-z0-9()\[\]-]+")
_EXTENSION: Final = re.compile(r"\.[A-Za-z0-9]{1,5}$")
_NOT_IN_ID: Final = re.compile(r"[^a-zA-Z0-9_.:-]")
_LONGEST_ID: Final = 64


class CacheControl(Struct):
    ttl: str | None = None


def cache_point(cache_control: Raw | None, notes: list[str], *, allowed: bool) -> list[Block]:
    if cache_control is None:
        return []
    if not allowed:
        notes.append("cache_control")
        return []
    try:
        ttl = msgspec.json.decode(cache_control, type=CacheControl).ttl
    except msgspec.DecodeError as error:
        raise BadRequestError("`cache_control` is not usable.", param="cache_control") from error
    point = {"type": "default"} if ttl is None else {"type": "default", "ttl": ttl}
    return [{"cachePoint": point}]


def tool_use_id(given: str) -> str:
    """The same for a call and for its result, whatever the id was."""
    return known_id(given, _NOT_IN_ID, _LONGEST_ID)


class Turns:
    """The messages being written. Names of documents are unique in all of them."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.notes: list[str] = []
        self.system: list[Block] = []
        self._turns: list[tuple[str, list[_Group]]] = []
        self._names: set[str] = set()

    def add(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message.role in ("system", "developer"):
                self._add_system(message)
                continue
            if message.name:
                self.notes.append("messages.name")
            groups = self._groups(message.parts, "messages")
            if not groups:
                continue
            first = not self._turns and message.role == "assistant"
            if first and not self.family.begins_anyhow:
                self.notes.append("messages.first-turn")
                self._turns.append(("user", [[{"text": FIRST_TURN}]]))
            if self._turns and self._turns[-1][0] == message.role:
                self._turns[-1][1].extend(groups)
            else:
                self._turns.append((message.role, groups))

    def rendered(self) -> list[Block]:
        turns = [{"role": role, "content": _content(groups)} for role, groups in self._turns]
        if turns and turns[-1]["role"] == "assistant" and "text" in (said := _last(turns[-1])):
            said["text"] = said["text"].rstrip()  # White space there is a 400 to Claude.
        return turns

    def _add_system(self, message: Message) -> None:
        if not all(isinstance(part, Text) for part in message.parts):
            raise BadRequestError("A system message is text for this model.", param="messages")
        for group in self._groups(message.parts, "system"):
            self.system += group

    def _groups(self, parts: Iterable[Part], place: str) -> list[_Group]:
        groups = []
        for part in parts:
            if (block := self._block(part)) is not None:
                allowed = place in self.family.caches
                groups.append([block, *cache_point(_mark(part), self.notes, allowed=allowed)])
        return groups

    def _block(self, part: Part) -> Block | None:
        match part:
            case Text() | Refusal():
                return {"text": part.text} if part.text.strip() else None
            case Media():
                return self._media(part)
            case Reasoning(redacted=str(redacted)) if self.family.signs:
                return {"reasoningContent": {"redactedContent": sealed(redacted)}}
            case Reasoning(signature=str(signature)) if self._takes(signature):
                thought = {"text": part.text, "signature": signature}
                return {"reasoningContent": {"reasoningText": thought}}
            case Reasoning():
                self.notes.append("messages.reasoning")
                return None
            case ToolCall():
                call = {"toolUseId": tool_use_id(part.id), "name": part.name}
                return {"toolUse": {**call, "input": _input(part)}}
            case ToolResult():
                return self._tool_result(part)

    def _takes(self, signature: str) -> bool:
        return self.family.signs and not is_marked(signature)

    def _tool_result(self, result: ToolResult) -> Block:
        content = [block for part in result.parts if (block := self._block(part)) is not None]
        fields: Block = {
            "toolUseId": tool_use_id(result.call_id),
            "content": content or [{"text": NO_OUTPUT}],
        }
        return {"toolResult": {**fields, "status": "error"} if result.is_error else fields}

    def _media(self, part: Media) -> Block:
        media_type = part.media_type or ("application/pdf" if part.kind == "document" else "")
        if part.data is None:
            return {part.kind: self._from_s3(part)}
        if media_type not in FORMATS:
            known = ", ".join(sorted(FORMATS))
            raise BadRequestError(
                f"Bedrock takes no `{media_type[:100]}`, only: {known}.", param="messages"
            )
        block, wire_format = FORMATS[media_type]
        data = part.data
        if block == "document" and media_type == "text/plain":
            data = b64encode(data.encode()).decode()
        return {block: self._named(block, part, wire_format, {"bytes": data})}

    def _from_s3(self, part: Media) -> Block:
        if part.url is None or not part.url.startswith("s3://"):
            raise BadRequestError(
                f"This model takes no link to a file: send the {part.kind} as base64.",
                param="messages",
            )
        suffix = part.url.rpartition(".")[2].lower()
        formats = {name for block, name in FORMATS.values() if block == part.kind}
        known = FORMATS.get(part.media_type or "", ("", "jpeg" if suffix == "jpg" else suffix))[1]
        if known not in formats:
            raise BadRequestError(
                "The file in S3 must end in its format, such as .png or .pdf.", param="messages"
            )
        return self._named(part.kind, part, known, {"s3Location": {"uri": part.url}})

    def _named(self, block: str, part: Media, wire_format: str, source: Block) -> Block:
        fields: Block = {"format": wire_format, "source": source}
        return {"name": self._name(part.name), **fields} if block == "document" else fields

    def _name(self, given: str | None) -> str:
        bare = _EXTENSION.sub("", given or "")
        base = _NOT_IN_NAME.sub(" ", bare).strip()[:180] or "document"
        name, number = base, 1
        while name in self._names:
            number += 1
            name = f"{base} {number}"
        self._names.add(name)
        return name


def _last(turn: Block) -> Block:
    last: Block = next(block for block in reversed(turn["content"]) if "cachePoint" not in block)
    return last


def _mark(part: Part) -> Raw | None:
    match part:
        case ToolResult(cache_control=None):
            return next((mark for piece in part.parts if (mark := piece.cache_control)), None)
        case Text() | Media() | ToolCall() | ToolResult():
            return part.cache_control
        case _:
            return None


def _input(call: ToolCall) -> Raw:
    arguments = as_object(call.arguments)
    if arguments is None:
        raise BadRequestError(
            f"The arguments of the call `{call.id}` are no JSON object.", param="messages"
        )
    return arguments


def _content(groups: Sequence[_Group]) -> list[Block]:
    # The results of a turn's calls come before what the user says beside them.
    ordered = sorted(groups, key=lambda group: "toolResult" not in group[0])
    content = [block for group in ordered for block in group]
    kinds = {kind for block in content for kind in block}
    if "document" in kinds and "text" not in kinds:
        raise BadRequestError(
            "Bedrock takes a document only beside a text: say what to do with it.",
            param="messages",
        )
    return content


def tools_used(messages: Iterable[Message]) -> list[str]:
    """The tools that the conversation has called so far, each once."""
    parts = [part for message in messages for part in message.parts]
    return list(dict.fromkeys(part.name for part in parts if isinstance(part, ToolCall)))
