"""Usage as OpenAI, Azure and xAI say it, and its cost."""

import msgspec
import pytest

from core import realtime_usage
from core.realtime_usage import Usage
from core.routing import Costs
from providers import models
from tests import corpus


def answered(response, **beside):
    event = {"type": "response.done", "response": response, **beside}
    return realtime_usage.answered(msgspec.json.encode(event).decode())


def test_the_shape_of_the_general_api_is_read():
    usage = {
        "input_tokens": 96,
        "output_tokens": 14,
        "input_token_details": {
            "text_tokens": 80,
            "audio_tokens": 10,
            "image_tokens": 6,
            "cached_tokens": 64,
            "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 3, "image_tokens": 1},
        },
        "output_token_details": {"text_tokens": 10, "audio_tokens": 4, "reasoning_tokens": 2},
    }
    found = answered({"id": "r", "status": "completed", "usage": usage})
    assert found.usage == Usage(
        input_text=80,
        input_audio=10,
        input_image=6,
        cached_text=60,
        cached_audio=3,
        cached_image=1,
        output_text=10,
        output_audio=4,
        reasoning=2,
    )
    assert (found.usage.input_tokens, found.usage.output_tokens) == (96, 14)
    assert found.usage.cache_read_tokens == 64


def test_the_first_shape_of_the_beta_is_read():
    usage = {
        "total_tokens": 253,
        "input_tokens": 132,
        "output_tokens": 121,
        "input_token_details": {"cached_tokens": 64, "text_tokens": 50, "audio_tokens": 82},
        "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
    }
    found = answered({"id": "r", "status": "completed", "usage": usage}).usage
    assert (found.cached_text, found.cached_audio) == (50, 14)


def test_usage_beside_the_response_is_read_as_xai_says_it():
    usage = {
        "input_tokens": 0,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 0, "grok_tokens": 0},
        "output_tokens": 269,
        "output_token_details": {"text_tokens": 19, "audio_tokens": 250, "grok_tokens": 0},
    }
    found = answered({"id": "r", "usage": {}}, usage=usage)
    assert found.usage == Usage(output_text=19, output_audio=250)


def test_tokens_that_are_not_told_apart_are_text():
    usage = {"input_tokens": 10, "output_tokens": 5}
    assert answered({"usage": usage}).usage == Usage(input_text=10, output_text=5)


@pytest.mark.parametrize("response", [{}, {"usage": None}, {"usage": {}}, {"usage": "none"}, 7])
def test_a_response_without_usage_has_none(response):
    assert answered(response).usage is None


def test_a_price_that_is_missing_leaves_the_cost_unknown():
    only_text = Costs(input=4, output=16)
    assert realtime_usage.cost(Usage(input_text=10, output_text=10), only_text) == pytest.approx(
        (40 + 160) / 1e6
    )
    assert realtime_usage.cost(Usage(output_audio=1), only_text) is None
    assert not realtime_usage.is_priced(only_text)


def test_every_openai_model_for_realtime_has_all_prices():
    named = [
        name
        for name, entry in models.entries().items()
        if entry.flavor == "realtime" and "openai" in entry.providers
    ]
    assert len(named) >= 10
    for name in named:
        costs = models.lookup(name).costs
        assert realtime_usage.is_priced(costs), name
        assert costs.input_audio > costs.input, name


@pytest.mark.corpus
@pytest.mark.parametrize("api", ["openai.realtime", "azure.realtime", "azure-voice-live.realtime"])
def test_the_kinds_of_recorded_usage_add_up_to_the_providers_own_totals(api):
    lines = (corpus.require() / "recordings" / f"{api}.jsonl").read_bytes().splitlines()
    seen = 0
    for line in lines:
        for frame in msgspec.json.decode(line)["frames"]:
            event = msgspec.json.decode(frame["text"])
            if event["type"] != "response.done":
                continue
            seen += 1
            usage, said = realtime_usage.answered(frame["text"]).usage, event["response"]["usage"]
            assert usage.input_tokens == said["input_tokens"]
            assert usage.output_tokens == said["output_tokens"]
            assert usage.cache_read_tokens == said["input_token_details"]["cached_tokens"]
    assert seen >= 3
