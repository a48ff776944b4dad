"""Every upstream fixture, shown to a client of every dialect, whole and as a stream.

None raises, each ends with a finish, and what the client reads adds up to the
same text, tool calls and usage.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from msgspec import Struct

from core.dialects import load
from core.errors import CutwaterError
from core.neutral import (
    Choice,
    Delta,
    Ended,
    Finished,
    Reasoning,
    Refusal,
    Reply,
    Text,
    ToolCall,
    Usage,
    View,
    fold,
    unfold,
)
from core.plan import read_chat
from core.routes import DialectName
from core.streams import NeutralRelay
from tests import golden
from tests.core.dialects.wire import events, parse_stream

VIEW: Final = View(stream=True, usage_in_stream=True, model="m", created=1, fresh_id="fresh")


class Source(Struct, frozen=True):
    """What a provider answered in one fixture."""

    dialect: DialectName
    stream: bool
    answer: bytes

    def deltas(self) -> list[Delta]:
        module = load(self.dialect)
        if self.stream:
            deltas = parse_stream(module.StreamParser(), self.answer)
            # As the relay ends a stream whose choices have all finished.
            return deltas if deltas[-1] == Ended() else [*deltas, Ended()]
        return list(unfold(module.parse_reply(self.answer)))


def source_of(folder: Path) -> Source | None:
    """None where there is no answer, or an error for one."""
    request, status = (
        golden.read(folder, f) for f in ("client.request.json", "upstream.status.txt")
    )
    if request is None or status is not None or (folder / "client.error.json").exists():
        return None
    dialect = golden.attempt(read_chat(request, golden.route_of(golden.client_of(folder)))).dialect
    if chunks := golden.read(folder, "upstream.chunks.txt"):
        return Source(dialect, True, chunks)
    return Source(dialect, False, golden.compact(golden.read(folder, "upstream.reply.json") or b""))


BROKEN: Final = ("error-inside-stream", "error-before-stream", "stream-cut")
GARBLED: Final = "broken-event-in-stream"
SOURCES: Final = {
    f"{folder.parent.name}-{folder.name}": source
    for folder in golden.folders()
    if folder.name not in (*BROKEN, GARBLED) and (source := source_of(folder)) is not None
}
CUT: Final = {
    f"{folder.parent.name}-{folder.name}": source
    for folder in golden.folders()
    if folder.name in BROKEN and (source := source_of(folder)) is not None
}


def arguments(call: ToolCall) -> Any:
    """As JSON; what the limit cut is shown whole by no dialect."""
    try:
        return msgspec.json.decode(call.arguments or "{}")
    except msgspec.DecodeError:
        return {}


def gist(reply: Reply, client: DialectName) -> Any:
    """What every dialect can say."""
    choices = reply.choices[:1] if client == "anthropic" else reply.choices
    usage = reply.usage or Usage()
    return [said(choice, client) for choice in choices], usage


def said(choice: Choice, client: DialectName) -> Any:
    told = (Text, Refusal) if client == "anthropic" else (Text,)
    parts = choice.parts
    refused = client == "anthropic" and any(isinstance(part, Refusal) for part in parts)
    reason = "content_filter" if refused else choice.reason
    return {
        "text": "".join(part.text for part in parts if isinstance(part, told)),
        "calls": [(p.id, p.name, arguments(p)) for p in parts if isinstance(p, ToolCall)],
        "thoughts": [
            (part.text, part.signature, part.redacted)
            for part in parts
            if isinstance(part, Reasoning)
        ],
        "reason": "stop" if reason in ("other", "error") else reason,
    }


def shown_as_stream(deltas: Iterable[Delta], client: DialectName) -> list[Delta]:
    module = load(client)
    renderer = module.StreamRenderer(VIEW)
    shown = b"".join(renderer.feed(delta) for delta in deltas)
    return parse_stream(module.StreamParser(), shown)


@pytest.mark.parametrize("client", golden.DIALECTS)
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_stream_says_to_every_client_what_the_provider_said(source: Source, client: DialectName):
    deltas = source.deltas()
    shown = shown_as_stream(deltas, client)
    assert [delta for delta in shown if isinstance(delta, Finished)]
    assert gist(fold(shown), client) == gist(fold(deltas), client)


@pytest.mark.parametrize("client", golden.DIALECTS)
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_whole_reply_says_to_every_client_what_the_provider_said(
    source: Source, client: DialectName
):
    module = load(client)
    reply = fold(source.deltas())
    shown = module.parse_reply(module.render_reply(reply, VIEW))
    assert all(choice.reason for choice in shown.choices)
    assert gist(shown, client) == gist(reply, client)


@pytest.mark.parametrize("client", golden.DIALECTS)
@pytest.mark.parametrize("source", CUT.values(), ids=CUT)
def test_a_broken_stream_is_a_status_or_ends_with_an_error(source: Source, client: DialectName):
    module = load(client)
    provider, renderer = load(source.dialect), module.StreamRenderer(VIEW)
    relay = NeutralRelay(module, provider, renderer, golden.REQUEST_ID)
    try:
        shown = relay.feed(source.answer) + relay.finish(None)
    except CutwaterError as error:
        shown = module.error_event(error, golden.REQUEST_ID)
    last = msgspec.json.decode(events(shown)[-1].data)
    assert "error" in last
    assert not any(
        isinstance(delta, Finished) for delta in parse_stream(module.StreamParser(), shown)
    )
