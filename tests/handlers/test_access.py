"""Who is let in, and for what: keys of the table, scopes, organisations, renewed settings."""

from typing import Any

import pytest

from core import keys
from core.ports import StoreError
from tests.fakes import Reply, openai_endpoint
from tests.handlers.caches import COMPLETION, question
from tests.handlers.lending import CHAT, Office

GEMINI = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}
UNKNOWN = "cw_" + "0" * 48


async def test_a_key_of_the_table_opens_its_organisation():
    office = Office()
    answer = await office.ask(await office.key())
    assert answer.status == 200
    assert office.upstream.sent[0].headers["authorization"] == "Bearer sk-of-the-org"


@pytest.mark.parametrize("key", [UNKNOWN, "cw_", "cw_x"])
async def test_an_unknown_key_is_refused_and_tried_nowhere(key: str):
    office = Office()
    answer = await office.ask(key)
    assert (answer.status, office.sent) == (401, 0)
    assert key == "cw_" or key.encode() not in answer.body


async def test_without_a_key_nobody_is_asked():
    office = Office()
    assert (await office.ask(None)).status == 401
    assert (office.sent, office.store.calls) == (0, [])


async def test_a_lookup_that_fails_is_a_503_and_no_verdict_on_the_key():
    office = Office()
    key = await office.key()
    office.store.trouble["get"] = StoreError("It sleeps.")
    answer = await office.ask(key)
    assert (answer.status, office.sent) == (503, 0)
    assert answer.headers["retry-after"] == "1"
    del office.store.trouble["get"]
    assert (await office.ask(key)).status == 200


async def test_a_record_that_cannot_be_read_is_a_503():
    office = Office()
    key = await office.key()
    at = keys.row_key(key)
    row = office.store.rows[at]
    office.store.rows[at] = type(row)(pk=row.pk, sk=row.sk, data=b'{"newer":1}')
    assert (await office.ask(key)).status == 503


async def test_a_key_is_looked_up_once_a_minute_and_revoked_after_it():
    office = Office()
    key = await office.key()
    for _ in range(3):
        await office.ask(key, asked=question(temperature=1))
    assert sum(pk.startswith("key#") and sk == "0" for pk, sk in office.store.asked) == 1
    await office.revoke(key)
    assert (await office.ask(key)).status == 200
    office.clock.time += 61
    answer = await office.ask(key)
    assert answer.status == 401
    assert "was revoked" in answer.json["error"]["message"]


async def test_who_is_told_of_a_revocation_refuses_at_once():
    office = Office()
    key = await office.key()
    assert (await office.ask(key)).status == 200
    await office.revoke(key)
    office.directory.forget(keys.row_key(key))
    assert (await office.ask(key)).status == 401


async def test_a_key_that_has_just_been_created_works_although_it_was_unknown_before():
    office = Office()
    other = Office()
    key = await other.key()
    assert (await office.ask(key)).status == 401
    office.store.rows |= other.store.rows
    assert (await office.ask(key)).status == 200


async def test_an_expired_key_is_refused_even_while_it_is_remembered():
    office = Office()
    key = await office.key(expires_at=int(office.clock.now()) + 30)
    assert (await office.ask(key)).status == 200
    office.clock.time += 31
    answer = await office.ask(key)
    assert (answer.status, "expired" in str(answer.body)) == (401, True)


async def test_when_a_key_was_used_is_noted_once_an_hour():
    office = Office()
    key = await office.key()
    at = keys.use_key(keys.digest(key))
    for _ in range(2):
        await office.ask(key)
    first = office.store.rows[at].data
    office.clock.time += 120
    await office.ask(key)
    assert office.store.rows[at].data == first
    office.clock.time += 3600
    await office.ask(key)
    assert int(office.store.rows[at].data) == int(office.clock.now())


async def test_a_use_that_cannot_be_noted_fails_nothing():
    office = Office()
    key = await office.key()
    office.store.trouble["put"] = StoreError("It is full.")
    assert (await office.ask(key, asked=question(temperature=1))).status == 200
    assert any(event == "key_use_not_noted" for _, event, _ in office.log.lines)


async def test_a_key_of_several_organisations_has_to_choose():
    office = Office()
    key = await office.key("acme", "globex")
    unsaid = await office.ask(key)
    assert unsaid.status == 400
    assert "acme, globex" in unsaid.json["error"]["message"]
    assert (await office.ask(key, headers={"x-bt-org-name": "globex"})).status == 200
    assert (await office.ask(key, "/btorg/acme/v1/chat/completions")).status == 200
    assert (await office.ask(key, headers={"x-bt-org-name": "initech"})).status == 403


