"""The docs and the code say the same."""

import re
from pathlib import Path

import pytest

from core import caching, options, routes, routing
from core.dialects import parameters
from core.orgs import CacheSettings, Metadata, Org, Timeouts
from providers.catalog import PROVIDERS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "docs/settings.md").read_text()
SOURCES = "\n".join(
    path.read_text()
    for folder in ("core", "providers", "infra", "handlers")
    for path in (ROOT / folder).rglob("*.py")
)


def test_every_header_of_ours_is_documented_and_every_documented_one_exists():
    in_code = set(re.findall(r"x-bt-[a-z-]+[a-z]", SOURCES))
    in_docs = set(re.findall(r"`(x-bt-[a-z-]+[a-z])`", README))
    assert in_code == in_docs


def test_every_variable_of_ours_is_documented_and_every_documented_one_exists():
    in_code = set(re.findall(r"\bCUTWATER_[A-Z_]+\b", SOURCES))
    in_docs = set(re.findall(r"`(CUTWATER_[A-Z_]+)`", SETTINGS))
    assert in_code == in_docs


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_provider_is_in_the_readme(name):
    provider = PROVIDERS[name]
    row = re.search(rf"^\| `{name}` \|.*$", README, re.MULTILINE)
    assert row is not None
    assert (provider.key_variable or "none") in row[0]
    for variable in (provider.key_variable, provider.base_variable):
        assert variable is None or f"`{variable}`" in SETTINGS


def test_every_setting_is_documented():
    for name in (*Org.__struct_encode_fields__, *Timeouts.__struct_encode_fields__):
        assert name in SETTINGS, name
    for name in Metadata.__struct_encode_fields__:
        assert f"`metadata.{name}`" in SETTINGS, name


TABLE = README.partition("\n## Routes\n")[2].partition("\n## ")[0]
PREFIXES = ("/v1", "/v1beta", "/google/v1beta", "/anthropic/v1", "/anthropic", "")
NAMED_IN_PATH = (
    "/v1beta/models/{model}:generateContent",
    "/model/{model}/converse",
    "/model/{model}/converse-stream",
)


def _documented(path):
    names = re.findall(r"`(?:[A-Z]+ )?(/[^`]+)`", TABLE)
    bare = {name.removeprefix("/v1") for name in names} | set(names)
    return any(path.startswith(p) and path.removeprefix(p) in bare for p in PREFIXES)


@pytest.mark.parametrize("path", [*routes.ROUTES, *NAMED_IN_PATH])
def test_every_route_is_documented(path):
    assert _documented(path)


@pytest.mark.parametrize("path", NAMED_IN_PATH)
def test_every_documented_route_that_names_a_model_is_one(path):
    assert routes.resolve("POST", path.replace("{model}", "m"), {}).model == "m"


def test_every_variable_of_aws_is_documented():
    in_code = set(re.findall(r"\"(AWS_[A-Z_]+)\"", (ROOT / "infra/aws.py").read_text()))
    assert {name for name in in_code if f"`{name}`" not in SETTINGS} == set()


def test_every_format_of_a_custom_model_is_documented():
    row = re.search(r"^\| `metadata.customModels` \|.*$", SETTINGS, re.MULTILINE)
    assert row is not None
    for name in (*routing.DIALECT_OF_FORMAT, *routing.IN_CLIENT):
        assert f"`{name}`" in row[0], name


def test_every_parameter_is_in_the_translation_table():
    text = (ROOT / "docs/translation.md").read_text()
    for columns in parameters.PARAMETERS.values():
        for name in columns.values():
            word = {"presence_penalty": "penalties", "frequency_penalty": "penalties"}
            word |= {"top_logprobs": "logprobs"}
            assert word.get(name, name) in text, name
    for refused in parameters.REFUSED.values():
        assert all(name in text for name in refused)


def test_every_key_header_is_documented():
    for name in options.KEY_HEADERS:
        assert name in README.lower()


@pytest.mark.parametrize("page", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"])
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_reason_of_the_cache_is_documented():
    text = (ROOT / "docs/cache.md").read_text()
    assert set(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)) >= set(caching.REASONS)
    for name in CacheSettings.__struct_encode_fields__:
        assert name in SETTINGS, name


def test_every_beginning_of_a_key_is_documented_with_where_it_goes():
    page = (ROOT / "docs/providers.md").read_text()
    for name, provider in PROVIDERS.items():
        known = provider.key_prefix or ()
        for prefix in (known,) if isinstance(known, str) else known:
            row = re.search(rf"^\|.*`{re.escape(prefix)}`.*$", page, re.MULTILINE)
            assert row is not None, prefix
            assert f"`{name}`" in row[0]


def test_every_path_that_counts_is_documented():
    page = (ROOT / "docs/routes.md").read_text()
    for path in routes.COUNTED:
        assert path in page
        assert path in README
