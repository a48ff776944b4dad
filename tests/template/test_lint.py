"""SAM and CloudFormation take the template as it is."""

from pathlib import Path

from tests.template.conftest import TEMPLATE, asked, in_sam

WEBSOCKET = """
  Late:
    Type: AWS::ApiGatewayV2::Api
    Properties: {Name: late, ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.type}

Outputs:"""


def test_sam_validates_the_template():
    done = in_sam("sam", "validate", "--lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_cloudformation_s_linter_finds_nothing():
    done = in_sam("cfn-lint", "--regions", "eu-west-1", "us-east-1", "--", str(TEMPLATE))
    assert done.returncode == 0, done.stdout + done.stderr


ROUTES = [
    ["/", ["GET"], "ProxyFunction"],
    ["/admin/{proxy+}", ["DELETE", "GET", "POST", "PUT"], "AdminFunction"],
    ["/{proxy+}", ["DELETE", "GET", "OPTIONS", "POST"], "ProxyFunction"],
]


def test_sam_local_finds_every_route():
    assert sorted(asked("routes")) == ROUTES


def test_an_api_of_another_kind_does_not_hide_them_if_it_comes_after(tmp_path: Path):
    """`sam local` picks its parser by the first resource that is an API."""
    text = TEMPLATE.read_text()
    after = tmp_path / "after.yaml"
    after.write_text(text.replace("\nOutputs:", WEBSOCKET, 1))
    assert sorted(asked("routes", after)) == ROUTES


def test_serverless_resources_come_before_all_other_apis():
    lines = TEMPLATE.read_text().partition("\nResources:")[2].splitlines()
    kinds = [line.split()[1] for line in lines if line.startswith("    Type: AWS::")]
    serverless = [n for n, kind in enumerate(kinds) if kind.startswith("AWS::Serverless::")]
    others = [n for n, kind in enumerate(kinds) if kind.startswith("AWS::ApiGateway")]
    assert max(serverless) < min(others)
