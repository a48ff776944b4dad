"""The only place where things are put together, and the only one that reads the environment.

CUTWATER_ORG_FILES      organisation files, separated as in PATH
CUTWATER_PROVIDER_KEYS  on (default) or off: whether callers may bring a provider's own key
CUTWATER_FETCH_MEDIA    public (default), any or off: which addresses media by URL may have
CUTWATER_DEMO           on (default) or off: the built-in provider `demo`
CUTWATER_CACHE          on (default) or off: whether answers are cached
CUTWATER_TABLE          the DynamoDB table of answers, keys and temporary credentials;
                        `cutwater serve` has a file instead
CUTWATER_SECRETS_PREFIX how the names of the secrets begin that hold organisations
CUTWATER_PRIVATE_ENDPOINTS  on, off or any: whether endpoints may lead to private addresses
CUTWATER_MAX_REQUESTS   requests that are worked on at once; default 1000
CUTWATER_MAX_WAITING    requests that may wait for their turn; default 1000
CUTWATER_MAILBOX_TABLE  of API Gateway's realtime sessions: the DynamoDB table of frames,
CUTWATER_REALTIME_URL   where their clients are posted to (https://.../realtime),
CUTWATER_REALTIME_FUNCTION  and the function that serves them
CUTWATER_ALLOWED_ORIGINS    pages that may read the answers to long-lived keys; `*`: all
OPENAI_BASE_URL ...     where a provider is reached, as its own SDK reads it
"""

import os
import random
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core import addresses, cors, credentials, orgs
from core.addresses import Reach
from core.orgs import Org, SettingsError
from core.ports import (
    AwsProcess,
    Clock,
    Fetch,
    Fetched,
    Incoming,
    Log,
    Outgoing,
    Secrets,
    Socket,
    Store,
    Upstream,
)
from handlers.app import App
from handlers.asgi import MOST_BODY
from handlers.authorize import Authorizer
from handlers.crowd import MOST_AT_ONCE, MOST_WAITING, Crowd
from handlers.directory import Directory
from handlers.exchange import Services, fetch_nothing
from handlers.org_cache import OrgCache
from infra import aws
from infra.clock import SystemClock
from infra.http import HttpUpstream
from infra.log import JsonLog
from infra.scripted import Script, ScriptedUpstream
from providers import catalog, models

if TYPE_CHECKING:
    from handlers.realtime_session import Gateway
    from infra.websocket import WebSockets

SWITCHES: Final = ("CUTWATER_PROVIDER_KEYS", "CUTWATER_DEMO", "CUTWATER_CACHE")
DATABASE: Final = "cutwater.db"


class LazySockets:
    """Opened, and loaded, with the first realtime session: most processes never have one."""

    def __init__(self, upstream: "Upstreams") -> None:
        self._upstream = upstream
        self._opened: WebSockets | None = None

    async def connect(self, request: Outgoing, *, most_bytes: int) -> Socket:
        if self._opened is None:
            from infra.websocket import WebSockets

            self._opened = WebSockets(self._upstream.http)
        return await self._opened.connect(request, most_bytes=most_bytes)

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()


class Upstreams:
    """The demo's requests go to its script, all others to the network.

    `aws` is for this deployment's own calls: what organisations may name does not bind them.
    """

    def __init__(self, clock: Clock, reach: Reach) -> None:
        trusted = cache(ssl.create_default_context)  # Slow to load: once for both.
        self.http = HttpUpstream(reach=reach, trusted=trusted)
        self.aws = HttpUpstream(trusted=trusted)
        self._clock = clock
        self._demo = ScriptedUpstream(self._script)

    def _script(self, body: bytes) -> Script:
        from providers import demo

        return demo.answer(body, now=int(self._clock.now()))

    def send(self, request: Outgoing) -> AbstractAsyncContextManager[Incoming]:
        if request.url.startswith("demo:"):
            return self._demo.send(request)
        return self.http.send(request)

    async def close(self) -> None:
        await self.http.close()
        await self.aws.close()


def parse_org(document: bytes, source: str, reach: Reach = "any") -> Org:
    """SettingsError with the path of the wrong field."""
    known = frozenset(catalog.PROVIDERS)
    return orgs.parse(document, source=source, types=known, rules=catalog.rules(), reach=reach)


