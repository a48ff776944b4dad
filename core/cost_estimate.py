"""What a deployment in AWS costs a month, line by line: list prices times quantities.

Prices are those of us-east-1, on demand, without volume discounts; other
regions differ by some percent. What providers charge for their models is not in
it. AWS gives every account some of this for nothing, for ever; the estimate
says how much that takes off, and does not take it off, since an account's other
work may have used it up.
https://aws.amazon.com/pricing/
"""

import math
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

HOURS: Final = 730.0
SECONDS: Final = HOURS * 3600
MILLION: Final = 1_000_000
MB_A_REQUEST: Final = 10.0
"""A streamed answer is billed as a request for each of its 10 MB."""
MB_UNBILLED: Final = 6.0
"""Of each answer that a function streams."""
METRICS: Final = 12
"""Of template.yaml: its metric filters, and one for each class of answers more."""
ALARMS: Final = 7
DASHBOARDS: Final = 1
ADMIN_MB: Final = 512
KB_LOGGED: Final = 0.9
"""A request's own line, and Lambda's two."""
KEPT_S: Final = 7 * 86400
"""How long a cached answer lies in the table."""
COMPRESSED: Final = 4.0
"""Times that an answer gets smaller in the cache: recorded ones do 2 to 13 times."""
STREAMED_KB_A_SECOND: Final = 5.0
OVERHEAD_S: Final = 0.08
HIT_S: Final = 0.05
LIFE_S: Final = 2 * 3600.0
"""How long Lambda keeps a process that is in use."""
IDLE_S: Final = 600.0
"""How long it keeps one that is not."""
SNAPSTART: Final = "Lambda SnapStart"
START_S: Final = 0.5
"""Until a process without a snapshot can answer; it is paid for. Measured is half of it."""
FIREWALL_RULES: Final = 2
SPOKEN_FRAMES: Final = 10
"""A second, of a client whose microphone is on all the time."""
SPOKEN_KB: Final = 7
"""Of each: 100 ms of PCM in base64."""
SPOKEN_POSTS: Final = 5
SPOKEN_READS: Final = 25
SPOKEN_THOROUGH: Final = 2
"""Of these reads so many look back two seconds, the others 0.3."""


class LoadError(ValueError):
    """A load that cannot be; the message names the option."""


class Load(Struct, frozen=True, kw_only=True):
    """What a deployment is asked, on average over a month, and how it is set up."""

    rps: float
    seconds: float
    """How long an answer takes that no cache has."""
    cache_hit: float = 0.0
    """The share of the requests that the cache answers."""
    stored: float | None = None
    """The share of the other answers that are stored. None: all where any is hit, else none."""
    answer_kb: float | None = None
    """None: 5 for each second."""
    request_kb: float = 8.0
    memory_mb: int = 512
    organisations: int = 1
    regions: int = 1
    """Stacks with a replica of the table each; the load is spread over them."""
    log_days: int = 14
    waf: bool = False
    tracing: bool = False
    nat_gateways: int = 0
    """Where the functions run in your VPC."""
    admin: bool = True
    snapstart: bool = True
    alarms: bool = True
    dashboard: bool = True
    realtime_minutes: float = 0.0
    """Of sessions by API Gateway, a month."""


class Line(Struct, frozen=True, kw_only=True):
    """One thing that is paid for; its quantities are a month's."""

    service: str
    what: str
    unit: str
    price: float
    """US dollars for one unit."""
    at_rest: float
    """Units when nobody asks anything."""
    with_load: float
    """Units in all."""
    unpaid: float = 0.0
    """Units that every account has for nothing."""

    @property
    def rest_usd(self) -> float:
        return self.at_rest * self.price

    @property
    def usd(self) -> float:
        return self.with_load * self.price

    @property
    def unpaid_usd(self) -> float:
        return min(self.unpaid, self.with_load) * self.price

    @property
    def unpaid_rest_usd(self) -> float:
        return min(self.unpaid, self.at_rest) * self.price


class Estimate(Struct, frozen=True, kw_only=True):
    load: Load
    requests: float
    """A month."""
    concurrency: float
    """Executions at the same time, on average."""
    starts: float
    """Cold starts a month."""
    lines: tuple[Line, ...]

    @property
    def rest_usd(self) -> float:
        return sum(line.rest_usd for line in self.lines)

    @property
    def usd(self) -> float:
        return sum(line.usd for line in self.lines)

    @property
    def unpaid_usd(self) -> float:
        return sum(line.unpaid_usd for line in self.lines)

    @property
    def unpaid_rest_usd(self) -> float:
        return sum(line.unpaid_rest_usd for line in self.lines)

    @property
    def million_usd(self) -> float | None:
        """What a million requests add to what is paid at rest."""
        if self.requests == 0:
            return None
        return (self.usd - self.rest_usd) / self.requests * MILLION


_SHARES: Final = ("cache_hit", "stored")
_LEAST: Final = {"organisations": 1, "regions": 1, "log_days": 1}
_MOST: Final = {"rps": 1e6, "seconds": 900, "answer_kb": 200 * 1024, "request_kb": 6 * 1024}
_MOST_MB: Final = 10_240
_LEAST_MB: Final = 128


