"""Temporary credentials without a server: what a key may issue, and only it may look into."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from core import temporary
from core.errors import AuthenticationError, CutwaterError
from handlers import admin_credentials, credential_table
from tests.fakes import NOW
from tests.handlers.operators import KEY, CommandLine, FakeSecrets, counting, place

NOW_S = int(NOW)


@pytest.fixture
def at(tmp_path: Path) -> CommandLine:
    found = CommandLine(tmp_path)
    found.apply(keys=[{"name": "dev", "key": KEY}])
    return found


def test_a_credential_is_printed_shown_and_revoked(at: CommandLine):
    more = ["--model", "gpt-4o", "--ttl", "30m", "--max-requests", "5", "--max-cost-usd", "0.5"]
    more += ["--origin", "https://app.acme.test", "--route", "chat", "--parent", "project:x"]
    issued = at.json("credential", "create", "--key", KEY, *more)
    assert temporary.looks_like(issued["key"])
    shown = at.json("credential", "inspect", issued["id"], "--key", KEY)
    assert shown["org_name"] == "acme"
    assert shown["expires_at"] - shown["created_at"] == 1800
    assert shown["grant"] == {
        "model": "gpt-4o",
        "routes": ["chat"],
        "origins": ["https://app.acme.test"],
        "max_requests": 5,
        "max_cost_usd": 0.5,
        "logging": {"parent": "project:x"},
    }
    text = at.good("credential", "inspect", issued["id"], "--key", KEY)
    assert "organisation  acme" in text
    assert "routes        chat" in text
    code, _, _ = at.run("credential", "revoke", issued["id"], "--key", KEY, answer="n\n")
    assert code == 1
    assert "revoked" in at.good("credential", "revoke", issued["id"], "--key", KEY, "--yes")
    assert "revoked" in at.good("credential", "inspect", issued["id"], "--key", KEY)
    over = at.json("credential", "revoke", issued["id"], "--key", KEY, "--yes")
    assert over == {"revoked": issued["id"]}


def test_the_credential_alone_goes_to_standard_output(at: CommandLine):
    code, out, err = at.run("credential", "create", environment={"CUTWATER_KEY": KEY})
    assert (code, temporary.looks_like(out.strip()), out.count("\n")) == (0, True, 1)
    assert "bt_tmp:" in err
    assert "UTC" in err


def test_several_models_or_a_pattern_are_a_list(at: CommandLine):
    for names in (["gpt-*"], ["a", "b"]):
        more = [word for name in names for word in ("--model", name)]
        issued = at.json("credential", "create", "--key", KEY, *more)
        shown = at.json("credential", "inspect", issued["id"], "--key", KEY)
        assert shown["grant"] == {"models": names}


def test_a_created_key_issues_within_what_it_may(at: CommandLine):
    key = at.key("--model", "gpt-*", "--route", "chat", "--route", "credentials")["key"]
    create = ("credential", "create", "--key", key)
    at.good(*create, "--model", "gpt-4o")
    assert "cannot grant it" in at.bad(*create, "--model", "claude-x")
    assert "cannot grant it" in at.bad(*create, "--route", "embeddings")
    other = at.key("--route", "chat")["key"]
    assert "not allowed to use the route" in at.bad("credential", "create", "--key", other)


def test_a_revoked_key_issues_nothing(at: CommandLine):
    created = at.key()
    at.good("key", "revoke", created["id"], "--yes")
    assert "was revoked" in at.bad("credential", "create", "--key", created["key"])


def test_a_key_of_several_organisations_says_for_which(at: CommandLine):
    key = at.key("--org", "other")["key"]
    assert "x-bt-org-name" in at.bad("credential", "create", "--key", key)
    issued = at.json("credential", "create", "--key", key, "--org", "other")
    shown = at.json("credential", "inspect", issued["id"], "--key", key)
    assert shown["org_name"] == "other"


def test_a_provider_s_own_key_issues_for_no_organisation(at: CommandLine):
    issued = at.json("credential", "create", "--key", "sk-own")
    assert "none, a provider's own key" in at.good(
        "credential", "inspect", issued["id"], "--key", "sk-own"
    )


def test_the_key_of_this_machine_is_known(at: CommandLine):
    (at.data / "local.key").write_text("cw_local_0123456789abcdef\n")
    issued = at.json("credential", "create", "--key", "cw_local_0123456789abcdef")
    shown = at.json("credential", "inspect", issued["id"], "--key", "cw_local_0123456789abcdef")
    assert shown["org_name"] == "local"


def test_nobody_else_can_look_into_a_credential_or_revoke_it(at: CommandLine):
    issued = at.json("credential", "create", "--key", KEY)
    for verb in (("inspect",), ("revoke", "--yes")):
        for other in (at.key()["key"], "sk-own"):
            said = at.bad("credential", *verb, issued["id"], "--key", other)
            assert "issued no such credential" in said
        said = at.bad("credential", *verb, issued["id"], "--key", issued["key"])
        assert "can neither inspect nor revoke" in said


BAD = [
    (("--ttl", "2d"), "ttl_seconds"),
    (("--ttl", "0"), "ttl_seconds"),
    (("--origin", "acme"), "origin"),
    (("--max-requests", "0"), "max_requests"),
    (("--route", "credentials"), "routes"),
]


@pytest.mark.parametrize(("more", "field"), BAD)
def test_what_cannot_be_granted_is_said_with_its_field(
    at: CommandLine, more: tuple[str, ...], field: str
):
    assert field in at.bad("credential", "create", "--key", KEY, *more)


def test_an_unknown_key_and_a_credential_issue_nothing(at: CommandLine):
    assert "not known here" in at.bad("credential", "create", "--key", "cw_unknown_0123456789")
    issued = at.json("credential", "create", "--key", KEY)
    said = at.bad("credential", "create", "--key", issued["key"])
    assert "cannot be used to issue another" in said


async def create(there: Any, key: str = KEY, **fields: Any) -> Any:
    return await admin_credentials.create(
        there, key, fields, org_name=None, now=NOW_S, random=counting()
    )


async def test_what_is_issued_here_is_verified_by_the_proxy():
    secrets = FakeSecrets(
        acme=msgspec.json.encode({"name": "acme", "keys": [{"name": "k", "key": KEY}]})
    )
    there = place(secrets=secrets)
    issued = await create(there, model="gpt-4o")
    at = temporary.peek(issued.key)
    credential = temporary.verify(issued.key, there.store.rows[at], NOW_S)
    assert (credential.parent_key, credential.org_name) == (KEY, "acme")
    assert issued.key not in repr(issued)
    await credential_table.revoke(
        there.store, KEY, issued.id, now=NOW_S, random=lambda size: b"n" * size
    )
    with pytest.raises(AuthenticationError, match="revoked"):
        temporary.verify(issued.key, there.store.rows[at], NOW_S)


async def test_requests_that_were_counted_are_shown():
    there = place()
    issued = await create(there, "sk-own", max_requests=5)
    assert (await credential_table.inspect(there.store, "sk-own", issued.id)).requests is None
    from core.credential_rows import counter_row_key

    await there.store.add(counter_row_key(issued.id), 3, NOW_S + 600)
    assert (await credential_table.inspect(there.store, "sk-own", issued.id)).requests == 3


async def test_an_organisation_that_cannot_be_read_is_no_way_in():
    there = place(secrets=FakeSecrets(acme=b'{"name":"acme"}'))
    with pytest.raises(CutwaterError):
        await create(there)
    assert there.store.rows == {}
