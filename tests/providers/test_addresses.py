"""Where each provider is asked, and what its body lacks or has besides."""

import msgspec
import pytest

from core import plan, routing
from core.errors import BadRequestError, UpstreamError
from core.orgs import Endpoint, Metadata, Timeouts
from core.routes import Route
from providers import models
from providers.catalog import PROVIDERS

AZ = {"api_base": "https://x.openai.azure.com"}
V1 = {"api_base": "https://x.openai.azure.com/openai/v1/"}
VX = {"project": "proj"}
BED = {"region": "us-east-1", "access_key": "AKIA"}
DEPLOYED = "https://x.openai.azure.com/openai/deployments"
BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
US5 = "https://us-east5-aiplatform.googleapis.com/v1/projects/proj/locations/us-east5/publishers"
US1 = "https://us-central1-aiplatform.googleapis.com/v1/projects/proj/locations/us-central1"
GLOBAL = "https://aiplatform.googleapis.com/v1/projects/proj/locations/global"


def candidate(kind, model, metadata):
    given = msgspec.convert(metadata, Metadata)
    endpoint = Endpoint(type=kind, name="e", secret="k", metadata=given)
    return routing.candidate(endpoint, models.lookup(model), PROVIDERS)


def asked(kind, model, metadata, *, stream=False, client="openai_chat", headers=None, **fields):
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
    body |= fields | ({"stream": True} if stream else {})
    chat = plan.read_chat(
        msgspec.json.encode(body), Route(kind="chat", method="POST", dialect=client)
    )
    found = candidate(kind, model, metadata)
    return plan.attempt(chat, found, headers=headers or {}, timeouts=Timeouts())


