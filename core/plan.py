"""All that is decided before the first byte goes upstream.

Every 4xx of ours happens here, with one exception: a parameter that only a
second candidate refuses. Each attempt's body is made from the client's own
bytes, so that no attempt sees what another one changed.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from core import envelope as envelopes
from core import options as headers_of
from core.dialects import load, parameters
from core.envelope import Envelope
from core.errors import BadRequestError
from core.neutral import Request, View
from core.options import KEY_HEADERS
from core.orgs import Timeouts
from core.ports import Outgoing
from core.routes import DialectName
from core.routing import Candidate, Provider, speaking

Lane: TypeAlias = Literal["pass", "neutral"]

PATHS: Final[Mapping[DialectName, str]] = {
    "openai_chat": "/chat/completions",
    "anthropic": "/messages",
}
SHORTEST_SECRET: Final = 8
"""What is shorter is no secret, and would take words out of messages."""
FIRST_BYTE_S: Final = 30.0
LONGEST_MODEL: Final = 256
"""A name is remembered with what is known of it: a longer one would fill the memory."""
STREAMING_ONLY: Final = ("stream", "stream_options")


class Chat(Struct, kw_only=True):
    """A client's chat request, checked. Not frozen: the neutral form is made once, on demand."""

    body: bytes
    envelope: Envelope
    dialect: DialectName
    model: str
    view: View
    neutral: Request | None = None

    def __repr__(self) -> str:
        return f"<Chat {self.model[:200]}>"


class Attempt(Struct, frozen=True, kw_only=True):
    outgoing: Outgoing
    candidate: Candidate
    dialect: DialectName
    lane: Lane
    streams: bool
    """The provider was asked to stream."""
    dropped: tuple[str, ...] = ()
    tool_as_text: str | None = None


def read_chat(body: bytes, dialect: DialectName) -> Chat:
    """400 where the body is not what the dialect asks for."""
    envelope = envelopes.split(body)
    model = envelopes.read(envelope, "model", str, "")
    if not model:
        raise BadRequestError("`model` is missing.", param="model")
    if len(model) > LONGEST_MODEL:
        raise BadRequestError(f"`model` is longer than {LONGEST_MODEL} characters.", param="model")
    module = load(dialect)
    module.check_request(envelope)
    return Chat(
        body=body, envelope=envelope, dialect=dialect, model=model, view=module.view_of(envelope)
    )


def attempt(
    chat: Chat,
    candidate: Candidate,
    *,
    headers: Mapping[str, str],
    timeouts: Timeouts,
    strict: bool = False,
    own_key: bool = False,
) -> Attempt:
    """What to send to `candidate`. 400 where the request cannot be said in its dialect."""
    dialect = speaking(candidate, chat.dialect)
    dropped: tuple[str, ...] = ()
    streams = chat.view.stream and candidate.endpoint.metadata.supports_streaming
    if dialect == chat.dialect:
        lane: Lane = "pass"
        body, tool_as_text = _passed(chat, candidate, streams), None
    else:
        lane = "neutral"
        body, dropped, tool_as_text = _translated(chat, candidate, dialect, streams)
        if strict and dropped:
            names = ", ".join(dropped)
            raise BadRequestError(
                f"x-bt-strict: this model's provider has no place for: {names}.", param=dropped[0]
            )
    return Attempt(
        outgoing=Outgoing(
            method="POST",
            url=base_url(candidate) + PATHS[dialect],
            headers=_headers(candidate, dialect, headers, own_key=own_key),
            body=body,
            connect_s=timeouts.connect_s,
            first_byte_s=_first_byte_s(timeouts, streams=streams),
            idle_s=timeouts.idle_s,
            total_s=timeouts.total_s,
        ),
        candidate=candidate,
        dialect=dialect,
        lane=lane,
        streams=streams,
        dropped=tuple(dropped),
        tool_as_text=tool_as_text,
    )


def _first_byte_s(timeouts: Timeouts, *, streams: bool) -> float:
    if timeouts.first_byte_s is not None:
        return timeouts.first_byte_s
    return FIRST_BYTE_S if streams else timeouts.total_s


def base_url(candidate: Candidate) -> str:
    base = candidate.endpoint.metadata.api_base or candidate.provider.base_url
    return base.rstrip("/")


