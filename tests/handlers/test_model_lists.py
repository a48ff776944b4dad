"""GET /models with all that is known of a model, as three SDKs read it."""

from typing import Any

import anthropic
import openai
import pytest
from google.genai import types as google_types
from google.genai.models import _Model_from_mldev

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
    assert one["providers"] == ["google"]
    assert one["format"] == "google"
    assert one["cost"]["input_cost_per_mil_tokens"]
    # As the SDK reads it: by the names that it knows.
    read = google_types.Model._from_response(response=_Model_from_mldev({**one}), kwargs={})
    assert read.input_token_limit == one["inputTokenLimit"]
    assert "generateContent" in read.supported_actions


async def test_what_runs_in_the_client_is_listed_with_a_flag():
    found = await get("/v1/models/text-block", JS)
    assert (found["runs_in_client"], found["format"]) == (True, "js")


async def test_two_ways_to_a_model_are_both_named():
    azure = {"type": "azure", "secret": "k", "metadata": {"api_base": "https://az.test"}}
    found = await get("/v1/models/gpt-4o", azure, OPENAI)
    assert found["providers"] == ["azure", "openai"]


PAGED = {"type": "anthropic", "secret": "k", "metadata": {"models": ["a", "b/c", "d", "e", "f"]}}
VERSION = {"anthropic_version": "2023-06-01"}


async def names(query: str) -> tuple[list[str], bool]:
    listed = await get(f"/v1/models?{query}", PAGED, **VERSION)
    found = [model["id"] for model in listed["data"] if not model["id"].startswith("demo-")]
    if listed["data"]:
        assert listed["first_id"] == listed["data"][0]["id"]
        assert listed["last_id"] == listed["data"][-1]["id"]
    return found, listed["has_more"]


@pytest.mark.parametrize(
    ("query", "found", "more"),
    [
        ("limit=2", ["a", "b/c"], True),
        ("limit=2&after_id=b%2Fc", ["d"], True),
        ("limit=1000&after_id=d", ["e", "f"], False),
        ("limit=2&before_id=d", ["a", "b/c"], False),
        ("limit=1&before_id=d", ["b/c"], True),
        ("before_id=a", [], False),
        ("after_id=f", [], False),
        ("", ["a", "b/c", "d", "e", "f"], False),
        ("beta=true", ["a", "b/c", "d", "e", "f"], False),
    ],
)
async def test_anthropics_list_is_cut_into_pages(query: str, found: list[str], more: bool):
    assert await names(query) == (found, more)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=1001", "limit"),
        ("after_id=zz", "after_id"),
    ],
)
async def test_a_page_that_cannot_be_told_is_a_400(query: str, param: str):
    answer = await ask(
        app(FakeUpstream(Reply()), [PAGED]),
        f"/v1/models?{query}",
        method="GET",
        headers={"anthropic-version": "2023-06-01"},
    )
    assert answer.status == 400
    assert param in answer.json["error"]["message"]


async def test_googles_list_is_cut_into_pages_that_lead_to_the_next():
    google = {**GOOGLE, "metadata": {"models": ["a", "b", "c"], "excludeDefaultModels": True}}
    token, seen = "", []
    while True:
        listed = await get(f"/v1beta/models?pageSize=2{token}", google)
        assert len(listed["models"]) <= 2
        seen += [model["name"] for model in listed["models"]]
        if "nextPageToken" not in listed:
            break
        token = f"&pageToken={listed['nextPageToken']}"
    assert seen == sorted(set(seen))
    assert {"models/a", "models/b", "models/c"} <= {*seen}
