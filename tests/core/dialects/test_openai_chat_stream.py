"""Chat completion chunks, both ways, and the watcher of the pass lane."""

from collections.abc import Iterable
from typing import Any

import msgspec
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
from core.sse import Event
from tests.core.dialects.wire import body, data, documents, events, parse_stream, told_by

DONE = b"data: [DONE]\n\n"
HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 5, "model": "m"}
STARTED = Started(id="c", model="m", created=5)
VIEW = View(stream=True, model="asked", created=7, fresh_id="fresh")


def chunk(index: int = 0, reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


def tool(index: int | None, id: str | None = None, **function: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"function": function}
    if index is not None:
        fields["index"] = index
    if id is not None:
        fields["id"] = id
    return {"tool_calls": [fields]}


def parse(*chunks: Any) -> list[Delta]:
    return parse_stream(openai_chat.StreamParser(), data(*chunks) + DONE)


USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@pytest.mark.parametrize(
    ("chunks", "deltas"),
    [
        pytest.param(
            [
                chunk(role="assistant", content=""),
                chunk(content="a"),
                chunk(content="b"),
                chunk(reason="stop"),
                {**HEAD, "choices": [], "usage": USAGE},
            ],
            [
                STARTED,
                TextDelta(0, "a"),
                TextDelta(0, "b"),
                Finished("stop", "stop"),
                UsageDelta(Usage(input_tokens=10, output_tokens=5)),
            ],
            id="text, with usage at the end",
        ),
        pytest.param(
            [
                {"choices": [], "prompt_filter_results": []},
                chunk(content="a", reason="stop"),
                {**chunk(reason="stop"), "usage": USAGE},
            ],
            [
                STARTED,
                TextDelta(0, "a"),
                Finished("stop", "stop"),
                UsageDelta(Usage(input_tokens=10, output_tokens=5)),
            ],
            id="a chunk without choices starts nothing, a finish is told once",
        ),
        pytest.param(
            [
                chunk(content="a"),
                chunk(**tool(0, "c1", name="f", arguments="")),
                chunk(**tool(1, "c2", name="g", arguments="{")),
                chunk(**tool(0, arguments='{"a":1}')),
                chunk(**tool(1, arguments="}")),
                chunk(content="b"),
                chunk(reason="tool_calls"),
            ],
            [
                STARTED,
                TextDelta(0, "a"),
                ToolCallStarted(1, "c1", "f"),
                ToolCallStarted(2, "c2", "g"),
                ToolCallDelta(2, "{"),
                ToolCallDelta(1, '{"a":1}'),
                ToolCallDelta(2, "}"),
                TextDelta(3, "b"),
                Finished("tool_calls", "tool_calls"),
            ],
            id="parallel calls that take turns",
        ),
        pytest.param(
            [
                chunk(**tool(0, "c1", name="f", arguments="{}")),
                chunk(**tool(0, "c2", name="g", arguments="{}")),
                chunk(**tool(0, "c2", arguments=" ")),
                chunk(reason="tool_calls"),
            ],
            [
                STARTED,
                ToolCallStarted(0, "c1", "f"),
                ToolCallDelta(0, "{}"),
                ToolCallStarted(1, "c2", "g"),
                ToolCallDelta(1, "{}"),
                ToolCallDelta(1, " "),
                Finished("tool_calls", "tool_calls"),
            ],
            id="another id at the same index is another call",
        ),
        pytest.param(
            [
                chunk(**tool(None, "c1", name="f", arguments="{")),
                chunk(**tool(None, arguments="}")),
                chunk(**tool(None, "c2", name="g", arguments="{}")),
                chunk(tool_calls=[{"index": 5, "id": "c3"}]),
                chunk(reason="tool_calls"),
            ],
            [
                STARTED,
                ToolCallStarted(0, "c1", "f"),
                ToolCallDelta(0, "{"),
                ToolCallDelta(0, "}"),
                ToolCallStarted(1, "c2", "g"),
                ToolCallDelta(1, "{}"),
                ToolCallStarted(2, "c3", ""),
                Finished("tool_calls", "tool_calls"),
            ],
            id="calls without an index",
        ),
        pytest.param(
            [
                chunk(function_call={"name": "f", "arguments": ""}),
                chunk(function_call={"arguments": "{}"}),
                chunk(reason="function_call"),
            ],
            [
                STARTED,
                ToolCallStarted(0, "call_0", "f"),
                ToolCallDelta(0, "{}"),
                Finished("tool_calls", "function_call"),
            ],
            id="a legacy function call",
        ),
        pytest.param(
            [chunk(**tool(0, "c1", name="f", arguments="{}")), chunk(reason="stop")],
            [
                STARTED,
                ToolCallStarted(0, "c1", "f"),
                ToolCallDelta(0, "{}"),
                Finished("tool_calls", "stop"),
            ],
            id="an answer that calls the tool it was told to",
        ),
        pytest.param(
            [chunk(refusal="n"), chunk(refusal="o"), chunk(reason="stop")],
            [STARTED, RefusalDelta(0, "n"), RefusalDelta(0, "o"), Finished("stop", "stop")],
            id="a refusal",
        ),
        pytest.param(
            [
                chunk(reasoning_content="a", content=None),
                chunk(reasoning_content="b", content=""),
                chunk(content="c"),
                chunk(reasoning="d"),
                chunk(reason="stop"),
            ],
            [
                STARTED,
                ReasoningDelta(0, "a"),
                ReasoningDelta(0, "b"),
                TextDelta(1, "c"),
                ReasoningDelta(2, "d"),
                Finished("stop", "stop"),
            ],
            id="reasoning under either name, before and between texts",
        ),
        pytest.param(
            [
                chunk(reasoning={"index": 0, "content": "a"}),
                chunk(reasoning={"index": 0, "id": "s1"}),
                chunk(reasoning={"index": 1, "redacted": "x"}),
                chunk(reasoning={"content": "b"}),
                chunk(reason="stop"),
            ],
            [
                STARTED,
                ReasoningDelta(0, "a"),
                ReasoningDelta(0, "", "s1"),
                ReasoningDelta(1, redacted="x"),
                ReasoningDelta(2, "b"),
                Finished("stop", "stop"),
            ],
            id="each thought has a signature or a seal of its own",
        ),
        pytest.param(
            [
                chunk(reasoning=[{"id": "s1", "content": "a"}, {"id": "s2", "content": "b"}]),
                chunk(reason="stop"),
            ],
            [
                STARTED,
                ReasoningDelta(0, "a", "s1"),
                ReasoningDelta(1, "b", "s2"),
                Finished("stop", "stop"),
            ],
            id="thoughts in one chunk stay apart",
        ),
        pytest.param(
            [
                chunk(content=[{"type": "thinking", "thinking": [{"text": "a"}]}]),
                chunk(content=[{"type": "thinking", "thinking": [{"text": "b"}]}]),
                chunk(content=[{"type": "text", "text": "c"}]),
                chunk(reason="stop"),
            ],
            [
                STARTED,
                ReasoningDelta(0, "a"),
                ReasoningDelta(0, "b"),
                TextDelta(1, "c"),
                Finished("stop", "stop"),
            ],
            id="Mistral's pieces",
        ),
        pytest.param(
            [
                chunk(0, content="a"),
                chunk(1, content="b"),
                chunk(0, "stop"),
                chunk(1, "length"),
            ],
            [
                STARTED,
                TextDelta(0, "a"),
                TextDelta(0, "b", 1),
                Finished("stop", "stop"),
                Finished("length", "length", None, 1),
            ],
            id="several choices",
        ),
        pytest.param(
            [{"choices": [{"index": 0, "finish_reason": "eos"}]}],
            [Started(), Finished("other", "eos")],
            id="a chunk that says next to nothing",
        ),
    ],
)
def test_a_stream_is_read(chunks: list[Any], deltas: list[Delta]):
    assert parse(*chunks) == [*deltas, Ended()]


def test_an_empty_legacy_call_is_none():
    empty = {"name": "", "arguments": ""}
    said = {"index": 0, "delta": {"content": "a", "function_call": empty}, "finish_reason": "stop"}
    deltas = parse({"id": "c", "choices": [said]})
    assert not any(isinstance(delta, ToolCallStarted) for delta in deltas)
    assert Finished("stop", "stop") in deltas


def test_calls_without_index_and_id_begin_with_a_name():
    pieces = [("f", '{"a"'), (None, ":1}"), ("f", "{}")]
    chunks = [
        chunk(tool_calls=[{"function": {"name": name, "arguments": text}}]) for name, text in pieces
    ]
    assert parse(*chunks, chunk(reason="tool_calls"))[1:-2] == [
        ToolCallStarted(0, "", "f"),
        ToolCallDelta(0, '{"a"'),
        ToolCallDelta(0, ":1}"),
        ToolCallStarted(1, "", "f"),
        ToolCallDelta(1, "{}"),
    ]


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


def test_the_end_marker_ends_what_never_told_its_reason():
    assert parse(chunk(content="a"))[1:] == [TextDelta(0, "a"), Finished("other"), Ended()]
    called = parse(chunk(**tool(0, "c", name="f", arguments="{}")))
    assert called[-2:] == [Finished("tool_calls"), Ended()]


def test_the_end_marker_alone_is_no_answer():
    assert parse() == []


@pytest.mark.parametrize(
    ("name", "error", "failed"),
    [
        pytest.param(
            b"",
            {"error": {"message": "Busy.", "type": "server_error", "code": None}},
            Failed(500, "Busy.", "server_error"),
            id="an error chunk",
        ),
        pytest.param(
            b"error",
            {"message": "Slow down.", "code": "rate_limit_exceeded"},
            Failed(429, "Slow down.", "rate_limit_error", "rate_limit_exceeded"),
            id="an event named error",
        ),
        pytest.param(
            b"",
            {"error": {"message": "Down.", "code": 503}},
            Failed(503, "Down.", "api_error"),
            id="an error whose code is a status",
        ),
    ],
)
def test_an_error_in_a_stream_is_a_failure(name: bytes, error: Any, failed: Failed):
    event = Event(msgspec.json.encode(error), name)
    assert openai_chat.StreamParser().feed(event) == [failed]
    watcher = openai_chat.StreamWatcher(VIEW)
    assert watcher.see(event)
    assert told_by(watcher.error) == failed


def test_a_stream_is_complete_when_every_choice_that_began_has_finished():
    parser = openai_chat.StreamParser()
    seen = []
    for step in (chunk(0, content="a"), chunk(1, content="b"), chunk(0, "stop"), chunk(1, "stop")):
        parse_stream(parser, data(step))
        seen.append(parser.complete)
    assert seen == [False, False, False, True]


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


@pytest.mark.parametrize("asked", [True, False])
def test_the_watcher_hides_the_usage_that_only_we_asked_for(asked: bool):
    watcher = openai_chat.StreamWatcher(View(stream=True, usage_in_stream=asked))
    stream = data(
        chunk(content="a"),
        chunk(reason="stop"),
        {**chunk(), "usage": None},
        {**HEAD, "choices": [], "usage": USAGE},
    )
    seen = [watcher.see(event) for event in events(stream + DONE)]
    assert seen == [True, True, True, asked, True]
    assert watcher.usage == Usage(input_tokens=10, output_tokens=5)
    assert (watcher.complete, watcher.ended, watcher.error) == (True, True, None)


def test_the_watcher_does_not_take_an_end_marker_alone_for_an_answer():
    watcher = openai_chat.StreamWatcher(VIEW)
    assert [watcher.see(event) for event in events(DONE)] == [False]
    assert (watcher.complete, watcher.ended) == (False, False)


def test_a_whole_stream_lacks_only_the_end_marker():
    assert openai_chat.StreamWatcher(VIEW).ending() == DONE


def test_a_call_is_told_once_it_has_a_name():
    begun = tool(0, "c1", arguments='{"a"')
    told = parse(
        chunk(**begun),
        chunk(**tool(0, name="f", arguments=":1}")),
        chunk(reason="tool_calls"),
    )
    assert told[1:-1] == [
        ToolCallStarted(0, "c1", "f"),
        ToolCallDelta(0, '{"a"'),
        ToolCallDelta(0, ":1}"),
        Finished("tool_calls", "tool_calls"),
    ]


@pytest.mark.parametrize("reason", ["tool_calls", None])
def test_a_call_that_never_got_a_name_is_told_all_the_same(reason: str | None):
    given = [chunk(**tool(0, "c1", arguments="{")), chunk(**tool(0, "c2", arguments="}"))]
    told = parse(*given, chunk(reason=reason))
    assert told[1:-2] == [
        ToolCallStarted(0, "c1", ""),
        ToolCallDelta(0, "{"),
        ToolCallStarted(1, "c2", ""),
        ToolCallDelta(1, "}"),
    ]
    assert isinstance(told[-2], Finished)
