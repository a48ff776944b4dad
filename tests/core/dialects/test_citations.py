"""Pages that an answer rests on, and pictures in it, from every provider to every client."""

from typing import Any

import msgspec
import pytest

from core import eventstream
from core.dialects import load
from core.dialects.gemini.grounding import citations_of
from core.neutral import (
    Choice,
    Citation,
    CitationDelta,
    Delta,
    Ended,
    Finished,
    Media,
    MediaDelta,
    Part,
    Reply,
    Started,
    Text,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    View,
    fold,
    unfold,
)
from core.routes import DialectName
from core.sse import Event
from tests.core.dialects.wire import data, named, parse_stream

VIEW = View(model="m", fresh_id="fresh")
DIALECTS: tuple[DialectName, ...] = (
    "openai_chat",
    "openai_responses",
    "anthropic",
    "gemini",
    "converse",
)
URL, OTHER = "https://a.test/1", "https://b.test/2"
WHOLE_TEXT: tuple[DialectName, ...] = ("anthropic", "converse")
"""They say what a whole text rests on, not which words of it."""


def deltas_of(client: DialectName, stream: bytes) -> list[Delta]:
    parser = load(client).StreamParser()
    if client != "converse":
        return parse_stream(parser, stream)
    framer = eventstream.EVENT_STREAM.framer()
    events = [eventstream.EVENT_STREAM.parse(frame) for frame in framer.feed(stream)]
    return [delta for event in events if event is not None for delta in parser.feed(event)]


def streamed(client: DialectName, reply: Reply) -> Reply:
    renderer = load(client).StreamRenderer(VIEW)
    return fold(deltas_of(client, b"".join(renderer.feed(delta) for delta in unfold(reply))))


def whole(client: DialectName, reply: Reply) -> Reply:
    module = load(client)
    return module.parse_reply(module.render_reply(reply, VIEW))


def cited(reply: Reply) -> list[tuple[str, str | None, str]]:
    """Pages with the words that they are about."""
    (choice,) = reply.choices
    return [
        (citation.url, citation.title, part.text[citation.start or 0 : citation.end])
        for part in choice.parts
        if isinstance(part, Text)
        for citation in part.citations
    ]


def answer(*parts: Part) -> Reply:
    return Reply(id="x", model="m", choices=(Choice(parts=parts, reason="stop"),))


TWO = answer(
    Text(
        "Zürich is grün. Bern too.",
        citations=(
            Citation(url=URL, title="One", start=0, end=15),
            Citation(url=OTHER, title="Two", start=16, end=25),
        ),
    )
)


@pytest.mark.parametrize("show", [whole, streamed])
@pytest.mark.parametrize("client", DIALECTS)
def test_every_client_learns_what_an_answer_rests_on(client: DialectName, show: Any):
    everything = "Zürich is grün. Bern too."
    exact = [(URL, "One", "Zürich is grün."), (OTHER, "Two", "Bern too.")]
    shown = show(client, TWO)
    assert "".join(p.text for p in shown.choices[0].parts if isinstance(p, Text)) == everything
    assert cited(shown) == (
        [(url, title, everything) for url, title, _ in exact] if client in WHOLE_TEXT else exact
    )


@pytest.mark.parametrize("show", [whole, streamed])
def test_places_are_counted_over_all_texts_of_a_chat_message(show: Any):
    reply = answer(
        Text("ab ", citations=(Citation(url=URL),)), Text("cd", citations=(Citation(url=OTHER),))
    )
    shown = show("openai_chat", reply)
    assert cited(shown) == [(URL, None, "ab "), (OTHER, None, "cd")]


def test_fold_and_unfold_keep_citations():
    assert fold(unfold(TWO)) == TWO
    assert fold([Started(), CitationDelta(0, Citation(url=URL)), Ended()]).choices[0].parts == (
        Text("", citations=(Citation(url=URL),)),
    )


# --- As providers say them ----------------------------------------------------------------------


