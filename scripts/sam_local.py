"""`sam local start-api` on the template; without Docker it says so and is done.

Answers come whole: `sam local` cannot stream. It has neither table nor secrets, so callers bring
a provider's own key, or ask the demo.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAM = ROOT / ".venv-sam" / "bin" / "sam"
PARAMETERS = ("ProviderKeys=on", "Cache=off")


def docker_is_here() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return not subprocess.call(
        [docker, "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def main() -> None:
    if not docker_is_here():
        print("sam-local: skipped, Docker does not run here. `make run` serves without it.")
        return
    environment = {**os.environ, "PYTHON": sys.executable}
    build = [str(SAM), "build"]
    serve = [str(SAM), "local", "start-api", "--port", "3000", "--parameter-overrides", *PARAMETERS]
    for command in (build, serve):
        if code := subprocess.call(command, cwd=ROOT, env=environment):
            raise SystemExit(code)


if __name__ == "__main__":
    main()