def read_orgs(paths: Sequence[Path], reach: Reach = "any") -> dict[str, Org]:
    """Raises SettingsError that names the file and the field."""
    found: dict[str, Org] = {}
    for path in paths:
        try:
            document = path.read_bytes()
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror}") from error
        org = parse_org(document, str(path), reach)
        if org.name in found:
            raise SettingsError(f"{path}: a second organisation named `{org.name}` - at `$.name`")
        found[org.name] = org
    return found


def store(
    environment: Mapping[str, str],
    upstream: Upstream,
    clock: Clock,
    process: AwsProcess,
    data: Path | None,
) -> Store | None:
    """The table that this deployment has; None: nothing outlives a request."""
    if table := environment.get("CUTWATER_TABLE"):
        from infra.dynamodb import DynamoStore

        endpoint = environment.get("AWS_ENDPOINT_URL_DYNAMODB") or environment.get(
            "AWS_ENDPOINT_URL"
        )
        return DynamoStore(table, upstream, process, clock, endpoint=endpoint)
    if data is not None:
        from infra.sqlite import SqliteStore

        return SqliteStore(data / DATABASE)
    return None


def secrets_store(
    environment: Mapping[str, str],
    upstream: Upstream,
    clock: Clock,
    process: AwsProcess,
    data: Path | None,
) -> Secrets | None:
    """Where the settings of organisations are; None: only in the files named at the start."""
    if prefix := environment.get("CUTWATER_SECRETS_PREFIX"):
        from infra.secrets import SecretsManager

        endpoint = environment.get("AWS_ENDPOINT_URL_SECRETS_MANAGER") or environment.get(
            "AWS_ENDPOINT_URL"
        )
        return SecretsManager(prefix, upstream, process, clock, endpoint=endpoint)
    if data is not None:
        from infra.org_files import OrgFiles

        return OrgFiles(data / "orgs")
    return None


_DEPLOYED: Final = (
    "AWS_LAMBDA_FUNCTION_NAME",
    "ECS_CONTAINER_METADATA_URI_V4",
    "CUTWATER_SECRETS_PREFIX",
    "CUTWATER_TABLE",
)
"""Where one of these is set, organisations are others' than the machine's owner."""


def _reach(environment: Mapping[str, str]) -> Reach:
    deployed = any(environment.get(name) for name in _DEPLOYED)
    try:
        return addresses.reach(environment.get("CUTWATER_PRIVATE_ENDPOINTS"), deployed=deployed)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _crowd(environment: Mapping[str, str]) -> Crowd:
    return Crowd(
        _number(environment, "CUTWATER_MAX_REQUESTS", MOST_AT_ONCE),
        _number(environment, "CUTWATER_MAX_WAITING", MOST_WAITING),
    )


def _number(environment: Mapping[str, str], name: str, usual: int) -> int:
    said = environment.get(name) or str(usual)
    if not (said.isascii() and said.isdecimal()) or len(said) > 6 or said == "0":
        raise SettingsError(f"{name} is a whole number from 1 to 999999.")
    return int(said)


def _origins(environment: Mapping[str, str]) -> cors.Origins:
    try:
        return cors.parse(environment.get("CUTWATER_ALLOWED_ORIGINS"))
    except ValueError as error:
        raise SettingsError(str(error)) from error


@asynccontextmanager
async def opened_store(data: Path, table: str | None) -> AsyncIterator[Store]:
    """The table alone, for the command line."""
    clock = SystemClock()
    upstream = HttpUpstream()
    environment = {**os.environ, **({"CUTWATER_TABLE": table} if table else {})}
    process = aws.Process(environment, upstream, clock)
    found = store(environment, upstream, clock, process, data)
    try:
        if found is not None:
            yield found
    finally:
        if found is not None:
            await found.close()
        await upstream.close()


def process_log() -> Log:
    """For what happens around the application."""
    return JsonLog(SystemClock())


