"""Log lines."""

import io

import msgspec
import pytest

from infra.log import JsonLog
from tests.fakes import NOW, FakeClock


def test_each_line_is_one_json_object():
    stream = io.StringIO()
    log = JsonLog(FakeClock(), stream)
    log.warning("first", count=1)
    log.error("second", text="two\nlines", at=["a", "b"])
    assert [msgspec.json.decode(line) for line in stream.getvalue().splitlines()] == [
        {"time": NOW, "level": "warning", "event": "first", "count": 1},
        {"time": NOW, "level": "error", "event": "second", "text": "two\nlines", "at": ["a", "b"]},
    ]


def test_without_a_stream_it_goes_to_standard_error(capsys: pytest.CaptureFixture[str]):
    JsonLog(FakeClock()).warning("told")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert msgspec.json.decode(captured.err)["event"] == "told"
