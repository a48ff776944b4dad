"""How providers of each dialect say the same answer, and how they say what is wrong.

The wordings of errors are those that the providers write, for a proxy has
nothing else to tell one 400 from another by.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from core import eventstream

DialectName: TypeAlias = Literal[
    "openai_chat", "openai_responses", "anthropic", "gemini", "converse"
]
DIALECTS: Final[tuple[DialectName, ...]] = (
    "openai_chat",
    "openai_responses",
    "anthropic",
    "gemini",
    "converse",
)
WORDS: Final = ("The ", "cutwater ", "splits ", "the ", "current ", "in ", "two ", "halves.")
TEXT: Final = "".join(WORDS)
SSE: Final = "text/event-stream"
JSON: Final = "application/json"


class Speech(Struct, frozen=True, kw_only=True):
    """One answer as a provider says it."""

    whole: bytes
    preamble: tuple[bytes, ...]
    """Events before the first token."""
    words: tuple[bytes, ...]
    ending: tuple[bytes, ...]
    """The finish, and what follows it up to the mark."""
    mark: bytes
    """What says that nothing follows; empty: the dialect has no such thing."""
    garbage: bytes
    """An event that is no JSON."""
    comment: bytes
    """What says nothing; empty: the dialect has no such thing."""
    content_type: str = SSE

    @property
    def events(self) -> tuple[bytes, ...]:
        return (*self.preamble, *self.words, *self.ending, self.mark)


def speech(dialect: DialectName, words: Sequence[str] = WORDS) -> Speech:
    return _SPEECHES[dialect](words)


def _data(document: Any, name: str = "") -> bytes:
    event = f"event: {name}\n".encode() if name else b""
    return event + b"data: " + msgspec.json.encode(document) + b"\n\n"


_GARBAGE: Final = b'data: {"choices":[{"index":0,"del\n\n'


def _chat(words: Sequence[str]) -> Speech:
    base = {"id": "chatcmpl-1", "created": 1, "model": "m"}
    usage = {"prompt_tokens": 3, "completion_tokens": 8, "total_tokens": 11}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _data({**base, "object": "chat.completion.chunk", "choices": [choice]})

    message = {"role": "assistant", "content": "".join(words)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return Speech(
        whole=msgspec.json.encode(
            {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
        ),
        preamble=(chunk({"role": "assistant", "content": ""}),),
        words=tuple(chunk({"content": word}) for word in words),
        ending=(
            chunk({}, "stop"),
            _data({**base, "object": "chat.completion.chunk", "choices": [], "usage": usage}),
        ),
        mark=b"data: [DONE]\n\n",
        garbage=_GARBAGE,
        comment=b": still here\n\n",
    )


def _responses(words: Sequence[str]) -> Speech:
    text = "".join(words)
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    base = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m"}
    usage = {"input_tokens": 3, "output_tokens": 8, "total_tokens": 11}
    done = {**base, "status": "completed", "output": [{**item, "content": [part]}], "usage": usage}
    begun = {**base, "status": "in_progress", "output": []}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    numbers = iter(range(1000))

    def event(name: str, **fields: Any) -> bytes:
        return _data({"type": name, "sequence_number": next(numbers), **fields}, name)

    def item_event(name: str, held: dict[str, Any]) -> bytes:
        return event(f"response.output_item.{name}", output_index=0, item=held)

    return Speech(
        whole=msgspec.json.encode(done),
        preamble=(
            event("response.created", response=begun),
            event("response.in_progress", response=begun),
            item_event("added", {**item, "status": "in_progress", "content": []}),
            event("response.content_part.added", **where, part={**part, "text": ""}),
        ),
        words=tuple(event("response.output_text.delta", **where, delta=word) for word in words),
        ending=(
            event("response.output_text.done", **where, text=text),
            event("response.content_part.done", **where, part=part),
            item_event("done", {**item, "content": [part]}),
        ),
        mark=event("response.completed", response=done),
        garbage=b"event: response.output_text.delta\n" + _GARBAGE,
        comment=b": still here\n\n",
    )


def _anthropic(words: Sequence[str]) -> Speech:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    usage = {"input_tokens": 3, "output_tokens": 8}

    def event(name: str, **fields: Any) -> bytes:
        return _data({"type": name, **fields}, name)

    return Speech(
        whole=msgspec.json.encode(
            {
                **message,
                "content": [{"type": "text", "text": "".join(words)}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": usage,
            }
        ),
        preamble=(
            event(
                "message_start",
                message={**message, "content": [], "stop_reason": None, "usage": usage},
            ),
            event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            event("ping"),
        ),
        words=tuple(
            event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
            for word in words
        ),
        ending=(
            event("content_block_stop", index=0),
            event(
                "message_delta",
                delta={"stop_reason": "end_turn", "stop_sequence": None},
                usage={"output_tokens": 8},
            ),
        ),
        mark=event("message_stop"),
        garbage=b"event: content_block_delta\n" + _GARBAGE,
        comment=event("ping"),
    )


def _gemini(words: Sequence[str]) -> Speech:
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 8, "totalTokenCount": 11}
    base = {"usageMetadata": usage, "modelVersion": "m", "responseId": "r1"}

    def said(text: str, **fields: Any) -> dict[str, Any]:
        content = {"role": "model", "parts": [{"text": text}]}
        return {"candidates": [{"content": content, "index": 0, **fields}], **base}

    return Speech(
        whole=msgspec.json.encode(said("".join(words), finishReason="STOP")),
        preamble=(),
        words=tuple(_data(said(word)) for word in words),
        ending=(_data(said("", finishReason="STOP")),),
        mark=b"",
        garbage=_GARBAGE,
        comment=b": still here\n\n",
    )


def _converse(words: Sequence[str]) -> Speech:
    usage = {"inputTokens": 3, "outputTokens": 8, "totalTokens": 11}
    message = {"role": "assistant", "content": [{"text": "".join(words)}]}

    def event(name: str, **fields: Any) -> bytes:
        return eventstream.render(msgspec.json.encode(fields), name)

    return Speech(
        whole=msgspec.json.encode(
            {
                "output": {"message": message},
                "stopReason": "end_turn",
                "usage": usage,
                "metrics": {"latencyMs": 1},
            }
        ),
        preamble=(event("messageStart", role="assistant"),),
        words=tuple(
            event("contentBlockDelta", contentBlockIndex=0, delta={"text": word}) for word in words
        ),
        ending=(
            event("contentBlockStop", contentBlockIndex=0),
            event("messageStop", stopReason="end_turn"),
        ),
        mark=event("metadata", usage=usage, metrics={"latencyMs": 1}),
        garbage=eventstream.render(b'{"contentBlockIndex":0,"del', "contentBlockDelta"),
        comment=b"",
        content_type="application/vnd.amazon.eventstream",
    )


_SPEECHES: Final = {
    "openai_chat": _chat,
    "openai_responses": _responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "converse": _converse,
}

# --- What is wrong --------------------------------------------------------------------------------

_GOOGLE_STATUS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_AWS_CLASS: Final = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_ANTHROPIC_TYPE: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_OPENAI_TYPE: Final = {
    429: ("requests", "rate_limit_exceeded"),
    401: ("invalid_request_error", "invalid_api_key"),
}


class Wrong(Struct, frozen=True):
    """An error reply."""

    status: int
    message: str
    code: str | None = None
    """OpenAI's."""


