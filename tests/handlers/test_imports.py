"""The import budget: what a cold start of the Lambda pays for."""

import subprocess
import sys

import msgspec

NEVER_LOADED = [
    "boto3",
    "botocore",
    "jwt",
    "typer",
    "rich",
    "uvicorn",
    "uvloop",
    "httptools",
    "yaml",
]

MEASURE = """
import sys, time
start = time.process_time()
import {module}
spent = time.process_time() - start
print('{{"spent": %r, "loaded": [%s]}}' % (spent, ",".join('"%s"' % m for m in sys.modules)))
"""


def measure(module: str) -> tuple[float, set[str]]:
    """CPU seconds of an import in a fresh process, and what it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE.format(module=module)],
        capture_output=True,
        check=True,
        timeout=30,
        env={"COVERAGE_PROCESS_START": ""},
    )
    document = msgspec.json.decode(done.stdout)
    return document["spent"], set(document["loaded"])


def test_the_lambda_path_loads_nothing_it_does_not_need():
    _, loaded = measure("handlers.http")
    assert not loaded & set(NEVER_LOADED)


def test_realtime_sessions_are_loaded_by_their_own_functions_only():
    _, loaded = measure("handlers.http")
    assert not [name for name in loaded if "realtime_" in name and name.startswith("handlers.")]
    _, loaded = measure("handlers.realtime_lambda")
    assert not loaded & set(NEVER_LOADED)
    assert not loaded & {"mangum", "handlers.http"}


def test_the_lambda_path_costs_at_most_half_more_than_aiohttp():
    # The least of several runs, in turn: noise only ever adds.
    pairs = [(measure("handlers.http")[0], measure("aiohttp")[0]) for _ in range(5)]
    ours, theirs = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
    assert ours <= 1.5 * theirs, f"{ours:.3f} s of CPU against {theirs:.3f} s"
