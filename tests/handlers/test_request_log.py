"""One line a request: how it went, and nothing of what it was about."""

from typing import Any

import pytest

from handlers.http import Entry
from handlers.lambda_stream import Stream
from handlers.request_log import RequestLog
from tests import events
from tests.handlers.lambda_apps import Paths
from tests.stand_ins import Log


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def lines_of(log: Log) -> list[dict[str, Any]]:
    return [fields for event, fields in log.lines if event == "request"]


class Times:
    """A clock that moves by a quarter of a second each time it is asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.25
        return self.now


def test_a_line_says_when_the_first_byte_came_and_when_the_last():
    log = Log()
    line = RequestLog(log, Times()).begin("POST")
    line.head(200, [(b"x-bt-cached", b"MISS"), (b"x-request-id", b"req_1"), (b"set-cookie", b"s")])
    line.chunk(3)
    line.chunk(4)
    line.end(complete=True)
    assert lines_of(log) == [
        {
            "method": "POST",
            "cold": True,
            "status": 200,
            "class": "2xx",
            "cached": "MISS",
            "request_id": "req_1",
            "first_byte_ms": 250,
            "total_ms": 500,
            "bytes": 7,
            "cut": False,
        }
    ]


@pytest.mark.parametrize(
    ("status", "expected"), [(204, "2xx"), (404, "4xx"), (429, "429"), (502, "5xx")]
)
def test_answers_have_few_classes(status: int, expected: str):
    log = Log()
    line = RequestLog(log).begin("GET")
    line.head(status, [])
    line.end(complete=True)
    assert lines_of(log)[0]["class"] == expected


def test_only_the_first_request_of_a_process_is_cold_and_a_restore_makes_it_a_new_one():
    log = Log()
    lines = RequestLog(log)
    for _ in range(2):
        lines.begin("GET").end(complete=True)
    lines.restored()
    lines.begin("GET").end(complete=True)
    assert [line["cold"] for line in lines_of(log)] == [True, False, True]


@pytest.mark.parametrize(
    ("path", "streaming", "cut", "kind"),
    [
        ("/binary", True, False, "2xx"),
        ("/breaks", True, True, "2xx"),
        ("/fails", True, False, "5xx"),
        ("/breaks", False, False, "5xx"),
        ("/binary", False, False, "2xx"),
    ],
)
def test_what_the_client_did_not_get_is_said(path: str, streaming: bool, cut: bool, kind: str):
    log = Log()
    entry = Entry(Paths, streaming=streaming, seams=True, lines=RequestLog(log))
    answer = entry(events.get(path, secret="sk-never"), Context())
    if isinstance(answer, Stream):
        list(answer.frames())
        answer.close()
    entry.stop()
    [line] = lines_of(log)
    assert (line["cut"], line["class"]) == (cut, kind)
    assert "sk-never" not in str(line)
    assert path not in str(line)
