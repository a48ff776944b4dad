"""Build what Lambda runs: our code, the wheels of its platform, and their .pyc.

    build_lambda.py TARGET [--python 3.13] [--machine aarch64]

It needs neither Docker nor the Python of the runtime, but that one makes the
.pyc: its file system is read-only there, so without them each start compiles
all that it imports. They are never compared with their sources
(unchecked-hash), so that no file's time matters. Same input, same bytes: what
was built once is taken from build/lambda.
"""

import argparse
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "scripts" / "lambda-requirements.txt"
PACKAGES = ("core", "providers", "infra", "handlers")
LEFT_OUT = (
    "core/importing/*",
    "core/checks.py",
    "core/cost_estimate.py",
    "handlers/cli*.py",
    "handlers/cost_report.py",
    "handlers/doctor*.py",
    "handlers/local.py",
    "handlers/terminal.py",
    "infra/org_files.py",
    "infra/sqlite.py",
    "**/py.typed",
)
"""Of ours: the command line and the laptop's stores."""
PRUNED = (
    "*.dist-info",
    "bin",
    "pycparser",
    "**/tests",
    "**/test",
    "**/_testcapi*",
    "**/.hash",
    "**/*.pyi",
    "**/*.pyx",
    "**/*.pxd",
    "**/*.pxi",
    "**/*.c",
    "**/*.h",
    "**/*.cfg",
    "**/__pycache__",
)
"""Of the wheels: what only a compiler or a test reads. `cffi` reads C with pycparser; nothing
here does."""
MOST_ZIPPED = 12 * 1000 * 1000
PLATFORMS = {
    "aarch64": ["manylinux_2_28_aarch64", "manylinux2014_aarch64"],
    "x86_64": ["manylinux_2_28_x86_64", "manylinux2014_x86_64"],
    "arm64": ["macosx_11_0_arm64"],
}
TIME = 315_619_200
"""The first of January 1980, where the times of a zip begin."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the Lambda bundle.")
    parser.add_argument("target", type=Path)
    parser.add_argument("--python", default=os.environ.get("LAMBDA_PYTHON") or "3.13")
    parser.add_argument("--machine", default=os.environ.get("LAMBDA_MACHINE") or "aarch64")
    parser.add_argument("--no-pyc", action="store_true")
    asked = parser.parse_args()
    if asked.machine not in PLATFORMS:
        raise SystemExit(f"build: --machine is one of {', '.join(PLATFORMS)}.")
    compiler = None if asked.no_pyc else find_python(asked.python)
    if compiler is None and not asked.no_pyc:
        say(
            f"no Python {asked.python} is here to compile for the runtime: each cold start will "
            "cost about twice the time. Install one (`uv python install "
            f"{asked.python}`) or name it: LAMBDA_COMPILER=/path/to/python{asked.python}"
        )
    name = f"{asked.machine}-{asked.python}-{'pyc' if compiler else 'plain'}"
    bundle = ROOT / "build" / "lambda" / f"{name}-{digest_of_input(name)}"
    if not bundle.exists():
        partial = bundle.with_name(f"{bundle.name}.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            build(partial, asked.python, asked.machine, compiler)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        forget_older(bundle.parent, name)
        if bundle.exists():  # By another process meanwhile.
            shutil.rmtree(partial)
        else:
            partial.rename(bundle)
    shutil.copytree(bundle, asked.target, dirs_exist_ok=True)
    report(bundle, name)


def digest_of_input(name: str) -> str:
    digest = hashlib.sha256(name.encode())
    for path in [Path(__file__), REQUIREMENTS, *(path for path, _ in sources())]:
        digest.update(f"\n{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def sources() -> Iterator[tuple[Path, Path]]:
    """Our files, and where each lies in the bundle."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            inside = path.relative_to(ROOT)
            hidden = "__pycache__" in inside.parts or any(map(inside.match, LEFT_OUT))
            if path.is_file() and not hidden:
                yield path, inside


