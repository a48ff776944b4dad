"""A response as a provider sends it, and its errors."""

import re
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from core import neutral, provider_errors
from core.dialects.openai_common import url_citation
from core.dialects.openai_responses import thoughts
from core.dialects.openai_responses.thoughts import ReasoningItem
from core.envelope import present, read_mended
from core.errors import ProviderError, UpstreamError
from core.neutral import Choice, FinishReason, Part, Refusal, Text, ToolCall, Usage

_INCOMPLETE: Final[dict[str, FinishReason]] = {
    "max_output_tokens": "length",
    "content_filter": "content_filter",
}
_CALLERS_FAULT: Final = re.compile(
    r"(invalid|image|unsupported|empty|failed_to_download)_.*|.*policy.*|context_length_exceeded"
)
"""Codes of a failed response that another attempt would meet again."""


class Details(Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class WireUsage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: Details | None = None
    output_tokens_details: Details | None = None

    def neutral(self) -> Usage:
        read, written = self.input_tokens_details, self.output_tokens_details
        return Usage(
            input_tokens=self.input_tokens or 0,
            output_tokens=self.output_tokens or 0,
            cache_read_tokens=(read and read.cached_tokens) or 0,
            cache_write_tokens=(read and read.cache_write_tokens) or 0,
            reasoning_tokens=(written and written.reasoning_tokens) or 0,
        )


class IncompleteDetails(Struct):
    reason: str | None = None


class Response(Struct):
    id: str | None = None
    model: str | None = None
    created_at: float | None = None
    status: str | None = None
    output: list[Raw] | None = None
    incomplete_details: IncompleteDetails | None = None
    error: Raw = Raw()
    usage: WireUsage | None = None


class _Kind(Struct):
    type: str = ""


class Content(Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: list[Any] | None = None


class MessageItem(Struct):
    content: list[Content]


class CallItem(Struct):
    name: str
    call_id: str | None = None
    id: str | None = None
    arguments: str | None = None

    @property
    def call(self) -> str:
        # The item's own id names no call: a result that quotes it answers nothing.
        return self.call_id or self.id or ""


Item = MessageItem | CallItem | ReasoningItem

_decode = msgspec.json.Decoder(Response).decode
_kind = msgspec.json.Decoder(_Kind).decode
_DECODERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "message": msgspec.json.Decoder(MessageItem),
    "function_call": msgspec.json.Decoder(CallItem),
    "reasoning": msgspec.json.Decoder(ReasoningItem),
}


def item_of(raw: Raw) -> Item | None:
    """None for what OpenAI's own tools did: other clients have no word for it."""
    decoder = _DECODERS.get(_kind(raw).type)
    item: Item | None = decoder.decode(raw) if decoder is not None else None
    return item


def parts_of(item: Item | None) -> list[Part]:
    match item:
        case MessageItem():
            return [part for piece in item.content if (part := content_part(piece)) is not None]
        case CallItem():
            return [ToolCall(id=item.call, name=item.name, arguments=item.arguments or "")]
        case ReasoningItem():
            thought = thoughts.neutral_of(item)
            return [] if thought is None else [thought]
        case None:
            return []


def content_part(piece: Content) -> Text | Refusal | None:
    match piece:
        case Content(type="refusal", refusal=str(text)):
            return Refusal(text)
        case Content(text=str(text)):
            given = (url_citation(annotation) for annotation in piece.annotations or ())
            return Text(text, citations=tuple(c for c in given if c is not None))
        case _:
            return None


def _opened(body: bytes) -> tuple[Response, list[Item | None]]:
    response = _decode(body)
    return response, [item_of(raw) for raw in response.output or ()]


def parse_reply(body: bytes) -> neutral.Reply:
    try:
        response, items = read_mended(_opened, body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamError("The provider's answer is no response.") from error
    if response.status == "failed":
        raise failure(response)
    if response.status not in (None, "completed", "incomplete"):
        raise UpstreamError(f"The provider has not finished its answer: it is {response.status}.")
    parts = [part for item in items for part in parts_of(item)]
    reason, raw_reason = finish_of(response, called=any(isinstance(p, ToolCall) for p in parts))
    return neutral.Reply(
        id=response.id or "",
        model=response.model or "",
        created=int(response.created_at or 0),
        choices=(Choice(parts=tuple(parts), reason=reason, raw_reason=raw_reason),),
        usage=response.usage.neutral() if response.usage else None,
    )


def finish_of(response: Response, *, called: bool) -> tuple[FinishReason, str | None]:
    if response.status == "incomplete":
        details = response.incomplete_details
        raw_reason = details.reason if details else None
        return _INCOMPLETE.get(raw_reason or "", "other"), raw_reason
    return "tool_calls" if called else "stop", response.status


def failure(response: Response) -> ProviderError:
    error: Any = msgspec.json.decode(present(response.error) or b"{}")
    return error_of({"error": error})


def error_of(document: Any) -> ProviderError:
    """An error event, in its documented shape or in the one that OpenAI sends."""
    if isinstance(document, dict) and document.get("type") == "error":
        document = {name: value for name, value in document.items() if name != "type"}
    error = provider_errors.of_document(document)
    if error.status == 500 and _CALLERS_FAULT.fullmatch(error.code or ""):
        return ProviderError(error.message, status=400, code=error.code, param=error.param)
    return error
