"""What a realtime session does through AWS: speak to API Gateway's clients, start a function.

Signed REST calls over the one HTTP session; without boto3, as everything on this path. A call
that was refused because the keys have expired is made once more with others.
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from typing import Final

from core.errors import CutwaterError
from core.ports import AwsProcess, Clock, ConnectionGoneError, Outgoing, StoreError, Upstream
from core.routes import quote
from core.sigv4 import AwsKeys, Scope, Signer, sign

_GONE: Final = 410
_DONE: Final = frozenset({200, 202, 204})
_EXPIRED: Final = b"expired"


class AwsRest:
    """`base`: where the service is reached, without a slash at its end."""

    def __init__(
        self, service: str, base: str, upstream: Upstream, process: AwsProcess, clock: Clock
    ) -> None:
        self._service = service
        self._base = base.rstrip("/")
        self._upstream = upstream
        self._process = process
        self._clock = clock

    async def send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> int:
        """The status; StoreError where none came."""
        try:
            keys = await self._process.keys()
            status, answer = await self._send(method, path, body, headers or {}, keys)
            if status == 403 and _EXPIRED in answer.lower():
                keys = await self._process.keys(refused=keys)
                status, _ = await self._send(method, path, body, headers or {}, keys)
        except CutwaterError as error:
            raise StoreError(f"AWS ({self._service}) gave no answer.") from error
        return status

    async def _send(
        self, method: str, path: str, body: bytes, headers: dict[str, str], keys: AwsKeys
    ) -> tuple[int, bytes]:
        region = self._process.region
        if region is None:
            raise StoreError("No region is set (AWS_REGION).")
        url = self._base + path
        signer = Signer(keys, Scope(region, self._service))
        told = {"accept-encoding": "identity", **headers}
        request = Outgoing(
            method=method,
            url=url,
            headers=sign(method, url, told, body, signer=signer, now=self._clock.now()),
            body=body,
            connect_s=2.0,
            first_byte_s=5.0,
            idle_s=5.0,
            total_s=10.0,
        )
        async with self._upstream.send(request) as reply:
            return reply.status, await reply.read()


class GatewayConnections:
    """core.ports.Connections."""

    def __init__(self, rest: AwsRest) -> None:
        self._rest = rest

    async def post(self, connection: str, text: str) -> None:
        headers = {"content-type": "application/json"}
        await self._do("POST", connection, text.encode(), headers)

    async def close(self, connection: str) -> None:
        await self._do("DELETE", connection)

    async def _do(
        self, method: str, connection: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        status = await self._rest.send(method, f"/@connections/{quote(connection)}", body, headers)
        if status == _GONE:
            raise ConnectionGoneError
        if status not in _DONE:
            raise StoreError(f"API Gateway answered {method} with the status {status}.")


class LambdaInvoke:
    """core.ports.Invoke. `function`: its name or ARN, with the alias."""

    def __init__(self, rest: AwsRest, function: str) -> None:
        self._rest = rest
        self._path = f"/2015-03-31/functions/{quote(function)}/invocations"

    async def __call__(self, event: bytes) -> None:
        headers = {"content-type": "application/json", "x-amz-invocation-type": "Event"}
        status = await self._rest.send("POST", self._path, event, headers)
        if status not in _DONE:
            raise StoreError(f"Lambda answered with the status {status}.")
