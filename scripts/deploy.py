"""Build, deploy, delete the versions that nothing uses any more, ask the deployed URL.

Each published version of a function has a snapshot that is paid for; CloudFormation leaves them
all. Credentials and region are found as AWS's own tools find them.
"""

import argparse
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

ROOT = Path(__file__).resolve().parents[1]
SAM = ROOT / ".venv-sam" / "bin" / "sam"
FUNCTIONS = (
    "ProxyFunctionName",
    "AdminFunctionName",
    "RealtimeConnectFunctionName",
    "RealtimeSessionFunctionName",
)
ASKED_FOR_S = 60.0
"""How long a new deployment may take to answer."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Deploy Cutwater.")
    parser.add_argument("--stack", default="cutwater")
    parser.add_argument("--guided", action="store_true")
    parser.add_argument("parameters", nargs="*", help="Name=value, as the template has them")
    asked = parser.parse_args()
    # For its size, which `sam build` keeps to itself; that takes what this one has made.
    run(sys.executable, "scripts/build_lambda.py", "build/lambda/bundle")
    run(str(SAM), "build")
    run(str(SAM), *deploying(asked.stack, asked.parameters, guided=asked.guided))
    import boto3

    session = boto3.Session()
    outputs = outputs_of(session.client("cloudformation"), asked.stack)
    functions = [outputs[name] for name in FUNCTIONS if name in outputs]
    for function, version in prune(session.client("lambda"), functions):
        say(f"deleted version {version} of {function}")
    said = smoke(outputs["Url"])
    say(f"{outputs['Url']}: {said}")
    say(f"next: {outputs['NextSteps']}")


def deploying(stack: str, parameters: Iterable[str], *, guided: bool) -> list[str]:
    command = ["deploy", "--stack-name", stack, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"]
    command += ["--no-fail-on-empty-changeset"]
    command += ["--guided"] if guided else ["--no-confirm-changeset"]
    overrides = list(parameters)
    return [*command, "--parameter-overrides", *overrides] if overrides else command


def run(*command: str) -> None:
    environment = {**os.environ, "PYTHON": sys.executable}
    if code := subprocess.call(command, cwd=ROOT, env=environment):
        raise SystemExit(code)


def outputs_of(cloudformation: Any, stack: str) -> dict[str, str]:
    found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    return {one["OutputKey"]: one["OutputValue"] for one in found["Outputs"]}


def prune(client: Any, functions: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Deletes what no alias leads to; a request that is under way ends undisturbed."""
    for function in functions:
        used = {"$LATEST"}
        for alias in _pages(client, "list_aliases", "Aliases", function):
            used.add(alias["FunctionVersion"])
            routed = alias.get("RoutingConfig") or {}
            used |= set(routed.get("AdditionalVersionWeights") or {})
        for found in _pages(client, "list_versions_by_function", "Versions", function):
            version = found["Version"]
            if version not in used:
                client.delete_function(FunctionName=function, Qualifier=version)
                yield function, version


def _pages(client: Any, operation: str, name: str, function: str) -> list[dict[str, Any]]:
    pages = client.get_paginator(operation).paginate(FunctionName=function)
    return [one for page in pages for one in page[name]]


def smoke(
    url: str,
    *,
    patience_s: float = ASKED_FOR_S,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> str:
    """Health, and that nobody gets in without a key. SystemExit where it does not answer so."""
    until = now() + patience_s
    while True:
        why = _wrong(url)
        if not why:
            return "it answers, and refuses who has no key"
        if now() >= until:
            raise SystemExit(f"deploy: {url} {why}")
        sleep(2.0)


def _wrong(url: str) -> str:
    try:
        status, body = _ask(f"{url}/health", "GET")
        if status != 200 or msgspec.json.decode(body).get("status") != "ok":
            return f"answers /health with {status}: see the function's log."
        status, body = _ask(f"{url}/chat/completions", "POST", b'{"model":"demo-echo"}')
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"does not answer ({type(error).__name__}): is the API private, or the region wrong?"
    return "" if status == 401 else f"answers a request without a key with {status}, and not 401."


def _ask(url: str, method: str, body: bytes | None = None) -> tuple[int, bytes]:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = connect(parts.netloc, timeout=20)
    try:
        connection.request(method, parts.path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def say(text: str) -> None:
    print(f"deploy: {text}", flush=True)


if __name__ == "__main__":
    main()
