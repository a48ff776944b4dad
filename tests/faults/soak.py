"""Many clients and random faults for a long time: `python -m tests.faults.soak --seconds 600`.

Three endpoints in three dialects serve one model. Every request has to end as
the whole answer or as an honest error, in time, whatever is played; and the
process may not grow. The exit status says whether it was so.
"""

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from msgspec import Struct, field

from tests import processes
from tests.fakes import KEY
from tests.faults import plays, speech
from tests.faults.clients import Outcome, outcome, question
from tests.faults.plays import refused, status
from tests.faults.served import PATH
from tests.faults.server import Asked, FaultServer, Play, fault_server
from tests.faults.speech import DIALECTS, TEXT, DialectName
from tests.faults.world import endpoint

TOTAL_S: Final = 10.0
HANG_S: Final = 15.0
"""`total_s` is less: what takes longer hangs."""
GROWTH: Final = 0.05
WARM_UP_S: Final = 120.0
LEFT_BEHIND: Final = 4
"""Files, sockets and tasks: fewer are noise."""
SERVED_BY: Final[tuple[DialectName, ...]] = ("openai_chat", "anthropic", "gemini")
FINE: Final = 0.6
"""Share of the attempts without a fault."""
FAULTS: Final[tuple[Play, ...]] = (
    plays.reset_before_head,
    plays.close_before_head,
    plays.reset_after_head,
    plays.close_after_head,
    plays.cut_mid_chunk,
    plays.cut_mid_event,
    plays.end_between_events,
    plays.end_in_preamble,
    plays.stall_before_head,
    plays.stall_after_head,
    plays.stall_in_preamble,
    plays.stall_mid_answer,
    plays.comments_forever,
    plays.garbage_event,
    plays.no_json,
    plays.html,
    plays.nothing,
    plays.no_end_mark,
    plays.error_event("head"),
    plays.error_event("words"),
    plays.http_1_0,
    plays.http_1_0_cut,
    plays.length_too_long,
    plays.length_too_short,
    plays.encoded("gzip"),
    plays.gzip_cut,
    plays.encoded("zstd"),
    status(429),
    status(429, "retry-after: 1"),
    status(500),
    status(503),
    status(529),
    refused(speech.TOO_LONG),
    refused(speech.KEY_REFUSED),
)


class Load(Struct, frozen=True, kw_only=True):
    seconds: float
    clients: int
    seed: int = 6
    most_growth: float | None = GROWTH
    """None: the run is too short to tell."""


class Report(Struct, kw_only=True):
    ends: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    attempts: int = 0
    lies: list[str] = field(default_factory=list)
    hung: int = 0
    left: int = 0
    """Requests whose client went away."""
    rss: list[tuple[float, int]] = field(default_factory=list)
    """(seconds since the start, bytes)."""
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    growth: float | None = None

    def breaches(self, most_growth: float | None) -> list[str]:
        found = [f"a lie: {lie}" for lie in self.lies[:10]]
        if len(self.lies) > 10:
            found.append(f"and {len(self.lies) - 10} more lies")
        if self.hung:
            found.append(f"{self.hung} requests hung for more than {HANG_S:g} s")
        for name, held in self.before.items():
            if self.after[name] > held + LEFT_BEHIND:
                found.append(f"{name}: {held} before, {self.after[name]} after")
        if most_growth is not None and self.growth is not None and self.growth > most_growth:
            found.append(f"memory grew by {self.growth:.1%}, more than {most_growth:.0%}")
        if not self.ends["complete 200"]:
            found.append("not one request was answered")
        return found


def _script(draw: random.Random) -> Any:
    """Each endpoint has good and bad minutes, and bad moments in both."""

    def play(asked: Asked) -> Play:
        good = int(asked.at / 20) % 3 != 0
        fine = FINE if good else FINE / 2
        return plays.fine if draw.random() < fine else draw.choice(FAULTS)

    return play


def _document(servers: list[FaultServer]) -> dict[str, Any]:
    return {
        "name": "soak",
        "keys": [{"name": "ci", "key": KEY}],
        "endpoints": [
            endpoint(f"of-{dialect}", server, dialect)
            for dialect, server in zip(SERVED_BY, servers, strict=True)
        ],
        "timeouts": {
            "connect_s": 1,
            "first_byte_s": 1,
            "first_token_s": 1,
            "idle_s": 1,
            "total_s": TOTAL_S,
        },
        "retry": {"budget_s": 5, "max_attempts": 6},
    }


@asynccontextmanager
async def _served(folder: Path, servers: list[FaultServer]) -> AsyncIterator[processes.Server]:
    file = folder / "soak.json"
    file.write_bytes(msgspec.json.encode(_document(servers)))
    port, log = processes.free_port(), folder / "cutwater.log"
    arguments = [str(port), str(folder / "data"), str(file)]
    (folder / "data").mkdir()
    command = [sys.executable, "-m", "tests.faults.served", *arguments]
    process = processes.start(command, log, {})
    url = f"http://{processes.HOST}:{port}"
    try:
        await asyncio.to_thread(
            processes.wait_until, lambda: processes.get(url, "/health"), process, log
        )
        yield processes.Server(process, url, log)
    finally:
        await asyncio.to_thread(processes.stop, process)


