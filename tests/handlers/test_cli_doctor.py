"""`cutwater doctor`: on this machine, on a stack in moto, before servers that misbehave."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from core import __version__ as version
from core import checks
from core.orgs import Endpoint, Metadata, Org
from handlers import doctor_live, doctor_local
from tests import emulators, processes
from tests.handlers.fake_cutwater import Fake, server
from tests.handlers.operators import KEY, CommandLine, document

QUIET = {"OLLAMA_HOST": "http://127.0.0.1:9", "CUTWATER_ORG_FILES": "", "CUTWATER_TABLE": ""}
NOBODY = "http://127.0.0.1:9/v1"


class Doctor(CommandLine):
    """The doctor's checks by their names."""

    def found(self, *arguments: str, code: int = 0, **more: Any) -> dict[str, dict[str, str]]:
        environment = {**QUIET, **(more.pop("environment", None) or {})}
        got, out, err = self.run("doctor", *arguments, "--json", environment=environment, **more)
        assert got == code, (out, err)
        assert "sentinel" not in out + err
        said = msgspec.json.decode(out)
        assert said["well"] is (code == 0)
        return {one["name"]: one for one in said["checks"]}


@pytest.fixture
def at(tmp_path: Path) -> Doctor:
    return Doctor(tmp_path)


def verdicts(found: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: one["verdict"] for name, one in found.items()}


@pytest.fixture(autouse=True)
def no_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)


# --- On this machine ------------------------------------------------------------------------------


def test_nothing_set_up_is_nothing_wrong_and_nothing_is_made(at: Doctor):
    found = at.found(environment={"CUTWATER_PORT": "9"})
    assert set(verdicts(found).values()) == {"skipped"}
    assert found["server"]["to_do"] == "Start it: `cutwater serve`."
    assert not at.data.exists()


def test_a_server_that_was_named_and_is_not_there_is_a_failure(at: Doctor):
    found = at.found("--url", NOBODY, code=1)
    assert found["server"]["verdict"] == "failed"
    assert found["endpoints"]["found"] == "Cutwater does not answer"


def test_the_real_server_passes(at: Doctor):
    at.data.mkdir(mode=0o700)
    with processes.cutwater(at.folder, [], changes={"OLLAMA_HOST": "http://127.0.0.1:9"}) as real:
        found = at.found("--url", real.url + "/v1/", "--yes")
    assert found["server"]["found"] == f"{real.url}/v1, version {version}"
    assert verdicts(found) == {
        "data folder": "passed",
        "store": "passed" if (at.data / "cutwater.db").exists() else "skipped",
        "organisations": "skipped",
        "server": "passed",
        "streaming": "passed",
    }


def test_each_endpoint_is_asked_for_one_token_after_a_yes(at: Doctor):
    fake = Fake(other=404)
    endpoints = [
        {"type": "openai", "name": "main", "secret": "sk-sentinel-1"},
        {"type": "anthropic", "name": "other", "secret": "sk-sentinel-2"},
        {"type": "voyage", "name": "texts", "secret": "sk-sentinel-3"},
        {"type": "openai", "secret": "sk-sentinel-4"},
        {
            "type": "custom",
            "name": "unknown",
            "metadata": {"api_base": "http://127.0.0.1:9", "excludeDefaultModels": True},
        },
    ]
    at.good("org", "apply", at.file("acme.json", document(endpoints=endpoints)))
    with server(fake.answer) as url:
        found = at.found("--url", url, "--yes", "--model", "gpt-4o", code=1)
    assert {name: one for name, one in verdicts(found).items() if "endpoint" in name} == {
        "endpoint acme / main": "passed",
        "endpoint acme / other": "failed",
        "endpoint acme / texts": "passed",
        "endpoint acme / openai": "skipped",
        "endpoint acme / unknown": "skipped",
    }
    assert "status 404 (model_not_found)" in found["endpoint acme / other"]["found"]
    asked = {endpoint: (path, body) for path, endpoint, body in fake.asked}
    assert asked["main"][0] == "/v1/chat/completions"
    assert asked["main"][1]["model"] == "gpt-4o"
    assert asked["main"][1]["max_tokens"] == 1
    assert asked["texts"][0] == "/v1/embeddings"
    # The key that was made for it is gone.
    assert at.json("key", "list") == []


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_without_a_yes_no_endpoint_is_asked_and_no_key_is_made(at: Doctor, answer: str):
    fake = Fake()
    at.apply()
    with server(fake.answer) as url:
        code, out, err = at.run("doctor", "--url", url, answer=answer, environment=QUIET)
        silent = at.found("--url", url)
    assert code == 0
    assert "Ask each of 1 endpoints for one token?" in err
    assert "1 passed" not in out
    assert silent["endpoints"]["verdict"] == "skipped"
    assert {endpoint for _, endpoint, _ in fake.asked} == {None}
    assert not (at.data / "cutwater.db").exists()


