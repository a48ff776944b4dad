"""What the doctor makes of what was seen: a table of observations and verdicts."""

from typing import Any

import pytest

from core import checks
from core.checks import (
    Answer,
    Check,
    Expected,
    FileSeen,
    FolderSeen,
    FunctionSeen,
    Identity,
    OrgSeen,
    TableSeen,
    ThrottleSeen,
    Trouble,
)

TROUBLE = Trouble("dynamodb answered AccessDeniedException")
OUTPUTS = {"Url": "https://x/v1", "TableName": "t", "SecretsPrefix": "p", "ProxyFunctionName": "f"}
LOAD = Expected(10, 20)


def table(**changes: Any) -> TableSeen:
    usual = {"status": "ACTIVE", "keys": ("pk", "sk"), "billing": "on demand"}
    return TableSeen(**{**usual, **changes})


def function(**changes: Any) -> FunctionSeen:
    return FunctionSeen(**{"state": "Active", "memory_mb": 512, "snapshot": "On", **changes})


def answer(*arrivals: float, status: int = 200, **more: Any) -> Answer:
    return Answer(status=status, arrivals=arrivals, **more)


LIVE = (2.0, 2.5, 3.0, 3.5, 4.0)

AWS: list[tuple[Check, str, str]] = [
    (checks.credentials(Identity("123", "arn:x")), "passed", "arn:x in the account 123"),
    (checks.credentials(TROUBLE), "failed", "aws sso login"),
    (checks.stack("UPDATE_COMPLETE", OUTPUTS), "passed", "https://x/v1"),
    (checks.stack("CREATE_COMPLETE", {"Url": "u"}), "failed", "no output TableName, SecretsPrefix"),
    (checks.stack("UPDATE_IN_PROGRESS", OUTPUTS), "failed", "UPDATE_IN_PROGRESS"),
    (checks.table(table()), "passed", "ACTIVE, on demand"),
    (checks.table(table(replicas=("eu-west-1",))), "passed", "replicas in eu-west-1"),
    (checks.table(table(status="CREATING")), "failed", "CREATING"),
    (checks.table(table(keys=("id",))), "failed", "its key is id"),
    (checks.table(TROUBLE), "failed", "AccessDeniedException"),
    (checks.expiry("ENABLED", "expires_at"), "passed", "expires_at"),
    (checks.expiry("ENABLED", "ttl"), "failed", "on the attribute expires_at"),
    (checks.expiry("DISABLED"), "failed", "TTL is DISABLED"),
    (checks.expiry(TROUBLE), "failed", "dynamodb:DescribeTimeToLive"),
    (checks.function(function()), "passed", "512 MB"),
    (checks.function(function(state="Pending")), "failed", "live is Pending"),
    (checks.function(function(snapshot="Off")), "failed", "SnapStart is Off"),
    (checks.function(TROUBLE), "failed", "lambda:GetFunctionConfiguration"),
]
QUOTAS: list[tuple[Check, str, str]] = [
    (checks.concurrency(1000, None, LOAD), "passed", "1,000 for the account"),
    (checks.concurrency(200, None, LOAD), "passed", "need 200"),
    (checks.concurrency(199, None, LOAD), "failed", "Service Quotas"),
    (checks.concurrency(1000, 100, LOAD), "failed", "ReservedConcurrency"),
    (checks.concurrency(TROUBLE, 300, LOAD), "passed", "300 for this function"),
    (checks.concurrency(TROUBLE, None, LOAD), "skipped", "servicequotas:GetServiceQuota"),
    (checks.throttle(ThrottleSeen(rate=10_000, burst=5000), 2000, LOAD), "passed", "2,000/s for"),
    (checks.throttle(ThrottleSeen(rate=10_000, burst=5000), 9, LOAD), "failed", "ThrottleRate"),
    (checks.throttle(ThrottleSeen(rate=9, burst=5), None, LOAD), "failed", "Service Quotas"),
    (checks.throttle(TROUBLE, 2000, LOAD), "skipped", "apigateway:GET"),
    (checks.clock(0.7), "passed", "within a second"),
    (checks.clock(-30.0), "passed", "30 s behind"),
    (checks.clock(61.0), "failed", "61 s ahead"),
    (checks.clock(-61.0), "failed", "NTP"),
    (checks.clock(Trouble("AWS gave no time")), "skipped", "AWS gave no time"),
]
RUNNING: list[tuple[Check, str, str]] = [
    (checks.health(answer(version="1"), "u", "1", needed=True), "passed", "version 1"),
    (checks.health(answer(version="0.9"), "u", "1", needed=True), "failed", "version 0.9"),
    (checks.health(answer(), "u", "1", needed=True), "failed", "version unknown"),
    (checks.health(answer(status=404), "u", "1", needed=True), "failed", "ends with /v1"),
    (checks.health(TROUBLE, "u", "1", needed=True), "failed", "See that it runs"),
    (checks.health(TROUBLE, "u", "1", needed=False), "skipped", "cutwater serve"),
    (checks.streaming(answer(*LIVE)), "passed", "5 pieces over 2.0 s, at most 0.5 s apart"),
    (checks.streaming(answer(4.0, 4.0, 4.0, 4.0, 4.0)), "failed", "5 pieces over 0.0 s"),
    (checks.streaming(answer(4.0)), "failed", "holds answers back"),
    (checks.streaming(answer(2.0, 4.5)), "failed", "2 pieces"),
    (checks.streaming(answer()), "failed", "0 pieces"),
    (checks.streaming(answer(status=401, code="invalid_api_key")), "failed", "CUTWATER_KEY"),
    (checks.streaming(answer(status=404)), "skipped", "Demo=on"),
    (checks.streaming(answer(status=500)), "failed", "status 500"),
    (checks.streaming(TROUBLE), "failed", "log"),
    (checks.endpoint("acme", "main", "m", answer(0.4)), "passed", "m answered in 0.4 s"),
    (checks.endpoint("acme", "main", "m", answer()), "passed", "m answered in 0.0 s"),
    (checks.endpoint("acme", "main", "m", answer(status=429)), "failed", "quota and its bill"),
    (checks.endpoint("a", "b", "m", answer(status=404, code="x")), "failed", "status 404 (x)"),
    (checks.endpoint("acme", "main", "m", answer(status=418)), "failed", "status page"),
    (checks.endpoint("acme", "main", "m", TROUBLE), "failed", "log"),
]
HERE: list[tuple[Check, str, str]] = [
    (checks.folder(FolderSeen(exists=False), "d"), "skipped", "cutwater serve"),
    (checks.folder(FolderSeen(exists=True), "d"), "failed", "cannot be written"),
    (checks.folder(FolderSeen(exists=True, writable=True), "d"), "passed", "d can be written"),
    (
        checks.folder(FolderSeen(exists=True, writable=True, open_files=("local.key",)), "d"),
        "failed",
        "others may read local.key",
    ),
    (checks.database(FileSeen(exists=False), "f"), "skipped", "first used"),
    (checks.database(FileSeen(exists=True, said="ok", rows=3), "f"), "passed", "3 rows"),
    (checks.database(FileSeen(exists=True, said="SQLite says X"), "f"), "failed", "X"),
]


@pytest.mark.parametrize(("check", "verdict", "words"), [*AWS, *QUOTAS, *RUNNING, *HERE])
def test_an_observation_has_its_verdict_and_says_what_to_do(check: Check, verdict: str, words: str):
    assert check.verdict == verdict
    assert words in f"{check.found} {check.to_do}"
    assert (check.verdict == "failed") <= bool(check.to_do)


def test_each_organisation_is_a_check_of_its_own():
    seen = [OrgSeen(name="a", endpoints=2), OrgSeen(name="b", trouble="at `$.keys`")]
    first, second = checks.organisations(seen, where="here")
    assert (first.name, first.verdict, first.found) == (
        "organisation a",
        "passed",
        "readable, 2 endpoints",
    )
    assert (second.verdict, second.found) == ("failed", "at `$.keys`")


def test_no_organisation_is_nothing_wrong_and_no_access_is():
    assert checks.organisations([], where="here")[0].verdict == "skipped"
    assert checks.organisations(TROUBLE, where="here")[0].verdict == "failed"


def test_what_was_skipped_is_no_failure():
    fine = [checks.passed("a", "x"), checks.skipped("b", "y")]
    assert checks.well(fine)
    assert not checks.well([*fine, checks.failed("c", "z", "do")])
