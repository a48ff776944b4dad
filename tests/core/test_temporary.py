"""Temporary credentials: what they stand for, and everything that must not pass for one."""

import hmac
import warnings
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any

import jwt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from core import cache_keys, keys, scopes, temporary
from core import credential_rows as rows
from core.errors import (
    AuthenticationError,
    BadRequestError,
    CutwaterError,
    NotFoundError,
    PermissionDeniedError,
)
from core.grants import Asked, Grant, Logging
from core.ports import Row
from core.scopes import Scopes
from core.temporary import Fresh

NOW = 1_700_000_000
KEY = "cw_" + "5e" * 24
OTHER_KEY = "cw_" + "7a" * 24
ID = "bt_tmp:6b0c2f4e-0000-4000-8000-000000000001"
SECRET = bytes(range(32))
FRESH = Fresh(now=NOW, id=ID, secret=SECRET, nonce=bytes(range(100, 112)))
OTHER = Fresh(now=NOW, id=ID[:-1] + "2", secret=SECRET[::-1], nonce=bytes(12))
GRANT = Grant(model="gpt-4o-mini", routes=("chat",), max_requests=3, max_cost_usd=0.5)
TOKEN, ROW = temporary.mint(KEY, Asked(GRANT, 600), "acme", FRESH)


def part(token: str, number: int) -> Any:
    text = token.split(".")[number]
    return msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def coded(value: Any) -> str:
    return urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")


def signed(
    claims: Any = None, header: Any = None, key: bytes | None = None, algorithm: str = "sha256"
) -> str:
    """A JWT of any content: by default the credential's own, signed as it is."""
    key = rows.signing_key(KEY, FRESH.nonce, ID) if key is None else key
    said = f"{coded(header or part(TOKEN, 0))}.{coded(claims or part(TOKEN, 1))}"
    mac = hmac.digest(key, said.encode(), algorithm)
    return f"{said}.{urlsafe_b64encode(mac).decode().rstrip('=')}"


def claims(**changes: Any) -> dict[str, Any]:
    return {**part(TOKEN, 1), **changes}


def granted(**changes: Any) -> dict[str, Any]:
    return claims(bt={**part(TOKEN, 1)["bt"], **changes})


def refused(token: str, row: Row | None = ROW, now: float = NOW + 1) -> AuthenticationError:
    with pytest.raises(AuthenticationError) as raised:
        temporary.verify(token, row, now)
    assert raised.value.status == 401
    for error in (raised.value, raised.value.__cause__):
        assert KEY not in str(error)
        assert part(TOKEN, 1)["bt"]["secret"] not in str(error)
    return raised.value


def test_a_credential_stands_for_the_key_that_issued_it() -> None:
    assert temporary.looks_like(TOKEN)
    assert temporary.peek(TOKEN) == ROW.key == rows.row_key_of(ID)
    found = temporary.verify(TOKEN, ROW, NOW + 1)
    assert (found.id, found.parent_key, found.org_name) == (ID, KEY, "acme")
    assert (found.grant, found.issued_at, found.expires_at) == (GRANT, NOW, NOW + 600)


def test_it_is_a_jwt_that_any_library_can_look_into() -> None:
    assert jwt.get_unverified_header(TOKEN) == {"alg": "HS256", "typ": "JWT"}
    said = jwt.decode(TOKEN, options={"verify_signature": False})
    assert {n: v for n, v in said.items() if n != "bt"} == {
        "iss": "cutwater",
        "aud": "cutwater",
        "jti": ID,
        "iat": NOW,
        "exp": NOW + 600,
    }
    secret = said["bt"].pop("secret")
    assert urlsafe_b64decode(secret + "=") == SECRET
    assert said["bt"] == {
        "org_name": "acme",
        "model": "gpt-4o-mini",
        "routes": ["chat"],
        "max_requests": 3,
        "max_cost_usd": 0.5,
    }
    assert signed() == TOKEN


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1)
GRANTS = st.builds(
    Grant,
    models=st.lists(NAMES, max_size=3).map(tuple),
    endpoints=st.lists(NAMES, max_size=3).map(tuple),
    routes=st.lists(st.sampled_from(["chat", "audio"]), max_size=2).map(tuple),
    max_requests=st.none() | st.integers(1, 10**9),
    max_cost_usd=st.none() | st.floats(1e-9, 1e9),
    origins=st.just(()) | st.just(("https://app.example",)),
    logging=st.none() | st.builds(Logging, parent=NAMES, compress_audio=st.booleans()),
)


