"""Signed calls to an AWS service that speaks JSON (DynamoDB, Secrets Manager), without boto3.

One call is one request, but for keys that have expired: then it is sent once
more with others. Whether to try again is for the caller to say, who knows what
may be done twice. An error tells AWS's code and never its message, which may
quote what was sent.
"""

import re
from typing import Final, Literal

import msgspec
from msgspec import Struct

from core.errors import CutwaterError, UnavailableError, UpstreamTimeoutError
from core.ports import AwsProcess, Clock, Outgoing, Upstream
from core.sigv4 import AwsKeys, Scope, Signer, sign

Trouble = Literal["throttled", "broken", "refused", "silent"]
"""Not done and may be asked again; perhaps done; not done; perhaps done, and time is gone."""

THROTTLED: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
EXPIRED: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
    }
)
_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,99}")


class AwsError(Exception):
    """`code` is AWS's, or a few words of ours."""

    def __init__(self, code: str, trouble: Trouble) -> None:
        super().__init__(code)
        self.code = code
        self.trouble: Trouble = trouble


class Service(Struct, frozen=True):
    name: str
    """As in its signatures and its host, such as `dynamodb`."""
    version: str
    """What stands before the operation in X-Amz-Target, such as `DynamoDB_20120810`."""
    json: str = "1.0"
    """The version of the protocol."""


class _Error(Struct):
    kind: str = msgspec.field(name="__type", default="")


class AwsJson:
    """`endpoint` is where the service is reached if not at its public address."""

    def __init__(
        self,
        service: Service,
        upstream: Upstream,
        process: AwsProcess,
        clock: Clock,
        endpoint: str | None = None,
    ) -> None:
        self._service = service
        self._upstream = upstream
        self._process = process
        self._clock = clock
        self._endpoint = endpoint

    async def call(self, operation: str, body: bytes) -> bytes:
        """The answer's body; AwsError where the operation was not done, or nobody knows."""
        try:
            keys = await self._process.keys()
            try:
                return await self._send(operation, body, keys)
            except AwsError as error:
                if error.code not in EXPIRED:
                    raise
                keys = await self._process.keys(refused=keys)
                return await self._send(operation, body, keys)
        except CutwaterError as error:
            raise AwsError(_why(error), "silent") from error

    async def _send(self, operation: str, body: bytes, keys: AwsKeys) -> bytes:
        url, region = self._where()
        headers = {
            "accept-encoding": "identity",
            "content-type": f"application/x-amz-json-{self._service.json}",
            "x-amz-target": f"{self._service.version}.{operation}",
        }
        signer = Signer(keys, Scope(region, self._service.name))
        request = Outgoing(
            method="POST",
            url=url,
            headers=sign("POST", url, headers, body, signer=signer, now=self._clock.now()),
            body=body,
            connect_s=2.0,
            first_byte_s=5.0,
            idle_s=5.0,
            total_s=20.0,
        )
        async with self._upstream.send(request) as reply:
            answer, status = await reply.read(), reply.status
        if status != 200:
            raise _error(status, answer)
        return answer

    def _where(self) -> tuple[str, str]:
        region = self._process.region
        if region is None:
            raise AwsError("no region is set (AWS_REGION)", "refused")
        if self._endpoint is not None:
            return self._endpoint.rstrip("/") + "/", region
        end = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return f"https://{self._service.name}.{region}.{end}/", region


def _why(error: CutwaterError) -> str:
    """For who reads the log in an outage."""
    if isinstance(error, UnavailableError):
        return "there are no keys for AWS, or none could be had"
    if isinstance(error, UpstreamTimeoutError):
        return "no answer in time"
    return "no connection, or it was cut"


def _error(status: int, answer: bytes) -> AwsError:
    try:
        code = msgspec.json.decode(answer, type=_Error).kind.rpartition("#")[2]
    except ValueError:
        code = ""
    known = _CODE.fullmatch(code) is not None
    said = code if known else f"status {status}"
    if status == 429 or code in THROTTLED:
        return AwsError(said, "throttled")
    return AwsError(said, "broken" if status >= 500 else "refused")
