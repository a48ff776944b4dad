"""CPU of the hot path, against a bare aiohttp pass-through on the same upstream in the same run.

The figure to trust is the ratio: both sides were measured within seconds of each other, on the
same core, with the same upstream. Seconds per 1,000 differ from machine to machine, and
latencies from minute to minute.
"""

import argparse
import asyncio
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import load
import meter
import msgspec

HERE = Path(__file__).resolve().parent
GAP_S = 0.005


@dataclass(frozen=True)
class Lane:
    name: str
    title: str
    target: str
    dialect: str = "openai"
    model: str = load.OPENAI_MODEL


LANES = {
    lane.name: lane
    for lane in (
        Lane("direct", "no proxy", "upstream"),
        Lane("baseline", "bare aiohttp", "baseline"),
        Lane("pass", "pass lane", "cutwater"),
        Lane("neutral", "neutral lane, OpenAI to Anthropic", "cutwater", model=load.CLAUDE_MODEL),
        Lane("reverse", "neutral lane, Anthropic to OpenAI", "cutwater", dialect="anthropic"),
    )
}


@dataclass(frozen=True)
class Cell:
    """`requests` is per round; `chunks` is 0 where the answer comes whole."""

    name: str
    concurrency: int
    requests: int
    chunks: int = 0


def cells(requests: int) -> tuple[Cell, ...]:
    return (
        Cell("whole, 1 caller", 1, requests),
        Cell("whole, 16 callers", 16, requests),
        Cell("streamed, 1 caller", 1, max(2, requests // 200), 100),
        Cell("streamed, 16 callers", 16, max(16, requests // 12), 50),
    )


@dataclass(frozen=True)
class Figure:
    """One lane in one cell of one round; seconds are per 1,000 requests or chunks.

    `connections` are those that were opened to the upstream: with a real one, a TLS handshake each.
    """

    cell: str
    lane: str
    cpu_s: float
    waited_s: float
    requests: int
    connections: int
    whole_ms: float | None
    first_text_ms: float | None
    on_the_way_ms: float | None


@dataclass(frozen=True)
class Bench:
    ports: dict[str, int]
    pids: dict[str, int]
    logs: dict[str, Path]

    async def check(self, lane: Lane) -> None:
        await load.settings(self.ports["upstream"], chunks=20, gap_s=0.001)
        try:
            await load.check(self.ports[lane.target], lane.dialect, lane.model, 20)
        except (load.WrongAnswerError, msgspec.DecodeError, LookupError) as error:
            said = meter.tail(self.logs[lane.target])
            raise SystemExit(f"{lane.title}: wrong answer. {error!r}\n{said}") from error

    async def measure(self, cell: Cell, lane: Lane) -> Figure:
        upstream, pid = self.ports["upstream"], self.pids[lane.target]
        first = await load.settings(upstream, chunks=cell.chunks, gap_s=GAP_S)
        before = await meter.settled(pid)
        sample = await load.press(
            self.ports[lane.target],
            load.request(lane.dialect, lane.model, stream=bool(cell.chunks)),
            concurrency=cell.concurrency,
            requests=cell.requests,
            stagger_s=GAP_S / cell.concurrency if cell.chunks else 0,
        )
        after = await meter.settled(pid)
        # A cached or lost answer would look like a cheap one.
        last, chunks = await load.settings(upstream), cell.requests * cell.chunks
        asked = last.answered - first.answered
        load.expect(f"{cell.name}, {lane.title}: asked upstream", asked, cell.requests)
        load.expect(f"{cell.name}, {lane.title}: chunks", len(sample.on_the_way), chunks)
        thousands = (chunks or cell.requests) / 1000
        return Figure(
            cell=cell.name,
            lane=lane.name,
            cpu_s=(after.ran - before.ran) / thousands,
            waited_s=(after.waited - before.waited) / thousands,
            requests=asked,
            connections=last.connections - first.connections - 1,
            whole_ms=sample.p50_ms("whole"),
            first_text_ms=sample.p50_ms("first_text"),
            on_the_way_ms=sample.p50_ms("on_the_way"),
        )


async def ready(child: subprocess.Popen, port: int, log: Path) -> None:
    """Wait for `GET /health`; the baseline forwards it, and the upstream knows it."""
    asked = b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    for _ in range(300):
        if child.poll() is not None:
            break
        with suppress(OSError, EOFError, load.WrongAnswerError):
            caller = await load.Caller.connect(port)
            await caller.ask(asked, load.Sample())
            caller.writer.close()
            return
        await asyncio.sleep(0.05)
    raise SystemExit(f"{log.stem} did not start:\n{meter.tail(log)}")


def organisation(address: str) -> bytes:
    endpoints = [
        {"name": name, "type": kind, "secret": "k", "metadata": {"api_base": f"{address}/v1"}}
        for name, kind in (("openai", "openai"), ("claude", "anthropic"))
    ]
    keys = [{"name": "bench", "key": load.KEY}]
    return msgspec.json.encode({"name": "bench", "keys": keys, "endpoints": endpoints})


def beside(lanes: list[Lane], trees: dict[str, Path]) -> list[Lane]:
    """Each lane of ours again for each other tree, in turn with it: so they can be compared."""
    ours = [lane for lane in lanes if lane.target == "cutwater"]
    return lanes + [
        replace(lane, name=f"{lane.name} {tree}", title=f"{lane.title}, {tree}", target=tree)
        for tree in trees
        for lane in ours
    ]


def commands(folder: Path, upstream_port: int, trees: dict[str, Path]) -> dict[str, list[str]]:
    address, org = f"http://127.0.0.1:{upstream_port}", folder / "bench.json"
    org.write_bytes(organisation(address))
    serve = ["-m", "handlers.cli", "serve", "--host", "127.0.0.1", "--org", str(org), "--data"]
    return {
        "upstream": [str(HERE / "upstream.py")],
        "baseline": [str(HERE / "bare_proxy.py"), "--upstream", address],
    } | {name: [*serve, str(folder / name)] for name in ("cutwater", *trees)}


async def run(lanes: list[Lane], given: argparse.Namespace) -> list[Figure]:
    """Start what the lanes need, check each answer, measure, and end what was started."""
    targets = dict.fromkeys(("upstream", *(lane.target for lane in lanes)))
    ports = {name: meter.free_port() for name in targets}
    pids, logs = {}, {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cutwater-bench-")))
        known = commands(folder, ports["upstream"], given.beside)
        for name in targets:
            log = logs[name] = folder / f"{name}.log"
            arguments = [*known[name], "--port", str(ports[name])]
            tree = given.beside.get(name, meter.ROOT)
            place = int(name != "upstream")
            child = stack.enter_context(meter.running(arguments, place, log, tree))
            await ready(child, ports[name], log)
            pids[name] = child.pid
        return await rounds(Bench(ports, pids, logs), lanes, given)


async def rounds(bench: Bench, lanes: list[Lane], given: argparse.Namespace) -> list[Figure]:
    started, figures = time.monotonic(), []
    for lane in lanes:
        await bench.check(lane)
        for cell in cells(64):  # Warm: connections, caches, late imports.
            await bench.measure(cell, lane)
    warm = time.monotonic()
    for done in range(given.rounds):
        now = time.monotonic()
        if done and (now - started) + (now - warm) / done > given.limit:
            print(f"--limit: ended after {done} of {given.rounds} rounds.", file=sys.stderr)
            break
        for cell in cells(given.requests):
            figures += [await bench.measure(cell, lane) for lane in lanes]
        print(f"round {done + 1}: {time.monotonic() - now:.0f} s", file=sys.stderr)
    return figures


def table(figures: list[Figure], cell: Cell, lanes: list[Lane]) -> Iterator[str]:
    """A row for each proxy: medians over the rounds."""
    latencies = {"whole_ms": "ms added to an answer"}
    if cell.chunks:
        latencies = {"on_the_way_ms": "ms added to a chunk", "first_text_ms": "to the first text"}
    unit = "chunks" if cell.chunks else "requests"
    yield row(
        cell.name, f"CPU s / 1k {unit}", "x bare aiohttp", "lowest, highest", *latencies.values()
    )
    yield row("---", *["---:"] * (3 + len(latencies)))

    def column(lane: str, name: str) -> list[float]:
        mine = (figure for figure in figures if (figure.cell, figure.lane) == (cell.name, lane))
        return [getattr(figure, name) for figure in mine]

    for lane in lanes:
        if lane.target == "upstream":
            continue
        cpu = column(lane.name, "cpu_s")
        # Zip ends at the shorter: empty where `--lanes` left the other side out.
        ratios = [ours / bare for ours, bare in zip(cpu, column("baseline", "cpu_s"), strict=False)]
        added = [
            [
                ours - plain
                for ours, plain in zip(column(lane.name, n), column("direct", n), strict=False)
            ]
            for n in latencies
        ]
        yield row(
            lane.title,
            f"{median(cpu):.3f}",
            f"{median(ratios):.2f}" if ratios else "",
            f"{min(ratios):.2f}, {max(ratios):.2f}" if ratios else "",
            *(f"{median(differences):.2f}" if differences else "" for differences in added),
        )


def row(*columns: str) -> str:
    return "| " + " | ".join(columns) + " |"


def report(figures: list[Figure], lanes: list[Lane]) -> str:
    measured = [figure for figure in figures if figure.lane != "direct"]
    per_lane = max(1, len(figures) // len(lanes) // len(cells(0)))
    used = sum(figure.cpu_s for figure in measured) or 1
    waited = sum(figure.waited_s for figure in measured) / used
    lines = [
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, "
        f"{len(meter.CORES) or 'unknown'} cores, {per_lane} rounds, clock {meter.read.__name__}; "
        f"the proxies waited for their core {waited:.0%} of the time they used it.",
    ]
    for cell in cells(0):
        lines += ["", *table(figures, cell, lanes)]
    return "\n".join([*lines, *wasted(figures, lanes)])


def wasted(figures: list[Figure], lanes: list[Lane]) -> Iterator[str]:
    """Connections that a lane could have kept: the first requests of a cell may open some."""
    for lane in lanes:
        streamed = [each for each in figures if each.lane == lane.name and "streamed" in each.cell]
        opened = sum(each.connections for each in streamed)
        asked = sum(each.requests for each in streamed)
        if lane.target != "upstream" and opened > asked / 4:
            yield f"\n{lane.title}: opened {opened} connections for {asked} streams."


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=400, help="per whole cell and round")
    parser.add_argument("--limit", type=float, default=80, help="seconds; no round starts beyond")
    parser.add_argument("--lanes", default=",".join(LANES), help="default: %(default)s")
    parser.add_argument(
        "--beside",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="measure this checkout of ours too, in the same rounds",
    )
    parser.add_argument("--json", type=Path, help="write each figure of each round there")
    given = parser.parse_args()
    if unknown := set(given.lanes.split(",")) - set(LANES):
        parser.error(f"unknown lanes: {', '.join(sorted(unknown))}")
    given.beside = {
        name: Path(folder) for name, _, folder in (b.partition("=") for b in given.beside)
    }
    for name, folder in given.beside.items():
        if name in ("", "upstream", "baseline", "cutwater") or not (folder / "handlers").is_dir():
            parser.error(f"--beside {name}={folder}: a name of your own, and a checkout's folder")
    return given


def main() -> None:
    given = parse()
    # A plain SIGTERM would leave the children behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    lanes = beside([LANES[name] for name in LANES if name in given.lanes.split(",")], given.beside)
    meter.pin(0, 0)
    figures = asyncio.run(run(lanes, given))
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1))
    print(report(figures, lanes))


if __name__ == "__main__":
    main()
