"""Temporary credentials: issued, used, restricted, looked at, ended; and what attackers try."""

import base64
from typing import Any

import jwt
import msgspec
import pytest
from msgspec.structs import replace

from core import credential_rows, keys
from core.ports import StoreError
from tests.fakes import NOW, Reply
from tests.handlers.caches import COMPLETION, FRAMES, question, streamed
from tests.handlers.lending import CHAT, Office, claims, id_of

UNCERTAIN = question(temperature=1)


async def test_a_credential_is_used_like_the_key_that_issued_it():
    office = Office()
    token = await office.lend(await office.key())
    answer = await office.ask(token)
    assert answer.status == 200
    assert office.upstream.sent[0].headers["authorization"] == "Bearer sk-of-the-org"
    assert not any(token in value for value in office.upstream.sent[0].headers.values())


async def test_it_says_what_the_reference_says_and_no_more_than_it_must():
    office = Office()
    said = claims(await office.lend(await office.key(), model="gpt-4o"))
    assert (said["iss"], said["aud"], said["exp"] - said["iat"]) == ("cutwater", "cutwater", 600)
    assert said["jti"].startswith("bt_tmp:")
    assert {name: said["bt"][name] for name in ("model", "org_name")} == {
        "model": "gpt-4o",
        "org_name": "acme",
    }


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (b"{}", 200),
        ({"ttl_seconds": 86_400}, 200),
        ({"ttl_seconds": 86_401}, 400),
        ({"ttl_seconds": "x"}, 400),
        ({"ttl_seconds": 1.5}, 400),
        ({"ttl_seconds": 0}, 400),
        ({"ttl_seconds": -5}, 400),
        ({"logging": {}}, 400),
        ({"logging": {"project_name": "p"}}, 200),
        ({"model": 5}, 400),
        ({"unknown": True}, 200),
        (b"[]", 400),
        (b"{", 400),
    ],
)
async def test_what_is_asked_for_is_checked_as_the_reference_does(asked: Any, status: int):
    office = Office()
    answer = await office.ask(await office.key(), "/v1/credentials", asked)
    assert answer.status == status, answer.body


async def test_a_providers_own_key_can_be_lent_too():
    office = Office(Reply(COMPLETION))
    token = await office.lend("sk-somebodys-own", model="gpt-4o")
    assert (await office.ask(token)).status == 200
    assert office.upstream.sent[0].headers["authorization"] == "Bearer sk-somebodys-own"
    assert b"sk-somebodys-own" not in b"".join(row.data for row in office.store.rows.values())
    assert "sk-somebodys-own" not in token


async def test_where_providers_keys_are_off_one_that_was_lent_before_is_off_too():
    office = Office()
    token = await office.lend("sk-somebodys-own")
    closed = Office(provider_keys=False)
    closed.store.rows = office.store.rows
    assert (await closed.ask(token)).status == 401


@pytest.mark.parametrize(
    ("granted", "path", "asked", "status"),
    [
        ({"model": "gpt-4o"}, CHAT, question(), 200),
        ({"model": "gpt-4o"}, CHAT, question(model="gpt-4o-mini"), 403),
        ({"model": "gpt-4o"}, "/v1/embeddings", {"model": "other", "input": "x"}, 403),
        ({"models": ["gpt-4*"]}, CHAT, question(), 200),
        ({"models": ["o*"]}, CHAT, question(), 403),
        ({"routes": ["embeddings"]}, CHAT, question(), 403),
        ({"endpoints": ["claude"]}, CHAT, question(), 403),
        ({"model": "gpt-4o"}, "/v1/files", b"", 403),
    ],
)
async def test_a_credential_does_what_it_was_granted(
    granted: dict[str, Any], path: str, asked: Any, status: int
):
    office = Office()
    token = await office.lend(await office.key(), **granted)
    answer = await office.ask(token, path, asked)
    assert answer.status == status, answer.body
    assert office.sent == (status == 200)


async def test_a_credential_cannot_be_wider_than_its_key():
    office = Office()
    key = await office.key(scopes={"models": ["gpt-4o"], "routes": ["chat", "credentials"]})
    refused = await office.ask(key, "/v1/credentials", {"model": "o3"})
    assert (refused.status, refused.json["error"]["param"]) == (403, "model")
    token = await office.lend(key)
    assert (await office.ask(token)).status == 200
    assert (await office.ask(token, asked=question(model="gpt-4o-mini"))).status == 403


async def test_a_credential_ends_with_its_key():
    office = Office()
    key = await office.key()
    token = await office.lend(key)
    assert (await office.ask(token)).status == 200
    await office.revoke(key)
    office.clock.time += 61
    assert (await office.ask(token)).status == 401


