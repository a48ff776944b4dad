"""`cutwater import`: what is taken goes to a file or into use, what is not is said beside it."""

import stat
import sys
from pathlib import Path

import msgspec
import pytest

from handlers.cli_import import known
from providers import catalog
from tests.handlers.operators import CommandLine

BRAINTRUST = [
    {
        "id": "1",
        "org_name": "acme",
        "name": "main",
        "type": "openai",
        "secret": "sk-sentinel",
        "is_active": True,
    }
]
LITELLM = b"""
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: os.environ/ACME_KEY
general_settings:
  master_key: sk-sentinel
"""
PORTKEY = {"provider": "anthropic", "api_key": "sk-ant-sentinel", "cache": {"mode": "simple"}}


@pytest.fixture
def at(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.mark.parametrize(
    ("form", "content", "kind", "untaken"),
    [
        ("braintrust", BRAINTRUST, "openai", "$[0].is_active: not taken"),
        ("litellm", LITELLM, "openai", "$.general_settings.master_key: not taken: make keys"),
        ("portkey", PORTKEY, "anthropic", "$.cache: not taken"),
    ],
)
def test_the_document_goes_to_standard_output_what_is_not_taken_beside_it(
    at: CommandLine, form: str, content: object, kind: str, untaken: str
):
    file = at.file("settings", content)
    code, out, err = at.run("import", form, file, environment={"ACME_KEY": "sk-of-acme"})
    document = msgspec.json.decode(out)
    assert (code, document["endpoints"][0]["type"]) == (0, kind)
    assert untaken in err
    assert "sentinel" not in err
    found = at.json("import", form, file, "--org", "new", environment={"ACME_KEY": "sk-of-acme"})
    assert found["document"]["name"] == "new"
    assert [set(one) for one in found["untaken"]] == [{"path", "reason"}]


def test_a_variable_of_the_environment_is_taken(at: CommandLine):
    file = at.file("config.yaml", LITELLM)
    found = at.json("import", "litellm", file, environment={"ACME_KEY": "sk-of-acme"})
    assert found["document"]["endpoints"][0]["secret"] == "sk-of-acme"
    found = at.json("import", "litellm", file)
    assert "secret" not in found["document"]["endpoints"][0]
    assert "no ACME_KEY" in found["untaken"][0]["reason"]


def test_an_output_file_is_for_its_owner_and_is_not_overwritten_in_silence(at: CommandLine):
    file, output = at.file("b.json", BRAINTRUST), at.folder / "acme.json"
    said = at.good("import", "braintrust", file, "--output", str(output))
    assert said == f"{output}: acme, 1 endpoints\n"
    assert sys.platform == "win32" or stat.S_IMODE(output.stat().st_mode) == 0o600
    code, _, _ = at.run(
        "import", "portkey", at.file("p", PORTKEY), "--output", str(output), answer="n"
    )
    assert code == 1
    assert msgspec.json.decode(output.read_bytes())["name"] == "acme"
    at.good("org", "apply", str(output))
    at.json("import", "portkey", at.file("p", PORTKEY), "--output", str(output), "--yes")
    assert msgspec.json.decode(output.read_bytes())["name"] == "imported"


def test_what_is_imported_can_be_kept_at_once(at: CommandLine):
    code, out, err = at.run("import", "braintrust", at.file("b.json", BRAINTRUST), "--apply")
    assert (code, out) == (0, "acme: created, 1 endpoints\n")
    assert "is_active" in err
    assert at.json("org", "list")[0]["name"] == "acme"
    assert (
        at.json("import", "braintrust", at.file("b.json", BRAINTRUST), "--apply")["name"] == "acme"
    )


BAD = [
    ("braintrust", b"{", "not JSON"),
    ("braintrust", {}, "a list of AI providers"),
    ("litellm", b"a: [\n", "not YAML, line 2"),
    ("litellm", b"\xff\xfe\x00", "not YAML"),
    ("litellm", b"sentinel: 1", "`model_list`"),
    ("portkey", [], "`targets`"),
]


@pytest.mark.parametrize(("form", "content", "words"), BAD)
def test_another_file_is_refused_in_one_line(
    at: CommandLine, form: str, content: object, words: str
):
    file = at.file("wrong", content)
    said = at.bad("import", form, file)
    assert words in said
    assert file in said


def test_an_unknown_format_both_ways_out_or_a_place_that_is_none_are_refused(at: CommandLine):
    file = at.file("b.json", BRAINTRUST)
    assert at.run("import", "kong", file)[0] == 2
    assert "one of them" in at.bad("import", "braintrust", file, "--apply", "--output", "x")
    nowhere = str(at.folder / "no" / "where")
    assert nowhere in at.bad("import", "braintrust", file, "--output", nowhere)
    assert "gone" in at.bad("import", "braintrust", "gone")


def test_the_importers_know_what_the_catalogue_knows():
    assert set(known().types) == set(catalog.PROVIDERS)
    assert known().key_variables["google"] == ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    assert known().key_variables["ollama"] == ()
