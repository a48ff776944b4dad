"""Make .venv and install Cutwater into it: `local` to run it, `dev` to work on it.

Written so that any Python can read it: one that is too old must be able to say so.
"""

from __future__ import print_function

import os
import subprocess
import sys

OLDEST = (3, 11)
EXTRAS = {"local": "local", "dev": "local,dev"}


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
    windows = os.name == "nt"
    python = os.path.join(".venv", "Scripts" if windows else "bin", "python")
    if not os.path.exists(python) and subprocess.call([sys.executable, "-m", "venv", ".venv"]):
        fail(
            "could not create .venv. On Debian and Ubuntu: apt-get install python3-venv, "
            "then again."
        )
    print("Installing Cutwater into .venv ...")
    sys.stdout.flush()
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.call(install + ["--editable", ".[" + EXTRAS[kind] + "]"]):
        fail("the installation failed: see above. It needs the network (PyPI).")
    for name in EXTRAS[kind].split(","):
        with open(os.path.join(".venv", "." + name), "w"):
            pass


if __name__ == "__main__":
    main(sys.argv[1])