async def test_an_organisation_without_settings_is_told_so():
    office = Office()
    key = await office.key("initech")
    answer = await office.ask(key)
    assert (answer.status, "cutwater org apply" in str(answer.body)) == (403, True)


async def test_settings_that_cannot_be_read_are_a_503():
    office = Office()
    key = await office.key()
    office.secrets.trouble = True
    assert (await office.ask(key)).status == 503


async def test_settings_are_read_once_a_minute_and_at_every_request_where_that_is_asked_for():
    office = Office()
    key = await office.key()
    for _ in range(2):
        await office.ask(key, asked=question(temperature=1))
    assert office.secrets.reads == ["acme"]
    await office.ask(key, headers={"x-bt-use-creds-cache": "never"})
    assert office.secrets.reads == ["acme", "acme"]
    office.clock.time += 61
    await office.ask(key, asked=question(temperature=1))
    assert len(office.secrets.reads) == 3


REFUSED = Reply(b'{"error":{"message":"no"}}', status=401)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (CHAT, question(temperature=1)),
        ("/v1/messages", question(max_tokens=9, model="gpt-4o")),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "x"}),
        ("/v1/moderations", {"model": "omni-moderation-latest", "input": "x"}),
        ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "x"}),
    ],
)
async def test_a_key_that_was_rotated_is_used_at_once_after_a_401(path: str, asked: Any):
    office = Office(Reply(COMPLETION), REFUSED, Reply(COMPLETION))
    key = await office.key()
    await office.ask(key, asked=question(temperature=1))
    fresh = openai_endpoint(secret="sk-rotated")
    office.secrets.put("acme", "2", endpoints=[fresh])
    office.clock.time += 20
    answer = await office.ask(key, path, asked)
    assert answer.status == 200
    assert [sent.headers["authorization"] for sent in office.upstream.sent] == [
        "Bearer sk-of-the-org",
        "Bearer sk-of-the-org",
        "Bearer sk-rotated",
    ]


async def test_a_401_with_the_settings_as_they_were_is_told_and_asks_no_more():
    office = Office(Reply(COMPLETION), REFUSED, REFUSED)
    key = await office.key()
    await office.ask(key, asked=question(temperature=1))
    office.clock.time += 20
    answer = await office.ask(key, asked=question(temperature=1))
    assert (answer.status, office.sent) == (502, 2)


@pytest.mark.parametrize(
    ("scopes", "path", "asked", "status"),
    [
        ({"models": ["gpt-4o"]}, CHAT, question(), 200),
        ({"models": ["gpt-4*"]}, CHAT, question(), 200),
        ({"models": ["gpt-4o"]}, CHAT, question(model="gpt-4o-mini"), 403),
        ({"models": ["gpt-4o"]}, "/v1/responses", {"model": "gpt-5", "input": "x"}, 403),
        ({"models": ["gpt-4o"]}, "/v1beta/models/gemini-2.0-flash:generateContent", GEMINI, 403),
        ({"models": ["gpt-4o"]}, "/v1/embeddings", {"model": "other", "input": "x"}, 403),
        ({"models": ["gpt-4o"]}, "/v1/auto", question(model="gpt-4o-mini"), 403),
        ({"models": ["gpt-4o"]}, "/v1/moderations", {"input": "x"}, 403),
        ({"models": ["gpt-4o"]}, "/v1/fine_tuning/jobs", {"model": "gpt-4o"}, 403),
        ({"models": ["gpt-4o"]}, "/v1/images/generations?model=dall-e-3", {"model": "gpt-4o"}, 403),
        ({"models": ["gpt-4o"]}, CHAT, question(models=["gpt-4o", "o3"]), 403),
        ({"models": ["gpt-4o"]}, CHAT, question(Model="o3"), 400),
        ({"models": ["gpt-4o"]}, CHAT, b'{"model":"o3","model":"gpt-4o","messages":[]}', 400),
        ({"models": ["gpt-4o"]}, "/v1/images/generations", b'{"model":"o3","model":"gpt-4o"}', 400),
        ({"routes": ["chat"]}, CHAT, question(), 200),
        ({"routes": ["chat"]}, "/v1/embeddings", {"model": "gpt-4o", "input": "x"}, 403),
        ({"routes": ["chat"]}, "/v1/credentials", {}, 403),
        ({"routes": ["embeddings"]}, CHAT, question(), 403),
        ({"routes": ["embeddings"]}, "/v1/explain", {"route": CHAT, **question()}, 403),
        ({"endpoints": ["main"]}, CHAT, question(), 200),
        ({"endpoints": ["claude"]}, CHAT, question(), 403),
        ({"endpoints": ["claude"]}, "/v1/files", {"purpose": "x"}, 403),
    ],
)
async def test_a_key_does_what_its_scopes_say(
    scopes: dict[str, Any], path: str, asked: Any, status: int
):
    office = Office()
    key = await office.key(scopes=scopes)
    answer = await office.ask(key, path, asked)
    assert answer.status == status, answer.body
    if status != 200:
        assert office.sent == 0


