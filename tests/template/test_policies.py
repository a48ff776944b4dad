"""The roles can do what the code does, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.template.test_transform import of_type, plain

ROOT = Path(__file__).resolve().parents[2]
NO_NARROWER = {
    "secretsmanager:ListSecrets",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
}
"""Actions for which AWS takes no resource but `*`."""


def statements(resources: dict[str, Any], role: str) -> Iterator[dict[str, Any]]:
    for policy in plain(resources[role]["Properties"]["Policies"]):
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            yield statement


def actions(statement: dict[str, Any]) -> set[str]:
    found = statement["Action"]
    return {found} if isinstance(found, str) else set(found)


@pytest.mark.parametrize("role", ["ProxyRole", "AdminRole", "RealtimeRole", "RealtimeGatewayRole"])
def test_all_resources_are_meant_only_where_aws_knows_no_narrower(
    resources: dict[str, Any], role: str
):
    for statement in statements(resources, role):
        assert not any("*" in action for action in actions(statement))
        if statement["Resource"] == "*":
            assert actions(statement) <= NO_NARROWER
        else:
            assert '"*"' not in str(statement["Resource"])


def test_every_function_has_a_role_of_its_own_and_no_managed_policies(resources: dict[str, Any]):
    roles = of_type(resources, "AWS::IAM::Role")
    assert set(roles) == {"ProxyRole", "AdminRole", "RealtimeRole", "RealtimeGatewayRole"}
    assert not any("ManagedPolicyArns" in role for role in roles.values())
    for name in ("Proxy", "Admin"):
        function = resources[f"{name}Function"]["Properties"]
        assert function["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    for name in ("RealtimeConnect", "RealtimeSession"):
        function = resources[f"{name}Function"]["Properties"]
        assert function["Role"] == {"Fn::GetAtt": ["RealtimeRole", "Arn"]}


def test_the_proxy_reads_secrets_and_writes_none(resources: dict[str, Any]):
    found = {
        action
        for statement in statements(resources, "ProxyRole")
        for action in actions(statement)
        if action.startswith("secretsmanager:")
    }
    assert found == {"secretsmanager:GetSecretValue"}


def test_secrets_are_those_of_this_stack_s_organisations(resources: dict[str, Any]):
    for role in ("ProxyRole", "AdminRole", "RealtimeRole"):
        for statement in statements(resources, role):
            if "secretsmanager:GetSecretValue" in actions(statement):
                template, names = statement["Resource"]["Fn::Sub"]
                assert template.endswith(":secret:${Prefix}/org/*")
                assert names["Prefix"] == {"Ref": "AWS::StackName"}


def test_the_proxy_cannot_read_the_table_through(resources: dict[str, Any]):
    found = {a for s in statements(resources, "ProxyRole") for a in actions(s)}
    assert "dynamodb:Scan" not in found


OPERATIONS = {
    "infra/dynamodb.py": "dynamodb",
    "infra/secrets.py": "secretsmanager",
}


@pytest.mark.parametrize("file", OPERATIONS)
def test_what_the_stores_ask_for_is_allowed(resources: dict[str, Any], file: str):
    """Of the admin's role all; it does everything but count."""
    text = (ROOT / file).read_text()
    asked = {
        f"{OPERATIONS[file]}:{name}"
        for name in re.findall(r'_(?:call|do|pages)\(\s*"([A-Z][A-Za-z]+)"', text)
    }
    assert len(asked) > 4
    allowed = {
        a
        for role in ("ProxyRole", "AdminRole")
        for s in statements(resources, role)
        for a in actions(s)
    }
    assert asked <= allowed
    admin = {a for s in statements(resources, "AdminRole") for a in actions(s)}
    assert asked - admin <= {"dynamodb:UpdateItem"}


def test_bedrock_and_other_roles_are_off_unless_asked_for(resources: dict[str, Any]):
    for policy in resources["ProxyRole"]["Properties"]["Policies"]:
        if any(word in str(policy) for word in ("bedrock:", "sts:AssumeRole")):
            assert policy["Fn::If"][0] in ("HasBedrock", "HasAssumableRoles")
