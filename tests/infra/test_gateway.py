"""Calls to API Gateway's connections and to Lambda: what is sent, and what an answer means."""

from typing import Any

import pytest

from core.errors import UpstreamError
from core.ports import ConnectionGoneError, StoreError
from infra.gateway import AwsRest, GatewayConnections, LambdaInvoke
from tests.fakes import FakeUpstream, Reply
from tests.stand_ins import NOW, Clock, FakeAws

botocore = pytest.importorskip("botocore", reason="botocore is part of the extra `dev`")
URL = "https://abc123.execute-api.eu-west-1.amazonaws.com/realtime"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:cutwater-Session-X:live"
CONNECTION = "L0SM9cOFvHcCIhw="


def rest(service: str, base: str, *replies: Any) -> tuple[AwsRest, FakeUpstream]:
    upstream = FakeUpstream(*replies)
    return AwsRest(service, base, upstream, FakeAws(), Clock()), upstream


async def test_a_post_is_signed_as_botocore_signs_it():
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    caller, upstream = rest("execute-api", URL, Reply(b""))
    await GatewayConnections(caller).post(CONNECTION, '{"type":"é"}')
    (sent,) = upstream.sent
    assert sent.url == f"{URL}/@connections/L0SM9cOFvHcCIhw%3D"
    assert sent.body == '{"type":"é"}'.encode()
    keys = await FakeAws().keys()
    request = AWSRequest("POST", sent.url, {"content-type": "application/json"}, sent.body)
    request.context["timestamp"] = sent.headers["x-amz-date"]
    auth = SigV4Auth(
        Credentials(keys.access_key, keys.secret_key, keys.session_token),
        "execute-api",
        FakeAws().region or "",
    )
    request.headers["x-amz-date"] = sent.headers["x-amz-date"]
    if keys.session_token:
        request.headers["x-amz-security-token"] = keys.session_token
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    assert sent.headers["authorization"].endswith(f"Signature={signature}")
    assert NOW


async def test_who_is_gone_is_told_apart_from_trouble():
    caller, _ = rest("execute-api", URL, *(Reply(b"{}", status=s) for s in (410, 410, 429, 500)))
    connections = GatewayConnections(caller)
    with pytest.raises(ConnectionGoneError):
        await connections.post(CONNECTION, "{}")
    with pytest.raises(ConnectionGoneError):
        await connections.close(CONNECTION)
    for _ in range(2):
        with pytest.raises(StoreError, match="status"):
            await connections.post(CONNECTION, "{}")


async def test_a_call_without_an_answer_is_trouble_and_quotes_nothing():
    caller, _ = rest("execute-api", URL, UpstreamError("secret words"))
    with pytest.raises(StoreError) as failed:
        await GatewayConnections(caller).post(CONNECTION, "sentinel")
    assert "secret" not in str(failed.value)
    assert "sentinel" not in str(failed.value)


async def test_keys_that_expired_are_replaced_once():
    expired = Reply(
        b'{"message":"The security token included in the request is expired"}', status=403
    )
    caller, upstream = rest("execute-api", URL, expired, Reply(b""))
    await GatewayConnections(caller).close(CONNECTION)
    assert [one.method for one in upstream.sent] == ["DELETE", "DELETE"]


async def test_a_process_is_started_and_not_waited_for():
    base = "https://lambda.eu-west-1.amazonaws.com"
    caller, upstream = rest("lambda", base, Reply(b"", status=202), Reply(b"{}", status=429))
    invoke = LambdaInvoke(caller, FUNCTION)
    await invoke(b'{"connection":"x"}')
    (sent,) = upstream.sent
    assert sent.headers["x-amz-invocation-type"] == "Event"
    assert sent.url.endswith(f"/2015-03-31/functions/{FUNCTION}/invocations")
    assert sent.body == b'{"connection":"x"}'
    with pytest.raises(StoreError, match="429"):
        await invoke(b"{}")
