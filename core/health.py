"""How endpoints are doing: who cools down and until when, who is probed, who is busy, how fast.

Two kinds of cooling must not be confused. What a provider asked for by
Retry-After is obeyed: nobody sends before. What we guess from failures only
puts an endpoint last: where there is nothing better it is tried all the same,
so that a wrong guess never makes an outage. After a guess has run out one
request probes, and the others wait for what it finds.

A board is one process's view. All that it is told of the time are arguments;
its methods do not await, so that requests of one event loop never meet inside.
"""

from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from core.failures import Failure, Kind
from core.ports import Row, RowKey
from core.retry_after import LONGEST_S
from core.routing import Candidate

PROBE_S: Final = 60.0
"""A probe of which nothing was heard for so long is lost."""
FORGET_S: Final = 300.0
"""Failures this far apart are not of one outage."""
SHARED_S: Final = 60.0
"""So long is shared that an endpoint has recovered."""
MOST_SHARED: Final = 100
MOST_RECORDS: Final = 4096
SKEW_S: Final = 60.0
"""Clocks of two machines differ; what claims to come from later than this is not believed."""
MOST_SAMPLES: Final = 64
LEAST_SAMPLES: Final = 20
SAMPLE_S: Final = 900.0


class Cooling(Struct, frozen=True, kw_only=True):
    """How a kind of failure cools an endpoint down: exponentially, from `first_s` to `most_s`."""

    free: int = 0
    """So many in a row are taken for bad luck."""
    first_s: float
    most_s: float
    whole: bool = False
    """The endpoint with all its models; else only the model that was asked for."""


COOLING: Final[dict[Kind, Cooling]] = {
    "rate_limited": Cooling(first_s=1, most_s=60),
    "server_error": Cooling(free=1, first_s=2, most_s=120),
    "unreachable": Cooling(free=1, first_s=2, most_s=120, whole=True),
    "broken": Cooling(free=1, first_s=2, most_s=120),
    "cut": Cooling(free=1, first_s=2, most_s=120),
    "silent": Cooling(first_s=10, most_s=300),
    "no_token": Cooling(first_s=10, most_s=300),
    "key_refused": Cooling(first_s=30, most_s=600),
    "quota": Cooling(first_s=60, most_s=600, whole=True),
    "model_missing": Cooling(first_s=60, most_s=600),
    "misdirected": Cooling(first_s=30, most_s=600, whole=True),
}
"""Other kinds say nothing about the endpoint. A 403 may be about one model; a 401 is not."""


class Place(NamedTuple):
    """Where health is kept: an endpoint of an organisation, and a model there."""

    org: str
    endpoint: str
    model: str


class Record(Struct, frozen=True, kw_only=True, array_like=True):
    failures: int = 0
    """In a row."""
    until: float = 0.0
    """We guess that it fails until then. After it, until a success, it is half open; 0: closed."""
    told_until: float = 0.0
    """The provider asked to be left alone until then."""
    changed_at: float = 0.0
    """When it last opened or closed; of a request that had begun before, nothing new is learnt."""
    failed_at: float = 0.0
    probe_at: float = 0.0
    """When the probe under way began; 0: there is none."""


class Standing(NamedTuple):
    told_until: float
    """Nobody sends before."""
    doubtful: bool
    """We guess that it fails, or somebody is just finding out."""
    until: float
    """When to look at it again."""


_WELL: Final = Standing(0.0, doubtful=False, until=0.0)


_Samples: TypeAlias = deque[tuple[float, float]]
"""(when, seconds to the first token)."""


