"""Golden fixtures: one folder per exchange, under `fixtures/<client dialect>/<case>/`.

Written by hand: client.request.json, and what the provider answers
(upstream.reply.json or upstream.chunks.txt; upstream.status.txt where it is no 200).
Rewritten by `python -m tests.golden`: upstream.request.json, client.reply.json
or client.chunks.txt, client.dropped.txt (the x-bt-dropped-params header) and
client.error.json (the request is refused, nothing goes upstream). `git diff` is
the review. JSON is stored indented: only white space between tokens is ours.
"""

import sys
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from core import plan, provider_errors
from core.dialects import load
from core.errors import CutwaterError
from core.neutral import View, fold, tool_as_text, unfold
from core.orgs import Endpoint, Timeouts
from core.plan import Attempt, Chat
from core.routes import DialectName, Route
from core.routing import candidate
from core.streams import NeutralRelay, PassRelay, Relay
from providers.catalog import PROVIDERS
from providers.models import lookup

FOLDER: Final = Path(__file__).parent / "fixtures"
CREATED: Final = 1_700_000_000
FRESH_ID: Final = "fresh-id"
REQUEST_ID: Final = "request-id"
PROVIDER_OF_FORMAT: Final = {"openai": "openai", "anthropic": "anthropic"}
DIALECTS: Final[tuple[DialectName, ...]] = ("openai_chat", "anthropic")
GOLDEN: Final = (
    "upstream.request.json",
    "client.reply.json",
    "client.chunks.txt",
    "client.dropped.txt",
    "client.error.json",
)


def folders() -> list[Path]:
    return sorted(path.parent for path in FOLDER.glob("*/*/client.request.json"))


def client_of(folder: Path) -> DialectName:
    return next(dialect for dialect in DIALECTS if dialect == folder.parent.name)


def read(folder: Path, name: str) -> bytes | None:
    path = folder / name
    return path.read_bytes() if path.exists() else None


def attempt(chat: Chat) -> Attempt:
    """To the provider of the model's family."""
    model = lookup(chat.model)
    endpoint = Endpoint(type=PROVIDER_OF_FORMAT[model.format])
    chosen = candidate(endpoint, model, PROVIDERS)
    return plan.attempt(chat, chosen, headers={}, timeouts=Timeouts())


def route_of(dialect: DialectName) -> Route:
    return Route(kind="chat", method="POST", dialect=dialect)


def view_of(chat: Chat) -> View:
    return replace(chat.view, created=CREATED, fresh_id=FRESH_ID)


def make(folder: Path) -> dict[str, bytes]:
    """The golden files as the code makes them."""
    client = client_of(folder)
    request = read(folder, "client.request.json")
    assert request is not None
    try:
        chat = plan.read_chat(compact(request), route_of(client))
        sent = attempt(chat)
    except CutwaterError as error:
        return {"client.error.json": pretty(load(client).error_body(error, REQUEST_ID))}
    made = {"upstream.request.json": pretty(sent.outgoing.body)}
    if sent.dropped:
        made["client.dropped.txt"] = plan.dropped_header(sent.dropped).encode() + b"\n"
    reply, chunks = read(folder, "upstream.reply.json"), read(folder, "upstream.chunks.txt")
    if reply is not None:
        made["client.reply.json"] = pretty(answer(folder, chat, sent, reply))
    if chunks is not None:
        made["client.chunks.txt"] = stream(chat, sent, chunks)
    return made


def answer(folder: Path, chat: Chat, sent: Attempt, body: bytes) -> bytes:
    client = load(chat.dialect)
    status = int(read(folder, "upstream.status.txt") or b"200")
    if status >= 400:
        return client.error_body(provider_errors.parse(status, body), REQUEST_ID)
    body = compact(body)
    if sent.lane == "pass":
        return body
    reply = load(sent.dialect).parse_reply(body)
    if sent.tool_as_text is not None:
        step = tool_as_text(sent.tool_as_text)
        reply = fold(said for delta in unfold(reply) for said in step(delta))
    return client.render_reply(reply, view_of(chat))


def stream(chat: Chat, sent: Attempt, chunks: bytes) -> bytes:
    relay = relay_of(chat, sent)
    try:
        return relay.feed(chunks) + relay.finish(None)
    except CutwaterError as error:
        # Nothing had been said: the client gets a status and a body instead.
        return b"%d\n%s\n" % (error.status, load(chat.dialect).error_body(error, REQUEST_ID))


def relay_of(chat: Chat, sent: Attempt) -> Relay:
    client = load(chat.dialect)
    if sent.lane == "pass":
        return PassRelay(client, client.StreamWatcher(chat.view), REQUEST_ID, wire=sent.wire)
    step = None if sent.tool_as_text is None else tool_as_text(sent.tool_as_text)
    provider, renderer = load(sent.dialect), client.StreamRenderer(view_of(chat))
    return NeutralRelay(client, provider, renderer, REQUEST_ID, step=step, wire=sent.wire)


def compact(body: bytes) -> bytes:
    """As clients and providers send it."""
    return msgspec.json.format(body, indent=-1)


def pretty(body: bytes) -> bytes:
    return msgspec.json.format(body, indent=2) + b"\n"


def rewrite(folder: Path) -> list[str]:
    """Names of the files that changed."""
    made = make(folder)
    changed = []
    for name in GOLDEN:
        path, before = folder / name, read(folder, name)
        after = made.get(name)
        if before == after:
            continue
        changed.append(name)
        if after is None:
            path.unlink()
        else:
            path.write_bytes(after)
    return changed


def main() -> None:
    changed = [
        f"{folder.relative_to(FOLDER)}/{name}" for folder in folders() for name in rewrite(folder)
    ]
    sys.stdout.write("".join(f"{name}\n" for name in changed) or "Nothing changed.\n")


if __name__ == "__main__":
    main()
