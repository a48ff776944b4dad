"""What Lambda gets: only what it needs, small, the same bytes each time, compiled for it."""

import hashlib
import struct
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scripts import build_lambda
from tests import bundles

ROOT = Path(__file__).resolve().parents[2]
UNCHECKED = 0b01
MAGIC_313 = 3571


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For Lambda itself: Python 3.13 on arm64."""
    folder = tmp_path_factory.mktemp("lambda") / "bundle"
    return bundles.built(folder, python=bundles.TARGET, machine="aarch64")


def packed(bundle: Path, target: Path) -> str:
    build_lambda.pack(bundle, target)
    return hashlib.sha256(target.read_bytes()).hexdigest()


def test_a_bundle_has_at_most_12_mb_zipped(bundle: Path, tmp_path: Path):
    packed(bundle, tmp_path / "bundle.zip")
    size = (tmp_path / "bundle.zip").stat().st_size
    assert size <= 12_000_000, f"{size / 1e6:.1f} MB"


def test_the_same_input_gives_the_same_bytes(bundle: Path, tmp_path: Path):
    again = bundles.built(tmp_path / "again", python=bundles.TARGET, machine="aarch64")
    first = packed(bundle, tmp_path / "first.zip")
    assert first == packed(again, tmp_path / "second.zip")
    (again / "core" / "wire.py").write_text("# Another one.")
    assert first != packed(again, tmp_path / "third.zip")


def test_nothing_is_in_it_that_lambda_does_not_need(bundle: Path):
    names = {path.name for path in bundle.iterdir()}
    assert {"core", "providers", "infra", "handlers"} <= names
    assert not names & {"boto3", "botocore", "typer", "rich", "uvicorn", "tests", "awslambdaric"}
    files = [path.relative_to(bundle) for path in build_lambda.files(bundle)]
    assert not [file for file in files if "tests" in file.parts or file.suffix in (".pyi", ".c")]
    ours = {str(file) for file in files if file.parts[0] == "handlers"}
    assert {"handlers/http.py", "handlers/admin.py"} <= ours
    assert not [name for name in ours if name.startswith("handlers/cli")]


def test_native_code_is_that_of_the_runtime(bundle: Path):
    native = [path.name for path in build_lambda.files(bundle) if path.suffix == ".so"]
    assert native
    assert all("aarch64" in name or "abi3" in name for name in native)


def test_every_module_is_compiled_for_the_runtime_and_never_compared(bundle: Path):
    if build_lambda.find_python(bundles.TARGET) is None:
        pytest.skip("No Python 3.13 is here to compile with.")
    for source in (path for path in build_lambda.files(bundle) if path.suffix == ".py"):
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        head = compiled.read_bytes()[:8]
        magic, flags = struct.unpack("<H2xI", head)
        assert (magic, flags) == (MAGIC_313, UNCHECKED), source


def test_times_and_modes_are_all_the_same(bundle: Path):
    for path in build_lambda.files(bundle):
        found = path.stat()
        assert found.st_mtime == build_lambda.TIME
        assert found.st_mode & 0o777 == (0o755 if path.suffix == ".so" else 0o644)


def test_the_locked_versions_are_those_that_the_project_asks_for():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = {
        line.partition("==")[0]: line.partition("==")[2].split()[0]
        for line in build_lambda.REQUIREMENTS.read_text().splitlines()
        if "==" in line
    }
    for wanted in map(Requirement, project["dependencies"]):
        assert wanted.specifier.contains(locked[wanted.name]), wanted


IMPORT_ALL = """
import importlib, pathlib, sys
bundle = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else {bundle!r})
for package in ("core", "providers", "infra", "handlers"):
    for path in sorted((bundle / package).rglob("*.py")):
        name = ".".join(path.relative_to(bundle).with_suffix("").parts)
        importlib.import_module(name.removesuffix(".__init__"))
print("all of them")
"""


def test_all_of_ours_runs_on_what_is_in_the_bundle_alone(tmp_path: Path):
    """On this machine's wheels: those of Lambda do not run here."""
    here = bundles.built(tmp_path / "here")
    assert bundles.run(here, IMPORT_ALL.format(bundle=str(here))) == "all of them\n"


def test_without_a_python_of_the_runtime_the_build_goes_on_without(tmp_path: Path):
    plain = bundles.built(tmp_path / "plain", pyc=False)
    assert not [path for path in build_lambda.files(plain) if path.suffix == ".pyc"]
    assert build_lambda.find_python("3.99") is None


def test_a_compiler_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setenv("LAMBDA_COMPILER", sys.executable)
    with pytest.raises(SystemExit, match=r"no CPython 3\.99"):
        build_lambda.find_python("3.99")
