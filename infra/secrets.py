"""The settings of organisations in AWS Secrets Manager: one secret each, its versions kept by AWS.

A secret that was deleted lives on, unreadable, until its recovery window ends:
it counts as absent, and writing it again brings it back. One that has replicas
in other regions cannot be deleted before they are.
https://docs.aws.amazon.com/secretsmanager/latest/apireference/Welcome.html
"""

import asyncio
import random
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, TypeVar
from uuid import uuid4

import msgspec
from msgspec import Struct, field

from core import org_documents
from core.ports import AwsProcess, Clock, Document, StoreError, Upstream
from infra.aws_json import AwsError, AwsJson, Service

T = TypeVar("T")

SECRETS_MANAGER: Final = Service("secretsmanager", "secretsmanager", json="1.1")
RECOVERY_DAYS: Final = 7
"""The shortest that AWS gives: a deleted organisation can be had back for so long."""

READ_PAUSES: Final = (0.05, 0.1)
WRITE_PAUSES: Final = (0.1, 0.3, 1.0)
"""Seconds, each times 0.5 to 1, before asking again; then it is a StoreError."""

_ABSENT: Final = "ResourceNotFoundException"
_EXISTS: Final = "ResourceExistsException"
_DELETED: Final = "InvalidRequestException"
"""What is asked does not fit its state: here, that it is to be deleted."""


class _Value(Struct, frozen=True):
    version: str = field(name="VersionId")
    text: str | None = field(name="SecretString", default=None)
    binary: str | None = field(name="SecretBinary", default=None)

    def __repr__(self) -> str:
        return "<_Value>"


class _Listed(Struct, frozen=True):
    name: str = field(name="Name")
    deleted: float | None = field(name="DeletedDate", default=None)


class _Page(Struct, frozen=True):
    secrets: list[_Listed] = field(name="SecretList")
    next: str | None = field(name="NextToken", default=None)


_encode: Final = msgspec.json.Encoder().encode
_decode_value: Final = msgspec.json.Decoder(_Value).decode
_decode_page: Final = msgspec.json.Decoder(_Page).decode


class _Replica(Struct, frozen=True):
    region: str = field(name="Region")


class _Described(Struct, frozen=True):
    replicas: list[_Replica] = field(name="ReplicationStatus", default_factory=list)


_decode_described: Final = msgspec.json.Decoder(_Described).decode


