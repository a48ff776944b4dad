"""All that is decided before the first byte goes upstream.

Every 4xx of ours happens here, with one exception: a parameter that only a
second candidate refuses. Each attempt's body is made from the client's own
bytes, so that no attempt sees what another one changed.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from core import authorization, foreign, media, signatures
from core import envelope as envelopes
from core import options as headers_of
from core.adapt import adapt, differs
from core.authorization import Authorization, Headers
from core.dialects import load, parameters
from core.envelope import Envelope
from core.errors import BadRequestError
from core.media import Inline, MediaError, Wanted
from core.neutral import Facts, Request, View
from core.orgs import Timeouts
from core.ports import Outgoing
from core.routes import DialectName, Route, segment
from core.routing import Candidate, Shape, base_url, speaking
from core.wire import Wire

Lane: TypeAlias = Literal["pass", "neutral"]

_BETAS: Final = "anthropic-beta"
FIRST_BYTE_S: Final = 30.0
LONGEST_MODEL: Final = 256
"""A name is remembered with what is known of it: a longer one would fill the memory."""
_TOO_DEEP: Final = "The request is nested too deeply for what this endpoint has to be told."
STREAMING_ONLY: Final = ("stream", "stream_options")


class Chat(Struct, kw_only=True):
    """A client's chat request, checked. Not frozen: the neutral form is made once, on demand."""

    body: bytes
    envelope: Envelope
    dialect: DialectName
    model: str
    view: View
    neutral: Request | None = None
    media: Mapping[str, Inline] = {}
    """What was fetched for it so far, by URL."""
    restated: bool = False
    """The neutral form says more than the client's own bytes do."""

    def __repr__(self) -> str:
        return f"<Chat {self.model[:200]}>"


class Attempt(Struct, frozen=True, kw_only=True):
    outgoing: Outgoing
    authorization: Authorization | None = None
    """What `outgoing` still lacks; None: it can be sent as it is."""
    candidate: Candidate
    dialect: DialectName
    lane: Lane
    streams: bool
    """The provider was asked to stream."""
    dropped: tuple[str, ...] = ()
    tool_as_text: str | None = None
    fetched: tuple[str, ...] = ()
    """URLs of media whose bytes stand in the body."""

    @property
    def wire(self) -> Wire:
        """How the provider's stream travels."""
        wire = self.candidate.provider.wires.get(self.dialect)
        return load(self.dialect).WIRE if wire is None else wire


class _Said(Struct, frozen=True):
    """A request in a provider's dialect, and what becomes of the answer."""

    body: bytes
    lane: Lane
    dropped: tuple[str, ...]
    tool_as_text: str | None

    def __repr__(self) -> str:
        return f"<_Said {self.lane}>"


def read_chat(body: bytes, route: Route) -> Chat:
    """400 where the body is not what the dialect asks for."""
    envelope = envelopes.split(body)
    dialect = route.dialect
    if route.model is not None:
        envelope["model"] = envelopes.raw(route.model)
        envelope["stream"] = envelopes.raw(bool(route.stream))
    module = load(dialect)
    view = module.view_of(envelope)
    if not view.model:
        raise BadRequestError("`model` is missing.", param="model")
    check_model(view.model)
    module.check_request(envelope)
    return Chat(body=body, envelope=envelope, dialect=dialect, model=view.model, view=view)


def check_model(name: str) -> None:
    """Before anything is looked up by it. 400 where it is too long."""
    if len(name) > LONGEST_MODEL:
        raise BadRequestError(f"`model` is longer than {LONGEST_MODEL} characters.", param="model")


def media_wanted(chat: Chat, candidate: Candidate) -> tuple[Wanted, ...]:
    """What has to be in `chat.media` before `attempt`: this endpoint reads no such URL.

    400 for a URL that it does not read and nobody can fetch.
    """
    dialect = speaking(candidate, chat.dialect)
    translated = dialect != chat.dialect
    if not translated and not _may_be_unread(chat, candidate):
        return ()
    urls = _urls(candidate, dialect)
    try:
        if translated:
            wanted = media.wanted(neutral_of(chat), urls)
        else:
            from core import media_in_body

            wanted = media_in_body.wanted(chat.envelope, dialect, urls)
    except MediaError as error:
        error.param = media.path_of(chat.envelope, error.url)
        raise
    except RecursionError as error:
        raise BadRequestError(_TOO_DEEP) from error
    return tuple([one for one in wanted if one.url not in chat.media])


def _may_be_unread(chat: Chat, candidate: Candidate) -> bool:
    """Whether a body that is not translated is worth looking into."""
    if chat.dialect in candidate.provider.urls or candidate.endpoint.metadata.fetch_media:
        return True
    # OpenAI's clients put links to PDFs where images go; nobody who speaks the format reads them.
    return chat.dialect == "openai_chat" and b".pdf" in chat.body


