"""Media by URL in bodies that are not translated."""

from typing import Any

import msgspec
import pytest

from core import media_in_body
from core.envelope import join, split
from core.media import NOTHING, TAKEN, Inline, Wanted

PNG, PDF, TXT = "https://x.test/a.png", "https://x.test/a.pdf", "https://x.test/a.txt"
GOT = {
    PNG: Inline("image", "image/png", "AAAA"),
    PDF: Inline("document", "application/pdf", "JVBE"),
    TXT: Inline("document", "text/plain", "words"),
}
IN_BASE64 = {"type": "base64", "media_type": "image/png", "data": "AAAA"}


def said(part: Any) -> bytes:
    return msgspec.json.encode({"messages": [{"role": "user", "content": [part]}]})


CHANGED: dict[str, tuple[Any, Any, Any]] = {
    "OpenAI's image": (
        "openai_chat",
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {
            "type": "image_url",
            "image_url": {"detail": "low", "url": "data:image/png;base64,AAAA"},
        },
    ),
    "OpenAI's image as a string": (
        "openai_chat",
        {"type": "image_url", "image_url": PNG, "cache_control": {"type": "ephemeral"}},
        {
            "type": "image_url",
            "cache_control": {"type": "ephemeral"},
            "image_url": {"url": "data:image/png;base64,AAAA"},
        },
    ),
    "a PDF where an image goes": (
        "openai_chat",
        {"type": "image_url", "image_url": {"url": PDF, "detail": "low"}},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
        },
    ),
    "OpenAI's file": (
        "openai_chat",
        {"type": "file", "file": {"file_data": PDF, "filename": "own.pdf"}},
        {
            "type": "file",
            "file": {"filename": "own.pdf", "file_data": "data:application/pdf;base64,JVBE"},
        },
    ),
    "a text file": (
        "openai_chat",
        {"type": "file", "file": {"file_data": TXT}},
        {"type": "text", "text": "words"},
    ),
    "Anthropic's image": (
        "anthropic",
        {"type": "image", "source": {"type": "url", "url": PNG}, "cache_control": {"a": 1}},
        {"type": "image", "source": IN_BASE64, "cache_control": {"a": 1}},
    ),
    "Anthropic's document": (
        "anthropic",
        {"type": "document", "title": "T", "source": {"type": "url", "url": PDF}},
        {
            "type": "document",
            "title": "T",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
        },
    ),
    "Anthropic's text": (
        "anthropic",
        {"type": "document", "source": {"type": "url", "url": TXT}},
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "words"},
        },
    ),
    "in a tool's result": (
        "anthropic",
        {
            "type": "tool_result",
            "tool_use_id": "t",
            "content": [
                {"type": "text", "text": "x"},
                {"type": "image", "source": {"type": "url", "url": PNG}},
            ],
        },
        {
            "type": "tool_result",
            "tool_use_id": "t",
            "content": [{"type": "text", "text": "x"}, {"type": "image", "source": IN_BASE64}],
        },
    ),
    "in a document's content": (
        "anthropic",
        {
            "type": "document",
            "source": {
                "type": "content",
                "content": [{"type": "image", "source": {"type": "url", "url": PNG}}],
            },
        },
        {
            "type": "document",
            "source": {"type": "content", "content": [{"type": "image", "source": IN_BASE64}]},
        },
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_bytes_stand_in_the_place_of_the_url_and_all_else_stays(name: str):
    dialect, before, after = CHANGED[name]
    fields = split(said(before))
    (wanted,) = media_in_body.wanted(fields, dialect, NOTHING)
    assert wanted.url in GOT
    filled = media_in_body.with_media(fields, dialect, NOTHING, GOT)
    assert join(filled) == said(after)


def test_what_is_not_media_keeps_its_bytes():
    body = (
        b'{"temperature": 1.50, "messages": [ {"role":"system",  "content":"a.pdf"}, '
        b'{"role":"user","new": 2.0, "content":[{"type":"text", "text":"\\u00e9", "n": 1.0},'
        b'{"type":"image_url","image_url":{"url":"https:\\/\\/x.test\\/a.png"}}]}]}'
    )
    filled = media_in_body.with_media(split(body), "openai_chat", NOTHING, GOT)
    assert bytes(filled["temperature"]) == b"1.50"
    messages = bytes(filled["messages"])
    assert b'{"role":"system","content":"a.pdf"}' in messages
    assert b'"new":2.0' in messages
    assert b'{"type":"text","text":"\\u00e9","n":1.0}' in messages
    assert b'"url":"data:image/png;base64,AAAA"' in messages


UNTOUCHED: list[tuple[Any, bytes]] = [
    ("openai_chat", b'{"model":"m"}'),
    ("openai_chat", b'{"messages":"https://x.test/a.png"}'),
    ("openai_chat", b'{"messages":["https://x.test/a.png"]}'),
    ("openai_chat", b'{"messages":[{"content":"https://x.test/a.png"}]}'),
    ("openai_chat", b'{"messages":[{"content":["https://x.test/a.png"]}]}'),
    ("openai_chat", said({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}})),
    ("openai_chat", said({"type": "image_url", "image_url": {"url": 7}})),
    ("openai_chat", said({"type": "image_url", "image_url": 7})),
    ("openai_chat", said({"type": "image_url"})),
    ("openai_chat", said({"type": "file", "file": {"file_id": "file-1"}})),
    ("openai_chat", said({"type": "file", "file": {"file_data": "JVBERi0xLjQ="}})),
    ("openai_chat", said({"type": 7, "image_url": {"url": PNG}})),
    ("openai_chat", said({"type": "input_audio", "input_audio": {"data": "AA"}})),
    ("anthropic", said({"type": "image", "source": IN_BASE64})),
    ("anthropic", said({"type": "image", "source": "https://x.test/a.png"})),
    ("anthropic", said({"type": "image", "source": {"type": "file", "file_id": "f"}})),
    ("anthropic", said({"type": "tool_result", "content": "https://x.test/a.png"})),
    ("anthropic", said({"type": "document", "source": {"type": "content", "content": "a"}})),
    ("gemini", b'{"contents":[{"parts":[{"fileData":{"fileUri":"https://x.test/a.png"}}]}]}'),
]


@pytest.mark.parametrize(("dialect", "body"), UNTOUCHED)
def test_what_holds_no_url_is_the_very_object(dialect: Any, body: bytes):
    fields = split(body)
    assert media_in_body.wanted(fields, dialect, NOTHING) == ()
    assert media_in_body.with_media(fields, dialect, NOTHING, GOT) is fields


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        ({"type": "image_url", "image_url": {"url": PNG}}, ()),
        (
            {"type": "image_url", "image_url": {"url": PDF}},
            (Wanted(PDF, "document", "application/pdf"),),
        ),
        (
            {"type": "file", "file": {"file_data": PDF}},
            (Wanted(PDF, "document", "application/pdf"),),
        ),
    ],
)
def test_where_images_are_read_a_pdf_is_not(part: Any, wanted: tuple[Wanted, ...]):
    fields = split(said(part))
    assert media_in_body.wanted(fields, "openai_chat", TAKEN["openai_chat"]) == wanted
    filled = media_in_body.with_media(fields, "openai_chat", TAKEN["openai_chat"], GOT)
    assert (filled is fields) == (wanted == ())