@given(
    key=st.text(st.characters(codec="utf-8"), min_size=1, max_size=300),
    grant=GRANTS,
    ttl_s=st.integers(1, 86400),
    org_name=st.none() | NAMES,
    random=st.binary(min_size=44, max_size=44),
)
def test_whatever_was_granted_comes_back(key, grant, ttl_s, org_name, random) -> None:
    fresh = Fresh(now=NOW, id=ID, secret=random[:32], nonce=random[32:])
    token, row = temporary.mint(key, Asked(grant, ttl_s), org_name, fresh)
    assert temporary.looks_like(token)
    assert temporary.peek(token) == row.key
    found = temporary.verify(token, row, NOW + ttl_s - 0.5)
    assert (found.parent_key, found.grant, found.org_name) == (key, grant, org_name)
    assert temporary.inspect(key, ID, row).grant == grant


# Nothing may be changed.


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from("ABCDwxyz019-_.=+/ \n%é"))
def test_no_character_of_the_jwt_can_be_another(at: int, other: str) -> None:
    changed = TOKEN[:at] + other + TOKEN[at + 1 :]
    if changed != TOKEN:
        refused(changed)


def test_no_bit_of_the_jwt_can_be_turned() -> None:
    for at in range(len(TOKEN)):
        for bit in range(7):
            refused(TOKEN[:at] + chr(ord(TOKEN[at]) ^ 1 << bit) + TOKEN[at + 1 :])


@pytest.mark.parametrize(
    "token",
    [
        TOKEN + "=",
        TOKEN + "A",
        TOKEN[:-1],
        "A" + TOKEN,
        TOKEN.rpartition(".")[0] + ".",
        TOKEN.rpartition(".")[0],
        TOKEN + ".e30",
        TOKEN + "\n",
        " " + TOKEN,
        TOKEN.replace(".", "=.", 1),
        TOKEN.replace(".", "..", 1),
        "..",
        "",
        "a.b.c",
        "e30.e30.e30",
        "a" * 10_000,
        f"{'e30' * 3000}.e30.e30",
    ],
)
def test_a_jwt_has_one_form_only(token: str) -> None:
    refused(token)


def test_no_bit_of_the_row_can_be_turned() -> None:
    for at in range(len(ROW.data)):
        for bit in range(8):
            data = bytearray(ROW.data)
            data[at] ^= 1 << bit
            refused(TOKEN, replace(ROW, data=bytes(data)))
            with pytest.raises(NotFoundError):
                temporary.inspect(KEY, ID, replace(ROW, data=bytes(data)))


@given(st.binary(max_size=200))
def test_garbage_in_the_row_is_refused_like_anything_else(data: bytes) -> None:
    for row in (replace(ROW, data=data), replace(ROW, data=ROW.data[:20] + data)):
        refused(TOKEN, row)
        with pytest.raises(NotFoundError):
            temporary.inspect(KEY, ID, row)


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at": NOW + 601},
        {"expires_at": 0},
        {"stored_at": NOW + 1},
        {"org": cache_keys.tag_of("other")},
        {"org": ""},
        {"pk": rows.row_key_of(OTHER.id)[0]},
        {"sk": "requests"},
        {"data": ROW.data[:-1]},
        {"data": ROW.data + b"\0"},
        {"data": b""},
    ],
)
def test_no_field_of_the_row_can_be_another(changes: dict[str, Any]) -> None:
    refused(TOKEN, replace(ROW, **changes))
    with pytest.raises(NotFoundError):
        temporary.inspect(KEY, ID, replace(ROW, **changes))


