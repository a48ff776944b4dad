"""models.json, and the script that makes it."""

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.routing import DIALECT_OF_FORMAT, IN_CLIENT, candidates
from providers import models
from providers.catalog import PROVIDERS
from tests import corpus
from tests.stand_ins import settings

FLAVORS = {
    "audio",
    "chat",
    "completion",
    "embedding",
    "image",
    "moderation",
    "realtime",
    "rerank",
    "video",
}

ROOT = Path(__file__).resolve().parents[2]


def script() -> Any:
    spec = importlib.util.spec_from_file_location(
        "make_catalogue", ROOT / "scripts" / "make_catalogue.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_documented_models_are_there_with_a_provider_that_exists():
    documented = {name: entry for name, entry in models.entries().items() if entry.documented}
    assert len(documented) == 141
    for name, entry in documented.items():
        assert entry.format in {*DIALECT_OF_FORMAT, *IN_CLIENT}, name
        assert entry.flavor in FLAVORS, name
        assert entry.providers, name
        assert PROVIDERS.keys() >= {*entry.providers}, name


def served(name: str, provider: str) -> list[Any]:
    """The candidates for a model where its provider is the only endpoint."""
    metadata = {"api_base": "https://p.test", "region": "us-east-1", "project": "p"}
    org = settings([{"type": provider, "secret": "k", "metadata": metadata}])
    model = models.lookup(name)
    return candidates(model, org, PROVIDERS, endpoint_name=None, draw=0.0, lookup=models.lookup)


def test_every_documented_model_is_routed_even_where_it_is_deprecated_or_retired():
    old = 0
    for name, entry in models.entries().items():
        if not (entry.documented or entry.deprecated or entry.retired):
            continue
        if entry.format in IN_CLIENT:
            continue
        old += entry.deprecated or entry.retired
        for provider in entry.providers:
            (found,) = served(name, provider)
            assert (found.model, found.endpoint.type) == (name, provider)
    assert old > 100


def test_every_price_that_was_added_by_hand_has_its_source_in_the_docs():
    page = (ROOT / "docs" / "catalogue.md").read_text()
    sourced = {row.split("`")[1] for row in page.splitlines() if row.startswith("| `")}
    for name, facts in script().ADDED.items():
        if "input_cost_per_mil_tokens" in facts:
            assert any(re.fullmatch(pattern.replace("*", ".*"), name) for pattern in sourced), name


def test_every_provider_of_the_catalogue_exists():
    assert {name for e in models.entries().values() for name in e.providers} <= PROVIDERS.keys()


@pytest.mark.parametrize(
    ("name", "flavor"),
    [
        ("gpt-image-1", "image"),
        ("dall-e-3", "image"),
        ("1024-x-1024/dall-e-2", "image"),
        ("gemini-2.5-flash-image", "image"),
        ("openai/gpt-5.4-image-2", "image"),
        ("whisper-1", "audio"),
        ("tts-1-hd-1106", "audio"),
        ("gpt-4o-mini-transcribe", "audio"),
        ("gpt-4o-audio-preview", "audio"),
        ("omni-moderation-latest", "moderation"),
        ("gpt-realtime", "realtime"),
        ("gpt-4o-realtime-preview", "realtime"),
        ("text-embedding-3-small", "embedding"),
        ("gemini-embedding-001", "embedding"),
        ("amazon.titan-embed-text-v2:0", "embedding"),
        ("sora-2", "video"),
        ("gpt-3.5-turbo-instruct", "completion"),
        ("gpt-4o", "chat"),
        ("gpt-4-vision-preview", "chat"),
        ("voxtral-small-latest", "chat"),
        ("accounts/fireworks/models/llama-guard-3-8b", "chat"),
    ],
)
def test_a_flavor_says_where_a_model_is_asked(name: str, flavor: str):
    assert models.lookup(name).flavor == flavor


def test_no_known_kind_is_left_among_the_chat_models():
    script_flavors = script().FLAVORS
    for name, entry in models.entries().items():
        if entry.flavor == "chat":
            assert not any(re.search(pattern, name) for _, pattern in script_flavors), name


def test_embeddings_of_a_provider_go_by_its_row():
    for name, entry in models.entries().items():
        if entry.flavor == "embedding":
            assert any(PROVIDERS[by].embeddings != "none" for by in entry.providers), name


def test_what_is_known_is_told():
    model = models.lookup("gpt-4o")
    assert (model.costs.input, model.costs.output, model.costs.cache_read) == (2.5, 10.0, 1.25)
    assert (model.max_input_tokens, model.multimodal) == (128000, True)
    assert models.lookup("claude-3-opus-20240229").lifecycle == "retired"


@pytest.mark.parametrize(
    ("name", "provider"), [("voyage-9", "voyage"), ("embed-v9", "cohere"), ("gpt-9", "openai")]
)
def test_a_new_name_goes_to_its_family(name: str, provider: str):
    assert models.lookup(name).providers[0] == provider


def test_the_script_mends_adds_and_sorts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = script()
    source = tmp_path / "source.json"
    source.write_bytes(
        msgspec.json.encode(
            {
                "z-image-x": {"format": "openai", "flavor": "chat", "providers": ["openai"]},
                "gpt-image-9": {
                    "format": "openai",
                    "flavor": "chat",
                    "providers": ["openai"],
                    "in_mission_list": True,
                    "retired_upstream": True,
                    "parent": "x",
                },
            }
        )
    )
    target = tmp_path / "models.json"
    monkeypatch.setattr(made, "TARGET", target)
    monkeypatch.setattr(sys, "argv", ["make_catalogue.py", str(source)])
    made.main()
    found = msgspec.json.decode(target.read_bytes(), type=dict[str, dict[str, Any]])
    assert list(found) == sorted(found)
    assert found["gpt-image-9"] == {
        "format": "openai",
        "flavor": "image",
        "providers": ["openai"],
        "documented": True,
        "retired": True,
    }
    assert found["z-image-x"]["flavor"] == "chat"
    assert found["gpt-realtime"]["flavor"] == "realtime"
    monkeypatch.setattr(sys, "argv", ["make_catalogue.py"])
    with pytest.raises(SystemExit):
        made.main()


@pytest.mark.corpus
def test_the_catalogue_is_what_the_script_makes():
    source = corpus.require().parent / "data" / "models.json"
    if not source.exists():
        pytest.skip("The catalogue's source is not beside the recordings.")
    document = msgspec.json.decode(source.read_bytes(), type=dict[str, dict[str, Any]])
    assert (ROOT / "providers" / "models.json").read_bytes() == script().make(document)
