"""The deployed stack, used as anyone would: the command line, then the SDKs."""

import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import anthropic
import msgspec
import openai
import pytest

from scripts import deploy
from tests import corpus, processes
from tests.e2e_aws.stack import Deployed
from tests.processes import Server

pytestmark = pytest.mark.timeout(240)

RECORDED = {
    "chat": "openai-chat-00938ed2-0",
    "tools": "openai-chat-317a3858-0",
    "claude": "anthropic-messages-0dcfb202-1",
    "embeddings": "openai-embeddings-005b0671-0",
}
APIS = ("openai.chat", "anthropic.messages", "openai.embeddings")
SAID = "hold this against the light"


class Asked(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def ask(
    url: str, method: str = "GET", body: bytes = b"", headers: dict[str, str] | None = None
) -> Asked:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        connection.request(method, parts.path, body, headers or {})
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Asked(answer.status, found, answer.read())
    finally:
        connection.close()


def openai_at(deployed: Deployed, key: str, **headers: str) -> openai.OpenAI:
    url = deployed.url("Url")
    return deployed.using(
        openai.OpenAI(base_url=url, api_key=key, max_retries=0, default_headers=headers)
    )


def anthropic_at(deployed: Deployed, key: str) -> anthropic.Anthropic:
    url = deployed.url("AnthropicBaseUrl")
    return deployed.using(anthropic.Anthropic(base_url=url, api_key=key, max_retries=0))


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def rows(deployed: Deployed, prefix: str) -> list[dict[str, Any]]:
    table = deployed.client("dynamodb")
    items = table.scan(TableName=deployed.outputs["TableName"])["Items"]
    return [item for item in items if item["pk"]["S"].startswith(prefix)]


def test_the_url_answers(deployed: Deployed):
    found = ask(f"{deployed.url('Url')}/health")
    assert (found.status, found.json["status"]) == (200, "ok")


def test_what_has_no_route_is_said_in_json(deployed: Deployed):
    found = ask(deployed.url("Url") + "/")
    assert (found.status, found.json["error"]["type"]) == (404, "not_found_error")


def test_both_sdks_reach_the_demo_with_a_key_of_their_own(deployed: Deployed):
    client = openai_at(deployed, "demo")
    whole = client.chat.completions.create(model="demo-echo", messages=user(SAID))
    assert whole.choices[0].message.content == SAID
    stream = client.chat.completions.create(model="demo-echo", messages=user(SAID), stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == SAID
    message = anthropic_at(deployed, "demo").messages.create(
        model="demo-echo", max_tokens=100, messages=user(SAID)
    )
    assert message.content[0].text == SAID


def test_a_cached_answer_lies_in_the_table_as_nobody_can_read_it(deployed: Deployed):
    client = openai_at(deployed, "demo", **{"x-bt-use-cache": "always"})

    def once() -> Any:
        return client.chat.completions.with_raw_response.create(
            model="demo-echo", messages=user(SAID), seed=7
        )

    assert once().headers["x-bt-cached"] == "MISS"
    again = once()
    assert again.headers["x-bt-cached"] == "HIT"
    assert again.parse().choices[0].message.content == SAID
    found = rows(deployed, "cache#")
    assert found
    held = b"".join(
        value.encode() if isinstance(value, str) else bytes(value)
        for row in found
        for one in row.values()
        for value in one.values()
    )
    for secret in (SAID.encode(), b"demo-echo", b"light"):
        assert secret not in held
    assert all(int(row["expires_at"]["N"]) > 1_700_000_000 for row in found)


def test_an_admin_route_without_a_signature_is_refused(deployed: Deployed):
    for method, path in (("GET", "/orgs"), ("POST", "/keys"), ("DELETE", "/keys/0123456789ab")):
        found = ask(deployed.url("AdminUrl") + path, method)
        assert found.status == 403
        assert "Missing Authentication Token" in found.body.decode()


def test_admin_routes_are_not_at_the_proxy_s_address(deployed: Deployed):
    found = ask(f"{deployed.url('Url')}/admin/orgs")
    assert found.status == 404


def signed(
    deployed: Deployed, method: str, path: str, body: bytes = b"", *, by: Any = None
) -> Asked:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    url = deployed.url("AdminUrl") + path
    request = AWSRequest(method, url, data=body, headers={"content-type": "application/json"})
    credentials = by or deployed.session.get_credentials()
    SigV4Auth(credentials, "execute-api", "us-east-1").add_auth(request)
    return ask(url, method, body, dict(request.headers.items()))


def test_an_operator_s_console_makes_an_organisation_and_a_key(deployed: Deployed):
    endpoint = {"type": "openai", "name": "main", "secret": "sk-sentinel-0123456789abcdef"}
    document = msgspec.json.encode({"name": "console", "endpoints": [endpoint]})
    made = signed(deployed, "PUT", "/orgs/console", document)
    assert (made.status, made.json["created"]) == (200, True)
    shown = signed(deployed, "GET", "/orgs/console")
    assert b"sentinel" not in shown.body
    asked = {"name": "ci", "orgs": ["console"]}
    key = signed(deployed, "POST", "/keys", msgspec.json.encode(asked)).json
    assert key["key"].startswith("cw_")
    listed = signed(deployed, "GET", "/keys").json["keys"]
    assert key["id"] in [one["id"] for one in listed]
    assert key["key"] not in str(rows(deployed, "key#"))
    assert signed(deployed, "DELETE", f"/keys/{key['id']}").json["state"] == "revoked"
    # The command line works on the same stack.
    assert "console" in [one["name"] for one in deployed.json("org", "list")]
    assert signed(deployed, "DELETE", "/orgs/console").status == 200


def test_only_whom_iam_allows_gets_to_the_admin_routes(deployed: Deployed):
    from botocore.credentials import Credentials

    iam = deployed.client("iam")
    iam.create_user(UserName="console")
    made = iam.create_access_key(UserName="console")["AccessKey"]
    caller = Credentials(made["AccessKeyId"], made["SecretAccessKey"])
    assert signed(deployed, "GET", "/orgs", by=caller).status == 403
    allow = {
        "Effect": "Allow",
        "Action": "execute-api:Invoke",
        "Resource": deployed.outputs["AdminInvokeArn"],
    }
    policy = msgspec.json.encode({"Version": "2012-10-17", "Statement": [allow]}).decode()
    iam.put_user_policy(UserName="console", PolicyName="console", PolicyDocument=policy)
    assert signed(deployed, "GET", "/orgs", by=caller).status == 200
    wrong = Credentials(made["AccessKeyId"], "not the secret")
    assert signed(deployed, "GET", "/orgs", by=wrong).status == 403


def test_a_function_can_do_what_its_role_says_and_no_more(deployed: Deployed):
    """Else the emulator held to no policy, and nothing here would show that ours suffice."""
    functions, iam = deployed.client("lambda"), deployed.client("iam")
    name = deployed.outputs["AdminFunctionName"]
    role = functions.get_function(FunctionName=name)["Configuration"]["Role"].rpartition("/")[2]
    deny = {"Effect": "Deny", "Action": "secretsmanager:ListSecrets", "Resource": "*"}
    policy = msgspec.json.encode({"Version": "2012-10-17", "Statement": [deny]}).decode()
    iam.put_role_policy(RoleName=role, PolicyName="deny", PolicyDocument=policy)
    try:
        refused = signed(deployed, "GET", "/orgs")
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="deny")
    assert refused.status == 503
    assert "ListSecrets" in refused.json["error"]["message"]
    assert signed(deployed, "GET", "/orgs").status == 200


def test_old_versions_go_and_the_one_in_use_stays(deployed: Deployed):
    client, name = deployed.client("lambda"), deployed.outputs["ProxyFunctionName"]
    client.update_function_configuration(FunctionName=name, Description="Another one.")
    stray = client.publish_version(FunctionName=name)["Version"]
    assert list(deploy.prune(client, [name])) == [(name, stray)]
    assert "it answers" in deploy.smoke(deployed.url("Url"))


def test_every_request_is_a_line_in_the_stack_s_log(deployed: Deployed):
    ask(f"{deployed.url('Url')}/health")
    logs = deployed.client("logs")
    found = logs.filter_log_events(logGroupName=deployed.outputs["LogGroupName"])["events"]
    lines = [
        msgspec.json.decode(one["message"])
        for one in found
        if one["message"].startswith("{") and '"event":"request"' in one["message"]
    ]
    assert {"status", "class", "first_byte_ms", "total_ms", "cold"} <= set(lines[-1])


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("replay")
    with processes.replay_upstream(directory, corpus.require(), APIS) as found:
        yield found


@pytest.fixture(scope="module")
def key(deployed: Deployed, replay: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of an organisation made at the command line."""

    def models(kind: str, *names: str) -> dict[str, Any]:
        flavor = "embedding" if names == ("embeddings",) else "chat"
        return {RECORDED[name]: {"format": kind, "flavor": flavor} for name in names}

    def endpoint(kind: str, custom: dict[str, Any]) -> dict[str, Any]:
        metadata = {
            "api_base": f"{replay.url}/v1",
            "customModels": custom,
            "excludeDefaultModels": True,
        }
        return {"type": kind, "name": kind, "secret": "k", "metadata": metadata}

    document = {
        "name": "acme",
        "endpoints": [
            endpoint("openai", models("openai", "chat", "tools") | models("openai", "embeddings")),
            endpoint("anthropic", models("anthropic", "claude")),
        ],
    }
    file = tmp_path_factory.mktemp("org") / "acme.json"
    file.write_bytes(msgspec.json.encode(document))
    assert "acme: created" in deployed.run("org", "apply", str(file))
    created = deployed.json("key", "create", "--org", "acme", "--name", "e2e")
    found: str = created["key"]
    return found


@pytest.mark.corpus
class TestWithAKeyOfTheOrganisation:
    def test_openai_s_sdk_chats(self, deployed: Deployed, key: str):
        answer = openai_at(deployed, key).chat.completions.create(
            model=RECORDED["chat"], messages=user("Hello")
        )
        assert answer.choices[0].finish_reason == "stop"
        assert answer.choices[0].message.content

    def test_a_tool_is_called(self, deployed: Deployed, key: str):
        answer = openai_at(deployed, key).chat.completions.create(
            model=RECORDED["tools"], messages=user("Hello")
        )
        assert answer.choices[0].finish_reason == "tool_calls"
        [call, *_] = answer.choices[0].message.tool_calls or []
        assert call.function.name

    def test_anthropic_s_sdk_speaks_with_both_providers(self, deployed: Deployed, key: str):
        client = anthropic_at(deployed, key)
        for name in ("claude", "chat"):
            message = client.messages.create(
                model=RECORDED[name], max_tokens=100, messages=user("Hello")
            )
            assert message.stop_reason == "end_turn"

    def test_embeddings_come_from_the_cache_the_second_time(self, deployed: Deployed, key: str):
        client = openai_at(deployed, key)
        found = [
            client.embeddings.with_raw_response.create(
                model=RECORDED["embeddings"], input=SAID, encoding_format="float"
            )
            for _ in range(2)
        ]
        assert [one.headers["x-bt-cached"] for one in found] == ["MISS", "HIT"]
        assert found[0].parse().data == found[1].parse().data

    def test_an_answer_of_the_cache_lies_sealed_in_the_table(self, deployed: Deployed, key: str):
        client = openai_at(deployed, key, **{"x-bt-use-cache": "always"})
        before = len(rows(deployed, "cache#"))
        found = [
            client.chat.completions.with_raw_response.create(
                model=RECORDED["chat"], messages=user(SAID)
            )
            for _ in range(2)
        ]
        assert [one.headers["x-bt-cached"] for one in found] == ["MISS", "HIT"]
        said = found[0].parse().choices[0].message.content
        held = rows(deployed, "cache#")
        assert len(held) > before
        assert said[:20] not in str(held)
        assert SAID not in str(held)

    @pytest.mark.usefixtures("key")
    def test_the_doctor_looks_at_all_of_it(self, deployed: Deployed):
        done = deployed.tried("doctor", "--yes", "--json", "--url", deployed.url("Url"))
        found = {one["name"]: one["verdict"] for one in msgspec.json.decode(done.stdout)["checks"]}
        for name in ("AWS credentials", "clock", "stack", "table", "function", "server"):
            assert found[name] == "passed"
        for name in ("organisation acme", "endpoint acme / openai", "endpoint acme / anthropic"):
            assert found[name] == "passed"
        # It sees what ministack leaves out: TTL, and answers that come piece by piece.
        assert {name for name, said in found.items() if said == "failed"} == {
            "expired rows",
            "streaming",
        }
        assert done.returncode == 1

    @pytest.mark.usefixtures("key")
    def test_a_revoked_key_is_refused(self, deployed: Deployed):
        created = deployed.json("key", "create", "--org", "acme", "--name", "short-lived")
        deployed.run("key", "revoke", created["id"], "--yes")
        with pytest.raises(openai.AuthenticationError, match="revoked"):
            openai_at(deployed, created["key"]).models.list()

    @pytest.mark.usefixtures("key")
    def test_an_unknown_key_is_refused(self, deployed: Deployed):
        with pytest.raises(openai.AuthenticationError):
            openai_at(deployed, "cw_" + "0" * 48).models.list()
