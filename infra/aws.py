"""The AWS keys of this process: from its environment, or from the container it runs in.

A Lambda that starts from a snapshot (SnapStart) has no keys in its
environment: they would be those of the moment the snapshot was taken. It asks
at AWS_CONTAINER_CREDENTIALS_FULL_URI instead, and asks again before they expire.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from core.errors import CutwaterError, UnavailableError
from core.ports import Clock, Outgoing, Upstream
from core.sigv4 import AwsKeys
from infra.once import Once

_EARLY_S: Final = 300.0
"""Keys are replaced this long before they expire."""

_CONTAINER_HOST: Final = "http://169.254.170.2"
_NONE: Final = (
    "This process has no AWS keys: give it a role, or the environment variables "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
)


class _Answer(Struct):
    access_key: str = msgspec.field(name="AccessKeyId")
    secret_key: str = msgspec.field(name="SecretAccessKey")
    token: str | None = msgspec.field(name="Token", default=None)
    expiration: str | None = msgspec.field(name="Expiration", default=None)

    def __repr__(self) -> str:
        return "<_Answer>"


class Process:
    """core.ports.AwsProcess."""

    def __init__(self, environment: Mapping[str, str], upstream: Upstream, clock: Clock) -> None:
        self._environment = environment
        self._upstream = upstream
        self._clock = clock
        self._once: Once[AwsKeys] = Once(clock)

    def __repr__(self) -> str:
        return "<Process>"

    @property
    def region(self) -> str | None:
        found = self._environment
        return found.get("AWS_REGION") or found.get("AWS_DEFAULT_REGION") or None

    async def keys(self, *, refused: AwsKeys | None = None) -> AwsKeys:
        """UnavailableError where there are none."""
        found = self._environment
        access, secret = found.get("AWS_ACCESS_KEY_ID"), found.get("AWS_SECRET_ACCESS_KEY")
        if access and secret:
            return AwsKeys(
                access_key=access,
                secret_key=secret,
                session_token=found.get("AWS_SESSION_TOKEN") or None,
            )
        if refused is not None:
            self._once.forget("container", refused)
        return await self._once.get("container", self._ask)

    async def _ask(self) -> tuple[AwsKeys, float]:
        request = Outgoing(
            method="GET",
            url=self._container(),
            headers=await self._proof(),
            body=b"",
            connect_s=2.0,
            first_byte_s=5.0,
            idle_s=5.0,
            total_s=10.0,
        )
        try:
            async with self._upstream.send(request) as reply:
                body, status = await reply.read(), reply.status
        except CutwaterError as error:
            raise UnavailableError("The AWS keys of this process could not be fetched.") from error
        if status != 200:
            raise UnavailableError(f"AWS refused to give this process its keys ({status}).")
        try:
            answer = msgspec.json.decode(body, type=_Answer)
            until = self._until(answer.expiration)
        except (ValueError, OverflowError, RecursionError):
            # Without its cause: a decoder's message would quote what it read.
            raise UnavailableError("AWS gave this process no keys that can be read.") from None
        keys = AwsKeys(
            access_key=answer.access_key,
            secret_key=answer.secret_key,
            session_token=answer.token,
        )
        return keys, until

    def _until(self, expiration: str | None) -> float:
        if expiration is None:
            return self._clock.now() + _EARLY_S
        return datetime.fromisoformat(expiration).timestamp() - _EARLY_S

    def _container(self) -> str:
        found = self._environment
        if relative := found.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
            return _CONTAINER_HOST + relative
        if full := found.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
            return full
        raise UnavailableError(_NONE)

    async def _proof(self) -> dict[str, str]:
        """The token that the container's host asks for; a file's may change at any time."""
        token = self._environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        if file := self._environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            token = (await asyncio.to_thread(Path(file).read_text)).strip()
        return {"authorization": token} if token else {}