def test_a_row_and_a_jwt_of_two_credentials_do_not_fit() -> None:
    token, row = temporary.mint(KEY, Asked(GRANT, 600), "acme", OTHER)
    refused(TOKEN, row)
    refused(token, ROW)
    refused(TOKEN, replace(row, pk=ROW.pk))
    same_id = replace(OTHER, id=ID)
    refused(TOKEN, temporary.mint(OTHER_KEY, Asked(GRANT, 600), "acme", same_id)[1])
    refused(TOKEN, temporary.mint(KEY, Asked(GRANT, 600), "acme", same_id)[1])


# The attack table.

EMPTY_MAC = TOKEN.rpartition(".")[0] + "."
NONE = f"{coded({'alg': 'none', 'typ': 'JWT'})}.{coded(claims())}."


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (NONE, "not signed with HS256"),
        (signed(header={"alg": "none", "typ": "JWT"}), "not signed with HS256"),
        (signed(header={"alg": "NONE", "typ": "JWT"}), "not signed with HS256"),
        (signed(header={"alg": "hs256", "typ": "JWT"}), "not signed with HS256"),
        (signed(header={"alg": "HS512", "typ": "JWT"}, algorithm="sha512"), "not signed with"),
        (signed(header={"alg": "RS256", "typ": "JWT"}), "not signed with HS256"),
        (signed(header={"typ": "JWT"}), "not signed with HS256"),
        (signed(header={"alg": "HS256", "typ": "JWT", "kid": "../../x"}), "not signed with"),
        (signed(header={"alg": "HS256", "typ": "JWT", "jwk": {}}), "not signed with"),
        (signed(header={"alg": "HS256", "typ": "JWT", "b64": False, "crit": ["b64"]}), "HS256"),
        (EMPTY_MAC, "not valid"),
        (signed(key=b"wrong"), "not valid"),
        (signed(key=KEY.encode()), "not valid"),
        (signed(key=b""), "not valid"),
        (signed(key=rows.signing_key(OTHER_KEY, FRESH.nonce, ID)), "not valid"),
        (signed(key=rows.signing_key(KEY, FRESH.nonce, OTHER.id)), "not valid"),
        (signed(key=rows.signing_key(KEY, b"", ID)), "not valid"),
        (signed(claims(iss="braintrust_proxy")), "not valid"),
        (signed(claims(aud="braintrust_proxy")), "not valid"),
        (signed(claims(iss="cutwater2")), "not valid"),
        (signed(claims(aud=["cutwater", "other"])), "not valid"),
        (signed(claims(aud=["cutwater"])), "not valid"),
        (signed(claims(iss=None)), "not valid"),
        (signed(claims(exp=NOW + 86400)), "not valid"),
        (signed(claims(exp=NOW + 601)), "not valid"),
        (signed(claims(exp="1700000600")), "not valid"),
        (signed(claims(exp=None)), "not valid"),
        (signed(claims(exp=NOW)), "expired"),
        (signed(claims(exp=-1)), "expired"),
        (signed(claims(iat=NOW - 1)), "not valid"),
        (signed(claims(iat=NOW + 62)), "not valid yet"),
        (signed(claims(nbf=NOW + 62)), "not valid yet"),
        (signed(claims(jti=OTHER.id)), "not known, or was revoked"),
        (signed(claims(jti="")), "not known, or was revoked"),
        (signed(claims(jti=5)), "not valid"),
        (signed(claims(admin=True)), "not valid"),
        (signed(granted(unheard_of=1)), "not valid"),
        (signed(granted(secret="")), "not valid"),
        (signed(granted(secret="AAAA")), "not valid"),
        (signed(granted(secret="é")), "not valid"),
        (signed(granted(secret="A" * 43)), "not valid"),
        (signed(claims(bt=None)), "not valid"),
        (signed(claims(bt={})), "not valid"),
        (f"{coded([])}.{coded({})}.AAAA", "not signed with HS256"),
    ],
)
def test_what_is_forged_is_401(token: str, words: str) -> None:
    assert words in str(refused(token))


