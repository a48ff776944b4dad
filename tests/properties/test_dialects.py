"""What holds of every request, reply and stream, whatever it says."""

import contextlib
import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.dialects import anthropic, load, openai_chat
from core.envelope import split
from core.errors import BadRequestError, CutwaterError, UpstreamError
from core.neutral import (
    Ended,
    Facts,
    Finished,
    Reasoning,
    Refusal,
    Reply,
    Request,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    View,
    fold,
    tool_as_text,
    unfold,
)
from core.plan import read_chat
from core.routes import DialectName
from core.sse import Event, Framer, parse, render
from tests import golden
from tests.core.dialects.wire import events, parse_stream, plain
from tests.properties import strategies as draw

quick = settings(max_examples=60, deadline=None, derandomize=True)

VIEW = View(stream=True, usage_in_stream=True, model="m", created=1, fresh_id="fresh")
DIALECTS = golden.DIALECTS


def cut(stream: bytes, marks: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(mark % (len(stream) + 1) for mark in marks)})
    return [stream[start:end] for start, end in itertools.pairwise(places)]


marks = st.lists(st.integers(0, 10_000), max_size=12)


def streams() -> dict[str, tuple[Any, Any, bytes]]:
    found = {}
    for folder in golden.folders():
        chunks = golden.read(folder, "upstream.chunks.txt")
        if chunks is not None:
            request = golden.read(folder, "client.request.json") or b""
            chat = read_chat(request, golden.route_of(golden.client_of(folder)))
            found[f"{folder.parent.name}-{folder.name}"] = (chat, golden.attempt(chat), chunks)
    return found


STREAMS = streams()


@quick
@given(name=st.sampled_from(sorted(STREAMS)), marks=marks)
def test_a_client_gets_the_same_bytes_wherever_the_providers_are_cut(name: str, marks: list[int]):
    chat, sent, chunks = STREAMS[name]
    relay = golden.relay_of(chat, sent)
    try:
        said = b"".join([relay.feed(chunk) for chunk in cut(chunks, marks)]) + relay.finish(None)
    except CutwaterError as error:
        body = load(chat.dialect).error_body(error, golden.REQUEST_ID)
        said = b"%d\n%s\n" % (error.status, body)
    assert said == golden.stream(chat, sent, chunks)


@quick
@given(name=st.sampled_from(sorted(STREAMS)), marks=marks)
def test_the_same_events_come_of_any_split(name: str, marks: list[int]):
    chunks = STREAMS[name][2]
    whole = [parse(frame) for frame in Framer().feed(chunks)]
    framer = Framer()
    pieces = [frame for chunk in cut(chunks, marks) for frame in framer.feed(chunk)]
    assert [parse(frame) for frame in pieces] == whole


@quick
@given(draw.replies(draw.spoken, most=3))
def test_a_reply_unfolded_and_folded_is_the_reply(reply: Reply):
    assert fold(unfold(reply)) == reply


@quick
@given(draw.openai_requests())
def test_openai_reads_the_request_that_it_wrote(request: Request):
    out = openai_chat.render_request(request, Facts())
    assert (out.dropped, out.tool_as_text) == ((), None)
    assert plain(openai_chat.parse_request(split(out.body))) == plain(request)


@quick
@given(draw.anthropic_requests())
def test_anthropic_reads_the_request_that_it_wrote(request: Request):
    out = anthropic.render_request(request, Facts(native_schema=True))
    assert (out.dropped, out.tool_as_text) == ((), None)
    assert plain(anthropic.parse_request(split(out.body))) == plain(request)


def gist(reply: Reply, dialect: DialectName) -> Any:
    """What the dialect can say of a reply."""
    told = (Text, Refusal) if dialect == "anthropic" else (Text,)
    choices = []
    for choice in reply.choices[: 1 if dialect == "anthropic" else None]:
        refused = dialect == "anthropic" and any(isinstance(p, Refusal) for p in choice.parts)
        choices.append(
            (
                "".join(part.text for part in choice.parts if isinstance(part, told)),
                [part for part in choice.parts if isinstance(part, ToolCall)],
                [part for part in choice.parts if isinstance(part, Reasoning)],
                "content_filter" if refused else choice.reason,
            )
        )
    return choices, reply.usage


