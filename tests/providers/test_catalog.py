"""Rows of the provider table: what each one drops, renames and asks of its settings."""

import msgspec
import pytest

from core.credentials import provider_of_key
from core.errors import BadRequestError, ModelNotFoundError
from core.orgs import Org, SettingsError
from core.routing import candidates, serves
from providers import models
from providers.catalog import PROVIDERS, configured, rules
from tests.in_process import app, ask
from tests.providers.test_addresses import asked
from tests.stand_ins import FakeUpstream, Reply, settings

REFERENCE_TYPES = [
    "openai",
    "anthropic",
    "azure",
    "azure_ai_gateway",
    "bedrock",
    "vertex",
    "databricks",
    "mistral",
    "cohere",
    "ollama",
    "braintrust",
    "perplexity",
    "google",
    "replicate",
    "together",
    "baseten",
    "groq",
    "lepton",
    "fireworks",
    "cerebras",
    "xAI",
    "openrouter",
    "js",
]


@pytest.mark.parametrize("name", [*REFERENCE_TYPES, "deepseek", "custom"])
def test_every_type_of_the_reference_has_a_row(name):
    assert name in PROVIDERS


@pytest.mark.parametrize(
    ("kind", "model", "fields", "kept", "dropped"),
    [
        ("mistral", "x", {"seed": 1, "user": "u"}, {"random_seed": 1}, ("user",)),
        ("mistral", "x", {"stream_options": {}}, {}, ()),
        ("groq", "x", {"logprobs": True}, {}, ("logprobs",)),
        ("cerebras", "x", {"logit_bias": {}}, {}, ("logit_bias",)),
        ("cohere", "x", {"parallel_tool_calls": True}, {}, ("parallel_tool_calls",)),
        ("databricks", "x", {"parallel_tool_calls": True}, {}, ("parallel_tool_calls",)),
        ("fireworks", "x", {"stream_options": {}}, {}, ()),
        ("openai", "gpt-4o", {"use_cache": True, "reasoning_budget": 1}, {}, ()),
        ("openai", "gpt-4o", {"new": 1}, {"new": 1}, ()),
        ("xAI", "grok-4", {"search_parameters": {"a": 1}}, {"search_parameters": {"a": 1}}, ()),
        ("custom", "x", {"use_cache": True}, {"use_cache": True}, ()),
    ],
)
def test_a_field_that_a_provider_refuses_is_left_out_and_named(kind, model, fields, kept, dropped):
    made = asked(kind, model, {"api_base": "https://p.test"}, **fields)
    body = msgspec.json.decode(made.outgoing.body)
    assert {n: v for n, v in body.items() if n not in ("model", "messages", "max_tokens")} == kept
    assert made.dropped == dropped


@pytest.mark.parametrize("kind", ["mistral", "deepseek", "together", "ollama", "perplexity"])
def test_those_who_know_only_max_tokens_get_it_by_that_name(kind):
    body = {"max_completion_tokens": 5, "max_tokens": None}
    made = asked(kind, "x", {}, **body)
    assert b'"max_tokens"' in made.outgoing.body
    assert b"max_completion_tokens" not in made.outgoing.body


@pytest.mark.parametrize(
    ("model", "given", "sent"),
    [
        ("o1-mini", {"temperature": 1}, {"max_completion_tokens": 9}),
        ("o3", {"parallel_tool_calls": True}, {"max_completion_tokens": 9}),
        ("gpt-5", {"temperature": 0.1}, {"max_completion_tokens": 9}),
        (
            "gpt-5.1",
            {"temperature": 0.1, "reasoning_effort": "none"},
            {"max_completion_tokens": 9, "temperature": 0.1, "reasoning_effort": "none"},
        ),
        (
            "gpt-5.1",
            {"reasoning_effort": "minimal"},
            {"max_completion_tokens": 9, "reasoning_effort": "low"},
        ),
        ("gpt-5-chat-latest", {"temperature": 0}, {"max_completion_tokens": 9, "temperature": 0}),
        ("gpt-4o", {"temperature": 0}, {"max_tokens": 9, "temperature": 0}),
        ("o5x", {"temperature": 0}, {"max_tokens": 9, "temperature": 0}),
    ],
)
def test_a_reasoning_model_gets_what_it_takes(model, given, sent):
    body = msgspec.json.decode(asked("openai", model, {}, **given).outgoing.body)
    assert {n: v for n, v in body.items() if n not in ("model", "messages")} == sent


