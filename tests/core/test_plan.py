"""What is sent upstream, decided before anything is sent."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from core import plan, routing
from core.errors import BadRequestError
from core.orgs import Timeouts
from core.plan import Attempt, Chat
from core.routes import Route
from providers.catalog import PROVIDERS
from providers.models import lookup
from tests.fakes import anthropic_endpoint, openai_endpoint, org

MESSAGES = b'"messages":[{"role":"user","content":"hi"}]'


def read(body: bytes, dialect: Any = "openai_chat") -> Chat:
    return plan.read_chat(body, Route(kind="chat", method="POST", dialect=dialect))


def chat(fields: bytes = b"", *, model: bytes = b"gpt-4o", dialect: Any = "openai_chat") -> Chat:
    return read(b'{"model":"%s",%s%s}' % (model, MESSAGES, fields), dialect)


def attempt(request: Chat, endpoint: dict[str, Any] | None = None, **more: Any) -> Attempt:
    providers = dict(PROVIDERS)
    if row := more.pop("row", None):
        kind = (endpoint or openai_endpoint())["type"]
        providers[kind] = replace(providers[kind], **row)
    settings = org(endpoints=[endpoint or openai_endpoint()])
    [candidate] = routing.candidates(
        lookup(request.model), settings, providers, endpoint_name=None, draw=0.0
    )
    asked = {"headers": {}, "timeouts": Timeouts()} | more
    return plan.attempt(request, candidate, **asked)


def custom(**fields: Any) -> dict[str, Any]:
    return {"customModels": {"own": {"format": "openai", "flavor": "chat", **fields}}}


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"])
@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", "model"),
        (b'{"model":null,"messages":[]}', "model"),
        (b'{"model":"","messages":[]}', "model"),
        (b'{"model":7,"messages":[]}', "model"),
        (b'{"model":["m"],"messages":[]}', "model"),
        (b'{"model":"m"}', "messages"),
        (b'{"model":"m","messages":null}', "messages"),
        (b'{"model":"m","messages":{"role":"user"}}', "messages"),
        (b'{"model":"m","messages":"hi"}', "messages"),
        (b'{"model":"m","messages":[1],"stream":"yes"}', "stream"),
        (b'{"model":"m","messages":[1],"stream":1}', "stream"),
        (b"[]", None),
        (b"hi", None),
    ],
)
def test_what_no_provider_could_answer_is_a_400(body: bytes, param: str | None, dialect: Any):
    with pytest.raises(BadRequestError) as caught:
        read(body, dialect)
    assert caught.value.param == param


def test_wrong_stream_options_are_a_400():
    for value in (b"[]", b'{"include_usage":"yes"}'):
        with pytest.raises(BadRequestError, match="stream_options"):
            chat(b',"stream_options":' + value)


# --- Pass lane ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "dialect", "endpoint"),
    [
        (b"gpt-4o", "openai_chat", openai_endpoint()),
        (b"claude-sonnet-4-5", "anthropic", anthropic_endpoint()),
    ],
)
def test_an_unchanged_body_is_the_very_same_object(model: bytes, dialect: Any, endpoint: Any):
    request = chat(b',"new_field":{"x": 1.50}', model=model, dialect=dialect)
    made = attempt(request, endpoint)
    assert made.outgoing.body is request.body
    assert (made.lane, made.dropped, made.tool_as_text) == ("pass", (), None)


def test_a_stream_that_asks_for_usage_itself_is_unchanged():
    request = chat(b',"stream":true,"stream_options":{"include_usage":true}')
    made = attempt(request)
    assert made.outgoing.body is request.body
    assert made.streams


EXACT = b',"temperature":1.50,"b":1e2,"a":"\\u00e9\\/\xc3\xa9","big":12345678901234567890.10'


@pytest.mark.parametrize(
    ("fields", "endpoint", "row", "expected"),
    [
        (
            EXACT,
            openai_endpoint(metadata=custom(upstream_name="theirs")),
            {},
            b'{"model":"theirs",' + MESSAGES + EXACT + b"}",
        ),
        (
            EXACT + b',"stream":true',
            openai_endpoint(metadata=custom()),
            {},
            b'{"model":"own",' + MESSAGES + EXACT + b',"stream":true,'
            b'"stream_options":{"include_usage":true}}',
        ),
        (
            b',"stream_options":{"x":1.0,"include_usage":false},"stream":true',
            openai_endpoint(metadata=custom()),
            {},
            b'{"model":"own",' + MESSAGES + b',"stream_options":{"x":1.0,"include_usage":true},'
            b'"stream":true}',
        ),
        (
            b',"stream_options":null,"stream":true',
            openai_endpoint(metadata=custom()),
            {},
            b'{"model":"own",' + MESSAGES + b',"stream_options":{"include_usage":true},'
            b'"stream":true}',
        ),
        (
            b',"stream":true,"stream_options":{"include_usage":true},"z":1',
            openai_endpoint(metadata=custom() | {"supportsStreaming": False}),
            {},
            b'{"model":"own",' + MESSAGES + b',"z":1}',
        ),
        (
            b',"use_cache":true,"reasoning_enabled":true,"z":1',
            openai_endpoint(metadata=custom()),
            {},
            b'{"model":"own",' + MESSAGES + b',"z":1}',
        ),
        (
            b',"seed":1,"z":1',
            openai_endpoint(metadata=custom()),
            {"rename": {"seed": "random_seed"}},
            b'{"model":"own",' + MESSAGES + b',"random_seed":1,"z":1}',
        ),
        (
            b',"stream":true',
            openai_endpoint(metadata=custom()),
            {"usage_in_stream": False},
            b'{"model":"own",' + MESSAGES + b',"stream":true}',
        ),
    ],
)
def test_only_what_must_change_changes(
    fields: bytes, endpoint: Any, row: dict[str, Any], expected: bytes
):
    made = attempt(chat(fields, model=b"own"), endpoint, row=row)
    assert made.outgoing.body == expected


def test_fields_of_messages_that_the_provider_refuses_are_taken_out():
    body = (
        b'{"model":"gpt-4o","messages":[{"role":"assistant","reasoning":[{"id":"s"}],'
        b'"content":"\\u00e9", "x":1.0},{"role":"user","content":"go on"}]}'
    )
    made = attempt(read(body))
    assert made.outgoing.body == (
        b'{"model":"gpt-4o","messages":[{"role":"assistant","content":"\\u00e9","x":1.0},'
        b'{"role":"user","content":"go on"}]}'
    )


def test_messages_that_are_no_objects_are_a_400_where_they_must_be_opened():
    body = b'{"model":"gpt-4o","messages":["reasoning"]}'
    with pytest.raises(BadRequestError) as caught:
        attempt(read(body))
    assert caught.value.param == "messages"


names = st.text(min_size=1, max_size=12).filter(
    lambda name: (
        name not in {"model", "messages", "stream", "stream_options"}
        and name not in PROVIDERS["openai"].drop
    )
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip


@given(st.dictionaries(names, values, max_size=5))
def test_any_unknown_field_passes_byte_for_byte(unknown: dict[str, Any]):
    fields = b"".join(
        b"," + msgspec.json.encode(name) + b":" + msgspec.json.encode(value)
        for name, value in unknown.items()
    )
    made = attempt(chat(fields, model=b"own"), openai_endpoint(metadata=custom(upstream_name="t")))
    assert made.outgoing.body == b'{"model":"t",' + MESSAGES + fields + b"}"


# --- Neutral lane -------------------------------------------------------------------------------


def test_another_dialect_is_translated_and_what_was_lost_is_named():
    request = chat(b',"logit_bias":{"1":2},"strange":1,"n":1', model=b"claude-sonnet-4-5")
    made = attempt(request, anthropic_endpoint())
    assert (made.lane, made.dialect) == ("neutral", "anthropic")
    assert set(made.dropped) == {"logit_bias", "strange"}
    sent = msgspec.json.decode(made.outgoing.body)
    assert (sent["model"], sent["messages"][0]["role"]) == ("claude-sonnet-4-5", "user")
    assert made.outgoing.url == "https://anthropic.test/v1/messages"


def test_strict_refuses_a_lossy_translation_and_nothing_else():
    endpoint = anthropic_endpoint()
    lossy = chat(b',"strange":1', model=b"claude-sonnet-4-5")
    with pytest.raises(BadRequestError, match=r"x-bt-strict.*strange") as caught:
        attempt(lossy, endpoint, strict=True)
    assert caught.value.param == "strange"
    exact = chat(model=b"claude-sonnet-4-5")
    assert attempt(exact, endpoint, strict=True).dropped == ()


def test_a_translated_body_gets_the_providers_names_too():
    request = read(
        b'{"model":"gpt-4o","max_tokens":5,"temperature":0.50,'
        b'"messages":[{"role":"user","content":"x"}]}',
        "anthropic",
    )
    row = {"rename": {"temperature": "heat"}, "drop": frozenset({"max_completion_tokens"})}
    sent = attempt(request, row=row).outgoing.body
    assert b'"heat":0.50' in sent
    assert b"max_completion_tokens" not in sent
    untouched = attempt(request, row={"rename": {"seed": "x"}, "drop": frozenset({"y"})})
    assert b'"temperature":0.50' in untouched.outgoing.body
    assert attempt(request, row={"drop": frozenset()}).outgoing.body == untouched.outgoing.body


def test_the_neutral_form_is_made_once_and_no_attempt_sees_anothers_changes():
    request = chat(b',"stream":true', model=b"claude-sonnet-4-5")
    first = attempt(request, anthropic_endpoint(metadata={"supportsStreaming": False}))
    form = request.neutral
    second = attempt(request, anthropic_endpoint())
    assert request.neutral is form
    assert (first.streams, second.streams) == (False, True)
    assert b'"stream":true' not in first.outgoing.body
    assert b'"stream":true' in second.outgoing.body


# --- Head ---------------------------------------------------------------------------------------


def headers(endpoint: dict[str, Any], client: dict[str, str] | None = None) -> dict[str, str]:
    model = b"claude-sonnet-4-5" if endpoint["type"] == "anthropic" else b"gpt-4o"
    return dict(attempt(chat(model=model), endpoint, headers=client or {}).outgoing.headers)


FIXED = {
    "content-type": "application/json",
    "accept-encoding": "identity",
    "user-agent": "cutwater",
}


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (openai_endpoint(), {"authorization": "Bearer sk-of-the-org"}),
        (openai_endpoint(secret=None), {}),
        (openai_endpoint(secret=""), {}),
        (
            openai_endpoint(secret=None, metadata={"additionalHeaders": {"Api-Key": "k"}}),
            {"api-key": "k"},
        ),
        (
            openai_endpoint(metadata={"organization_id": "org-1"}),
            {"authorization": "Bearer sk-of-the-org", "openai-organization": "org-1"},
        ),
        (
            openai_endpoint(metadata={"additionalHeaders": {"User-Agent": "ours", "X-Team": "ml"}}),
            {"authorization": "Bearer sk-of-the-org", "user-agent": "ours", "x-team": "ml"},
        ),
        (
            anthropic_endpoint(),
            {"x-api-key": "sk-ant-of-the-org", "anthropic-version": "2023-06-01"},
        ),
        (anthropic_endpoint(secret=None), {"anthropic-version": "2023-06-01"}),
    ],
)
def test_the_endpoint_authenticates_itself(endpoint: dict[str, Any], expected: dict[str, str]):
    assert headers(endpoint) == FIXED | expected


def test_a_callers_own_version_goes_before_the_default():
    request = chat(model=b"claude-sonnet-4-5", dialect="anthropic")
    client = {"anthropic-version": "2099-01-01", "anthropic-beta": "b", "x-team": "t"}
    sent = attempt(request, anthropic_endpoint(), headers=client).outgoing.headers
    assert {name: sent[name] for name in client} == client


def test_the_demo_gets_no_key():
    [candidate] = routing.candidates(
        lookup("demo-echo"), org(), PROVIDERS, endpoint_name=None, draw=0.0
    )
    made = plan.attempt(chat(model=b"demo-echo"), candidate, headers={}, timeouts=Timeouts())
    assert dict(made.outgoing.headers) == FIXED
    assert made.outgoing.url == "demo:/chat/completions"


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://x.test/v1", "https://x.test/v1/chat/completions"),
        ("https://x.test/v1/", "https://x.test/v1/chat/completions"),
        (None, "https://api.openai.com/v1/chat/completions"),
    ],
)
def test_the_base_url_is_the_endpoints_or_the_providers(base: str | None, url: str):
    assert attempt(chat(), openai_endpoint(metadata={"api_base": base})).outgoing.url == url


def test_the_organisations_timeouts_go_along():
    limits = Timeouts(connect_s=1, first_byte_s=2, idle_s=3, total_s=4)
    sent = attempt(chat(), timeouts=limits).outgoing
    assert (sent.connect_s, sent.first_byte_s, sent.idle_s, sent.total_s) == (1, 2, 3, 4)


def test_a_whole_answer_may_take_its_time_until_its_head_and_a_stream_may_not():
    limits = Timeouts(total_s=700)
    whole = attempt(chat(b""), openai_endpoint(), timeouts=limits).outgoing
    streamed = attempt(chat(b',"stream":true'), openai_endpoint(), timeouts=limits).outgoing
    assert (whole.first_byte_s, streamed.first_byte_s) == (700, 30)


def test_nothing_that_is_decided_shows_a_secret_or_a_prompt():
    endpoint = openai_endpoint(
        secret="sk-sentinel",
        metadata={
            "api_base": "https://x.test/v1?key=sk-sentinel",
            "additionalHeaders": {"a": "sk-sentinel"},
        },
    )
    request = chat(b',"user":"sk-sentinel"')
    made = attempt(request, endpoint, headers={"x-a": "sk-sentinel"})
    shown = f"{made!r} {made.outgoing!r} {made.candidate!r} {request!r}"
    assert "sentinel" not in shown


@pytest.mark.parametrize(
    ("dropped", "value"),
    [
        (("a", "b"), "a, b"),
        (("x\r\nset-cookie: y", "é", "a,b", ""), "x??set-cookie:?y, ?, a?b, "),
        (("n" * 100,), "n" * 64),
        (tuple("abc") * 20, ", ".join((tuple("abc") * 20)[:32])),
    ],
)
def test_names_of_fields_are_a_safe_header(dropped: tuple[str, ...], value: str):
    assert plan.dropped_header(dropped) == value


@pytest.mark.parametrize("name", [".", "..", "a/../b", "../x", "a\\\\.."])
def test_a_name_that_leads_elsewhere_is_no_model(name: str):
    endpoint = {
        "type": "databricks",
        "secret": "dapi-0123456789",
        "metadata": {"api_base": "https://dbx.test"},
    }
    with pytest.raises(BadRequestError) as caught:
        attempt(chat(model=name.encode()), endpoint)
    assert caught.value.param == "model"


@pytest.mark.parametrize("depth", [100, *range(400, 500, 5)])
def test_a_request_too_deep_to_be_translated_is_a_400(depth: int):
    deep = b'{"type":"object","properties":{"a":' * depth + b'{"type":"string"}' + b"}}" * depth
    body = (
        b'{"model":"gemini-2.5-pro","messages":[{"role":"user","content":"x"}],"tools":['
        b'{"type":"function","function":{"name":"f","parameters":' + deep + b"}}]}"
    )
    with pytest.raises(BadRequestError):
        attempt(
            plan.read_chat(body, Route(kind="chat", method="POST")),
            {"type": "google", "secret": "AIza-0123456789"},
        )
