"""One JSON object a line, on standard error: what CloudWatch and a terminal can both read."""

import sys
from typing import TextIO

import msgspec

from core.ports import Clock


class JsonLog:
    def __init__(self, clock: Clock, stream: TextIO | None = None) -> None:
        self._clock = clock
        self._stream = stream

    def info(self, event: str, **fields: object) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        line = {"time": self._clock.now(), "level": level, "event": event, **fields}
        stream = self._stream or sys.stderr
        stream.write(msgspec.json.encode(line).decode() + "\n")
        stream.flush()
