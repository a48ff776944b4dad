"""The template, as written and as CloudFormation gets it."""

import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests import emulators

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template.yaml"
REGION = {"AWS_DEFAULT_REGION": "eu-west-1", "SAM_CLI_TELEMETRY": "0"}


def in_sam(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """A program of SAM's environment."""
    program, *rest = arguments
    return subprocess.run(
        [str(emulators.require_sam(program)), *rest],
        cwd=ROOT,
        env={**os.environ, **REGION},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def asked(what: str, template: Path = TEMPLATE) -> Any:
    script = str(Path(__file__).with_name("in_sam.py"))
    done = in_sam("python", script, what, str(template))
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def source() -> dict[str, Any]:
    found: dict[str, Any] = asked("source")
    return found


@pytest.fixture(scope="session")
def resources() -> dict[str, Any]:
    found: dict[str, Any] = asked("transformed")["Resources"]
    return found
