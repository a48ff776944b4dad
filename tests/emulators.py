"""AWS on this machine: moto's server, and ministack in an environment of its own.

Each may be absent: then a test that asks for one skips and says why, or fails
where CUTWATER_REQUIRE_EMULATORS=1 (as in CI). `make test` installs both.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

import pytest

REQUIRED: Final = "CUTWATER_REQUIRE_EMULATORS"
_REPOSITORY: Final = Path(__file__).resolve().parents[1]


def require_moto() -> None:
    # Looked for, not imported: it is heavy, and wanted in the server's process only.
    if not all(find_spec(name) for name in ("moto", "flask")):
        _absent("moto's server is not installed: `make test` does it")


def require_ministack(repository: Path = _REPOSITORY) -> Path:
    """Its program."""
    folder = "Scripts" if sys.platform == "win32" else "bin"
    program = repository / ".venv-ministack" / folder / "ministack"
    if not program.exists():
        _absent("ministack is not in .venv-ministack: `make test` puts it there")
    return program


def _absent(reason: str) -> NoReturn:
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason}, and {REQUIRED}=1 forbids to skip.", pytrace=False)
    pytest.skip(f"{reason}.")
