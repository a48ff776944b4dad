"""The model catalogue."""

import pytest

from providers import models
from providers.catalog import PROVIDERS
from providers.demo import FAULTS


def test_every_entry_can_be_looked_up():
    for name in models.entries():
        assert models.lookup(name).name == name


@pytest.mark.parametrize(
    ("name", "shape", "first"),
    [
        ("gpt-4o", "openai", "openai"),
        ("claude-sonnet-4-5", "anthropic", "anthropic"),
        ("claude-never-heard-of", "anthropic", "anthropic"),
        ("never-heard-of", "openai", "openai"),
        ("demo-echo", "openai", "demo"),
        ("demo-nope", "openai", None),
        ("", "openai", "openai"),
    ],
)
def test_a_name_has_an_entry_or_a_family(name: str, shape: str, first: str | None):
    model = models.lookup(name)
    assert (model.format, next(iter(model.providers), None)) == (shape, first)


@pytest.mark.parametrize(
    ("name", "thinking", "sampling", "schema"),
    [
        ("claude-3-5-sonnet-20241022", "budget", True, False),
        ("claude-sonnet-4-5-20250929", "budget", True, True),
        ("claude-opus-4-7", "adaptive", False, True),
        ("gpt-4o", "budget", True, False),
    ],
)
def test_a_models_traits_follow_its_name(name: str, thinking: str, sampling: bool, schema: bool):
    facts = models.lookup(name).facts
    assert (facts.thinking, facts.sampling, facts.native_schema) == (thinking, sampling, schema)


def test_what_nobody_knows_of_a_model_is_not_guessed():
    facts = models.lookup("never-heard-of").facts
    assert (facts.max_output_tokens, facts.reasoning) == (None, None)
    assert models.lookup("gpt-4o").facts.reasoning is False
    assert models.lookup("gpt-4o").facts.max_output_tokens == 16384


def test_every_demo_model_is_in_the_catalogue_and_every_fault_is_a_model():
    assert models.DEMO_MODELS.keys() <= models.entries().keys()
    assert FAULTS.keys() <= models.DEMO_MODELS.keys()
    assert "demo" in PROVIDERS


@pytest.mark.parametrize(
    ("name", "one_of_them", "beside_tools"),
    [
        ("claude-opus-4-1-20250805", True, True),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", True, True),
        ("claude-sonnet-4-20250514", False, True),
        ("gemini-2.5-flash", False, False),
        ("gemini-2.0-flash", False, False),
        ("gemini-3-pro-preview", False, True),
    ],
)
def test_what_a_model_takes_together(name: str, one_of_them: bool, beside_tools: bool):
    facts = models.lookup(name).facts
    assert (facts.temperature_or_top_p, facts.schema_beside_tools) == (one_of_them, beside_tools)


@pytest.mark.parametrize(
    ("name", "refuses"), [("o3", True), ("gpt-5-mini", True), ("gpt-5-chat", False)]
)
def test_models_of_openai_that_reason_refuse_stop_words_and_sampling(name: str, refuses: bool):
    quirks = models.lookup(name).facts.quirks
    assert quirks is not None
    assert ({"stop", "top_p", "logprobs"} <= quirks.refuses) is refuses


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("o1-mini", ""),
        ("o3", "low"),
        ("gpt-5", "minimal"),
        ("gpt-5-mini-2025-08-07", "minimal"),
        ("gpt-5-pro", ""),
        ("gpt-5-codex", "low"),
        ("gpt-5.1-chat-latest", ""),
        ("gpt-5.4-mini", "none"),
    ],
)
def test_the_effort_nearest_to_no_reasoning(name: str, least: str):
    quirks = models.lookup(name).facts.quirks
    assert quirks is not None
    assert quirks.least == least
