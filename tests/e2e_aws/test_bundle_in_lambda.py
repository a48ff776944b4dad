"""The bundle itself in the real awslambdaric: it streams, serves at once, starts fast, stays small.

The wheels are those of this machine; apart from them it is what Lambda gets.
"""

import re
import sys
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from tests import bundles, events, lambda_host

HANDLER = "handlers.http.handler"
MOST_MB = 90
MOST_RATIO = 1.4

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="awslambdaric is not made for Windows."
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.built(tmp_path_factory.mktemp("here") / "bundle")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.runtime(tmp_path_factory.mktemp("runtime") / "awslambdaric")


def slow(words: int) -> dict[str, object]:
    """A request that is answered word by word, with a pause between."""
    body = {
        "model": "demo-slow",
        "stream": True,
        "messages": [{"role": "user", "content": " ".join(map(str, range(words)))}],
    }
    return events.load("rest_post", body=msgspec.json.encode(body).decode())


async def test_the_bundle_streams_live(bundle: Path, runtime: Path, tmp_path: Path):
    running = lambda_host.running(HANDLER, tmp_path, awslambdaric=runtime, bundle=bundle)
    async with running as host:
        answer = await host.invoke(slow(3)).result()
    assert answer.head["statusCode"] == 200
    assert answer.content.rstrip().endswith(b"data: [DONE]")
    times = [at for at, _ in answer.pieces]
    assert len(times) >= 5
    # Each word when it was said, not all at the end.
    assert max(b - a for a, b in pairwise(times)) >= 0.05
    assert times[-1] - times[0] >= 0.2
    [line] = re.findall(r'^\{.*"event":"request".*\}$', host.printed, re.MULTILINE)
    said = msgspec.json.decode(line)
    assert (said["class"], said["cold"], said["cut"]) == ("2xx", True, False)
    assert said["first_byte_ms"] < said["total_ms"]


async def test_two_streams_at_once_come_from_two_processes(
    bundle: Path, runtime: Path, tmp_path: Path
):
    at_once = {"AWS_LAMBDA_MAX_CONCURRENCY": "2"}
    running = lambda_host.running(
        HANDLER, tmp_path, awslambdaric=runtime, bundle=bundle, environment=at_once
    )
    async with running as host:
        one, other = host.invoke(slow(3)), host.invoke(slow(3))
        await one.arrived(2)
        await other.arrived(2)
        both = [await one.result(), await other.result()]
    for answer in both:
        assert answer.content.rstrip().endswith(b"data: [DONE]")
    first, second = ([at for at, _ in answer.pieces] for answer in both)
    assert max(first[0], second[0]) < min(first[-1], second[-1])


async def test_a_snapshot_and_its_restore_go_before_the_first_request(
    bundle: Path, runtime: Path, tmp_path: Path
):
    snapshot = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
    running = lambda_host.running(
        HANDLER, tmp_path, awslambdaric=runtime, bundle=bundle, environment=snapshot
    )
    async with running as host:
        answer = await host.invoke(events.load("rest_post")).result()
    assert answer.head["statusCode"] == 200
    paths = [path.rpartition("/runtime/")[2] for path in host.calls[:2]]
    assert paths == ["restore/next", "invocation/next"]
    assert '"cold":true' in host.printed


def peak_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(peak) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="Memory is read from /proc.")
async def test_after_100_requests_at_most_90_mb_were_used(
    bundle: Path, runtime: Path, tmp_path: Path
):
    running = lambda_host.running(HANDLER, tmp_path, awslambdaric=runtime, bundle=bundle)
    async with running as host:
        for _ in range(100):
            answer = await host.invoke(events.load("rest_post")).result()
            assert answer.head["statusCode"] == 200
        peak = peak_mb(host.process.pid)
    assert peak <= MOST_MB, f"{peak:.0f} MB"


INIT = """
import os, time
os.environ["AWS_LAMBDA_RUNTIME_API"] = "127.0.0.1:9"
start = time.process_time()
{code}
print(time.process_time() - start)
"""
OURS = "import handlers.http; handlers.http.handler"
THEIRS = "import aiohttp"
# As if it had no .pyc: all that is imported is compiled.
PLAIN = {"PYTHONPYCACHEPREFIX": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.parametrize("environment", [{}, PLAIN], ids=["with .pyc", "without .pyc"])
def test_a_cold_start_costs_little_more_than_aiohttp(bundle: Path, environment: dict[str, str]):
    def spent(code: str) -> float:
        return float(bundles.run(bundle, INIT.format(code=code), **environment))

    # The least of several runs, in turn: noise only ever adds.
    pairs = [(spent(OURS), spent(THEIRS)) for _ in range(5)]
    ours, theirs = (min(column) for column in zip(*pairs, strict=True))
    assert ours <= MOST_RATIO * theirs, f"{ours * 1000:.0f} ms against {theirs * 1000:.0f} ms"


def test_compiled_code_is_what_makes_the_start_fast(bundle: Path):
    with_pyc = float(bundles.run(bundle, INIT.format(code=OURS)))
    without = float(bundles.run(bundle, INIT.format(code=OURS), **PLAIN))
    assert without > 2 * with_pyc
