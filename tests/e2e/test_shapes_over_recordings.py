"""The official SDKs through `cutwater serve`: small shapes and bytes that go through.

What an SDK shows is what it shows when it reads the recording directly; where
the provider's shape is another one, it shows the recording's own vectors.
"""

import asyncio
import base64
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import anthropic
import httpx2 as httpx
import msgspec
import openai
import pytest
from msgspec import Struct

from tests import corpus, processes
from tests.corpus import Recording
from tests.processes import Server

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(120)]

KEY: Final = "cw_test_0123456789abcdef0123456789abcdef"
APIS: Final = (
    "anthropic.count_tokens",
    "bedrock.invoke",
    "cohere.v2-embed",
    "google.embedContents",
    "mistral.embeddings",
    "openai.completions",
    "openai.embeddings",
    "openai.images",
    "openai.moderations",
    "openai.speech",
    "openai.transcriptions",
    "vertex.embedContent",
    "vertex.predict",
    "vllm.completions",
    "voyage.embeddings",
)


class Servers(Struct, frozen=True):
    replay: Server
    cutwater: Server


def endpoints(url: str) -> list[dict[str, Any]]:
    bedrock = {"api_base": url, "region": "us-east-1", "access_key": "AKIA"}
    vertex = {
        "api_base": url,
        "project": "test-project",
        "location": "us-central1",
        "auth_type": "access_token",
    }
    cohere = {"api_base": f"{url}/compatibility/v1"}
    types = {
        "openai": {"api_base": f"{url}/v1"},
        "anthropic": {"api_base": f"{url}/v1"},
        "mistral": {"api_base": f"{url}/v1"},
        "voyage": {"api_base": f"{url}/v1"},
        "google": {"api_base": f"{url}/v1beta"},
        "cohere": cohere,
        "bedrock": bedrock,
        "vertex": vertex,
    }
    return [
        {"name": name, "type": name, "secret": "k", "metadata": metadata}
        for name, metadata in types.items()
    ]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    directory: Path = tmp_path_factory.mktemp("shapes")
    with ExitStack() as stack:
        replay = stack.enter_context(processes.replay_upstream(directory, corpus.require(), APIS))
        org = {
            "name": "acme",
            "keys": [{"name": "ci", "key": KEY}],
            "endpoints": endpoints(replay.url),
        }
        cutwater = stack.enter_context(processes.cutwater(directory, [org]))
        yield Servers(replay, cutwater)


def clients(servers: Servers) -> list[openai.OpenAI]:
    """One that reads the recordings directly, one that reads them through Cutwater."""
    pairs = ((servers.replay.url, "k"), (servers.cutwater.url, KEY))
    return [
        openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30)
        for url, key in pairs
    ]


def recordings(api: str, *, path: str = "") -> list[Recording]:
    return [each for each in corpus.recordings(api) if path in each.request.path]


def named(recording: Recording) -> dict[str, Any]:
    """The recorded request, for a model whose name asks for the recording."""
    body = dict(recording.request.body)
    return {**body, "model": f"{body['model']}-{recording.tail}"}


def shown(call: Any, arguments: dict[str, Any]) -> Any:
    try:
        reply = call(**arguments)
        if arguments.get("stream"):
            return [event.model_dump(exclude_unset=True, warnings=False) for event in reply]
        return reply.model_dump(exclude_unset=True, warnings=False)
    except openai.APIStatusError as error:
        return (error.status_code, error.body)


OPENAI: Final = [
    ("openai.completions", "", lambda client: client.completions.create),
    ("vllm.completions", "", lambda client: client.completions.create),
    ("openai.embeddings", "", lambda client: client.embeddings.create),
    ("openai.moderations", "", lambda client: client.moderations.create),
    ("openai.images", "generations", lambda client: client.images.generate),
]


@pytest.mark.parametrize(("api", "path", "method"), OPENAI, ids=[api for api, _, _ in OPENAI])
def test_openais_routes_show_what_they_show_directly(
    api: str, path: str, method: Any, servers: Servers
) -> None:
    direct, through = clients(servers)
    for recording in recordings(api, path=path):
        arguments = {k: v for k, v in named(recording).items() if v is not None}
        expected = shown(method(direct), arguments)
        assert shown(method(through), arguments) == expected, recording.id


