"""Files of organisations: for their owner's eyes only, and never half written."""

import os
from pathlib import Path

import pytest

from core.ports import StoreError
from infra.org_files import OrgFiles


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_file_is_for_its_owners_eyes_only_whatever_the_umask(tmp_path: Path):
    before = os.umask(0)
    try:
        await OrgFiles(tmp_path / "data" / "orgs").write("Acme Ltd", b"{}")
    finally:
        os.umask(before)
    file = tmp_path / "data" / "orgs" / "=41cme=20=4Ctd.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert files_in(file.parent) == [file.name]


async def test_a_file_that_could_be_read_by_others_is_so_no_more_when_written(tmp_path: Path):
    file = tmp_path / "acme.json"
    file.write_bytes(b"old")
    file.chmod(0o644)
    await OrgFiles(tmp_path).write("acme", b"{}")
    assert file.stat().st_mode & 0o777 == 0o600


async def test_files_that_are_not_ours_are_not_listed(tmp_path: Path):
    for name in (".new-x", "README.md", "Acme.json", "=zz.json", "=41.json", "=FF.json", ".json"):
        (tmp_path / name).write_bytes(b"{}")
    assert await OrgFiles(tmp_path).names() == ["A"]


async def test_what_cannot_be_written_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path):
    (tmp_path / "acme.json").mkdir()
    (tmp_path / "acme.json" / "x").write_bytes(b"")
    files = OrgFiles(tmp_path)
    with pytest.raises(StoreError, match="could not be written"):
        await files.write("acme", b'{"secret":"sk-sentinel"}')
    assert files_in(tmp_path) == ["acme.json"]
    with pytest.raises(StoreError, match="could not be read"):
        await files.read("acme")
    with pytest.raises(StoreError, match="could not be deleted"):
        await files.delete("acme")


async def test_a_folder_that_is_none_is_trouble_that_is_told(tmp_path: Path):
    (tmp_path / "orgs").write_bytes(b"")
    files = OrgFiles(tmp_path / "orgs")
    with pytest.raises(StoreError, match="could not be listed"):
        await files.names()
    with pytest.raises(StoreError, match="could not be written"):
        await files.write("acme", b"{}")