def unsigned(changed: dict[str, Any]) -> str:
    """Another payload under the signature of the credential."""
    head, _, mac = TOKEN.split(".")
    return f"{head}.{coded(changed)}.{mac}"


@pytest.mark.parametrize(
    "changed",
    [
        granted(model="gpt-4o"),
        granted(model=None),
        granted(models=["*"]),
        granted(routes=["chat", "files"]),
        granted(org_name="other"),
        granted(max_requests=10**6),
        granted(max_cost_usd=1e6),
        granted(origins=[]),
        claims(exp=NOW + 86400),
        claims(nbf=0),
    ],
)
def test_a_changed_grant_is_401(changed: dict[str, Any]) -> None:
    assert "not valid" in str(refused(unsigned(changed)))


@pytest.mark.parametrize(("now", "good"), [(599.9, True), (600, False), (10**6, False)])
def test_it_is_good_until_the_second_it_expires(now: float, good: bool) -> None:
    if good:
        assert temporary.verify(TOKEN, ROW, NOW + now).id == ID
    else:
        assert "expired" in str(refused(TOKEN, ROW, NOW + now))
        assert "expired" in str(refused(TOKEN, None, NOW + now))


@pytest.mark.parametrize(("now", "good"), [(NOW - 60, True), (NOW - 61, False)])
def test_a_clock_may_be_a_minute_behind(now: int, good: bool) -> None:
    if good:
        assert temporary.verify(TOKEN, ROW, now).id == ID
    else:
        assert "not valid yet" in str(refused(TOKEN, ROW, now))


def test_a_time_before_which_it_is_not_valid_is_obeyed() -> None:
    assert temporary.verify(signed(claims(nbf=NOW + 60)), ROW, NOW).id == ID
    assert "not valid yet" in str(refused(signed(claims(nbf=NOW + 61)), ROW, NOW))


def test_this_machines_clock_says_nothing() -> None:
    # NOW is years ago, and pyjwt would ask the real one.
    far = replace(FRESH, now=4_000_000_000)
    token, row = temporary.mint(KEY, Asked(GRANT, 600), None, far)
    assert temporary.verify(token, row, 4_000_000_001).issued_at == 4_000_000_000


def test_an_unknown_credential_is_401() -> None:
    assert "not known, or was revoked: ask for a new one" in str(refused(TOKEN, None))


def test_a_credential_cannot_issue_another_nor_manage_any() -> None:
    for key in (TOKEN, EMPTY_MAC, NONE, signed(claims(iss="braintrust_proxy"))):
        with pytest.raises(BadRequestError, match="cannot be used to issue another"):
            temporary.refuse_issuing(key)
        with pytest.raises(BadRequestError, match="cannot be used to issue another"):
            temporary.mint(key, Asked(GRANT), "acme", OTHER)
        for row in (ROW, None):
            with pytest.raises(PermissionDeniedError, match="the key that issued it"):
                temporary.inspect(key, ID, row)
            with pytest.raises(PermissionDeniedError, match="the key that issued it"):
                temporary.revoke(key, ID, row, NOW, bytes(12))
    temporary.refuse_issuing(KEY)
    temporary.refuse_managing("sk-somebody")


def test_it_cannot_change_its_organisation() -> None:
    found = temporary.verify(TOKEN, ROW, NOW)
    assert temporary.choose_org(found, None) == "acme"
    assert temporary.choose_org(found, "acme") == "acme"
    for asked in ("other", "Acme", ""):
        with pytest.raises(PermissionDeniedError, match="another organisation"):
            temporary.choose_org(found, asked)
    own_key = replace(found, org_name=None)
    assert temporary.choose_org(own_key, None) is None
    with pytest.raises(PermissionDeniedError):
        temporary.choose_org(own_key, "acme")


