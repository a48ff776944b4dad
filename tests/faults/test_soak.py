"""The soak for twenty seconds: no lie, no hang, nothing left behind. Memory needs the long one."""

import sys

import pytest

from tests.faults.soak import Load, Report, soak, table

SHORT = Load(seconds=20.0, clients=32, most_growth=None)


@pytest.mark.skipif(sys.platform != "linux", reason="What a process holds is read from /proc.")
@pytest.mark.timeout(120)
async def test_a_short_soak_leaves_nothing_behind_and_tells_no_lie() -> None:
    report = await soak(SHORT)
    assert report.breaches(SHORT.most_growth) == [], table(report, SHORT)


@pytest.mark.parametrize(
    ("changes", "breach"),
    [
        ({"lies": ["short"]}, "a lie"),
        ({"hung": 1}, "hung"),
        ({"before": {"tasks": 3}, "after": {"tasks": 9}}, "tasks"),
        ({"growth": 0.06}, "memory"),
    ],
)
def test_a_breach_is_seen(changes: dict[str, object], breach: str) -> None:
    report = Report()
    report.ends["complete 200"] = 1
    assert report.breaches(0.05) == []
    for name, value in changes.items():
        setattr(report, name, value)
    (found,) = report.breaches(0.05)
    assert breach in found
