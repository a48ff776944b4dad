"""GET /models: what this caller can use, as its SDK knows it."""

from typing import Any

import pytest

from providers import catalog
from providers.models import DEMO_MODELS
from tests.asgi_driver import Exchange, ask
from tests.fakes import KEY, anthropic_endpoint, application, openai_endpoint, org

AUTH = {"authorization": f"Bearer {KEY}"}
VERSION = {"anthropic-version": "2023-06-01"}


async def get(path: str, *endpoints: dict[str, Any], **more: Any) -> Exchange:
    headers = more.pop("headers", AUTH)
    app, log = application(None, org(endpoints=[*endpoints]), **more)
    answered = await ask(app, path, method="GET", headers=headers)
    assert not log.lines
    return answered


def names(answered: Exchange) -> list[str]:
    assert answered.status == 200
    return [model["id"] for model in answered.json["data"]]


async def test_an_organisation_sees_what_its_endpoints_serve():
    custom = {"customModels": {"ours": {"format": "openai", "flavor": "chat"}}}
    everything = names(await get("/v1/models", openai_endpoint(metadata=custom)))
    assert {"gpt-4o", "ours", *DEMO_MODELS} <= {*everything}
    assert "claude-sonnet-4-5" not in everything
    assert everything == sorted(everything)
    assert "claude-sonnet-4-5" in names(await get("/v1/models", anthropic_endpoint()))


async def test_a_list_of_models_or_their_exclusion_narrows_it():
    narrow = openai_endpoint(metadata={"models": ["gpt-4o", "not-in-the-catalogue"]})
    assert {*names(await get("/v1/models", narrow))} == {
        "gpt-4o",
        "not-in-the-catalogue",
        *DEMO_MODELS,
    }
    nothing = openai_endpoint(metadata={"excludeDefaultModels": True})
    assert {*names(await get("/v1/models", nothing))} == {*DEMO_MODELS}


async def test_without_the_demo_there_are_no_demo_models():
    without = catalog.configured({"CUTWATER_DEMO": "off"})
    assert not {*names(await get("/v1/models", openai_endpoint(), providers=without))} & {
        *DEMO_MODELS
    }


@pytest.mark.parametrize(
    ("key", "there", "not_there"),
    [
        ("sk-own", "gpt-4o", "claude-sonnet-4-5"),
        ("sk-ant-own", "claude-sonnet-4-5", "gpt-4o"),
    ],
)
async def test_a_providers_own_key_sees_that_providers_models(key: str, there: str, not_there: str):
    found = names(await get("/v1/models", headers={"x-api-key": key}))
    assert there in found
    assert not_there not in found
    assert "demo-echo" in found


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"x-api-key": "cw_wrong_0123456789abcdef"}, 401),
        ({**AUTH, "x-bt-org-name": "other"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-4o"])
async def test_who_may_not_call_may_not_look(path: str, headers: dict[str, str], status: int):
    assert (await get(path, headers=headers)).status == status


async def test_an_openai_client_gets_openais_shape():
    listed = await get("/v1/models", openai_endpoint())
    assert listed.json["object"] == "list"
    one = await get("/v1/models/gpt-4o", openai_endpoint())
    openai = {"id": "gpt-4o", "object": "model", "created": 1735689600, "owned_by": "openai"}
    assert one.json | openai == one.json
    assert one.json in listed.json["data"]
    assert one.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "headers"), [("/v1/models", VERSION), ("/anthropic/v1/models", {})]
)
async def test_an_anthropic_client_gets_anthropics_shape(path: str, headers: dict[str, str]):
    endpoint = anthropic_endpoint(metadata={"models": ["claude-sonnet-4-5"]})
    listed = await get(path, endpoint, headers={**AUTH, **headers})
    assert set(listed.json) == {"data", "has_more", "first_id", "last_id"}
    assert listed.json["first_id"] == listed.json["data"][0]["id"] == "claude-sonnet-4-5"
    assert listed.json["last_id"] == listed.json["data"][-1]["id"]
    one = await get(f"{path}/claude-sonnet-4-5", endpoint, headers={**AUTH, **headers})
    assert one.json == listed.json["data"][0]
    assert (one.json["type"], one.json["created_at"]) == ("model", "2025-01-01T00:00:00Z")
    assert one.json["display_name"]


async def test_an_empty_list_has_no_first_and_no_last():
    without = catalog.configured({"CUTWATER_DEMO": "off"})
    listed = await get("/v1/models", headers={**AUTH, **VERSION}, providers=without)
    assert listed.json == {"data": [], "has_more": False, "first_id": None, "last_id": None}


async def test_a_name_with_a_slash_can_be_asked_for():
    endpoint = openai_endpoint(metadata={"models": ["meta/llama 3"]})
    for path in ("/v1/models/meta/llama%203", "/v1/models/meta%2Fllama%203"):
        answered = await get(path, endpoint)
        assert answered.json["id"] == "meta/llama 3"
        assert answered.json["owned_by"] == "openai"


async def test_a_model_of_nobody_is_a_404_that_quotes_little():
    answered = await get("/v1/models/" + "x" * 5000, anthropic_endpoint())
    assert answered.status == 404
    assert len(answered.body) < 1000
    assert (await get("/v1/models/demo-nope", openai_endpoint())).status == 404


async def test_a_custom_model_without_a_provider_is_owned_by_nobody_else():
    custom = {"customModels": {"demo-nope": {"format": "openai", "flavor": "chat"}}}
    answered = await get("/v1/models/demo-nope", openai_endpoint(metadata=custom))
    assert answered.json["owned_by"] == "custom"
