"""Whether the cache may answer a request, and whether it may keep the answer.

Nothing is read or kept by default: in the mode `auto` only what asks for the
same answer each time (`temperature` 0, or a `seed`; embeddings and moderations
always). An answer is kept only when it is whole: `admission` reads it once
more, as a client would.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from core import envelope as envelopes
from core.dialects import load
from core.envelope import Envelope
from core.errors import CutwaterError, ProviderError
from core.neutral import View
from core.options import LONGEST_TTL_S, Options
from core.routes import DialectName, Route
from core.streams import PassRelay, fold_stream
from core.wire import Wire

MOST_KEPT: Final = 32 * 1024 * 1024
"""Bytes of an answer that are held in memory to be kept."""

Reason: TypeAlias = Literal[
    "off",
    "never",
    "not-deterministic",
    "unreadable",
    "no-cache",
    "no-store",
    "error",
    "incomplete",
    "filtered",
    "too-large",
    "fallback",
]
REASONS: Final[Mapping[Reason, str]] = {
    "off": "the deployment runs without a cache",
    "never": "`x-bt-use-cache: never`",
    "not-deterministic": "neither `temperature` 0 nor a `seed` was asked for: "
    "send `x-bt-use-cache: always` to cache all the same",
    "unreadable": "the body is no JSON that has one meaning (a field twice, half a character)",
    "no-cache": "`cache-control: no-cache` or `max-age=0`: not read, but kept",
    "no-store": "`cache-control: no-store`: read, but not kept",
    "error": "the answer is an error, or one broke it off",
    "incomplete": "the answer did not finish",
    "filtered": "the provider's filter broke the answer off",
    "too-large": "the answer is larger than what is kept",
    "fallback": "another model answered, or one answer is of several runs",
}
"""All that `x-bt-cache-reason` can say. A stream's head leaves before its end is known:
what is found then is only logged."""

_SAMPLED_AT: Final[Mapping[DialectName, tuple[tuple[str, ...], str, str]]] = {
    "openai_chat": ((), "temperature", "seed"),
    "openai_responses": ((), "temperature", "seed"),
    "anthropic": ((), "temperature", "seed"),
    "gemini": (("generationConfig", "generation_config"), "temperature", "seed"),
    "converse": (("inferenceConfig",), "temperature", "seed"),
}
"""Where a dialect says how an answer is drawn: objects that may hold it, then the two names."""

_NO_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ANSWERS: Final = ("data", "results", "embedding", "embeddings")
"""Fields that hold the answer of an embedding or a moderation."""
_ALWAYS_CERTAIN: Final = ("/embeddings", "/moderations")
_EMBEDDING: Final = (":embedContent", ":batchEmbedContents")
_CERTAIN: Final = (*_ALWAYS_CERTAIN, *_EMBEDDING)
_CHAT_LIKE: Final = ("/completions",)


class Verdict(Struct, frozen=True, kw_only=True):
    reads: bool = False
    writes: bool = False
    ttl_s: int = LONGEST_TTL_S
    max_age_s: int | None = None
    """An older entry is not served."""
    cassette: str | None = None
    replays: bool = False
    """The cassette answers, or nobody."""
    reason: Reason | None = None
    """Why it is not read, or not kept."""

    @property
    def idle(self) -> bool:
        return not (self.reads or self.writes)


_OFF: Final = {reason: Verdict(reason=reason) for reason in REASONS}


def off(reason: Reason) -> Verdict:
    """Neither read nor kept."""
    return _OFF[reason]


def decide(asked: Options, *, certain: bool) -> Verdict:
    """`certain`: the request wants the same answer each time."""
    if asked.use_cache in ("record", "replay"):
        replays = asked.use_cache == "replay"
        return Verdict(
            reads=replays,
            writes=not replays,
            ttl_s=0,
            cassette=asked.cassette,
            replays=replays,
        )
    if asked.use_cache == "never":
        return off("never")
    if asked.use_cache == "auto" and not certain:
        return off("not-deterministic")
    reads = asked.max_age_s != 0
    reason: Reason | None = None if reads else "no-cache"
    return Verdict(
        reads=reads,
        writes=not asked.no_store,
        ttl_s=asked.cache_ttl_s,
        max_age_s=asked.max_age_s,
        reason="no-store" if asked.no_store else reason,
    )


def is_kept(route: Route) -> bool:
    """Whether answers of this route can be cached at all."""
    if route.method != "POST":
        return False  # Of what is kept at a provider, not an answer to a question.
    if route.kind in ("chat", "embeddings"):
        return True
    return route.kind == "forward" and (
        route.path in (*_ALWAYS_CERTAIN, *_CHAT_LIKE) or route.path.endswith(_EMBEDDING)
    )


def is_certain(route: Route, fields: Envelope) -> bool:
    """Whether the request asks for the same answer each time."""
    if route.path.endswith(_CERTAIN):
        return True
    holders, temperature, seed = _SAMPLED_AT[route.dialect]
    if holders:
        return any(_drawn_alike(_held(fields, name), temperature, seed) for name in holders)
    return _drawn_alike(fields, temperature, seed)


def _held(fields: Envelope, name: str) -> Envelope:
    held: Envelope = envelopes.read(fields, name, dict[str, Raw], {})
    return held


def _drawn_alike(fields: Envelope, temperature: str, seed: str) -> bool:
    if bytes(fields.get(seed, b"null")) != b"null":
        return True
    said = fields.get(temperature)
    try:
        return said is not None and float(bytes(said)) == 0
    except ValueError:
        return False


_ENDS_BY_STATUS: Final[frozenset[DialectName]] = frozenset({"openai_responses"})
"""Elsewhere an answer that finished says why."""
_WHOLE: Final = frozenset({"stop", "length", "tool_calls"})
_WHOLE_ELSEWHERE: Final = frozenset(
    {"end_turn", "eos", "eos_token", "function_call", "model_length", "pause_turn", "stop_sequence"}
)
"""What some providers say of a whole answer. Another word is none: `abort` is half of one."""
_NO_ERROR: Final = (b"null", b'""', b"{}", b"false")


class _Choice(Struct):
    finish_reason: str | None = None


class _Piece(Struct):
    choices: list[_Choice] | None = None


_piece: Final = msgspec.json.Decoder(_Piece).decode


def admission(dialect: DialectName, body: bytes, *, streamed: bool) -> Reason | None:
    """Why this answer to a chat request is not kept; None: it is whole.

    `body` is what the client got, in the client's own dialect.
    """
    client = load(dialect)
    try:
        if not streamed and _is_error(body):
            return "error"
        reply = fold_stream(client, client.WIRE, body) if streamed else client.parse_reply(body)
    except ProviderError:
        return "error"
    except (CutwaterError, *_NO_JSON):
        return "incomplete"
    by_status = dialect in _ENDS_BY_STATUS
    return _reason_of(
        choice.raw_reason
        if choice.reason == "other"
        else choice.reason
        if choice.raw_reason or by_status
        else None
        for choice in reply.choices
    )


def _is_error(body: bytes) -> bool:
    """Some providers give a half answer and the error that broke it off in one body."""
    said = body.lstrip()
    return said[:1] == b"{" and bytes(envelopes.split(said).get("error", b"null")) not in _NO_ERROR


def _reason_of(ends: Iterable[str | None]) -> Reason | None:
    found = set(ends)
    if "content_filter" in found:
        return "filtered"
    return None if found and found <= (_WHOLE | _WHOLE_ELSEWHERE) else "incomplete"


def admission_of_shape(body: bytes, *, streamed: bool) -> Reason | None:
    """The same for completions, embeddings and moderations."""
    if streamed:
        return _streamed_shape(body)
    try:
        fields = envelopes.split(body)
        if bytes(fields.get("error", b"null")) not in _NO_ERROR:
            return "error"
        choices = envelopes.read(fields, "choices", list[_Choice] | None, None)
    except CutwaterError:
        return "incomplete"
    if choices is not None:
        return _reason_of(choice.finish_reason for choice in choices)
    return None if any(_is_filled(fields.get(name)) for name in _ANSWERS) else "incomplete"


def _is_filled(value: Raw | None) -> bool:
    """Told from the first bytes: vectors are long."""
    start = b"" if value is None else bytes(value)[:64]
    return start[:1] in (b"[", b"{") and start[1:].lstrip()[:1] not in (b"]", b"}")


def _streamed_shape(body: bytes) -> Reason | None:
    """Completions stream like chat: choices that finish, and an end mark."""
    client = load("openai_chat")
    watcher = client.StreamWatcher(View(stream=True, usage_in_stream=True))
    relay = PassRelay(client, watcher, "")
    try:
        relay.feed(body)
        relay.finish(None)
        if watcher.error is not None:
            return "error"
        if not watcher.complete or relay.broken_events:
            return "incomplete"
        return _reason_of(_ends(client.WIRE, body))
    except CutwaterError:
        return "error"
    except _NO_JSON:
        return "incomplete"


def _ends(wire: Wire, body: bytes) -> Iterable[str]:
    framer = wire.framer()
    for frame in [*framer.feed(body), framer.flush()]:
        event = wire.parse(frame) if frame else None
        if event is None or event.data == b"[DONE]":
            continue
        for choice in _piece(event.data).choices or ():
            if choice.finish_reason:
                yield choice.finish_reason
