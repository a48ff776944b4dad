"""Where operators work: on the files of this machine, or on a stack in AWS, from without or within.

A stack is worked on with the operator's own rights, which boto3 finds (profile,
SSO, environment); the stores are the deployment's own, so that what is written
here is what is read there.
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from core import addresses
from core.addresses import Reach
from core.ports import AwsProcess, Clock, Secrets, Store, Upstream
from core.sigv4 import AwsKeys
from handlers import wiring
from handlers.admin_keys import AdminError

OUTPUTS: Final = ("TableName", "SecretsPrefix")
"""Of a stack: the table, and how the names of its secrets begin."""


REACH: Final = "PrivateEndpoints"
"""An output as well: older stacks have none, and no endpoint of theirs is private."""


REPLICAS: Final = "ReplicaRegions"
"""Another output: where each secret has a replica, separated by commas."""


class Place(Struct, frozen=True, kw_only=True):
    store: Store
    secrets: Secrets
    shared: bool = False
    """A deployment: others read what is written here."""
    reach: Reach | None = None
    """Where the endpoints of its organisations may lead. None: in a deployment, to public
    addresses only."""
    local_keys: Mapping[str, str] = {}
    """Organisation -> the key in clear that lies beside the files."""

    def __repr__(self) -> str:
        return "<Place>"


class Where(Struct, frozen=True, kw_only=True):
    """What the options of a command say."""

    data: Path
    table: str | None = None
    stack: str | None = None


def opened(where: Where) -> AbstractAsyncContextManager[Place]:
    if where.stack is None:
        return _local(where.data, where.table)
    # CUTWATER_TABLE may name another one's table: the stack knows its own.
    return _stack(where.stack)


@asynccontextmanager
async def _local(data: Path, table: str | None) -> AsyncIterator[Place]:
    from infra.org_files import OrgFiles

    secrets = OrgFiles(data / "orgs")
    try:
        async with wiring.opened_store(data, table) as store:
            yield Place(store=store, secrets=secrets, local_keys=_local_keys(data))
    finally:
        await secrets.close()


def _local_keys(data: Path) -> dict[str, str]:
    """The key that `cutwater serve` has drawn; none is drawn here."""
    from handlers.local import LOCAL

    file = data / "local.key"
    key = file.read_text().strip() if file.exists() else ""
    return {LOCAL: key} if key else {}


@asynccontextmanager
async def _stack(name: str) -> AsyncIterator[Place]:
    from infra.clock import SystemClock
    from infra.dynamodb import DynamoStore
    from infra.http import HttpUpstream

    session = boto_session()
    outputs = stack_outputs(session, name)
    operator = Operator(session)
    upstream, clock = HttpUpstream(), SystemClock()
    store = DynamoStore(
        outputs["TableName"], upstream, operator, clock, endpoint=_endpoint("DYNAMODB")
    )
    replicas = _regions(outputs.get(REPLICAS))
    secrets = _secrets(outputs["SecretsPrefix"], upstream, operator, clock, replicas)
    try:
        yield Place(store=store, secrets=secrets, shared=True, reach=_reach(outputs.get(REACH)))
    finally:
        await secrets.close()
        await store.close()
        await upstream.close()


def deployed(environment: Mapping[str, str]) -> Place:
    """What a function of the deployment works on, with its own role's rights."""
    from infra.aws import Process
    from infra.clock import SystemClock
    from infra.dynamodb import DynamoStore
    from infra.http import HttpUpstream

    upstream, clock = HttpUpstream(), SystemClock()
    process = Process(environment, upstream, clock)
    table, prefix = environment["CUTWATER_TABLE"], environment["CUTWATER_SECRETS_PREFIX"]
    store = DynamoStore(table, upstream, process, clock, endpoint=_endpoint("DYNAMODB"))
    replicas = _regions(environment.get("CUTWATER_REPLICA_REGIONS"))
    secrets = _secrets(prefix, upstream, process, clock, replicas)
    reach = _reach(environment.get("CUTWATER_PRIVATE_ENDPOINTS"))
    return Place(store=store, secrets=secrets, shared=True, reach=reach)


def _reach(said: str | None) -> Reach:
    try:
        return addresses.reach(said, deployed=True)
    except ValueError as error:
        raise AdminError(str(error)) from error


def _regions(said: str | None) -> list[str]:
    return [region for region in (said or "").replace(" ", "").split(",") if region]


def _secrets(
    prefix: str, upstream: Upstream, process: AwsProcess, clock: Clock, replicas: Sequence[str]
) -> Secrets:
    from infra.secrets import SecretsManager

    endpoint = _endpoint("SECRETS_MANAGER")
    return SecretsManager(prefix, upstream, process, clock, endpoint=endpoint, replicas=replicas)


def _endpoint(service: str) -> str | None:
    """As AWS's own SDKs read it."""
    found = os.environ.get(f"AWS_ENDPOINT_URL_{service}") or os.environ.get("AWS_ENDPOINT_URL")
    return found or None


def boto_session() -> Any:
    """AdminError where boto3 is not installed."""
    try:
        boto3 = import_module("boto3")
    except ImportError as error:
        raise AdminError("--stack needs boto3: pip install boto3, then again.") from error
    return boto3.Session()


def stack_outputs(session: Any, name: str) -> dict[str, str]:
    """AdminError where there is no such stack, or no right to see it."""
    exceptions = import_module("botocore.exceptions")
    try:
        found = session.client("cloudformation").describe_stacks(StackName=name)
    except exceptions.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "an error")
        raise AdminError(f"The stack `{name}` cannot be read ({code}): {_HELP}") from error
    except exceptions.BotoCoreError as error:
        raise AdminError(f"The stack `{name}` cannot be read: {error} {_HELP}") from error
    said = found["Stacks"][0].get("Outputs", [])
    outputs = {one["OutputKey"]: one["OutputValue"] for one in said}
    if missing := [key for key in OUTPUTS if key not in outputs]:
        lacking = " and ".join(missing)
        raise AdminError(f"The stack `{name}` has no output {lacking}: is it Cutwater's?")
    return outputs


_HELP: Final = "check its name, AWS_PROFILE, AWS_REGION and that you may describe stacks."


class Operator:
    """core.ports.AwsProcess: the rights of who sits at the command line."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __repr__(self) -> str:
        return "<Operator>"

    @property
    def region(self) -> str | None:
        region: str | None = self._session.region_name
        return region

    async def keys(self, *, refused: AwsKeys | None = None) -> AwsKeys:
        """boto3 renews what can be renewed each time it is asked."""
        del refused
        credentials = self._session.get_credentials()
        if credentials is None:
            raise AdminError(
                "There are no AWS credentials: run `aws configure` or `aws sso login`."
            )
        frozen = credentials.get_frozen_credentials()
        return AwsKeys(
            access_key=frozen.access_key,
            secret_key=frozen.secret_key,
            session_token=frozen.token or None,
        )
