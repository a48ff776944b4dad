"""Media by URL: fetched for providers that read no URLs, from each client to each provider."""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from core import addresses
from core.media import MediaError
from core.ports import Fetched
from infra.fetch import MediaFetcher
from tests.asgi_driver import Exchange, ask
from tests.fakes import KEY, FakeUpstream, Reply, application, org
from tests.infra.loopback import Connection, provider

PNG_BYTES, PDF_BYTES = b"\x89PNG\r\n\x1a\n____", b"%PDF-1.7 x"
PNG, PDF = "https://x.test/a.png?sig=secret", "https://x.test/b.pdf?sig=secret"
TEXT, PLAIN = "https://x.test/c.txt", "http://x.test/a.png"
PNG64, PDF64 = b64encode(PNG_BYTES).decode(), b64encode(PDF_BYTES).decode()
FILES: Mapping[str, Fetched] = {
    PNG: Fetched("image/png", PNG_BYTES),
    PLAIN: Fetched("image/png", PNG_BYTES),
    PDF: Fetched("application/pdf", PDF_BYTES),
    TEXT: Fetched("text/plain", "wörds".encode()),
}
AUTH = {"authorization": f"Bearer {KEY}"}
SAY = "What is this?"


class FakeFetch:
    """Has `FILES`, and remembers what it was asked for."""

    def __init__(self, files: Mapping[str, Fetched] = FILES) -> None:
        self._files = files
        self.asked: list[tuple[str, ...]] = []

    async def __call__(self, urls: Sequence[str]) -> Mapping[str, Fetched]:
        self.asked.append(tuple(urls))
        for url in urls:
            if url not in self._files:
                raise MediaError(url, "could not be reached.")
        return {url: self._files[url] for url in urls}


def chat(*parts: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": SAY}, *parts]
    return {"max_tokens": 99, "messages": [{"role": "user", "content": content}]}


def responses(*parts: Any) -> dict[str, Any]:
    content = [{"type": "input_text", "text": SAY}, *parts]
    return {"input": [{"role": "user", "content": content}]}


def contents(*parts: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": SAY}, *parts]}]}


def openai_image(url: str) -> dict[str, Any]:
    return chat({"type": "image_url", "image_url": {"url": url}})


def anthropic(kind: str, url: str) -> dict[str, Any]:
    return chat({"type": kind, "source": {"type": "url", "url": url}})


CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
GENERATE = "/v1beta/models/m:generateContent"
SENT: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "chat image": (CHAT, PNG, openai_image(PNG)),
    "chat image that is a PDF": (CHAT, PDF, openai_image(PDF)),
    "chat file": (CHAT, PDF, chat({"type": "file", "file": {"file_data": PDF}})),
    "responses image": (RESPONSES, PNG, responses({"type": "input_image", "image_url": PNG})),
    "responses file": (RESPONSES, PDF, responses({"type": "input_file", "file_url": PDF})),
    "anthropic image": (MESSAGES, PNG, anthropic("image", PNG)),
    "anthropic plain image": (MESSAGES, PLAIN, anthropic("image", PLAIN)),
    "anthropic document": (MESSAGES, PDF, anthropic("document", PDF)),
    "anthropic text": (MESSAGES, TEXT, anthropic("document", TEXT)),
    "gemini image": (
        GENERATE,
        PNG,
        contents({"fileData": {"fileUri": PNG, "mimeType": "image/png"}}),
    ),
    "gemini untyped image": (GENERATE, PNG, contents({"fileData": {"fileUri": PNG}})),
    "gemini document": (
        GENERATE,
        PDF,
        contents({"fileData": {"fileUri": PDF, "mimeType": "application/pdf"}}),
    ),
}

OPENAI_PNG = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG64}"}}
OPENAI_PDF = {
    "type": "file",
    "file": {"filename": "b.pdf", "file_data": f"data:application/pdf;base64,{PDF64}"},
}
OPENAI_TEXT = {"type": "text", "text": "wörds"}
CLAUDE_PNG = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": PNG64},
}
CLAUDE_PDF = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": PDF64},
}
CLAUDE_TEXT = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "wörds"},
}
GEMINI_PNG = {"inlineData": {"mimeType": "image/png", "data": PNG64}}
GEMINI_PDF = {"inlineData": {"mimeType": "application/pdf", "data": PDF64}}
BEDROCK_PNG = {"image": {"format": "png", "source": {"bytes": PNG64}}}
BEDROCK_PDF = {"document": {"name": "b", "format": "pdf", "source": {"bytes": PDF64}}}
CLAUDE_PLAIN_URL = {"type": "url", "url": PNG}

