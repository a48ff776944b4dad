"""Deltas, written as chat completion chunks."""

from collections.abc import Iterable
from typing import Any

import pytest
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from core.dialects import openai_chat
from core.neutral import (
    Citation,
    CitationDelta,
    Delta,
    Ended,
    Failed,
    Finished,
    Media,
    MediaDelta,
    Reasoning,
    ReasoningDelta,
    RefusalDelta,
    Started,
    Text,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageDelta,
    View,
)
from tests.core.dialects.openai_chat_chunks import DONE, STARTED, USAGE, VIEW, chunk, parse
from tests.core.dialects.wire import body, documents


def test_openais_sdk_adds_lists_up_whatever_comes_in_pieces():
    image = Media(kind="image", media_type="image/png", data="AA")
    cited = [CitationDelta(0, Citation(url=url)) for url in ("https://a.test", "https://b.test")]
    told = render([STARTED, TextDelta(0, "a"), *cited, MediaDelta(1, image), MediaDelta(2, image)])
    state = ChatCompletionStreamState()
    for document in documents(told):
        state.handle_chunk(construct_type(type_=ChatCompletionChunk, value=document))
    message = state.current_completion_snapshot.choices[0].message
    assert [found.url_citation.url for found in message.annotations] == [
        "https://a.test",
        "https://b.test",
    ]
    assert len(message.to_dict()["images"]) == 2


def test_thoughts_that_a_client_merges_are_told_again_one_by_one():
    deltas = [
        STARTED,
        ReasoningDelta(0, "a"),
        ReasoningDelta(0, "b", "sig="),
        ReasoningDelta(1, redacted="r"),
        Finished("stop"),
    ]
    *_, last = documents(render(deltas))
    told = [
        {"id": "sig=", "content": "ab"},
        {"id": "", "content": "", "redacted": "r"},
    ]
    assert last["choices"][0]["delta"] == {"reasoning": {"entries": told}}
    *_, alone = documents(render([*deltas[:3], Finished("stop")]))
    assert alone["choices"][0]["delta"] == {}
    merged = {"index": 1, "content": "ab", "id": "sig=", "redacted": "r", "entries": told}
    message = {"role": "assistant", "content": "c", "reasoning": merged}
    (back,) = openai_chat.parse_request(body(messages=[message])).messages
    assert back.parts == (
        Reasoning(text="ab", signature="sig="),
        Reasoning(redacted="r"),
        Text("c"),
    )
    # Another Cutwater in between has heard them by then.
    assert parse(chunk(content="c"), chunk(reasoning={"entries": told}))[1:] == [
        TextDelta(0, "c"),
        Finished("other"),
        Ended(),
    ]


def render(deltas: Iterable[Delta], view: View = VIEW) -> bytes:
    renderer = openai_chat.StreamRenderer(view)
    return b"".join(renderer.feed(delta) for delta in deltas)


def test_a_stream_byte_for_byte():
    head = b'data: {"id":"c","object":"chat.completion.chunk","created":5,"model":"m","choices":'
    deltas = [STARTED, TextDelta(0, "a"), Finished("stop"), UsageDelta(Usage()), Ended()]
    assert render(deltas) == b"".join(
        [
            head,
            b'[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n',
            head,
            b'[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n',
            head,
            b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
            DONE,
        ]
    )


def deltas_of(given: Iterable[Delta], view: View = VIEW) -> list[Any]:
    shown = documents(render(given, view))
    return [document["choices"][0]["delta"] for document in shown if document != b"[DONE]"]


F = "function"


@pytest.mark.parametrize(
    ("given", "view", "shown"),
    [
        pytest.param(
            [
                ToolCallStarted(1, "c1", "f"),
                ToolCallStarted(4, "c2", "g"),
                ToolCallDelta(4, "{}"),
                ToolCallDelta(1, "{"),
            ],
            VIEW,
            [
                {
                    "tool_calls": [
                        {"index": 0, "id": "c1", "type": F, F: {"name": "f", "arguments": ""}}
                    ]
                },
                {
                    "tool_calls": [
                        {"index": 1, "id": "c2", "type": F, F: {"name": "g", "arguments": ""}}
                    ]
                },
                {"tool_calls": [{"index": 1, F: {"arguments": "{}"}}]},
                {"tool_calls": [{"index": 0, F: {"arguments": "{"}}]},
            ],
            id="tool calls are counted from 0, whatever else the answer holds",
        ),
        pytest.param(
            [ToolCallStarted(0, "c1", "f"), ToolCallDelta(0, "{}")],
            View(stream=True, legacy_functions=True),
            [
                {"function_call": {"name": "f", "arguments": ""}},
                {"function_call": {"arguments": "{}"}},
            ],
            id="a call for a client of legacy functions",
        ),
        pytest.param(
            [
                ReasoningDelta(0),
                ReasoningDelta(0, "a"),
                ReasoningDelta(0, signature="s"),
                ReasoningDelta(3, redacted="x"),
            ],
            VIEW,
            [
                {"reasoning": {"index": 0, "content": ""}},
                {"reasoning": {"index": 0, "content": "a"}},
                {"reasoning": {"index": 0, "id": "s"}},
                {"reasoning": {"index": 1, "redacted": "x"}},
            ],
            id="reasoning with signatures and seals",
        ),
        pytest.param([RefusalDelta(0, "no")], VIEW, [{"refusal": "no"}], id="a refusal"),
        pytest.param(
            [TextDelta(0, "b", 1)],
            VIEW,
            [{"role": "assistant", "content": "b"}],
            id="every choice says its role first",
        ),
        pytest.param([Failed(500, "x")], VIEW, [], id="a failure is told by the relay"),
    ],
)
def test_a_stream_is_written(given: list[Delta], view: View, shown: list[Any]):
    assert deltas_of([STARTED, *given], view)[1:] == shown


@pytest.mark.parametrize(
    ("reason", "legacy", "wire"),
    [
        ("length", False, "length"),
        ("tool_calls", False, "tool_calls"),
        ("tool_calls", True, "function_call"),
        ("content_filter", False, "content_filter"),
        ("other", False, "stop"),
    ],
)
def test_finish_reasons_are_written(reason: Any, legacy: bool, wire: str):
    view = View(stream=True, legacy_functions=legacy)
    (document,) = documents(render([Finished(reason)], view))
    assert document["choices"][0]["finish_reason"] == wire


def test_what_a_provider_does_not_say_is_made_up():
    (document,) = documents(render([Started()]))
    assert (document["id"], document["created"], document["model"]) == ("fresh", 7, "asked")


@pytest.mark.parametrize("asked", [True, False])
def test_usage_is_told_to_the_client_that_asked_for_it(asked: bool):
    early, late = Usage(input_tokens=1), Usage(input_tokens=10, output_tokens=5)
    view = View(stream=True, usage_in_stream=asked)
    shown = documents(render([Started(id="c", usage=early), UsageDelta(late), Ended()], view))
    told = [
        document["usage"] for document in shown if document != b"[DONE]" and "usage" in document
    ]
    assert told == ([USAGE] if asked else [])


def test_usage_that_nobody_knows_is_not_told():
    view = View(stream=True, usage_in_stream=True)
    assert render([Ended()], view) == DONE
