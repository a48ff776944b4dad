"""The template as it is, built and deployed to ministack by the real SAM.

Signatures are checked and policies held to, those of the functions' roles among them.

Three things differ from AWS, and are made good here, in the open. ministack runs functions with its
own Python on this machine, so the wheels are those of both. And it does not know the address of a
streamed invocation, so the methods get that of an ordinary one: answers come whole, and what they
are in AWS is tested with the Lambda host. Nor does its WebSocket API write into a table by itself:
a function does, and finds its clients where ministack has them.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from tests import emulators, processes
from tests.processes import Server

T = TypeVar("T")

ROOT: Final = Path(__file__).resolve().parents[2]
NAME: Final = "cutwater-e2e"
PARAMETERS: Final = (
    "PrivateEndpoints=any",
    "ProviderKeys=on",
    "PointInTimeRecovery=off",
    "RealtimeMailbox=function",
)
_CLIENTS: Final = "https://${RealtimeApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/realtime"
_SECONDS: Final = 120


class Deployed:
    """A stack, and how to use it from outside."""

    def __init__(self, server: Server, environment: Mapping[str, str]) -> None:
        import boto3

        self.server = server
        self.environment = environment
        self.session = boto3.Session("test", "test", region_name="us-east-1")
        self._clients: dict[str, Any] = {}
        self._used: list[Any] = []
        found = self.client("cloudformation").describe_stacks(StackName=NAME)["Stacks"][0]
        self.outputs = {one["OutputKey"]: one["OutputValue"] for one in found["Outputs"]}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            made = self.session.client(service, endpoint_url=self.server.url)
            self._clients[service] = made
        return self._clients[service]

    def using(self, client: T) -> T:
        """A client of an SDK, closed when the stack goes."""
        self._used.append(client)
        return client

    def close(self) -> None:
        for client in (*self._clients.values(), *self._used):
            client.close()

    def url(self, output: str) -> str:
        """Where ministack has what AWS has at the URL of this output."""
        found = urlsplit(self.outputs[output])
        api = found.netloc.partition(".")[0]
        stage, _, rest = found.path.strip("/").partition("/")
        return f"{self.server.url}/restapis/{api}/{stage}/_user_request_/{rest}".rstrip("/")

    @property
    def realtime_url(self) -> str:
        api = urlsplit(self.outputs["RealtimeUrl"]).netloc.partition(".")[0]
        return f"{self.server.url}/_aws/execute-api/{api}/realtime".replace("http", "ws", 1)

    def run(self, *arguments: str) -> str:
        """What a command of ours prints."""
        done = self.tried(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tried(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "handlers.cli", *arguments, "--stack", NAME],
            cwd=ROOT,
            env=processes.environment(self.environment),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        return msgspec.json.decode(self.run(*arguments, "--json"))


@contextmanager
def running(directory: Path) -> Iterator[Deployed]:
    program = emulators.require_ministack()
    sam = emulators.require_sam()
    with processes.ministack(directory, program, iam=True) as server:
        environment = {
            "AWS_ENDPOINT_URL": server.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "SAM_CLI_TELEMETRY": "0",
            "PYTHON": sys.executable,
            "LAMBDA_PYTHON": _version_of(program.with_name("python")),
            "LAMBDA_MACHINE": platform.machine(),
        }
        built = directory / "built"
        _sam(sam, environment, "build", "--build-dir", str(built))
        template = built / "template.yaml"
        here = f"{server.url}/_aws/execute-api/${{RealtimeApi}}/realtime"
        assert template.read_text().count(_CLIENTS) == 2
        template.write_text(template.read_text().replace(_CLIENTS, here))
        deploy = ["deploy", "--template-file", str(built / "template.yaml"), "--stack-name", NAME]
        deploy += ["--resolve-s3", "--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset"]
        _sam(sam, environment, *deploy, "--parameter-overrides", *PARAMETERS)
        deployed = Deployed(server, environment)
        try:
            _invoke_plainly(deployed.client("apigateway"))
            yield deployed
        finally:
            deployed.close()


def _version_of(python: Path) -> str:
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.check_output([str(python), "-c", ask], text=True, timeout=30).strip()


def _sam(program: Path, environment: Mapping[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [str(program), *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def _invoke_plainly(gateway: Any) -> None:
    for api in gateway.get_rest_apis()["items"]:
        found = gateway.get_resources(restApiId=api["id"], embed=["methods"])["items"]
        for resource in found:
            for name, method in resource.get("resourceMethods", {}).items():
                streamed = method["methodIntegration"]["uri"]
                plain = streamed.replace("/2021-11-15/", "/2015-03-31/")
                plain = plain.replace("/response-streaming-invocations", "/invocations")
                gateway.update_integration(
                    restApiId=api["id"],
                    resourceId=resource["id"],
                    httpMethod=name,
                    patchOperations=[{"op": "replace", "path": "/uri", "value": plain}],
                )
