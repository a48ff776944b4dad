"""What the doctor sees of AWS: each answer read, each refusal told by its code alone."""

from datetime import UTC, datetime
from typing import Any

import pytest

from core.checks import FunctionSeen, Identity, TableSeen, ThrottleSeen, Trouble
from handlers.doctor_aws import BURST, CONCURRENCY, RATE, Aws, Parameters, _skew

pytest.importorskip("boto3")
from botocore.exceptions import ClientError, EndpointConnectionError

DENIED = ClientError(
    {"Error": {"Code": "AccessDeniedException", "Message": "sentinel may not"}}, "Any"
)
AWAY = EndpointConnectionError(endpoint_url="https://sentinel")


class Client:
    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers = answers

    def __getattr__(self, name: str) -> Any:
        def call(**asked: str) -> Any:
            answer = self._answers.get(name, DENIED)
            answer = answer(asked) if callable(answer) else answer
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


class Session:
    """boto3's, as far as it is asked: service -> operation -> answer."""

    def __init__(self, **services: dict[str, Any]) -> None:
        self._services = services

    def client(self, name: str) -> Client:
        return Client(self._services.get(name.replace("-", "_"), {}))


def quotas(known: dict[tuple[str, str], float]) -> dict[str, Any]:
    def answer(asked: dict[str, str]) -> Any:
        value = known.get((asked["ServiceCode"], asked["QuotaCode"]))
        return DENIED if value is None else {"Quota": {"Value": value}}

    return {"get_service_quota": answer}


def test_who_asks_and_how_late_it_is():
    said = {"Account": "123", "Arn": "arn:x"}
    who, skew = Aws(Session(sts={"get_caller_identity": said})).identity()
    assert who == Identity("123", "arn:x")
    assert skew == Trouble("AWS gave no time")
    who, skew = Aws(Session(sts={"get_caller_identity": AWAY})).identity()
    assert who == Trouble("sts could not be asked (EndpointConnectionError)")


NOW = datetime(2026, 11, 24, 4, 0, 30, tzinfo=UTC)
DATES: list[tuple[dict[str, str], Any]] = [
    ({"date": "Tue, 24 Nov 2026 04:00:00 GMT"}, 30.0),
    ({"Date": "Tue, 24 Nov 2026 04:01:00 GMT"}, -30.0),
    ({"date": "yesterday"}, Trouble("AWS gave no time")),
    ({"date": "Tue, 24 Nov 2026 04:00:00 -0000"}, Trouble("AWS gave no time")),
    ({}, Trouble("AWS gave no time")),
]


@pytest.mark.parametrize(("headers", "skew"), DATES)
def test_the_clock_is_compared_with_the_date_of_an_answer(headers: dict[str, str], skew: Any):
    assert _skew(headers, lambda: NOW) == skew


def test_the_parameters_that_quotas_depend_on():
    parameters = {"ReservedConcurrency": "50", "ThrottleRate": "2000"}
    said = [{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()]
    stack = {"StackStatus": "UPDATE_COMPLETE", "Parameters": said}
    aws = Aws(Session(cloudformation={"describe_stacks": {"Stacks": [stack]}}))
    assert aws.parameters("mine") == Parameters("UPDATE_COMPLETE", 50, 2000.0)
    aws = Aws(Session(cloudformation={"describe_stacks": {"Stacks": [{}]}}))
    assert aws.parameters("mine") == Parameters("unknown", None, None)


def test_a_table_and_a_function_as_they_are():
    table = {
        "TableStatus": "ACTIVE",
        "KeySchema": [{"AttributeName": "pk"}, {"AttributeName": "sk"}],
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
        "Replicas": [{"RegionName": "eu-west-1"}],
    }
    live = {
        "State": "Active",
        "MemorySize": 512,
        "SnapStart": {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"},
    }
    expiry = {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
    aws = Aws(
        Session(
            dynamodb={"describe_table": {"Table": table}, "describe_time_to_live": expiry},
            **{"lambda": {"get_function_configuration": live}},
        )
    )
    assert aws.table("t") == TableSeen(
        status="ACTIVE", keys=("pk", "sk"), billing="on demand", replicas=("eu-west-1",)
    )
    assert aws.expiry("t") == ("DISABLED", "")
    assert aws.function("f") == FunctionSeen(state="Active", memory_mb=512, snapshot="On")


def test_quotas_come_from_service_quotas():
    known = {CONCURRENCY: 1000.0, RATE: 10_000.0, BURST: 5000.0}
    aws = Aws(Session(service_quotas=quotas(known)))
    assert aws.concurrency() == 1000.0
    assert aws.throttle() == ThrottleSeen(rate=10_000.0, burst=5000.0)


def test_without_that_right_the_services_themselves_are_asked():
    limit = {"AccountLimit": {"ConcurrentExecutions": 10}}
    throttled = {"throttleSettings": {"rateLimit": 10.0, "burstLimit": 5}}
    aws = Aws(
        Session(
            service_quotas=quotas({RATE: 1.0}),
            apigateway={"get_account": throttled},
            **{"lambda": {"get_account_settings": limit}},
        )
    )
    assert aws.concurrency() == 10.0
    assert aws.throttle() == ThrottleSeen(rate=10.0, burst=5.0)


def test_a_refusal_is_told_by_its_code_and_quotes_nothing():
    aws = Aws(Session())
    refused = [
        aws.parameters("s"),
        aws.table("t"),
        aws.expiry("t")[0],
        aws.function("f"),
        aws.concurrency(),
        aws.throttle(),
    ]
    assert all(isinstance(one, Trouble) for one in refused)
    assert "AccessDeniedException" in repr(refused)
    assert "sentinel" not in repr(refused)
    assert repr(aws) == "<Aws>"
