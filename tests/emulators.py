"""AWS on this machine: moto's server; ministack and SAM in environments of their own.

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
    return _program(repository, "ministack", "ministack")


def require_sam(program: str = "sam", repository: Path = _REPOSITORY) -> Path:
    """`sam`, or what else lies beside it."""
    return _program(repository, "sam", program)


def _program(repository: Path, environment: str, name: str) -> Path:
    folder = "Scripts" if sys.platform == "win32" else "bin"
    program = repository / f".venv-{environment}" / folder / name
    if not program.exists():
        _absent(f"{environment} is not in .venv-{environment}: `make test` puts it there")
    return program


def _absent(reason: str) -> NoReturn:
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason}, and {REQUIRED}=1 forbids to skip.", pytrace=False)
    pytest.skip(f"{reason}.")
