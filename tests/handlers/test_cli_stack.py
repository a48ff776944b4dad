"""`--stack`: the same commands on a deployment, with the operator's own rights."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from core.sigv4 import AwsKeys
from handlers import places
from handlers.admin_keys import AdminError
from tests import emulators, processes
from tests.handlers.operators import KEY, CommandLine, document

boto3 = pytest.importorskip("boto3")
from botocore.exceptions import ClientError, NoCredentialsError  # noqa: E402

AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "CUTWATER_TABLE": "another-table",
}
TEMPLATE = {
    "Resources": {
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [
                    {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")
                ],
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
            },
        }
    },
    "Outputs": {
        "TableName": {"Value": {"Ref": "Table"}},
        "SecretsPrefix": {"Value": "cutwater-test"},
    },
}


class Stack(CommandLine):
    """Commands on a stack in moto."""

    url = ""

    def run(self, *arguments: str, **more: Any) -> tuple[int, str, str]:
        environment = {**AWS, "AWS_ENDPOINT_URL": self.url, **(more.pop("environment", None) or {})}
        return super().run(*arguments, "--stack", "mine", environment=environment, **more)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    emulators.require_moto()
    with processes.moto(tmp_path_factory.mktemp("moto")) as server:
        session = boto3.Session("testing", "testing", region_name="us-east-1")
        client = session.client("cloudformation", endpoint_url=server.url)
        body = msgspec.json.encode(TEMPLATE).decode()
        client.create_stack(StackName="mine", TemplateBody=body)
        client.close()
        yield server.url


@pytest.fixture
def at(tmp_path: Path, url: str) -> Stack:
    found = Stack(tmp_path)
    found.url = url
    return found


def test_organisations_keys_and_credentials_of_a_stack(at: Stack):
    file = at.file("acme.json", document(shared_cache=True, keys=[{"name": "dev", "key": KEY}]))
    said = at.good("org", "apply", file)
    assert "acme: created" in said
    assert "a data key was made" in said
    assert "keys moved to the key store, as digests: dev" in said
    assert KEY not in at.good("org", "show", "acme", "--reveal")
    created = at.key()
    assert {one["name"] for one in at.json("key", "list", "--org", "acme")} == {"ci", "dev"}
    assert at.json("org", "list")[0]["keys"] == 2
    issued = at.json("credential", "create", "--key", KEY)
    shown = at.json("credential", "inspect", issued["id"], "--key", KEY)
    assert shown["org_name"] == "acme"
    at.good("credential", "revoke", issued["id"], "--key", KEY, "--yes")
    at.good("key", "revoke", created["id"], "--yes")
    assert "7 more days" in at.good("org", "delete", "acme", "--yes")
    assert {one["state"] for one in at.json("key", "list")} == {"revoked"}
    assert at.json("org", "list") == []
    assert not (at.data / "orgs").exists()


def test_a_deployment_reaches_no_metadata_service(at: Stack):
    metadata = {"api_base": "http://169.254.169.254/"}
    bad = document(endpoints=[{"type": "openai", "secret": "sk-sentinel", "metadata": metadata}])
    assert "$.endpoints[0].metadata.api_base" in at.bad("org", "apply", at.file("bad.json", bad))


def test_the_secrets_of_a_replicated_stack_are_replicated(at: Stack):
    body: dict[str, Any] = {**TEMPLATE, "Outputs": {**TEMPLATE["Outputs"]}}
    body["Outputs"]["SecretsPrefix"] = {"Value": "cutwater-two"}
    body["Outputs"][places.REPLICAS] = {"Value": "eu-west-1,"}
    session = boto3.Session("testing", "testing", region_name="us-east-1")
    stacks = session.client("cloudformation", endpoint_url=at.url)
    stacks.create_stack(StackName="two", TemplateBody=msgspec.json.encode(body).decode())
    stacks.close()
    where = ("--data", str(at.data), "--stack", "two")
    environment = {**AWS, "AWS_ENDPOINT_URL": at.url}
    arguments = ("org", "apply", at.file("acme.json", document()), *where)
    assert CommandLine.run(at, *arguments, environment=environment)[0] == 0
    there = session.client("secretsmanager", region_name="eu-west-1", endpoint_url=at.url)
    found = there.get_secret_value(SecretId="cutwater-two/org/acme")
    there.close()
    assert msgspec.json.decode(found["SecretString"]) == document()


def test_a_stack_that_is_not_there_is_named(at: Stack):
    arguments = ("org", "list", "--stack", "other", "--data", str(at.data))
    code, _, err = CommandLine.run(at, *arguments, environment={**AWS, "AWS_ENDPOINT_URL": at.url})
    assert code == 2
    assert "stack `other` cannot be read (ValidationError)" in err


class Session:
    """boto3's, as far as it is asked."""

    region_name = "eu-west-1"

    def __init__(self, answer: Any = None, credentials: Any = None) -> None:
        self._answer = answer
        self._credentials = credentials

    def client(self, name: str) -> Any:
        assert name == "cloudformation"
        return self

    def describe_stacks(self, **asked: str) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return {"Stacks": [{"StackName": asked["StackName"], **self._answer}]}

    def get_credentials(self) -> Any:
        return self._credentials


def outputs(**values: str) -> dict[str, Any]:
    found = [{"OutputKey": key, "OutputValue": value} for key, value in values.items()]
    return {"Outputs": found}


def test_the_outputs_of_a_stack_name_its_table_and_its_secrets():
    said = {"TableName": "t", "SecretsPrefix": "p", "Url": "https://x"}
    assert places.stack_outputs(Session(outputs(**said)), "mine") == said


BAD = [
    ({}, "no output TableName and SecretsPrefix"),
    (outputs(TableName="t"), "no output SecretsPrefix"),
    (ClientError({"Error": {"Code": "AccessDenied"}}, "DescribeStacks"), r"\(AccessDenied\)"),
    (NoCredentialsError(), "Unable to locate credentials"),
]


@pytest.mark.parametrize(("answer", "words"), BAD)
def test_another_stack_or_no_rights_are_one_clear_line(answer: Any, words: str):
    with pytest.raises(AdminError, match=words):
        places.stack_outputs(Session(answer), "mine")


async def test_the_operator_s_keys_are_asked_for_each_time():
    frozen = SimpleNamespace(access_key="AKIA", secret_key="sentinel", token="")
    credentials = SimpleNamespace(get_frozen_credentials=lambda: frozen)
    operator = places.Operator(Session(credentials=credentials))
    found = await operator.keys()
    assert found == AwsKeys(access_key="AKIA", secret_key="sentinel", session_token=None)
    assert operator.region == "eu-west-1"
    assert "sentinel" not in repr(operator)
    frozen.token = "t"
    assert (await operator.keys(refused=found)).session_token == "t"


async def test_an_operator_without_credentials_is_told_how_to_get_some():
    with pytest.raises(AdminError, match="aws sso login"):
        await places.Operator(Session()).keys()


def test_without_boto3_the_operator_is_told_to_install_it(tmp_path: Path, monkeypatch: Any):
    monkeypatch.setitem(sys.modules, "boto3", None)
    said = CommandLine(tmp_path).bad("org", "list", "--stack", "mine")
    assert "pip install boto3" in said
