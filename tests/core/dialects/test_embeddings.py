"""Embeddings: one request of OpenAI's, every provider's own shape."""

import struct
from base64 import b64decode
from typing import Any

import msgspec
import pytest

from core import envelope
from core.dialects import embeddings
from core.dialects.embedding_shapes import Kind, Shape, Vectors, shape_of
from core.errors import BadRequestError, UpstreamError
from tests import corpus


def parsed(**fields: Any) -> embeddings.Wanted:
    return embeddings.parse_request(envelope.split(msgspec.json.encode({"model": "m", **fields})))


def shape(kind: Kind, model: str) -> Shape:
    found = shape_of(kind, model)
    assert found is not None
    return found


def sent(kind: Kind, model: str, **fields: Any) -> list[Any]:
    bodies = embeddings.bodies(parsed(**fields), shape(kind, model), model)
    return [msgspec.json.decode(body) for body in bodies]


TITAN = "amazon.titan-embed-text-v2:0"
NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"


@pytest.mark.parametrize(
    ("kind", "model", "fields", "bodies"),
    [
        (
            "renamed",
            "voyage-3.5",
            {"input": "a", "dimensions": 256, "encoding_format": "base64", "input_type": "query"},
            [
                {
                    "model": "voyage-3.5",
                    "input": ["a"],
                    "output_dimension": 256,
                    "input_type": "query",
                }
            ],
        ),
        (
            "gemini",
            "gemini-embedding-001",
            {"input": ["a", "b"], "dimensions": 768, "task_type": "CLUSTERING"},
            [
                {
                    "requests": [
                        {
                            "model": "models/gemini-embedding-001",
                            "content": {"parts": [{"text": text}]},
                            "outputDimensionality": 768,
                            "taskType": "CLUSTERING",
                        }
                        for text in "ab"
                    ]
                }
            ],
        ),
        (
            "vertex",
            "text-embedding-005",
            {"input": ["a", "b"], "dimensions": 8},
            [
                {
                    "instances": [{"content": "a"}, {"content": "b"}],
                    "parameters": {"outputDimensionality": 8},
                }
            ],
        ),
        (
            "vertex",
            "publishers/google/models/gemini-embedding-001",
            {"input": ["a", "b"]},
            [{"instances": [{"content": "a"}]}, {"instances": [{"content": "b"}]}],
        ),
        (
            "vertex",
            "gemini-embedding-2",
            {"input": "a", "dimensions": 8},
            [
                {
                    "content": {"parts": [{"text": "a"}]},
                    "embedContentConfig": {"outputDimensionality": 8},
                }
            ],
        ),
        (
            "cohere",
            "embed-v4.0",
            {"input": "a", "dimensions": 1024, "truncate": "NONE"},
            [
                {
                    "model": "embed-v4.0",
                    "embedding_types": ["float"],
                    "texts": ["a"],
                    "input_type": "search_document",
                    "output_dimension": 1024,
                    "truncate": "NONE",
                }
            ],
        ),
        (
            "bedrock",
            TITAN,
            {"input": ["a", "b"], "dimensions": 256, "normalize": True},
            [{"inputText": text, "dimensions": 256, "normalize": True} for text in "ab"],
        ),
        (
            "bedrock",
            "us.cohere.embed-v4:0",
            {"input": ["a", "b"], "dimensions": 512, "input_type": "search_query"},
            [{"texts": ["a", "b"], "input_type": "search_query", "output_dimension": 512}],
        ),
        (
            "bedrock",
            NOVA,
            {"input": "a", "dimensions": 256},
            [
                {
                    "taskType": "SINGLE_EMBEDDING",
                    "singleEmbeddingParams": {
                        "embeddingPurpose": "GENERIC_INDEX",
                        "text": {"truncationMode": "NONE", "value": "a"},
                        "embeddingDimension": 256,
                    },
                }
            ],
        ),
    ],
)
def test_every_provider_gets_its_own_shape(
    kind: Kind, model: str, fields: dict[str, Any], bodies: list[Any]
):
    assert sent(kind, model, **fields) == bodies


@pytest.mark.parametrize(
    ("kind", "model", "sizes"),
    [
        ("renamed", "mistral-embed", [128, 72]),
        ("gemini", "gemini-embedding-001", [100, 100]),
        ("cohere", "embed-v4.0", [96, 96, 8]),
        ("bedrock", TITAN, [1] * 200),
    ],
)
def test_more_texts_than_fit_are_several_requests_in_their_order(
    kind: Kind, model: str, sizes: list[int]
):
    wanted = parsed(input=[f"text {n}" for n in range(200)])
    bodies = embeddings.bodies(wanted, shape(kind, model), model)
    assert [body.count(b"text ") for body in bodies] == sizes
    last = embeddings.bodies(wanted, shape(kind, model), model)[-1]
    assert b"text 199" in last


def test_openais_own_shape_is_left_alone():
    assert shape_of("openai", "text-embedding-3-small") is None


