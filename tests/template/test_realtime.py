"""The WebSocket API: what API Gateway writes is what the session reads, and nobody may do more."""

import re
from base64 import b64encode
from typing import Any

import msgspec
import pytest

from core.ports import SocketClosed
from core.relay import mailbox
from tests.template.test_policies import actions, statements
from tests.template.test_transform import of_type

AT = 1_763_900_000_123
FRAME = '{"type":"x","é":"\\"\\n"}'


def written(resources: dict[str, Any], integration: str, **context: str) -> dict[str, Any]:
    """What the template of an integration makes of a frame: its few commands, by hand."""
    templates = resources[integration]["Properties"]["RequestTemplates"]
    text: str = templates["$default"]["Fn::Sub"]
    *commands, body = re.split(r"\n(?=\{)", text, maxsplit=1)
    assert commands == [
        "#set($at = $context.requestTimeEpoch)\n"
        "#set($seconds = $util.parseJson($at.toString().substring(0, 10)))\n"
        "#set($expires = $seconds + 10800)"
    ]
    assert not re.search(r"#[a-z{\[]", body), "It would be taken for a command."
    body = body.replace("${Mailbox}", "mailbox").replace("$expires", str(AT // 1000 + 10800))
    body = re.sub(r"\$at\b", str(AT), body)
    body = body.replace("$util.base64Encode($input.body)", b64encode(FRAME.encode()).decode())
    reason = b64encode(context.get("disconnectReason", "").encode()).decode()
    body = body.replace("$util.base64Encode($context.disconnectReason)", reason)
    body = re.sub(r"\$context\.(\w+)", lambda found: context[found[1]], body)
    assert "$" not in body
    item: dict[str, Any] = msgspec.json.decode(body)["Item"]
    return item


def as_item(row: Any) -> dict[str, Any]:
    return {
        "pk": {"S": row.pk},
        "sk": {"S": row.sk},
        "data": {"B": b64encode(row.data).decode()},
        "expires_at": {"N": str(row.expires_at)},
    }


def test_a_frame_is_written_as_the_session_reads_it(resources: dict[str, Any]):
    item = written(resources, "RealtimeMessageIntegration", connectionId="L0SM9=", messageId="a/b=")
    row = mailbox.frame_row("L0SM9=", AT, "a/b=", FRAME)
    assert item == as_item(row)
    assert mailbox.read([row])[0][0].text == FRAME


def test_that_a_client_left_is_written_with_code_and_reason(resources: dict[str, Any]):
    item = written(
        resources,
        "RealtimeLeftIntegration",
        connectionId="L0SM9=",
        requestId="r=",
        disconnectStatusCode="1001",
        disconnectReason='Going "away"',
    )
    row = mailbox.left_row("L0SM9=", AT, "r=", 1001, 'Going "away"')
    assert item == as_item(row)
    assert mailbox.read([row])[1] == SocketClosed(1001, 'Going "away"')


def test_the_gateway_may_write_frames_and_nothing_else(resources: dict[str, Any]):
    [statement] = statements(resources, "RealtimeGatewayRole")
    assert actions(statement) == {"dynamodb:PutItem"}
    assert statement["Resource"] == {"Fn::GetAtt": ["Mailbox", "Arn"]}
    keys = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["rt#*"]}}
    assert statement["Condition"] == keys


def test_sessions_may_do_what_they_need_and_nothing_else(resources: dict[str, Any]):
    found = [(actions(s), str(s["Resource"])) for s in statements(resources, "RealtimeRole")]
    mail = next(names for names, where in found if "Mailbox" in where)
    assert mail == {"dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem"}
    posts = next(where for names, where in found if "execute-api:ManageConnections" in names)
    assert "${RealtimeApi}/realtime/*/@connections/*" in posts
    policy = resources["RealtimeInvokePolicy"]["Properties"]
    assert policy["Roles"] == [{"Ref": "RealtimeRole"}]
    [invoke] = policy["PolicyDocument"]["Statement"]
    assert invoke["Action"] == "lambda:InvokeFunction"
    assert all("Aliaslive" in str(one) for one in invoke["Resource"])


def test_a_session_is_never_started_twice_and_its_failure_is_told(resources: dict[str, Any]):
    [properties] = of_type(resources, "AWS::Lambda::EventInvokeConfig").values()
    assert properties["MaximumRetryAttempts"] == 0
    assert properties["Qualifier"] == "live"
    told = properties["DestinationConfig"]["OnFailure"]["Destination"]
    assert told == {"Ref": "RealtimeConnectFunctionAliaslive"}
    assert resources["RealtimeStarts"]["DependsOn"] == "RealtimeInvokePolicy"
    assert resources["RealtimeSessionFunction"]["Properties"]["Timeout"] == 900


def test_the_address_is_the_one_that_sdks_ask_for(source: dict[str, Any]):
    stage = source["Resources"]["RealtimeStage"]["Properties"]
    assert stage["StageName"] == "realtime"
    url = source["Outputs"]["RealtimeUrl"]["Value"]["Fn::Sub"]
    assert url.startswith("wss://${RealtimeApi}.execute-api.")
    assert url.endswith("/realtime")


@pytest.mark.parametrize("route", ["RealtimeMessageRoute", "RealtimeLeftRoute"])
def test_frames_come_by_the_gateway_or_by_a_function(resources: dict[str, Any], route: str):
    choice = resources[route]["Properties"]["Target"]["Fn::Sub"][1]["Integration"]["Fn::If"]
    assert choice[0] == "HasMailboxIntegration"
    assert choice[2] == {"Ref": "RealtimeConnectIntegration"}


def test_all_of_it_can_be_left_out(resources: dict[str, Any]):
    for name, found in resources.items():
        if name.startswith("Realtime"):
            assert found["Condition"] in ("HasRealtime", "HasMailboxIntegration"), name


def test_the_websocket_api_comes_after_all_that_sam_reads(source: dict[str, Any]):
    kinds = [one["Type"] for one in source["Resources"].values()]
    last = max(i for i, kind in enumerate(kinds) if kind.startswith("AWS::Serverless::"))
    first = min(i for i, kind in enumerate(kinds) if kind.startswith("AWS::ApiGatewayV2::"))
    assert last < first
