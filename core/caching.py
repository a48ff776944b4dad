"""Whether the cache may answer a request, and whether it may keep the answer.

Nothing is read or kept by default: in the mode `auto` only what asks for the
same answer each time (`temperature` 0, or a `seed`; embeddings and moderations
always). An answer is kept only when it is whole: `admission` reads it once
more, as a client would.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal, TypeAlias

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

READ_S: Final = 0.25
"""A read that takes longer is given up."""
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


def off(reason: Reason) -> Verdict:
    return Verdict(reason=reason)


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
    if route.kind in ("chat", "embeddings"):
        return True
    return route.kind == "forward" and (
        route.path in (*_ALWAYS_CERTAIN, *_CHAT_LIKE) or route.path.endswith(_EMBEDDING)
    )


def is_certain(route: Route, fields: Envelope) -> bool:
    """Whether the request asks for the same answer each time."""
    if route.path.endswith((*_ALWAYS_CERTAIN, *_EMBEDDING)):
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


def admission(dialect: DialectName, body: bytes, *, streamed: bool) -> Reason | None:
    """Why this answer to a chat request is not kept; None: it is whole.

    `body` is what the client got, in the client's own dialect.
    """
    client = load(dialect)
    try:
        reply = fold_stream(client, client.WIRE, body) if streamed else client.parse_reply(body)
    except ProviderError:
        return "error"
    except (CutwaterError, *_NO_JSON):
        return "incomplete"
    by_status = dialect in _ENDS_BY_STATUS
    ends = {c.reason if c.raw_reason or by_status else None for c in reply.choices}
    return _reason_of(ends)


def _reason_of(ends: Collection[str | None]) -> Reason | None:
    if "content_filter" in ends:
        return "filtered"
    return "incomplete" if not ends or "error" in ends or None in ends else None


def admission_of_shape(body: bytes, *, streamed: bool) -> Reason | None:
    """The same for completions, embeddings and moderations."""
    if streamed:
        return _streamed_shape(body)
    try:
        fields = envelopes.split(body)
        choices = envelopes.read(fields, "choices", list[dict[str, Any]] | None, None)
    except CutwaterError:
        return "incomplete"
    if "error" in fields and bytes(fields["error"]) != b"null":
        return "error"
    if choices is not None:
        return _reason_of({choice.get("finish_reason") for choice in choices})
    return None if any(name in fields for name in _ANSWERS) else "incomplete"


def _streamed_shape(body: bytes) -> Reason | None:
    """Completions stream like chat: choices that finish, and an end mark."""
    client = load("openai_chat")
    watcher = client.StreamWatcher(View(stream=True, usage_in_stream=True))
    relay = PassRelay(client, watcher, "")
    try:
        relay.feed(body)
        relay.finish(None)
    except CutwaterError:
        return "error"
    if watcher.error is not None:
        return "error"
    if b'"content_filter"' in body:
        return "filtered"
    return None if watcher.complete and not relay.broken_events else "incomplete"