def test_a_proxy_that_holds_answers_back_is_found(at: Doctor):
    with server(Fake(pause=0.0).answer) as url:
        found = at.found("--url", url, code=1)
    assert found["streaming"]["verdict"] == "failed"
    assert "holds answers back" in found["streaming"]["to_do"]


def test_a_key_that_is_given_is_used(at: Doctor):
    seen: list[tuple[str | None, str | None]] = []
    fake = Fake()

    async def handle(request: web.Request) -> web.StreamResponse:
        headers = request.headers
        seen.append((headers.get("authorization"), headers.get("x-bt-org-name")))
        return await fake.answer(request)

    at.apply()
    with server(handle) as url:
        found = at.found("--url", url, "--yes", environment={"CUTWATER_KEY": "cw_sentinel"})
    assert found["endpoint acme / main"]["verdict"] == "passed"
    assert seen[-1] == ("Bearer cw_sentinel", "acme")
    assert not (at.data / "cutwater.db").exists()


def test_a_server_that_cuts_connections_off_is_a_failure(at: Doctor):
    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/health":
            return web.json_response({"version": version})
        transport = request.transport
        assert transport is not None
        transport.abort()
        return web.Response()

    at.apply()
    with server(handle) as url:
        found = at.found("--url", url, "--yes", code=1)
    assert found["streaming"]["found"] == "no connection, or it was cut off"
    assert found["endpoint acme / main"]["verdict"] == "failed"


def test_the_organisations_the_environment_names_are_checked_too(at: Doctor):
    good = at.file("good.json", document(name="good", keys=[{"name": "k", "key": KEY}]))
    bad = at.file("bad.json", {"name": "bad", "secret": "x"})
    paths = os.pathsep.join([good, bad])
    fake = Fake()
    with server(fake.answer) as url:
        found = at.found("--url", url, "--yes", code=1, environment={"CUTWATER_ORG_FILES": paths})
    assert found["organisation good"]["verdict"] == "passed"
    assert "unknown field `secret`" in found[f"organisation {bad}"]["found"]
    assert found["endpoint good / main"]["verdict"] == "passed"


def test_a_document_that_is_faulty_is_named(at: Doctor):
    at.apply()
    (at.data / "orgs" / "acme.json").write_bytes(b'{"name": "acme", "endpoints": 1}')
    found = at.found(environment={"CUTWATER_PORT": "9"}, code=1)
    assert "$.endpoints" in found["organisation acme"]["found"]


def test_files_that_others_may_read_are_named(at: Doctor):
    at.apply()
    (at.data / "orgs" / "acme.json").chmod(0o644)
    found = at.found(environment={"CUTWATER_PORT": "9"}, code=1)
    assert found["data folder"]["found"] == "others may read acme.json"


def test_a_damaged_store_is_told_and_left_where_it_is(at: Doctor):
    at.data.mkdir()
    file = at.data / "cutwater.db"
    file.write_bytes(b"not a database" * 100)
    file.chmod(0o600)
    found = at.found(environment={"CUTWATER_PORT": "9"}, code=1)
    assert found["store"]["found"].endswith("SQLite says SQLITE_NOTADB")
    assert file.read_bytes().startswith(b"not a database")


def test_a_store_in_use_is_counted(at: Doctor):
    at.apply()
    at.key()
    seen = doctor_local.database(at.data / "cutwater.db")
    assert (seen.said, seen.rows) == ("ok", 2)


def test_a_table_says_it_to_people(at: Doctor):
    code, out, _ = at.run("doctor", environment={**QUIET, "CUTWATER_PORT": "9"})
    assert code == 0
    assert "what to do" in out
    assert "0 passed, 0 failed, 6 skipped" in out


# --- Which model is asked for ---------------------------------------------------------------------


def test_the_cheapest_model_that_answers_at_once_is_asked_for():
    endpoint = Endpoint(type="openai", name="main")
    org = Org(name="a", endpoints=(endpoint,))
    model = doctor_live.model_for(org, endpoint, [])
    assert model is not None
    assert (model.flavor, bool(model.facts.reasoning)) == ("chat", False)
    only = Endpoint(type="openai", name="m", metadata=Metadata(models=("gpt-4o",)))
    narrow = doctor_live.model_for(org, only, ["gpt-4o-mini"])
    assert narrow is not None
    assert narrow.name == "gpt-4o"


