"""What `cutwater doctor` looks at on this machine: the data folder, the store, organisation files.

It only looks: no key is drawn and no damaged file moved aside, as using them would.
"""

import os
import sqlite3
import stat
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from core.checks import FileSeen, FolderSeen, OrgSeen
from core.orgs import Org, SettingsError
from core.ports import Secrets, StoreError
from handlers import local, wiring

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def folder(data: Path) -> FolderSeen:
    if not data.is_dir():
        return FolderSeen(exists=False)
    files = [data / "local.key", data / wiring.DATABASE, *sorted((data / "orgs").glob("*.json"))]
    seen = tuple(file.name for file in files if file.exists() and file.stat().st_mode & _OTHERS)
    return FolderSeen(exists=True, writable=os.access(data, os.W_OK | os.X_OK), open_files=seen)


def database(path: Path) -> FileSeen:
    if not path.exists():
        return FileSeen(exists=False)
    address = f"file:{quote(str(path.resolve()))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=2.0)) as connection:
            said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            rows = int(connection.execute("SELECT count(*) FROM rows").fetchone()[0])
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        return FileSeen(exists=True, said=f"SQLite says {name}")
    return FileSeen(exists=True, said=said[:200], rows=rows)


async def organisations(secrets: Secrets) -> tuple[list[OrgSeen], list[Org]]:
    """What can be said of each document, and those that can be used. StoreError."""
    seen: list[OrgSeen] = []
    usable: list[Org] = []
    for name in sorted(await secrets.names()):
        try:
            found = await secrets.read(name)
            org = wiring.parse_org(b"" if found is None else found.body, name)
        except (SettingsError, StoreError) as error:
            seen.append(OrgSeen(name=name, trouble=str(error)))
            continue
        seen.append(OrgSeen(name=name, endpoints=len(org.endpoints)))
        usable.append(org)
    return seen, usable


def named_files(environment: Mapping[str, str]) -> tuple[list[OrgSeen], list[Org]]:
    """Those that the environment names, for every way to run."""
    seen: list[OrgSeen] = []
    usable: list[Org] = []
    for path in filter(None, environment.get("CUTWATER_ORG_FILES", "").split(os.pathsep)):
        try:
            found = wiring.read_orgs([Path(path)])
        except SettingsError as error:
            seen.append(OrgSeen(name=path, trouble=str(error)))
            continue
        for org in found.values():
            seen.append(OrgSeen(name=org.name, endpoints=len(org.endpoints)))
            usable.append(org)
    return seen, usable


def own_org(environment: Mapping[str, str]) -> Org:
    """The organisation `local` as `cutwater serve` makes it, without its key."""
    return Org(name=local.LOCAL, endpoints=local.own_endpoints(environment))
