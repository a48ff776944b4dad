"""Around one request: an answer from the cache, or the answer on its way into it.

The cache never fails a request and is never waited for: a read has a quarter
of a second, and a write begins when the client has its last byte. What is kept
is what the client got, seen by a witness at the outlet.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from core import cache_entries, cache_keys, caching, health
from core.cache_entries import FIRST, Entry
from core.cache_keys import Names
from core.caching import Reason, Verdict
from core.errors import BadRequestError, NotFoundError, UnavailableError
from core.orgs import CacheSettings
from core.ports import Row, RowKey, StoreError
from handlers.access import Access
from handlers.asgi import Headers
from handlers.caching import Unkept, missed
from handlers.exchange import Exchange
from handlers.flights import Flight
from handlers.stores import put_for_ever, within

Ask = Callable[[], Awaitable[None]]

WRITE_S: Final = 10.0
KEPT_HEADERS: Final = frozenset(
    {b"content-type", b"x-bt-used-endpoint", b"x-bt-dropped-params", b"x-accel-buffering"}
)
"""All others tell of one exchange: ids, limits, times."""


class Place(Struct, frozen=True, kw_only=True):
    """Where an answer may lie (the first is where it is put), and how it is found there."""

    names: tuple[Names, ...]
    sk: str = ""
    org: str = ""

    def __repr__(self) -> str:
        return "<Place>"


async def through(
    exchange: Exchange, access: Access, verdict: Verdict, body: bytes, ask: Ask
) -> None:
    """Answers from the cache, else by `ask`, whose answer is kept where it may be."""
    place = _place(exchange, access, verdict, body)
    if place is None:
        if verdict.replays:
            why = caching.REASONS["unreadable"]
            raise BadRequestError(f"This request cannot be replayed: {why}.")
        exchange.outlet.witness = Unkept("unreadable")
        await ask()
        return
    settings = access.org.cache if access.org is not None else CacheSettings()
    entry = await _read(exchange, verdict, place, settings.read_s) if verdict.reads else None
    if entry is not None:
        await _replay(exchange, entry)
    elif verdict.replays:
        raise NotFoundError(
            f"The cassette `{verdict.cassette}` holds no answer to this request, and "
            "x-bt-use-cache: replay asks no provider. Record it with x-bt-use-cache: record.",
        )
    elif settings.single_flight and verdict.reads and verdict.writes:
        await _together(exchange, verdict, place, settings, ask)
    else:
        await _ask_and_keep(exchange, verdict, place, settings, ask)


def _place(exchange: Exchange, access: Access, verdict: Verdict, body: bytes) -> Place | None:
    request = cache_keys.digest(
        exchange.route,
        body,
        exchange.headers,
        query=exchange.query,
        endpoint=access.endpoint,
        strict=access.asked.strict,
    )
    if request is None:
        return None
    org, key = access.org, access.key
    if verdict.cassette is not None:
        secret = cache_keys.cassette_secret(key, verdict.cassette)
        names, sk = cache_keys.cassette_names(secret, request)
        return Place(names=(names,), sk=sk, org=cache_keys.tag(org))
    secrets = cache_keys.secrets_of(key, org, org_name=access.org_name)
    found = tuple(cache_keys.names(secret, request) for secret in secrets)
    return Place(names=found, org=cache_keys.tag(org))


async def _read(exchange: Exchange, verdict: Verdict, place: Place, limit_s: float) -> Entry | None:
    services = exchange.services
    now = int(services.clock.now())
    try:
        found = await within(None if verdict.replays else limit_s, _opened(exchange, place, now))
    except StoreError as error:
        if verdict.replays:
            raise UnavailableError("The store of cassettes could not be read.") from error
        _warn(exchange, "cache_read_failed", error)
        return None
    if found is None or verdict.max_age_s is None:
        return found
    return found if now - found.stored_at <= verdict.max_age_s else None


async def _opened(exchange: Exchange, place: Place, now: int) -> Entry | None:
    store = exchange.services.store
    if store is None:
        return None
    wanted = [(names.pk, place.sk + FIRST) for names in place.names]
    org = exchange.org
    told = [] if org is None else [health.row_key(org.name)]
    rows = await store.get([*wanted, *told])
    if org is not None:
        # On the way: how its endpoints are doing, as another process has found out.
        exchange.services.board.hear(org.name, rows.get(told[0]), now)
    for names, key in zip(place.names, wanted, strict=True):
        row = rows.get(key)
        if row is None:
            continue
        keys = cache_entries.missing(row, place.sk)
        others: dict[RowKey, Row] = await store.get(keys) if keys else {}
        entry = cache_entries.open_entry(names, row, others, now, sk=place.sk)
        if entry is not None:
            return entry
        if not 0 < row.expires_at <= now:
            # Damaged, or changed by somebody: not served, and soon overwritten.
            exchange.services.log.warning("cache_entry_refused", request_id=exchange.request_id)
    return None


def _warn(exchange: Exchange, event: str, error: StoreError) -> None:
    exchange.services.log.warning(event, request_id=exchange.request_id, said=str(error)[:200])


async def _replay(exchange: Exchange, entry: Entry) -> None:
    outlet = exchange.outlet
    headers = [*entry.headers, (b"x-bt-cached", b"HIT")]
    if entry.ttl_s:
        age = max(0, int(exchange.services.clock.now()) - entry.stored_at)
        headers += _lasting(entry.ttl_s, streamed=entry.streamed)
        headers.append((b"age", b"%d" % age))
    elif entry.streamed:
        headers.append((b"cache-control", b"no-transform"))
    outlet.head(200, headers)
    if not entry.streamed:
        await outlet.whole(entry.body)
        return
    shape_stream(exchange)
    await outlet.write(entry.body)
    await outlet.end()


def shape_stream(exchange: Exchange) -> None:
    """Gemini's clients may want a stream as one JSON array."""
    if exchange.route.kind == "chat" and exchange.route.dialect == "gemini":
        from core.dialects.gemini import array

        if not array.asks_for_events(exchange.query):
            exchange.outlet.reshape = array.ArrayWriter()


