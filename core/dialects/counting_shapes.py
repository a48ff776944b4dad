"""How each provider takes a request whose tokens are to be counted, and how it says the number.

The request itself is written by a dialect, as if it were to be answered; a
row says what of it the counting API has a place for. Google and AWS have two
ways each, by the place where the model runs.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from core import envelope as envelopes
from core.envelope import Envelope
from core.errors import UpstreamError

Kind: TypeAlias = Literal[
    "anthropic",
    "claude_on_bedrock",
    "claude_on_vertex",
    "converse",
    "gemini",
    "gemini_on_vertex",
    "responses",
]


class Shape(Struct, frozen=True, kw_only=True):
    path: str
    """What follows the base URL; `{model}` is filled by whoever makes the address."""
    write: Callable[[Envelope, str], object]
    """From the body of a chat request, and the model's name."""
    number: str
    """The field of the reply that holds it."""


NUMBER_OF: Final[Mapping[str, str]] = {
    "anthropic": "input_tokens",
    "openai_responses": "input_tokens",
    "gemini": "totalTokens",
    "converse": "inputTokens",
}
"""The same field of an answer, by the client's dialect."""

_OF_THE_ANSWER: Final = frozenset(
    {
        "max_tokens",
        "metadata",
        "service_tier",
        "stop_sequences",
        "stream",
        "temperature",
        "top_k",
        "top_p",
    }
)
"""What Anthropic's counting refuses, since it changes the answer only."""
_RESPONSES: Final = frozenset(
    {
        "conversation",
        "input",
        "instructions",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "reasoning",
        "text",
        "tool_choice",
        "tools",
        "truncation",
    }
)
_VERTEX: Final = frozenset({"contents", "generationConfig", "systemInstruction", "tools"})
_CONVERSE: Final = frozenset({"additionalModelRequestFields", "messages", "system", "toolConfig"})
_MAX_TOKENS: Final = Raw(b"4096")


def _only(names: frozenset[str]) -> Callable[[Envelope, str], object]:
    return lambda fields, _: {name: raw for name, raw in fields.items() if name in names}


def _claude(fields: Envelope, _: str) -> Envelope:
    return {name: raw for name, raw in fields.items() if name not in _OF_THE_ANSWER}


def _claude_named(fields: Envelope, model: str) -> object:
    # The one address of Vertex that has no model in its path.
    return {**_claude(fields, ""), "model": envelopes.raw(model)}


def _invoked(fields: Envelope, _: str) -> object:
    # A whole request of InvokeModel, which asks for `max_tokens` where counting does not.
    body = envelopes.join({"max_tokens": _MAX_TOKENS, **fields})
    return {"input": {"invokeModel": {"body": b64encode(body).decode()}}}


def _conversed(fields: Envelope, _: str) -> object:
    return {"input": {"converse": _only(_CONVERSE)(fields, "")}}


def _generated(fields: Envelope, model: str) -> object:
    # Beside `contents` alone, Google takes tools and instructions in a whole request only.
    name = model if model.startswith("models/") else f"models/{model}"
    return {"generateContentRequest": {"model": name, **fields}}


SHAPES: Final[Mapping[Kind, Shape]] = {
    # https://docs.claude.com/en/api/messages-count-tokens
    "anthropic": Shape(path="/messages/count_tokens", write=_claude, number="input_tokens"),
    # https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/count-tokens
    "claude_on_vertex": Shape(
        path="/messages/count_tokens", write=_claude_named, number="input_tokens"
    ),
    # https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html
    "claude_on_bedrock": Shape(
        path="/model/{model}/count-tokens", write=_invoked, number="inputTokens"
    ),
    "converse": Shape(path="/model/{model}/count-tokens", write=_conversed, number="inputTokens"),
    # https://ai.google.dev/api/tokens
    "gemini": Shape(path="/models/{model}:countTokens", write=_generated, number="totalTokens"),
    "gemini_on_vertex": Shape(
        path="/models/{model}:countTokens", write=_only(_VERTEX), number="totalTokens"
    ),
    # https://platform.openai.com/docs/api-reference/responses/input-tokens
    "responses": Shape(
        path="/responses/input_tokens", write=_only(_RESPONSES), number="input_tokens"
    ),
}


def opened(envelope: Envelope, dialect: str) -> Envelope:
    """The chat request that a client wants counted, as its dialect would send it."""
    if dialect == "gemini":
        whole: Envelope = envelopes.read(envelope, "generateContentRequest", Envelope, {})
        return {n: raw for n, raw in whole.items() if n != "model"} or envelope
    if dialect == "converse":
        given: dict[str, Envelope] = envelopes.read(envelope, "input", dict[str, Envelope], {})
        return given.get("converse", {})
    return envelope


def read(shape: Shape, body: bytes) -> int:
    try:
        reply = msgspec.json.decode(body, type=dict[str, Raw])
        return msgspec.json.decode(reply[shape.number], type=int)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError) as error:
        raise UpstreamError("The provider's answer holds no number of tokens.") from error


def render(dialect: str, tokens: int) -> bytes:
    said: dict[str, Any] = {NUMBER_OF[dialect]: tokens}
    if dialect == "openai_responses":
        said = {"object": "response.input_tokens", **said}
    return msgspec.json.encode(said)