def test_perplexitys_sources_are_of_the_answer_as_a_whole():
    message = {"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    body: dict[str, Any] = {"choices": [message], "citations": [URL]}
    parse = load("openai_chat").parse_reply
    assert cited(parse(msgspec.json.encode(body))) == [(URL, None, "Hi")]
    body["search_results"] = [{"title": "T", "url": URL, "date": None}]
    assert cited(parse(msgspec.json.encode(body))) == [(URL, "T", "Hi")]


def test_perplexitys_stream_repeats_its_sources_and_a_client_hears_them_once():
    chunks = [
        {
            "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}],
            "citations": [URL, OTHER],
        }
        for text, reason in (("Hi", None), (" you", "stop"))
    ]
    deltas = deltas_of("openai_chat", data(*chunks))
    assert cited(fold(deltas)) == [(URL, None, "Hi you"), (OTHER, None, "Hi you")]


@pytest.mark.parametrize(
    "annotations",
    [
        None,
        "x",
        [{"type": "file_citation", "file_id": "f"}],
        [{"type": "url_citation", "url_citation": {"url": 1}}],
        [{"type": "url_citation", "url_citation": {"url": URL, "start_index": 50, "end_index": 9}}],
    ],
)
def test_annotations_of_other_shapes_are_no_reason_to_fail(annotations: Any):
    message = {"role": "assistant", "content": "Hi", "annotations": annotations}
    body = {"choices": [{"message": message, "finish_reason": "stop"}]}
    found = cited(load("openai_chat").parse_reply(msgspec.json.encode(body)))
    assert {url for url, _, _ in found} <= {URL}
    assert all(words == "Hi" for _, _, words in found)


def test_an_anthropic_stream_tells_what_its_text_rests_on_once_it_is_whole():
    citation = {
        "type": "web_search_result_location",
        "url": URL,
        "title": "T",
        "cited_text": "quoted",
        "encrypted_index": "E",
    }
    place = {"type": "char_location", "cited_text": "x", "document_index": 0}
    stream = named(
        {"type": "message_start", "message": {"id": "x", "model": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "citations_delta", "citation": given},
            }
            for given in (citation, place)
        ),
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "Found."},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}},
        {"type": "message_stop"},
    )
    reply = fold(deltas_of("anthropic", stream))
    assert reply.choices[0].parts == (
        Text("Found.", citations=(Citation(url=URL, title="T", quote="quoted"),)),
    )


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (None, []),
        ({"groundingChunks": "x"}, []),
        ({"groundingChunks": [{"maps": {}}, {"web": {"uri": 1}}]}, []),
        ({"groundingChunks": [{"web": {"uri": URL}}]}, [(0, Citation(url=URL))]),
        (
            {
                "groundingChunks": [{"web": {"uri": URL, "title": "T"}}],
                "groundingSupports": [
                    {"segment": {"startIndex": 3, "endIndex": 6}, "groundingChunkIndices": [0, 7]},
                    {"segment": {"startIndex": 9, "endIndex": 99}, "groundingChunkIndices": [0]},
                    {"segment": {"endIndex": "x"}, "groundingChunkIndices": [0]},
                    "x",
                ],
            },
            [(0, Citation(url=URL, title="T", start=2, end=4))],
        ),
    ],
)
def test_google_counts_bytes_and_may_send_what_nobody_knows(metadata: Any, expected: Any):
    assert citations_of(metadata, {0: "aéèb"}) == expected


def test_a_gemini_stream_may_repeat_its_sources():
    chunk = {
        "content": {"parts": [{"text": "Hi"}]},
        "groundingMetadata": {"groundingChunks": [{"web": {"uri": URL, "title": "T"}}]},
    }
    last = {"groundingMetadata": chunk["groundingMetadata"], "finishReason": "STOP"}
    stream = data({"candidates": [chunk]}, {"candidates": [last]})
    assert cited(fold(deltas_of("gemini", stream))) == [(URL, "T", "Hi")]


def test_a_response_tells_its_citations_one_by_one_or_all_at_the_end():
    annotation = {
        "type": "url_citation",
        "url": URL,
        "title": "T",
        "start_index": 0,
        "end_index": 2,
    }
    at = {"output_index": 0, "content_index": 0, "item_id": "i"}
    content = [{"type": "output_text", "text": "Hi", "annotations": [annotation]}]
    done = {
        "type": "response.output_item.done",
        "output_index": 0,
        "item": {"type": "message", "content": content},
    }
    end = {"type": "response.completed", "response": {"status": "completed"}}
    text = {"type": "response.output_text.delta", **at, "delta": "Hi"}
    added = {
        "type": "response.output_text.annotation.added",
        **at,
        "annotation_index": 0,
        "annotation": annotation,
    }
    for events in ((text, added, done, end), (text, done, end), (done, end)):
        assert cited(fold(deltas_of("openai_responses", named(*events)))) == [(URL, "T", "Hi")]


