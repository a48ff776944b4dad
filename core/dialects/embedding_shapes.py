"""How each provider takes texts and gives vectors, where that is not OpenAI's way.

A reply's vectors are never opened here: a row says where they lie.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from core.envelope import Envelope
from core.errors import BadRequestError
from core.routes import DialectName

Kind: TypeAlias = Literal["openai", "renamed", "gemini", "vertex", "cohere", "bedrock", "none"]
"""How a provider takes embeddings; `openai`: the client's bytes pass; `none`: it has none."""


class Wanted(Struct, frozen=True, kw_only=True):
    """A client's request, checked."""

    model: str
    texts: tuple[str, ...]
    dimensions: int | None
    base64: bool
    extras: Envelope
    """What OpenAI's request has no field for, and `user`."""


class Vectors(Struct, frozen=True):
    """One reply. A vector is a JSON array of numbers, or a text of base64."""

    vectors: Sequence[Raw]
    tokens: int | None


class Shape(Struct, frozen=True, kw_only=True):
    path: str
    """What follows the base URL; `{model}` is filled by whoever makes the address."""
    dialect: DialectName
    """Whose addresses it lies beside."""
    render: Callable[[Wanted, Sequence[str], str], dict[str, Any]]
    read: Callable[[bytes, Mapping[str, str]], Vectors]
    most: int = 1
    """How many texts one request may hold."""
    extras: Mapping[str, str] = {}
    """Fields of the client's own -> where the provider has them."""
    beside: tuple[str, ...] = ()
    """Ends of a base URL that this path does not follow."""


# OpenAI's own body, with the names that Mistral and Voyage have for its fields.


class _Item(Struct, frozen=True):
    embedding: Raw
    index: int = 0


class _Usage(Struct, frozen=True):
    total_tokens: int | None = None
    prompt_tokens: int | None = None


class _Openai(Struct, frozen=True):
    data: list[_Item]
    usage: _Usage = _Usage()


def _renamed(wanted: Wanted, texts: Sequence[str], model: str) -> dict[str, Any]:
    sized = {} if wanted.dimensions is None else {"output_dimension": wanted.dimensions}
    return {"model": model, "input": texts, **sized, **wanted.extras}


def _read_openai(body: bytes, _: Mapping[str, str]) -> Vectors:
    reply = msgspec.json.decode(body, type=_Openai)
    ordered = sorted(reply.data, key=lambda item: item.index)
    tokens = reply.usage.prompt_tokens
    if tokens is None:
        tokens = reply.usage.total_tokens
    return Vectors([item.embedding for item in ordered], tokens)


# Google. https://ai.google.dev/api/embeddings


class _Values(Struct, frozen=True):
    values: Raw


class _GeminiUsage(Struct, frozen=True):
    tokens: int | None = msgspec.field(default=None, name="promptTokenCount")


class _Gemini(Struct, frozen=True):
    embeddings: list[_Values] = []
    embedding: _Values | None = None
    usage: _GeminiUsage = msgspec.field(default=_GeminiUsage(), name="usageMetadata")


def _content(text: str) -> dict[str, Any]:
    return {"parts": [{"text": text}]}


def _sized(wanted: Wanted) -> dict[str, Any]:
    return {} if wanted.dimensions is None else {"outputDimensionality": wanted.dimensions}


def _gemini(wanted: Wanted, texts: Sequence[str], model: str) -> dict[str, Any]:
    each = {**_sized(wanted), **wanted.extras}
    name = model if model.startswith("models/") else f"models/{model}"
    return {"requests": [{"model": name, "content": _content(text), **each} for text in texts]}


def _vertex_content(wanted: Wanted, texts: Sequence[str], _: str) -> dict[str, Any]:
    settings = {**_sized(wanted), **wanted.extras}
    return {"content": _content(texts[0]), **({"embedContentConfig": settings} if settings else {})}


def _read_gemini(body: bytes, _: Mapping[str, str]) -> Vectors:
    reply = msgspec.json.decode(body, type=_Gemini)
    found = [*reply.embeddings, *([reply.embedding] if reply.embedding else [])]
    return Vectors([vector.values for vector in found], reply.usage.tokens)


# Vertex. https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api


class _Statistics(Struct, frozen=True):
    token_count: float = 0


class _Embedded(Struct, frozen=True):
    values: Raw
    statistics: _Statistics = _Statistics()


class _Prediction(Struct, frozen=True):
    embeddings: _Embedded


class _Predictions(Struct, frozen=True):
    predictions: list[_Prediction]


def _predict(wanted: Wanted, texts: Sequence[str], _: str) -> dict[str, Any]:
    sized = _sized(wanted)
    instances = [{"content": text, **wanted.extras} for text in texts]
    return {"instances": instances, **({"parameters": sized} if sized else {})}


def _read_predictions(body: bytes, _: Mapping[str, str]) -> Vectors:
    found = [item.embeddings for item in msgspec.json.decode(body, type=_Predictions).predictions]
    tokens = int(sum(vector.statistics.token_count for vector in found))
    return Vectors([vector.values for vector in found], tokens)


# Cohere, at home and on Bedrock. https://docs.cohere.com/reference/embed


class _ByType(Struct, frozen=True):
    floats: list[Raw] = msgspec.field(name="float")


class _Billed(Struct, frozen=True):
    input_tokens: float | None = None


class _CohereMeta(Struct, frozen=True):
    billed_units: _Billed = _Billed()


class _Cohere(Struct, frozen=True):
    embeddings: Raw
    meta: _CohereMeta = _CohereMeta()