def test_o1_mini_hears_the_system_as_a_user_in_both_lanes():
    whole = [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]
    body = asked("openai", "o1-mini", {}, messages=whole).outgoing.body
    assert [m["role"] for m in msgspec.json.decode(body)["messages"]] == ["user", "user"]
    body = asked("openai", "o1-mini", {}, client="anthropic", system="s").outgoing.body
    assert [m["role"] for m in msgspec.json.decode(body)["messages"]] == ["user", "user"]


@pytest.mark.parametrize("model", ["gpt-5.5", "gpt-5.3-codex", "o1-pro", "o3-pro", "gpt-5-pro"])
def test_models_of_the_responses_api_are_asked_there_but_only_where_it_is(model):
    assert asked("openai", model, {}).dialect == "openai_responses"
    assert asked("openrouter", model, {}).dialect == "openai_chat"


SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
}


def test_a_schema_becomes_a_forced_tool_where_it_is_not_known_as_such():
    made = asked("together", "x", {}, response_format=SCHEMA)
    body = msgspec.json.decode(made.outgoing.body)
    assert body["tool_choice"] == {"type": "function", "function": {"name": "json"}}
    assert body["tools"][0]["function"]["strict"] is True
    assert "response_format" not in body
    assert (made.lane, made.tool_as_text, made.dropped) == ("neutral", "json", ())
    native = asked("xAI", "grok-4", {}, response_format=SCHEMA)
    assert (native.lane, native.tool_as_text) == ("pass", None)
    plain = asked("together", "x", {}, response_format={"type": "json_object"})
    assert plain.tool_as_text is None


def test_tools_and_a_schema_that_needs_one_are_refused_together():
    with pytest.raises(BadRequestError, match="structured output"):
        asked("together", "x", {}, response_format=SCHEMA, tools=[{"type": "function"}])


@pytest.mark.parametrize(
    ("kind", "metadata", "path"),
    [
        ("azure", {}, r"\$\.endpoints\[0\]\.metadata\.api_base"),
        ("databricks", {}, r"metadata\.api_base"),
        ("custom", {}, r"metadata\.api_base"),
        ("bedrock", {}, r"metadata\.region"),
        ("bedrock", {"region": "evil.test/#"}, r"metadata\.region"),
        ("vertex", {}, r"metadata\.project"),
        ("vertex", {"project": "p", "location": "a.b"}, r"metadata\.location"),
        ("azure", {"api_base": "https://a", "auth_type": "magic"}, r"metadata\.auth_type"),
        ("azure", {"api_base": "https://a", "token_base": "x"}, r"metadata\.token_base"),
        ("custom", {"api_base": "https://a", "format": "js"}, r"metadata\.format"),
        ("openai", {"models": "gpt-4o"}, r"metadata\.models"),
    ],
)
def test_settings_that_lead_nowhere_are_refused_with_their_path(kind, metadata, path):
    with pytest.raises(SettingsError, match=path):
        settings([{"type": kind, "metadata": metadata}])