def check(load: Load) -> Load:
    """LoadError for the first thing that cannot be."""
    for name in load.__struct_fields__:
        value = getattr(load, name)
        if value is None or isinstance(value, bool):
            continue
        option, most = "--" + name.replace("_", "-"), _MOST.get(name, math.inf)
        if not math.isfinite(value) or value < 0:
            raise LoadError(f"{option} is a number of 0 or more, and not {value:g}.")
        if name in _SHARES and value > 1:
            raise LoadError(f"{option} is a share between 0 and 1, and not {value:g}.")
        if value > most:
            raise LoadError(f"{option} is {most:g} at most, and not {value:g}.")
        if value < _LEAST.get(name, 0):
            raise LoadError(f"{option} is {_LEAST[name]} at least.")
    if not _LEAST_MB <= load.memory_mb <= _MOST_MB:
        raise LoadError(f"--memory-mb is {_LEAST_MB} to {_MOST_MB}, and not {load.memory_mb}.")
    return load


class _Month(Struct, frozen=True):
    """The load as quantities of a month, and sizes."""

    load: Load
    requests: float
    hits: float
    misses: float
    stored: float
    busy_s: float
    """Seconds of executions."""
    answer_mb: float
    units: int
    """Requests that one answer is billed as."""
    row_kb: int
    """Of a cached answer in the table."""
    gb: float
    """Of memory."""
    starts: float


def _month(load: Load) -> _Month:
    requests = load.rps * SECONDS
    hits = requests * load.cache_hit
    misses = requests - hits
    share = (1.0 if load.cache_hit else 0.0) if load.stored is None else load.stored
    size = max(STREAMED_KB_A_SECOND * load.seconds, 1.0)
    kilobytes = size if load.answer_kb is None else load.answer_kb
    busy = hits * HIT_S + misses * (load.seconds + OVERHEAD_S)
    return _Month(
        load=load,
        requests=requests,
        hits=hits,
        misses=misses,
        stored=misses * share,
        busy_s=busy,
        answer_mb=kilobytes / 1024,
        units=max(math.ceil(kilobytes / 1024 / MB_A_REQUEST), 1),
        row_kb=max(math.ceil(kilobytes / COMPRESSED), 1),
        gb=load.memory_mb / 1024,
        starts=_starts(load.rps, busy / SECONDS) * SECONDS,
    )


def _starts(rps: float, concurrency: float) -> float:
    """A second: a process is started where none is left, and again when it has grown old."""
    if rps * IDLE_S < 1:
        return rps
    return min(rps, max(concurrency, 1.0) / LIFE_S)


def estimate(load: Load) -> Estimate:
    """LoadError where the load cannot be."""
    month = _month(check(load))
    groups = (_gateway, _functions, _snapshots, _table, _secrets, _logs, _metrics, _network)
    lines = [line for group in groups for line in group(month)]
    return Estimate(
        load=load,
        requests=month.requests,
        concurrency=month.busy_s / SECONDS,
        starts=month.starts,
        lines=(*lines, *_optional(month)),
    )


def _only(
    service: str, what: str, unit: str, price: float, units: float, unpaid: float = 0.0
) -> Line:
    """A line that costs nothing at rest."""
    return Line(
        service=service,
        what=what,
        unit=unit,
        price=price,
        at_rest=0.0,
        with_load=units,
        unpaid=unpaid,
    )


def _always(
    service: str, what: str, unit: str, price: float, units: float, unpaid: float = 0.0
) -> Line:
    """A line that costs the same whatever is asked."""
    return replace(_only(service, what, unit, price, units, unpaid), at_rest=units)


def _gateway(month: _Month) -> list[Line]:
    more = month.requests * (month.units - 1)
    return [
        _only("API Gateway", "requests", "million", 3.50, month.requests / MILLION),
        _only("API Gateway", "answers beyond 10 MB", "million", 3.50, more / MILLION),
    ]


def _functions(month: _Month) -> list[Line]:
    long = max(month.answer_mb - MB_UNBILLED, 0.0) * month.requests / 1024
    work = month.busy_s * month.gb
    starts = 0.0 if month.load.snapstart else month.starts * START_S * month.gb
    return [
        _only("Lambda", "requests", "million", 0.20, month.requests / MILLION, 1.0),
        _only("Lambda", "execution (arm64)", "GB-s", 1.33334e-5, work, 400_000.0),
        *([_only("Lambda", "cold starts", "GB-s", 1.33334e-5, starts)] if starts else ()),
        _only("Lambda", "streamed beyond 6 MB", "GB", 0.008, long, 100.0),
    ]


def _snapshots(month: _Month) -> list[Line]:
    load = month.load
    if not load.snapstart:
        return []
    kept = (month.gb + (ADMIN_MB / 1024 if load.admin else 0.0)) * load.regions
    return [
        _always(SNAPSTART, "snapshots kept", "GB-s", 1.5046e-6, kept * SECONDS),
        _only(SNAPSTART, "restored", "GB", 1.397998e-4, month.starts * month.gb),
    ]