def _urls(candidate: Candidate, dialect: DialectName) -> media.Urls:
    if candidate.endpoint.metadata.fetch_media:
        return media.NOTHING
    return candidate.provider.urls.get(dialect) or media.TAKEN.get(dialect, media.NOTHING)


def neutral_of(chat: Chat) -> Request:
    if chat.neutral is None:
        chat.neutral = media.settle(load(chat.dialect).parse_request(chat.envelope))
    return chat.neutral


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
    streams = candidate.streams(asked=chat.view.stream)
    try:
        if dialect == chat.dialect and not chat.restated:
            said = _passed(chat, candidate, streams, betas=headers.get(_BETAS))
        else:
            said = _translated(chat, candidate, dialect, streams)
    except RecursionError as error:
        raise BadRequestError(_TOO_DEEP) from error
    if strict:
        refuse_losses(said.dropped)
    outgoing, needed = addressed(
        candidate,
        dialect,
        url=url(candidate, dialect, streams),
        body=said.body,
        headers=headers,
        timeouts=_hurried(timeouts) if streams else timeouts,
        own_key=own_key,
    )
    return Attempt(
        outgoing=outgoing,
        authorization=needed,
        candidate=candidate,
        dialect=dialect,
        lane=said.lane,
        streams=streams,
        dropped=said.dropped,
        tool_as_text=said.tool_as_text,
        fetched=tuple(chat.media),
    )


def refuse_losses(dropped: Sequence[str]) -> None:
    """`x-bt-strict`: a 400 that lists all of them, where there are any."""
    if dropped:
        names = ", ".join(dropped)
        raise BadRequestError(
            f"x-bt-strict: this model's provider has no place for: {names}.", param=dropped[0]
        )


def _hurried(timeouts: Timeouts) -> Timeouts:
    """A stream begins at once, or something is wrong."""
    return msgspec.structs.replace(timeouts, first_byte_s=timeouts.first_byte_s or FIRST_BYTE_S)


def addressed(  # noqa: PLR0913  all that a request to an endpoint is made of
    candidate: Candidate,
    dialect: DialectName,
    *,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeouts: Timeouts,
    method: str = "POST",
    content_type: str | None = "application/json",
    own_key: bool = False,
) -> tuple[Outgoing, Authorization | None]:
    """A request to an endpoint, and what it still lacks before it can be sent.

    `headers` are the caller's: what they may not tell an endpoint is left out.
    """
    fixed = _fixed(candidate, dialect)
    sent = {**fixed.before, **headers_of.forwarded(headers, dialect, own_key=own_key)}
    if fixed.betas_in_body:
        sent.pop(_BETAS, None)
    if content_type is not None:
        sent["content-type"] = content_type
    sent.update(fixed.after)
    if isinstance(fixed.needed, Headers):
        sent.update(fixed.needed.headers)
    outgoing = Outgoing(
        method=method,
        url=url,
        headers=sent,
        body=body,
        connect_s=timeouts.connect_s,
        # The head of a whole reply comes when the reply is done.
        first_byte_s=timeouts.first_byte_s or timeouts.total_s,
        idle_s=timeouts.idle_s,
        total_s=timeouts.total_s,
    )
    return outgoing, None if isinstance(fixed.needed, Headers) else fixed.needed


def url(candidate: Candidate, dialect: DialectName, streams: bool) -> str:
    """Where to send what a dialect sends to its own path."""
    found: str | None = candidate.worked_out.get(("url", dialect, streams))
    if found is None:
        whole, streamed = load(dialect).PATHS
        found = address(candidate, streamed if streams else whole, dialect, streams)
        candidate.worked_out["url", dialect, streams] = found
    return found


def address(candidate: Candidate, path: str, dialect: DialectName, streams: bool) -> str:
    """Where an endpoint answers what the dialect's own provider answers at `path`."""
    other = candidate.endpoint.metadata.endpoint_path
    if other is not None:
        return base_url(candidate, dialect) + (other if other[:1] in ("", "/") else "/" + other)
    if candidate.provider.url is not None:
        return candidate.provider.url(candidate, path, dialect, streams)
    if "{model}" in path:
        path = path.replace("{model}", segment(candidate.model))
    return base_url(candidate, dialect) + path


class _Fixed(Struct, frozen=True, kw_only=True):
    """What of every request to a candidate is the same. It carries a key: it has no repr."""

    before: Mapping[str, str]
    """Headers that the caller's own replace."""
    after: Mapping[str, str]
    """Headers that the caller has no say in."""
    needed: Authorization
    betas_in_body: bool

    def __repr__(self) -> str:
        return "<_Fixed>"


