"""Several versions of awslambdaric, each in a folder of its own beside the environment's.

The runtimes that AWS manages are not all of one version, and they change
without notice.
"""

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

REQUIRED: Final = "CUTWATER_REQUIRE_CORPUS"
INSTALLED: Final = "installed"
WITH_SNAPSTART: Final = ("3.1.1", "4.0.4", INSTALLED)
# The oldest was never built for a newer Python than 3.12.
VERSIONS: Final = ("2.2.1", *WITH_SNAPSTART) if sys.version_info < (3, 13) else WITH_SNAPSTART


def folder(version: str) -> Path | None:
    """Where this version is, fetched where it is not yet; None for the environment's own."""
    if version == INSTALLED:
        return None
    found = Path(sys.prefix) / f"awslambdaric-{version}"
    with _alone(found.with_name(f"{found.name}.lock")):
        if not found.exists():
            _fetch(version, found)
    return found


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time: pytest-xdist runs several."""
    import fcntl

    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(version: str, target: Path) -> None:
    partial = target.with_name(f"{target.name}.part")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    choice = ["--no-deps", "--only-binary=:all:", "--target", str(partial)]
    try:
        subprocess.run(
            [*pip, *choice, f"awslambdaric=={version}"],
            check=True,
            timeout=45,
            capture_output=True,
            text=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        reason = f"awslambdaric {version} could not be installed on {platform.platform()}: {error}"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{reason}\n{error.stderr!s}", pytrace=False)
        pytest.skip(reason)
    partial.rename(target)