def test_it_may_do_what_both_the_key_and_the_grant_allow() -> None:
    grant = Grant(models=("gpt-*",), routes=("chat", "audio"))
    token, row = temporary.mint(KEY, Asked(grant), "acme", OTHER)
    parent = Scopes(models=("*-mini", "claude-3"), routes=("chat", "embeddings"))
    both = [parent, temporary.verify(token, row, NOW).grant.scopes]
    scopes.permit(both, model="gpt-4o-mini", route="chat")
    for model, route in (
        ("gpt-4o", "chat"),
        ("claude-3", "chat"),
        ("gpt-4o-mini", "audio"),
        ("gpt-4o-mini", "embeddings"),
    ):
        with pytest.raises(PermissionDeniedError):
            scopes.permit(both, model=model, route=route)


# The issuer.


def test_the_issuer_sees_what_it_granted() -> None:
    shown = temporary.inspect(KEY, ID, ROW, requests=2, cost_usd=0.5)
    assert msgspec.to_builtins(shown) == {
        "id": ID,
        "org_name": "acme",
        "grant": {
            "model": "gpt-4o-mini",
            "routes": ("chat",),
            "max_requests": 3,
            "max_cost_usd": 0.5,
        },
        "created_at": NOW,
        "expires_at": NOW + 600,
        "revoked_at": None,
        "requests": 2,
        "cost_usd": 0.5,
    }


def test_nobody_else_sees_or_revokes_it() -> None:
    _, row = temporary.mint(OTHER_KEY, Asked(GRANT), "acme", OTHER)
    for key, credential_id, found in (
        (OTHER_KEY, ID, ROW),
        ("sk-x", ID, ROW),
        (KEY, OTHER.id, row),
        (KEY, OTHER.id, ROW),
        (KEY, ID, None),
        (KEY, "", ROW),
    ):
        with pytest.raises(NotFoundError, match="no such credential"):
            temporary.inspect(key, credential_id, found)
        with pytest.raises(NotFoundError, match="no such credential"):
            temporary.revoke(key, credential_id, found, NOW, bytes(12))


def test_a_revoked_credential_is_401_and_its_row_holds_no_key_any_longer() -> None:
    over = temporary.revoke(KEY, ID, ROW, NOW + 5, bytes(12))
    assert over.key == ROW.key
    assert (over.expires_at, over.stored_at, over.org) == (ROW.expires_at, NOW, ROW.org)
    assert "was revoked" in str(refused(TOKEN, over))
    kept, before = rows.taken_apart(over), rows.taken_apart(ROW)
    assert kept is not None
    assert before is not None
    assert (kept.sealed, len(before.sealed)) == (b"", len(KEY) + 16)
    shown = temporary.inspect(KEY, ID, over)
    assert (shown.revoked_at, shown.grant, shown.org_name) == (NOW + 5, GRANT, "acme")
    assert temporary.revoke(KEY, ID, over, NOW + 9, bytes(12)) is over
    mended = replace(over, data=ROW.data[: len(ROW.data) - 1] + over.data[-1:])
    refused(TOKEN, mended)


def test_requests_are_counted_beside_the_row() -> None:
    assert rows.counter_row_key(ID) == (ROW.pk, "requests")
    assert rows.counter_row_key(ID) != rows.counter_row_key(OTHER.id)


# Nothing leaks.


def test_neither_the_row_nor_the_jwt_alone_says_anything_of_the_key() -> None:
    said = [ROW.data, ROW.pk.encode(), urlsafe_b64decode(TOKEN.split(".")[1] + "==")]
    for secret in (
        KEY.encode(),
        KEY[3:].encode(),
        bytes.fromhex(KEY[3:]),
        sha256(KEY.encode()).digest(),
        keys.digest(KEY).encode(),
    ):
        assert not any(secret in text for text in said)
    for secret in (SECRET, part(TOKEN, 1)["bt"]["secret"].encode(), b"gpt-4o", b"acme"):
        assert secret not in ROW.data
    assert ID not in ROW.pk


