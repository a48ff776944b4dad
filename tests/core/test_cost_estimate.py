"""The monthly cost of a load: each line is a quantity times a list price."""

import math
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import cost_estimate
from core.cost_estimate import SECONDS, Estimate, Line, Load, LoadError, estimate

TEMPLATE = (Path(__file__).parents[2] / "template.yaml").read_text()
MONTH = 2_628_000
"""Seconds: one request a second is so many a month."""


def of(**load: Any) -> Estimate:
    return estimate(Load(**{"rps": 1.0, "seconds": 2.0, **load}))


def line(found: Estimate, service: str, what: str) -> Line:
    (only,) = [one for one in found.lines if (one.service, one.what) == (service, what)]
    return only


def test_a_month_has_730_hours():
    assert SECONDS == MONTH
    assert of(rps=1).requests == MONTH


BY_HAND = [
    # 0.7 x 2.08 s + 0.3 x 0.05 s, at half a gigabyte.
    ("Lambda", "execution (arm64)", MONTH * (0.7 * 2.08 + 0.3 * 0.05) * 0.5 * 1.33334e-5),
    ("Lambda", "requests", 2.628 * 0.20),
    ("API Gateway", "requests", 2.628 * 3.50),
    ("API Gateway", "answers beyond 10 MB", 0.0),
    # The key's row and the health rows, and the cached one: 3 KB, one unit of 4 KB.
    ("DynamoDB", "reads", 2.628 * 1.5 * 0.125),
    # 70 % are not found and written: 10 KB, 4 times smaller.
    ("DynamoDB", "writes", 2.628 * 0.7 * 3 * 0.625),
    ("DynamoDB", "storage", 0.7 * 604_800 * 3 / 1e6 * 0.25),
    ("Secrets Manager", "secrets", 0.40),
    ("Secrets Manager", "calls", MONTH * (0.7 * 2.08 + 0.3 * 0.05) / 60 / 1e6 * 5),
    ("Lambda SnapStart", "snapshots kept", MONTH * 1.0 * 1.5046e-6),
    ("CloudWatch", "logs written", 2.628 * 0.9 * 0.50),
    ("CloudWatch", "metrics", 12 * 0.30),
    ("CloudWatch", "alarms", 0.70),
    ("CloudWatch", "dashboard", 3.00),
    ("Data transfer", "answers to callers", MONTH * 10 / 1024 / 1024 * 0.09),
    ("Data transfer", "requests to providers", 2.628 * 0.7 * 8 * 0.09),
]


@pytest.mark.parametrize(("service", "what", "usd"), BY_HAND)
def test_each_line_is_what_one_gets_by_hand(service: str, what: str, usd: float):
    assert line(of(cache_hit=0.3), service, what).usd == pytest.approx(usd, rel=0.001)


def test_a_20_s_stream_costs_what_the_design_says_per_million():
    found = of(seconds=20, stored=0)
    waiting = line(found, "Lambda", "execution (arm64)").usd / found.requests * 1e6
    assert waiting == pytest.approx(133.87, abs=0.01)
    assert found.million_usd == pytest.approx(152.84, rel=0.05)


def test_at_rest_only_secrets_snapshots_alarms_and_the_dashboard_are_paid():
    found = of(rps=0)
    paid = {(one.service, one.what) for one in found.lines if one.usd}
    assert paid == {
        ("Lambda SnapStart", "snapshots kept"),
        ("Secrets Manager", "secrets"),
        ("CloudWatch", "alarms"),
        ("CloudWatch", "dashboard"),
    }
    assert found.usd == found.rest_usd
    assert found.million_usd is None
    # Of a single stack in an account, the secret and the snapshots.
    assert found.usd - found.unpaid_rest_usd == pytest.approx(0.40 + 3.954, abs=0.001)


def test_without_snapshots_alarms_and_dashboard_a_secret_is_all_that_is_paid_at_rest():
    found = of(rps=0, snapstart=False, alarms=False, dashboard=False)
    assert [one.what for one in found.lines if one.usd] == ["secrets"]
    assert found.usd == pytest.approx(0.40)


def test_without_snapshots_each_start_is_paid_for_instead():
    found = of(snapstart=False)
    assert found.starts == of().starts > 0
    paid = line(found, "Lambda", "cold starts")
    assert paid.usd == pytest.approx(found.starts * 0.5 * 0.5 * 1.33334e-5)
    assert not [one for one in found.lines if one.service == cost_estimate.SNAPSTART]


OPTIONS: list[tuple[dict[str, Any], float]] = [
    ({"waf": True}, 7.00 + 2.628 * 0.60),
    ({"tracing": True}, 2.628 * 5),
    ({"nat_gateways": 1}, 730 * 0.045 + MONTH * (10 / 1024 / 1024 + 8e-6) * 0.045),
    ({"organisations": 3}, 0.80 + 2 * MONTH * 2.08 / 60 / 1e6 * 5),
    ({"realtime_minutes": 1000}, 0.9 + 0.00025 + 0.4 + 1.56 + 2.625),
    ({"alarms": False}, -0.70),
    ({"dashboard": False}, -3.00),
    ({"admin": False}, -MONTH * 0.5 * 1.5046e-6),
    ({"regions": 2}, 0.40 + 0.70 + 3.00 + 3.60 + MONTH * 1.5046e-6),
]