ARRIVES: list[tuple[str, str, Any]] = [
    ("chat file", "anthropic", {"type": "document", "source": {"type": "url", "url": PDF}}),
    ("chat image", "anthropic", {"type": "image", "source": CLAUDE_PLAIN_URL}),
    (
        "chat image that is a PDF",
        "anthropic",
        {"type": "document", "source": {"type": "url", "url": PDF}},
    ),
    ("chat image", "google", GEMINI_PNG),
    ("chat image that is a PDF", "google", GEMINI_PDF),
    ("chat file", "google", GEMINI_PDF),
    ("chat image", "converse", BEDROCK_PNG),
    ("chat file", "converse", BEDROCK_PDF),
    ("chat image", "vertex claude", CLAUDE_PNG),
    ("chat file", "bedrock claude", CLAUDE_PDF),
    ("chat image", "openai", {"type": "image_url", "image_url": {"url": PNG}}),
    ("chat image that is a PDF", "openai", OPENAI_PDF),
    ("chat file", "openai", OPENAI_PDF),
    ("chat image", "ollama", OPENAI_PNG),
    ("chat image", "cerebras", OPENAI_PNG),
    ("chat image", "fetching", OPENAI_PNG),
    ("chat image", "vertex", {"fileData": {"fileUri": PNG, "mimeType": "image/png"}}),
    ("responses image", "anthropic", {"type": "image", "source": CLAUDE_PLAIN_URL}),
    ("responses file", "chat", OPENAI_PDF),
    ("responses image", "ollama", OPENAI_PNG),
    ("responses file", "google", GEMINI_PDF),
    ("responses image", "converse", BEDROCK_PNG),
    ("responses file", "converse", BEDROCK_PDF),
    ("responses file", "vertex claude", CLAUDE_PDF),
    ("anthropic image", "chat", {"type": "image_url", "image_url": {"url": PNG}}),
    ("anthropic plain image", "chat", {"type": "image_url", "image_url": {"url": PLAIN}}),
    ("anthropic document", "chat", OPENAI_PDF),
    ("anthropic text", "chat", OPENAI_TEXT),
    ("anthropic document", "responses", {"type": "input_file", "file_url": PDF}),
    ("anthropic document", "google", GEMINI_PDF),
    ("anthropic document", "converse", BEDROCK_PDF),
    ("anthropic image", "bedrock claude", CLAUDE_PNG),
    ("anthropic document", "vertex claude", CLAUDE_PDF),
    ("anthropic text", "bedrock claude", CLAUDE_TEXT),
    ("anthropic image", "anthropic", {"type": "image", "source": CLAUDE_PLAIN_URL}),
    ("gemini image", "chat", {"type": "image_url", "image_url": {"url": PNG}}),
    ("gemini untyped image", "chat", {"type": "image_url", "image_url": {"url": PNG}}),
    ("gemini document", "chat", OPENAI_PDF),
    ("gemini image", "ollama", OPENAI_PNG),
    ("gemini document", "anthropic", {"type": "document", "source": {"type": "url", "url": PDF}}),
    ("gemini image", "converse", BEDROCK_PNG),
    ("gemini untyped image", "converse", BEDROCK_PNG),
    ("gemini document", "vertex claude", CLAUDE_PDF),
    ("gemini image", "google", {"fileData": {"fileUri": PNG, "mimeType": "image/png"}}),
]

_AT = {"api_base": "https://up.test", "models": ["m"]}
_CLAUDE = {
    "api_base": "https://up.test",
    "customModels": {"m": {"format": "anthropic", "flavor": "chat"}},
}
ENDPOINTS: Mapping[str, dict[str, Any]] = {
    "openai": {"type": "openai", "metadata": _AT},
    "chat": {"type": "openai", "metadata": {**_AT, "dialects": ["openai_chat"]}},
    "responses": {"type": "openai", "metadata": {**_AT, "dialects": ["openai_responses"]}},
    "anthropic": {"type": "anthropic", "metadata": _AT},
    "google": {"type": "google", "metadata": _AT},
    "converse": {"type": "custom", "metadata": {**_AT, "format": "converse"}},
    "ollama": {"type": "ollama", "metadata": _AT},
    "cerebras": {"type": "cerebras", "metadata": _AT},
    "fetching": {"type": "openai", "metadata": {**_AT, "fetchMedia": True}},
    "vertex": {
        "type": "vertex",
        "metadata": {
            "api_base": "https://up.test",
            "project": "p",
            "customModels": {"m": {"format": "google", "flavor": "chat"}},
        },
    },
    "vertex claude": {"type": "vertex", "metadata": {**_CLAUDE, "project": "p"}},
    "bedrock claude": {
        "type": "bedrock",
        "metadata": {**_CLAUDE, "region": "us-east-1", "access_key": "AKIA"},
    },
}


