"""What `cutwater doctor` does: it looks, and then, if it may, asks a running Cutwater.

To ask a deployment it needs a key there: it makes one for ten minutes and
deletes it when it is done. Nothing else is written anywhere.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from core import __version__ as version
from core import checks, keys
from core.checks import Check, Expected, OrgSeen, Trouble
from core.orgs import Endpoint, Org
from core.ports import StoreError, Upstream
from handlers import admin_keys, doctor_live, doctor_local, places, wiring
from handlers.admin_keys import AdminError
from handlers.doctor_aws import Aws
from handlers.doctor_live import Caller
from handlers.local import LOCAL
from handlers.places import Place, Where
from infra.http import HttpUpstream

KEY_S: Final = 600
_AT_ONCE: Final = 4
_NO_KEY: Final = "no key to ask with"


class Looked(Struct, frozen=True, kw_only=True):
    """What was seen without asking Cutwater for anything."""

    checks: tuple[Check, ...]
    orgs: tuple[Org, ...] = ()
    url: str | None = None
    """Where Cutwater runs, where it does."""

    def __repr__(self) -> str:
        return "<Looked>"

    @property
    def endpoints(self) -> int:
        return sum(len(org.endpoints) for org in self.orgs)


class Asking(Struct, frozen=True, kw_only=True):
    """What may be asked, and with what."""

    endpoints: bool
    """One token each: it is paid for."""
    models: Sequence[str] = ()
    key: str | None = None

    def __repr__(self) -> str:
        return "<Asking>"


# --- Looking --------------------------------------------------------------------------------------


async def look_here(
    data: Path, environment: Mapping[str, str], url: str, *, needed: bool
) -> Looked:
    """`needed`: the address was named."""
    own = doctor_local.own_org(environment)
    seen, orgs = doctor_local.named_files(environment)
    async with places.opened(Where(data=data)) as place:
        stored, usable = await _organisations(place)
    kept = stored if isinstance(stored, Trouble) else [*seen, *stored]
    everybody = [*orgs, *usable]
    if all(org.name != LOCAL for org in everybody):
        everybody.append(own)
    alive, server = await _health(url, needed=needed)
    file = data / wiring.DATABASE
    found = [
        checks.folder(doctor_local.folder(data), str(data)),
        checks.database(doctor_local.database(file), str(file)),
        *checks.organisations(kept, where=str(data / "orgs")),
        server,
    ]
    return Looked(checks=tuple(found), orgs=tuple(everybody), url=url if alive else None)


async def look_at_stack(name: str, expected: Expected, address: str | None = None) -> Looked:
    """AdminError where boto3 is missing. `address`: in place of the output `Url`."""
    session = places.boto_session()
    aws = Aws(session)
    who, skew = await asyncio.to_thread(aws.identity)
    found = [checks.credentials(who), checks.clock(skew)]
    if isinstance(who, Trouble):
        return Looked(checks=tuple(found))
    try:
        outputs = await asyncio.to_thread(places.stack_outputs, session, name)
    except AdminError as error:
        found.append(checks.failed("stack", str(error), "See `cutwater doctor --help`."))
        return Looked(checks=tuple(found))
    found += await asyncio.to_thread(_resources, aws, name, outputs, expected)
    async with places.opened(Where(data=Path(), stack=name)) as place:
        seen, orgs = await _organisations(place)
    found += checks.organisations(seen, where=f"{outputs['SecretsPrefix']}/org/")
    url = address or outputs.get("Url")
    if url is None:
        return Looked(checks=tuple(found))
    alive, server = await _health(url, needed=True)
    found.append(server)
    return Looked(checks=tuple(found), orgs=tuple(orgs), url=url if alive else None)


def _resources(aws: Aws, name: str, outputs: Mapping[str, str], expected: Expected) -> list[Check]:
    seen = aws.parameters(name)
    table = outputs["TableName"]
    status, attribute = aws.expiry(table)
    found = [
        checks.failed("stack", seen.why, "Ask for cloudformation:DescribeStacks.")
        if isinstance(seen, Trouble)
        else checks.stack(seen.status, outputs),
        checks.table(aws.table(table)),
        checks.expiry(status, attribute),
    ]
    if function := outputs.get("ProxyFunctionName"):
        found.append(checks.function(aws.function(function)))
    reserved, rate = (None, None) if isinstance(seen, Trouble) else (seen.reserved, seen.rate)
    return [
        *found,
        checks.concurrency(aws.concurrency(), reserved, expected),
        checks.throttle(aws.throttle(), rate, expected),
    ]


async def _organisations(place: Place) -> tuple[list[OrgSeen] | Trouble, list[Org]]:
    try:
        return await doctor_local.organisations(place.secrets)
    except StoreError as error:
        return Trouble(str(error)), []


async def _health(url: str, *, needed: bool) -> tuple[bool, Check]:
    upstream = HttpUpstream()
    try:
        seen = await doctor_live.health(upstream, url)
    finally:
        await upstream.close()
    alive = not isinstance(seen, Trouble) and seen.status == 200
    return alive, checks.health(seen, url, version, needed=needed)


# --- Asking ---------------------------------------------------------------------------------------


async def ask(
    looked: Looked, asking: Asking, where: Where, now: int, entropy: bytes
) -> list[Check]:
    """One stream of the demo, and one token of each endpoint if it may."""
    if looked.url is None:
        why = "Cutwater does not answer"
        return [checks.skipped("streaming", why), checks.skipped("endpoints", why)]
    upstream = HttpUpstream()
    try:
        async with _callers(looked, asking, where, now, entropy) as callers:
            streamed = await _stream(upstream, looked, callers, here=where.stack is None)
            if not asking.endpoints:
                to_do = "Say yes when asked, or --yes: one token of each is paid for."
                return [streamed, checks.skipped("endpoints", "not asked", to_do)]
            return [streamed, *await _endpoints(upstream, looked, asking, callers)]
    except StoreError as error:
        to_do = "Ask for the right to write to the table, or give a key in CUTWATER_KEY."
        return [checks.failed("key for asking", str(error), to_do)]
    finally:
        await upstream.close()


@asynccontextmanager
async def _callers(
    looked: Looked, asking: Asking, where: Where, now: int, entropy: bytes
) -> AsyncIterator[dict[str, Caller]]:
    """By organisation: the key that was given, one of its document, or one made for this."""
    if asking.key is not None:
        yield {org.name: Caller(asking.key, org.name) for org in looked.orgs}
        return
    async with places.opened(where) as place:
        held = dict(place.local_keys) | {o.name: o.keys[0].key for o in looked.orgs if o.keys}
        callers = {name: Caller(key) for name, key in held.items()}
        without = [org.name for org in looked.orgs if org.name not in held and org.name != LOCAL]
        if not without or not (asking.endpoints or place.shared):
            yield callers
            return
        draft = keys.draft("cutwater doctor", without, expires_at=now + KEY_S)
        made = await admin_keys.create(place.store, draft, now=now, random=lambda _size: entropy)
        try:
            yield callers | {name: Caller(made.key, name) for name in without}
        finally:
            digest = keys.digest(made.key)
            rows = [row.key for row in keys.rows_of_record(made.record, digest)]
            await place.store.delete([*rows, keys.use_key(digest)])


async def _stream(
    upstream: Upstream, looked: Looked, callers: Mapping[str, Caller], *, here: bool
) -> Check:
    """On this machine the demo takes any key, unless it was told not to."""
    those = [*([Caller("demo")] if here else []), *list(callers.values())[:1]]
    if not those or looked.url is None:
        to_do = "Apply an organisation first, or give a key in CUTWATER_KEY."
        return checks.skipped("streaming", _NO_KEY, to_do)
    for caller in those:
        seen = await doctor_live.stream(upstream, looked.url, caller)
        if isinstance(seen, Trouble) or seen.status != 401:
            break
    return checks.streaming(seen)


async def _endpoints(
    upstream: Upstream, looked: Looked, asking: Asking, callers: Mapping[str, Caller]
) -> list[Check]:
    few = asyncio.Semaphore(_AT_ONCE)

    async def one(org: Org, endpoint: Endpoint) -> Check:
        async with few:
            return await _endpoint(
                upstream, looked.url or "", asking, callers.get(org.name), org, endpoint
            )

    return list(await asyncio.gather(*(one(o, e) for o in looked.orgs for e in o.endpoints)))


async def _endpoint(
    upstream: Upstream,
    url: str,
    asking: Asking,
    caller: Caller | None,
    org: Org,
    endpoint: Endpoint,
) -> Check:
    name = f"endpoint {org.name} / {endpoint.label}"
    if caller is None:
        return checks.skipped(name, _NO_KEY, "Give one in CUTWATER_KEY.")
    if endpoint.name is None:
        return checks.skipped(name, "it has no name to be asked by", "Give it one in its settings.")
    model = doctor_live.model_for(org, endpoint, asking.models)
    if model is None:
        return checks.skipped(name, "no model of it is known", "List some in metadata.models.")
    seen = await doctor_live.one_token(upstream, url, caller, endpoint, model)
    return checks.endpoint(org.name, endpoint.label, model.name, seen)
