"""One row per provider."""

import pytest

from core.routing import Provider
from providers import catalog


@pytest.mark.parametrize("name", catalog.PROVIDERS)
def test_every_row_can_be_used(name: str):
    row = catalog.PROVIDERS[name]
    assert row.dialects
    if not row.base_url:
        # Its address is made of the settings, must be in them, or is never called.
        assert row.url or "api_base" in row.required or row.in_client or name == "braintrust"
        return
    assert row.base_url.startswith(("https://", "http://127.0.0.1", "demo:"))
    assert not row.base_url.endswith("/")
    assert row.base_url.endswith(row.sdk_path)


@pytest.mark.parametrize(
    ("variable", "value", "provider", "base"),
    [
        ("OPENAI_BASE_URL", "https://x.test/v1", "openai", "https://x.test/v1"),
        ("OPENAI_BASE_URL", "https://x.test/v1/", "openai", "https://x.test/v1"),
        ("OPENAI_BASE_URL", "https://x.test", "openai", "https://x.test"),
        ("ANTHROPIC_BASE_URL", "https://x.test", "anthropic", "https://x.test/v1"),
        ("ANTHROPIC_BASE_URL", "https://x.test/v1/", "anthropic", "https://x.test/v1"),
        ("OLLAMA_HOST", "http://x.test:1", "ollama", "http://x.test:1/v1"),
        ("OLLAMA_HOST", "0.0.0.0", "ollama", "http://127.0.0.1:11434/v1"),
        ("OPENAI_BASE_URL", "", "openai", "https://api.openai.com/v1"),
    ],
)
def test_base_urls_are_read_as_the_providers_sdks_read_them(
    variable: str, value: str, provider: str, base: str
):
    providers = catalog.configured({variable: value})
    assert providers[provider].base_url == base
    others = {name: row for name, row in providers.items() if name != provider}
    assert all(row is catalog.PROVIDERS[name] for name, row in others.items())


@pytest.mark.parametrize(("value", "there"), [(None, True), ("on", True), ("off", False)])
def test_the_demo_can_be_switched_off(value: str | None, there: bool):
    providers = catalog.configured({} if value is None else {"CUTWATER_DEMO": value})
    assert ("demo" in providers) is there
    assert isinstance(catalog.PROVIDERS["demo"], Provider)
