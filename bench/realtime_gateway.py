"""What API Gateway's driver adds to a frame, by part: over the emulator that the tests use.

The emulator waits as long as it is told for the parts that are AWS's (a put into the table, a
read of it, a post), so that those are an assumption and only ours are measured: waiting for the
next look, the window that puts frames back into their order, and the work itself.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp
import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.fakes import KEY
from tests.gateway import emulator
from tests.gateway.emulator import Api, Faults
from tests.gateway.sides import deployment
from tests.handlers.realtime_sides import CREATED, FakeSocket

PUT_S, READ_S, POST_S = 0.008, 0.005, 0.012
"""Assumed of AWS, within a region."""
APPEND = "input_audio_buffer.append"


class Provider(FakeSocket):
    """Notes when it was told what."""

    def __init__(self) -> None:
        super().__init__(CREATED)
        self.told: dict[int, float] = {}

    async def send(self, frame: str | bytes) -> None:
        self.told[msgspec.json.decode(frame)["n"]] = time.perf_counter()


async def measure(frames: int, every_s: float) -> tuple[list[float], list[float], Api]:
    """Milliseconds towards the provider, and towards the client."""
    provider = Provider()
    faults = Faults(delay_s=(PUT_S, PUT_S), post_s=POST_S, read_s=READ_S)
    api, _, _ = deployment(provider, faults=faults)
    up: dict[int, float] = {}
    down: dict[int, float] = {}
    said: dict[int, float] = {}
    headers = {"authorization": f"Bearer {KEY}"}
    async with (
        emulator.running(api) as url,
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{url}?model=gpt-realtime", headers=headers) as socket,
    ):
        await socket.receive_str()

        async def hear() -> None:
            async for message in socket:
                event: dict[str, Any] = msgspec.json.decode(message.data)
                down[event["n"]] = time.perf_counter()

        hearing = asyncio.ensure_future(hear())
        for number in range(frames):
            up[number] = time.perf_counter()
            await socket.send_str(f'{{"type":"{APPEND}","n":{number}}}')
            said[number] = time.perf_counter()
            provider.say(f'{{"type":"rate_limits.updated","n":{number}}}')
            await asyncio.sleep(every_s)
        await asyncio.sleep(1.0)
        hearing.cancel()
    to_provider = [(provider.told[n] - up[n]) * 1000 for n in up if n in provider.told]
    to_client = [(down[n] - said[n]) * 1000 for n in said if n in down]
    return to_provider, to_client, api


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=200)
    asked = parser.parse_args()
    print(
        "| client says | to the provider, ms | 95 % | to the client, ms | 95 % | reads a second |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, every_s in (("every 100 ms (sound)", 0.1), ("every 2 s (text)", 2.0)):
        frames = asked.frames if every_s < 1 else max(asked.frames // 20, 8)
        up, down, api = asyncio.run(measure(frames, every_s))
        reads = api.mailbox.reads / (frames * every_s + 1)
        print(
            f"| {name} | {median(up):.0f} | {quantiles(up, n=20)[-1]:.0f} "
            f"| {median(down):.0f} | {quantiles(down, n=20)[-1]:.0f} | {reads:.1f} |"
        )
    ms = f"{PUT_S * 1000:.0f} ms for a put, {READ_S * 1000:.0f} for a read, {POST_S * 1000:.0f}"
    print(f"\nOf it assumed of AWS: {ms} for a post. The window is 40 ms.")


if __name__ == "__main__":
    main()
