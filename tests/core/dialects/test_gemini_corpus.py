"""What Google really said, read; and its signatures, carried through the clients of others."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from core import signatures, sse
from core.dialects import anthropic, gemini, openai_chat, openai_responses
from core.envelope import split
from core.errors import BadRequestError
from core.neutral import (
    Ended,
    Facts,
    Media,
    Reasoning,
    Refusal,
    Reply,
    Text,
    ToolCall,
    View,
    fold,
    unfold,
)
from core.streams import NeutralRelay
from tests import corpus
from tests.corpus import Recording

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(120)]

WHOLE = ("google.generateContent", "vertex.generateContent")
STREAMED = ("google.streamGenerateContent", "vertex.streamGenerateContent")
VIEW = View(model="asked-for", fresh_id="fresh")


def answers(api: str) -> list[Recording]:
    found = [r for r in corpus.recordings(api) if r.response.status == 200]
    assert found
    return found


def responses(recording: Recording) -> list[Any]:
    """All GenerateContentResponses of a recording, whole or streamed, events or array."""
    body = recording.response.body
    if body is not None:
        return body if isinstance(body, list) else [body]
    lines = recording.response.body_text.replace("\r", "").split("\n")
    return [msgspec.json.decode(line[6:]) for line in lines if line.startswith("data: ")]


def stream(recording: Recording) -> bytes:
    """As `alt=sse` has it: some were recorded as an array."""
    if recording.response.body is None:
        return recording.response.body_text.encode()
    documents = (msgspec.json.encode(response) for response in responses(recording))
    return b"".join(b"data: " + document + b"\r\n\r\n" for document in documents)


def recorded_parts(recording: Recording) -> Iterator[dict[str, Any]]:
    for response in responses(recording):
        for candidate in response.get("candidates", []):
            yield from candidate.get("content", {}).get("parts", [])


def said(reply: Reply) -> dict[str, Any]:
    parts = [part for choice in reply.choices for part in choice.parts]
    return {
        "text": "".join(part.text for part in parts if isinstance(part, Text)),
        "thoughts": "".join(part.text for part in parts if isinstance(part, Reasoning)),
        "calls": [part.name for part in parts if isinstance(part, ToolCall)],
        "media": [part.data for part in parts if isinstance(part, Media)],
        "signatures": [
            part.signature if isinstance(part, ToolCall) else signatures.for_google(part.signature)
            for part in parts
            if isinstance(part, ToolCall | Reasoning) and part.signature is not None
        ],
    }


def recorded(recording: Recording) -> dict[str, Any]:
    parts = list(recorded_parts(recording))
    kept = [part for part in parts if "text" in part or "functionCall" in part]
    return {
        "text": "".join(p["text"] for p in parts if "text" in p and not p.get("thought")),
        "thoughts": "".join(p["text"] for p in parts if p.get("thought")),
        "calls": [
            p["functionCall"]["name"] for p in parts if p.get("functionCall", {}).get("name")
        ],
        "media": [p["inlineData"]["data"] for p in parts if "inlineData" in p],
        "signatures": [p["thoughtSignature"] for p in kept if "thoughtSignature" in p],
    }


def recorded_arguments(recording: Recording) -> list[Any]:
    calls = [p["functionCall"] for p in recorded_parts(recording) if "functionCall" in p]
    return [call["args"] for call in calls if "args" in call]


def has_pieces(recording: Recording) -> bool:
    return any("partialArgs" in p.get("functionCall", {}) for p in recorded_parts(recording))


def read(recording: Recording) -> Reply:
    parser = gemini.StreamParser()
    framer = sse.Framer()
    frames = framer.feed(stream(recording))
    events = [event for frame in [*frames, framer.flush()] if (event := sse.parse(frame))]
    reply = fold(delta for event in events for delta in parser.feed(event))
    assert parser.complete, recording.id
    return reply


def check(recording: Recording, reply: Reply) -> None:
    assert said(reply) == recorded(recording), recording.id
    calls = [p for c in reply.choices for p in c.parts if isinstance(p, ToolCall)]
    arguments = [msgspec.json.decode(call.arguments) for call in calls]
    if not has_pieces(recording):
        assert [a for a in arguments if a] == [a for a in recorded_arguments(recording) if a]
    assert len({call.id for call in calls}) == len(calls), recording.id
    assert all(choice.reason for choice in reply.choices)
    assert reply.model
    assert reply.id


@pytest.mark.parametrize("api", WHOLE)
def test_a_whole_answer_says_what_was_recorded(api):
    for recording in answers(api):
        reply = gemini.parse_reply(msgspec.json.encode(recording.response.body))
        check(recording, reply)
        usage = recording.response.body["usageMetadata"]
        if reply.usage is not None and "totalTokenCount" in usage:
            total = reply.usage.input_tokens + reply.usage.output_tokens
            assert total == usage["totalTokenCount"], recording.id


@pytest.mark.parametrize("api", STREAMED)
def test_a_stream_says_what_was_recorded(api):
    for recording in answers(api):
        check(recording, read(recording))


@pytest.mark.parametrize("api", STREAMED)
@pytest.mark.parametrize("client", [openai_chat, anthropic, openai_responses])
def test_a_stream_may_be_cut_anywhere(api, client):
    for recording in answers(api):
        data = stream(recording)
        told = set()
        for size in (len(data), 97, 13):
            view = View(model="m", fresh_id="fresh", stream=True, usage_in_stream=True)
            relay = NeutralRelay(client, gemini, client.StreamRenderer(view), "req_1")
            pieces = [relay.feed(data[at : at + size]) for at in range(0, len(data), size)]
            told.add(b"".join([*pieces, relay.finish(None)]))
            assert relay.ended
            assert not relay.broken_events
        assert len(told) == 1, recording.id


@pytest.mark.parametrize("api", [*WHOLE, *STREAMED])
def test_an_answer_comes_back_from_our_own_rendering(api):
    for recording in answers(api):
        reply = read(recording) if api in STREAMED else _whole(recording)
        again = gemini.parse_reply(gemini.render_reply(reply, VIEW))
        assert said(again)["signatures"] == said(reply)["signatures"], recording.id
        spoken = {**said(again), "text": ""}
        assert spoken == {**said(reply), "text": ""}
        renderer = gemini.StreamRenderer(VIEW)
        streamed = b"".join(renderer.feed(delta) for delta in unfold(reply))
        events = [sse.parse(frame) for frame in sse.Framer().feed(streamed)]
        parser = gemini.StreamParser()
        deltas = [d for event in events if event is not None for d in parser.feed(event)]
        assert parser.complete
        assert {**said(fold([*deltas, Ended()])), "text": ""} == spoken, recording.id


def _whole(recording: Recording) -> Reply:
    return gemini.parse_reply(msgspec.json.encode(recording.response.body))


# --- The second turn ----------------------------------------------------------------------------


def _openai_turn(reply: Reply) -> bytes:
    message = msgspec.json.decode(openai_chat.render_reply(reply, VIEW))["choices"][0]["message"]
    answered = [
        {"role": "tool", "tool_call_id": call["id"], "content": "done"}
        for call in message.get("tool_calls", [])
    ]
    messages = [{"role": "user", "content": "hi"}, message, *answered]
    return msgspec.json.encode({"model": "m", "messages": messages})


def _anthropic_turn(reply: Reply) -> bytes:
    content = msgspec.json.decode(anthropic.render_reply(reply, VIEW))["content"]
    answered = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "done"}
        for block in content
        if block["type"] == "tool_use"
    ]
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": content},
        {"role": "user", "content": [*answered, {"type": "text", "text": "Go on."}]},
    ]
    return msgspec.json.encode({"model": "m", "max_tokens": 9, "messages": messages})


def _responses_turn(reply: Reply) -> bytes:
    output = msgspec.json.decode(openai_responses.render_reply(reply, VIEW))["output"]
    answered = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "done"}
        for item in output
        if item["type"] == "function_call"
    ]
    items = [{"role": "user", "content": "hi"}, *output, *answered]
    return msgspec.json.encode({"model": "m", "input": items})


TURNS = {
    "openai_chat": (openai_chat, _openai_turn),
    "anthropic": (anthropic, _anthropic_turn),
    "openai_responses": (openai_responses, _responses_turn),
}


@pytest.mark.parametrize("api", [*WHOLE, *STREAMED])
@pytest.mark.parametrize("client", TURNS)
def test_every_signature_comes_back_byte_for_byte(api, client):
    dialect, turn = TURNS[client]
    count = 0
    for recording in answers(api):
        reply = read(recording) if api in STREAMED else _whole(recording)
        if any(isinstance(p, Media | Refusal) for p in reply.choices[0].parts):
            continue
        asked = dialect.parse_request(split(turn(reply)))
        body = msgspec.json.decode(gemini.render_request(asked, Facts()).body)
        wanted = said(reply)["signatures"]
        sent = [p for c in body["contents"] if c["role"] == "model" for p in c["parts"]]
        count += len(wanted)
        assert sorted(p["thoughtSignature"] for p in sent if "thoughtSignature" in p) == sorted(
            wanted
        ), recording.id
        signed = {
            p["functionCall"]["name"]: p["thoughtSignature"]
            for p in sent
            if "functionCall" in p and "thoughtSignature" in p
        }
        calls = [p for p in reply.choices[0].parts if isinstance(p, ToolCall)]
        assert signed == {c.name: c.signature for c in calls if c.signature}, recording.id
        answered = [
            p["functionResponse"]
            for c in body["contents"]
            for p in c["parts"]
            if "functionResponse" in p
        ]
        assert [a["name"] for a in answered] == [c.name for c in calls], recording.id
        assert [a["id"] for a in answered] == [
            p["functionCall"]["id"] for p in sent if "functionCall" in p
        ]
    assert count


@pytest.mark.parametrize("client", [openai_chat, anthropic])
def test_no_other_provider_sees_a_signature_of_googles(client):
    for recording in answers("google.generateContent"):
        reply = _whole(recording)
        if any(isinstance(p, Media | Refusal) for p in reply.choices[0].parts):
            continue
        asked = openai_chat.parse_request(split(_openai_turn(reply)))
        body = client.render_request(signatures.without(asked), Facts()).body
        for part in recorded_parts(recording):
            if "thoughtSignature" in part:
                assert part["thoughtSignature"].encode() not in body
        assert b"thoughtsig_" not in body
        assert b"gemini:" not in body


# --- Requests -----------------------------------------------------------------------------------

REASONS = (
    "held by Google",
    "run by Google",
    "kept by Google",
    "that Google serves",
    "is user or model",
)
NO_PLACE = ("takes no", "inline only", "structured output and use tools")


@pytest.mark.parametrize("api", [*WHOLE, *STREAMED])
@pytest.mark.parametrize("provider", [openai_chat, anthropic, gemini])
def test_a_request_of_googles_is_read_or_refused_with_a_reason(api, provider: ModuleType):
    outcomes = [_outcome(recording, provider) for recording in corpus.recordings(api)]
    refusals = [message for message in outcomes if message]
    known = (*REASONS, *NO_PLACE, "No message says anything")
    assert [m for m in refusals if not any(reason in m for reason in known)] == []
    assert "" in outcomes


def _outcome(recording: Recording, provider: ModuleType) -> str | None:
    """Empty where the request was read and written anew, else why it was not."""
    if not isinstance(recording.request.body, dict):
        return None
    envelope = split(msgspec.json.encode(recording.request.body))
    envelope["model"], envelope["stream"] = Raw(b'"m"'), Raw(b"false")
    gemini.check_request(envelope)
    try:
        provider.render_request(gemini.parse_request(envelope), Facts())
    except BadRequestError as refused:
        return refused.message
    return ""
