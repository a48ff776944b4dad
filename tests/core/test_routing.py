"""From a model's name to the endpoints that can answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import routing
from core.errors import BadRequestError, ModelNotFoundError
from core.orgs import Endpoint
from core.routing import Candidate
from providers.catalog import PROVIDERS
from providers.models import lookup
from tests.fakes import org

weights = st.lists(st.floats(0, 1e6), min_size=1, max_size=8)
draws = st.floats(0, 1, exclude_max=True)


@given(weights, draws)
def test_any_draw_gives_every_endpoint_once_and_the_rest_by_weight(given: list[float], draw: float):
    endpoints = [Endpoint(type="openai", name=str(i), weight=w) for i, w in enumerate(given)]
    ordered = routing.order(endpoints, draw)
    assert sorted(e.label for e in ordered) == sorted(e.label for e in endpoints)
    rest = [e.weight for e in ordered[1:]]
    assert rest == sorted(rest, reverse=True)
    if any(given):
        assert ordered[0].weight > 0


def test_the_share_of_an_endpoint_is_its_weight():
    endpoints = [
        Endpoint(type="openai", name=name, weight=weight)
        for name, weight in [("three", 3), ("one", 1), ("none", 0)]
    ]
    first = [routing.order(endpoints, i / 1000)[0].label for i in range(1000)]
    assert {name: first.count(name) for name in first} == {"three": 750, "one": 250}


def candidates(model: str, *endpoints: dict[str, Any], **more: Any) -> list[Candidate]:
    asked = {"endpoint_name": None, "draw": 0.0} | more
    return routing.candidates(lookup(model), org(endpoints=[*endpoints]), PROVIDERS, **asked)


def named(name: str, kind: str = "openai", **metadata: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, "metadata": metadata}


@pytest.mark.parametrize(
    ("model", "endpoint", "there"),
    [
        ("gpt-4o", named("e"), True),
        ("gpt-4o", named("e", "anthropic"), False),
        ("claude-sonnet-4-5", named("e", "anthropic"), True),
        ("never-heard-of", named("e"), True),
        ("gpt-4o", named("e", models=["gpt-4o"]), True),
        ("gpt-4o-mini", named("e", models=["gpt-4o"]), False),
        ("gpt-4o", named("e", excludeDefaultModels=True), False),
        ("own", named("e", customModels={"own": {"format": "openai", "flavor": "chat"}}), True),
        (
            "own",
            named(
                "e",
                "anthropic",
                customModels={"own": {"format": "openai", "flavor": "chat"}},
                excludeDefaultModels=True,
            ),
            True,
        ),
        ("gpt-4o", named("e", "anthropic", models=["gpt-4o"]), True),
    ],
)
def test_an_endpoint_serves_what_its_settings_say(
    model: str, endpoint: dict[str, Any], there: bool
):
    if there:
        assert [c.endpoint.label for c in candidates(model, endpoint)] == ["e"]
        return
    with pytest.raises(ModelNotFoundError) as caught:
        candidates(model, endpoint)
    assert caught.value.param == "model"


def test_a_named_endpoint_is_the_only_candidate():
    two = (named("a"), named("b"))
    assert [c.endpoint.label for c in candidates("gpt-4o", *two, endpoint_name="b")] == ["b"]
    assert len(candidates("gpt-4o", *two)) == 2


def test_an_endpoint_that_is_not_there_is_a_400():
    with pytest.raises(BadRequestError, match="x-bt-endpoint-name"):
        candidates("gpt-4o", named("a"), endpoint_name="c")


def test_the_demo_needs_no_endpoint():
    assert [c.endpoint.type for c in candidates("demo-echo")] == ["demo"]


def test_an_endpoint_of_a_provider_that_is_switched_off_serves_nothing():
    without = {name: row for name, row in PROVIDERS.items() if name != "demo"}
    settings = org(endpoints=[named("d", "demo")])
    for name in (None, "d"):
        with pytest.raises(ModelNotFoundError):
            routing.candidates(lookup("demo-echo"), settings, without, endpoint_name=name, draw=0.0)


CUSTOM = {"format": "anthropic", "flavor": "chat", "max_output_tokens": 7, "reasoning": True}


def test_a_custom_model_brings_its_own_name_and_facts():
    models = {"own": {**CUSTOM, "upstream_name": "theirs"}}
    candidate = candidates("own", named("e", customModels=models))[0]
    assert (candidate.model, candidate.dialect) == ("theirs", "anthropic")
    assert (candidate.facts.max_output_tokens, candidate.facts.reasoning) == (7, True)


@pytest.mark.parametrize("shape", ["js", "window"])
def test_a_model_that_runs_in_the_client_is_a_400(shape: str):
    models = {"own": {"format": shape, "flavor": "chat"}}
    with pytest.raises(BadRequestError, match="runs in the client"):
        candidates("own", named("e", customModels=models))


@pytest.mark.parametrize(
    ("model", "kind", "metadata", "client", "spoken"),
    [
        ("gpt-4o", "openai", {}, "openai_chat", "openai_chat"),
        ("gpt-4o", "openai", {}, "anthropic", "openai_chat"),
        ("claude-sonnet-4-5", "anthropic", {}, "openai_chat", "anthropic"),
        ("claude-sonnet-4-5", "anthropic", {}, "anthropic", "anthropic"),
        ("gpt-4o", "openai", {"dialects": ["openai_chat", "anthropic"]}, "anthropic", "anthropic"),
        ("gpt-4o", "openai", {"dialects": ["anthropic"]}, "openai_chat", "anthropic"),
        ("m", "openai", {"customModels": {"m": CUSTOM}}, "anthropic", "anthropic"),
        # The settings say the format of this very model: the endpoint's others do not count.
        ("m", "openai", {"customModels": {"m": CUSTOM}}, "openai_chat", "anthropic"),
        (
            "m",
            "anthropic",
            {"customModels": {"m": {"format": "google", "flavor": "chat"}}},
            "openai_chat",
            "gemini",
        ),
    ],
)
def test_an_endpoint_is_spoken_to_in_the_clients_dialect_where_it_can(
    model: str, kind: str, metadata: dict[str, Any], client: Any, spoken: str
):
    candidate = candidates(model, named("e", kind, **metadata))[0]
    assert routing.speaking(candidate, client) == spoken