def test_what_the_reference_exports_loads_unchanged():
    exported = {
        "id": "00000000-0000-4000-8000-000000000000",
        "org_name": "acme",
        "created": "2024-01-01T00:00:00Z",
        "updated_at": None,
        "preview_secret": "********",
        "name": "vx",
        "secret": "token",
        "type": "vertex",
        "metadata": {
            "models": None,
            "customModels": {"m": {"format": "openai", "flavor": "chat", "multimodal": None}},
            "excludeDefaultModels": None,
            "additionalHeaders": None,
            "supportsStreaming": True,
            "project": "p",
            "location": "",
            "authType": "access_token",
            "api_base": "",
            "unknown_here": {"a": 1},
        },
    }
    org = settings([exported, {"type": "js", "secret": "", "metadata": None}])
    metadata = org.endpoints[0].metadata
    assert (metadata.location, metadata.api_base, metadata.models) == (None, None, ())
    assert metadata.auth_type == "access_token"
    assert "m" in metadata.custom_models


def org(*endpoints):
    return Org(name="a", endpoints=settings(endpoints).endpoints)


def chosen(name, *endpoints):
    found = candidates(
        models.lookup(name),
        org(*endpoints),
        PROVIDERS,
        endpoint_name=None,
        draw=0.0,
        lookup=models.lookup,
    )
    return [candidate.endpoint.label for candidate in found]


OPENAI = {"type": "openai", "name": "oa", "secret": "k"}
ANTHROPIC = {"type": "anthropic", "name": "an", "secret": "k"}
DBX = {"type": "databricks", "name": "dbx", "metadata": {"api_base": "https://d.test"}}
ONLY_M = {**DBX, "metadata": {"api_base": "https://d.test", "models": ["m"]}}
CUSTOM = {"type": "custom", "name": "cu", "metadata": {"api_base": "https://c.test"}}


@pytest.mark.parametrize(
    ("model", "endpoints", "labels"),
    [
        ("nobody-knows", [DBX, ANTHROPIC], ["dbx"]),
        ("nobody-knows", [OPENAI, DBX], ["oa"]),
        ("claude-opus-5", [CUSTOM], ["cu"]),
        ("claude-opus-5", [CUSTOM, ANTHROPIC], ["an"]),
        (
            "nobody-knows",
            [ONLY_M, CUSTOM],
            ["cu"],
        ),
        ("claude-opus-5", [{"type": "vertex", "name": "vx", "metadata": {"project": "p"}}], ["vx"]),
        ("anything", [{**ANTHROPIC, "metadata": {"overrideModel": "claude-opus-5"}}], ["an"]),
    ],
)
def test_a_model_finds_the_endpoints_that_may_know_it(model, endpoints, labels):
    assert chosen(model, *endpoints) == labels


def test_a_model_that_no_endpoint_may_know_is_a_404():
    with pytest.raises(ModelNotFoundError):
        chosen("claude-opus-5", DBX)


@pytest.mark.parametrize(
    ("key", "model", "name"),
    [
        ("sk-ant-x", "gpt-4o", "anthropic"),
        ("gsk_x", "whatever", "groq"),
        ("sk-or-x", "gpt-4o", "openrouter"),
        ("AIzaX", "gemini-2.5-flash", "google"),
        ("xai-x", "grok-4", "xAI"),
        ("AQ.x", "gpt-4o", "google"),
        ("r8_x", "claude-opus-5", "replicate"),
        ("pplx-x", "gpt-4o", "perplexity"),
        ("csk-x", "gpt-4o", "cerebras"),
        ("fw_x", "gpt-4o", "fireworks"),
        ("tgp_v1_x", "gpt-4o", "together"),
        ("pa-x", "gpt-4o", "voyage"),
        ("sk-proj-x", "claude-opus-5", "openai"),
        ("sk-svcacct-x", "brand-new", "openai"),
        # Plain `sk-` is OpenAI's older keys, DeepSeek's and others': the model decides.
        ("sk-x", "claude-opus-5", "anthropic"),
        ("sk-x", "deepseek-brand-new", "deepseek"),
        ("sk-x", "brand-new", "openai"),
        ("plain", "gpt-4o", "openai"),
        ("plain", "claude-opus-5", "anthropic"),
        ("plain", "amazon.nova-pro-v1:0", None),
        ("plain", "text-block", None),
    ],
)
def test_a_providers_own_key_reaches_its_maker_only(key, model, name):
    assert provider_of_key(key, models.lookup(model), PROVIDERS) == name