def _fixed(candidate: Candidate, dialect: DialectName) -> _Fixed:
    kept: _Fixed | None = candidate.worked_out.get(("fixed", dialect))
    if kept is not None:
        return kept
    endpoint, provider = candidate.endpoint, candidate.provider
    shape = provider.shapes.get(dialect) or Shape()
    # A compressed reply could neither be watched nor translated as it comes.
    after = {"accept-encoding": "identity", "user-agent": "cutwater"}
    if endpoint.metadata.organization_id:
        after["openai-organization"] = endpoint.metadata.organization_id
    for name, value in endpoint.metadata.additional_headers.items():
        after[name.lower()] = value
    made = _Fixed(
        before={**provider.headers, **shape.headers},
        after=after,
        needed=authorization.of(endpoint, shape.auth or provider.auth, provider.auth_types),
        betas_in_body=shape.betas is not None,
    )
    candidate.worked_out["fixed", dialect] = made
    return made


def _passed(chat: Chat, candidate: Candidate, streams: bool, *, betas: str | None) -> _Said:
    """The client's body with this provider's names: its own bytes where nothing changes."""
    provider, dialect = candidate.provider, chat.dialect
    fields = chat.envelope
    if chat.media:
        from core import media_in_body

        urls = _urls(candidate, dialect)
        fields = media_in_body.with_media(fields, dialect, urls, chat.media)
    cleaned = foreign.without(fields, chat.body, candidate, dialect)
    fields = cleaned.fields
    in_body = load(dialect).MODEL_IN_BODY
    if in_body and candidate.body_model != chat.model:
        fields = {**fields, "model": envelopes.raw(candidate.body_model)}
    if chat.view.stream and not streams:
        fields = {name: raw for name, raw in fields.items() if name not in STREAMING_ONLY}
    elif streams and not chat.view.stream and in_body:
        fields = {**fields, "stream": Raw(b"true")}
    if dialect == "openai_chat" and streams and provider.usage_in_stream:
        fields = _usage_asked(chat, fields)
    adapted = adapt(fields, chat.body, candidate, dialect, betas=betas)
    if adapted.fields is chat.envelope:
        body = chat.body
    elif in_body:
        body = envelopes.join(adapted.fields)
    else:
        # Where the path names the model, these two are in the envelope by our own hand.
        drop = frozenset({"model", "stream"})
        body = envelopes.join(envelopes.renamed(adapted.fields, {}, drop))
    anew = provider.restated or adapted.tool_as_text is not None
    dropped = (*cleaned.dropped, *adapted.dropped)
    return _Said(body, "neutral" if anew else "pass", dropped, adapted.tool_as_text)


def _usage_asked(chat: Chat, fields: Envelope) -> Envelope:
    """Usage is always asked for, so that cost is known; the watcher hides it from the rest."""
    if chat.view.usage_in_stream:
        return fields
    asked: Envelope = envelopes.read(fields, "stream_options", dict[str, Raw], {})
    options = envelopes.raw({**asked, "include_usage": Raw(b"true")})
    return {**fields, "stream_options": options}


def _translated(chat: Chat, candidate: Candidate, dialect: DialectName, streams: bool) -> _Said:
    request = neutral_of(chat)
    if chat.media:
        request = media.with_media(request, _urls(candidate, dialect), chat.media)
    if (request.model, request.stream) != (candidate.body_model, streams):
        request = msgspec.structs.replace(request, model=candidate.body_model, stream=streams)
    if dialect != "gemini":
        request = signatures.without(request)
    request, cut = _within(request, candidate.facts)
    rendered = load(dialect).render_request(request, candidate.facts)
    body, tool_as_text = rendered.body, rendered.tool_as_text
    dropped = [*rendered.dropped, *cut]
    if differs(candidate, dialect):
        fields = envelopes.split(body)
        # A beta of the client's own dialect means nothing in another one.
        adapted = adapt(fields, body, candidate, dialect, betas=None)
        if adapted.fields is not fields:
            body = envelopes.join(adapted.fields)
        dropped += parameters.neutral_names(adapted.dropped, dialect)
        tool_as_text = tool_as_text or adapted.tool_as_text
    names = [*request.dropped]  # The client's words already.
    if told := [name for name in dropped if name not in names]:
        names += parameters.client_names(told, chat.dialect, request.names)
    return _Said(body, "neutral", tuple(dict.fromkeys(names)), tool_as_text)


def _within(request: Request, facts: Facts) -> tuple[Request, list[str]]:
    """No more tokens than the model can write: a client counts on another model's limit."""
    most = facts.max_output_tokens
    if most is None or request.max_tokens is None or request.max_tokens <= most:
        return request, []
    return msgspec.structs.replace(request, max_tokens=most), [f"max_tokens>{most}"]


_UNPRINTABLE: Final = re.compile(r"[^\x21-\x2b\x2d-\x7e]")


def dropped_header(dropped: tuple[str, ...]) -> str:
    """Names of fields as a header's value. They come from the caller: nothing else may."""
    return ", ".join(_UNPRINTABLE.sub("?", name[:64]) for name in dropped[:32])