def _cohere_texts(wanted: Wanted, texts: Sequence[str], _: str) -> dict[str, Any]:
    sized = {} if wanted.dimensions is None else {"output_dimension": wanted.dimensions}
    return {"texts": texts, "input_type": "search_document", **sized, **wanted.extras}


def _cohere(wanted: Wanted, texts: Sequence[str], model: str) -> dict[str, Any]:
    body = _cohere_texts(wanted, texts, model)
    return {"model": model, "embedding_types": ["float"], **body}


def _read_cohere(body: bytes, headers: Mapping[str, str]) -> Vectors:
    reply = msgspec.json.decode(body, type=_Cohere)
    if bytes(reply.embeddings).lstrip()[:1] == b"[":  # As version 3 answers on Bedrock.
        vectors = msgspec.json.decode(reply.embeddings, type=list[Raw])
    else:
        vectors = msgspec.json.decode(reply.embeddings, type=_ByType).floats
    billed = reply.meta.billed_units.input_tokens
    return Vectors(vectors, _counted(headers) if billed is None else int(billed))


# Amazon. https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html


class _Titan(Struct, frozen=True):
    embedding: Raw
    tokens: int | None = msgspec.field(default=None, name="inputTextTokenCount")


class _Nova(Struct, frozen=True):
    embeddings: list[_Item]


def _counted(headers: Mapping[str, str]) -> int | None:
    count = headers.get("x-amzn-bedrock-input-token-count", "")
    return int(count) if count.isdecimal() else None


def _titan(wanted: Wanted, texts: Sequence[str], _: str) -> dict[str, Any]:
    sized = {} if wanted.dimensions is None else {"dimensions": wanted.dimensions}
    return {"inputText": texts[0], **sized, **wanted.extras}


def _read_titan(body: bytes, headers: Mapping[str, str]) -> Vectors:
    reply = msgspec.json.decode(body, type=_Titan)
    tokens = _counted(headers) if reply.tokens is None else reply.tokens
    return Vectors([reply.embedding], tokens)


def _nova(wanted: Wanted, texts: Sequence[str], _: str) -> dict[str, Any]:
    sized = {} if wanted.dimensions is None else {"embeddingDimension": wanted.dimensions}
    settings = {
        "embeddingPurpose": "GENERIC_INDEX",
        "text": {"truncationMode": "NONE", "value": texts[0]},
        **sized,
        **wanted.extras,
    }
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": settings}


def _read_nova(body: bytes, headers: Mapping[str, str]) -> Vectors:
    items = msgspec.json.decode(body, type=_Nova).embeddings
    return Vectors([item.embedding for item in items], _counted(headers))


_COHERE_EXTRAS: Final = {"input_type": "input_type", "truncate": "truncate"}
_GOOGLE_EXTRAS: Final = {"task_type": "taskType", "title": "title"}

_RENAMED: Final = Shape(
    path="/embeddings",
    dialect="openai_chat",
    render=_renamed,
    read=_read_openai,
    most=128,
    extras={"input_type": "input_type", "truncation": "truncation"},
)
_GEMINI: Final = Shape(
    path="/models/{model}:batchEmbedContents",
    dialect="gemini",
    render=_gemini,
    read=_read_gemini,
    most=100,
    extras=_GOOGLE_EXTRAS,
)
_VERTEX_CONTENT: Final = Shape(
    path="/models/{model}:embedContent",
    dialect="gemini",
    render=_vertex_content,
    read=_read_gemini,
    extras=_GOOGLE_EXTRAS,
)
_PREDICT: Final = Shape(
    path="/models/{model}:predict",
    dialect="gemini",
    render=_predict,
    read=_read_predictions,
    most=250,
    extras={"task_type": "task_type", "title": "title"},
)
_COHERE: Final = Shape(
    path="/v2/embed",
    dialect="openai_chat",
    render=_cohere,
    read=_read_cohere,
    most=96,
    extras=_COHERE_EXTRAS,
    beside=("/compatibility/v1", "/v1", "/v2"),
)
_INVOKED: Final = Shape(
    path="/model/{model}/invoke",
    dialect="converse",
    render=_titan,
    read=_read_titan,
    extras={"normalize": "normalize"},
)
_INVOKED_NOVA: Final = replace(
    _INVOKED, render=_nova, read=_read_nova, extras={"embedding_purpose": "embeddingPurpose"}
)
_INVOKED_COHERE: Final = replace(
    _INVOKED, render=_cohere_texts, read=_read_cohere, most=96, extras=_COHERE_EXTRAS
)

_SHAPES: Final[Mapping[Kind, tuple[tuple[str, Shape], ...]]] = {
    # The first part that a model's name holds decides.
    "renamed": (("", _RENAMED),),
    "gemini": (("", _GEMINI),),
    "vertex": (
        # One text a request: https://cloud.google.com/vertex-ai/generative-ai/docs/embeddings
        ("gemini-embedding-001", replace(_PREDICT, most=1)),
        ("gemini", _VERTEX_CONTENT),
        ("", _PREDICT),
    ),
    "cohere": (("", _COHERE),),
    "bedrock": (
        ("titan-embed", _INVOKED),
        ("cohere.embed", _INVOKED_COHERE),
        ("nova", _INVOKED_NOVA),
    ),
}


def shape_of(kind: Kind, model: str) -> Shape | None:
    """None where OpenAI's own shape is taken. 400 where the provider has no embeddings."""
    if kind == "openai":
        return None
    for part, shape in _SHAPES.get(kind, ()):
        if part in model:
            return shape
    raise BadRequestError(
        f"`{model[:200]}` is at a provider that makes no embeddings with it.", param="model"
    )
