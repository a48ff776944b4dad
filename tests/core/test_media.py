"""Which media URLs a provider reads itself, and what stands in the place of the others."""

from typing import Any

import pytest
from msgspec import Raw

from core import media
from core.envelope import split
from core.media import NOTHING, TAKEN, Inline, MediaError, Urls, Wanted
from core.neutral import Media, Message, Request, Text, ToolCall, ToolResult
from providers.catalog import PROVIDERS

PNG = "https://x.test/a.png"
PDF = "https://x.test/a.pdf"
FILES = "https://generativelanguage.googleapis.com/v1beta/files/abc"
BYTES = Inline("image", "image/png", "AAAA")


def request(*parts: Any) -> Request:
    return Request(model="m", messages=(Message("user", tuple(parts)),))


def part(kind: Any, url: str, media_type: str | None = None) -> Media:
    return media.settled(Media(kind=kind, url=url, media_type=media_type))


VERTEX = PROVIDERS["vertex"].urls["gemini"]
READ = [
    ("openai_chat", "image", PNG),
    ("openai_chat", "image", "HTTP://x.test/a"),
    ("openai_responses", "image", PNG),
    ("openai_responses", "document", PDF),
    ("openai_responses", "document", "https://x.test/a"),
    ("anthropic", "image", PNG),
    ("anthropic", "document", PDF),
    ("anthropic", "document", "https://arxiv.test/pdf/1706.03762"),
    ("gemini", "document", FILES),
    ("gemini", "video", "https://youtu.be/abc"),
    ("gemini", "video", "https://www.youtube.com/watch?v=abc"),
    ("gemini", "video", "https://x.test/a.mp4"),
    ("converse", "image", "s3://bucket/a.png"),
    ("converse", "document", "s3://bucket/a.pdf"),
    # Refused by the dialect itself: there is no use in fetching it first.
    ("openai_chat", "video", "https://x.test/a.mp4"),
    ("openai_responses", "audio", "https://x.test/a.wav"),
    ("anthropic", "audio", "https://x.test/a.wav"),
    ("anthropic", "video", "https://x.test/a.mp4"),
]
FETCHED = [
    ("openai_chat", "document", PDF),
    ("openai_chat", "audio", "https://x.test/a.wav"),
    ("anthropic", "image", "http://x.test/a.png"),
    ("anthropic", "document", "https://x.test/a.txt"),
    ("gemini", "image", PNG),
    ("gemini", "document", PDF),
    ("gemini", "audio", "https://x.test/a.mp3"),
    ("converse", "image", PNG),
    ("converse", "document", PDF),
    ("converse", "video", "https://x.test/a.mp4"),
]


@pytest.mark.parametrize(("dialect", "kind", "url"), READ)
def test_what_a_provider_reads_itself_goes_as_a_url(dialect: Any, kind: str, url: str):
    assert media.wanted(request(part(kind, url)), TAKEN[dialect]) == ()


@pytest.mark.parametrize(("dialect", "kind", "url"), FETCHED)
def test_what_it_does_not_read_is_fetched(dialect: Any, kind: str, url: str):
    (wanted,) = media.wanted(request(part(kind, url)), TAKEN[dialect])
    assert (wanted.url, wanted.kind) == (url, kind)


@pytest.mark.parametrize(
    ("urls", "kind", "url", "why"),
    [
        (TAKEN["anthropic"], "image", "gs://bucket/a.png", "Vertex AI only"),
        (TAKEN["gemini"], "image", "gs://bucket/a.png", "Vertex AI only"),
        (TAKEN["openai_chat"], "document", "GS://bucket/a.pdf", "Vertex AI only"),
        (TAKEN["anthropic"], "image", "s3://bucket/a.png", "Bedrock Converse only"),
        (VERTEX, "document", "s3://bucket/a.pdf", "Bedrock Converse only"),
        (TAKEN["converse"], "document", FILES, "Files API"),
        (NOTHING, "image", FILES, "Files API"),
        (TAKEN["openai_chat"], "image", "ftp://x.test/a.png", "no http or https URL"),
        (TAKEN["anthropic"], "image", "file:///etc/passwd", "no http or https URL"),
        (TAKEN["converse"], "image", "a.png", "no http or https URL"),
    ],
)
def test_what_nobody_can_fetch_is_refused(urls: Urls, kind: str, url: str, why: str):
    with pytest.raises(MediaError, match=why) as refused:
        media.wanted(request(part(kind, url)), urls)
    assert (refused.value.status, refused.value.url) == (400, url)


@pytest.mark.parametrize(
    ("kind", "url", "media_type", "reads"),
    [
        ("image", "gs://bucket/a.png", None, True),
        ("image", PNG, None, True),
        ("document", "https://x.test/a", "application/pdf", True),
        ("document", "https://x.test/a", None, False),
        ("image", "http://x.test/a.png", None, False),
    ],
)
def test_vertex_reads_what_it_is_told_the_type_of(
    kind: Any, url: str, media_type: str | None, reads: bool
):
    assert media.reads(VERTEX, part(kind, url, media_type)) is reads


