"""How long a provider asks to be left alone, in every form that providers say it.

Several headers may stand in one reply, and they mean different things: a
`retry-after` is about this request, a reset about one of several limits, of
which most are far from reached. What cannot be read counts as not said.

RFC 9110 10.2.3 (Retry-After), RFC 3339, google.rpc.RetryInfo.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

LONGEST_S: Final = 3600.0
"""What is longer is a daily quota, or a mistake: an endpoint is looked at again after an hour."""

_LONGEST_TEXT: Final = 100
_NUMBER: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,12})?")
_UNITS: Final[Mapping[str, float]] = {
    "d": 86400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 0.001,
    "us": 1e-6,
    "\u00b5s": 1e-6,
    "ns": 1e-9,
}
_PIECE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,12})?)(d|h|ms|us|\u00b5s|ns|m|s)")
_MONTHS: Final = "janfebmaraprmayjunjulaugsepoctnovdec"
_MONTH: Final = {_MONTHS[i * 3 : i * 3 + 3]: i + 1 for i in range(12)}
_DATE: Final = re.compile(
    r"[a-z]{3,9}, ([0-9]{1,2})[ -]([a-z]{3})[ -]([0-9]{2}|[0-9]{4}) "
    r"([0-9]{2}):([0-9]{2}):([0-9]{2}) gmt",
    re.IGNORECASE,
)
_ASCTIME: Final = re.compile(
    r"[a-z]{3} ([a-z]{3}) +([0-9]{1,2}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([0-9]{4})", re.IGNORECASE
)
_IN_WORDS: Final = re.compile(
    r"(?:try again|retry) (?:in|after) "
    r"([0-9][0-9.]{0,12}(?:ms| ?seconds?|[dhms])(?:[0-9.]{1,8}m?s)*)",
    re.IGNORECASE,
)
_EPOCH: Final = 1e9
"""A number this large is a moment, not a length of time."""
_EPOCH_MS: Final = 1e11


def seconds(headers: Mapping[str, str], body: bytes, now: float) -> float | None:
    """From 0 to LONGEST_S; None where nothing is said. Names of headers are in lower case."""
    for found in (_said(headers, now), _in_body(body), _resets(headers, now)):
        if found is not None:
            return min(max(found, 0.0), LONGEST_S)
    return None


def in_words(message: str) -> float | None:
    """What an error inside a stream says: it has no headers of its own."""
    found = _IN_WORDS.search(message[:2000])
    if found is None:
        return None
    said = re.sub(r" ?seconds?", "s", found[1].lower())
    wait = _length(said.rstrip("."))
    return None if wait is None else min(wait, LONGEST_S)


def _said(headers: Mapping[str, str], now: float) -> float | None:
    wait = _number(headers.get("retry-after-ms", ""))
    if wait is not None:
        return wait / 1000
    said = headers.get("retry-after", "").strip()
    return _first(said, now, (_until_epoch, _length, _until_date, _until_3339))


def _first(
    said: str, now: float, readers: Iterable[Callable[[str, float], float | None]]
) -> float | None:
    if not said or len(said) > _LONGEST_TEXT:
        return None
    return next((wait for read in readers if (wait := read(said, now)) is not None), None)


def _number(said: str) -> float | None:
    said = said.strip()
    return float(said) if _NUMBER.fullmatch(said) else None


def _until_epoch(said: str, now: float) -> float | None:
    """A plain number: seconds, or the moment in seconds or milliseconds since 1970."""
    number = _number(said)
    if number is None or number < _EPOCH:
        return number
    return (number / 1000 if number > _EPOCH_MS else number) - now


def _length(said: str, _now: float = 0.0) -> float | None:
    """`6m0s`, `1.5s`, `120ms`, as Go writes them."""
    end, total = 0, 0.0
    for piece in _PIECE.finditer(said):
        if piece.start() != end:
            return None
        end = piece.end()
        total += float(piece[1]) * _UNITS[piece[2]]
    return total if end and end == len(said) else None


def _until_date(said: str, now: float) -> float | None:
    if (date := _DATE.fullmatch(said)) is not None:
        day, month, year, hour, minute, second = date.groups()
    elif (date := _ASCTIME.fullmatch(said)) is not None:
        month, day, hour, minute, second, year = date.groups()
    else:
        return None
    number = int(year)
    if number < 100:  # RFC 850: the year that is not more than 50 years ahead.
        number += 2000 if number < 77 else 1900
    try:
        # A leap second is no time that Python knows.
        at = datetime(
            number,
            _MONTH[month.lower()],
            int(day),
            int(hour),
            int(minute),
            min(int(second), 59),
            tzinfo=UTC,
        )
    except (LookupError, ValueError):
        return None
    return at.timestamp() - now


def _until_3339(said: str, now: float) -> float | None:
    try:
        at = datetime.fromisoformat(said)
        return None if at.tzinfo is None else at.timestamp() - now
    except (ValueError, OverflowError):
        return None


def _resets(headers: Mapping[str, str], now: float) -> float | None:
    """When the limit that is used up is lifted; where none says that it is, the first of them."""
    spent: list[float] = []
    others: list[float] = []
    for name, value in headers.items():
        remaining = _remaining(name)
        if remaining is None:
            continue
        wait = _first(value.strip(), now, (_until_epoch, _length, _until_3339, _until_date))
        if wait is not None:
            left = _number(headers.get(remaining, ""))
            (spent if left == 0 else others).append(max(wait, 0.0))
    if spent:
        return max(spent)
    return min(others, default=None)


def _remaining(name: str) -> str | None:
    """The header beside a reset that says how much is left; None: it is no reset."""
    for prefix in ("x-ratelimit-reset", "ratelimit-reset"):
        if name.startswith(prefix):
            return name.replace("-reset", "-remaining", 1)
    if name.startswith("anthropic-ratelimit-") and name.endswith("-reset"):
        return name.removesuffix("reset") + "remaining"
    return None


def _in_body(body: bytes) -> float | None:
    """Google's RetryInfo. Looked for only where the word stands."""
    if b"retryDelay" not in body:
        return None
    try:
        document: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(document, list) and document:
        document = document[0]
    error = document.get("error") if isinstance(document, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        said = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(said, str) and len(said) <= _LONGEST_TEXT:
            return _length(said.strip())
    return None