def test_edits_of_images_in_json_go_through(servers: Servers) -> None:
    for recording in recordings("openai.images", path="edits"):
        answers = [
            client.post("/images/edits", body=named(recording), cast_to=httpx.Response)
            if recording.response.status < 400
            else _failed(client, recording)
            for client in clients(servers)
        ]
        assert answers[0].status_code == answers[1].status_code == recording.response.status
        assert answers[0].content == answers[1].content


def _failed(client: openai.OpenAI, recording: Recording) -> Any:
    with pytest.raises(openai.APIStatusError) as caught:
        client.post("/images/edits", body=named(recording), cast_to=httpx.Response)
    return caught.value.response


def test_binary_audio_comes_out_byte_for_byte(servers: Servers) -> None:
    (recording,) = recordings("openai.speech")
    sound = base64.b64decode(recording.response.body_b64)
    for client in clients(servers):
        answer = client.audio.speech.create(**named(recording))
        assert answer.content == sound
        assert answer.response.headers["content-type"] == "audio/mpeg"


def test_a_multipart_upload_arrives_byte_for_byte(servers: Servers) -> None:
    (recording,) = recordings("openai.transcriptions")
    model = f"gpt-4o-transcribe-{recording.tail}"
    sound = bytes(range(256)) * 2000  # More than one piece.
    bodies = []
    for client in clients(servers):
        answer = client.audio.transcriptions.create(
            model=model,
            file=("a.wav", sound, "audio/wav"),
            extra_headers={"content-type": "multipart/form-data; boundary=fixed"},
        )
        assert answer.text == recording.response.body["text"]
        _, received = servers.replay.get(f"/_received/{recording.id}")
        bodies.append(base64.b64decode(received["body_b64"]))
        assert received["headers"]["content-length"] == str(len(bodies[-1]))
        assert received["headers"]["content-type"].endswith("boundary=fixed")
    assert bodies[0] == bodies[1]
    assert sound in bodies[1]


def test_tokens_are_counted_by_anthropic(servers: Servers) -> None:
    client = anthropic.Anthropic(base_url=servers.cutwater.url, api_key=KEY, max_retries=0)
    for recording in recordings("anthropic.count_tokens"):
        body = named(recording)
        answer = client.post(
            "/v1/messages/count_tokens", body=body, cast_to=anthropic.types.MessageTokensCount
        )
        assert answer.input_tokens == recording.response.body["input_tokens"]
        _, received = servers.replay.get(f"/_received/{recording.id}")
        assert received["body"] == body


def _vectors(body: Any) -> list[list[float]] | None:
    """Of a recorded answer, whatever its shape; None where its vectors are base64."""
    match body:
        case {"data": list(items)}:
            found = [item["embedding"] for item in items]
        case {"embeddings": {"float": list(found)}}:
            pass
        case {"embeddings": [{"values": _}, *_] as items}:
            found = [item["values"] for item in items]
        case {"embeddings": [{"embedding": _}, *_] as items}:
            found = [item["embedding"] for item in items]
        case {"embeddings": list(found)}:
            pass
        case {"embedding": {"values": values}}:
            found = [values]
        case {"embedding": list(values)}:
            found = [values]
        case {"predictions": list(items)}:
            found = [item["embeddings"]["values"] for item in items]
        case _:
            raise AssertionError(body.keys())
    return None if isinstance(found[0], str) else found


def _texts(body: Any) -> list[str]:
    match body:
        case {"texts": list(texts)} | {"input": list(texts)}:
            return texts
        case {"input": str(text)} | {"inputText": str(text)}:
            return [text]
        case {"requests": list(requests)}:
            return ["".join(p.get("text", "") for p in r["content"]["parts"]) for r in requests]
        case {"instances": list(instances)}:
            return [instance["content"] for instance in instances]
        case _:
            return ["one text"]