def error_reply(dialect: DialectName, wrong: Wrong) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an error with a status."""
    document: dict[str, Any]
    headers: dict[str, str] = {}
    match dialect:
        case "anthropic":
            kind = _ANTHROPIC_TYPE.get(wrong.status, "api_error")
            document = {
                "type": "error",
                "error": {"type": kind, "message": wrong.message},
                "request_id": "req_1",
            }
        case "gemini":
            status = _GOOGLE_STATUS.get(wrong.status, "UNKNOWN")
            document = {"error": {"code": wrong.status, "message": wrong.message, "status": status}}
        case "converse":
            document = {"message": wrong.message}
            headers["x-amzn-errortype"] = _AWS_CLASS.get(wrong.status, "ValidationException")
        case _:
            by_status = "server_error" if wrong.status >= 500 else "invalid_request_error"
            kind, code = _OPENAI_TYPE.get(wrong.status, (by_status, None))
            error = {
                "message": wrong.message,
                "type": kind,
                "param": None,
                "code": wrong.code or code,
            }
            document = {"error": error}
    return msgspec.json.encode(document), headers


OVERLOADED: Final = Wrong(503, "The model is overloaded. Please try again later.")


def error_event(dialect: DialectName) -> bytes:
    """Overload, told inside a stream whose status was 200."""
    match dialect:
        case "anthropic":
            error = {"type": "overloaded_error", "message": "Overloaded"}
            return _data({"type": "error", "error": error}, "error")
        case "gemini":
            return _data(msgspec.json.decode(error_reply(dialect, OVERLOADED)[0]))
        case "converse":
            payload = msgspec.json.encode({"message": OVERLOADED.message})
            return eventstream.render_exception(payload, "serviceUnavailableException")
        case "openai_responses":
            return _data(
                {
                    "type": "error",
                    "code": "server_error",
                    "message": "The server had an error while processing your request.",
                    "param": None,
                    "sequence_number": 1,
                },
                "error",
            )
        case _:
            return _data(
                {"error": {"message": "The server is overloaded.", "type": "server_error"}}
            )


TOO_LONG: Final[dict[DialectName, Wrong]] = {
    "openai_chat": Wrong(
        400,
        "This model's maximum context length is 128000 tokens. However, your messages resulted "
        "in 150011 tokens. Please reduce the length of the messages.",
        "context_length_exceeded",
    ),
    "openai_responses": Wrong(
        400,
        "Your input exceeds the context window of this model. Please adjust your input and try "
        "again.",
        "context_length_exceeded",
    ),
    "anthropic": Wrong(400, "prompt is too long: 213532 tokens > 200000 maximum"),
    "gemini": Wrong(
        400,
        "The input token count (1200026) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "converse": Wrong(
        400,
        "The model returned the following errors: Input is too long for requested model.",
    ),
}
POLICY: Final[dict[DialectName, Wrong]] = {
    "openai_chat": Wrong(
        400,
        "The response was filtered due to the prompt triggering Azure OpenAI's content management "
        "policy. Please modify your prompt and retry.",
        "content_filter",
    ),
    "openai_responses": Wrong(
        400,
        "Invalid prompt: your prompt was flagged as potentially violating our usage policy. "
        "Please try again with a different prompt.",
        "invalid_prompt",
    ),
    "anthropic": Wrong(400, "Output blocked by content filtering policy"),
    "gemini": Wrong(
        400,
        "The prompt could not be submitted. This prompt contains sensitive words that violate "
        "Google's Responsible AI practices.",
    ),
    "converse": Wrong(
        400,
        "The model returned the following errors: Output blocked by content filtering policy",
    ),
}
KEY_REFUSED: Final[dict[DialectName, Wrong]] = {
    "openai_chat": Wrong(401, "Incorrect API key provided: sk-of-the-endpoint."),
    "openai_responses": Wrong(401, "Incorrect API key provided: sk-of-the-endpoint."),
    "anthropic": Wrong(401, "invalid x-api-key"),
    "gemini": Wrong(400, "API key not valid. Please pass a valid API key."),
    "converse": Wrong(403, "The security token included in the request is invalid."),
}
MODEL_MISSING: Final[dict[DialectName, Wrong]] = {
    "openai_chat": Wrong(
        404, "The model `m` does not exist or you do not have access to it.", "model_not_found"
    ),
    "openai_responses": Wrong(
        404, "The model `m` does not exist or you do not have access to it.", "model_not_found"
    ),
    "anthropic": Wrong(404, "model: m"),
    "gemini": Wrong(
        404,
        "models/m is not found for API version v1beta, or is not supported for generateContent. "
        "Call ListModels to see the list of available models and their supported methods.",
    ),
    "converse": Wrong(
        404, "This model version has reached the end of its life. Please refer to the AWS docs."
    ),
}