class Pace(Struct, frozen=True):
    """How it waits before it asks again, and names what it writes."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    draw: Callable[[], float] = random.random
    fresh_id: Callable[[], str] = lambda: str(uuid4())


class SecretsManager:
    """core.ports.Secrets, at `<prefix>/org/<name>`. The connections are `upstream`'s to close."""

    def __init__(  # noqa: PLR0913  what it is, and how it is reached
        self,
        prefix: str,
        upstream: Upstream,
        process: AwsProcess,
        clock: Clock,
        endpoint: str | None = None,
        *,
        pace: Pace | None = None,
        replicas: Sequence[str] = (),
    ) -> None:
        """`replicas`: the regions that every secret is to be readable in, beside this one."""
        self._replicas = tuple(replicas)
        self._prefix = org_documents.secret_prefix(prefix)
        self._service = AwsJson(SECRETS_MANAGER, upstream, process, clock, endpoint)
        self._pace = pace or Pace()

    async def read(self, org: str) -> Document | None:
        name = org_documents.secret_name(self._prefix, org)
        if name is None:
            return None
        try:
            return await self._call("GetSecretValue", {"SecretId": name}, _read, READ_PAUSES)
        except _CallError as failed:
            if failed.code in (_ABSENT, _DELETED):
                return None
            raise

    async def write(self, org: str, body: bytes) -> None:
        name = org_documents.secret_name(self._prefix, org)
        if name is None:
            raise org_documents.unfit_name(org)
        org_documents.check(org, body)
        # Who asks twice with one token has written once.
        value = {"SecretString": body.decode(), "ClientRequestToken": self._pace.fresh_id()}
        try:
            await self._do("PutSecretValue", {"SecretId": name, **value})
        except _CallError as failed:
            if failed.code == _ABSENT:
                await self._create(name, value)
            elif failed.code == _DELETED:
                await self._do("RestoreSecret", {"SecretId": name})
                await self._do("PutSecretValue", {"SecretId": name, **value})
            else:
                raise
        if self._replicas:
            await self._replicate(name)

    async def delete(self, org: str) -> None:
        name = org_documents.secret_name(self._prefix, org)
        if name is None:
            return
        try:
            if self._replicas and (there := await self._replicated(name)):
                body: dict[str, Any] = {"SecretId": name, "RemoveReplicaRegions": there}
                await self._do("RemoveRegionsFromReplication", body)
            body = {"SecretId": name, "RecoveryWindowInDays": RECOVERY_DAYS}
            await self._do("DeleteSecret", body)
        except _CallError as failed:
            if failed.code not in (_ABSENT, _DELETED):
                raise

    async def names(self) -> list[str]:
        query: dict[str, Any] = {
            "Filters": [{"Key": "name", "Values": [self._prefix]}],
            "MaxResults": 100,
        }
        found: set[str] = set()
        while True:
            page = await self._call("ListSecrets", query, _decode_page, WRITE_PAUSES)
            for listed in page.secrets:
                org = org_documents.org_of_secret(self._prefix, listed.name)
                if org is not None and listed.deleted is None:
                    found.add(org)
            if not page.next:
                return sorted(found)
            query = {**query, "NextToken": page.next}

    async def close(self) -> None:
        return

    async def _create(self, name: str, value: dict[str, str]) -> None:
        try:
            await self._do("CreateSecret", {"Name": name, **value})
        except _CallError as failed:
            if failed.code != _EXISTS:
                raise
            # Somebody else made it meanwhile; the later word counts.
            await self._do("PutSecretValue", {"SecretId": name, **value})

    async def _replicate(self, name: str) -> None:
        """A new version goes to the replicas that there are by itself."""
        there = await self._replicated(name)
        if missing := [region for region in self._replicas if region not in there]:
            regions = [{"Region": region} for region in missing]
            await self._do(
                "ReplicateSecretToRegions", {"SecretId": name, "AddReplicaRegions": regions}
            )

    async def _replicated(self, name: str) -> list[str]:
        asked = {"SecretId": name}
        found = await self._call("DescribeSecret", asked, _decode_described, WRITE_PAUSES)
        return [replica.region for replica in found.replicas]

    async def _do(self, operation: str, body: dict[str, Any]) -> None:
        await self._call(operation, body, lambda _answer: None, WRITE_PAUSES)

    async def _call(
        self,
        operation: str,
        body: dict[str, Any],
        read: Callable[[bytes], T],
        waits: Sequence[float],
    ) -> T:
        sent = _encode(body)
        pauses = iter(waits)
        while True:
            try:
                answer = await self._service.call(operation, sent)
            except AwsError as error:
                if error.trouble not in ("throttled", "broken"):
                    raise _CallError(operation, error.code) from error
                await self._wait(operation, error.code, pauses)
                continue
            try:
                return read(answer)
            except ValueError:
                # Without its cause: a decoder's message would quote what it read.
                raise _CallError(operation, "the answer cannot be read") from None

    async def _wait(self, operation: str, why: str, pauses: Iterator[float]) -> None:
        pause = next(pauses, None)
        if pause is None:
            raise _CallError(operation, why)
        await self._pace.sleep(pause * (0.5 + self._pace.draw() / 2))


class _CallError(StoreError):
    def __init__(self, operation: str, code: str) -> None:
        super().__init__(f"Secrets Manager failed at {operation}: {code}.")
        self.code = code


def _read(answer: bytes) -> Document | None:
    value = _decode_value(answer)
    if value.text is not None:
        return Document(value.text.encode(), value.version)
    return Document(b64decode(value.binary or "", validate=True), value.version)
