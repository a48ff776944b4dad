"""Realtime sessions through Cutwater, through a bare aiohttp WebSocket relay, and directly.

Latency is that of a frame there and back (the provider echoes it), in turn within one run;
frames a second of a core come from the CPU of the proxy's process tree; memory is its resident
set with idle sessions less that without. Read the ratios: machines differ.
"""

import argparse
import asyncio
import base64
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import aiohttp
import meter
import msgspec
from aiohttp import WSMsgType, web

HERE = Path(__file__).resolve().parent
KEY = "cw_bench_0123456789abcdef0123456789ab"
MODEL = "gpt-realtime"
WAYS = {"direct": "direct", "bare": "bare aiohttp relay", "cutwater": "cutwater"}
AUDIO = base64.b64encode(bytes(range(256)) * 19)[:6400].decode()
"""100 ms of 24 kHz PCM16, as a client appends it."""
APPEND = msgspec.json.encode({"type": "input_audio_buffer.append", "audio": AUDIO}).decode()
DELTA = msgspec.json.encode(
    {
        "type": "response.output_audio.delta",
        "event_id": "event_AAAAAAAAAAAAAAAAAAAAA",
        "response_id": "resp_AAAAAAAAAAAAAAAAAAAAA",
        "item_id": "item_AAAAAAAAAAAAAAAAAAAAA",
        "output_index": 0,
        "content_index": 0,
        "delta": AUDIO,
    }
).decode()
PATIENCE_S = 60.0


# The provider and the bare relay, each a process of its own.


async def provider(request: web.Request) -> web.WebSocketResponse:
    """Echoes; `flood N` is answered with N deltas."""
    socket = web.WebSocketResponse(max_msg_size=1 << 24)
    await socket.prepare(request)
    await socket.send_str('{"type":"session.created"}')
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            break
        if message.data.startswith("flood "):
            for _ in range(int(message.data[6:])):
                await socket.send_str(DELTA)
        else:
            await socket.send_str(message.data)
    return socket


def bare(upstream: str):
    async def relay(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=1 << 24)
        await socket.prepare(request)
        url = upstream + request.path_qs
        async with request.app["client"].ws_connect(url, max_msg_size=1 << 24) as other:

            async def pass_on(source, target) -> None:
                async for message in source:
                    await target.send_str(message.data)

            ways = [
                asyncio.ensure_future(pass_on(*ends)) for ends in ((socket, other), (other, socket))
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
        return socket

    return relay


def serve(role: str, upstream: str, port: int) -> None:
    app = web.Application()

    async def client(app: web.Application):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            app["client"] = session
            yield

    if role == "bare":
        app.cleanup_ctx.append(client)
    app.router.add_get("/v1/realtime", provider if role == "provider" else bare(upstream))
    web.run_app(app, host="127.0.0.1", port=port, print=None)


# The callers.


class Bench:
    def __init__(self, ports: dict[str, int], pids: dict[str, int], client: aiohttp.ClientSession):
        self.ports, self.pids, self._client = ports, pids, client

    async def open(self, way: str) -> aiohttp.ClientWebSocketResponse:
        url = f"ws://127.0.0.1:{self.ports[way]}/v1/realtime?model={MODEL}"
        socket = await self._client.ws_connect(
            url, headers={"authorization": f"Bearer {KEY}"}, max_msg_size=1 << 24
        )
        first = await socket.receive()
        assert "session.created" in first.data, first
        return socket

    async def latency(self, way: str, sessions: int, frames: int, pause: float) -> list[float]:
        """Seconds of each frame there and back; each session speaks every `pause` seconds."""
        found: list[float] = []

        async def speak(number: int) -> None:
            socket = await self.open(way)
            await asyncio.sleep(pause * number / sessions)
            for _ in range(frames):
                start = time.perf_counter()
                await socket.send_str(APPEND)
                echoed = await socket.receive()
                found.append(time.perf_counter() - start)
                assert echoed.data == APPEND
                await asyncio.sleep(max(0.0, pause - (time.perf_counter() - start)))
            await socket.close()

        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(speak(number) for number in range(sessions)))
        return found

    async def flood(self, way: str, sessions: int, frames: int) -> float:
        """CPU seconds of the proxy for a frame."""
        sockets = [await self.open(way) for _ in range(sessions)]
        before = await meter.settled(self.pids[way])

        async def drink(socket: aiohttp.ClientWebSocketResponse) -> None:
            await socket.send_str(f"flood {frames}")
            for _ in range(frames):
                message = await socket.receive()
                assert message.type is WSMsgType.TEXT, message

        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(drink(socket) for socket in sockets))
        after = await meter.settled(self.pids[way])
        for socket in sockets:
            await socket.close()
        return (after.ran - before.ran) / (sessions * frames)

    async def memory(self, way: str, sessions: int) -> float:
        """Bytes for an idle session."""
        before = resident(self.pids[way])
        sockets = [await self.open(way) for _ in range(sessions)]
        await asyncio.sleep(1.0)
        after = resident(self.pids[way])
        await asyncio.gather(*(socket.close() for socket in sockets))
        return (after - before) / sessions


