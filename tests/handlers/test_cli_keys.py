"""Keys at the command line: shown once, listed by id, revoked for good."""

import time
from pathlib import Path

import pytest

from core import keys
from handlers import admin_keys
from handlers.admin_keys import AdminError
from tests.fakes import NOW, FakeStore
from tests.handlers.operators import CommandLine, counting

NOW_S = int(NOW)


@pytest.fixture
def at(tmp_path: Path) -> CommandLine:
    found = CommandLine(tmp_path)
    found.apply()
    return found


def test_a_key_is_shown_once_and_nowhere_kept(at: CommandLine):
    code, out, err = at.run("key", "create", "--org", "acme", "--name", "ci")
    key = out.strip()
    assert (code, key[:3], len(key)) == (0, "cw_", 51)
    assert keys.digest(key)[:12] in err
    assert key not in err
    held = b"".join(file.read_bytes() for file in at.data.rglob("*") if file.is_file())
    assert key.encode() not in held
    assert keys.digest(key).encode() in held
    assert key not in at.good("key", "list")


def test_scopes_limits_and_expiry_are_kept_and_listed(at: CommandLine):
    more = ["--model", "gpt-4o*", "--model", "claude-*", "--route", "chat", "--endpoint", "main"]
    more += ["--rpm", "60", "--tpm", "90000", "--usd-per-day", "5.5", "--usd-total", "100"]
    created = at.key(*more, "--expires", "30d")
    [listed] = at.json("key", "list")
    assert listed == {name: value for name, value in created.items() if name != "key"}
    assert listed["scopes"] == {
        "models": ["gpt-4o*", "claude-*"],
        "routes": ["chat"],
        "endpoints": ["main"],
    }
    assert listed["limits"] == {
        "requests_per_minute": 60,
        "tokens_per_minute": 90000,
        "usd_per_day": 5.5,
        "usd_total": 100,
    }
    assert abs(listed["expires_at"] - time.time() - 30 * 86400) < 60
    assert listed["state"] == "live"
    shown = at.good("key", "list")
    for words in (created["id"], "gpt-4o*, claude-*", "usd_per_day 5.5", "live"):
        assert words in shown


def test_keys_are_listed_by_organisation(at: CommandLine):
    first = at.key()
    second = at.key("--org", "other")
    assert {one["id"] for one in at.json("key", "list")} == {first["id"], second["id"]}
    assert [one["id"] for one in at.json("key", "list", "--org", "other")] == [second["id"]]
    assert at.json("key", "list", "--org", "nobody") == []


def test_an_organisation_that_is_not_there_yet_is_mentioned(at: CommandLine):
    code, _, err = at.run("key", "create", "--org", "acmee", "--name", "ci")
    assert code == 0
    assert "no organisation acmee here yet" in err
    _, _, err = at.run("key", "create", "--org", "acme", "--name", "ci")
    assert "yet" not in err


BAD = [
    (("--route", "chats"), "$.scopes.routes"),
    (("--model", ""), "$.scopes.models"),
    (("--rpm", "0"), "$.limits.requests_per_minute"),
    (("--usd-total", "nan"), "$.limits.usd_total"),
    (("--expires", "0"), "$.expires_at"),
    (("--org", "a\nb"), "$.orgs"),
]


@pytest.mark.parametrize(("more", "path"), BAD)
def test_what_is_wrong_with_a_key_is_said_with_its_field(
    at: CommandLine, more: tuple[str, ...], path: str
):
    assert path in at.bad("key", "create", "--org", "acme", "--name", "ci", *more)
    assert at.json("key", "list") == []


def test_an_expiry_that_is_no_time_is_refused(at: CommandLine):
    code, _, err = at.run("key", "create", "--org", "a", "--name", "b", "--expires", "soon")
    assert (code, "30m, 12h or 7d" in err) == (2, True)


def test_revoking_asks_and_is_for_good(at: CommandLine):
    created = at.key()
    code, _, _ = at.run("key", "revoke", created["id"], answer="n\n")
    assert (code, at.json("key", "list")[0]["state"]) == (1, "live")
    assert "revoked on" in at.good("key", "revoke", created["id"][:8], answer="y\n")
    [listed] = at.json("key", "list")
    assert listed["state"] == "revoked"
    again = at.json("key", "revoke", created["id"])
    assert again["revoked_at"] == listed["revoked_at"]


def test_a_key_can_be_revoked_by_itself(at: CommandLine):
    created = at.key()
    assert at.json("key", "revoke", created["key"], "--yes")["id"] == created["id"]


@pytest.mark.parametrize(("key_id", "words"), [("x", "12 hex"), ("0" * 12, "no key of that id")])
def test_an_id_of_nothing_is_refused(at: CommandLine, key_id: str, words: str):
    assert words in at.bad("key", "revoke", key_id, "--yes")


def test_a_data_folder_that_is_none_is_named(at: CommandLine):
    at.data = Path(at.file("file", b"")) / "data"
    assert str(at.data) in at.bad("key", "list") or "file" in at.bad("key", "list")


async def test_an_id_that_two_keys_begin_with_is_refused():
    store = FakeStore()
    for digest in ("abcdef" + "0" * 58, "abcdef" + "1" * 58):
        record = keys.issued(keys.draft("ci", ["acme"]), digest, NOW_S)
        await store.put(keys.rows_of_record(record, digest))
    with pytest.raises(AdminError, match="Several"):
        await admin_keys.named(store, "abcdef")
    assert (await admin_keys.named(store, "ABCDEF0"))[1].id == "abcdef000000"


async def test_many_keys_are_listed_with_their_last_use():
    store, random = FakeStore(), counting()
    for number in range(120):
        draft = keys.draft(f"key-{number}", ["acme"])
        created = await admin_keys.create(store, draft, now=NOW_S + number, random=random)
    await store.put([keys.use_row(keys.digest(created.key), NOW_S + 500)])
    for found in (await admin_keys.listed(store), await admin_keys.listed(store, "acme")):
        assert [record.name for record in found[:2]] == ["key-119", "key-118"]
        assert (len(found), found[0].last_used_at, found[1].last_used_at) == (
            120,
            NOW_S + 500,
            None,
        )
    assert created.key not in repr(created)