async def test_its_issuer_may_look_at_it_and_end_it():
    office = Office()
    key = await office.key()
    token = await office.lend(key, model="gpt-4o", max_requests=5)
    await office.ask(token)
    at = f"/v1/credentials/{id_of(token)}"
    shown = (await office.ask(key, at, method="GET")).json
    assert {name: shown[name] for name in ("id", "model", "requests", "max_requests")} == {
        "id": id_of(token),
        "model": "gpt-4o",
        "requests": 1,
        "max_requests": 5,
    }
    assert (await office.ask(key, at, method="DELETE")).json["revoked"] is True
    answer = await office.ask(token)
    assert (answer.status, b"revoked" in answer.body) == (401, True)
    shown = (await office.ask(key, at, method="GET")).json
    assert shown["revoked_at"] == int(NOW)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_nobody_else_may(method: str):
    office = Office()
    token = await office.lend(await office.key())
    other = await office.lend(await office.key())
    at = f"/v1/credentials/{id_of(token)}"
    for who, status in [
        (await office.key(), 404),
        (await office.key("globex"), 404),
        ("sk-somebody", 404),
        (token, 403),
        (other, 403),
        (None, 401),
    ]:
        assert (await office.ask(who, at, method=method)).status == status
    assert (await office.ask(token)).status == 200


async def test_a_credential_issues_no_other():
    office = Office()
    token = await office.lend(await office.key())
    answer = await office.ask(token, "/v1/credentials", {})
    assert (answer.status, b"issue another" in answer.body) == (400, True)


async def test_it_stays_in_its_organisation():
    office = Office()
    token = await office.lend(await office.key())
    assert (await office.ask(token, headers={"x-bt-org-name": "acme"})).status == 200
    assert (await office.ask(token, headers={"x-bt-org-name": "globex"})).status == 403
    assert (await office.ask(token, "/btorg/globex/v1/chat/completions")).status == 403


async def test_it_works_where_settings_are_to_be_read_anew():
    office = Office()
    token = await office.lend(await office.key())
    answer = await office.ask(token, headers={"x-bt-use-creds-cache": "never"})
    assert answer.status == 200


async def test_its_answers_are_its_issuers_for_the_models_that_it_may_use():
    office = Office()
    key = await office.key()
    assert (await office.ask(key)).headers["x-bt-cached"] == "MISS"
    token = await office.lend(key, model="gpt-4o")
    assert (await office.ask(token)).headers["x-bt-cached"] == "HIT"
    narrow = await office.lend(key, model="gpt-4o-mini")
    assert (await office.ask(narrow)).status == 403
    stranger = await office.lend(await office.key())
    assert (await office.ask(stranger)).headers["x-bt-cached"] == "MISS"


async def test_requests_are_counted_over_all_processes():
    office = Office()
    token = await office.lend(await office.key(), max_requests=2)
    other = Office()
    other.store.rows = office.store.rows
    assert (await office.ask(token, asked=UNCERTAIN)).status == 200
    assert (await other.ask(token, asked=UNCERTAIN)).status == 200
    refused = await office.ask(token, asked=UNCERTAIN)
    assert (refused.status, b"used up" in refused.body) == (403, True)
    listed = await office.ask(token, "/v1/models", method="GET")
    assert listed.status == 200


async def test_requests_that_cannot_be_counted_are_not_answered():
    office = Office()
    token = await office.lend(await office.key(), max_requests=2)
    office.store.trouble["add"] = StoreError("It sleeps.")
    assert ((await office.ask(token)).status, office.sent) == (503, 0)


@pytest.mark.parametrize("reply", [Reply(COMPLETION), streamed()])
async def test_dollars_are_counted_and_used_up(reply: Reply):
    office = Office(reply, Reply(COMPLETION))
    token = await office.lend(await office.key(), max_cost_usd=0.000_001)
    asked = question(temperature=1, stream=len(reply.steps) > 1)
    assert (await office.ask(token, asked=asked)).status == 200
    refused = await office.ask(token, asked=asked)
    assert (refused.status, b"used up" in refused.body) == (403, True)
    assert office.sent == 1


async def test_what_was_spent_is_the_catalogues_price_of_the_tokens():
    office = Office(Reply(COMPLETION))
    key = await office.key()
    token = await office.lend(key, max_cost_usd=1)
    await office.ask(token, asked=UNCERTAIN)
    shown = (await office.ask(key, f"/v1/credentials/{id_of(token)}", method="GET")).json
    # 3 tokens at $2.50 and 2 at $10 a million, in whole millionths of a dollar, rounded up.
    assert shown["cost_usd"] == 28 / 1_000_000