def test_a_bearer_cannot_try_out_keys_against_the_signature() -> None:
    said, _, mac = TOKEN.rpartition(".")
    wanted = urlsafe_b64decode(mac + "=")
    salts = (b"", SECRET, ID.encode(), sha256(ID.encode()).digest(), bytes(12))
    for salt in salts:
        key = rows.signing_key(KEY, salt, ID)
        assert hmac.digest(key, said.encode(), "sha256") != wanted
    known = rows.signing_key(KEY, FRESH.nonce, ID)
    assert hmac.digest(known, said.encode(), "sha256") == wanted


def test_nothing_shows_its_secret() -> None:
    found = temporary.verify(TOKEN, ROW, NOW)
    kept = rows.taken_apart(ROW)
    shown = repr([found, FRESH, kept, temporary.inspect(KEY, ID, ROW), ROW])
    for secret in (KEY, repr(SECRET)[2:-1], part(TOKEN, 1)["bt"]["secret"]):
        assert secret not in shown


# What is taken for one at all.


@pytest.mark.parametrize(
    "key",
    [
        TOKEN,
        EMPTY_MAC,
        NONE,
        TOKEN[:-5],
        signed(claims(iss="braintrust_proxy", aud="braintrust_proxy")),
        signed(claims(iss="else")),
        signed(claims(aud="else")),
        signed(claims(aud=["else", "cutwater"], iss="cutwater")),
        "x." + urlsafe_b64encode(b'{ "aud" : [ "cutwater" ], ').decode() + ".y",
    ],
)
def test_what_claims_to_be_ours_goes_to_no_provider(key: str) -> None:
    assert temporary.looks_like(key)


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from([*"ABwz09-_~é\0 ", "", "AA", "BBB"]))
def test_a_broken_one_is_still_known_for_ours(at: int, other: str) -> None:
    changed = TOKEN[:at] + other + TOKEN[at + 1 :]
    if changed != TOKEN:
        refused(changed)
    if TOKEN[at] != ".":
        assert temporary.looks_like(changed)


@pytest.mark.parametrize(
    "key",
    [
        "",
        KEY,
        "sk-proj-abc",
        "a.b.c",
        "..",
        "e30.e30.e30",
        "é.é.é",
        signed({"iss": "https://sts.windows.net/", "aud": "https://cognitiveservices"}),
        signed({"iss": "else", "sub": "cutwater"}),
        "\0.\0.\0",
        "." * 1000,
    ],
)
def test_a_key_of_somebody_else_is_not_taken_for_ours(key: str) -> None:
    assert not temporary.looks_like(key)


@given(st.text(st.characters(codec="utf-16"), max_size=200))
def test_looking_never_raises(key: str) -> None:
    temporary.looks_like(key)
    temporary.looks_like(f"a.{key}.b")
    with pytest.raises(CutwaterError):
        temporary.peek(key)


@pytest.mark.timeout(5)
def test_looking_at_a_long_key_takes_no_time() -> None:
    for key in ("." * 60_000, "a" * 60_000, "a.b" * 20_000, f"a.{'IiJp' * 15_000}.b"):
        assert not temporary.looks_like(key)
        refused(key)


def test_a_grant_that_would_fit_into_no_header_is_400() -> None:
    long = Grant(models=tuple(f"{number}{'x' * 250}" for number in range(100)))
    with pytest.raises(BadRequestError, match="use patterns"):
        temporary.mint(KEY, Asked(long), "acme", OTHER)


def test_nothing_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        token, row = temporary.mint("k", Asked(Grant()), None, OTHER)
        assert temporary.verify(token, row, NOW).parent_key == "k"
