"""`cutwater cost`, and that docs/cost.md shows what it prints."""

import re
import shlex
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from handlers.cli import cli

PAGE = Path(__file__).parents[2] / "docs/cost.md"
_TABLE = re.compile(r"```sh\n(cutwater cost [^\n]*)\n```\n\n(.*?)(?=\n## |\n```|\Z)", re.DOTALL)


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    found = CliRunner().invoke(cli, ["cost", *arguments], catch_exceptions=False)
    return found.exit_code, found.stdout, found.stderr


def tables() -> list[tuple[str, str]]:
    """Each command of the page that has a table, and that table."""
    found = _TABLE.findall(PAGE.read_text())
    return [(command, table) for command, table in found if table.startswith("| service |")]


@pytest.mark.parametrize(("command", "table"), tables())
def test_the_tables_of_the_page_are_what_the_command_prints(command: str, table: str):
    """`cutwater cost ... --markdown` prints what belongs there."""
    code, out, _ = run(*shlex.split(command)[2:], "--markdown")
    assert code == 0
    assert table.strip() == out.strip()


def test_the_page_has_a_table_at_rest_and_some_under_load():
    commands = [command for command, _ in tables()]
    assert "cutwater cost --rps 0" in commands
    assert len(commands) >= 3


PARAMETERS = {
    "`SnapStart=off`": ("--no-snapstart",),
    "`Alarms=off Dashboard=off`": ("--no-alarms", "--no-dashboard"),
    "`SnapStart=off Alarms=off Dashboard=off`": ("--no-snapstart", "--no-alarms", "--no-dashboard"),
    "as they are": (),
}


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_the_page_says_what_rest_costs_with_and_without_what_aws_gives(parameters: str):
    [row] = re.findall(rf"^\| {re.escape(parameters)} \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    found = msgspec.json.decode(run("--rps", "0", *PARAMETERS[parameters], "--json")[1])
    rest, given = found["at_rest_usd"], found["free_at_rest_in_every_account_usd"]
    assert row.split(" | ") == [f"${rest:.2f}", f"${rest - given:.2f}"]


def test_it_says_what_snapshots_cost_and_what_they_are_for():
    with_them, without = run("--rps", "1")[1], run("--rps", "1", "--no-snapstart")[1]
    assert re.search(r"SnapStart is \$4\.\d\d of the sum, for [\d,]+ cold starts a", with_them)
    assert "--no-snapstart" in with_them
    assert re.search(r"[\d,]+ cold starts a month, and each imports the code", without)
    for out in (with_them, without):
        assert re.search(r"An account that uses nothing else pays \$[\d.]+ \(\$", out)


def test_every_option_is_on_the_page():
    page = PAGE.read_text()
    code, out, _ = run("--help")
    assert code == 0
    for option in set(re.findall(r"--[a-z][a-z-]+", out)) - {"--help"}:
        assert f"`{option}" in page or f" {option}" in page, option


def test_a_table_has_its_sum_and_says_what_is_not_in_it():
    code, out, err = run("--rps", "1", "--seconds", "2", "--cache-hit", "0.3")
    assert code == 0
    rows = [line for line in out.splitlines() if "in all" in line]
    assert len(rows) == 1
    assert "2,628,000 requests a month" in out
    assert "providers charge for their models is not in it" in err


def test_json_has_the_same_sum():
    code, out, _ = run("--rps", "1", "--seconds", "2", "--json")
    found = msgspec.json.decode(out)
    assert code == 0
    assert found["requests"] == 2_628_000
    assert found["load"]["rps"] == 1
    assert found["usd"] == pytest.approx(sum(one["usd"] for one in found["lines"]), abs=0.1)
    assert 0 < found["at_rest_usd"] < found["usd"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--cache-hit", "30"), "--cache-hit is a share between 0 and 1, and not 30."),
        (("--rps", "nan"), "--rps is a number of 0 or more, and not nan."),
        (("--seconds", "1e5"), "--seconds is 900 at most, and not 100000."),
    ],
)
def test_bad_input_is_one_clear_line(arguments: tuple[str, ...], words: str):
    assert run(*arguments) == (2, "", f"cutwater: {words}\n")


def test_what_is_no_number_is_refused():
    code, out, err = run("--rps", "many")
    assert (code, out) == (2, "")
    assert "Error" in err
