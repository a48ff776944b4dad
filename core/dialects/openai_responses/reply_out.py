"""A response as a client reads it, and errors.

Its items have ids of our making: OpenAI takes them back from a client only in
the letters that it uses itself.
"""

import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from core import neutral
from core.dialects import made, openai_common
from core.dialects.openai_common import wire_citation
from core.dialects.openai_responses import thoughts
from core.errors import CutwaterError, UpstreamError
from core.neutral import (
    Choice,
    Citation,
    FinishReason,
    Media,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)

error_body = openai_common.error_body

ItemStatus = Literal["in_progress", "completed", "incomplete"]

_WIRE_INCOMPLETE: Final[dict[FinishReason, str]] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}
_BLANK: Final[dict[str, Any]] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, where the request said nothing."""

ECHOED: Final = frozenset(_BLANK) - {"previous_response_id", "store"}

Heading = tuple[str, int, str]
"""Id, unix seconds and model of a response."""


def heading_of(told: neutral.Reply | neutral.Started, view: neutral.View) -> Heading:
    return told.id or view.fresh_id, told.created or view.created, told.model or view.model


def wire_response(
    heading: Heading, view: neutral.View, output: Sequence[Any], usage: Usage | None, status: str
) -> dict[str, Any]:
    identity, created, model = heading
    return {
        "id": identity,
        "object": "response",
        "created_at": created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": output,
        "usage": None if usage is None else wire_usage(usage),
        **_BLANK,
        **view.echo,
    }


def ended(fields: dict[str, Any], reason: FinishReason) -> dict[str, Any]:
    """The response once the model is done: completed, incomplete or failed, and why."""
    if reason == "error":
        error = {"code": "server_error", "message": made.UNFINISHED}
        return {**fields, "status": "failed", "error": error}
    if (why := _WIRE_INCOMPLETE.get(reason)) is not None:
        return {**fields, "status": "incomplete", "incomplete_details": {"reason": why}}
    return {**fields, "status": "completed"}


def item_status(reason: FinishReason, *, last: bool) -> ItemStatus:
    return "incomplete" if last and reason in _WIRE_INCOMPLETE else "completed"


def wire_usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


_NO_ID: Final = re.compile(r"[^A-Za-z0-9_-]")
_PREFIXES: Final = {
    "message": "msg",
    "function_call": "fc",
    "reasoning": thoughts.OUR_ID,
    "image_generation_call": "ig",
}


def item_id(kind: str, response_id: str, index: int) -> str:
    """Letters, digits, `_` and `-`, at most 64: what OpenAI takes back from a client."""
    return f"{_PREFIXES[kind]}_{_NO_ID.sub('', response_id)[-48:]}_{index}"


def wire_item(identity: str, parts: Sequence[Part], status: ItemStatus) -> dict[str, Any]:
    """One item: a call, a thought, an image, or the texts and refusals of one message."""
    match parts:
        case [ToolCall() as call]:
            return {
                "id": identity,
                "type": "function_call",
                "status": status,
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            }
        case [Reasoning() as thought]:
            summary = [{"type": "summary_text", "text": thought.text}] if thought.text else []
            item: dict[str, Any] = {"id": identity, "type": "reasoning", "summary": summary}
            kept = thoughts.encrypted_content(thought.signature, thought.redacted)
            return item if kept is None else {**item, "encrypted_content": kept}
        case [Media(data=result)]:
            return {
                "id": identity,
                "type": "image_generation_call",
                "status": status,
                "result": result,
            }
        case _:
            return {
                "id": identity,
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": [wire_content(part) for part in parts],
            }


def wire_content(part: Part) -> dict[str, Any]:
    match part:
        case Text(text=text):
            found = [wire_annotation(citation, len(text)) for citation in part.citations]
            return {"type": "output_text", "text": text, "annotations": found, "logprobs": []}
        case Refusal(text=text):
            return {"type": "refusal", "refusal": text}
        case _:
            raise UpstreamError("The provider's answer holds a part that has no place in a reply.")


def wire_annotation(citation: Citation, length: int) -> dict[str, Any]:
    return {"type": "url_citation", **wire_citation(citation, length)}


def kind_of(part: Part) -> str:
    match part:
        case ToolCall():
            return "function_call"
        case Reasoning():
            return "reasoning"
        case Media():
            return "image_generation_call"
        case _:
            return "message"


def is_told(part: Part) -> bool:
    """Of what a model makes beside text, an image in base64 is all that this format has."""
    return not isinstance(part, Media) or (part.kind == "image" and part.data is not None)


def render_reply(reply: neutral.Reply, view: neutral.View) -> bytes:
    """A client of this format has no way to ask for more than one choice."""
    choice = reply.choices[0] if reply.choices else Choice(reason="stop")
    reason = choice.reason or "stop"
    heading = heading_of(reply, view)
    groups: list[list[Part]] = []
    for given in choice.parts:
        part = given if is_told(given) or not isinstance(given, Media) else Text(made.told(given))
        if groups and kind_of(part) == kind_of(groups[-1][0]) == "message":
            groups[-1].append(part)
        else:
            groups.append([part])
    output = [
        wire_item(
            item_id(kind_of(parts[0]), heading[0], index),
            parts,
            item_status(reason, last=index == len(groups) - 1),
        )
        for index, parts in enumerate(groups)
    ]
    fields = wire_response(heading, view, output, reply.usage, "completed")
    return msgspec.json.encode(ended(fields, reason))


def error_event(error: CutwaterError, request_id: str) -> bytes:
    """What ends a stream that cannot be completed. No `response.completed` follows it.

    The documented fields, and the `error` that OpenAI sends instead of them:
    without it the official SDK takes the event for one like any other.
    """
    fields = openai_common.error_fields(error)
    event = {
        "type": "error",
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "sequence_number": 0,
        "error": fields,
        "request_id": request_id,
    }
    return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"