def resident(pid: int) -> int:
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in meter.family(pid))
    return pages * 4096


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


async def measure(bench: Bench, rounds: int) -> None:
    proxies = [way for way in WAYS if way != "direct"]
    for way in WAYS:
        await bench.latency(way, 2, 20, 0.0)  # Warm: connections, late imports.
    print(row("frame there and back", "direct, ms", "bare adds, ms", "cutwater adds, ms"))
    print(row("---", "---:", "---:", "---:"))
    for sessions, frames, pause in ((1, 300, 0.01), (50, 40, 0.1)):
        seen: dict[str, list[float]] = {way: [] for way in WAYS}
        tail: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way in WAYS:
                times = sorted(await bench.latency(way, sessions, frames, pause))
                seen[way].append(median(times) * 1000)
                tail[way].append(times[int(len(times) * 0.99)] * 1000)
        for name, found in (("median", seen), ("99 in 100", tail)):
            direct = median(found["direct"])
            added = [
                f"{median(a - b for a, b in zip(found[way], found['direct'], strict=True)):.2f}"
                for way in proxies
            ]
            print(row(f"{sessions} session(s), {name}", f"{direct:.2f}", *added))
    print()
    print(row("", *(WAYS[way] for way in proxies), "cutwater / bare"))
    print(row("---", "---:", "---:", "---:"))
    cpu: dict[str, list[float]] = {way: [] for way in proxies}
    for way in proxies:
        await bench.flood(way, 2, 500)
    for _ in range(rounds):
        for way in proxies:
            cpu[way].append(await bench.flood(way, 8, 3000))
    ratio = median(a / b for a, b in zip(cpu["cutwater"], cpu["bare"], strict=True))
    rates = [f"{1 / median(cpu[way]):,.0f}" for way in proxies]
    print(row("frames a second of a core (6.5 kB each)", *rates, f"{1 / ratio:.2f}"))
    memory = {way: await bench.memory(way, 300) for way in proxies}
    shown = [f"{memory[way] / 1024:.0f} kB" for way in proxies]
    print(row("memory of an idle session", *shown, f"{memory['cutwater'] / memory['bare']:.2f}"))


async def run(rounds: int) -> None:
    ports = {name: meter.free_port() for name in WAYS}
    upstream = f"http://127.0.0.1:{ports['direct']}"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cutwater-bench-")))
        endpoint = {"type": "openai", "name": "bench", "secret": "sk-bench-secret"}
        endpoint["metadata"] = {"api_base": f"{upstream}/v1"}
        org = {"name": "bench", "keys": [{"name": "b", "key": KEY}], "endpoints": [endpoint]}
        (folder / "bench.json").write_bytes(msgspec.json.encode(org))
        here = str(HERE / "realtime.py")
        known = {
            "direct": [here, "--role", "provider"],
            "bare": [here, "--role", "bare", "--upstream", upstream],
            "cutwater": ["-m", "handlers.cli", "serve", "--org", str(folder / "bench.json"),
                         "--data", str(folder / "data")],
        }  # fmt: skip
        pids = {}
        for name, arguments in known.items():
            log = folder / f"{name}.log"
            command = [*arguments, "--port", str(ports[name])]
            child = stack.enter_context(meter.running(command, int(name != "direct"), log))
            pids[name] = child.pid
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
            bench = Bench(ports, pids, client)
            for name in WAYS:
                await listening(bench, name)
            await measure(bench, rounds)


async def listening(bench: Bench, name: str) -> None:
    for _ in range(200):
        try:
            await (await bench.open(name)).close()
        except (aiohttp.ClientError, AssertionError):
            await asyncio.sleep(0.1)
        else:
            return
    sys.exit(f"{name} does not listen.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--role", choices=["provider", "bare"])
    parser.add_argument("--upstream", default="")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    if given.role:
        serve(given.role, given.upstream, given.port)
    else:
        asyncio.run(run(given.rounds))


if __name__ == "__main__":
    main()
