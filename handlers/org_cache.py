"""The organisations that this process remembers, as core/freshness.py decides.

One read of an organisation is under way at a time, and who waits for it may go
away without taking it from the others. A read may outlive the event loop that
began it (a Lambda is restored from a snapshot with a new one): it is then as if
it had never begun.
"""

import asyncio

from msgspec import Struct

from core import freshness
from core.freshness import Known, Parse
from core.options import UseCredsCache
from core.orgs import Org
from core.ports import Clock, Log, Secrets, StoreError


class Limits(Struct, frozen=True, kw_only=True):
    most: int = 500
    """Organisations; the one that was not asked for the longest goes first."""
    patience_s: float = 1.0
    """How long a request waits for the store where what is known would do."""
    longest_s: float = 10.0
    """How long a read may take."""


class OrgCache:
    """Holds keys: it has no repr."""

    def __init__(
        self,
        secrets: Secrets,
        clock: Clock,
        log: Log,
        parse: Parse,
        *,
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._secrets = secrets
        self._clock = clock
        self._log = log
        self._parse = parse
        self._known: dict[str, Known] = {}
        self._reading: dict[str, tuple[asyncio.Task[Known], float]] = {}

    def __repr__(self) -> str:
        return "<OrgCache>"

    async def get(self, name: str, mode: UseCredsCache = "auto") -> Org | None:
        """None: there is no such organisation. UnavailableError where that cannot be said."""
        now = self._clock.now()
        known = self._known.get(name)
        if known is None or freshness.step(known, now, mode) == "read":
            known = await self._patiently(name, known, mode)
        else:
            self._keep(name, known)
        return freshness.org_of(known, self._clock.now(), mode)

    async def refresh(self, org: Org) -> Org | None:
        """After a provider refused a key of `org`: its settings, if they are others by now."""
        known = self._known.get(org.name)
        if known is None:  # It is none of these: of a file, or of the caller's own key.
            return None
        if known.org == org:
            if not freshness.may_refresh(known, self._clock.now()):
                return None
            try:
                async with asyncio.timeout(self._limits.patience_s):
                    known = await self._read(org.name)
            except TimeoutError:
                return None
        return known.org if known.org != org else None

    async def names(self) -> list[str]:
        """Of all organisations, as they are stored at this moment."""
        return await self._secrets.names()

    async def close(self) -> None:
        for task, _ in self._reading.values():
            if not task.get_loop().is_closed():
                task.cancel()
        self._reading.clear()
        await self._secrets.close()

    async def _patiently(self, name: str, known: Known | None, mode: UseCredsCache) -> Known:
        if known is None or mode == "never" or not freshness.is_usable(known, self._clock.now()):
            return await self._read(name, anew=mode == "never")
        try:
            async with asyncio.timeout(self._limits.patience_s):
                return await self._read(name)
        except TimeoutError:
            # The read goes on, for the next one.
            return self._known.get(name, known)

    async def _read(self, name: str, *, anew: bool = False) -> Known:
        """`anew`: what was read before this was asked does not count."""
        task = self._under_way(name)
        if anew and task is not None:
            await asyncio.wait([task])
            task = self._under_way(name)  # Perhaps another one's who waited too.
        if task is None:
            began = self._clock.now()
            task = asyncio.get_running_loop().create_task(self._ask(name, began))
            self._reading[name] = (task, began)
            task.add_done_callback(lambda done: self._over(name, done))
        return await asyncio.shield(task)

    def _under_way(self, name: str) -> "asyncio.Task[Known] | None":
        task, began = self._reading.get(name, (None, 0.0))
        if task is None:
            return None
        here = task.get_loop() is asyncio.get_running_loop()
        # One that is older was frozen with its process: what it brings is not waited for.
        if here and not task.done() and self._clock.now() - began <= self._limits.longest_s:
            return task
        del self._reading[name]
        return None

    def _over(self, name: str, task: "asyncio.Task[Known]") -> None:
        if self._reading.get(name, (None, 0.0))[0] is task:
            del self._reading[name]
        if not task.cancelled():
            task.exception()  # Those who waited may all be gone: nobody else would look.

    async def _ask(self, name: str, began: float) -> Known:
        before = self._known.get(name)
        try:
            async with asyncio.timeout(self._limits.longest_s):
                document = await self._secrets.read(name)
        except (StoreError, TimeoutError) as error:
            why = str(error) or "no answer in time"
            self._log.warning("org_settings_unreadable", org=name, error=why)
            known = freshness.failed(before, self._clock.now())
        else:
            known = freshness.answered(before, name, document, asked_at=began, parse=self._parse)
            if known.fault is not None and (before is None or before.version != known.version):
                self._log.error(
                    "org_settings_faulty", org=name, version=known.version, at=known.fault
                )
        # A read that was given up must not undo what came after it.
        if self._reading.get(name, (None, 0.0))[0] is asyncio.current_task():
            self._keep(name, known)
        return known

    def _keep(self, name: str, known: Known) -> None:
        self._known.pop(name, None)
        self._known[name] = known
        if len(self._known) > self._limits.most:
            del self._known[next(iter(self._known))]
