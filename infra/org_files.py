"""The settings of organisations in a folder: one file each, for its owner's eyes only.

A file is written beside its place and then moved there: whoever reads sees the
old document or the new one, and never a part of either.
"""

import asyncio
import os
import tempfile
from hashlib import sha256
from pathlib import Path

from core import org_documents
from core.ports import Document, StoreError


class OrgFiles:
    """core.ports.Secrets. The folder is made when something is first written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def read(self, org: str) -> Document | None:
        name = org_documents.file_name(org)
        if name is None:
            return None
        return await asyncio.to_thread(_read, self._folder / name)

    async def write(self, org: str, body: bytes) -> None:
        name = org_documents.file_name(org)
        if name is None:
            raise org_documents.unfit_name(org)
        org_documents.check(org, body)
        await asyncio.to_thread(_write, self._folder / name, body)

    async def delete(self, org: str) -> None:
        name = org_documents.file_name(org)
        if name is not None:
            await asyncio.to_thread(_delete, self._folder / name)

    async def names(self) -> list[str]:
        return await asyncio.to_thread(_names, self._folder)

    async def close(self) -> None:
        return


def _read(path: Path) -> Document | None:
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _trouble("read", error) from error
    return Document(body, sha256(body).hexdigest()[:32])


def _write(path: Path, body: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Its mode is 0600 from the start; the name is no name of an organisation.
        number, beside = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(number)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _trouble("written", error) from error


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _trouble("deleted", error) from error


def _names(folder: Path) -> list[str]:
    try:
        found = [org_documents.org_of_file(file.name) for file in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _trouble("listed", error) from error
    return sorted(name for name in found if name is not None)


def _trouble(done: str, error: OSError) -> StoreError:
    return StoreError(f"The files of organisations could not be {done}: {error.strerror}.")