async def send(
    sent: str, target: str, fetch: FakeFetch | MediaFetcher | None = None
) -> tuple[Exchange, Any]:
    """The response, and the body that the provider got; None where none did."""
    path, _, body = SENT[sent]
    return await post(path, body, target, fetch)


async def post(
    path: str, body: dict[str, Any], target: str, fetch: FakeFetch | MediaFetcher | None = None
) -> tuple[Exchange, Any]:
    upstream = FakeUpstream(Reply(b'{"error":{"message":"Enough."}}', status=418))
    endpoint = {"name": "e", "secret": "sk-of-the-org", **ENDPOINTS[target]}
    ours = {} if fetch is None else {"fetch": fetch}
    app, _ = application(upstream, org(endpoints=[endpoint]), **ours)
    whole = body if path == GENERATE else {"model": "m", **body}
    answered = await ask(app, path, whole, headers=AUTH)
    return answered, msgspec.json.decode(upstream.sent[0].body) if upstream.sent else None


def media_of(body: Any) -> Any:
    """The part beside the words of the only turn."""
    (turn,) = body.get("messages") or body.get("input") or body["contents"]
    parts = turn.get("content") or turn["parts"]
    (part,) = [p for p in parts if p.get("text") != SAY]
    return {name: value for name, value in part.items() if name != "title"}


@pytest.mark.parametrize(("sent", "target", "part"), ARRIVES)
async def test_a_provider_gets_media_in_a_way_that_it_reads(sent: str, target: str, part: Any):
    fetch = FakeFetch()
    answered, body = await send(sent, target, fetch)
    assert body is not None, answered.body
    url = SENT[sent][1]
    assert media_of(body) == part
    by_url = url in msgspec.json.encode(part).decode()
    assert fetch.asked == ([] if by_url else [(url,)])


async def test_nothing_is_fetched_where_a_body_only_speaks_of_files():
    fetch = FakeFetch()
    body = chat({"type": "text", "text": f"Read {PDF}"})
    _, got = await post(CHAT, body, "openai", fetch)
    assert got["messages"] == body["messages"]
    assert fetch.asked == []


async def test_each_url_is_fetched_once():
    fetch = FakeFetch()
    part = openai_image(PNG)["messages"][0]["content"][1]
    other = openai_image(PLAIN)["messages"][0]["content"][1]
    _, body = await post(CHAT, chat(part, other, part), "google", fetch)
    assert fetch.asked == [(PNG, PLAIN)]
    assert body["contents"][0]["parts"][1:] == [GEMINI_PNG] * 3


REFUSED: list[tuple[str, str, str, str]] = [
    ("chat image", "google", "messages[0].content[1].image_url.url", "image_url"),
    ("chat file", "converse", "messages[0].content[1].file.file_data", "file"),
    ("chat image", "ollama", "messages[0].content[1].image_url.url", "image_url"),
    ("responses file", "google", "input[0].content[1].file_url", "input_file"),
    ("anthropic document", "chat", "messages[0].content[1].source.url", "document"),
    ("gemini document", "chat", "contents[0].parts[1].fileData.fileUri", "fileData"),
]


@pytest.mark.parametrize(("sent", "target", "param", "_kind"), REFUSED)
async def test_what_cannot_be_had_is_a_400_in_the_clients_own_words(
    sent: str, target: str, param: str, _kind: str
):
    answered, body = await send(sent, target, FakeFetch({}))
    assert answered.status == 400
    assert body is None
    assert b"could not be reached." in answered.body
    assert b"secret" not in answered.body
    error = answered.json["error"]
    assert error.get("param", param) == param


@pytest.mark.parametrize(
    ("sent", "target", "got", "why"),
    [
        ("chat image", "google", Fetched("text/html", b"<html>log in"), "no image"),
        ("chat file", "google", Fetched("text/html", b"<html>log in"), "no document"),
        ("anthropic document", "chat", Fetched("application/zip", b"PK"), "no document"),
    ],
)
async def test_what_is_something_else_is_refused(sent: str, target: str, got: Fetched, why: str):
    answered, body = await send(sent, target, FakeFetch({SENT[sent][1]: got}))
    assert (answered.status, body) == (400, None)
    assert why in answered.json["error"]["message"]
    assert b"log in" not in answered.body


