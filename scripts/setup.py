"""Make .venv and install Cutwater into it: `local` to run it, `dev` to work on it.

`ministack` makes .venv-ministack instead: an emulator of AWS for the tests, which
wants another botocore than ours. `sam` makes .venv-sam, for the same reason: what
builds, checks and deploys the template.

Written so that any Python can read it: one that is too old must be able to say so.
"""

from __future__ import print_function

import os
import subprocess
import sys

OLDEST = (3, 11)
EXTRAS = {"local": "local", "dev": "local,dev"}
TOOLS = {
    "ministack": ["ministack>=1.5.33,<2", "aws-sam-translator>=1.115,<2"],
    "sam": ["aws-sam-cli>=1.170,<2", "cfn-lint>=1.40,<2"],
}
NAMES = {".venv": "Cutwater", ".venv-ministack": "ministack", ".venv-sam": "SAM"}


def fail(message):
    sys.stderr.write("cutwater: " + message + "\n")
    sys.exit(1)


def main(kind):
    if sys.version_info < OLDEST:
        fail(
            "Python %d.%d or newer is needed, but %s is Python %d.%d. "
            "Name another one: make run PYTHON=/path/to/python3.13"
            % (OLDEST + (sys.executable,) + tuple(sys.version_info[:2]))
        )
    if kind in TOOLS:
        install(".venv-" + kind, TOOLS[kind], [".ready"])
    else:
        extras = EXTRAS[kind]
        marks = ["." + name for name in extras.split(",")]
        install(".venv", ["--editable", ".[" + extras + "]"], marks)


def install(folder, what, marks):
    windows = os.name == "nt"
    python = os.path.join(folder, "Scripts" if windows else "bin", "python")
    if not os.path.exists(python) and subprocess.call([sys.executable, "-m", "venv", folder]):
        fail(
            "could not create %s. On Debian and Ubuntu: apt-get install python3-venv, "
            "then again." % folder
        )
    print("Installing %s into %s ..." % (NAMES[folder], folder))
    sys.stdout.flush()
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.call(pip + what):
        fail("the installation failed: see above. It needs the network (PyPI).")
    for name in marks:
        with open(os.path.join(folder, name), "w"):
            pass


if __name__ == "__main__":
    main(sys.argv[1])
