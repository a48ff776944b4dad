"""Whole replies, and errors, both ways."""

from typing import Any, Final

import msgspec

from core import neutral
from core.dialects.gemini.answer import encode, head, wire_part, wire_reason, wire_usage
from core.dialects.gemini.grounding import wire_metadata
from core.dialects.gemini.stream import StreamParser
from core.envelope import read_mended
from core.errors import CutwaterError, UpstreamError
from core.neutral import Choice, Failed, Finished, Refusal, Text
from core.sse import Event

WORDS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}
"""google.rpc.Code by HTTP status."""


def parse_reply(body: bytes) -> neutral.Reply:
    """A whole reply is a stream of one chunk."""
    try:
        parser = StreamParser()
        deltas = read_mended(lambda whole: parser.feed(Event(whole)), body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamError("The provider's answer is no GenerateContentResponse.") from error
    if failed := [delta for delta in deltas if isinstance(delta, Failed)]:
        raise UpstreamError(failed[0].message)
    deltas += [Finished("stop", choice=index) for index in parser.unfinished]
    reply = neutral.fold(deltas)
    if not reply.choices:
        raise UpstreamError("The provider's answer holds no candidate.")
    return reply


def render_reply(reply: neutral.Reply, view: neutral.View) -> bytes:
    fields: dict[str, Any] = {
        "candidates": [_candidate(choice, index) for index, choice in enumerate(reply.choices)],
        **head(reply.id or view.fresh_id, reply.model or view.model, reply.created),
    }
    if reply.usage is not None:
        fields["usageMetadata"] = wire_usage(reply.usage)
    return encode(fields)


def _candidate(choice: Choice, index: int) -> dict[str, Any]:
    cut = choice.reason == "length"
    parts = [wire for part in choice.parts if (wire := wire_part(part, cut=cut)) is not None]
    refused = any(isinstance(part, Refusal) for part in choice.parts)
    end = Finished(choice.reason or "stop", choice.raw_reason)
    texts = [(part.text, part.citations) for part in choice.parts if isinstance(part, Text)]
    metadata = wire_metadata(texts)
    return {
        # Google's SDK throws a turn without parts out of its history.
        "content": {"parts": parts or [{"text": ""}], "role": "model"},
        "finishReason": wire_reason(end, refused=refused),
        "index": index,
        **({} if metadata is None else {"groundingMetadata": metadata}),
    }


def error_body(error: CutwaterError, request_id: str) -> bytes:
    word = WORDS.get(error.status) or ("INTERNAL" if error.status >= 500 else "FAILED_PRECONDITION")
    fields = {
        "code": error.status,
        "message": error.message,
        "status": word,
        "details": [
            {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": request_id}
        ],
    }
    return encode({"error": fields})


def error_event(error: CutwaterError, request_id: str) -> bytes:
    """What ends a stream that cannot be completed."""
    return b"data: " + error_body(error, request_id) + b"\n\n"