@pytest.mark.parametrize("sent", ["chat image", "anthropic document", "gemini image"])
async def test_a_deployment_may_fetch_nothing(sent: str):
    answered, body = await send(sent, "converse")
    assert (answered.status, body) == (400, None)
    assert "is not fetched by this deployment" in answered.json["error"]["message"]


@pytest.mark.parametrize(
    ("url", "target", "said"),
    [
        ("gs://bucket/a.png", "anthropic", "can be read by Gemini on Vertex AI only"),
        ("gs://bucket/a.png", "google", "can be read by Gemini on Vertex AI only"),
        ("gs://bucket/a.png", "ollama", "can be read by Gemini on Vertex AI only"),
        ("s3://bucket/a.png", "anthropic", "can be read by Bedrock Converse only"),
        (
            "https://generativelanguage.googleapis.com/v1beta/files/a",
            "converse",
            "is held by Google's Files API",
        ),
        ("file:///etc/passwd", "google", "is no http or https URL"),
    ],
)
async def test_a_cloud_address_is_refused_where_the_provider_is_another(
    url: str, target: str, said: str
):
    fetch = FakeFetch()
    answered, body = await post(CHAT, openai_image(url), target, fetch)
    assert (answered.status, body, fetch.asked) == (400, None, [])
    assert said in answered.json["error"]["message"]
    assert answered.json["error"]["param"] == "messages[0].content[1].image_url.url"


@pytest.mark.parametrize(
    ("url", "target", "part"),
    [
        (
            "gs://bucket/a.png",
            "vertex",
            {"fileData": {"fileUri": "gs://bucket/a.png", "mimeType": "image/png"}},
        ),
        (
            "https://generativelanguage.googleapis.com/v1beta/files/a",
            "google",
            {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a"}},
        ),
        (
            "s3://bucket/a.png",
            "converse",
            {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/a.png"}}}},
        ),
    ],
)
async def test_a_cloud_address_goes_to_its_own_provider(url: str, target: str, part: Any):
    fetch = FakeFetch()
    answered, body = await post(CHAT, openai_image(url), target, fetch)
    assert body is not None, answered.body
    assert media_of(body) == part
    assert fetch.asked == []


async def test_an_explanation_names_what_would_be_fetched_and_fetches_nothing():
    fetch = FakeFetch()
    endpoints = [
        {"name": name, "secret": "sk-of-the-org", **ENDPOINTS[name]}
        for name in ("google", "openai", "ollama", "converse")
    ]
    app, _ = application(FakeUpstream(), org(endpoints=endpoints), fetch=fetch)
    body = {"route": CHAT, "model": "m", **openai_image(PNG)}
    answered = await ask(app, "/v1/explain", body, headers=AUTH)
    told = {one["endpoint"]: one for one in answered.json["candidates"]}
    assert fetch.asked == []
    fetches = {name: one["fetches"] for name, one in told.items()}
    shown = "https://x.test/a.png"
    assert fetches == {"google": [shown], "openai": [], "ollama": [shown], "converse": [shown]}
    note = f"(fetched from {shown})"
    assert media_of(told["google"]["body"]) == {
        "inlineData": {"mimeType": "image/png", "data": note}
    }
    assert media_of(told["openai"]["body"])["image_url"]["url"] == PNG
    assert media_of(told["ollama"]["body"])["image_url"]["url"] == f"data:image/png;base64,{note}"


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async def script(connection: Connection) -> None:
        head, _ = await connection.request()
        where = b"/moved" in head
        status = b"302 Found\r\nlocation: /a.png" if where else b"200 OK"
        body = b"" if where else PNG_BYTES
        length = b"\r\ncontent-length: %d\r\n\r\n" % len(body)
        await connection.say(b"HTTP/1.1 " + status + length + body)

    async with provider(script) as found:
        yield found.url


async def test_over_the_network_an_image_arrives_behind_a_redirect(server: str):
    fetch = MediaFetcher(allowed=addresses.is_reachable)
    _, body = await post(CHAT, openai_image(server + "/moved"), "google", fetch)
    assert media_of(body) == GEMINI_PNG


async def test_over_the_network_this_machine_is_not_asked(server: str):
    answered, body = await post(CHAT, openai_image(server + "/a.png"), "google", MediaFetcher())
    assert (answered.status, body) == (400, None)
    assert answered.json["error"]["message"] == (
        f"{server}/a.png leads to an address that is not public: it is not fetched."
    )
