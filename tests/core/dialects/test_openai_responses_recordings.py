"""Every recorded response: read in both lanes, by any cut of the bytes, and written anew."""

from collections.abc import Iterable

import msgspec
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from core import sse
from core.dialects import openai_responses as dialect
from core.dialects.openai_responses import thoughts
from core.envelope import split
from core.errors import BadRequestError, CutwaterError, ProviderError
from core.neutral import (
    Ended,
    Facts,
    Failed,
    Reasoning,
    Reply,
    Text,
    ToolCall,
    View,
    fold,
    unfold,
)
from core.streams import NeutralRelay, PassRelay
from tests import corpus
from tests.core.dialects.sdk import accumulated
from tests.corpus import Recording

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(300)]

APIS = ("openai", "azure", "xai", "deepseek", "openrouter", "bedrock-mantle")
_event = TypeAdapter(ResponseStreamEvent)


def answered(*, stream: bool) -> Iterable[Recording]:
    for api in APIS:
        for recording in corpus.recordings(f"{api}.responses"):
            # One recording holds four responses, one after the other.
            one = recording.response.body_text.count("event: response.created") <= 1
            if one and recording.response.status == 200 and recording.stream is stream:
                yield recording


def said(reply: Reply) -> str:
    return "".join(part.text for part in reply.choices[0].parts if isinstance(part, Text))


def calls(reply: Reply) -> list[tuple[str, str, str]]:
    parts = reply.choices[0].parts
    return [(p.id, p.name, p.arguments) for p in parts if isinstance(p, ToolCall)]


def sealed(reply: Reply) -> list[str | None]:
    parts = reply.choices[0].parts
    return [part.signature for part in parts if isinstance(part, Reasoning)]


def sealed_when_done(data: bytes) -> list[str | None]:
    """The seals of single items: OpenAI encrypts anew for the event that ends the stream."""
    found = []
    for frame in sse.Framer().feed(data.rstrip() + b"\n\n"):
        event = sse.parse(frame)
        document = (
            {} if event is None or event.data == b"[DONE]" else msgspec.json.decode(event.data)
        )
        if document.get("type") == "response.output_item.done":
            item = document["item"]
            if item["type"] == "reasoning" and _speaks(item):
                found.append(thoughts.seal(msgspec.convert(item, thoughts.ReasoningItem)))
    return found


def told(response: Response) -> tuple[str, list[tuple[str, str, str]]]:
    found = [i for i in response.output if i.type == "function_call"]
    return response.output_text, [(i.call_id, i.name, i.arguments) for i in found]


def parse(data: bytes, size: int) -> Reply:
    framer, parser = sse.Framer(), dialect.StreamParser()
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    frames = [frame for chunk in chunks for frame in framer.feed(chunk)] + [framer.flush()]
    events = [event for frame in frames if (event := sse.parse(frame)) is not None]
    deltas = [delta for event in events for delta in parser.feed(event)]
    assert parser.complete == any(isinstance(delta, Ended) for delta in deltas)
    assert parser.complete or any(isinstance(delta, Failed) for delta in deltas)
    return fold(deltas)


def last_response(data: bytes) -> Response:
    frames = sse.Framer().feed(data.rstrip() + b"\n\n")
    documents = [
        msgspec.json.decode(event.data)
        for frame in frames
        if (event := sse.parse(frame)) is not None and event.data != b"[DONE]"
    ]
    return Response.construct(**_outputs(documents[-1]["response"]))


def _outputs(document: dict) -> dict:
    return Response.model_construct(**document).to_dict() if document else document


