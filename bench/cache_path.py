"""A hit of the cache, against a kept miss, a call that is not cached, and a bare aiohttp server
that returns the same bytes: CPU and time, in turn, in one run. Read the ratios.
"""

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import load
import meter
import msgspec
from hot_path import HERE, commands, ready, row

ROUNDS, REQUESTS = 5, 600
CACHED = {"temperature": 0}
NUMBERS = itertools.count()
WAYS = {
    "server": "bare aiohttp server, same bytes",
    "hit": "hit",
    "plain": "not cached (pass lane)",
    "miss": "miss that is kept",
}


def request(**fields: object) -> bytes:
    user = {"role": "user", "content": load.QUESTION}
    system = {"role": "system", "content": load.SYSTEM}
    asked = {"model": load.OPENAI_MODEL, "messages": [system, user], "max_tokens": 300, **fields}
    raw = msgspec.json.encode(asked)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        f"authorization: Bearer {load.KEY}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


def asked(way: str) -> Iterator[bytes]:
    match way:
        case "miss":
            return (request(**CACHED, user=f"user {number}") for number in NUMBERS)
        case "plain":
            return itertools.repeat(request(temperature=0.7))
        case _:
            return itertools.repeat(request(**CACHED))


async def press(port: int, way: str, callers: int, requests: int) -> list[float]:
    """Seconds of each request."""
    sample, questions = load.Sample(), itertools.islice(asked(way), requests)

    async def work() -> None:
        caller = await load.Caller.connect(port)
        for question in questions:
            async with asyncio.timeout(load.PATIENCE_S):
                await caller.ask(question, sample)
        caller.writer.close()

    await asyncio.gather(*(work() for _ in range(callers)))
    return sample.whole


async def measure(
    ports: dict[str, int], pids: dict[str, int], way: str, callers: int
) -> tuple[float, float]:
    """CPU seconds for 1,000 requests, and the median of their milliseconds."""
    target = "server" if way == "server" else "cutwater"
    before = await load.settings(ports["upstream"])
    start = await meter.settled(pids[target])
    seconds = await press(ports[target], way, callers, REQUESTS)
    end = await meter.settled(pids[target])
    after = await load.settings(ports["upstream"])
    wanted = REQUESTS if way in ("plain", "miss") else 0
    load.expect(f"{way}: asked upstream", after.answered - before.answered, wanted)
    return (end.ran - start.ran) / REQUESTS * 1000, median(seconds) * 1000


async def run() -> str:
    ports = {name: meter.free_port() for name in ("upstream", "server", "cutwater")}
    pids: dict[str, int] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cutwater-bench-")))
        known = commands(folder, ports["upstream"])
        known["server"] = [str(HERE / "bare_server.py"), "--body", str(folder / "body")]
        for name in ("upstream", "cutwater", "server"):
            if name == "server":
                caller = await load.Caller.connect(ports["cutwater"])
                body = await caller.ask(request(**CACHED), load.Sample())
                (folder / "body").write_bytes(body)
            log = folder / f"{name}.log"
            arguments = [*known[name], "--port", str(ports[name])]
            child = stack.enter_context(meter.running(arguments, int(name != "upstream"), log))
            await ready(child, ports[name], log)
            pids[name] = child.pid
        return "\n".join([line async for line in tables(ports, pids)])


async def tables(ports: dict[str, int], pids: dict[str, int]):
    for callers in (1, 16):
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        for way in WAYS:  # Warm: connections, caches, late imports.
            await measure(ports, pids, way, callers)
        for _ in range(ROUNDS):
            for way in WAYS:
                found[way].append(await measure(ports, pids, way, callers))
        yield ""
        yield row(f"{callers} caller(s)", "CPU s / 1k", "x bare server", "ms", "ms / bare server's")
        yield row("---", *["---:"] * 4)
        for way, title in WAYS.items():
            pairs = list(zip(found[way], found["server"], strict=True))
            cpu, spent = median(one for one, _ in found[way]), median(ms for _, ms in found[way])
            by_cpu = median(ours[0] / bare[0] for ours, bare in pairs)
            by_time = median(ours[1] / bare[1] for ours, bare in pairs)
            yield row(title, f"{cpu:.3f}", f"{by_cpu:.2f}", f"{spent:.2f}", f"{by_time:.2f}")


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    meter.pin(0, 0)
    started = time.monotonic()
    print(asyncio.run(run()))
    print(f"\n{ROUNDS} rounds of {REQUESTS} requests, {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    main()
