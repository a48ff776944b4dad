"""One line a request, of which CloudWatch makes the metrics of template.yaml.

Nothing of the request is in it but its method: a path names models, a query may hold a key.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

from core.ports import Log

FIELDS: Final = {
    b"x-request-id": "request_id",
    b"x-bt-cached": "cached",
    b"x-bt-used-endpoint": "endpoint",
}


class RequestLog:
    """`cold` is said of the first request of a process: it waited for the start."""

    def __init__(self, log: Log, now: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._now = now
        self._cold = True

    def begin(self, method: str) -> "Line":
        cold, self._cold = self._cold, False
        return Line(self._log, self._now, method, cold=cold)

    def restored(self) -> None:
        """From a snapshot: what it holds of an earlier process does not count."""
        self._cold = True


class Line:
    def __init__(self, log: Log, now: Callable[[], float], method: str, *, cold: bool) -> None:
        self._log = log
        self._now = now
        self._began = now()
        self._fields: dict[str, object] = {"method": method, "cold": cold}
        self._bytes = 0

    def head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        found = {name: value.decode("latin-1") for name, value in headers}
        self._fields |= {"status": status, "class": _class(status)}
        self._fields |= {said: found[name] for name, said in FIELDS.items() if name in found}

    def chunk(self, size: int) -> None:
        if not self._bytes:
            self._fields["first_byte_ms"] = self._elapsed()
        self._bytes += size

    def end(self, *, complete: bool) -> None:
        """`cut`: the client did not get all of it."""
        total = {"total_ms": self._elapsed(), "bytes": self._bytes, "cut": not complete}
        self._log.info("request", **self._fields, **total)

    def _elapsed(self) -> int:
        return round((self._now() - self._began) * 1000)


def _class(status: int) -> str:
    return "429" if status == 429 else f"{status // 100}xx"