@pytest.mark.parametrize("key", ["ABSKx", "bedrock-api-key-x", "ya29.x", "dapi123"])
def test_a_key_that_alone_leads_nowhere_is_refused_and_never_handed_to_somebody_else(key):
    with pytest.raises(BadRequestError, match="endpoint of the settings"):
        provider_of_key(key, models.lookup("claude-opus-5"), PROVIDERS)
    assert provider_of_key(key, models.lookup("demo-echo"), PROVIDERS) == "demo"


@pytest.mark.parametrize(
    ("endpoint", "model"),
    [
        ({"type": "openai", "secret": "k" * 12}, "gpt-99-brand-new"),
        ({"type": "anthropic", "secret": "k" * 12}, "claude-opus-99"),
        ({"type": "google", "secret": "k" * 12}, "gemini-99-pro"),
        ({"type": "mistral", "secret": "k" * 12}, "mistral-99"),
        ({"type": "deepseek", "secret": "k" * 12}, "nobody-knows"),
        ({"type": "openrouter", "secret": "k" * 12}, "maker/brand-new:free"),
        ({"type": "custom", "secret": None, "metadata": {"api_base": "https://c.test"}}, "x"),
    ],
)
async def test_a_model_is_never_refused_for_being_new(endpoint, model):
    upstream = FakeUpstream(Reply(status=404, body=b'{"error":{"message":"their own words"}}'))
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    running = app(upstream, [endpoint])
    answer = await ask(running, "/v1/chat/completions", body)
    assert answer.status == 404
    assert answer.json["error"]["message"] == "their own words"
    (candidate,) = (await ask(running, "/v1/explain", {"route": "/chat/completions", **body})).json[
        "candidates"
    ]
    assert candidate["price"] == "unknown"


@pytest.mark.parametrize("shape", ["js", "window"])
async def test_a_model_that_runs_in_the_client_is_listed_with_a_flag_and_a_call_is_refused(shape):
    custom = {"mine": {"format": shape, "flavor": "chat"}}
    running = app(
        FakeUpstream(Reply()),
        [{"type": "js", "name": "j", "secret": None, "metadata": {"customModels": custom}}],
    )
    listed = {m["id"]: m for m in (await ask(running, "/v1/models", method="GET")).json["data"]}
    assert listed["mine"]["runs_in_client"] is True
    assert "runs_in_client" not in listed["demo-echo"]
    answer = await ask(running, "/v1/chat/completions", {"model": "mine", "messages": [1]})
    assert answer.status == 400
    assert "runs in the client" in answer.json["error"]["message"]


async def test_a_model_of_the_type_js_runs_in_the_client():
    running = app(FakeUpstream(Reply()), [{"type": "js", "secret": None}])
    answer = await ask(running, "/v1/chat/completions", {"model": "text-block", "messages": [1]})
    assert answer.status == 400


def test_an_address_of_the_environment_is_read_as_the_providers_sdk_reads_it():
    found = configured(
        {
            "GOOGLE_GEMINI_BASE_URL": "http://g.test/",
            "GROQ_BASE_URL": "http://q.test",
            "TOGETHER_BASE_URL": "http://t.test/v1",
            "CUTWATER_DEMO": "off",
        }
    )
    assert found["google"].base_url == "http://g.test/v1beta"
    assert found["groq"].base_url == "http://q.test/openai/v1"
    assert found["together"].base_url == "http://t.test/v1"
    assert "demo" not in found


def test_every_rule_is_about_a_field_that_metadata_has():
    from core.orgs import Metadata

    for rule in rules().values():
        assert all(hasattr(Metadata(), name) for name in rule.required)


def test_an_endpoint_serves_what_its_settings_say():
    (endpoint,) = org({**OPENAI, "metadata": {"excludeDefaultModels": True}}).endpoints
    assert not serves(endpoint, models.lookup("gpt-4o"))
