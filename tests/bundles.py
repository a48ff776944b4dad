"""What `make build` makes, for Lambda and for this machine, and the runtime to run it with."""

import platform
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from scripts import build_lambda

HERE: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
TARGET: Final = "3.13"
_RUNTIME: Final = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")


def built(target: Path, *, python: str = HERE, machine: str = "", pyc: bool = True) -> Path:
    """A bundle for this machine, unless another one is named; taken from nowhere, made anew."""
    compiler = build_lambda.find_python(python) if pyc else None
    build_lambda.build(target, python, machine or _machine(), compiler)
    return target


def _machine() -> str:
    found = platform.machine()
    if found not in build_lambda.PLATFORMS or sys.platform == "win32":
        pytest.skip(f"No wheels are chosen for {sys.platform} on {found}.")
    return found


def runtime(target: Path) -> Path:
    """awslambdaric and what it needs, as it lies beside a function in Lambda."""
    target.mkdir(parents=True)
    for name in _RUNTIME:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            continue  # Older ones did without it.
        origin = Path(spec.origin)
        if origin.name == "__init__.py":
            shutil.copytree(origin.parent, target / name)
        else:
            shutil.copy(origin, target)
    return target


def run(bundle: Path, code: str, **environment: str) -> str:
    """What the code prints, in a fresh process that has nothing but the bundle."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(bundle), **environment},
        cwd=bundle.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
