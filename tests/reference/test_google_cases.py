"""What the reference proxy sends to Google, and what it should have sent."""

from typing import Any

import msgspec
import pytest

from tests import corpus
from tests.in_process import app, ask
from tests.reference.test_cases import cases, play
from tests.stand_ins import KEY, FakeUpstream, Reply

pytestmark = pytest.mark.corpus


@pytest.mark.parametrize("name", ["goo-02-tool-schema", "goo-05-json-schema", "goo-06-effort"])
async def test_the_upstream_request_is_the_recorded_one(name):
    case = cases()[name]
    upstream, answer = await play(case)
    (sent,), (expected,) = upstream.sent, case.reference_observed["upstream_requests"]
    assert (sent.method, sent.url) == (expected["method"], expected["url"])
    assert msgspec.json.decode(sent.body) == expected["body"]
    assert sent.headers["x-goog-api-key"] == "g-key"
    assert "authorization" not in sent.headers
    assert answer.status == 200


async def test_two_calls_have_two_ids_and_the_reason_of_calls():
    case = cases()["goo-02-tool-schema"]
    _, answer = await play(case)
    choice = answer.json["choices"][0]
    recorded = case.reference_observed["response"]["json"]["choices"][0]
    assert choice["finish_reason"] == recorded["finish_reason"]
    calls, expected = choice["message"]["tool_calls"], recorded["message"]["tool_calls"]
    assert [call["function"] for call in calls] == [call["function"] for call in expected]
    assert len({call["id"] for call in calls}) == 2


async def test_a_function_is_answered_by_its_name():
    case = cases()["goo-03-tool-result-name"]
    upstream, _ = await play(case)
    _, called, answered = msgspec.json.decode(upstream.sent[0].body)["contents"]
    name = case.target["upstream_function_name"]
    call, response = called["parts"][0]["functionCall"], answered["parts"][0]["functionResponse"]
    assert (call["name"], call["id"]) == (name, "call_1")
    assert (response["name"], response["id"]) == (name, "call_1")
    assert response["response"] == {"output": "r1"}


async def test_the_order_of_the_conversation_is_kept():
    case = cases()["goo-04-image-order"]
    upstream, _ = await play(case)
    contents = msgspec.json.decode(upstream.sent[0].body)["contents"]
    assert [content["role"] for content in contents] == case.target["upstream_roles"]


async def test_prompt_and_completion_add_up_to_the_total():
    case = cases()["goo-06-effort"]
    _, answer = await play(case)
    usage, target = answer.json["usage"], case.target["usage"]
    usage["prompt_tokens_details"].pop("cache_creation_tokens")
    assert usage == target
    message = answer.json["choices"][0]["message"]
    assert (message["content"], message["reasoning"][0]["content"]) == ("A", "th")


# --- The second turn of a recorded loop of tools, through the application ------------------------

GOOGLE: Any = [{"type": "google", "name": "gg-1", "secret": "g-key"}]


def _signed_call() -> dict[str, Any]:
    for recording in corpus.recordings("google.generateContent"):
        body = recording.response.body
        for candidate in body.get("candidates", []):
            for part in candidate["content"].get("parts", []):
                if "functionCall" in part and "thoughtSignature" in part:
                    return {"body": body, "signature": part["thoughtSignature"]}
    raise AssertionError


async def test_a_signature_goes_to_google_and_to_nobody_else():
    recorded = _signed_call()
    google = FakeUpstream(Reply(body=msgspec.json.encode(recorded["body"])), Reply())
    openai = FakeUpstream(Reply())
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    asked: dict[str, Any] = {
        "model": "gemini-3-flash-preview",
        "messages": [{"role": "user", "content": "hi"}],
    }
    first = await ask(app(google, GOOGLE), "/v1/chat/completions", asked, headers=headers)
    said = first.json["choices"][0]["message"]
    asked["messages"] += [
        said,
        *(
            {"role": "tool", "tool_call_id": call["id"], "content": "r"}
            for call in said["tool_calls"]
        ),
    ]
    await ask(app(google, GOOGLE), "/v1/chat/completions", asked, headers=headers)
    assert recorded["signature"].encode() in google.sent[1].body
    own: Any = [{"type": "openai", "name": "o", "secret": "sk-x"}]
    elsewhere = {**asked, "model": "gpt-4o"}
    await ask(app(openai, own), "/v1/chat/completions", elsewhere, headers=headers)
    sent = msgspec.json.decode(openai.sent[0].body)["messages"]
    ids = [call["id"] for call in sent[1]["tool_calls"]]
    assert all(len(call_id) <= 40 for call_id in ids)
    assert [message["tool_call_id"] for message in sent[2:]] == ids
