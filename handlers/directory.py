"""Whose key it is: looked up in files and in the key store, and remembered for a moment.

What is remembered is what was found, never that nothing was: a key that has
just been created works at once, and who tries out keys fills no memory. A
lookup that gave no answer is a 503; it says nothing of the key.
"""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from core import credentials, health, keys, temporary
from core.errors import AuthenticationError, PermissionDeniedError, UnavailableError
from core.health import Board
from core.keys import KeyRecord
from core.options import UseCredsCache
from core.orgs import Org
from core.ports import Clock, Log, Row, RowKey, Store, StoreError
from core.scopes import EVERYTHING, Scopes
from core.temporary import Credential
from handlers.org_cache import OrgCache
from infra.once import Once

T = TypeVar("T")

REMEMBERED_S: Final = 60.0
"""A revoked key works so long at most in a process that did not hear of it."""
LOCALLY_S: Final = 1.0
LOOKUP_S: Final = 3.0
MOST_ORGS: Final = 4096
MOST_TOLD: Final = 10


class Directory:
    """Holds keys and settings: it has no repr.

    `files`: organisations whose documents were read at the start. `store`: the table of keys and
    temporary credentials. `orgs`: where the settings of all other organisations are.
    `local`: they are files of this machine, cheap to ask, and may hold keys in clear.
    """

    def __init__(
        self,
        clock: Clock,
        log: Log,
        *,
        files: credentials.Keys | None = None,
        store: Store | None = None,
        orgs: OrgCache | None = None,
        local: bool = False,
    ) -> None:
        self.store = store
        self._clock = clock
        self._log = log
        self._files = files or {}
        self._orgs = orgs
        self._local = local
        self._remembered_s = LOCALLY_S if local else REMEMBERED_S
        self._records: Once[KeyRecord] = Once(clock)
        self._rows: Once[Row] = Once(clock)
        self.board = Board()
        """How endpoints are doing: other processes' news come with the rows of keys."""
        self._orgs_of: dict[str, tuple[str, ...]] = {}
        self._noting: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return "<Directory>"

    async def find(
        self, key: str, org_name: str | None, mode: UseCredsCache = "auto"
    ) -> tuple[Org, Scopes]:
        """The organisation that a Cutwater key is for in this request, and what the key may do.

        401 for a key that is unknown, revoked or over, 400 where it has to name one of several
        organisations, 403 where it names another, 503 where all that cannot be said.
        """
        held = self._files.get(credentials.digest(key))
        if held:
            if len(held) == 1 and org_name is None:
                return held[0], EVERYTHING
            names = [org.name for org in held]
            return held[names.index(keys.choose_org(names, org_name))], EVERYTHING
        record = await self._record(key)
        keys.verify(record, self._clock.now())
        return await self.org(keys.choose_org(record.orgs, org_name), mode), record.scopes

    async def credential(self, token: str) -> Credential:
        """What a temporary credential stands for; 401 for none, 503 where that cannot be said."""
        at = temporary.peek(token)
        now = self._clock.now()
        try:
            row: Row | None = await self._rows.get(at[0], lambda: self._read_row(at))
        except KeyError:
            row = None
        return temporary.verify(token, row, now)

    def forget(self, at: RowKey) -> None:
        """What this process has just changed."""
        self._rows.forget(at[0])
        self._records.forget(at[0])

    async def renewed(self, org: Org) -> Org | None:
        """After a provider refused a key: the settings, if they are others by now."""
        return None if self._orgs is None else await self._orgs.refresh(org)

    async def close(self) -> None:
        for task in self._noting:
            if not task.get_loop().is_closed():
                task.cancel()
        if self._orgs is not None:
            await self._orgs.close()

    async def org(self, name: str, mode: UseCredsCache = "auto") -> Org:
        """403 where it has no settings here."""
        for held in self._files.values():
            for org in held:
                if org.name == name:
                    return org
        found = None if self._orgs is None else await self._orgs.get(name, mode)
        if found is None:
            raise PermissionDeniedError(
                f"The organisation `{name}` of this key has no settings here: its operator adds "
                "them with `cutwater org apply`."
            )
        return found

    async def _record(self, key: str) -> KeyRecord:
        at = keys.row_key(key)
        try:
            return await self._records.get(at[0], lambda: self._read_record(key, at))
        except AuthenticationError:
            if not self._local or self._orgs is None:
                raise
            names = await self._in_clear(key, self._orgs)
            if not names:
                raise
            return KeyRecord(id="", name="", orgs=names, created_at=0)

    async def _in_clear(self, key: str, orgs: OrgCache) -> tuple[str, ...]:
        """The organisations whose documents hold the key itself."""
        wanted = credentials.digest(key)
        found = []
        for name in await self._answered(orgs.names()):
            org = await orgs.get(name)
            if org is not None and any(credentials.digest(k.key) == wanted for k in org.keys):
                found.append(name)
        return tuple(found)

    async def _read_record(self, key: str, at: RowKey) -> tuple[KeyRecord, float]:
        used_at = keys.use_key(keys.digest(key))
        orgs = self._orgs_of.get(at[0], ())
        told = {name: health.row_key(name) for name in orgs}
        rows = await self._rows_of([at, used_at, *told.values()])
        now = self._clock.now()
        for name, row_key in told.items():
            self.board.hear(name, rows.get(row_key), now)
        try:
            record = keys.with_use(keys.found(rows.get(at), key), rows.get(used_at))
        except StoreError as error:
            raise self._unanswered(error) from error
        if self.store is not None and keys.touched(record, now):
            # Not waited for: when a key was last used is for lists.
            task = asyncio.ensure_future(self._note_use(self.store, keys.digest(key), int(now)))
            self._noting.add(task)
            task.add_done_callback(self._noting.discard)
        if len(self._orgs_of) >= MOST_ORGS:
            self._orgs_of.clear()
        self._orgs_of[at[0]] = record.orgs[:MOST_TOLD]
        return record, now + self._remembered_s

    async def _note_use(self, store: Store, digest: str, now: int) -> None:
        try:
            async with asyncio.timeout(LOOKUP_S):
                await store.put([keys.use_row(digest, now)])
        except (StoreError, TimeoutError) as error:
            self._log.warning("key_use_not_noted", error=type(error).__name__)

    async def _read_row(self, at: RowKey) -> tuple[Row, float]:
        """KeyError where there is none."""
        rows = await self._rows_of([at])
        return rows[at], self._clock.now() + self._remembered_s

    async def _rows_of(self, wanted: list[RowKey]) -> dict[RowKey, Row]:
        return {} if self.store is None else await self._answered(self.store.get(wanted))

    async def _answered(self, asked: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(LOOKUP_S):
                return await asked
        except (StoreError, TimeoutError) as error:
            raise self._unanswered(error) from error

    def _unanswered(self, error: Exception) -> UnavailableError:
        self._log.warning("key_lookup_failed", error=type(error).__name__, said=str(error)[:200])
        return UnavailableError(
            "The key of this request cannot be looked up at the moment: try again.",
            headers={"retry-after": "1"},
        )