@pytest.mark.parametrize(
    ("kind", "model", "metadata", "url"),
    [
        ("openai", "gpt-4o", {}, "https://api.openai.com/v1/chat/completions"),
        ("openai", "gpt-4o", {"endpoint_path": "x/y"}, "https://api.openai.com/v1/x/y"),
        (
            "openai",
            "m",
            {"api_base": "https://a.test/v1", "endpoint_path": ""},
            "https://a.test/v1",
        ),
        ("openai", "gpt-5.5", {}, "https://api.openai.com/v1/responses"),
        (
            "azure",
            "gpt-3.5-turbo",
            AZ,
            f"{DEPLOYED}/gpt-35-turbo/chat/completions?api-version=2023-07-01-preview",
        ),
        (
            "azure",
            "gpt-4o",
            AZ | {"deployment": "prod", "api_version": "2024-10-21"},
            f"{DEPLOYED}/prod/chat/completions?api-version=2024-10-21",
        ),
        (
            "azure",
            "gpt-4o",
            {"api_base": "https://gw.test/x", "no_named_deployment": True},
            "https://gw.test/x/chat/completions?api-version=2023-07-01-preview",
        ),
        ("azure", "gpt-4o", V1, "https://x.openai.azure.com/openai/v1/chat/completions"),
        (
            "azure",
            "gpt-4o",
            V1 | {"api_version": "preview"},
            "https://x.openai.azure.com/openai/v1/chat/completions?api-version=preview",
        ),
        (
            "azure",
            "gpt-4o",
            AZ | {"dialects": ["openai_responses"], "api_version": "2025-04-01-preview"},
            "https://x.openai.azure.com/openai/responses?api-version=2025-04-01-preview",
        ),
        (
            "azure_ai_gateway",
            "gpt-4o",
            {"api_base": "https://gw.test/openai/v1"},
            "https://gw.test/openai/v1/chat/completions",
        ),
        ("anthropic", "claude-sonnet-4-5", {}, "https://api.anthropic.com/v1/messages"),
        ("bedrock", "amazon.nova-pro-v1:0", BED, f"{BEDROCK}/amazon.nova-pro-v1%3A0/converse"),
        ("bedrock", "anthropic.claude-opus-5", BED, f"{BEDROCK}/anthropic.claude-opus-5/invoke"),
        ("bedrock", "jp.anthropic.claude-x", BED, f"{BEDROCK}/jp.anthropic.claude-x/invoke"),
        (
            "bedrock",
            "arn:aws:bedrock:us-east-1:1:inference-profile/x",
            BED,
            f"{BEDROCK}/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse",
        ),
        (
            "bedrock",
            "amazon.nova-pro-v1:0",
            BED | {"api_base": "http://127.0.0.1:9/"},
            "http://127.0.0.1:9/model/amazon.nova-pro-v1%3A0/converse",
        ),
        (
            "google",
            "gemini-2.5-flash",
            {},
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent",
        ),
        (
            "vertex",
            "gemini-2.5-flash",
            VX,
            f"{US1}/publishers/google/models/gemini-2.5-flash:generateContent",
        ),
        (
            "vertex",
            "publishers/google/models/gemini-2.5-pro",
            VX | {"location": "europe-west4"},
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/proj/locations/europe-west4"
            "/publishers/google/models/gemini-2.5-pro:generateContent",
        ),
        (
            "vertex",
            "gemini-3-flash-preview",
            VX,
            f"{GLOBAL}/publishers/google/models/gemini-3-flash-preview:generateContent",
        ),
        (
            "vertex",
            "claude-sonnet-4-5-20250929",
            VX,
            f"{US5}/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
        ),
        (
            "vertex",
            "publishers/anthropic/models/claude-opus-5",
            VX | {"location": "global"},
            f"{GLOBAL}/publishers/anthropic/models/claude-opus-5:rawPredict",
        ),
        (
            "vertex",
            "claude-opus-5",
            VX | {"location": "eu", "api_base": "http://127.0.0.1:9"},
            "http://127.0.0.1:9/v1/projects/proj/locations/eu"
            "/publishers/anthropic/models/claude-opus-5:rawPredict",
        ),
        (
            "vertex",
            "publishers/meta/models/llama-3.3-70b-instruct-maas",
            VX,
            f"{US1}/endpoints/openapi/chat/completions",
        ),
        (
            "vertex",
            "publishers/mistralai/models/mistral-nemo",
            VX,
            f"{US1}/publishers/mistralai/models/mistral-nemo:rawPredict",
        ),
        (
            "databricks",
            "my-model",
            {"api_base": "https://dbx.test/"},
            "https://dbx.test/serving-endpoints/my-model/invocations",
        ),
        ("lepton", "llama3-1-8b", {}, "https://llama3-1-8b.lepton.run/api/v1/chat/completions"),
        ("lepton", "x", {"api_base": "https://l.test/v1"}, "https://l.test/v1/chat/completions"),
        ("mistral", "mistral-large", {}, "https://api.mistral.ai/v1/chat/completions"),
        ("together", "x", {}, "https://api.together.xyz/v1/chat/completions"),
        ("fireworks", "x", {}, "https://api.fireworks.ai/inference/v1/chat/completions"),
        ("groq", "x", {}, "https://api.groq.com/openai/v1/chat/completions"),
        ("perplexity", "sonar", {}, "https://api.perplexity.ai/chat/completions"),
        ("replicate", "x", {}, "https://openai-proxy.replicate.com/v1/chat/completions"),
        ("ollama", "x", {}, "http://127.0.0.1:11434/v1/chat/completions"),
        ("cerebras", "x", {}, "https://api.cerebras.ai/v1/chat/completions"),
        ("xAI", "grok-4", {}, "https://api.x.ai/v1/chat/completions"),
        ("cohere", "x", {}, "https://api.cohere.com/compatibility/v1/chat/completions"),
        ("baseten", "x", {}, "https://inference.baseten.co/v1/chat/completions"),
        ("openrouter", "x", {}, "https://openrouter.ai/api/v1/chat/completions"),
        ("deepseek", "deepseek-chat", {}, "https://api.deepseek.com/v1/chat/completions"),
        ("custom", "x", {"api_base": "https://c.test/v1"}, "https://c.test/v1/chat/completions"),
        (
            "custom",
            "x",
            {"api_base": "https://c.test/v1", "format": "anthropic"},
            "https://c.test/v1/messages",
        ),
        (
            "custom",
            "x",
            {"api_base": "https://c.test", "format": "converse"},
            "https://c.test/model/x/converse",
        ),
        (
            "custom",
            "x",
            {"api_base": "https://c.test/v1beta", "format": "google"},
            "https://c.test/v1beta/models/x:generateContent",
        ),
    ],
)
def test_a_model_is_asked_at_its_providers_address(kind, model, metadata, url):
    assert asked(kind, model, metadata).outgoing.url == url


@pytest.mark.parametrize(
    ("kind", "model", "metadata", "end"),
    [
        ("bedrock", "amazon.nova-pro-v1:0", BED, "/converse-stream"),
        ("bedrock", "anthropic.claude-opus-5", BED, "/invoke-with-response-stream"),
        ("vertex", "claude-opus-5", VX, ":streamRawPredict"),
        ("vertex", "gemini-2.5-flash", VX, ":streamGenerateContent?alt=sse"),
        ("google", "gemini-2.5-flash", {}, ":streamGenerateContent?alt=sse"),
    ],
)
def test_a_stream_is_asked_at_an_address_of_its_own(kind, model, metadata, end):
    assert asked(kind, model, metadata, stream=True).outgoing.url.endswith(end)


