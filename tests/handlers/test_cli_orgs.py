"""Organisations at the command line: checked as a whole, kept, shown without their secrets."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from core import keys
from core.orgs import SettingsError
from core.ports import StoreError
from handlers import admin_keys, admin_orgs
from handlers.admin_keys import AdminError
from tests.fakes import NOW, FakeStore
from tests.handlers.operators import (
    KEY,
    OPENAI,
    CommandLine,
    FakeSecrets,
    counting,
    document,
    place,
)

NOW_S = int(NOW)


@pytest.fixture
def at(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_what_was_applied_is_listed_and_shown(at: CommandLine):
    file = at.file("acme.json", document(keys=[{"name": "dev", "key": KEY}]))
    assert at.good("org", "apply", file) == "acme: created, 1 endpoints\n"
    assert at.good("org", "apply", file) == "acme: replaced, 1 endpoints\n"
    at.key()
    [listed] = at.json("org", "list")
    assert listed == {
        "name": "acme",
        "endpoints": 1,
        "keys": 2,
        "shared_cache": False,
        "fault": None,
    }
    assert "acme" in at.good("org", "list")


def test_secrets_are_masked_unless_they_are_asked_for(at: CommandLine):
    at.apply(
        keys=[{"name": "dev", "key": KEY}],
        endpoints=[
            {
                **OPENAI,
                "metadata": {
                    "api_base": "https://acme.test/v1",
                    "additionalHeaders": {"x-team": "sentinel"},
                    "access_key": "AKIASENTINEL",
                    "session_token": "sentinel",
                    "auth_type": "api_key",
                    "models": ["gpt-4o"],
                },
            },
            {
                "type": "vertex",
                "secret": '{"a": "sentinel-sentinel"}',
                "metadata": {"project": "p"},
            },
        ],
        timeouts={"total_s": 10},
    )
    shown = at.good("org", "show", "acme")
    assert "sentinel" not in shown.lower()
    assert KEY not in shown
    found = msgspec.json.decode(shown)
    assert found["endpoints"][0]["secret"] == "sk-...abcd"
    assert found["endpoints"][0]["metadata"]["auth_type"] == "api_key"
    assert found["endpoints"][0]["metadata"]["models"] == ["gpt-4o"]
    assert found["endpoints"][1]["secret"] == "..."
    assert found["timeouts"] == {"total_s": 10}
    assert at.json("org", "show", "acme") == found
    assert at.json("org", "show", "acme", "--reveal")["endpoints"][0]["secret"] == OPENAI["secret"]


BAD: list[tuple[Any, str]] = [
    ({"name": "acme", "endpoint": []}, "unknown field `endpoint`"),
    ({"name": "acme", "endpoints": [{"type": "opnai"}]}, "at `$.endpoints[0].type`"),
    ({"name": "acme", "shared_cache": True, "cache": {"read_s": 0}}, "at `$.cache.read_s`"),
    (b"{", "not JSON"),
    (b"[]", "Expected `object`"),
    (document(endpoints=[{**OPENAI, "name": "n" * 200}] * 2), "at `$.endpoints[1].name`"),
    (
        document(fallbacks={f"model-{i}": ["another-model"] for i in range(4000)}),
        "or make two organisations",
    ),
]


@pytest.mark.parametrize(("content", "words"), BAD)
def test_a_document_that_is_wrong_is_not_written(at: CommandLine, content: Any, words: str):
    file = at.file("bad.json", content)
    assert words in at.bad("org", "apply", file)
    assert at.json("org", "list") == []


def test_a_file_that_is_not_there_is_named(at: CommandLine):
    assert "nowhere.json: No such file" in at.bad("org", "apply", "nowhere.json")


def test_an_organisation_that_is_not_there_is_named_with_those_that_are(at: CommandLine):
    assert "none yet" in at.bad("org", "show", "other")
    at.apply()
    for verb in (("show", "other"), ("delete", "other", "--yes")):
        assert "no organisation `other`; there are: acme" in at.bad("org", *verb)


def test_deleting_asks_and_revokes_the_keys_of_no_other(at: CommandLine):
    at.apply()
    at.good("org", "apply", at.file("b.json", document(name="other")))
    only = at.key()
    both = at.key("--org", "other")
    code, _, _ = at.run("org", "delete", "acme", answer="n\n")
    assert code == 1
    assert len(at.json("org", "list")) == 2
    assert "1 keys revoked" in at.good("org", "delete", "acme", answer="y\n")
    states = {one["id"]: (one["state"], one["orgs"]) for one in at.json("key", "list")}
    assert states == {only["id"]: ("revoked", ["acme"]), both["id"]: ("live", ["other"])}
    assert at.json("org", "delete", "other", "--yes") == {"deleted": "other", "keys_revoked": 1}
    assert at.json("org", "list") == []


def test_a_shared_cache_gets_a_data_key_and_keeps_it(at: CommandLine):
    assert "a data key was made" in at.apply(shared_cache=True)
    first = at.json("org", "show", "acme", "--reveal")["data_keys"]
    assert "are kept" in at.apply(shared_cache=True)
    assert at.json("org", "show", "acme", "--reveal")["data_keys"] == first
    at.apply()
    assert at.json("org", "show", "acme", "--reveal")["data_keys"] == first
    own = [{"generation": 2, "key": "A" * 43}]
    assert "data key" not in at.apply(shared_cache=True, data_keys=own)
    assert at.json("org", "show", "acme", "--reveal")["data_keys"] == own


def test_a_file_that_needs_no_change_is_kept_to_the_byte(at: CommandLine):
    body = b'{ "name":"acme",\n "timeouts": {"total_s": 1.50} }\n'
    at.good("org", "apply", at.file("acme.json", body))
    assert (at.data / "orgs" / "acme.json").read_bytes() == body


def test_a_document_that_has_become_unusable_is_named_in_the_list(at: CommandLine):
    at.apply()
    (at.data / "orgs" / "acme.json").write_bytes(b"{}")
    code, out, err = at.run("org", "list")
    assert (code, "acme" in out) == (0, True)
    assert "cannot be used: acme: " in err


async def apply(there: Any, **fields: Any) -> Any:
    body = msgspec.json.encode(document(**fields))
    return await admin_orgs.apply(there, body, source="acme.json", now=NOW_S, random=counting())


async def test_keys_in_clear_do_not_get_into_a_deployment():
    there = place(shared=True)
    applied = await apply(there, keys=[{"name": "dev", "key": KEY}])
    assert applied.keys_moved == ("dev",)
    assert KEY.encode() not in there.secrets.documents["acme"]
    [record] = await admin_keys.listed(there.store, "acme")
    assert (record.name, record.orgs, record.id) == ("dev", ("acme",), keys.digest(KEY)[:12])
    assert keys.found(there.store.rows[keys.row_key(KEY)], KEY) == record


async def test_applying_again_neither_doubles_a_key_nor_revives_it():
    there = place(shared=True)
    await apply(there, keys=[{"name": "dev", "key": KEY}])
    digest, record = await admin_keys.named(there.store, KEY)
    await admin_keys.revoke(there.store, digest, record, NOW_S)
    await apply(there, keys=[{"name": "dev", "key": KEY}])
    [record] = await admin_keys.listed(there.store)
    assert record.revoked_at == NOW_S


async def test_a_key_in_two_documents_is_one_key_of_both():
    there = place(shared=True)
    for name in ("acme", "other"):
        await apply(there, name=name, keys=[{"name": "dev", "key": KEY}])
    [record] = await admin_keys.listed(there.store)
    assert record.orgs == ("acme", "other")
    assert await admin_keys.listed(there.store, "other") == [record]


async def test_a_deployment_takes_no_address_of_its_own_network():
    there = place(shared=True)
    endpoint = {**OPENAI, "metadata": {"api_base": "http://169.254.169.254/latest"}}
    with pytest.raises(SettingsError, match=r"\$\.endpoints\[0\]\.metadata\.api_base"):
        await apply(there, endpoints=[endpoint], keys=[{"name": "dev", "key": KEY}])
    assert (there.store.rows, there.secrets.documents) == ({}, {})


async def test_an_organisation_that_is_too_large_moves_no_keys():
    there = place(shared=True)
    with pytest.raises(StoreError, match="65536"):
        await apply(
            there,
            keys=[{"name": "dev", "key": KEY}],
            fallbacks={f"m{i}": ["x" * 200] for i in range(400)},
        )
    assert there.store.rows == {}


async def test_a_store_that_fails_leaves_the_organisation_as_it_was():
    store = FakeStore()
    store.trouble["put"] = StoreError("It is down.")
    there = place(store=store, shared=True, secrets=FakeSecrets(acme=b'{"name":"acme"}'))
    with pytest.raises(StoreError):
        await apply(there, keys=[{"name": "dev", "key": KEY}])
    assert there.secrets.documents == {"acme": b'{"name":"acme"}'}


async def test_who_lists_sees_no_keys_that_are_over():
    there = place(secrets=FakeSecrets(acme=b'{"name":"acme"}'))
    draft = keys.draft("short", ["acme"], expires_at=NOW_S + 10)
    await admin_keys.create(there.store, draft, now=NOW_S, random=counting())
    assert [one.keys for one in await admin_orgs.listed(there, NOW_S)] == [1]
    assert [one.keys for one in await admin_orgs.listed(there, NOW_S + 10)] == [0]


async def test_nothing_is_deleted_where_there_is_nothing():
    with pytest.raises(AdminError, match="none yet"):
        await admin_orgs.delete(place(), "acme", NOW_S)
