"""GET /models with all that is known of a model, as three SDKs read it."""

from typing import Any

import anthropic
import openai
import pytest
from google.genai import types as google_types

from tests.in_process import app, ask
from tests.stand_ins import FakeUpstream, Reply

pytestmark = pytest.mark.timeout(20)

CUSTOM = {
    "ours": {
        "format": "openai",
        "flavor": "embedding",
        "multimodal": True,
        "input_cost_per_mil_tokens": 0.5,
        "max_input_tokens": 10,
        "displayName": "Ours",
    }
}
OPENAI = {"type": "openai", "secret": "sk-123456789", "metadata": {"customModels": CUSTOM}}
CLAUDE = {"type": "anthropic", "secret": "sk-ant-123456789"}
GOOGLE = {"type": "google", "secret": "AIza123456789"}
JS = {"type": "js", "secret": None}


async def get(path: str, *endpoints: dict[str, Any], **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await ask(app(FakeUpstream(Reply()), endpoints), path, method="GET", headers=named)
    assert answer.status == 200
    return answer.json


async def test_an_openai_client_sees_provider_format_context_and_prices():
    found = await get("/v1/models/gpt-4o", OPENAI)
    read = openai.types.Model.model_validate(found)
    assert (read.id, read.owned_by) == ("gpt-4o", "openai")
    assert found["providers"] == ["openai"]
    assert (found["format"], found["flavor"]) == ("openai", "chat")
    assert (found["max_input_tokens"], found["max_output_tokens"]) == (128000, 16384)
    assert found["cost"]["input_cost_per_mil_tokens"] == 2.5
    assert "runs_in_client" not in found


async def test_what_the_settings_say_of_a_model_is_listed():
    found = await get("/v1/models/ours", OPENAI)
    assert (found["flavor"], found["multimodal"], found["max_input_tokens"]) == (
        "embedding",
        True,
        10,
    )
    assert found["cost"] == {"input_cost_per_mil_tokens": 0.5}


async def test_a_model_that_nobody_knows_has_an_unknown_cost():
    endpoint = {"type": "openai", "secret": "s", "metadata": {"models": ["brand-new"]}}
    assert (await get("/v1/models/brand-new", endpoint))["cost"] == "unknown"


async def test_an_anthropic_client_reads_the_same_in_its_own_shape():
    listed = await get("/v1/models", CLAUDE, anthropic_version="2023-06-01")
    found = {model["id"]: model for model in listed["data"]}["claude-sonnet-4-5"]
    read = anthropic.types.ModelInfo.model_validate(found)
    assert read.lifecycle == "active"
    assert read.max_input_tokens
    assert read.max_tokens == found["max_output_tokens"]
    retired = await get("/v1/models/claude-3-opus-20240229", CLAUDE, anthropic_version="2023-06-01")
    assert anthropic.types.ModelInfo.model_validate(retired).lifecycle == "retired"


@pytest.mark.parametrize("path", ["/v1beta/models", "/v1/models", "/google/v1beta/models"])
async def test_a_google_client_reads_googles_shape(path: str):
    headers = {"x_goog_api_key": "unused"}
    listed = await get(path, GOOGLE, **headers)
    found = {model["name"]: model for model in listed["models"]}
    one = found["models/gemini-2.5-flash"]
    assert one == await get(f"{path}/gemini-2.5-flash", GOOGLE, **headers)
    assert one["inputTokenLimit"] > 100_000
    assert "generateContent" in one["supportedGenerationMethods"]
    assert "embedContent" in found["models/gemini-embedding-001"]["supportedGenerationMethods"]
    assert google_types.Model.model_validate(
        {name: value for name, value in one.items() if name != "supportedGenerationMethods"}
    ).display_name


async def test_what_runs_in_the_client_is_listed_with_a_flag():
    found = await get("/v1/models/text-block", JS)
    assert (found["runs_in_client"], found["format"]) == (True, "js")


async def test_two_ways_to_a_model_are_both_named():
    azure = {"type": "azure", "secret": "k", "metadata": {"api_base": "https://az.test"}}
    found = await get("/v1/models/gpt-4o", azure, OPENAI)
    assert found["providers"] == ["azure", "openai"]