def identity(endpoint_of: Candidate) -> str:
    """An endpoint by what it reaches and with which key: repaired settings begin afresh."""
    endpoint, metadata = endpoint_of.endpoint, endpoint_of.endpoint.metadata
    said = (
        endpoint.type,
        endpoint.name,
        endpoint.secret,
        metadata.api_base,
        metadata.region,
        metadata.access_key,
        metadata.project,
        metadata.location,
        metadata.deployment,
        metadata.auth_type,
    )
    return sha256(repr(said).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def place(org: str, candidate: Candidate) -> Place:
    found: Place | None = candidate.worked_out.get(("place", org))
    if found is None:
        found = Place(org, identity(candidate), candidate.model)
        candidate.worked_out["place", org] = found
    return found


def is_half_open(record: Record, now: float) -> bool:
    return 0 < record.until <= now


def is_probed(record: Record, now: float) -> bool:
    return record.probe_at > 0 and now - record.probe_at < PROBE_S


def after_failure(record: Record, failure: Failure, *, began_at: float, now: float) -> Record:
    rule = COOLING.get(failure.kind)
    if rule is None:
        return record
    known = record.until > 0 and began_at < record.changed_at
    told = now + min(failure.retry_after_s or 0.0, LONGEST_S)
    if told > max(now, record.told_until):
        record = replace(record, told_until=told, changed_at=now)
    if failure.kind == "rate_limited" and told > now:
        return record  # A limit that is lifted at a known time is no sign of being ill.
    if known:
        return record  # It was sent before we knew: a hundred of these are still one outage.
    before = record.failures if now - record.failed_at < FORGET_S else 0
    failures = before + 1
    if failures <= rule.free and record.until == 0:
        return replace(record, failures=failures, failed_at=now)
    # The exponent is bounded: a float is not.
    seconds = min(rule.first_s * 2.0 ** min(failures - rule.free - 1, 20), rule.most_s)
    return replace(
        record,
        failures=failures,
        until=max(record.until, now + max(seconds, rule.first_s)),
        changed_at=now,
        failed_at=now,
        probe_at=0.0,
    )


def after_success(record: Record, *, began_at: float, now: float) -> Record:
    if record.until == 0 and record.told_until == 0:
        return record if record.failures == 0 else replace(record, failures=0)
    if began_at < record.changed_at:
        return record  # A long answer that had begun while all was well.
    return Record(changed_at=now)


class Board:
    """The health of all endpoints that this process has met."""

    def __init__(self) -> None:
        self._records: dict[Place, Record] = {}
        self._samples: dict[Place, _Samples] = {}
        self._busy: dict[tuple[str, str], int] = {}
        self._to_tell: set[str] = set()
        self._heard: dict[str, bytes] = {}

    @property
    def is_quiet(self) -> bool:
        """All is well, as far as is known."""
        return not self._records

    def standing(self, at: Place, now: float) -> Standing:
        if not self._records:
            return _WELL
        found = [r for key in _both(at) if (r := self._records.get(key)) is not None]
        if not found:
            return _WELL
        told = max(record.told_until for record in found)
        doubtful = [
            max(r.until, r.probe_at + PROBE_S if is_probed(r, now) else 0.0)
            for r in found
            if r.until > now or (is_half_open(r, now) and is_probed(r, now))
        ]
        until = max([told, *doubtful])
        return Standing(told if told > now else 0.0, doubtful=bool(doubtful), until=until)

    def began(self, at: Place, now: float) -> None:
        """A request goes there. To what is half open it is the probe."""
        whom = at[:2]
        self._busy[whom] = self._busy.get(whom, 0) + 1
        if not self._records:
            return
        for key in _both(at):
            record = self._records.get(key)
            if record is not None and is_half_open(record, now) and not is_probed(record, now):
                self._records[key] = replace(record, probe_at=now)

    def ended(self, at: Place, began_at: float) -> None:
        """It is over, however. A probe that was called off has found out nothing."""
        whom = at[:2]
        left = self._busy.pop(whom, 0) - 1
        if left > 0:
            self._busy[whom] = left
        if not self._records:
            return
        for key in _both(at):
            record = self._records.get(key)
            if record is not None and record.probe_at == began_at > 0:
                self._records[key] = replace(record, probe_at=0.0)

    def failed(self, at: Place, failure: Failure, *, began_at: float, now: float) -> None:
        rule = COOLING.get(failure.kind)
        if rule is None:
            return
        whole = rule.whole or failure.status == 401
        key = Place(at.org, at.endpoint, "") if whole else at
        self._change(key, lambda record: after_failure(record, failure, began_at=began_at, now=now))

    def answered(self, at: Place, *, began_at: float, now: float, streamed: bool = True) -> None:
        """The first token of a stream came, or a whole answer, whose time says nothing of it."""
        if streamed:
            self._sample(at, now, max(now - began_at, 0.0))
        if not self._records:
            return
        for key in _both(at):
            if key in self._records:
                self._change(key, lambda record: after_success(record, began_at=began_at, now=now))

    def _sample(self, at: Place, now: float, took_s: float) -> None:
        samples = self._samples.get(at)
        if samples is None:
            if len(self._samples) >= MOST_RECORDS:
                del self._samples[next(iter(self._samples))]
            samples = self._samples[at] = deque(maxlen=MOST_SAMPLES)
        samples.append((now, took_s))

    def busy(self, at: Place) -> int:
        """How many of this process's requests are under way to the endpoint, by any model."""
        return self._busy.get(at[:2], 0)

    def slow_s(self, at: Place, now: float) -> float | None:
        """Its 95th percentile of the time to the first token; None: too little is known."""
        samples = self._samples.get(at, ())
        taken = sorted(took for when, took in samples if now - when < SAMPLE_S)
        return taken[int(len(taken) * 0.95)] if len(taken) >= LEAST_SAMPLES else None

    def _change(self, key: Place, change: Callable[[Record], Record]) -> None:
        record = self._records.pop(key, None) or Record()
        changed = change(record)
        # The last one changed is the last one forgotten.
        self._records[key] = changed
        if len(self._records) > MOST_RECORDS:
            del self._records[next(iter(self._records))]
        if changed.changed_at != record.changed_at:
            self._to_tell.add(key.org)

    def has_news(self, org: str) -> bool:
        return org in self._to_tell

    def to_tell(self, org: str, now: float) -> Row | None:
        """What other processes should know, where something has changed since this was last asked.

        It names endpoints by digests, and says nothing of what they were asked.
        """
        if org not in self._to_tell:
            return None
        self._to_tell.discard(org)
        said = [
            (key.endpoint, key.model, replace(record, probe_at=0.0))
            for key, record in self._records.items()
            if key.org == org and _ends(record) > now
        ][-MOST_SHARED:]
        data = _encode(said)
        self._heard[org] = data
        ends = max((_ends(record) for _, _, record in said), default=now)
        pk, sk = row_key(org)
        return Row(pk=pk, sk=sk, data=data, expires_at=int(ends) + 1, stored_at=int(now))

    def hear(self, org: str, row: Row | None, now: float) -> None:
        """What another process told. What cannot be read, or believed, is left out."""
        if row is None or row.expires_at <= now or self._heard.get(org) == row.data:
            return
        if len(self._heard) >= MOST_RECORDS:
            self._heard.clear()
        self._heard[org] = row.data
        try:
            said = _decode(row.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        untold = org in self._to_tell
        for endpoint, model, record in said[:MOST_SHARED]:
            self._learn(Place(org, endpoint, model), record, now)
        if not untold:
            self._to_tell.discard(org)  # It is no news to others.

    def _learn(self, key: Place, record: Record, now: float) -> None:
        known = self._records.get(key, Record())
        if _is_believed(record, now) and known.changed_at < record.changed_at:
            self._change(key, lambda _: replace(record, probe_at=known.probe_at))


def _both(at: Place) -> tuple[Place, Place]:
    return at, Place(at.org, at.endpoint, "")


def _ends(record: Record) -> float:
    return max(record.until, record.told_until, record.changed_at + SHARED_S)


def _is_believed(record: Record, now: float) -> bool:
    latest = now + LONGEST_S + SKEW_S
    return (
        record.failures >= 0
        and 0 <= record.changed_at <= now + SKEW_S
        and 0 <= record.until <= latest
        and 0 <= record.told_until <= latest
        and 0 <= record.failed_at <= now + SKEW_S
    )


def row_key(org: str) -> RowKey:
    """Where an organisation's health is kept: it is read with the row of the caller's key."""
    return (
        f"health#{sha256(b'health:' + org.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}",
        "0",
    )


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[tuple[str, str, Record]]).decode
