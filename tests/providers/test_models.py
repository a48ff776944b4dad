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
