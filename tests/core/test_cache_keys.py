"""What two requests must have in common to have one answer, and what one may know of a name."""

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import cache_keys
from core.cache_keys import Secret, canonical
from core.orgs import Org
from core.routes import Route, resolve
from tests.fakes import org

CHAT = Route(kind="chat", method="POST")
BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":0}'

SAME = [
    (BODY, b'{ "temperature":0,\n"messages":[{"content":"hi","role":"user"}],"model":"gpt-4o"}'),
    (b'{"a":"\\u00e9"}', '{"a":"é"}'.encode()),
    (b'{"a":"\\/"}', b'{"a":"/"}'),
    (b'{"a":{"c":1,"b":[]}}', b'{"a":{"b":[ ],"c" : 1}}'),
    (b'{"a":"\\u0022:"}', b'{"a":"\\":"}'),
    (b'{"a":"\\"\\u003a"}', b'{"a":"\\":"}'),
]
OTHER = [
    (b'{"a":1.0}', b'{"a":1}'),
    (b'{"a":1.50}', b'{"a":1.5}'),
    (b'{"a":1e2}', b'{"a":100}'),
    (b'{"a":9007199254740993}', b'{"a":9007199254740992}'),
    (b'{"a":[1,2]}', b'{"a":[2,1]}'),
    (b'{"a":null}', b"{}"),
    (b'{"a":"1"}', b'{"a":1}'),
    (b'{"a":true}', b'{"a":1}'),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_order_space_and_escapes_do_not_matter(one: bytes, other: bytes) -> None:
    assert canonical(one) == canonical(other)
    assert canonical(one) is not None


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_every_value_matters_as_it_was_written(one: bytes, other: bytes) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"a" :1,"a":2}',
        b'{"x":{"a":1,"b":2,"a":3}}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":"\\u0022:","b" :1,"b":1}',
        # A colon that is not written as itself hid that a name came twice.
        b'{"a":1,"a":2,"t":"\\"\\u003a"}',
        b'{"a":1,"a":2,"t":"\\"\\u003A"}',
        b'{"a":1,"a":2,"t":"\\u0022\\u003a"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b"{",
        b"[" * 50_000,
        b"",
    ],
)
def test_a_body_without_a_single_meaning_has_no_form(body: bytes) -> None:
    assert canonical(body) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5), st.randoms())
def test_shuffled_and_spaced_bodies_keep_their_form(
    fields: dict[str, object], draw: Random
) -> None:
    names = list(fields)
    draw.shuffle(names)
    shuffled = msgspec.json.format(msgspec.json.encode({name: fields[name] for name in names}))
    assert canonical(shuffled) == canonical(msgspec.json.encode(fields))
    assert canonical(shuffled) is not None


def digest(body: bytes = BODY, route: Route = CHAT, **more: Any) -> bytes:
    headers = more.pop("headers", {})
    found = cache_keys.digest(route, body, headers, **more)
    assert found is not None
    return found


CHANGED: list[dict[str, Any]] = [
    {"body": BODY.replace(b"hi", b"ho")},
    {"route": resolve("POST", "/v1/messages", {})},
    {"route": resolve("POST", "/v1/responses", {})},
    {"route": resolve("POST", "/v1/embeddings", {})},
    {"route": resolve("POST", "/v1/moderations", {})},
    {"route": resolve("POST", "/v1beta/models/gemini-2.5-pro:generateContent", {})},
    {"route": resolve("POST", "/v1beta/models/gemini-2.5-flash:generateContent", {})},
    {"route": resolve("POST", "/v1beta/models/gemini-2.5-pro:streamGenerateContent", {})},
    {"query": "alt=sse"},
    {"endpoint": "main"},
    {"strict": True},
    {"headers": {"anthropic-beta": "a"}, "route": resolve("POST", "/v1/messages", {})},
    {"headers": {"anthropic-beta": "b"}, "route": resolve("POST", "/v1/messages", {})},
    {"headers": {"anthropic-version": "1"}, "route": resolve("POST", "/v1/messages", {})},
    {"headers": {"openai-beta": "a"}},
    {"headers": {"openai-organization": "a"}},
    {"headers": {"openai-project": "a"}},
    {"headers": {"x-model-variant": "a"}},
]


def test_whatever_changes_the_answer_changes_the_digest() -> None:
    found = [digest(), *(digest(**change) for change in CHANGED)]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer other"},
        {"user-agent": "x"},
        {"x-stainless-lang": "python"},
        {"traceparent": "00-1"},
        {"idempotency-key": "1"},
        {"cookie": "a=b"},
        {"x-forwarded-for": "1.2.3.4"},
        {"x-bt-cache-ttl": "5"},
        {"content-length": "7"},
    ],
)
def test_what_tells_one_call_from_another_does_not(headers: dict[str, str]) -> None:
    assert digest(headers=headers) == digest()


def test_a_key_in_the_query_is_no_part_of_the_request() -> None:
    assert digest(query="key=secret&alt=sse") == digest(query="alt=sse&key=another")