async def test_an_endpoint_that_a_key_may_not_use_cannot_be_named():
    office = Office()
    key = await office.key(scopes={"endpoints": ["main"]})
    assert (await office.ask(key, headers={"x-bt-endpoint-name": "claude"})).status == 403


async def test_no_scope_is_asked_after_the_cache():
    """A key that may not use a model gets no answer of it, be it kept already."""
    office = Office()
    office.secrets.put("acme", shared_cache=True, data_keys=[{"generation": 1, "key": "a" * 43}])
    assert (await office.ask(await office.key())).headers["x-bt-cached"] == "MISS"
    assert (await office.ask(await office.key())).headers["x-bt-cached"] == "HIT"
    other = await office.key(scopes={"models": ["gpt-4o-mini"]})
    assert (await office.ask(other)).status == 403
    elsewhere = await office.key(scopes={"endpoints": ["claude"]})
    assert (await office.ask(elsewhere)).status == 403
    limited = await office.key(scopes={"endpoints": ["main"]})
    assert (await office.ask(limited)).headers["x-bt-cached"] == "MISS"


async def test_lists_of_models_hold_what_the_key_may_use():
    office = Office()
    key = await office.key(scopes={"models": ["gpt-4o*"]})
    listed = await office.ask(key, "/v1/models", method="GET")
    names = {model["id"] for model in listed.json["data"]}
    assert "gpt-4o" in names
    assert all(name.startswith("gpt-4o") for name in names)
    assert (await office.ask(key, "/v1/models/gpt-5", method="GET")).status == 404
    elsewhere = await office.key(scopes={"endpoints": ["claude"]})
    listed = await office.ask(elsewhere, "/v1/models", method="GET")
    assert not any(model["id"] == "gpt-4o" for model in listed.json["data"])


def form(*fields: tuple[str, bytes]) -> bytes:
    parts = [
        b'--x\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
        for name, value in fields
    ]
    return b"".join(parts) + b"--x--\r\n"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ((("model", b"whisper-1"), ("file", b"RIFF")), 200),
        ((("file", b"RIFF" * 50_000), ("model", b"whisper-1")), 200),
        ((("model", b"gpt-4o-transcribe"), ("file", b"RIFF")), 403),
        ((("file", b"RIFF"),), 403),
        ((("model", b"whisper-1"), ("file", b"RIFF"), ("model", b"gpt-4o-transcribe")), 400),
        ((("model", b"whisper-1"), ("Model", b"gpt-4o-transcribe")), 400),
    ],
)
async def test_an_upload_names_one_model(fields: tuple[tuple[str, bytes], ...], status: int):
    office = Office(Reply(b'{"text":"hi"}'))
    key = await office.key(scopes={"models": ["whisper-1"]})
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = await office.ask(key, "/v1/audio/transcriptions", form(*fields), headers)
    assert answer.status == status, answer.body
    assert office.sent == (status == 200)


async def test_files_of_this_machine_may_hold_their_keys_in_clear():
    office = Office(local=True)
    office.secrets.put("acme", keys=[{"name": "ci", "key": "cw_clear_0123456789abcdef01"}])
    assert (await office.ask("cw_clear_0123456789abcdef01")).status == 200
    assert (await office.ask("cw_clear_0123456789abcdef02")).status == 401
    deployed = Office()
    deployed.secrets.put("acme", keys=[{"name": "ci", "key": "cw_clear_0123456789abcdef01"}])
    assert (await deployed.ask("cw_clear_0123456789abcdef01")).status == 401


async def test_nothing_that_is_held_shows_a_key():
    office = Office()
    key = await office.key()
    await office.ask(key)
    shown = repr((office.directory, office.app.services, office.log.lines))
    assert key not in shown
    assert "sk-of-the-org" not in shown


async def test_a_providers_own_key_goes_through_only_where_the_deployment_lets_it():
    open_office = Office(Reply(COMPLETION))
    assert (await open_office.ask("sk-somebodys-own")).status == 200
    assert open_office.upstream.sent[0].headers["authorization"] == "Bearer sk-somebodys-own"
    closed = Office(provider_keys=False)
    answer = await closed.ask("sk-somebodys-own")
    assert (answer.status, closed.sent) == (401, 0)
    assert b"sk-somebodys-own" not in answer.body
