"""Absent emulators: a skip that says why, or a failure where CI demands them."""

from pathlib import Path

import pytest

from tests import emulators


def test_without_ministack_a_test_skips_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(emulators.REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="make test"):
        emulators.require_ministack(tmp_path)


def test_without_ministack_a_test_fails_where_it_is_required(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(emulators.REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match=emulators.REQUIRED):
        emulators.require_ministack(tmp_path)


def test_ministack_is_found_in_its_environment(tmp_path: Path) -> None:
    for folder in ("bin", "Scripts"):
        program = tmp_path / ".venv-ministack" / folder / "ministack"
        program.parent.mkdir(parents=True)
        program.touch()
    assert emulators.require_ministack(tmp_path).exists()
