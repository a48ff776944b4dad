"""What CloudFormation gets: streaming, versions with snapshots, limits, closed admin routes."""

from typing import Any

import pytest

METHODS = {"get", "post", "delete", "options"}


def of_type(resources: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: one["Properties"] for name, one in resources.items() if one["Type"] == kind}


def plain(value: Any) -> Any:
    """A value with its conditions taken as true."""
    if isinstance(value, dict) and "Fn::If" in value:
        return plain(value["Fn::If"][1])
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def methods(resources: dict[str, Any], api: str) -> dict[tuple[str, str], Any]:
    paths = plain(resources[api]["Properties"]["Body"]["paths"])
    return {(path, method): one for path, all_ in paths.items() for method, one in all_.items()}


def test_every_method_of_the_proxy_is_named_and_streams_through_the_alias(
    resources: dict[str, Any],
):
    found = methods(resources, "RestApi")
    assert {method for path, method in found if path == "/{proxy+}"} == METHODS
    for method in found.values():
        integration = method["x-amazon-apigateway-integration"]
        assert integration["responseTransferMode"] == "STREAM"
        assert integration["timeoutInMillis"] == 900_000
        uri = integration["uri"]["Fn::Sub"]
        assert "lambda:path/2021-11-15/functions/${ProxyFunctionAliaslive}" in uri
        assert uri.endswith("/response-streaming-invocations")


def test_no_method_is_any(resources: dict[str, Any]):
    for api in ("RestApi", "AdminRestApi"):
        assert "x-amazon-apigateway-any-method" not in {m for _, m in methods(resources, api)}


def test_admin_routes_want_a_signature_and_use_no_caller_s_role(resources: dict[str, Any]):
    found = methods(resources, "AdminRestApi")
    assert {path for path, _ in found} == {"/admin/{proxy+}"}
    for method in found.values():
        assert method["security"] == [{"AWS_IAM": []}]
        # InvokeRole NONE: else API Gateway would call with the caller's own rights.
        assert "credentials" not in method["x-amazon-apigateway-integration"]
    body = plain(resources["AdminRestApi"]["Properties"]["Body"])
    assert "x-amazon-apigateway-policy" not in body
    scheme = body["components"]["securitySchemes"]["AWS_IAM"]
    assert scheme["x-amazon-apigateway-authtype"] == "awsSigv4"


def test_no_admin_route_is_in_the_public_api(resources: dict[str, Any]):
    assert {path for path, _ in methods(resources, "RestApi")} == {"/", "/{proxy+}"}
    text = str(resources["RestApi"]["Properties"]["Body"])
    assert "AdminFunction" not in text


def test_functions_are_published_with_snapshots_behind_an_alias(resources: dict[str, Any]):
    functions = of_type(resources, "AWS::Lambda::Function")
    sessions = {"RealtimeConnectFunction", "RealtimeSessionFunction"}
    assert set(functions) == {"ProxyFunction", "AdminFunction", *sessions}
    for name, function in functions.items():
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == ["arm64"]
        if name in sessions:  # A snapshot is paid for while nobody is connected.
            assert function["SnapStart"] == {"ApplyOn": "None"}
            continue
        assert function["SnapStart"]["Fn::If"][:2] == [
            "HasSnapStart",
            {"ApplyOn": "PublishedVersions"},
        ]
    assert functions["ProxyFunction"]["Timeout"] == 900
    aliases = of_type(resources, "AWS::Lambda::Alias")
    assert {alias["Name"] for alias in aliases.values()} == {"live"}
    permissions = of_type(resources, "AWS::Lambda::Permission")
    assert all("Aliaslive" in str(one["FunctionName"]) for one in permissions.values())


def test_tables_are_encrypted_and_forget_what_has_expired(resources: dict[str, Any]):
    tables = of_type(resources, "AWS::DynamoDB::Table") | of_type(
        resources, "AWS::DynamoDB::GlobalTable"
    )
    assert set(tables) == {"Table", "Mailbox"}
    for table in tables.values():
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["SSESpecification"] == {"SSEEnabled": True}
        assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    for replica in tables["Table"]["Replicas"]:
        one = plain(replica)
        assert one["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert "PointInTimeRecoverySpecification" not in tables["Mailbox"]
    # What cannot be had back outlives the stack.
    assert resources["Table"]["DeletionPolicy"] == "Retain"


def test_requests_are_limited_and_logs_end(resources: dict[str, Any]):
    for stage in of_type(resources, "AWS::ApiGateway::Stage").values():
        [settings] = stage["MethodSettings"]
        assert {"ThrottlingRateLimit", "ThrottlingBurstLimit"} <= set(settings)
    groups = of_type(resources, "AWS::Logs::LogGroup")
    assert set(groups) == {"ProxyLogs", "AdminLogs", "RealtimeLogs"}
    assert all("RetentionInDays" in group for group in groups.values())
    for function in of_type(resources, "AWS::Lambda::Function").values():
        assert function["LoggingConfig"]["LogFormat"] == "JSON"
        assert function["LoggingConfig"]["LogGroup"]["Ref"] in groups


def test_what_costs_or_closes_is_a_choice(resources: dict[str, Any]):
    for name, condition in {
        "Firewall": "HasWaf",
        "FirewallOfApi": "HasWaf",
        "Domain": "HasDomain",
        "DomainRecord": "HasRecord",
        "AlarmTopic": "HasEmail",
        "SlowFirstByteAlarm": "HasAlarms",
        "Board": "HasDashboard",
    }.items():
        assert resources[name]["Condition"] == condition
    function = resources["ProxyFunction"]["Properties"]
    assert function["ReservedConcurrentExecutions"]["Fn::If"][0] == "HasReservedConcurrency"
    assert function["VpcConfig"]["Fn::If"][0] == "IsInVpc"
    assert function["TracingConfig"]["Mode"]["Fn::If"] == ["IsTraced", "Active", "PassThrough"]
    kind = resources["RestApi"]["Properties"]["EndpointConfiguration"]["Types"][0]
    assert kind["Fn::If"] == ["IsPrivate", "PRIVATE", "REGIONAL"]


@pytest.mark.parametrize(
    ("kind", "status"), [("REQUEST_TOO_LARGE", 413), ("THROTTLED", 429), ("WAF_FILTERED", 403)]
)
def test_what_the_gateway_says_by_itself_has_the_shape_that_sdks_read(
    resources: dict[str, Any], kind: str, status: int
):
    import msgspec

    found = resources["RestApi"]["Properties"]["Body"]["x-amazon-apigateway-gateway-responses"]
    assert int(found[kind]["statusCode"]) == status
    template = found[kind]["responseTemplates"]["application/json"]
    body = msgspec.json.decode(template)
    assert body["type"] == "error"
    assert {"type", "code", "param", "message"} == set(body["error"])
    assert body["request_id"] == "$context.requestId"
