"""`/explain`: what would be sent where, and what it might cost, without sending it.

Nothing secret is in an explanation: values of headers that carry keys, or that
the settings add, are masked, and so is the endpoint's secret wherever else it
stands.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from core import caching, hidden, listing
from core import envelope as envelopes
from core.caching import Verdict
from core.dialects import parameters
from core.envelope import Envelope
from core.errors import CutwaterError
from core.media import shown
from core.plan import Attempt
from core.routes import Route
from core.routing import Candidate, Model

MASK: Final = "***"
BYTES_A_TOKEN: Final = 4
"""A rough measure: no tokenizer is asked."""

_KEY_HEADERS: Final = frozenset({*hidden.HEADERS, "cookie"})
_MOST_TOKENS: Final = 10**12
"""No request has as many: a number may be of any length."""
_MOST: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def candidate(
    asked: Envelope, found: Candidate, attempts: Sequence[Attempt], model: Model
) -> dict[str, Any]:
    """One endpoint and what it would be sent; more than one request for many texts."""
    first = attempts[0]
    outgoing = first.outgoing
    hide = found.endpoint.secrets
    described = _described(found, model)
    return _endpoint(found) | {
        "lane": first.lane,
        "dialect": first.dialect,
        "model": found.model,
        "streams": first.streams,
        "requests": len(attempts),
        "method": outgoing.method,
        "url": _masked(_url(outgoing.url, found), hide),
        "headers": _headers(outgoing.headers, found, hide),
        "authorization": None if first.authorization is None else _kind(first.authorization),
        "body": _body(outgoing.body, hide),
        "fetches": [shown(url) for url in first.fetched],
        "dropped": first.dropped,
        "renamed": _renamed(asked, first),
        "price": _price(asked, sum(len(a.outgoing.body) for a in attempts), described),
    }


def refused(found: Candidate, error: CutwaterError) -> dict[str, Any]:
    """An endpoint that this request cannot be said to."""
    told = {"status": error.status, "message": error.message, "param": error.param}
    return _endpoint(found) | {"error": told}


def cache(verdict: Verdict | None, *, readable: bool) -> dict[str, Any]:
    """`readable`: the body has one meaning, by which its answer could be found again."""
    if verdict is None:
        return {"reads": False, "writes": False, "why": "answers of this route are not cached"}
    if not verdict.idle and not readable:
        verdict = caching.off("unreadable")
    reason = verdict.reason
    told: dict[str, Any] = {"reads": verdict.reads, "writes": verdict.writes, "reason": reason}
    if reason is not None:
        told["why"] = caching.REASONS[reason]
    if verdict.writes and verdict.ttl_s:
        told["ttl_s"] = verdict.ttl_s
    if verdict.max_age_s is not None:
        told["max_age_s"] = verdict.max_age_s
    if verdict.cassette is not None:
        told["cassette"] = verdict.cassette
    return told


def explanation(
    said: str,
    route: Route,
    model: Model | None,
    found: list[dict[str, Any]],
    cached: dict[str, Any],
) -> bytes:
    return msgspec.json.encode(
        {
            "object": "explanation",
            "route": said,
            "dialect": route.dialect,
            "model": None if model is None else model.name,
            "known": None if model is None else model.known,
            "candidates": found,
            "cache": cached,
        }
    )


def _endpoint(found: Candidate) -> dict[str, Any]:
    return {
        "endpoint": found.endpoint.name,
        "type": found.endpoint.type,
        "weight": found.endpoint.weight,
    }


def _described(found: Candidate, model: Model) -> Model:
    custom = found.endpoint.metadata.custom_models.get(model.name)
    return model if custom is None else listing.with_settings(model, custom)


def _url(url: str, found: Candidate) -> str:
    """Without who asks, and without what the settings' own addresses say in their queries."""
    metadata = found.endpoint.metadata
    ours = [said.partition("?")[2] for said in (metadata.api_base, metadata.endpoint_path) if said]
    hidden = {pair for query in ours for pair in query.split("&")}
    base, mark, query = url.partition("?")
    scheme, slashes, rest = base.partition("://")
    host, slash, path = rest.partition("/")
    who, at, host = host.rpartition("@")
    base = f"{scheme}{slashes}{MASK if who else ''}{at}{host}{slash}{path}"
    pairs = [
        f"{pair.partition('=')[0]}={MASK}" if pair in hidden else pair for pair in query.split("&")
    ]
    return base + mark + "&".join(pairs)


def _masked(text: str, hide: Sequence[str]) -> str:
    for secret in hide:
        text = text.replace(secret, MASK)
    return text


def _headers(headers: Mapping[str, str], found: Candidate, hide: Sequence[str]) -> dict[str, str]:
    ours = {name.lower() for name in found.endpoint.metadata.additional_headers}
    return {
        name: MASK if name in ours or name in _KEY_HEADERS else _masked(value, hide)
        for name, value in headers.items()
    }


def _kind(authorization: object) -> str:
    """What would be done before sending: no token is fetched and nothing signed for this."""
    return type(authorization).__name__


def _body(body: bytes, hide: Sequence[str]) -> Raw | None:
    for secret in hide:
        body = body.replace(secret.encode(), MASK.encode())
    try:
        msgspec.json.decode(body, type=Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # A body that is no JSON is not shown.
    return Raw(body)


def _renamed(asked: Envelope, attempt: Attempt) -> dict[str, str]:
    """Fields of the request that the endpoint knows by another name."""
    found = attempt.candidate
    quirks = found.facts.quirks
    rows = {**(quirks.rename if quirks is not None else {}), **found.provider.rename}
    sent = _fields(attempt.outgoing.body)
    renamed = {old: new for old, new in rows.items() if old in asked and new in sent}
    if attempt.lane == "neutral":
        renamed |= _translated(asked, attempt)
    return {old: new for old, new in renamed.items() if old != new and old not in sent}


def _translated(asked: Envelope, attempt: Attempt) -> dict[str, str]:
    names: dict[str, str] = {}
    for columns in parameters.PARAMETERS.values():
        there = columns.get(attempt.dialect)
        ours = [name for name in columns.values() if name in asked and name not in attempt.dropped]
        if there is not None and ours:
            names[ours[0]] = there
    sent = _fields(attempt.outgoing.body)
    limit = next((name for name in _MOST if name in asked), None)
    other = next((name for name in _MOST if name in sent), None)
    return names if limit is None or other is None else {**names, limit: other}


def _fields(body: bytes) -> Envelope:
    try:
        return envelopes.split(body)
    except CutwaterError:
        return {}


def _price(asked: Envelope, size: int, model: Model) -> dict[str, Any] | str:
    """In US dollars: what is sent, and the most that may be answered."""
    if listing.cost(model.costs) == "unknown":
        return "unknown"
    tokens = -(-size // BYTES_A_TOKEN)
    most = max((_number(asked, name) for name in _MOST), default=0)
    most = most or model.facts.max_output_tokens or 0
    if model.flavor == "embedding":
        most = 0
    return {
        "input_tokens": tokens,
        "input_usd": _usd(tokens, model.costs.input),
        "most_output_tokens": most or None,
        "most_output_usd": _usd(most, model.costs.output) if most else None,
    }


def _usd(tokens: int, per_million: float | None) -> float | None:
    return None if per_million is None else round(tokens * per_million / 1_000_000, 9)


def _number(asked: Envelope, name: str) -> int:
    try:
        return min(envelopes.read(asked, name, int, 0), _MOST_TOKENS)
    except CutwaterError:
        return 0
