"""Which endpoint first: all that can answer a request, in the order to try them.

The models come in their own order, the one asked for and then its fallbacks.
Of each model the healthy endpoints are ordered by weight (or by affinity, or by
how busy they are), and those that cool down come after them: last, and never
left out, since what we know of them may be wrong. What another request finds
out in the meantime is core/failover.py's to see: it looks again at each attempt.
"""

import math
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from core import routing
from core.envelope import Envelope
from core.errors import CutwaterError, ModelNotFoundError
from core.health import Board, Place, place
from core.options import Options
from core.orgs import Endpoint, Org
from core.routing import Candidate, Lookup, Model, Providers


class Ranked(Struct, frozen=True, kw_only=True):
    candidate: Candidate
    place: Place
    known: bool = True
    """The catalogue or the settings hold that the endpoint serves the model."""
    rank: int = 0
    """0: the model asked for; 1: its first fallback."""


class Pool(Struct, frozen=True, kw_only=True):
    """What a request's endpoints are chosen from, and by what."""

    org: Org
    providers: Providers
    lookup: Lookup
    board: Board
    endpoint_name: str | None = None
    affinity: bytes = b""
    """Of `affinity_of`; empty: none is wanted."""


def models(asked: Options, org: Org, name: str) -> tuple[str, ...]:
    """The model asked for and what to fall back to. The caller's own list stands for the org's."""
    others = org.fallbacks.get(name, ()) if asked.fallbacks is None else asked.fallbacks
    if not others:
        return (name,)
    return tuple(dict.fromkeys((name, *others)))


def choose(names: Sequence[str], pool: Pool, *, now: float, draw: float) -> list[Ranked]:
    """All that can answer; 404 where nothing serves any of the models."""
    found: list[Ranked] = []
    error: CutwaterError | None = None
    rank = 0
    for name in names:
        try:
            served = _serving(name, pool)
        except ModelNotFoundError as missing:
            error = error or missing  # Of the model that was asked for, if of any.
            continue
        if rank:
            served = [replace(one, rank=rank) for one in served]
        found += served if len(served) == 1 else arrange(served, pool, now=now, draw=draw)
        rank += 1
    if not found and error is not None:
        raise error
    return found


def _serving(name: str, pool: Pool) -> Sequence[Ranked]:
    """Who serves a model depends on settings alone: worked out once, as their candidates are."""
    org, model, providers = pool.org, pool.lookup(name), pool.providers
    known: dict[Any, tuple[Model, Providers, Sequence[Ranked]]] = org.worked_out
    key = (model.name, pool.endpoint_name)
    kept = known.get(key)
    if kept is not None and kept[0] is model and kept[1] is providers:
        return kept[2]
    served = routing.candidates(
        model, org, providers, endpoint_name=pool.endpoint_name, draw=0.0, lookup=pool.lookup
    )
    found = [_ranked(org, model, one) for one in served]
    if len(known) >= MOST_KNOWN:
        known.clear()
    known[key] = (model, providers, found)
    return found


def _ranked(org: Org, model: Model, candidate: Candidate) -> Ranked:
    known = _is_served(model) or _is_listed(candidate.endpoint, model.name)
    return Ranked(candidate=candidate, place=place(org.name, candidate), known=known)


def _is_served(model: Model) -> bool:
    return model.in_catalogue and model.lifecycle != "retired"


def _is_listed(endpoint: Endpoint, name: str) -> bool:
    return name in endpoint.metadata.custom_models or name in endpoint.metadata.models


def arrange(found: Iterable[Ranked], pool: Pool, *, now: float, draw: float) -> list[Ranked]:
    """The endpoints of one model. `draw` is uniform in [0, 1)."""
    if pool.board.is_quiet:
        return _ordered([*found], pool, draw)
    healthy: list[Ranked] = []
    cooling: list[tuple[float, Ranked]] = []
    for ranked in found:
        standing = pool.board.standing(ranked.place, now)
        if standing.doubtful or standing.told_until > now:
            cooling.append((standing.until, ranked))
        else:
            healthy.append(ranked)
    cooling.sort(key=lambda known: known[0])
    return [*_ordered(healthy, pool, draw), *(ranked for _, ranked in cooling)]


def _ordered(healthy: list[Ranked], pool: Pool, draw: float) -> list[Ranked]:
    if len(healthy) < 2:
        return healthy
    if pool.org.affinity and pool.affinity:
        return sorted(healthy, key=lambda ranked: -_score(ranked, pool.affinity))
    drawn = routing.by_weight(healthy, draw, _weight)
    if pool.org.balance != "least_busy":
        return drawn
    # Of equally busy ones the draw decides. Weight 0 stays the last resort.
    return sorted(drawn, key=lambda ranked: _busy(ranked, pool.board))


def _weight(ranked: Ranked) -> float:
    return ranked.candidate.endpoint.weight


def _busy(ranked: Ranked, board: Board) -> tuple[bool, float]:
    weight = _weight(ranked)
    return weight == 0, (board.busy(ranked.place) + 1) / (weight or 1.0)


def _score(ranked: Ranked, affinity: bytes) -> float:
    """Weighted rendezvous hashing: an endpoint that goes away moves only its own requests."""
    digest = sha256(affinity + b"\0" + ranked.place.endpoint.encode()).digest()
    uniform = (int.from_bytes(digest[:7]) + 0.5) / 2.0**56
    return -_weight(ranked) / math.log(uniform)


MOST_KNOWN: Final = 1024
"""Models for which an organisation's endpoints are kept: callers may ask for any name."""
_HEADS: Final = ("system", "systemInstruction", "system_instruction", "instructions", "tools")
_TURNS: Final = ("messages", "contents", "input", "prompt")
_OWN_KEY: Final = "prompt_cache_key"
_MOST: Final = 4096
"""Bytes of a field that count: providers cache from the beginning on."""
_LEADING: Final = frozenset({"system", "developer"})


class _Turn(Struct):
    role: str = ""


def affinity_of(caller: str, model: Model, fields: Envelope) -> bytes:
    """What stays the same through a conversation: who asks, and how the prompt begins."""
    digest = sha256(f"{caller}\0{model.name}".encode("utf-8", "surrogatepass"))
    if (own := fields.get(_OWN_KEY)) is not None:
        digest.update(b"\0key\0" + bytes(own))
        return digest.digest()
    for name in _HEADS:
        if name in fields:
            digest.update(name.encode() + b"\0" + bytes(fields[name])[:_MOST])
    for name in _TURNS:
        if name in fields:
            digest.update(name.encode() + b"\0" + _opening(fields[name]))
    return digest.digest()


def _opening(turns: Raw) -> bytes:
    """The turns up to the first one that is not the system's: later ones come and go."""
    try:
        each = msgspec.json.decode(turns, type=list[Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return bytes(turns)[:_MOST]  # A text, or what the provider will refuse.
    opening = b""
    for turn in each:
        opening += bytes(turn)[:_MOST]
        if len(opening) >= _MOST or _role(turn) not in _LEADING:
            break
    return opening


def _role(turn: Raw) -> str:
    try:
        return msgspec.json.decode(turn, type=_Turn).role
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
