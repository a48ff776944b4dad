"""Over the recordings: every answer is read as a plain reading of it says, however it is cut."""

import itertools
from base64 import b64decode, b64encode
from typing import Any, TypeAlias

import botocore.session
import msgspec
import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.validate import ParamValidator
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from core import envelope as envelopes
from core import eventstream
from core.dialects import anthropic, converse, openai_chat
from core.errors import BadRequestError
from core.neutral import (
    Delta,
    Ended,
    Facts,
    Failed,
    Finished,
    Reasoning,
    Reply,
    Request,
    Text,
    ToolCall,
    Usage,
    View,
    fold,
    unfold,
)
from core.streams import PassRelay
from tests import corpus

pytestmark = pytest.mark.corpus

Content: TypeAlias = list[dict[str, Any]]


class Said(Struct, frozen=True, kw_only=True):
    """What an answer comes down to."""

    text: str
    calls: list[tuple[str, str, Any]]
    thoughts: list[tuple[str, str, str]]
    """Text, signature, redacted (base64)."""
    usage: tuple[int, int, int, int]
    """Without the cached tokens, as AWS counts; then output, read, written."""
    stop: str


def of_usage(usage: dict[str, Any]) -> tuple[int, int, int, int]:
    names = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    read, written, first, second = (usage.get(name) or 0 for name in names)
    return read, written, first, second


def by_client(call: dict[str, Any]) -> bool:
    """Nova says of such a call that it is one; of Bedrock's own tools another word."""
    return call.get("type", "tool_use") == "tool_use"


def of_body(body: dict[str, Any]) -> Said:
    """A recording's own words, read without any of our code."""
    content: Content = body["output"]["message"]["content"]
    texts = []
    for block in content:
        cited = block.get("citationsContent", {}).get("content", [])
        texts += [block.get("text", ""), *(piece["text"] for piece in cited)]
    calls = [block["toolUse"] for block in content if "toolUse" in block]
    thoughts = [block["reasoningContent"] for block in content if "reasoningContent" in block]
    return Said(
        text="".join(texts),
        calls=[(c["toolUseId"], c["name"], c["input"]) for c in calls if by_client(c)],
        thoughts=[
            (
                t.get("reasoningText", {}).get("text", ""),
                t.get("reasoningText", {}).get("signature", ""),
                t.get("redactedContent", ""),
            )
            for t in thoughts
        ],
        usage=of_usage(body["usage"]),
        stop=body["stopReason"],
    )


def of_reply(reply: Reply) -> Said:
    (choice,) = reply.choices
    usage = reply.usage or Usage()
    cached = usage.cache_read_tokens, usage.cache_write_tokens
    return Said(
        text="".join(part.text for part in choice.parts if isinstance(part, Text)),
        calls=[
            (part.id, part.name, msgspec.json.decode(part.arguments))
            for part in choice.parts
            if isinstance(part, ToolCall)
        ],
        thoughts=[
            (part.text, part.signature or "", base64_of(part.redacted))
            for part in choice.parts
            if isinstance(part, Reasoning)
        ],
        usage=(usage.input_tokens - sum(cached), usage.output_tokens, *cached),
        stop=choice.raw_reason or "",
    )


def base64_of(redacted: str | None) -> str:
    return b64encode((redacted or "").encode("latin-1")).decode()


def answered(api: str) -> list[corpus.Recording]:
    return [r for r in corpus.recordings(api) if r.response.status == 200]


def test_every_answer_is_read_as_it_was_said_and_rendered_as_it_was_read() -> None:
    recordings = answered("bedrock.converse")
    for recording in recordings:
        body = recording.response.body
        reply = converse.parse_reply(msgspec.json.encode(body))
        assert of_reply(reply) == of_body(body), recording.id
        again = msgspec.json.decode(converse.render_reply(reply, View()))
        expected = msgspec.structs.replace(of_body(body), stop=again["stopReason"])
        assert of_body(again) == expected, recording.id
        assert fold(unfold(reply)) == reply, recording.id
    assert len(recordings) == 124


def of_events(data: bytes) -> Said:
    """A recorded stream, read by botocore's framing and without any of our code."""
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    blocks: dict[int, dict[str, Any]] = {}
    texts: list[str] = []
    usage: dict[str, Any] = {}
    stop = ""
    for event in buffer:
        told = msgspec.json.decode(event.payload)
        block = blocks.setdefault(told.get("contentBlockIndex", -1), {"input": ""})
        delta = told.get("delta", {})
        block.update(told.get("start", {}).get("toolUse", {}))
        texts.append(delta.get("text", ""))
        if isinstance(piece := delta.get("toolUse"), dict):
            block["input"] += piece["input"]
        for name, value in delta.get("reasoningContent", {}).items():
            block[name] = block.get(name, "") + value
        usage = told.get("usage", usage)
        stop = told.get("stopReason", stop)
    tools = [b for b in blocks.values() if "toolUseId" in b and by_client(b)]
    thoughts = [b for b in blocks.values() if b.keys() & {"text", "signature", "redactedContent"}]
    return Said(
        text="".join(texts),
        calls=[(b["toolUseId"], b["name"], msgspec.json.decode(b["input"] or "{}")) for b in tools],
        thoughts=[
            (b.get("text", ""), b.get("signature", ""), b.get("redactedContent", ""))
            for b in thoughts
        ],
        usage=of_usage(usage),
        stop=stop,
    )