def test_whole_answers_keep_text_and_calls_and_come_out_as_the_sdk_takes_them():
    count = 0
    for recording in answered(stream=False):
        document = recording.response.body
        if document.get("object") != "response":
            continue
        body = msgspec.json.encode(document)
        if document["status"] not in ("completed", "incomplete"):
            with pytest.raises(CutwaterError):
                dialect.parse_reply(body)
            continue
        reply = dialect.parse_reply(body)
        expected = told(Response.construct(**document))
        assert (said(reply), calls(reply)) == expected, recording.id
        assert reply.usage is not None, recording.id
        assert reply.usage.input_tokens == document["usage"]["input_tokens"]

        rendered = dialect.render_reply(reply, View(model="m"))
        assert told(Response.model_validate_json(rendered)) == expected, recording.id
        streamed = accumulated(dialect.StreamRenderer(View(model="m")), unfold(reply))
        assert told(streamed) == expected, recording.id
        count += 1
    assert count > 250


@pytest.mark.parametrize("size", [1, 7, 64, 4096, 1 << 20])
def test_streams_keep_text_and_calls_for_any_cut_of_the_bytes(size: int):
    count = 0
    for recording in answered(stream=True):
        data = recording.response.body_text.encode()
        if size < 64 and len(data) > 50_000:
            continue
        reply = parse(data, size)
        if b"response.failed" in data:
            continue
        expected = last_response(data)
        assert (said(reply), calls(reply)) == told(expected), recording.id
        whole = dialect.parse_reply(msgspec.json.encode(expected.to_dict()))
        assert (said(whole), calls(whole)) == (said(reply), calls(reply)), recording.id
        assert sealed(reply) == sealed_when_done(data), recording.id
        assert (whole.usage, whole.choices[0].reason) == (reply.usage, reply.choices[0].reason)
        count += 1
    assert count > 30


def test_streams_come_out_as_the_sdk_accumulates_them():
    for recording in answered(stream=True):
        data = recording.response.body_text.encode()
        if b"response.failed" in data:
            continue
        relay = NeutralRelay(dialect, dialect, dialect.StreamRenderer(View(model="m")), "req")
        out = relay.feed(data) + relay.finish(None)
        assert relay.ended, recording.id
        for frame in sse.Framer().feed(out):
            event = sse.parse(frame)
            assert event is not None
            _event.validate_json(event.data)
        assert told(last_response(out)) == told(last_response(data)), recording.id


def test_the_pass_lane_forwards_every_byte_and_sees_the_usage():
    for recording in answered(stream=True):
        data = recording.response.body_text.encode().rstrip() + b"\n\n"
        watcher = dialect.StreamWatcher(View(stream=True))
        relay = PassRelay(dialect, watcher, "req")
        try:
            out = b"".join(relay.feed(frame) for frame in sse.Framer().feed(data))
            out += relay.finish(None)
        except ProviderError:
            assert watcher.error is not None, recording.id  # Before the first token.
            continue
        assert watcher.complete, recording.id
        assert watcher.usage is not None, recording.id
        assert data.startswith(out), recording.id


def test_recorded_requests_are_read_and_written_or_refused_with_a_reason():
    """What comes back from the second turn is what the provider sealed on the first."""
    written = refused = 0
    for recording in corpus.recordings("openai.responses"):
        if not isinstance(recording.request.body, dict):
            continue
        body = msgspec.json.encode(recording.request.body)
        envelope = split(body)
        dialect.check_request(envelope)
        dialect.view_of(envelope)
        try:
            request = dialect.parse_request(envelope)
        except BadRequestError as error:
            refused += error.param is not None
            continue
        rendered = dialect.render_request(request, Facts(reasoning=True))
        items = msgspec.json.decode(rendered.body)["input"]
        given = recording.request.body["input"]
        if isinstance(given, list):
            kept = [i for i in items if i["type"] == "reasoning"]
            thoughts = [i for i in given if i.get("type") == "reasoning" and _speaks(i)]
            assert [i["encrypted_content"] for i in kept] == [
                i["encrypted_content"] for i in thoughts
            ], recording.id
            assert [(i.get("id"), i["summary"]) for i in kept] == [
                (i.get("id"), i["summary"]) for i in thoughts
            ], recording.id
        written += 1
    assert written + refused == 290
    assert written > 200


def _speaks(item: dict) -> bool:
    return bool(item.get("encrypted_content") or item.get("content"))