def _fetch(allowed_from: str) -> Fetch:
    if allowed_from not in ("public", "any", "off"):
        raise SettingsError("CUTWATER_FETCH_MEDIA is `public`, `any` or `off`, nothing else.")
    if allowed_from == "off":
        return fetch_nothing
    made: list[Fetch] = []

    async def fetch(urls: Sequence[str]) -> Mapping[str, Fetched]:
        if not made:  # Most processes never fetch anything.
            from infra.fetch import MediaFetcher

            allowed = addresses.is_reachable if allowed_from == "any" else addresses.is_public
            made.append(MediaFetcher(allowed=allowed))
        return await made[0](urls)

    return fetch


def build(
    environment: Mapping[str, str] | None = None,
    more: Mapping[str, Org] | None = None,
    *,
    data: Path | None = None,
    most_body: int = MOST_BODY,
) -> App:
    """The application.

    `more` are organisations that the command line found, `data` is the folder of a laptop's table.
    """
    environment = os.environ if environment is None else environment
    for name in SWITCHES:
        if environment.get(name, "on") not in ("on", "off", ""):
            # `false` that were read as `on` would open what was meant to be closed.
            raise SettingsError(f"{name} is `on` or `off`, nothing else.")
    files = [Path(p) for p in environment.get("CUTWATER_ORG_FILES", "").split(os.pathsep) if p]
    clock, reach = SystemClock(), _reach(environment)
    log = JsonLog(clock)
    upstream = Upstreams(clock, reach)
    process = aws.Process(environment, upstream.aws, clock)
    table = store(environment, upstream.aws, clock, process, data)
    documents = secrets_store(environment, upstream.aws, clock, process, data)
    authorize = Authorizer(upstream, clock, process)
    return App(
        Services(
            upstream=upstream,
            authorize=authorize,
            refused=authorize.refused,
            clock=clock,
            draw=random.random,
            fresh_id=lambda: "req_" + secrets.token_hex(12),
            log=log,
            directory=Directory(
                clock,
                log,
                files=credentials.index({**read_orgs(files, reach), **(more or {})}),
                store=table,
                orgs=None
                if documents is None
                else OrgCache(documents, clock, log, partial(parse_org, reach=reach)),
                local=not environment.get("CUTWATER_SECRETS_PREFIX"),
            ),
            providers=catalog.configured(environment),
            lookup=models.lookup,
            model_names=lambda: models.entries().keys(),
            provider_keys=environment.get("CUTWATER_PROVIDER_KEYS") != "off",
            most_body=most_body,
            store=None if environment.get("CUTWATER_CACHE") == "off" else table,
            origins=_origins(environment),
            crowd=_crowd(environment),
            fetch=_fetch(environment.get("CUTWATER_FETCH_MEDIA") or "public"),
            sockets=LazySockets(upstream),
        )
    )


def gateway(services: Services, environment: Mapping[str, str] | None = None) -> "Gateway":
    """What realtime sessions need behind API Gateway."""
    from handlers.realtime_session import Gateway
    from infra.gateway import AwsRest, GatewayConnections, LambdaInvoke
    from infra.mailbox import DynamoMailbox

    environment = os.environ if environment is None else environment
    clock, upstream = services.clock, HttpUpstream()
    process = aws.Process(environment, upstream, clock)
    anywhere = environment.get("AWS_ENDPOINT_URL")
    dynamodb = environment.get("AWS_ENDPOINT_URL_DYNAMODB") or anywhere
    functions = environment.get("AWS_ENDPOINT_URL_LAMBDA") or anywhere
    functions = functions or f"https://lambda.{process.region}.amazonaws.com"
    url = _needed(environment, "CUTWATER_REALTIME_URL")
    # The function that serves sessions starts its own successor.
    function = environment.get("CUTWATER_REALTIME_FUNCTION") or (
        _needed(environment, "AWS_LAMBDA_FUNCTION_NAME") + ":live"
    )
    table = _needed(environment, "CUTWATER_MAILBOX_TABLE")
    return Gateway(
        services=services,
        mailbox=DynamoMailbox(table, upstream, process, clock, endpoint=dynamodb),
        connections=GatewayConnections(AwsRest("execute-api", url, upstream, process, clock)),
        invoke=LambdaInvoke(AwsRest("lambda", functions, upstream, process, clock), function),
        close=upstream.close,
    )


def _needed(environment: Mapping[str, str], name: str) -> str:
    found = environment.get(name)
    if not found:
        raise SettingsError(f"{name} is not set: see docs/realtime-aws.md.")
    return found