def _headers(
    candidate: Candidate, dialect: DialectName, client: Mapping[str, str], *, own_key: bool
) -> dict[str, str]:
    endpoint, provider = candidate.endpoint, candidate.provider
    headers = {
        **provider.headers,
        **headers_of.forwarded(client, dialect, own_key=own_key),
        "content-type": "application/json",
        # A compressed reply could neither be watched nor translated as it comes.
        "accept-encoding": "identity",
        "user-agent": "cutwater",
    }
    if endpoint.metadata.organization_id:
        headers["openai-organization"] = endpoint.metadata.organization_id
    for name, value in endpoint.metadata.additional_headers.items():
        headers[name.lower()] = value
    match provider.auth:
        case "bearer" if endpoint.secret:
            headers["authorization"] = f"Bearer {endpoint.secret}"
        case "x-api-key" if endpoint.secret:
            headers["x-api-key"] = endpoint.secret
    return headers


def keys_sent(outgoing: Outgoing) -> tuple[str, ...]:
    """The keys that a provider was given and may quote in an error."""
    sent = (outgoing.headers.get(name, "").removeprefix("Bearer ") for name in KEY_HEADERS)
    return tuple(key for key in sent if len(key) >= SHORTEST_SECRET)


def _passed(chat: Chat, candidate: Candidate, streams: bool) -> bytes:
    """The client's body with this provider's names: its own bytes where nothing changes."""
    provider = candidate.provider
    replace: dict[str, Raw] = {}
    drop = provider.drop
    if candidate.model != chat.model:
        replace["model"] = envelopes.raw(candidate.model)
    if chat.view.stream and not streams:
        drop = drop.union(STREAMING_ONLY)
    elif chat.dialect == "openai_chat" and chat.view.stream and provider.usage_in_stream:
        replace.update(_usage_asked(chat))
    if provider.drop_in_messages and _mentions(chat, provider):
        messages: list[Envelope] = envelopes.read(chat.envelope, "messages", list[Envelope], [])
        kept = [
            {name: raw for name, raw in message.items() if name not in provider.drop_in_messages}
            for message in messages
        ]
        replace["messages"] = envelopes.raw(kept)
    renames = [name for name in provider.rename if name in chat.envelope]
    if not replace and not renames and drop.isdisjoint(chat.envelope):
        return chat.body
    return envelopes.join(chat.envelope, replace=replace, rename=provider.rename, drop=drop)


def _mentions(chat: Chat, provider: Provider) -> bool:
    return any(b'"' + name.encode() + b'"' in chat.body for name in provider.drop_in_messages)


def _usage_asked(chat: Chat) -> dict[str, Raw]:
    """Usage is always asked for, so that cost is known; the watcher hides it from the rest."""
    if chat.view.usage_in_stream:
        return {}
    asked: Envelope = envelopes.read(chat.envelope, "stream_options", dict[str, Raw], {})
    return {"stream_options": envelopes.raw({**asked, "include_usage": Raw(b"true")})}


def _translated(
    chat: Chat, candidate: Candidate, dialect: DialectName, streams: bool
) -> tuple[bytes, tuple[str, ...], str | None]:
    if chat.neutral is None:
        chat.neutral = load(chat.dialect).parse_request(chat.envelope)
    request = msgspec.structs.replace(chat.neutral, model=candidate.model, stream=streams)
    rendered = load(dialect).render_request(request, candidate.facts)
    body = rendered.body
    provider = candidate.provider
    split = envelopes.split(body) if provider.rename or provider.drop else {}
    if not provider.drop.isdisjoint(split) or not provider.rename.keys().isdisjoint(split):
        body = envelopes.join(split, replace={}, rename=provider.rename, drop=provider.drop)
    dropped = parameters.client_names(rendered.dropped, chat.dialect)
    return body, tuple(dict.fromkeys(dropped)), rendered.tool_as_text


_UNPRINTABLE: Final = re.compile(r"[^\x21-\x2b\x2d-\x7e]")


def dropped_header(dropped: tuple[str, ...]) -> str:
    """Names of fields as a header's value. They come from the caller: nothing else may."""
    return ", ".join(_UNPRINTABLE.sub("?", name[:64]) for name in dropped[:32])
