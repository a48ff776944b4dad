"""POST /realtime/client_secrets: the provider's secret for whoever may use the model."""

import msgspec
import pytest

from core import routes
from core.errors import CutwaterError
from core.grants import Grant
from handlers import client_secrets, realtime_opening
from handlers.asgi import Outlet
from handlers.exchange import Exchange as Made
from handlers.realtime_opening import Permit
from tests.asgi_driver import Exchange
from tests.fakes import KEY, FakeUpstream, Reply, application, openai_endpoint, org

AUTHORIZED = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
SECRET = b'{"value":"ek_1","expires_at":1,"session":{}}'
PATH = "/v1/realtime/client_secrets"


def sent_body(upstream):
    return msgspec.json.decode(upstream.sent[-1].body)


async def asked(upstream, path, body, *organisations, headers=AUTHORIZED):
    app, log = application(upstream, *organisations)
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return await Exchange(app, "POST", path, headers, raw).done(), log


def body_of(exchange):
    return msgspec.json.decode(b"".join(m.get("body", b"") for m in exchange.sent))


@pytest.mark.parametrize(
    "path",
    [
        PATH,
        "/realtime/client_secrets",
        "/v1/proxy/realtime/client_secrets",
        "/btorg/acme/v1/realtime/client_secrets",
    ],
)
async def test_the_providers_answer_comes_back_as_it_is(path):
    upstream = FakeUpstream(Reply(SECRET))
    body = {"session": {"type": "realtime", "model": "gpt-realtime"}, "expires_after": {"a": 1}}
    exchange, log = await asked(upstream, path, body)
    assert exchange.status == 200
    assert body_of(exchange) == msgspec.json.decode(SECRET)
    (sent,) = upstream.sent
    assert sent.url == "https://openai.test/v1/realtime/client_secrets"
    assert sent.headers["authorization"] == "Bearer sk-of-the-org"
    assert sent_body(upstream) == body
    assert "ek_1" not in repr(log.lines)


async def test_a_body_that_names_no_model_gets_the_usual_one():
    for body in (b"", {}, {"session": {"type": "realtime"}}):
        upstream = FakeUpstream(Reply(SECRET))
        exchange, _ = await asked(upstream, PATH, body)
        assert exchange.status == 200
        assert sent_body(upstream)["session"]["model"] == "gpt-realtime"


@pytest.mark.parametrize("path", ["/v1/realtime/sessions", "/v1/realtime/transcription_sessions"])
async def test_the_betas_routes_name_the_model_in_the_body_itself(path):
    upstream = FakeUpstream(Reply(SECRET))
    await asked(upstream, path, {"model": "gpt-4o-realtime-preview", "voice": "ash"})
    assert upstream.sent[0].url == f"https://openai.test{path}"
    assert sent_body(upstream) == {"model": "gpt-4o-realtime-preview", "voice": "ash"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            PATH,
            {
                "session": {
                    "type": "transcription",
                    "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}},
                }
            },
        ),
        (
            "/v1/realtime/transcription_sessions",
            {"input_audio_transcription": {"model": "gpt-4o-transcribe"}},
        ),
    ],
)
async def test_a_session_that_only_transcribes_gets_no_model_of_its_own(path, body):
    upstream = FakeUpstream(Reply(SECRET))
    await asked(upstream, path, body)
    assert sent_body(upstream) == body


async def test_a_models_other_name_is_what_goes_upstream():
    spec = {"voice": {"format": "openai", "flavor": "realtime", "upstream_name": "gpt-realtime"}}
    acme = org(endpoints=[openai_endpoint(metadata={"customModels": spec})])
    upstream = FakeUpstream(Reply(SECRET))
    await asked(upstream, PATH, {"session": {"model": "voice"}}, acme)
    assert sent_body(upstream)["session"]["model"] == "gpt-realtime"


async def test_azures_deployment_is_what_goes_upstream():
    endpoint = {
        "type": "azure",
        "name": "azure",
        "secret": "azure-secret-key",
        "metadata": {"api_base": "https://azure.test/openai/v1", "deployment": "our-voice"},
    }
    upstream = FakeUpstream(Reply(SECRET))
    await asked(upstream, PATH, {"session": {"model": "gpt-realtime"}}, org(endpoints=[endpoint]))
    assert upstream.sent[0].url == "https://azure.test/openai/v1/realtime/client_secrets"
    assert upstream.sent[0].headers["api-key"] == "azure-secret-key"
    assert sent_body(upstream)["session"]["model"] == "our-voice"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no JSON", 400),
        ({"session": 7}, 400),
        ({"session": {"model": ""}}, 400),
        ({"session": {"model": "claude-sonnet-4-5"}}, 404),
    ],
)
async def test_a_wrong_body_is_refused_and_nothing_is_sent(body, status):
    upstream = FakeUpstream()
    exchange, _ = await asked(upstream, PATH, body)
    assert exchange.status == status
    assert upstream.sent == []


async def test_nobody_without_a_key_gets_one():
    upstream = FakeUpstream()
    exchange, _ = await asked(upstream, PATH, {}, headers={})
    assert (exchange.status, upstream.sent) == (401, [])


async def test_an_endpoints_key_that_is_refused_is_not_blamed_on_the_caller():
    upstream = FakeUpstream(Reply(b'{"error":{"message":"sk-of-the-org is wrong"}}', status=401))
    exchange, _ = await asked(upstream, PATH, {})
    assert exchange.status == 502
    assert "sk-of-the-org" not in repr(body_of(exchange))


async def with_grant(grant, body, **headers):
    """The error of a temporary credential's holder, or None."""
    upstream = FakeUpstream(Reply(SECRET))
    app, _ = application(upstream)

    async def identify(exchange):
        permit = await realtime_opening.identify(exchange)
        return Permit(
            access=permit.access, scopes=(grant.scopes,), grant=grant, left_usd=grant.max_cost_usd
        )

    async def run(_scope, receive, send):
        exchange = Made(
            services=app.services,
            route=routes.resolve("POST", PATH, {}),
            headers={"authorization": f"Bearer {KEY}", **headers},
            outlet=Outlet(send),
            request_id="req_1",
        )
        await client_secrets.mint(exchange, receive, identify=identify)

    try:
        await Exchange(run, "POST", PATH, {}, msgspec.json.encode(body)).done()
    except CutwaterError as error:
        assert upstream.sent == []
        return error
    return None


@pytest.mark.parametrize(
    ("grant", "status"),
    [
        (Grant(), None),
        (Grant(model="gpt-realtime"), None),
        (Grant(models=("gpt-realtime*",)), None),
        (Grant(model="gpt-realtime-mini"), 403),
        (Grant(routes=("chat",)), 403),
        (Grant(endpoints=("another",)), 403),
        (Grant(max_cost_usd=1.0), 403),
        (Grant(origins=("https://app.test",)), 403),
    ],
)
async def test_a_credential_that_may_not_use_the_model_gets_no_secret(grant, status):
    error = await with_grant(grant, {"session": {"model": "gpt-realtime"}})
    assert getattr(error, "status", None) == status


async def test_a_credentials_one_model_is_used_where_the_body_names_none():
    assert await with_grant(Grant(model="gpt-realtime-mini"), {}) is None


async def test_a_credentials_page_may_ask():
    grant = Grant(origins=("https://app.test",))
    assert await with_grant(grant, {}, origin="https://app.test") is None