@pytest.mark.parametrize("model", ["evil.com/x", "a@evil.com", "a:80", "a.b", "-a", "", "a#b"])
def test_no_name_of_a_model_leads_to_another_host(model):
    found = msgspec.structs.replace(candidate("lepton", "x", {}), model=model)
    with pytest.raises(BadRequestError):
        plan.url(found, "openai_chat", False)


def test_an_endpoint_without_an_address_says_what_is_missing():
    with pytest.raises(UpstreamError, match="api_base"):
        asked("braintrust", "x", {})


@pytest.mark.parametrize(
    ("kind", "model", "metadata", "sent"),
    [
        (
            "bedrock",
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            BED,
            {"anthropic_version": "bedrock-2023-05-31"},
        ),
        ("vertex", "claude-opus-5", VX, {"anthropic_version": "vertex-2023-10-16"}),
    ],
)
def test_claude_in_a_cloud_gets_the_clients_own_body_without_the_model(kind, model, metadata, sent):
    made = asked(kind, model, metadata, client="anthropic", new_field={"a": 1.50})
    body = msgspec.json.decode(made.outgoing.body)
    assert made.lane == "pass"
    assert body == sent | {
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        "new_field": {"a": 1.5},
    }


def test_betas_go_into_the_body_where_bedrock_reads_them():
    made = asked(
        "bedrock",
        "anthropic.claude-opus-5",
        BED,
        client="anthropic",
        headers={"anthropic-beta": "a, b"},
        stream=True,
    )
    body = msgspec.json.decode(made.outgoing.body)
    assert body["anthropic_beta"] == ["a", "b"]
    assert "stream" not in body
    assert "anthropic-beta" not in made.outgoing.headers


def test_claude_on_vertex_hears_betas_in_the_header():
    made = asked("vertex", "claude-opus-5", VX, client="anthropic", headers={"anthropic-beta": "a"})
    assert made.outgoing.headers["anthropic-beta"] == "a"


def test_models_of_bedrock_that_are_not_claude_never_get_a_messages_body():
    made = asked("bedrock", "amazon.nova-pro-v1:0", BED, client="anthropic")
    assert made.dialect == "converse"
    assert made.lane == "neutral"


@pytest.mark.parametrize(
    ("kind", "model", "metadata", "name"),
    [
        ("azure", "gpt-4o", V1 | {"deployment": "prod"}, "prod"),
        ("azure", "gpt-4o", AZ | {"deployment": "prod"}, "gpt-4o"),
        (
            "vertex",
            "publishers/meta/models/llama-3.3-70b-instruct-maas",
            VX,
            "meta/llama-3.3-70b-instruct-maas",
        ),
        ("vertex", "publishers/mistralai/models/mistral-nemo", VX, "mistral-nemo"),
    ],
)
def test_a_body_names_the_model_as_its_address_wants_it(kind, model, metadata, name):
    assert msgspec.json.decode(asked(kind, model, metadata).outgoing.body)["model"] == name


@pytest.mark.parametrize(
    ("metadata", "names"),
    [
        (AZ, {"max_tokens"}),
        (AZ | {"api_version": "2024-08-01-preview"}, {"max_tokens", "seed", "parallel_tool_calls"}),
        (V1, {"max_completion_tokens", "seed", "parallel_tool_calls"}),
        (
            AZ | {"api_version": "2024-10-21"},
            {"max_completion_tokens", "seed", "parallel_tool_calls"},
        ),
    ],
)
def test_azure_gets_what_its_api_version_knows(metadata, names):
    fields = {"seed": 1, "parallel_tool_calls": False, "max_completion_tokens": 5}
    made = asked("azure", "gpt-4o", metadata, max_tokens=None, **fields)
    body = msgspec.json.decode(made.outgoing.body)
    body = {name for name, value in body.items() if value is not None}
    assert body - {"model", "messages"} == names


def test_the_api_of_a_custom_endpoint_is_spoken_to_as_its_makers_clients_do():
    metadata = {"api_base": "https://c.test/v1", "format": "anthropic"}
    made = asked("custom", "x", metadata)
    assert made.outgoing.headers["anthropic-version"] == "2023-06-01"
    assert made.outgoing.headers["x-api-key"] == "k"