@pytest.mark.parametrize(
    ("kind", "model"), [("none", "claude-sonnet-4-5"), ("bedrock", "anthropic.claude-3")]
)
def test_a_provider_without_embeddings_is_named(kind: Kind, model: str):
    with pytest.raises(BadRequestError) as caught:
        shape_of(kind, model)
    assert caught.value.param == "model"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": [1, 2]}, "input"),
        ({"input": [[1, 2], [3]]}, "input"),
        ({"input": ["a", 1]}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, None),
        ({}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "dimensions": "many"}, "dimensions"),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_name(fields: dict[str, Any], param: str | None):
    if param is None:
        assert parsed(**fields).texts == ("",)
        return
    with pytest.raises(BadRequestError) as caught:
        parsed(**fields)
    assert caught.value.param == param


def test_what_has_no_place_is_named():
    wanted = parsed(input="a", user="me", truncate="END", wild=1)
    assert embeddings.dropped(wanted, shape("cohere", "embed-v4.0")) == ("user", "wild")
    assert embeddings.dropped(wanted, shape("bedrock", TITAN)) == ("user", "truncate", "wild")


def rendered(vectors: list[bytes], **fields: Any) -> Any:
    reply = Vectors([msgspec.Raw(vector) for vector in vectors], 3)
    return msgspec.json.decode(embeddings.render_reply(parsed(**fields), [reply]))


def test_numbers_go_back_as_they_were_written():
    body = embeddings.render_reply(parsed(input="a"), [Vectors([msgspec.Raw(b"[1.50,-0.0]")], 3)])
    assert body == (
        b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1.50,-0.0]}],'
        b'"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}'
    )


def test_base64_is_little_endian_floats_both_ways():
    packed = rendered([b"[1.5,-2]"], input="a", encoding_format="base64")["data"][0]["embedding"]
    assert struct.unpack("<2f", b64decode(packed)) == (1.5, -2.0)
    again = rendered([b'"' + packed.encode() + b'"'], input="a")["data"][0]["embedding"]
    assert again == [1.5, -2.0]
    same = rendered([b'"AACAPw=="'], input="a", encoding_format="base64")
    assert same["data"][0]["embedding"] == "AACAPw=="


@pytest.mark.parametrize("vector", [b'["a"]', b"{}", b"[1e300]", b'"AAA="', b'"!"'])
def test_what_is_no_vector_is_a_502(vector: bytes):
    form = "float" if vector.startswith(b'"') else "base64"
    with pytest.raises(UpstreamError):
        rendered([vector], input="a", encoding_format=form)


def test_a_text_without_its_vector_is_a_502():
    with pytest.raises(UpstreamError):
        rendered([b"[1]"], input=["a", "b"])


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"data":3}', b"\xff", b"[" * 100_000])
@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("renamed", "m"),
        ("vertex", "m"),
        ("cohere", "m"),
        ("bedrock", TITAN),
        ("bedrock", NOVA),
        ("bedrock", "cohere.embed-v4:0"),
    ],
)
def test_an_answer_without_embeddings_is_a_502(kind: Kind, model: str, body: bytes):
    with pytest.raises(UpstreamError):
        embeddings.read(shape(kind, model), body, {})


def test_voyages_total_and_mistrals_prompt_are_the_tokens():
    row = shape("renamed", "m")
    for usage, tokens in (({"total_tokens": 4}, 4), ({"prompt_tokens": 3, "total_tokens": 4}, 3)):
        body = {"data": [{"embedding": [2], "index": 1}, {"embedding": [1], "index": 0}]}
        read = embeddings.read(row, msgspec.json.encode({**body, "usage": usage}), {})
        assert read.tokens == tokens
        assert [bytes(vector) for vector in read.vectors] == [b"[1]", b"[2]"]


RECORDED: list[tuple[str, Kind, str]] = [
    ("google.embedContents", "gemini", "embeddings"),
    ("vertex.embedContent", "vertex", "embedding"),
    ("vertex.predict", "vertex", "predictions"),
    ("cohere.v2-embed", "cohere", "embeddings"),
    ("mistral.embeddings", "renamed", "data"),
    ("voyage.embeddings", "renamed", "data"),
    ("bedrock.invoke", "bedrock", "embed"),
]


def texts_of(body: Any) -> int:
    """How many texts a recorded request holds."""
    for name in ("requests", "instances", "texts"):
        if name in body:
            return len(body[name])
    return len(body["input"]) if isinstance(body.get("input"), list) else 1


@pytest.mark.corpus
@pytest.mark.parametrize(("api", "kind", "holds"), RECORDED)
def test_recorded_answers_are_read_whole(api: str, kind: Kind, holds: str):
    read = 0
    for recording in corpus.recordings(api):
        body = recording.response.body
        path = recording.request.path
        if recording.response.status >= 400 or (api == "bedrock.invoke" and "embed" not in path):
            continue
        assert holds == "embed" or holds in body
        model = path.rpartition("/models/")[2] if "/models/" in path else path.replace("%3A", ":")
        row = shape(kind, model.partition(":")[0] if kind == "vertex" else model)
        vectors = embeddings.read(row, msgspec.json.encode(body), {})
        count = texts_of(recording.request.body)
        assert len(vectors.vectors) == count, recording.id
        wanted = parsed(input=["x"] * count, encoding_format="base64")
        answer = msgspec.json.decode(embeddings.render_reply(wanted, [vectors]))
        assert all(len(b64decode(item["embedding"])) >= 4 * 128 for item in answer["data"])
        read += 1
    assert read
