"""A sixth dialect in front of and behind another one, by the names of `Dialect` alone."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from core import envelope, neutral
from core.dialects import Dialect, openai_chat
from core.errors import BadRequestError, CutwaterError, ProviderError
from core.neutral import Delta, Facts, Rendered, Reply, Request, Usage, View
from core.sse import Event, render
from core.streams import NeutralRelay, PassRelay, fold_stream
from core.wire import SSE

PAGE = (Path(__file__).parents[3] / "docs" / "adding-a-dialect.md").read_text()

# A request is {"to": model, "say": text}; a reply is {"said": text}, a stream some of them.


def check_request(fields: Mapping[str, Any]) -> None:
    if "say" not in fields:
        raise BadRequestError("`say` is missing.", param="say")


def view_of(fields: Mapping[str, Any]) -> View:
    return View(stream="live" in fields, model=envelope.read(fields, "to", str, ""))


def parse_request(fields: Mapping[str, Any]) -> Request:
    said = neutral.Text(envelope.read(fields, "say", str, ""))
    return Request(
        model=envelope.read(fields, "to", str, ""),
        messages=(neutral.Message("user", (said,)),),
        stream="live" in fields,
    )


def render_request(request: Request, _: Facts) -> Rendered:
    texts = [p.text for m in request.messages for p in m.parts if isinstance(p, neutral.Text)]
    body: dict[str, Any] = {"to": request.model, "say": " ".join(texts)}
    if request.stream:
        body["live"] = True
    return Rendered(body=msgspec.json.encode(body), dropped=tuple(request.parameters))


def parse_reply(body: bytes) -> Reply:
    said = neutral.Text(msgspec.json.decode(body)["said"])
    return Reply(choices=(neutral.Choice(parts=(said,), reason="stop"),))


def render_reply(reply: Reply, _: View) -> bytes:
    texts = [p.text for p in reply.choices[0].parts if isinstance(p, neutral.Text)]
    return msgspec.json.encode({"said": "".join(texts)})


class StreamParser:
    complete = False

    def feed(self, event: Event) -> list[Delta]:
        if event.name == b"over":
            self.complete = True
            return [neutral.Finished("stop"), neutral.Ended()]
        return [neutral.TextDelta(0, msgspec.json.decode(event.data)["said"])]


class StreamRenderer:
    def __init__(self, view: View) -> None:
        self.view = view

    def feed(self, delta: Delta) -> bytes:
        match delta:
            case neutral.TextDelta(text=text):
                return render(msgspec.json.encode({"said": text}))
            case neutral.Ended():
                return render(b"{}", b"over")
            case _:
                return b""


class StreamWatcher:
    usage: Usage | None = None
    error: ProviderError | None = None

    def __init__(self, view: View) -> None:
        self.view = view
        self.ended = self.complete = False

    def see(self, event: Event) -> bool:
        self.ended = self.complete = event.name == b"over"
        return True

    def ending(self) -> bytes:
        return render(b"{}", b"over")


def error_body(error: CutwaterError, request_id: str) -> bytes:
    return msgspec.json.encode({"wrong": error.message, "id": request_id})


def error_event(error: CutwaterError, request_id: str) -> bytes:
    return render(error_body(error, request_id), b"wrong")


PLAIN: Any = SimpleNamespace(
    WIRE=SSE,
    PATHS=("/say", "/say"),
    MODEL_IN_BODY=True,
    check_request=check_request,
    view_of=view_of,
    parse_request=parse_request,
    render_request=render_request,
    parse_reply=parse_reply,
    render_reply=render_reply,
    StreamParser=StreamParser,
    StreamRenderer=StreamRenderer,
    StreamWatcher=StreamWatcher,
    error_body=error_body,
    error_event=error_event,
)
ASKED = {"to": "m", "say": "Hello"}
MEMBERS = [name for name in (*Dialect.__annotations__, *vars(Dialect)) if not name.startswith("_")]


@pytest.mark.parametrize("name", [*MEMBERS, "error_headers"])
def test_the_page_names_all_that_a_dialect_gives(name: str):
    assert f"`{name}`" in PAGE
    assert hasattr(PLAIN, name) or name == "error_headers"


def test_the_page_names_nothing_that_is_not_asked_for():
    rows = "\n".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))
    assert {*re.findall(r"`(\w+)`", rows)} == {*MEMBERS, "error_headers"}


def test_its_clients_are_understood_by_another_dialects_provider():
    fields = envelope.split(msgspec.json.encode(ASKED))
    PLAIN.check_request(fields)
    sent = openai_chat.render_request(PLAIN.parse_request(fields), Facts())
    body = msgspec.json.decode(sent.body)
    assert (body["model"], body["messages"][0]["content"]) == ("m", "Hello")
    reply = b'{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}'
    answer = PLAIN.render_reply(openai_chat.parse_reply(reply), PLAIN.view_of(fields))
    assert answer == b'{"said":"Hi"}'


def test_its_provider_is_understood_by_another_dialects_clients():
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "seed": 1}
    fields = envelope.split(msgspec.json.encode(asked))
    sent = PLAIN.render_request(openai_chat.parse_request(fields), Facts())
    assert (msgspec.json.decode(sent.body), sent.dropped) == (ASKED, ("seed",))
    reply = PLAIN.parse_reply(b'{"said":"Hi"}')
    answer = msgspec.json.decode(openai_chat.render_reply(reply, View(model="m")))
    assert answer["choices"][0]["message"]["content"] == "Hi"


STREAM = render(b'{"said":"H"}') + render(b'{"said":"i"}') + render(b"{}", b"over")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_streams_go_both_ways_and_past(size: int):
    pieces = [STREAM[i : i + size] for i in range(0, len(STREAM), size)]
    view = View(stream=True, model="m")
    there = NeutralRelay(openai_chat, PLAIN, openai_chat.StreamRenderer(view), "req_1")
    chunks = b"".join(there.feed(piece) for piece in pieces)
    (folded,) = fold_stream(openai_chat, SSE, chunks).choices
    assert (folded.parts, folded.reason) == ((neutral.Text("Hi"),), "stop")
    assert chunks.endswith(b"data: [DONE]\n\n")
    back = NeutralRelay(PLAIN, openai_chat, PLAIN.StreamRenderer(view), "req_1")
    assert back.feed(chunks) == STREAM
    past = PassRelay(PLAIN, PLAIN.StreamWatcher(view), "req_1")
    assert b"".join(past.feed(piece) for piece in pieces) == STREAM


def test_a_stream_that_breaks_is_told_in_its_own_words():
    relay = NeutralRelay(PLAIN, openai_chat, PLAIN.StreamRenderer(View(stream=True)), "req_1")
    relay.feed(b'data: {"choices":[{"index":0,"delta":{"content":"H"}}]}\n\n')
    assert relay.finish(None).startswith(b"event: wrong\n")