@pytest.mark.parametrize(
    ("kind", "url", "media_type", "found"),
    [
        ("image", PDF, None, ("document", "application/pdf")),
        ("image", "https://x.test/a.PDF?x=1#p", None, ("document", "application/pdf")),
        ("image", PNG, None, ("image", "image/png")),
        ("image", "https://x.test/pdf", None, ("image", None)),
        ("image", "https://x.test", None, ("image", None)),
        ("document", PNG, None, ("image", "image/png")),
        ("document", PNG, "application/pdf", ("document", "application/pdf")),
        ("document", "https://x.test/a.mp4", None, ("video", "video/mp4")),
        ("video", "https://x.test/a", "video/mp4", ("video", "video/mp4")),
    ],
)
def test_a_type_says_more_than_the_field(
    kind: Any, url: str, media_type: str | None, found: tuple[str, str | None]
):
    settled = part(kind, url, media_type)
    assert (settled.kind, settled.media_type) == found


def test_each_url_is_wanted_once_wherever_it_stands():
    picture = Media(kind="image", url=PNG)
    result = ToolResult(call_id="1", parts=(Text("see"), picture))
    asked = Request(
        model="m",
        messages=(
            Message("user", (picture, Text("and"), picture)),
            Message("assistant", (ToolCall(id="1", name="look", arguments="{}"),)),
            Message("user", (result, Media(kind="image", data="AAAA", media_type="image/png"))),
        ),
    )
    asked = media.settle(asked)
    wanted = media.wanted(asked, NOTHING)
    assert wanted == (Wanted(PNG, "image", "image/png"),)
    filled = media.with_media(asked, NOTHING, {PNG: BYTES})
    inline = Media(kind="image", media_type="image/png", data="AAAA")
    assert filled.messages[0].parts == (inline, Text("and"), inline)
    assert filled.messages[1] is asked.messages[1]
    assert filled.messages[2].parts[0] == ToolResult(call_id="1", parts=(Text("see"), inline))
    assert media.wanted(filled, NOTHING) == ()


def test_a_request_without_urls_is_the_very_object():
    asked = request(Text("hi"), ToolResult(call_id="1", parts=(Text("x"),)))
    assert media.settle(asked) is asked
    assert media.with_media(asked, NOTHING, {}).messages[0] is asked.messages[0]


def test_a_second_endpoint_that_reads_the_url_still_gets_it():
    asked = request(part("image", PNG))
    assert media.with_media(asked, TAKEN["openai_chat"], {PNG: BYTES}).messages == asked.messages


def test_a_fetched_document_has_the_name_of_its_file():
    got = Inline("document", "application/pdf", "AAAA")
    found = media.inlined(Media(kind="document", url="https://x.test/b/terms.pdf?sig=1"), got)
    assert found.name == "terms.pdf"
    found = media.inlined(Media(kind="document", url="https://x.test", name="own.pdf"), got)
    assert found.name == "own.pdf"
    assert media.inlined(Media(kind="image", url=PNG), BYTES).name is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://x.test/a.png?X-Amz-Signature=abc#f", "https://x.test/a.png"),
        ("https://user:password@x.test/a", "https://x.test/a"),
        ("https://x.test", "https://x.test"),
        ("https://x.test?key=1", "https://x.test"),
        ("something secret", "The URL"),
        ("https://x.test/a\nb", "https://x.test/a?b"),
        ("https://x.test/" + "a" * 500, "https://x.test/" + "a" * 185 + "..."),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str):
    assert media.shown(url) == shown


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (
            b'{"a":1,"messages":[{"content":"x"},{"content":[{},{"image_url":{"url":"U"}}]}]}',
            "messages[1].content[1].image_url.url",
        ),
        (
            b'{"contents":[{"parts":[{"fileData":{"fileUri":"U"}}]}]}',
            "contents[0].parts[0].fileData.fileUri",
        ),
        (b'{"messages":[{"content":[{"source":{"url":"https:\\/\\/U"}}]}]}', None),
        (b'{"n":1.5,"s":null,"b":true}', None),
    ],
)
def test_the_place_of_a_url_is_found_in_the_clients_own_body(body: bytes, path: str | None):
    assert media.path_of(split(body), "U") == path


def test_nesting_that_nobody_can_read_is_passed_over():
    deep = Raw(b"[" * 100_000 + b"]" * 100_000)
    assert media.path_of({"deep": deep, "input": Raw(b'["U"]')}, "U") == "input[0]"


def test_every_row_is_about_a_dialect_that_the_provider_speaks():
    for name, row in PROVIDERS.items():
        spoken = {*row.dialects, *(d for ds in row.dialects_of.values() for d in ds)}
        assert row.urls.keys() <= spoken, name