class _Client:
    def __init__(self, number: int, load: Load, session: Any, url: str, report: Report) -> None:
        self._draw = random.Random(f"{load.seed} {number}")  # noqa: S311
        self._session = session
        self._url = url
        self._report = report

    async def run(self, until: float) -> None:
        while time.monotonic() < until:
            await self.once()

    async def once(self) -> None:
        draw, report = self._draw, self._report
        client, stream = draw.choice(DIALECTS), draw.random() < 0.7
        headers = {"authorization": f"Bearer {KEY}"}
        prompt = "hi"
        if draw.random() < 0.1:
            # What is kept must be whole as well.
            headers["x-bt-use-cache"] = "always"
            prompt = f"question {draw.randrange(50)}"
        path, body = question(client, stream=stream, prompt=prompt)
        leaves_after = draw.uniform(0, 0.5) if draw.random() < 0.05 else None
        began = time.monotonic()
        try:
            async with asyncio.timeout(leaves_after or HANG_S):
                found = await self._ask(client, path, body, headers, stream=stream)
        except TimeoutError:
            if leaves_after is None:
                report.hung += 1
            else:
                report.left += 1
            return
        report.slowest_s = max(report.slowest_s, time.monotonic() - began)
        report.ends[f"{found.end} {found.status}"] += 1
        if found.end == "lie" or not TEXT.startswith(found.text):
            report.lies.append(f"{client}, {'stream' if stream else 'whole'}: {found}")
        elif found.end == "complete" and found.text != TEXT:
            report.lies.append(f"{client}: a short answer as a whole one: {found.text!r}")

    async def _ask(
        self, client: DialectName, path: str, body: Any, headers: Any, *, stream: bool
    ) -> Outcome:
        try:
            async with self._session.post(self._url + path, json=body, headers=headers) as reply:
                told = {name.lower(): value for name, value in reply.headers.items()}
                said = await reply.read()
        except aiohttp.ClientError as error:
            return Outcome(end="lie", status=0, said=f"no answer: {error!r}")
        return outcome(client, reply.status, told, said, stream=stream)


def _rss(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def _held(session: Any, url: str, pid: int) -> dict[str, int]:
    async with session.get(url + PATH) as reply:
        tasks: int = (await reply.json(content_type=None))["tasks"]
    return {"files and sockets": len(os.listdir(f"/proc/{pid}/fd")), "tasks": tasks}  # noqa: PTH208


async def _settled(url: str, pid: int, wanted: dict[str, int]) -> dict[str, int]:
    """What is held once all that ends by itself has ended, on a connection of its own."""
    held: dict[str, int] = {}
    for _ in range(50):
        async with aiohttp.ClientSession() as session:
            held = await _held(session, url, pid)
        if wanted and all(held[name] <= wanted[name] for name in wanted):
            break
        await asyncio.sleep(0.1)
    return held


async def _sample(report: Report, pid: int, began: float) -> None:
    while True:
        report.rss.append((time.monotonic() - began, _rss(pid)))
        await asyncio.sleep(1.0)


def _growth(rss: list[tuple[float, int]], load: Load) -> float | None:
    """Of the medians of half a minute: one sample says little."""
    warm = min(WARM_UP_S, load.seconds / 2)
    window = min(30.0, load.seconds / 4)
    early = [size for at, size in rss if warm <= at < warm + window]
    late = [size for at, size in rss if load.seconds - window <= at]
    if not early or not late:
        return None
    return statistics.median(late) / statistics.median(early) - 1


async def soak(load: Load) -> Report:
    report = Report()
    draw = random.Random(load.seed)  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            servers = [
                await stack.enter_async_context(fault_server(_script(draw))) for _ in SERVED_BY
            ]
            served = await stack.enter_async_context(_served(Path(folder), servers))
            await _loaded(load, served, report)
            for server in servers:
                await server.hang_up()
            pid = served.process.pid
            report.after = await _settled(served.url, pid, report.before)
            report.attempts = sum(len(server.seen) for server in servers)
    report.growth = _growth(report.rss, load)
    return report


async def _loaded(load: Load, served: processes.Server, report: Report) -> None:
    pid = served.process.pid
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        clients = [
            _Client(number, load, session, served.url, report) for number in range(load.clients)
        ]
        # One request opens what is opened once: the table, the pool.
        await clients[0].once()
        report.before = await _settled(served.url, pid, {})
        began = time.monotonic()
        sampling = asyncio.ensure_future(_sample(report, pid, began))
        try:
            await asyncio.gather(*(client.run(began + load.seconds) for client in clients))
        finally:
            sampling.cancel()


def table(report: Report, load: Load) -> str:
    total = sum(report.ends.values())
    lines = [f"{load.clients} clients for {load.seconds:g} s, seed {load.seed}", ""]
    lines += [f"  {name:<16} {count:>8}" for name, count in report.ends.most_common()]
    lines += [
        f"  {'went away':<16} {report.left:>8}",
        f"  {'hung':<16} {report.hung:>8}",
        "",
        f"  {total / load.seconds:.1f} requests a second, {report.attempts} attempts, "
        f"the slowest took {report.slowest_s:.1f} s",
    ]
    if report.rss:
        last = report.rss[-1][1] / 2**20
        growth = "" if report.growth is None else f", growth {report.growth:+.1%}"
        lines.append(f"  memory {last:.1f} MB at the end{growth}")
    for name, held in report.before.items():
        lines.append(f"  {name}: {held} before, {report.after[name]} after")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seed", type=int, default=6)
    asked = parser.parse_args()
    long = asked.seconds >= 2 * WARM_UP_S
    load = Load(
        seconds=asked.seconds,
        clients=asked.clients,
        seed=asked.seed,
        most_growth=GROWTH if long else None,
    )
    report = asyncio.run(soak(load))
    breaches = report.breaches(load.most_growth)
    print(table(report, load))  # noqa: T201
    for breach in breaches:
        print(f"BREACH: {breach}")  # noqa: T201
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