def _table(month: _Month) -> list[Line]:
    # The caller's key and the endpoints' health, half a unit each; an absent row is half a unit.
    found = max(math.ceil(month.row_kb / 4), 1) * 0.5
    reads = month.requests + month.hits * found + month.misses * 0.5
    regions = month.load.regions
    writes = month.stored * month.row_kb * regions
    kept = month.stored / SECONDS * KEPT_S * month.row_kb / MILLION * regions
    return [
        _only("DynamoDB", "reads", "million", 0.125, reads / MILLION),
        _only("DynamoDB", "writes", "million", 0.625, writes / MILLION),
        _only("DynamoDB", "storage", "GB", 0.25, kept, 25.0),
        _only("DynamoDB", "point-in-time recovery", "GB", 0.20, kept),
    ]


def _secrets(month: _Month) -> list[Line]:
    load = month.load
    # Each process asks anew once a minute for each organisation that it answers for.
    calls = min(month.busy_s / 60 * load.organisations, month.requests)
    number = float(load.organisations * load.regions)
    return [
        _always("Secrets Manager", "secrets", "secret", 0.40, number),
        _only("Secrets Manager", "calls", "million", 5.0, calls / MILLION),
    ]


def _logs(month: _Month) -> list[Line]:
    written = month.requests * KB_LOGGED / MILLION
    kept = written * month.load.log_days * 24 / HOURS
    return [
        _only("CloudWatch", "logs written", "GB", 0.50, written, 5.0),
        _only("CloudWatch", "logs kept", "GB", 0.03, kept),
    ]


def _metrics(month: _Month) -> list[Line]:
    load = month.load
    said = float(METRICS * load.regions) if month.requests else 0.0
    lines = [_only("CloudWatch", "metrics", "metric", 0.30, said, 10.0)]
    if load.alarms:
        number = float(ALARMS * load.regions)
        lines.append(_always("CloudWatch", "alarms", "alarm", 0.10, number, 10.0))
    if load.dashboard:
        number = float(DASHBOARDS * load.regions)
        lines.append(_always("CloudWatch", "dashboard", "dashboard", 3.00, number, 3.0))
    return lines


def _network(month: _Month) -> list[Line]:
    answers = month.requests * month.answer_mb / 1024
    asked = month.misses * month.load.request_kb / MILLION
    return [
        _only("Data transfer", "answers to callers", "GB", 0.09, answers, 100.0),
        _only("Data transfer", "requests to providers", "GB", 0.09, asked),
    ]


def _optional(month: _Month) -> list[Line]:
    load = month.load
    return [
        *(_firewall(month) if load.waf else ()),
        *(_traces(month) if load.tracing else ()),
        *(_nat(month) if load.nat_gateways else ()),
        *(_between(month) if load.regions > 1 else ()),
        *(_sessions(load) if load.realtime_minutes else ()),
    ]


def _firewall(month: _Month) -> list[Line]:
    regions = float(month.load.regions)
    return [
        _always("WAF", "firewall", "firewall", 5.00, regions),
        _always("WAF", "rules", "rule", 1.00, FIREWALL_RULES * regions),
        _only("WAF", "requests", "million", 0.60, month.requests / MILLION),
    ]


def _traces(month: _Month) -> list[Line]:
    # One a second, and 5 % of those beyond it.
    rps = month.load.rps
    traced = (min(rps, 1.0) + max(rps - 1.0, 0.0) * 0.05) * SECONDS
    return [_only("X-Ray", "traces", "million", 5.00, traced / MILLION, 0.1)]


def _nat(month: _Month) -> list[Line]:
    through = month.misses * (month.answer_mb / 1024 + month.load.request_kb / MILLION)
    number = month.load.nat_gateways * month.load.regions * HOURS
    return [
        _always("NAT gateways", "hours", "hour", 0.045, number),
        _only("NAT gateways", "to and from providers", "GB", 0.045, through),
    ]


def _between(month: _Month) -> list[Line]:
    copied = month.stored * month.row_kb / MILLION * (month.load.regions - 1)
    return [_only("Data transfer", "between regions", "GB", 0.02, copied)]


def _sessions(load: Load) -> list[Line]:
    """Realtime sessions in which the client's sound is on all the time; less is said, less paid."""
    minutes = load.realtime_minutes
    seconds = minutes * 60
    kilobytes = SPOKEN_FRAMES * SPOKEN_KB
    near, all_of_it = math.ceil(0.3 * kilobytes / 4), math.ceil(2 * kilobytes / 4)
    reads = (SPOKEN_READS - SPOKEN_THOROUGH) * near + SPOKEN_THOROUGH * all_of_it
    messages = seconds * (SPOKEN_FRAMES + SPOKEN_POSTS)
    return [
        _only("Realtime", "messages", "million", 1.00, messages / MILLION),
        _only("Realtime", "connections", "million minutes", 0.25, minutes / MILLION),
        _only("Realtime", "execution (arm64)", "GB-s", 1.33334e-5, seconds * 0.5),
        _only("Realtime", "reads", "million", 0.125, seconds * reads / MILLION),
        _only("Realtime", "writes", "million", 0.625, seconds * kilobytes / MILLION),
    ]
