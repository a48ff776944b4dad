"""What the reference proxy sends upstream, ours sends too; where it is wrong, ours is right.

The cases are recorded, so they are not part of the repository (see tests/corpus.py).
"""

from functools import cache
from typing import Any, Final

import msgspec
import pytest
from msgspec import Struct

from core import eventstream
from tests import corpus
from tests.in_process import Answer, app, ask
from tests.stand_ins import JSON, KEY, FakeUpstream, Reply

pytestmark = pytest.mark.corpus

BEDROCK: Final = "https://bedrock.test"

MATCH: Final = (
    "core-09-auto-chat",
    "core-11-custom-model-headers",
    "core-12-endpoint-name-filter",
    "core-14-null-secret-uses-headers",
    "core-15-model-override-system-prompt",
    "lb-01-400-returned-verbatim",
    "lb-08-models-allow-list",
    "oai-01-azure-named-deployment",
    "oai-03-databricks-oauth",
    "oai-05-baseten-api-key-format",
    "oai-06-openai-organization",
    "oai-07-o1-mini",
    "oai-08-o3-mini",
    "oai-13-responses-endpoint-drops-seed",
    "oai-14-managed-json-schema",
    "oai-16-fake-stream",
    "oai-18-embeddings",
    "ant-19-oauth-bearer",
    "ant-21-vertex",
    "bed-01-converse",
    "bed-06-anthropic-on-bedrock",
)
OURS_ALONE: Final = frozenset({"accept-encoding", "user-agent", "x-amz-date"})
THEIRS_ALONE: Final = frozenset({"accept", "host"})
NOT_SENT: Final = {
    # The key goes in one header, the one that Azure asks for.
    "oai-01-azure-named-deployment": frozenset({"authorization"}),
}


class Sent(Struct):
    url: str
    method: str
    body: Any = None
    headers: dict[str, str] = {}
    auth: str | None = None


class Case(Struct):
    id: str
    given: dict[str, Any] = {}
    reference_observed: Any = None
    target: Any = None
    steps: list[dict[str, Any]] = []
    """Of a scenario, which is more than one exchange."""


class Cases(Struct):
    cases: list[Case]


@cache
def cases() -> dict[str, Case]:
    text = (corpus.require().parent / "reference" / "cases.json").read_bytes()
    decoded = msgspec.json.decode(text.replace(b"{bedrock_endpoint}", BEDROCK.encode()), type=Cases)
    return {case.id: case for case in decoded.cases}


def reply(recorded: dict[str, Any]) -> Reply:
    body = recorded.get("body")
    return Reply(
        status=recorded.get("status", 200),
        headers=recorded.get("headers") or {"content-type": JSON},
        body=body.encode() if isinstance(body, str) else msgspec.json.encode(body),
    )


async def play(case: Case, *replies: Reply) -> tuple[FakeUpstream, Answer]:
    upstream = FakeUpstream(*(replies or map(reply, case.given["upstream_replies"])))
    asked = case.given["request"]
    caller = {"authorization", "x-api-key"}
    headers = {name: KEY if name in caller else value for name, value in asked["headers"].items()}
    if "x-api-key" not in headers or "authorization" in headers:
        headers["authorization"] = f"Bearer {KEY}"
    answer = await ask(
        app(upstream, case.given["secrets"]),
        asked["path"],
        asked["body"],
        method=asked["method"],
        headers=headers,
    )
    return upstream, answer


@pytest.mark.parametrize("name", MATCH)
async def test_the_upstream_request_is_the_recorded_one(name):
    case = cases()[name]
    upstream, answer = await play(case)
    expected = msgspec.convert(case.reference_observed["upstream_requests"], list[Sent])
    assert [(s.method, s.url) for s in upstream.sent] == [(e.method, e.url) for e in expected]
    for sent, wanted in zip(upstream.sent, expected, strict=True):
        form = isinstance(wanted.body, str)
        assert (sent.body.decode() if form else msgspec.json.decode(sent.body)) == wanted.body
        if wanted.auth is not None:
            assert sent.headers["authorization"].startswith(wanted.auth)
            continue
        headers = {n: v for n, v in sent.headers.items() if n not in OURS_ALONE}
        left_out = THEIRS_ALONE | NOT_SENT.get(name, frozenset())
        assert headers == {n: v for n, v in wanted.headers.items() if n not in left_out}
    assert answer.status == case.reference_observed["response"]["status"]