def test_converse_says_the_text_and_what_it_rests_on_in_one_block():
    citation = {
        "title": "T",
        "location": {"web": {"url": URL}},
        "sourceContent": [{"text": "quoted"}],
    }
    block = {"citationsContent": {"content": [{"text": "Hi"}], "citations": [citation, {}]}}
    body = {"output": {"message": {"content": [block]}}, "stopReason": "end_turn"}
    reply = load("converse").parse_reply(msgspec.json.encode(body))
    assert reply.choices[0].parts == (
        Text("Hi", citations=(Citation(url=URL, title="T", quote="quoted"),)),
    )


@pytest.mark.parametrize("client", DIALECTS)
def test_a_citation_of_a_text_that_is_over_breaks_no_stream(client: DialectName):
    renderer = load(client).StreamRenderer(VIEW)
    deltas: list[Delta] = [
        Started(id="x"),
        TextDelta(0, "Hi"),
        ToolCallStarted(1, "c", "f"),
        ToolCallDelta(1, "{}"),
        TextDelta(2, "Bye"),
        CitationDelta(0, Citation(url=URL)),
        CitationDelta(7, Citation(url=URL)),
        Finished("stop"),
        Ended(),
    ]
    shown = b"".join(renderer.feed(delta) for delta in deltas)
    assert [d for d in deltas_of(client, shown) if isinstance(d, Finished)]


# --- Pictures -----------------------------------------------------------------------------------

DRAWN = Media(kind="image", media_type="image/png", data="AAAA")
LINKED = Media(kind="image", url="https://a.test/i.png")
SOUND = Media(kind="audio", media_type="audio/wav", data="AAAA")


def said(reply: Reply) -> str:
    return "".join(p.text for p in reply.choices[0].parts if isinstance(p, Text))


def pictures(reply: Reply) -> list[Part]:
    return [p for p in reply.choices[0].parts if isinstance(p, Media)]


@pytest.mark.parametrize("show", [whole, streamed])
@pytest.mark.parametrize("media", [DRAWN, LINKED, SOUND])
@pytest.mark.parametrize("client", DIALECTS)
def test_what_a_model_made_is_shown_or_told_and_never_an_error(
    client: DialectName, media: Media, show: Any
):
    if client == "openai_responses":
        module, renderer = load(client), load(client).StreamRenderer(VIEW)
        reply = answer(Text("Here:"), media)
        body = module.render_reply(reply, VIEW)
        stream = b"".join(renderer.feed(delta) for delta in unfold(reply))
        told = body if show is whole else stream
        assert b"image_generation_call" in told if media is DRAWN else b"[" in told
        return
    shown = show(client, answer(Text("Here:"), media))
    if found := pictures(shown):
        assert (found[0].data, found[0].url) == (media.data, media.url)
        assert said(shown) == "Here:"
    else:
        assert (media.url or "The model made") in said(shown)


def test_a_chat_stream_shows_a_picture_where_openrouter_does():
    renderer = load("openai_chat").StreamRenderer(VIEW)
    chunk = renderer.feed(Started(id="x")) and renderer.feed(MediaDelta(1, DRAWN))
    document = msgspec.json.decode(chunk.removeprefix(b"data: "))
    assert document["choices"][0]["delta"] == {
        "images": [
            {
                "index": 0,
                "type": "image_url",
                "image_url": {"url": "data:image/png;base64,AAAA"},
            }
        ]
    }


@pytest.mark.parametrize(
    "images", [None, "x", [{}], [{"image_url": {"url": "data:image/png,notbase64"}}]]
)
def test_images_of_other_shapes_are_no_reason_to_fail(images: Any):
    message = {"role": "assistant", "content": "Hi", "images": images}
    body = {"choices": [{"message": message, "finish_reason": "stop"}]}
    assert pictures(load("openai_chat").parse_reply(msgspec.json.encode(body))) == []


def test_openrouters_pictures_reach_every_client():
    url = "data:image/png;base64,AAAA"
    delta = {"content": "", "images": [{"type": "image_url", "image_url": {"url": url}}]}
    chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]}
    parser = load("openai_chat").StreamParser()
    assert pictures(fold(parser.feed(Event(msgspec.json.encode(chunk))))) == [DRAWN]
