"""What the template promises to others: names that the command line reads, settings that exist."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handlers import places
from handlers.request_log import RequestLog
from tests.stand_ins import Log
from tests.template.test_transform import of_type

ROOT = Path(__file__).resolve().parents[2]
MAKE = {"BuildMethod": "makefile", "ContextPath": ".", "WorkingDirectory": "."}


def test_the_command_line_finds_the_outputs_that_it_reads(source: dict[str, Any]):
    assert set(places.OUTPUTS) <= set(source["Outputs"])
    assert {"Url", "AnthropicBaseUrl", "AdminUrl", "MailboxName"} <= set(source["Outputs"])


def test_the_regions_of_replicas_reach_the_command_line_and_the_admin(
    source: dict[str, Any], resources: dict[str, Any]
):
    found = source["Outputs"][places.REPLICAS]
    assert found["Condition"] == "IsReplicated"
    admin = resources["AdminFunction"]["Properties"]["Environment"]["Variables"]
    assert admin["CUTWATER_REPLICA_REGIONS"] == found["Value"]


def test_a_url_can_be_pasted_as_it_is(source: dict[str, Any]):
    for name in ("Url", "AnthropicBaseUrl"):
        own, default = source["Outputs"][name]["Value"]["Fn::If"][1:]
        assert own["Fn::Sub"].startswith("https://${DomainName}")
        assert default["Fn::Sub"].startswith("https://${RestApi}.execute-api.${AWS::Region}.")
        assert not default["Fn::Sub"].endswith("/")


def test_every_variable_that_is_set_is_read_and_documented(resources: dict[str, Any]):
    settings = (ROOT / "docs/settings.md").read_text()
    sources = "".join(path.read_text() for path in (ROOT / "handlers").glob("*.py"))
    functions = of_type(resources, "AWS::Lambda::Function").values()
    names = {name for function in functions for name in function["Environment"]["Variables"]}
    read = {name for name in names if name in sources}
    # Read since organisations are looked up in the secrets.
    assert names - read <= {"CUTWATER_ALLOWED_ORIGINS", "CUTWATER_PRIVATE_ENDPOINTS"}
    for name in read:
        assert f"`{name}`" in settings, name


def test_every_parameter_is_explained(source: dict[str, Any]):
    page = (ROOT / "docs/deploy.md").read_text()
    groups = source["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert sorted(grouped) == sorted(source["Parameters"])
    for name in source["Parameters"]:
        assert f"`{name}`" in page, name


def logged() -> dict[str, object]:
    """A line with all that can be in it."""
    log = Log()
    line = RequestLog(log).begin("POST")
    headers = [(b"x-bt-cached", b"HIT"), (b"x-request-id", b"r")]
    line.head(200, headers)
    line.chunk(5)
    line.end(complete=True)
    [(event, fields)] = log.lines
    return {"event": event, **fields}


def test_every_metric_is_made_of_what_is_logged(resources: dict[str, Any]):
    known = logged()
    for name, found in of_type(resources, "AWS::Logs::MetricFilter").items():
        assert found["LogGroupName"] == {"Ref": "ProxyLogs"}
        text = msgspec.json.encode(found).decode()
        fields = set(re.findall(r"\$\.([a-z_]+)", text))
        assert fields <= set(known), name


def metrics(resources: dict[str, Any]) -> set[str]:
    return {
        made["MetricName"]
        for found in of_type(resources, "AWS::Logs::MetricFilter").values()
        for made in found["MetricTransformations"]
    }


def test_sam_builds_every_function_beside_the_template_whatever_it_copies(
    source: dict[str, Any],
):
    verbs = (ROOT / "Makefile").read_text()
    for name in of_type(source["Resources"], "AWS::Serverless::Function"):
        assert source["Resources"][name]["Metadata"] == MAKE, name
        assert re.search(rf"^(build-\w+ )*build-{name}\b.*:$", verbs, re.MULTILINE), name


def test_answers_to_sam_deploy_guided_leave_the_repository_as_it_was():
    # It writes them to samconfig.toml beside the template, and reads any of these names.
    assert "samconfig.*" in (ROOT / ".gitignore").read_text().splitlines()
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("This is no clone, or git is not here.")
    tracked = ["git", "ls-files", "samconfig.*"]
    assert not subprocess.check_output(tracked, cwd=ROOT, text=True, timeout=30)


def test_the_dashboard_shows_metrics_that_exist(resources: dict[str, Any]):
    template, _ = resources["Board"]["Properties"]["DashboardBody"]["Fn::Sub"]
    widgets = msgspec.json.decode(template)["widgets"]
    ours = {
        row[1]
        for widget in widgets
        for row in widget["properties"]["metrics"]
        if isinstance(row[0], str) and row[0].startswith("Cutwater/")
    }
    assert ours == metrics(resources) - {"ServerErrors"}
    titles = " ".join(widget["properties"]["title"] for widget in widgets)
    for word in ("Requests", "class", "first byte", "Cache", "Cost", "Throttles", "Cold starts"):
        assert word in titles


def test_what_an_account_has_for_nothing_covers_the_dashboard_and_the_alarms(
    resources: dict[str, Any],
):
    # Three dashboards of up to 50 metrics; ten alarms that watch one metric each, by the minute.
    # https://aws.amazon.com/cloudwatch/pricing/
    template, _ = resources["Board"]["Properties"]["DashboardBody"]["Fn::Sub"]
    widgets = msgspec.json.decode(template)["widgets"]
    shown = [row for widget in widgets for row in widget["properties"]["metrics"]]
    measured = [row for row in shown if isinstance(row[0], str)]
    assert len(measured) <= 50
    assert f"one dashboard of {len(measured)}," in (ROOT / "docs/cost.md").read_text()
    alarms = of_type(resources, "AWS::CloudWatch::Alarm")
    assert len(alarms) <= 10
    for alarm in alarms.values():
        assert "Metrics" not in alarm
        assert alarm["Period"] >= 60


def test_alarms_watch_metrics_that_exist(resources: dict[str, Any]):
    alarms = of_type(resources, "AWS::CloudWatch::Alarm")
    assert len(alarms) == 7
    for alarm in alarms.values():
        assert alarm["AlarmActions"]["Fn::If"][0] == "HasEmail"
        if isinstance(alarm["Namespace"], dict):
            assert alarm["MetricName"] in metrics(resources)