async def test_what_a_400_says_is_returned_verbatim():
    case = cases()["lb-01-400-returned-verbatim"]
    _, answer = await play(case)
    assert answer.json == case.given["upstream_replies"][0]["body"]


async def test_a_callers_key_and_cookies_go_nowhere():
    case = cases()["core-03-x-api-key-auth"]
    upstream, answer = await play(case)
    assert answer.status == 200
    assert {"x-api-key", "cookie", "x-forwarded-for"}.isdisjoint(upstream.sent[0].headers)


@pytest.mark.parametrize(
    "name",
    ["core-04-method-not-allowed", "core-08-org-conflict", "core-13-endpoint-name-unknown"],
)
async def test_a_refusal_keeps_its_status_and_is_an_openai_error(name):
    case = cases()[name]
    upstream, answer = await play(case)
    assert answer.status == case.target["status"]
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert upstream.sent == []


async def test_a_client_secret_of_entra_is_exchanged_and_never_sent_to_the_endpoint():
    case = cases()["oai-02-azure-entra"]
    upstream, answer = await play(case)
    login, sent = upstream.sent
    recorded = case.reference_observed["upstream_requests"]
    assert (login.url, login.body.decode()) == (recorded[0]["url"], recorded[0]["body"])
    assert sent.headers["authorization"] == "Bearer entra-token"
    assert "api-key" not in sent.headers
    assert answer.status == 200


async def test_a_model_of_the_responses_api_keeps_its_limit_and_the_call_ids():
    case = cases()["oai-12-responses-routing"]
    upstream, answer = await play(case)
    body = msgspec.json.decode(upstream.sent[0].body)
    assert upstream.sent[0].url == "https://api.openai.com/v1/responses"
    assert body["max_output_tokens"] == case.target["upstream_body_includes"]["max_output_tokens"]
    assert b'"pre"' in upstream.sent[0].body
    call = answer.json["choices"][0]["message"]["tool_calls"][0]
    assert call["id"] == case.target["response_tool_call_id"]


async def test_thinking_in_a_list_of_content_is_told_and_a_cut_stream_is_no_whole_one():
    upstream, answer = await play(cases()["oai-17-mistral-thinking-stream"])
    assert upstream.sent[0].url == "https://api.mistral.ai/v1/chat/completions"
    assert b'"ans"' in answer.body
    assert b'"th"' in answer.body
    assert b'"error"' in answer.body
    assert b"[DONE]" not in answer.body.partition(b'"error"')[0]


async def test_a_stream_of_converse_arrives_as_server_sent_events():
    events = [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "He"}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        (
            "contentBlockStart",
            {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "lookup"}}},
        ),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"q":1}'}}}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        ("messageStop", {"stopReason": "tool_use"}),
        ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}}),
    ]
    stream = b"".join(eventstream.render(msgspec.json.encode(b), n) for n, b in events)
    case = cases()["bed-04-converse-stream"]
    binary = {"content-type": "application/vnd.amazon.eventstream"}
    upstream, answer = await play(case, Reply(headers=binary, body=stream))
    recorded = case.reference_observed["upstream_requests"][0]
    assert upstream.sent[0].url == recorded["url"]
    assert msgspec.json.decode(upstream.sent[0].body)["messages"] == recorded["body"]["messages"]
    assert answer.headers["content-type"].startswith(case.target["content_type"])
    assert b'"He"' in answer.body
    assert b'"id":"t1"' in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_an_error_of_bedrock_keeps_its_status():
    case = cases()["bed-05-converse-validation-error"]
    _, answer = await play(case)
    assert answer.status == case.target["status"]
    assert answer.json["error"]["message"] == "bad input"