@pytest.mark.parametrize(("option", "usd"), OPTIONS)
def test_an_option_costs_what_it_adds(option: dict[str, Any], usd: float):
    assert of(**option).usd - of().usd == pytest.approx(usd, rel=0.001, abs=0.001)


def test_regions_write_everything_as_often_as_there_are_regions():
    one, two = of(cache_hit=0.5), of(cache_hit=0.5, regions=2)
    for what in ("writes", "storage"):
        assert line(two, "DynamoDB", what).usd == 2 * line(one, "DynamoDB", what).usd
    assert line(two, "Data transfer", "between regions").usd > 0


def test_an_answer_is_billed_as_a_request_for_each_10_mb():
    for megabytes, more in ((10, 0), (11, 1), (45, 4)):
        found = of(answer_kb=megabytes * 1024)
        assert line(found, "API Gateway", "answers beyond 10 MB").with_load == more * 2.628
    assert line(found, "Lambda", "streamed beyond 6 MB").with_load == MONTH * 39 / 1024


def test_processes_are_restored_at_each_request_where_there_are_few():
    rare = of(rps=0.001)
    assert line(rare, "Lambda SnapStart", "restored").with_load == pytest.approx(
        rare.requests * 0.5
    )
    often = line(of(rps=100), "Lambda SnapStart", "restored").with_load
    assert often == pytest.approx(208 / 7200 * MONTH * 0.5)


def test_concurrency_is_rate_times_time():
    assert of(rps=50, seconds=20).concurrency == pytest.approx(50 * 20.08)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"rps": -1}, "--rps is a number of 0 or more, and not -1."),
    ({"rps": math.nan}, "--rps is a number of 0 or more"),
    ({"seconds": math.inf}, "--seconds is a number of 0 or more"),
    ({"seconds": 901}, "--seconds is 900 at most"),
    ({"cache_hit": 30}, "--cache-hit is a share between 0 and 1, and not 30."),
    ({"stored": 1.1}, "--stored is a share"),
    ({"memory_mb": 64}, "--memory-mb is 128 to 10240"),
    ({"organisations": 0}, "--organisations is 1 at least"),
    ({"regions": 0}, "--regions is 1 at least"),
    ({"answer_kb": 1e9}, "--answer-kb is 204800 at most"),
]


@pytest.mark.parametrize(("load", "words"), BAD)
def test_a_load_that_cannot_be_is_refused_by_the_name_of_its_option(
    load: dict[str, Any], words: str
):
    with pytest.raises(LoadError, match=re.escape(words)):
        of(**load)


LOADS = st.builds(
    Load,
    rps=st.floats(0, 1e5),
    seconds=st.floats(0, 900),
    cache_hit=st.floats(0, 1),
    stored=st.none() | st.floats(0, 1),
    answer_kb=st.none() | st.floats(0, 200_000),
    memory_mb=st.integers(128, 10_240),
    organisations=st.integers(1, 1000),
    regions=st.integers(1, 3),
    waf=st.booleans(),
    tracing=st.booleans(),
    nat_gateways=st.integers(0, 3),
    snapstart=st.booleans(),
    alarms=st.booleans(),
    dashboard=st.booleans(),
)


@given(LOADS)
def test_no_load_is_paid_back_and_none_is_cheaper_than_rest(load: Load):
    found = estimate(load)
    for one in found.lines:
        assert 0 <= one.at_rest <= one.with_load
        assert 0 <= one.unpaid_usd <= one.usd
    assert found.usd >= found.rest_usd
    assert math.isfinite(found.usd)


@given(LOADS, st.floats(0.01, 0.99))
def test_more_hits_never_execute_longer(load: Load, share: float):
    fewer = estimate(msgspec.structs.replace(load, cache_hit=0, seconds=max(load.seconds, 1)))
    more = estimate(msgspec.structs.replace(load, cache_hit=share, seconds=max(load.seconds, 1)))
    assert more.concurrency <= fewer.concurrency


def _template(kind: str) -> int:
    return len(re.findall(rf"^    Type: {kind}$", TEMPLATE, re.MULTILINE))


def test_the_template_has_the_metrics_alarms_and_functions_that_are_counted():
    classes = 4  # 2xx, 4xx, 429, 5xx: one filter, four metrics.
    assert _template("AWS::Logs::MetricFilter") - 1 + classes == cost_estimate.METRICS
    assert _template("AWS::CloudWatch::Alarm") == cost_estimate.ALARMS
    assert _template("AWS::CloudWatch::Dashboard") == cost_estimate.DASHBOARDS
    firewall = TEMPLATE.partition("  Firewall:\n")[2].partition("  FirewallOfApi:")[0]
    assert firewall.count("- Name: ") == cost_estimate.FIREWALL_RULES
    assert f"MemorySize: {cost_estimate.ADMIN_MB}" in TEMPLATE
