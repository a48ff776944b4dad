"""What `cutwater doctor --stack` looks at in AWS, with the operator's own rights.

It only reads. What is refused is told by AWS's code for it: its message may
quote what was asked.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import Any, Final, TypeVar

from msgspec import Struct

from core.checks import FunctionSeen, Identity, TableSeen, ThrottleSeen, Trouble

T = TypeVar("T")

CONCURRENCY: Final = ("lambda", "L-B99A9384")
RATE: Final = ("apigateway", "L-8A5B8E43")
BURST: Final = ("apigateway", "L-CDF5615A")
"""Service and code of a quota: https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html"""


class Parameters(Struct, frozen=True):
    """Of the stack, as far as quotas depend on them."""

    status: str
    reserved: int | None
    rate: float | None


class Aws:
    """boto3's session, asked one thing at a time."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._exceptions = import_module("botocore.exceptions")

    def __repr__(self) -> str:
        return "<Aws>"

    def identity(self) -> tuple[Identity | Trouble, float | Trouble]:
        """Who asks; and how far this machine's clock is ahead of AWS's."""
        answer = self._ask("sts", lambda client: client.get_caller_identity())
        if isinstance(answer, Trouble):
            return answer, Trouble("AWS gave no time")
        who = Identity(account=answer["Account"], arn=answer["Arn"])
        return who, _skew(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}))

    def parameters(self, stack: str) -> Parameters | Trouble:
        answer = self._ask("cloudformation", lambda c: c.describe_stacks(StackName=stack))
        if isinstance(answer, Trouble):
            return answer
        found = answer["Stacks"][0]
        said = {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}
        reserved, rate = said.get("ReservedConcurrency", "0"), said.get("ThrottleRate")
        return Parameters(
            status=found.get("StackStatus", "unknown"),
            reserved=int(reserved) or None,
            rate=None if rate is None else float(rate),
        )

    def table(self, name: str) -> TableSeen | Trouble:
        answer = self._ask("dynamodb", lambda client: client.describe_table(TableName=name))
        if isinstance(answer, Trouble):
            return answer
        found = answer["Table"]
        billing = found.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
        return TableSeen(
            status=found["TableStatus"],
            keys=tuple(key["AttributeName"] for key in found["KeySchema"]),
            billing="on demand" if billing == "PAY_PER_REQUEST" else "provisioned",
            replicas=tuple(one["RegionName"] for one in found.get("Replicas", [])),
        )

    def expiry(self, name: str) -> tuple[str | Trouble, str]:
        answer = self._ask("dynamodb", lambda client: client.describe_time_to_live(TableName=name))
        if isinstance(answer, Trouble):
            return answer, ""
        found = answer["TimeToLiveDescription"]
        return found.get("TimeToLiveStatus", "DISABLED"), found.get("AttributeName", "")

    def function(self, name: str) -> FunctionSeen | Trouble:
        answer = self._ask(
            "lambda",
            lambda c: c.get_function_configuration(FunctionName=name, Qualifier="live"),
        )
        if isinstance(answer, Trouble):
            return answer
        return FunctionSeen(
            state=answer.get("State", "Active"),
            memory_mb=answer["MemorySize"],
            snapshot=answer.get("SnapStart", {}).get("OptimizationStatus", "Off"),
        )

    def concurrency(self) -> float | Trouble:
        found = self._quota(*CONCURRENCY)
        if not isinstance(found, Trouble):
            return found
        # Somebody may have the one right and not the other.
        answer = self._ask("lambda", lambda client: client.get_account_settings())
        if isinstance(answer, Trouble):
            return found
        return float(answer["AccountLimit"]["ConcurrentExecutions"])

    def throttle(self) -> ThrottleSeen | Trouble:
        rate, burst = self._quota(*RATE), self._quota(*BURST)
        if not isinstance(rate, Trouble) and not isinstance(burst, Trouble):
            return ThrottleSeen(rate=rate, burst=burst)
        answer = self._ask("apigateway", lambda client: client.get_account())
        if isinstance(answer, Trouble):
            return answer
        found = answer["throttleSettings"]
        return ThrottleSeen(rate=float(found["rateLimit"]), burst=float(found["burstLimit"]))

    def _quota(self, service: str, code: str) -> float | Trouble:
        answer = self._ask(
            "service-quotas",
            lambda client: client.get_service_quota(ServiceCode=service, QuotaCode=code),
        )
        return answer if isinstance(answer, Trouble) else float(answer["Quota"]["Value"])

    def _ask(self, service: str, call: Callable[[Any], T]) -> T | Trouble:
        try:
            return call(self._session.client(service))
        except self._exceptions.ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error")
            return Trouble(f"{service} answered {code}")
        except self._exceptions.BotoCoreError as error:
            return Trouble(f"{service} could not be asked ({type(error).__name__})")


def _skew(headers: dict[str, str], now: Callable[[], datetime] | None = None) -> float | Trouble:
    said = next((value for name, value in headers.items() if name.lower() == "date"), None)
    try:
        there = None if said is None else parsedate_to_datetime(said)
    except ValueError:
        there = None
    if there is None or there.tzinfo is None:
        return Trouble("AWS gave no time")
    here = datetime.now(UTC) if now is None else now()
    return (here - there).total_seconds()