async def test_an_answer_of_the_cache_costs_nothing():
    office = Office()
    token = await office.lend(await office.key(), max_cost_usd=0.000_03)
    for _ in range(3):
        assert (await office.ask(token)).status == 200
    assert office.sent == 1


async def test_a_failure_of_the_provider_costs_nothing():
    office = Office(Reply(b'{"error":{}}', status=500), Reply(COMPLETION))
    token = await office.lend(await office.key(), max_cost_usd=0.000_001)
    assert (await office.ask(token, asked=UNCERTAIN)).status == 500
    assert (await office.ask(token, asked=UNCERTAIN)).status == 200


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (CHAT, question(model="a-model-nobody-has-a-price-of")),
        ("/v1/images/generations", {"model": "gpt-image-1", "prompt": "x"}),
        ("/v1/audio/speech", {"model": "tts-1", "input": "x"}),
    ],
)
async def test_what_has_no_price_is_not_bought_on_a_budget(path: str, asked: Any):
    office = Office()
    token = await office.lend(await office.key(), max_cost_usd=1)
    answer = await office.ask(token, path, asked)
    assert (answer.status, office.sent) == (403, 0), answer.body


async def test_cost_that_cannot_be_counted_fails_no_answer_but_is_logged():
    office = Office(Reply(COMPLETION))
    token = await office.lend(await office.key(), max_cost_usd=1)
    office.store.trouble["add"] = StoreError("It sleeps.")
    assert (await office.ask(token, asked=UNCERTAIN)).status == 200
    assert any(event == "cost_not_counted" for _, event, _ in office.log.lines)


async def test_only_the_pages_it_is_for_may_use_it():
    office = Office()
    token = await office.lend(await office.key(), origin="https://App.example.com/")
    assert (await office.ask(token, headers={"origin": "https://app.example.com"})).status == 200
    assert (await office.ask(token, headers={"origin": "https://evil.example"})).status == 403
    assert (await office.ask(token, headers={"origin": "null"})).status == 403
    assert (await office.ask(token)).status == 403


async def test_without_a_table_there_are_none_and_that_is_said():
    office = Office()
    office.directory.store = None
    answer = await office.ask("sk-somebody", "/v1/credentials", {})
    assert (answer.status, b"CUTWATER_TABLE" in answer.body) == (503, True)


async def test_trouble_of_the_table_is_a_503():
    office = Office()
    key = await office.key()
    office.store.trouble["put"] = StoreError("It is full.")
    assert (await office.ask(key, "/v1/credentials", {})).status == 503
    del office.store.trouble["put"]
    token = await office.lend(key)
    office.store.trouble["get"] = StoreError("It sleeps.")
    office.clock.time += 61
    for path, method in ((CHAT, "POST"), (f"/v1/credentials/{id_of(token)}", "GET")):
        assert (await office.ask(token if path == CHAT else key, path, method=method)).status == 503


# What attackers try.


def forged(token: str, **changes: Any) -> str:
    """The same header and signature around other claims."""
    head, _, signature = token.split(".")
    said = claims(token)
    said["bt"] |= changes.pop("bt", {})
    payload = base64.urlsafe_b64encode(msgspec.json.encode(said | changes)).decode().rstrip("=")
    return f"{head}.{payload}.{signature}"


def unsigned(token: str) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return f"{head}.{token.split('.')[1]}."


def signed_by_another(token: str) -> str:
    return jwt.encode(claims(token), "a key of somebody else's, long enough", algorithm="HS256")


