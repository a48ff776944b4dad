"""Where a session is opened, by provider and by what the client asked."""

import pytest

from core import realtime_address
from core.errors import BadRequestError
from core.orgs import Timeouts
from core.routing import candidate
from providers import catalog, models
from tests import fakes


def endpoint(kind, **metadata):
    said = {"type": kind, "secret": "sk-key", "metadata": metadata}
    return fakes.org(endpoints=[said]).endpoints[0]


def opened(kind, query="model=gpt-realtime", headers=None, **metadata):
    asked = realtime_address.asked(headers or {}, query, None)
    one = candidate(endpoint(kind, **metadata), models.lookup(asked.model), catalog.PROVIDERS)
    return realtime_address.attempt(asked, one, timeouts=Timeouts(), own_key=False).outgoing


AZURE = "https://acme.openai.azure.com"
VOICE_LIVE = {
    "api_base": "https://acme.services.ai.azure.com",
    "endpoint_path": "/voice-live/realtime",
    "api_version": "2025-10-01",
}
ADDRESSES = [
    ("openai", {}, "api.openai.com/v1/realtime?model=gpt-realtime"),
    (
        "openai",
        {"api_base": "https://proxy.test/v1/"},
        "proxy.test/v1/realtime?model=gpt-realtime",
    ),
    ("xAI", {}, "api.x.ai/v1/realtime?model=gpt-realtime"),
    ("custom", {"api_base": "https://own.test/v1"}, "own.test/v1/realtime?model=gpt-realtime"),
    (
        "custom",
        {"api_base": "https://own.test", "endpoint_path": "/deep/realtime"},
        "own.test/deep/realtime?model=gpt-realtime",
    ),
    (
        "azure",
        {"api_base": f"{AZURE}/openai/v1"},
        "acme.openai.azure.com/openai/v1/realtime?model=gpt-realtime",
    ),
    (
        "azure",
        {"api_base": f"{AZURE}/openai/v1", "deployment": "voice", "api_version": "preview"},
        "acme.openai.azure.com/openai/v1/realtime?api-version=preview&model=voice",
    ),
    (
        "azure",
        {"api_base": AZURE},
        "acme.openai.azure.com/openai/realtime"
        "?api-version=2025-04-01-preview&deployment=gpt-realtime",
    ),
    (
        "azure",
        {"api_base": f"{AZURE}/openai", "deployment": "voice", "api_version": "2024-10-01-preview"},
        "acme.openai.azure.com/openai/realtime?api-version=2024-10-01-preview&deployment=voice",
    ),
    (
        "azure",
        VOICE_LIVE,
        "acme.services.ai.azure.com/voice-live/realtime?api-version=2025-10-01&model=gpt-realtime",
    ),
]


@pytest.mark.parametrize(("kind", "metadata", "url"), ADDRESSES)
def test_each_provider_has_its_address(kind, metadata, url):
    assert opened(kind, **metadata).url == f"wss://{url}"


def test_an_endpoint_without_tls_is_reached_without():
    sent = opened("openai", api_base="http://127.0.0.1:9/v1")
    assert sent.url == "ws://127.0.0.1:9/v1/realtime?model=gpt-realtime"


def test_a_models_other_name_is_what_goes_upstream():
    spec = {"voice": {"format": "openai", "flavor": "realtime", "upstream_name": "gpt-realtime"}}
    sent = opened("openai", "model=voice", customModels=spec)
    assert sent.url.endswith("?model=gpt-realtime")


def test_other_parameters_go_along_and_keys_do_not():
    query = "model=gpt-realtime&key=cw_secret&api-key=a&Authorization=b&safety=1&api-version=9"
    assert opened("openai", query).url.endswith("/realtime?model=gpt-realtime&safety=1")


@pytest.mark.parametrize("query", ["intent=transcription", "call_id=rtc_1"])
def test_a_session_that_has_no_model_is_asked_for_without_one(query):
    assert opened("openai", query).url == f"wss://api.openai.com/v1/realtime?{query}"


def test_a_client_that_names_no_model_gets_the_usual_one_or_that_of_its_credential():
    assert opened("openai", "").url.endswith("?model=gpt-realtime")
    asked = realtime_address.asked({}, "", "gpt-realtime-mini")
    assert (asked.model, asked.named) == ("gpt-realtime-mini", True)
    assert realtime_address.asked({}, "deployment=my%20voice", None).model == "my voice"


@pytest.mark.parametrize(
    ("kind", "metadata", "header"),
    [
        ("openai", {}, ("authorization", "Bearer sk-key")),
        ("xAI", {}, ("authorization", "Bearer sk-key")),
        ("azure", {"api_base": AZURE}, ("api-key", "sk-key")),
    ],
)
def test_the_endpoints_key_travels_in_its_header(kind, metadata, header):
    assert header in opened(kind, **metadata).headers.items()


def test_the_clients_own_headers_stay_here_but_for_the_apis():
    client = {
        "authorization": "Bearer cw_secret",
        "openai-beta": "realtime=v1",
        "cookie": "a=b",
        "origin": "https://app.test",
        "sec-websocket-key": "x",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "x-bt-parent": "project_name:x",
    }
    sent = opened("openai", headers=client, additionalHeaders={"x-team": "ml"}).headers
    assert sent == {
        "openai-beta": "realtime=v1",
        "user-agent": "cutwater",
        "x-team": "ml",
        "authorization": "Bearer sk-key",
    }


def test_a_provider_without_a_realtime_api_says_so():
    one = candidate(endpoint("mistral"), models.lookup("mistral-large"), catalog.PROVIDERS)
    with pytest.raises(BadRequestError, match="mistral"):
        realtime_address.able([one])
    asked = realtime_address.asked({}, "model=m", None)
    with pytest.raises(BadRequestError):
        realtime_address.attempt(asked, one, timeouts=Timeouts(), own_key=False)


def test_a_browsers_subprotocols_are_read_and_the_key_is_never_echoed():
    offered = [
        "realtime",
        "openai-insecure-api-key.cw_secret",
        "openai-beta.realtime-v1",
        "openai-organization.org-1",
        "openai-project.proj-1",
    ]
    assert realtime_address.from_subprotocols(offered) == {
        "authorization": "Bearer cw_secret",
        "openai-beta": "realtime=v1",
        "openai-organization": "org-1",
        "openai-project": "proj-1",
    }
    assert realtime_address.answered_subprotocol(offered) == "realtime"
    assert realtime_address.answered_subprotocol(offered[1:]) is None


@pytest.mark.parametrize("said", ["openai-insecure-api-key.", "openai-insecure-api-key.null"])
def test_an_empty_key_is_none(said):
    assert realtime_address.from_subprotocols(["realtime", said]) == {}


def test_azures_browser_clients_put_their_key_into_the_query():
    query = "api-version=1&api-key=cw_secret&Authorization=Bearer+token"
    assert realtime_address.from_query(query) == {
        "api-key": "cw_secret",
        "authorization": "Bearer token",
    }
