"""Child processes of the bench, and the CPU that they use.

The clock is the scheduler's own account in nanoseconds where Linux offers it. `/proc/PID/stat`
counts in hundredths of a second and `ps` knows one process only: with those, use more requests.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


class Reading(NamedTuple):
    """Seconds on a core, and seconds ready to run while someone else held it."""

    ran: float
    waited: float


def pin(pid: int, place: int) -> None:
    """0 is where callers and upstream share a core, 1 is for what is measured."""
    if CORES:
        os.sched_setaffinity(pid, {CORES[place % len(CORES)]})


def family(pid: int) -> list[int]:
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    members = [pid]
    for member in members:  # It grows while it is walked: children of children count.
        members += [child for child, parent in parents.items() if parent == member]
    return members


def read_schedstat(pid: int) -> Reading:
    ran = waited = 0
    for member in family(pid):
        for task in Path(f"/proc/{member}/task").glob("*/schedstat"):
            with suppress(OSError):
                on_core, in_queue, _ = task.read_text().split()
                ran, waited = ran + int(on_core), waited + int(in_queue)
    return Reading(ran / 1e9, waited / 1e9)


def read_stat(pid: int) -> Reading:
    ticks = 0
    for member in family(pid):
        with suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return Reading(ticks / os.sysconf("SC_CLK_TCK"), 0)


def read_ps(pid: int) -> Reading:
    shown = subprocess.run(
        ["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    parts = [float(part) for part in shown.stdout.strip().replace("-", ":").split(":")]
    return Reading(sum(part * 60**place for place, part in enumerate(reversed(parts))), 0)


def choose_clock():
    if Path("/proc/self/schedstat").exists():
        return read_schedstat
    return read_stat if Path("/proc/self/stat").exists() else read_ps


read = choose_clock()


async def settled(pid: int) -> Reading:
    """The reading once the process is idle: what it does after an answer counts as well."""
    before = read(pid)
    for _ in range(40):
        await asyncio.sleep(0.025)
        after = read(pid)
        if after.ran - before.ran < 0.001:
            break
        before = after
    return after


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


@contextmanager
def running(
    arguments: list[str], place: int, log: Path, tree: Path = ROOT
) -> Iterator[subprocess.Popen]:
    """A Python child in the folder `tree`, ended by its own id whatever happens."""
    # Keys of real providers would make `serve` offer more than the bench means to measure.
    environment = {name: value for name, value in os.environ.items() if "_API_KEY" not in name}
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        pin(child.pid, place)
        yield child
    finally:
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