# --- A stack --------------------------------------------------------------------------------------

AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "sentinel",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
}


def template(url: str) -> dict[str, Any]:
    keys = ("pk", "sk")
    table = {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in keys],
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    }
    outputs = {
        "TableName": {"Ref": "Table"},
        "SecretsPrefix": "doctor-test",
        "Url": url,
        "ProxyFunctionName": "absent",
    }
    return {
        "Parameters": {
            "ThrottleRate": {"Type": "Number", "Default": 5},
            "ReservedConcurrency": {"Type": "Number", "Default": 0},
        },
        "Resources": {"Table": {"Type": "AWS::DynamoDB::Table", "Properties": table}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    emulators.require_moto()
    with processes.moto(tmp_path_factory.mktemp("moto")) as started:
        yield started.url


def deploy(moto: str, name: str, url: str) -> None:
    boto3 = pytest.importorskip("boto3")
    session = boto3.Session("testing", "testing", region_name="us-east-1")
    client = session.client("cloudformation", endpoint_url=moto)
    client.create_stack(StackName=name, TemplateBody=msgspec.json.encode(template(url)).decode())
    found = client.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    client.close()
    (table,) = [one["OutputValue"] for one in found if one["OutputKey"] == "TableName"]
    # CloudFormation in moto passes this property over.
    client = session.client("dynamodb", endpoint_url=moto)
    expiry = {"AttributeName": "expires_at", "Enabled": True}
    client.update_time_to_live(TableName=table, TimeToLiveSpecification=expiry)
    client.close()


def test_a_stack_is_looked_at_from_credentials_to_endpoints(at: Doctor, moto: str):
    environment = {**AWS, "AWS_ENDPOINT_URL": moto}
    stack = ("--stack", "mine")
    fake = Fake(main=429)
    with server(fake.answer) as url:
        deploy(moto, "mine", url)
        at.good("org", "apply", at.file("a.json", document()), *stack, environment=environment)
        found = at.found(*stack, "--yes", "--rps", "10", code=1, environment=environment)
    seen = verdicts(found)
    assert seen.pop("API Gateway throttle") in ("failed", "skipped")
    assert seen == {
        "AWS credentials": "passed",
        "clock": "passed",
        "stack": "passed",
        "table": "passed",
        "expired rows": "passed",
        "function": "failed",
        "Lambda concurrency": "skipped",
        "organisation acme": "passed",
        "server": "passed",
        "streaming": "passed",
        "endpoint acme / main": "failed",
    }
    assert "ResourceNotFoundException" in found["function"]["found"]
    assert at.json("key", "list", *stack, environment=environment) == []


def test_without_a_yes_a_deployment_is_asked_for_a_stream_of_the_demo_only(at: Doctor, moto: str):
    environment = {**AWS, "AWS_ENDPOINT_URL": moto}
    fake = Fake()
    with server(fake.answer) as url:
        deploy(moto, "silent", url)
        found = at.found("--stack", "silent", code=1, environment=environment)
    assert found["endpoints"]["verdict"] == "skipped"
    assert [body["model"] for _, _, body in fake.asked] in ([], ["demo-slow"])


def test_a_stack_that_is_not_there_ends_the_search(at: Doctor, moto: str):
    found = at.found("--stack", "none", code=1, environment={**AWS, "AWS_ENDPOINT_URL": moto})
    assert "ValidationError" in found["stack"]["found"]
    assert set(verdicts(found)) == {"AWS credentials", "clock", "stack", "streaming", "endpoints"}


def test_without_credentials_nothing_else_is_tried(at: Doctor):
    environment = {**AWS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    environment |= {"AWS_MAX_ATTEMPTS": "1", "AWS_RETRY_MODE": "standard"}
    found = at.found("--stack", "mine", code=1, environment=environment)
    assert found["AWS credentials"]["found"] == "sts could not be asked (EndpointConnectionError)"
    assert "table" not in found


def test_all_of_it_is_documented():
    page = (Path(__file__).parents[2] / "docs/doctor.md").read_text()
    source = (Path(checks.__file__)).read_text()
    for name in ("data folder", "store", "server", "streaming", "clock", "expired rows", "table"):
        assert f'name = "{name}"' in source
        assert f"| {name} |" in page