def deltas_of(chunks: list[bytes]) -> list[Delta]:
    framer, parser = eventstream.Framer(), converse.StreamParser()
    return [
        delta
        for chunk in chunks
        for frame in framer.feed(chunk)
        for delta in parser.feed(eventstream.parse(frame))
    ]


def streams() -> list[tuple[str, bytes]]:
    recordings = answered("bedrock.converse-stream")
    return [(r.id, b64decode(r.response.body_b64)) for r in recordings]


def test_every_stream_is_read_as_it_was_said_and_rendered_as_it_was_read() -> None:
    recorded = streams()
    for name, data in recorded:
        deltas = deltas_of([data])
        said = of_events(data)
        assert of_reply(fold(deltas)) == said, name
        assert isinstance(deltas[-1], Ended), name
        assert sum(isinstance(delta, Finished) for delta in deltas) == 1, name
        renderer = converse.StreamRenderer(View())
        again = of_events(b"".join(renderer.feed(delta) for delta in deltas))
        assert again == msgspec.structs.replace(said, stop=again.stop), name
    assert len(recorded) == 29


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_stream_says_the_same_however_it_is_cut(data: st.DataObject) -> None:
    _, wire = data.draw(st.sampled_from(streams()))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(wire)), max_size=30)))
    chunks = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert deltas_of(chunks) == deltas_of([wire])
    relay = PassRelay(converse, converse.StreamWatcher(View()), "r1")
    assert b"".join(relay.feed(chunk) for chunk in chunks) + relay.finish(None) == wire
    assert relay.ended
    assert relay.watcher.usage == fold(deltas_of([wire])).usage


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_stream_that_ends_before_its_stop_is_never_whole(data: st.DataObject) -> None:
    _, wire = data.draw(st.sampled_from(streams()))
    frames = eventstream.Framer().feed(wire)
    stop = next(i for i, f in enumerate(frames) if eventstream.parse(f).name == b"messageStop")
    before = len(b"".join(frames[: stop + 1]))
    parser = converse.StreamParser()
    kept = data.draw(st.integers(0, before - 1))
    for frame in eventstream.Framer().feed(wire[:kept]):
        assert not any(
            isinstance(delta, Ended | Finished | Failed)
            for delta in parser.feed(eventstream.parse(frame))
        )
    assert not parser.complete


# --- Requests: whatever we render is what botocore's own model of the service allows ------------


def shape_of_request() -> Any:
    model = botocore.session.get_session().get_service_model("bedrock-runtime")
    return model.operation_model("Converse").input_shape


def complaints(body: bytes, shape: Any) -> str:
    document = {"modelId": "m", **msgspec.json.decode(body)}
    return str(ParamValidator().validate(document, shape).generate_report())


def requests(api: str, dialect: Any) -> list[tuple[str, Request]]:
    """The recorded requests that can be read; the others are refused with a reason."""
    found = []
    for recording in corpus.recordings(api):
        if not isinstance(recording.request.body, dict):
            continue
        fields = envelopes.split(msgspec.json.encode(recording.request.body))
        fields.setdefault("model", envelopes.raw("m"))
        try:
            found.append((recording.id, dialect.parse_request(fields)))
        except BadRequestError:
            continue
    return found


MODELS = (
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.amazon.nova-2-lite-v1:0",
    "us.meta.llama4-maverick-17b-instruct-v1:0",
)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("api", "dialect", "least"),
    [
        ("openai.chat", openai_chat, 150),
        ("anthropic.messages", anthropic, 150),
        ("bedrock.converse", converse, 100),
        ("bedrock.converse-stream", converse, 20),
    ],
)
def test_every_recorded_request_is_one_that_aws_takes_or_is_refused_with_a_reason(
    model: str, api: str, dialect: Any, least: int
) -> None:
    shape = shape_of_request()
    rendered = 0
    for name, request in requests(api, dialect):
        asked = msgspec.structs.replace(request, model=model)
        try:
            out = converse.render_request(asked, Facts(native_schema=True))
        except BadRequestError:
            continue
        assert complaints(out.body, shape) == "", name
        turns = msgspec.json.decode(out.body)["messages"]
        roles = [turn["role"] for turn in turns]
        assert all(one != two for one, two in itertools.pairwise(roles)), name
        assert "claude" in model or roles[:1] == ["user"], name
        assert all(turn["content"] for turn in turns), name
        rendered += 1
    assert rendered >= least


def test_a_recorded_converse_request_comes_back_as_it_was_on_what_both_forms_know() -> None:
    same = 0
    for _, request in requests("bedrock.converse", converse):
        if request.schema or request.thinking or "top_k" in request.parameters:
            continue
        asked = msgspec.structs.replace(request, model=MODELS[0])
        try:
            out = converse.render_request(asked, Facts(native_schema=True))
        except BadRequestError:
            continue
        again = converse.parse_request(
            {**envelopes.split(out.body), "model": envelopes.raw(MODELS[0])}
        )
        same += again.messages == asked.messages and again.tools == asked.tools
    assert same >= 70