def _model(recording: Recording) -> str:
    path = recording.request.path
    if "/models/" in path:
        name = path.rpartition("/models/")[2].partition(":")[0]
        return f"publishers/google/models/{name}" if "/projects/" in path else name
    if path.startswith("/model/"):
        return path.split("/")[2].replace("%3A", ":")
    return str(recording.request.body["model"])


@pytest.mark.parametrize(
    ("api", "path"),
    [
        ("google.embedContents", ""),
        ("vertex.embedContent", ""),
        ("vertex.predict", ""),
        ("cohere.v2-embed", ""),
        ("mistral.embeddings", ""),
        ("voyage.embeddings", ""),
        ("bedrock.invoke", "embed"),
    ],
)
def test_an_openai_client_embeds_with_every_provider(api: str, path: str, servers: Servers) -> None:
    client = clients(servers)[1]
    name = "mistral" if api.startswith("mistral") else api.partition(".")[0]
    pinned = {"x-bt-endpoint-name": name}
    seen = 0
    for recording in recordings(api, path=path):
        if recording.response.status >= 400:
            continue
        # In float and in base64, which is what the SDK asks for by itself.
        forms: list[dict[str, Any]] = [{"encoding_format": "float"}, {}]
        for form in forms:
            answer = client.embeddings.create(
                model=f"{_model(recording)}-{recording.tail}",
                input=_texts(recording.request.body),
                extra_headers=pinned,
                **form,
            )
            expected = _vectors(recording.response.body)
            if expected is not None:
                got = [item.embedding for item in answer.data]
                assert [len(vector) for vector in got] == [len(vector) for vector in expected]
                for vector, wanted in zip(got, expected, strict=True):
                    assert vector == pytest.approx(wanted, rel=1e-6, abs=1e-30), recording.id
            assert [item.index for item in answer.data] == [*range(len(answer.data))]
        seen += 1
    assert seen


def test_a_refused_embedding_is_an_error_of_openais_kind(servers: Servers) -> None:
    client = clients(servers)[1]
    refused = (
        ("cohere.v2-embed", "cohere", "embed-x"),
        ("voyage.embeddings", "voyage", "voyage-x"),
    )
    for api, name, model in refused:
        recording = next(each for each in recordings(api) if each.response.status >= 400)
        with pytest.raises(openai.APIStatusError) as caught:
            client.embeddings.create(
                model=f"{model}-{recording.tail}",
                input="x",
                extra_headers={"x-bt-endpoint-name": name},
            )
        assert caught.value.status_code == recording.response.status
        said = recording.response.body
        assert said.get("message", said.get("detail")) in str(caught.value.body)


HEADS: Final = {
    "with a length": b"content-length: 1000\r\n\r\nhalf of it",
    "in chunks": b"transfer-encoding: chunked\r\n\r\na\r\nhalf of it\r\n",
}


@pytest.mark.parametrize("how", HEADS)
async def test_a_binary_answer_that_is_cut_does_not_look_whole(how: str, tmp_path: Path) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\n" + HEADS[how])
        await writer.drain()
        await asyncio.sleep(0.3)
        writer.close()

    async with await asyncio.start_server(cut, processes.HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        base = {"api_base": f"http://{processes.HOST}:{port}/v1"}
        endpoint = {"name": "oa", "type": "openai", "secret": "k", "metadata": base}
        org = {"name": "a", "keys": [{"name": "ci", "key": KEY}], "endpoints": [endpoint]}
        running = processes.cutwater(tmp_path, [org])
        found = await asyncio.to_thread(running.__enter__)
        try:
            await _reads_half(found.url)
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


async def _reads_half(url: str) -> None:
    body = msgspec.json.encode({"model": "tts-1", "input": "x", "voice": "alloy"})
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    async with (
        httpx.AsyncClient(timeout=20) as client,
        client.stream("POST", f"{url}/v1/audio/speech", content=body, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        pieces: list[bytes] = []
        with pytest.raises(httpx.RemoteProtocolError):
            await _collect(answer, pieces)
        assert b"".join(pieces) == b"half of it"


async def _collect(answer: Any, pieces: list[bytes]) -> None:
    async for chunk in answer.aiter_raw():
        pieces.append(chunk)  # noqa: PERF401  what came before the error counts
