"""The console's routes: signed callers only, JSON always, secrets never."""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

import handlers.admin
from core.ports import Row, StoreError
from handlers.admin import Admin
from handlers.places import Place
from tests.fakes import NOW
from tests.handlers.operators import counting, document, place
from tests.stand_ins import Log

WHO = "arn:aws:iam::123456789012:user/operator"


class Console:
    def __init__(self, **changes: Any) -> None:
        self.place = place(shared=True, reach="public", **changes)
        self.log = Log()
        self.admin = Admin(
            lambda: self.place, self.log, now=lambda: NOW, random=counting(), trusted=False
        )

    def ask(
        self, method: str, path: str, body: Any = None, *, who: str | None = WHO, **more: Any
    ) -> tuple[int, Any]:
        event = {
            "httpMethod": method,
            "path": f"/admin/{path}",
            "pathParameters": {"proxy": path},
            "queryStringParameters": None,
            "requestContext": {"requestId": "r-1", "identity": {"userArn": who}},
            "body": None if body is None else msgspec.json.encode(body).decode(),
            "isBase64Encoded": False,
            **more,
        }
        answer = self.admin(event, None)
        assert answer["headers"]["content-type"] == "application/json"
        assert answer["headers"]["cache-control"] == "no-store"
        return answer["statusCode"], msgspec.json.decode(answer["body"])

    def good(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        status, found = self.ask(method, path, body, **more)
        assert status == 200, found
        return found


@pytest.fixture
def console() -> Iterator[Console]:
    found = Console()
    yield found
    found.admin.close()


def test_an_organisation_is_made_shown_listed_and_deleted(console: Console):
    assert console.good("PUT", "orgs/acme", document())["created"] is True
    assert console.good("PUT", "orgs/acme", document())["created"] is False
    shown = console.good("GET", "orgs/acme")
    assert "sentinel" not in str(shown)
    assert shown["endpoints"][0]["name"] == "main"
    assert [one["name"] for one in console.good("GET", "orgs")["orgs"]] == ["acme"]
    assert console.good("DELETE", "orgs/acme") == {"deleted": "acme", "keys_revoked": 0}
    assert console.ask("GET", "orgs/acme")[0] == 404


def test_a_key_is_shown_once_listed_and_revoked(console: Console):
    console.good("PUT", "orgs/acme", document())
    limits = {"requests_per_minute": 60}
    made = console.good(
        "POST", "keys", {"name": "ci", "orgs": ["acme"], "limits": limits, "expires_in_s": 3600}
    )
    assert made["key"].startswith("cw_")
    assert made["expires_at"] == int(NOW) + 3600
    query = {"queryStringParameters": {"org": "acme"}}
    [listed] = console.good("GET", "keys", **query)["keys"]
    assert (listed["id"], listed["state"], "key" in listed) == (made["id"], "live", False)
    assert console.good("DELETE", f"keys/{made['id']}")["state"] == "revoked"
    assert console.good("GET", "keys", queryStringParameters={"org": "other"}) == {"keys": []}


async def _put(console: Console, *rows: Row) -> None:
    await console.place.store.put(list(rows))


def credential(digit: str, sk: str = "0", *, lives_s: int = 60) -> Row:
    return Row(
        pk="cred#" + digit * 64,
        sk=sk,
        data=b"sealed",
        stored_at=int(NOW),
        expires_at=int(NOW) + lives_s,
    )


def test_credentials_that_hold_are_listed_and_taken_away(console: Console):
    rows = [credential("a"), credential("a", "requests"), credential("b", lives_s=-1)]
    asyncio.run(_put(console, *rows))
    [listed] = console.good("GET", "credentials")["credentials"]
    assert listed == {"id": "a" * 64, "issued_at": int(NOW), "until": int(NOW) + 60}
    assert console.good("DELETE", f"credentials/{'a' * 64}") == {"revoked": "a" * 64}
    assert console.good("GET", "credentials") == {"credentials": []}
    assert console.ask("DELETE", f"credentials/{'a' * 64}")[0] == 404
    assert console.ask("DELETE", "credentials/bt_tmp:00000000")[0] == 404
    assert console.ask("DELETE", "credentials/everything")[0] == 400


@pytest.mark.parametrize("who", [None, ""])
def test_a_request_that_nobody_signed_is_refused_and_nothing_is_opened(who: str | None):
    opened: list[Place] = []

    def opening() -> Place:
        opened.append(place())
        return opened[0]

    admin = Admin(opening, Log())
    context = {"requestId": "r", "identity": {"userArn": who}}
    answer = admin({"httpMethod": "GET", "path": "/orgs", "requestContext": context}, None)
    admin.close()
    assert answer["statusCode"] == 403
    assert opened == []


BAD = [
    ("PUT", "orgs/acme", {"name": "other"}, 400, "other"),
    ("PUT", "orgs/acme", {"name": "acme", "endpoint": []}, 400, "endpoint"),
    ("PUT", "orgs/acme", [], 400, "cannot be read"),
    ("POST", "keys", {"name": "ci"}, 400, "orgs"),
    ("POST", "keys", {"name": "ci", "orgs": ["acme"], "scope": {}}, 400, "scope"),
    ("DELETE", "keys/zzz", None, 404, "12 hex digits"),
    ("DELETE", "orgs/none", None, 404, "no organisation"),
    ("GET", "secrets", None, 404, "no such admin route"),
    ("PATCH", "orgs/acme", None, 404, "no such admin route"),
    ("POST", "credentials", None, 404, "no such admin route"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "words"), BAD)
def test_what_cannot_be_done_is_said_in_json(
    console: Console, method: str, path: str, body: Any, status: int, words: str
):
    found, said = console.ask(method, path, body)
    assert found == status
    assert words in said["error"]["message"]
    assert said["request_id"] == "r-1"


def test_no_endpoint_of_a_deployment_leads_to_its_metadata(console: Console):
    endpoint = {"type": "openai", "secret": "k", "metadata": {"api_base": "http://169.254.169.254"}}
    status, said = console.ask("PUT", "orgs/acme", document(endpoints=[endpoint]))
    assert (status, "api_base" in said["error"]["message"]) == (400, True)


def test_a_binary_body_is_read_as_well(console: Console):
    body = base64.b64encode(msgspec.json.encode(document())).decode()
    event = {
        "httpMethod": "PUT",
        "pathParameters": {"proxy": "orgs/acme"},
        "requestContext": {"requestId": "r-1", "identity": {"userArn": WHO}},
        "body": body,
        "isBase64Encoded": True,
    }
    assert console.admin(event, None)["statusCode"] == 200


def test_what_was_changed_is_logged_with_who_did_it_and_no_secret(console: Console):
    console.good("PUT", "orgs/acme", document())
    console.good("GET", "orgs")
    assert console.log.lines == [("admin", {"action": "PUT", "path": "orgs/acme", "by": WHO})]


class Failing:
    async def read(self, _: str) -> Any:
        raise StoreError("Secrets Manager failed at GetSecretValue: ThrottlingException.")

    async def names(self) -> list[str]:
        raise RuntimeError("sk-sentinel")


def test_a_store_that_fails_is_a_503_and_a_failure_of_ours_says_nothing(
    caplog: pytest.LogCaptureFixture,
):
    console = Console(secrets=Failing())
    assert console.ask("GET", "orgs/acme")[0] == 503
    status, said = console.ask("GET", "orgs")
    assert (status, "sentinel" in str(said)) == (500, False)
    assert "sentinel" not in caplog.text
    console.admin.close()


def test_the_runtime_finds_the_handler_and_opens_nothing():
    assert handlers.admin.handler is handlers.admin.handler
    with pytest.raises(AttributeError):
        _ = handlers.admin.handle
