"""Embeddings: OpenAI's request in, each provider's own shape out, OpenAI's answer back.

Most providers take OpenAI's body as it is: for them there is no shape and the
bytes pass. A vector's numbers stay raw JSON unless the client asked for
base64. A provider that takes few texts at a time gets several requests.
https://platform.openai.com/docs/api-reference/embeddings/create
"""

import struct
from binascii import b2a_base64
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from core import envelope as envelopes
from core.dialects.embedding_shapes import Shape, Vectors, Wanted
from core.envelope import Envelope
from core.errors import BadRequestError, UpstreamError

MOST_TEXTS: Final = 2048
"""OpenAI's own limit: where a provider takes one text at a time, each is a request."""
_COMMON: Final = frozenset({"model", "input", "dimensions", "encoding_format"})


def parse_request(envelope: Envelope) -> Wanted:
    """400 where a target that needs text gets tokens, or nothing."""
    texts: Any = envelopes.read(envelope, "input", str | list[str | int | list[int]], None)
    if isinstance(texts, str):
        texts = [texts]
    if not texts:
        raise BadRequestError("`input` is missing: a text, or a list of texts.", param="input")
    if not all(isinstance(text, str) for text in texts):
        raise BadRequestError(
            "This model's provider takes text, not tokens: send `input` as text.", param="input"
        )
    if len(texts) > MOST_TEXTS:
        raise BadRequestError(f"`input` has more than {MOST_TEXTS} texts.", param="input")
    form = envelopes.read(envelope, "encoding_format", str, "float")
    if form not in ("float", "base64"):
        raise BadRequestError("`encoding_format` is float or base64.", param="encoding_format")
    return Wanted(
        model=envelopes.read(envelope, "model", str, ""),
        texts=tuple(texts),
        dimensions=envelopes.read(envelope, "dimensions", int, None),
        base64=form == "base64",
        extras={name: raw for name, raw in envelope.items() if name not in _COMMON},
    )


def bodies(wanted: Wanted, shape: Shape, model: str) -> list[bytes]:
    """Every request that is needed, in the order of the texts."""
    named = {new: wanted.extras[old] for old, new in shape.extras.items() if old in wanted.extras}
    pieces = [
        wanted.texts[start : start + shape.most]
        for start in range(0, len(wanted.texts), shape.most)
    ]
    replaced = msgspec.structs.replace(wanted, extras=named)
    return [msgspec.json.encode(shape.render(replaced, piece, model)) for piece in pieces]


def dropped(wanted: Wanted, shape: Shape) -> tuple[str, ...]:
    return tuple(name for name in wanted.extras if name not in shape.extras)


def read(shape: Shape, body: bytes, headers: Mapping[str, str]) -> Vectors:
    try:
        return shape.read(body, headers)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError("The provider's answer holds no embeddings.") from error


def render_reply(wanted: Wanted, replies: Iterable[Vectors]) -> bytes:
    """OpenAI's answer. 502 where a text came back without its vector."""
    replies = tuple(replies)
    vectors = [vector for reply in replies for vector in reply.vectors]
    if len(vectors) != len(wanted.texts):
        raise UpstreamError(
            f"The provider answered {len(vectors)} embeddings for {len(wanted.texts)} texts."
        )
    tokens = sum(reply.tokens or 0 for reply in replies)
    data = [
        {"object": "embedding", "index": index, "embedding": _written(vector, wanted.base64)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode(
        {"object": "list", "data": data, "model": wanted.model, "usage": usage}
    )


def _written(vector: Raw, base64: bool) -> object:
    is_text = bytes(vector).lstrip()[:1] == b'"'
    if is_text == base64:
        return vector
    try:
        if is_text:
            raw = msgspec.json.decode(vector, type=bytes)
            return struct.unpack(f"<{len(raw) // 4}f", raw)
        numbers = msgspec.json.decode(vector, type=list[float])
        packed = struct.pack(f"<{len(numbers)}f", *numbers)
    except (msgspec.DecodeError, struct.error, OverflowError) as error:
        raise UpstreamError("The provider's embeddings are no lists of numbers.") from error
    return b2a_base64(packed, newline=False).decode()