def test_the_order_of_a_query_matters_where_a_name_comes_twice() -> None:
    assert digest(query="a=1&b=2") == digest(query="b=2&a=1")
    assert digest(query="a=1&b=2&a=2") == digest(query="b=2&a=1&a=2")
    assert digest(query="a=1&a=2") != digest(query="a=2&a=1")


KEY_1, KEY_2 = "32f" + "A" * 40, "32f" + "B" * 40


def shared(name: str = "acme", *generations: tuple[int, str]) -> Org:
    keys = [{"generation": number, "key": key} for number, key in generations or ((1, KEY_1),)]
    return org(name, shared_cache=True, data_keys=keys)


def secret(key: str, of: Org | None = None, org_name: str | None = None) -> Secret:
    return cache_keys.secrets_of(key, of, org_name=org_name)[0]


def test_no_two_scopes_have_one_secret() -> None:
    found = [
        secret("cw_a"),
        secret("cw_b"),
        secret("cw_a", org_name="acme"),
        secret("cw_a", org_name="other"),
        secret("cw_a", shared()),
        secret("cw_a", shared("other")),
        secret("cw_a", shared("acme", (1, KEY_2))),
        secret("cw_a", shared("acme", (2, KEY_1))),
        cache_keys.cassette_secret("cw_a", "acme"),
        cache_keys.cassette_secret("cw_b", "acme"),
    ]
    assert len({one.value for one in found}) == len(found)


def test_members_of_an_organisation_share_only_where_it_says_so() -> None:
    assert secret("cw_a", org()) != secret("cw_b", org())
    assert secret("cw_a", shared()) == secret("cw_b", shared())


def test_the_highest_generation_writes_and_all_are_read() -> None:
    old, new = shared("acme", (1, KEY_1)), shared("acme", (1, KEY_1), (2, KEY_2))
    before = cache_keys.secrets_of("k", old, org_name=None)
    after = cache_keys.secrets_of("k", new, org_name=None)
    assert len(after) == 2
    assert after[1:] == before


def test_settings_that_change_what_is_asked_are_part_of_the_scope() -> None:
    plain = {"type": "openai", "secret": "sk-1"}
    told = {**plain, "metadata": {"overrideSystemPrompt": "Be brief."}}
    assert secret("k", org(endpoints=[plain])) == secret("k", org(endpoints=[]))
    assert secret("k", org(endpoints=[told])) != secret("k", org(endpoints=[plain]))


@pytest.mark.parametrize(
    "metadata",
    [
        {"overrideModel": "gpt-4o-mini"},
        {"overrideSystemPrompt": "Be brief."},
        {"deployment": "ours"},
        {"customModels": {"m": {"format": "openai", "flavor": "chat", "upstream_name": "n"}}},
        {"additionalHeaders": {"Anthropic-Beta": "a"}},
        {"additionalHeaders": {"Anthropic-Beta": "b"}},
    ],
)
def test_each_setting_that_changes_what_is_asked_is_another_scope(
    metadata: dict[str, object],
) -> None:
    def scope(settings: dict[str, object]) -> Secret:
        return secret("k", org(endpoints=[{"type": "openai", "metadata": settings}]))

    plain = {"api_base": "https://elsewhere.test/v1", "additionalHeaders": {"TraceParent": "x"}}
    assert scope(plain) == scope({})
    assert scope(metadata) != scope({})
    assert scope(metadata) != scope({"additionalHeaders": {"anthropic-beta": "c"}})


def test_a_key_that_comes_to_belong_to_another_organisation_leaves_its_answers_behind() -> None:
    assert secret("cw_a", org("acme")) != secret("cw_a", org("other"))
    # How the caller names his organisation changes nothing.
    assert secret("cw_a", org("acme")) == secret("cw_a", org("acme"), org_name="acme")


def test_a_name_needs_both_the_secret_and_the_request() -> None:
    names = [
        cache_keys.names(secret(key), digest(BODY.replace(b"hi", said)))
        for key in ("cw_a", "cw_b")
        for said in (b"hi", b"ho")
    ]
    assert len({name.pk for name in names}) == 4
    assert len({name.seal for name in names}) == 4


def test_nothing_that_is_secret_shows_in_a_repr() -> None:
    names = cache_keys.names(secret("cw_a"), digest())
    assert names.seal.hex() not in repr(names)
    assert repr(names.seal) not in repr(names)
    assert repr(secret("cw_a")) == "<Secret>"


@pytest.mark.parametrize(
    ("material", "salt", "info", "expected"),
    [
        # RFC 5869, A.1 and A.3, first 32 bytes.
        (
            b"\x0b" * 22,
            bytes(range(13)),
            bytes(range(0xF0, 0xFA)),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf",
        ),
        (
            b"\x0b" * 22,
            b"",
            b"",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d",
        ),
    ],
)
def test_keys_are_derived_as_the_specification_says(
    material: bytes, salt: bytes, info: bytes, expected: str
) -> None:
    assert cache_keys._hkdf(material, salt=salt, info=info).hex() == expected