def _lasting(ttl_s: int, *, streamed: bool) -> Headers:
    suffix = b", no-transform" if streamed else b""
    return [(b"cache-control", b"max-age=%d%s" % (ttl_s, suffix))]


async def _together(
    exchange: Exchange, verdict: Verdict, place: Place, settings: CacheSettings, ask: Ask
) -> None:
    services = exchange.services
    flight = Flight(services, place.names[0].pk, settings.single_flight_wait_s, settings.read_s)

    async def look() -> Entry | None:
        return await _read(exchange, verdict, place, settings.read_s)

    async with flight.joined(look) as entry:
        if entry is not None:
            await _replay(exchange, entry)
        else:
            await _ask_and_keep(exchange, verdict, place, settings, ask, flight)


async def _ask_and_keep(
    exchange: Exchange,
    verdict: Verdict,
    place: Place,
    settings: CacheSettings,
    ask: Ask,
    flight: Flight | None = None,
) -> None:
    outlet = exchange.outlet
    if not verdict.writes:
        outlet.witness = Unkept(verdict.reason)
        await ask()
        return
    outlet.outlives_client = settings.finish_abandoned
    outlet.gathers = True
    recorder = outlet.witness = Recorder(exchange, verdict)
    await ask()
    entry = recorder.entry(int(exchange.services.clock.now()), place.names[0].digest)
    if entry is None:
        if recorder.status == 200:
            reason = recorder.reason
            exchange.services.log.info(
                "cache_not_kept", request_id=exchange.request_id, reason=reason
            )
        return
    if flight is not None:
        flight.arrive(entry)
    await _keep(exchange, entry, place)


async def _keep(exchange: Exchange, entry: Entry, place: Place) -> None:
    services = exchange.services
    if services.store is None:
        return
    nonce = services.nonce(cache_entries.NONCE)
    rows = cache_entries.seal(place.names[0], entry, nonce, sk=place.sk, org=place.org)
    if not rows:
        services.log.info("cache_not_kept", request_id=exchange.request_id, reason="too-large")
        return
    put = services.store.put(rows) if entry.ttl_s else put_for_ever(services.store, rows, place.sk)
    try:
        await within(WRITE_S, put)
    except StoreError as error:
        _warn(exchange, "cache_write_failed", error)


class Recorder:
    """A witness that holds what the client gets until it is known whether it is whole."""

    def __init__(self, exchange: Exchange, verdict: Verdict) -> None:
        self._exchange = exchange
        self._route = exchange.route
        self._verdict = verdict
        self._pieces: list[bytes] = []
        self._size = 0
        self._headers: Headers = []
        self._streamed = False
        self._judged = False
        self.status = 0
        self.reason: Reason | None = None
        """Why this answer is not kept, as far as it is known."""

    def begin(self, status: int, headers: Headers, body: bytes | None) -> Headers:
        self.status = status
        self._headers = [(n, v) for n, v in headers if n in KEPT_HEADERS]
        content_type = dict(headers).get(b"content-type", b"")
        by_type = content_type.startswith(b"text/event-stream")
        self._streamed = body is None and (self._route.kind == "chat" or by_type)
        if status != 200:
            self.reason = "error"
            return headers
        if self._is_anothers():
            self.reason = "fallback"
        elif body is not None:
            self.see(body)
            self._judge()
        if self.reason is not None:
            return headers + missed(self.reason)
        told = [(n, v) for n, v in headers if n != b"cache-control"]
        if self._verdict.ttl_s:
            told += [*_lasting(self._verdict.ttl_s, streamed=self._streamed), (b"age", b"0")]
        return told + missed(self._verdict.reason)

    def _is_anothers(self) -> bool:
        """What was asked of one model is not kept from another, nor what only seems one answer."""
        return self._exchange.rank > 0 or self._exchange.is_joined

    def see(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > caching.MOST_KEPT:
            self.reason = "too-large"
            self._pieces.clear()
        elif self.reason is None:
            self._pieces.append(chunk)

    def _judge(self) -> None:
        if self.reason is not None or self._judged:
            return
        self._judged = True
        body, route = b"".join(self._pieces), self._route
        try:
            if route.kind == "chat":
                self.reason = caching.admission(route.dialect, body, streamed=self._streamed)
            else:
                self.reason = caching.admission_of_shape(body, streamed=self._streamed)
        except Exception as error:  # noqa: BLE001  what was paid for must not fail by being read
            self.reason = "incomplete"
            log, name = self._exchange.services.log, type(error).__name__
            log.warning("answer_not_judged", request_id=self._exchange.request_id, error=name)

    def entry(self, now: int, digest: bytes) -> Entry | None:
        """The answer that the client got; None where it is not to be kept."""
        self._judge()
        if self.reason is None and self._is_anothers():
            self.reason = "fallback"
        if self.reason is not None:
            return None
        return Entry(
            stored_at=now,
            ttl_s=self._verdict.ttl_s,
            headers=tuple(self._headers),
            streamed=self._streamed,
            body=b"".join(self._pieces),
            digest=digest,
        )
