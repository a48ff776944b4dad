"""The only place where things are put together, and the only one that reads the environment.

CUTWATER_ORG_FILES      organisation files, separated as in PATH
CUTWATER_PROVIDER_KEYS  on (default) or off: whether callers may bring a provider's own key
CUTWATER_FETCH_MEDIA    public (default), any or off: which addresses media by URL may have
CUTWATER_DEMO           on (default) or off: the built-in provider `demo`
CUTWATER_CACHE          on (default) or off: whether answers are cached
CUTWATER_TABLE          the DynamoDB table that holds them; `cutwater serve` has a file instead
OPENAI_BASE_URL ...     where a provider is reached, as its own SDK reads it
"""

import os
import random
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

from core import credentials, orgs
from core.orgs import Org, SettingsError
from core.ports import AwsProcess, Clock, Fetch, Fetched, Incoming, Outgoing, Store, Upstream
from handlers.app import App
from handlers.asgi import MOST_BODY
from handlers.authorize import Authorizer
from handlers.exchange import Services, fetch_nothing
from infra import aws
from infra.clock import SystemClock
from infra.http import HttpUpstream
from infra.log import JsonLog
from infra.scripted import Script, ScriptedUpstream
from providers import catalog, models

SWITCHES: Final = ("CUTWATER_PROVIDER_KEYS", "CUTWATER_DEMO", "CUTWATER_CACHE")
DATABASE: Final = "cutwater.db"


class Upstreams:
    """The demo's requests go to its script, all others to the network."""

    def __init__(self, clock: Clock) -> None:
        self._http = HttpUpstream()
        self._clock = clock
        self._demo = ScriptedUpstream(self._script)

    def _script(self, body: bytes) -> Script:
        from providers import demo

        return demo.answer(body, now=int(self._clock.now()))

    def send(self, request: Outgoing) -> AbstractAsyncContextManager[Incoming]:
        if request.url.startswith("demo:"):
            return self._demo.send(request)
        return self._http.send(request)

    async def close(self) -> None:
        await self._http.close()


def read_orgs(paths: Sequence[Path]) -> dict[str, Org]:
    """Raises SettingsError that names the file and the field."""
    found: dict[str, Org] = {}
    for path in paths:
        try:
            document = path.read_bytes()
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror}") from error
        org = orgs.parse(
            document, source=str(path), types=frozenset(catalog.PROVIDERS), rules=catalog.rules()
        )
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


def _fetch(addresses: str) -> Fetch:
    if addresses not in ("public", "any", "off"):
        raise SettingsError("CUTWATER_FETCH_MEDIA is `public`, `any` or `off`, nothing else.")
    if addresses == "off":
        return fetch_nothing
    made: list[Fetch] = []

    async def fetch(urls: Sequence[str]) -> Mapping[str, Fetched]:
        if not made:  # Most processes never fetch anything.
            from core import fetching
            from infra.fetch import MediaFetcher

            allowed = fetching.is_reachable if addresses == "any" else fetching.is_public
            made.append(MediaFetcher(allowed=allowed))
        return await made[0](urls)

    return fetch


def build(
    environment: Mapping[str, str] | None = None,
    more: Mapping[str, Org] | None = None,
    *,
    data: Path | None = None,
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
    clock = SystemClock()
    upstream = Upstreams(clock)
    process = aws.Process(environment, upstream, clock)
    authorize = Authorizer(upstream, clock, process)
    return App(
        Services(
            upstream=upstream,
            authorize=authorize,
            refused=authorize.refused,
            clock=clock,
            draw=random.random,
            fresh_id=lambda: "req_" + secrets.token_hex(12),
            log=JsonLog(clock),
            keys=credentials.index({**read_orgs(files), **(more or {})}),
            providers=catalog.configured(environment),
            lookup=models.lookup,
            model_names=lambda: models.entries().keys(),
            provider_keys=environment.get("CUTWATER_PROVIDER_KEYS") != "off",
            most_body=MOST_BODY,
            store=None
            if environment.get("CUTWATER_CACHE") == "off"
            else store(environment, upstream, clock, process, data),
            fetch=_fetch(environment.get("CUTWATER_FETCH_MEDIA") or "public"),
        )
    )