def build(target: Path, python: str, machine: str, compiler: Path | None) -> None:
    target.mkdir(parents=True)
    install(target, python, machine)
    for pattern in PRUNED:
        for path in list(target.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path, inside in sources():
        (target / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / inside)
    if compiler is not None:
        compile_all(target, compiler)
    for path in files(target):
        path.chmod(0o755 if path.suffix == ".so" else 0o644)
        os.utime(path, (TIME, TIME))


def install(target: Path, python: str, machine: str) -> None:
    pip = [*with_pip(), "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    pip += ["--no-compile", "--require-hashes", "--requirement", str(REQUIREMENTS)]
    pip += ["--target", str(target), "--implementation", "cp", "--python-version", python]
    pip += ["--only-binary=:all:"]
    for platform in PLATFORMS[machine]:
        pip += ["--platform", platform]
    if subprocess.call(pip):
        raise SystemExit("build: the wheels could not be installed: see above.")


def with_pip() -> list[str]:
    """A pip: of this Python, or of .venv where a system's Python comes without."""
    for python in (sys.executable, str(ROOT / ".venv" / "bin" / "python")):
        check = [python, "-c", "import pip"]
        if Path(python).exists() and not subprocess.call(check, stderr=subprocess.DEVNULL):
            return [python, "-m", "pip"]
    raise SystemExit(
        "build: this Python has no pip. On Debian and Ubuntu: apt-get install "
        "python3-pip; or name another: make build PYTHON=/path/to/python3"
    )


def find_python(version: str) -> Path | None:
    """An interpreter of the runtime's minor version: only it writes .pyc that it can read."""
    name, home = f"python{version}", Path.home()
    named = os.environ.get("LAMBDA_COMPILER")
    found: list[str | Path | None] = [named, sys.executable, shutil.which(name)]
    found += home.glob(f".pyenv/versions/{version}.*/bin/{name}")
    found += home.glob(f".local/share/uv/python/cpython-{version}*/bin/{name}")
    ask = "import sys; print('%d.%d %s' % (*sys.version_info[:2], sys.implementation.name))"
    for candidate in filter(None, found):
        done = subprocess.run(
            [candidate, "-I", "-c", ask], capture_output=True, text=True, check=False
        )
        if done.stdout.strip() == f"{version} cpython":
            return Path(candidate)
    if named:
        raise SystemExit(f"build: LAMBDA_COMPILER is no CPython {version}: {named}")
    return None


def compile_all(target: Path, compiler: Path) -> None:
    command = [str(compiler), "-m", "compileall", "-q", "-f"]
    command += ["--invalidation-mode", "unchecked-hash"]
    # As a traceback shows it.
    command += ["-s", str(target), "-p", "/var/task", str(target)]
    # The order of a set in a constant is the same each time.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    if subprocess.call(command, env=environment):
        raise SystemExit("build: the code could not be compiled: see above.")


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def forget_older(folder: Path, name: str) -> None:
    for path in folder.glob(f"{name}-*"):
        if path.suffix == ".zip":
            path.unlink()
        elif "." not in path.name.removeprefix(name):  # Else another process is at it.
            shutil.rmtree(path)


def pack(bundle: Path, target: Path) -> None:
    """A zip that depends on nothing but the names and the bytes of the files."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in files(bundle):
            entry = zipfile.ZipInfo(path.relative_to(bundle).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | path.stat().st_mode & 0o777) << 16
            archive.writestr(entry, path.read_bytes())


def report(bundle: Path, name: str) -> None:
    archive = bundle.parent / f"{bundle.name}.zip"
    if not archive.exists():
        pack(bundle, archive)
    size = archive.stat().st_size
    whole = sum(path.stat().st_size for path in files(bundle))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    say(f"{name}: {size / 1e6:.1f} MB zipped, {whole / 1e6:.1f} MB unpacked, sha256 {digest}")
    if size > MOST_ZIPPED:
        raise SystemExit(f"build: that is more than {MOST_ZIPPED / 1e6:.0f} MB.")


def say(text: str) -> None:
    print(f"build: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