@pytest.mark.parametrize("dialect", DIALECTS)
@quick
@given(reply=draw.replies(draw.spoken, most=3))
def test_a_client_reads_from_the_stream_what_the_reply_says(dialect: DialectName, reply: Reply):
    module = load(dialect)
    renderer, parser = module.StreamRenderer(VIEW), module.StreamParser()
    shown = b"".join(renderer.feed(delta) for delta in unfold(reply))
    deltas = parse_stream(parser, shown)
    assert parser.complete
    assert deltas[-1] == Ended()
    assert gist(fold(deltas), dialect) == gist(reply, dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
@quick
@given(reply=draw.replies(draw.spoken, most=3))
def test_a_client_reads_from_the_whole_what_the_reply_says(dialect: DialectName, reply: Reply):
    module = load(dialect)
    shown = module.parse_reply(module.render_reply(reply, VIEW))
    assert gist(shown, dialect) == gist(reply, dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
@quick
@given(name=draw.names, value=draw.values, indent=st.integers(-1, 3), stream=st.booleans())
def test_an_unknown_field_passes_byte_for_byte(
    dialect: DialectName, name: str, value: Any, indent: int, stream: bool
):
    model = "gpt-4o" if dialect == "openai_chat" else "claude-sonnet-4-5"
    written = msgspec.json.format(msgspec.json.encode(value), indent=indent)
    body = (
        b'{"model": "' + model.encode() + b'", "messages": [ {} ], "stream": '
        + (b"true" if stream else b"false")
        + b', "new_' + name.encode() + b'": ' + written + b"}"
    )  # fmt: skip
    sent = golden.attempt(read_chat(body, golden.route_of(dialect)))
    assert sent.lane == "pass"
    assert bytes(split(sent.outgoing.body)[f"new_{name}"]) == written
    if not (stream and dialect == "openai_chat"):
        assert sent.outgoing.body == body


@quick
@given(
    pieces=st.lists(draw.some, max_size=5),
    before=st.lists(draw.some, max_size=2),
    reason=st.sampled_from(["tool_calls", "length"]),
)
def test_the_stand_in_tool_never_shows(pieces: list[str], before: list[str], reason: Any):
    step = tool_as_text("json")
    deltas = [
        *(TextDelta(0, text) for text in before),
        ToolCallStarted(1, "t1", "json"),
        *(ToolCallDelta(1, piece) for piece in pieces),
        Finished(reason),
    ]
    (choice,) = fold(said for delta in deltas for said in step(delta)).choices
    assert all(isinstance(part, Text) for part in choice.parts)
    assert "".join(p.text for p in choice.parts if isinstance(p, Text)) == "".join(pieces)
    assert choice.reason == ("stop" if reason == "tool_calls" else reason)


REQUESTS = [
    (golden.client_of(folder), msgspec.json.decode(request))
    for folder in golden.folders()
    if (request := golden.read(folder, "client.request.json")) is not None
]
TAGS = [
    *("user", "system", "tool", "text", "image", "document", "thinking", "tool_result", "content"),
    *("none", "custom", "json_schema", "data:,", "data:text/plain;base64,/w==", "{", "[]", "null"),
]
nonsense = draw.values | st.sampled_from(TAGS)


def places(node: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value within."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(node, dict):
        inner = [(node, key) for key in node]
    elif isinstance(node, list):
        inner = [(node, index) for index in range(len(node))]
    return [*inner, *(place for box, key in inner for place in places(box[key]))]


@st.composite
def garbled(choose: st.DrawFn, document: Any) -> bytes:
    """What was fine until one to three of its values were replaced or left out."""
    body = msgspec.json.decode(msgspec.json.encode(document))
    for _ in range(choose(st.integers(1, 3))):
        if not (found := places(body)):
            break
        box, key = choose(st.sampled_from(found))
        if choose(st.booleans()):
            box[key] = choose(nonsense)
        else:
            del box[key]
    return msgspec.json.encode(body)


@settings(quick, max_examples=400)
@given(st.data())
def test_a_garbled_request_is_a_400_or_is_translated(data: st.DataObject):
    client, whole = data.draw(st.sampled_from(REQUESTS))
    body = data.draw(garbled(whole))
    module = load(client)
    with contextlib.suppress(BadRequestError):
        chat = read_chat(body, golden.route_of(client))
        neutral = module.parse_request(chat.envelope)
        for dialect in DIALECTS:
            for facts in (Facts(), Facts(native_schema=True, thinking="adaptive", sampling=False)):
                load(dialect).render_request(neutral, facts)


ANSWERS = [
    (
        golden.attempt(read_chat(request, golden.route_of(golden.client_of(folder)))).dialect,
        msgspec.json.decode(reply),
    )
    for folder in golden.folders()
    if (request := golden.read(folder, "client.request.json")) is not None
    and (reply := golden.read(folder, "upstream.reply.json")) is not None
    and reply.startswith(b"{")
]


@settings(quick, max_examples=300)
@given(st.data())
def test_a_garbled_answer_is_a_bad_gateway_or_is_translated(data: st.DataObject):
    provider, whole = data.draw(st.sampled_from(ANSWERS))
    body = data.draw(garbled(whole))
    with contextlib.suppress(UpstreamError):
        reply = load(provider).parse_reply(body)
        for client in DIALECTS:
            load(client).render_reply(reply, VIEW)


@settings(quick, max_examples=300)
@given(st.data())
def test_a_garbled_stream_is_translated_or_ends_with_an_error(data: st.DataObject):
    chat, sent, chunks = STREAMS[data.draw(st.sampled_from(sorted(STREAMS)))]
    whole = [event for event in events(chunks) if event.data.startswith(b"{")]
    index = data.draw(st.integers(0, len(whole) - 1))
    with contextlib.suppress(msgspec.DecodeError):
        whole[index] = Event(
            data.draw(garbled(msgspec.json.decode(whole[index].data))), whole[index].name
        )
    relay = golden.relay_of(chat, sent)
    with contextlib.suppress(CutwaterError):
        for event in whole:
            relay.feed(render(event.data, event.name))
        relay.finish(None)
        assert relay.ended


blocks = st.tuples(
    st.lists(
        st.fixed_dictionaries(
            {"type": st.just("thinking"), "thinking": draw.some, "signature": draw.some}
        )
        | st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": draw.some}),
        max_size=3,
    ),
    st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": draw.words}), max_size=1),
    st.lists(
        st.fixed_dictionaries(
            {
                "type": st.just("tool_use"),
                "id": draw.names,
                "name": draw.names,
                "input": draw.objects,
            }
        ),
        min_size=1,
        max_size=3,
    ),
)


@quick
@given(blocks=blocks, stream=st.booleans())
def test_an_answer_of_anthropic_comes_back_in_the_second_turn_as_it_was(
    blocks: tuple[list[Any], list[Any], list[Any]], stream: bool
):
    content = [block for group in blocks for block in group]
    reply = anthropic.parse_reply(msgspec.json.encode({"content": content}))
    if stream:
        renderer, parser = openai_chat.StreamRenderer(VIEW), openai_chat.StreamParser()
        shown = b"".join(renderer.feed(delta) for delta in unfold(reply))
        reply = fold(parse_stream(parser, shown))
    said = msgspec.json.decode(openai_chat.render_reply(reply, VIEW))["choices"][0]["message"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "1"} for call in said["tool_calls"]
    ]
    body = msgspec.json.encode({"model": "m", "messages": [said, *results]})
    sent = anthropic.render_request(openai_chat.parse_request(split(body)), Facts()).body
    assistant, user = msgspec.json.decode(sent)["messages"]
    assert assistant == {"role": "assistant", "content": content}
    assert [result["tool_use_id"] for result in user["content"]] == [c["id"] for c in blocks[2]]


@quick
@given(calls=st.lists(draw.calls, min_size=1, max_size=3))
def test_the_calls_of_openai_come_back_in_the_second_turn_as_they_were(calls: list[ToolCall]):
    wire = [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for c in calls
    ]
    choice = {"message": {"content": None, "tool_calls": wire}, "finish_reason": "tool_calls"}
    reply = openai_chat.parse_reply(msgspec.json.encode({"choices": [choice]}))
    said = msgspec.json.decode(anthropic.render_reply(reply, VIEW))
    messages = [{"role": "assistant", "content": said["content"]}]
    body = msgspec.json.encode({"model": "m", "messages": messages})
    sent = openai_chat.render_request(anthropic.parse_request(split(body)), Facts()).body
    (assistant,) = msgspec.json.decode(sent)["messages"]
    assert assistant == {"role": "assistant", "content": None, "tool_calls": wire}