ATTACKS: dict[str, Any] = {
    "no algorithm": unsigned,
    "another signature": signed_by_another,
    "another model": lambda token: forged(token, bt={"model": "o3"}),
    "no model": lambda token: forged(token, bt={"model": None}),
    "another organisation": lambda token: forged(token, bt={"org_name": "globex"}),
    "a later end": lambda token: forged(token, exp=claims(token)["exp"] + 60),
    "an endless one": lambda token: forged(token, exp=2**40),
    "another issuer": lambda token: forged(token, iss="braintrust_proxy"),
    "another audience": lambda token: forged(token, aud="somebody"),
    "another id": lambda token: forged(token, jti="bt_tmp:00000000-0000-4000-8000-000000000000"),
    "another secret": lambda token: forged(token, bt={"secret": "A" * 43}),
    "a restriction of a newer version": lambda token: forged(token, bt={"max_words": 1}),
    "cut": lambda token: token[:-1],
    "a part more": lambda token: token + ".x",
    "a part less": lambda token: token.rpartition(".")[0],
    "its claims alone": lambda token: "." + token.split(".")[1],
    "blown up": lambda token: token.replace(".", "." + "A" * 9000, 1),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_forged_credential_is_refused_and_goes_nowhere(attack: str):
    office = Office()
    key = await office.key()
    token = await office.lend(key, model="gpt-4o")
    made = ATTACKS[attack](token)
    answer = await office.ask(made)
    assert (answer.status, office.sent) == (401, 0), answer.body
    told = answer.body + repr(office.log.lines).encode()
    assert key.encode() not in told
    assert made.encode() not in told


async def test_an_expired_one_is_refused_though_its_row_is_still_there():
    office = Office()
    token = await office.lend(await office.key(), ttl_seconds=30)
    assert (await office.ask(token)).status == 200
    office.clock.time += 31
    answer = await office.ask(token)
    assert (answer.status, b"expired" in answer.body) == (401, True)


async def test_one_that_is_not_valid_yet_is_refused():
    office = Office()
    token = await office.lend(await office.key())
    office.clock.time -= 3600
    assert (await office.ask(token)).status == 401


async def test_a_row_that_was_changed_opens_nothing():
    office = Office()
    token = await office.lend(await office.key())
    at = credential_rows.row_key_of(id_of(token))
    row = office.store.rows[at]
    for changed in (
        replace(row, expires_at=row.expires_at + 60),
        replace(row, data=row.data[:-1]),
        replace(row, data=row.data[:20] + b"x" + row.data[21:]),
        replace(row, org="other"),
    ):
        office.store.rows[at] = changed
        office.directory.forget(at)
        assert (await office.ask(token)).status == 401


async def test_the_table_alone_and_the_token_alone_say_nothing_of_the_key():
    office = Office()
    key = await office.key()
    token = await office.lend(key)
    kept = b"".join(row.data for row in office.store.rows.values())
    for said in (key, keys.digest(key)):
        assert said.encode() not in kept
        assert said not in token
    payload = base64.urlsafe_b64decode(token.split(".")[1] + "==")
    assert key.encode() not in payload


async def test_a_key_in_the_query_reaches_no_log_and_no_provider():
    office = Office(Reply(COMPLETION))
    key = await office.key()
    office.store.trouble["add"] = StoreError("It sleeps.")
    answer = await office.ask(None, f"{CHAT}?key={key}&other=1", UNCERTAIN)
    assert answer.status == 200
    assert key not in office.upstream.sent[0].url
    assert key not in repr(office.log.lines)


async def test_a_stream_is_answered_to_a_credential():
    office = Office(streamed(*FRAMES))
    token = await office.lend(await office.key())
    answer = await office.ask(token, asked=question(stream=True))
    assert answer.body.endswith(b"data: [DONE]\n\n")


# Pages.

PAGE = {"origin": "https://app.example.com"}


async def test_a_page_reads_the_answer_to_a_credential_and_not_to_a_key():
    office = Office()
    key = await office.key()
    lent = await office.ask(await office.lend(key), headers=PAGE)
    assert lent.headers["access-control-allow-origin"] == "*"
    assert "x-bt-cached" in lent.headers["access-control-expose-headers"]
    for long_lived in (key, "sk-somebodys-own"):
        answer = await office.ask(long_lived, headers=PAGE)
        assert answer.status == 200
        assert "access-control-allow-origin" not in answer.headers


async def test_a_page_that_the_settings_name_reads_both():
    office = Office(origins=frozenset({PAGE["origin"]}))
    key = await office.key()
    for each in (key, await office.lend(key)):
        answer = await office.ask(each, headers=PAGE)
        assert answer.headers["access-control-allow-origin"] == PAGE["origin"]
        other = await office.ask(each, headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("path", [CHAT, "/v1/credentials", "/nowhere", "/v1/files/x"])
async def test_a_preflight_needs_no_key(path: str):
    office = Office()
    asking = PAGE | {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    answer = await office.ask(None, path, b"", asking, method="OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-headers"] == "authorization,content-type"
    assert (office.sent, office.store.calls) == (0, [])


async def test_a_page_can_read_why_its_credential_is_refused():
    office = Office()
    for key in ("cw_" + "0" * 48, None):
        answer = await office.ask(key, headers=PAGE)
        assert answer.status == 401
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_who_is_no_page_gets_none_of_it():
    office = Office()
    answer = await office.ask(await office.lend(await office.key()))
    assert not any(name.startswith("access-control") for name in answer.headers)
    assert (await office.ask(None, CHAT, b"", method="OPTIONS")).status == 405
