"""Which lane a request takes, and the official SDK over what comes out."""

from typing import Any

import httpx2 as httpx  # What the SDK is built on.
import msgspec
import openai
import pytest

from core import plan
from core.dialects import load
from core.dialects import openai_responses as dialect
from core.errors import UpstreamError
from core.neutral import Choice, Reasoning, Reply, Text, ToolCall, Usage, View, unfold
from core.orgs import Endpoint, Metadata, Timeouts
from core.plan import Attempt
from core.routes import resolve
from core.routing import candidate
from providers.catalog import PROVIDERS
from providers.models import lookup

REPLY = Reply(
    id="msg_1",
    model="claude",
    choices=(
        Choice(
            parts=(
                Reasoning(text="hm", signature="sig"),
                Text("It is "),
                Text("sunny."),
                ToolCall(id="toolu_1", name="f", arguments='{"a":1}'),
            ),
            reason="tool_calls",
        ),
    ),
    usage=Usage(input_tokens=3, output_tokens=2),
)


def attempt(path: str, body: dict[str, Any], *, kind: str = "openai", **metadata: Any) -> Attempt:
    chat = plan.read_chat(msgspec.json.encode(body), resolve("POST", path, {}))
    endpoint = Endpoint(type=kind, secret="sk", metadata=Metadata(**metadata))
    chosen = candidate(endpoint, lookup(chat.model), PROVIDERS)
    return plan.attempt(chat, chosen, headers={}, timeouts=Timeouts())


CHAT = {"max_tokens": 50, "messages": [{"role": "user", "content": "t"}]}


@pytest.mark.parametrize(
    "model",
    ["o1-pro", "o3-pro-2025-06-10", "gpt-5-pro", "gpt-5-codex", "gpt-5.1-codex-max", "gpt-5.5"],
)
def test_a_chat_client_is_answered_by_models_that_only_speak_responses(model):
    made = attempt("/v1/chat/completions", {"model": model, **CHAT})
    assert made.outgoing.url == "https://api.openai.com/v1/responses"
    assert (made.lane, made.dropped) == ("neutral", ())
    body = msgspec.json.decode(made.outgoing.body)
    assert (body["max_output_tokens"], body["store"]) == (50, False)
    assert body["include"] == ["reasoning.encrypted_content"]


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5", "gpt-5.2", "o3", "o1"])
def test_other_models_are_asked_as_the_client_asks(model):
    made = attempt("/v1/chat/completions", {"model": model, **CHAT})
    assert (made.lane, made.dialect) == ("pass", "openai_chat")


def test_an_endpoint_that_says_what_it_speaks_is_believed():
    made = attempt("/v1/chat/completions", {"model": "gpt-5.5", **CHAT}, dialects=("openai_chat",))
    assert (made.lane, made.dialect) == ("pass", "openai_chat")


def test_responses_go_to_openai_as_they_came_but_without_a_seed():
    body = {
        "model": "gpt-4o",
        "input": "x",
        "seed": 3,
        "previous_response_id": "resp_0",
        "tools": [{"type": "web_search"}],
        "reasoning": {"effort": "low"},
        "unknown": 1,
    }
    made = attempt("/v1/responses", body)
    assert made.lane == "pass"
    assert made.outgoing.url == "https://api.openai.com/v1/responses"
    del body["seed"]
    assert msgspec.json.decode(made.outgoing.body) == body
    assert made.dropped == ("seed",)


def test_a_client_of_responses_reaches_any_provider():
    body = {"model": "claude-sonnet-4-5", "input": "Hi", "max_output_tokens": 9}
    made = attempt("/v1/responses", body, kind="anthropic")
    assert (made.lane, made.dialect) == ("neutral", "anthropic")
    sent = msgspec.json.decode(made.outgoing.body)
    assert (sent["max_tokens"], sent["messages"][0]["role"]) == (9, "user")


def test_only_fields_that_a_provider_in_chat_format_knows_are_sent_to_it():
    body = {
        "model": "llama",
        "input": "Hi",
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "text": {"verbosity": "low"},
        "user": "u",
    }
    made = attempt("/v1/responses", body, kind="perplexity")
    sent = msgspec.json.decode(made.outgoing.body)
    assert sent.keys() == {"model", "messages", "user"}
    assert set(made.dropped) == {"metadata", "service_tier", "text.verbosity"}


# --- The official SDK ---------------------------------------------------------------------------


def client(content: bytes, content_type: str) -> openai.OpenAI:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/responses"
        return httpx.Response(200, content=content, headers={"content-type": content_type})

    transport = httpx.MockTransport(answer)
    return openai.OpenAI(
        api_key="k",
        base_url="https://x.test/v1",
        max_retries=0,
        http_client=httpx.Client(transport=transport),
    )


def stream() -> bytes:
    renderer = dialect.StreamRenderer(View(stream=True))
    return b"".join(renderer.feed(delta) for delta in unfold(REPLY))


def test_the_sdk_reads_a_whole_answer():
    body = dialect.render_reply(REPLY, View())
    with client(body, "application/json") as sdk:
        response = sdk.responses.create(model="claude", input="x")
    assert response.output_text == "It is sunny."
    assert response.output[-1].to_dict()["call_id"] == "toolu_1"


def test_the_sdk_accumulates_a_stream():
    with (
        client(stream(), "text/event-stream") as sdk,
        sdk.responses.stream(model="claude", input="x") as events,
    ):
        texts = [e.delta for e in events if e.type == "response.output_text.delta"]
        response = events.get_final_response()
    assert (texts, response.output_text) == (["It is ", "sunny."], "It is sunny.")
    assert response.usage is not None
    assert response.usage.total_tokens == 5


def test_the_sdk_raises_where_a_stream_breaks():
    begun = stream().partition(b"event: response.output_text.done")[0]
    body = begun + dialect.error_event(UpstreamError("Cut."), "req_1")
    with client(body, "text/event-stream") as sdk, pytest.raises(openai.APIError, match=r"Cut\."):
        list(sdk.responses.create(model="claude", input="x", stream=True))


def test_every_other_client_sees_what_a_response_says():
    provider = dialect.parse_reply(dialect.render_reply(REPLY, View()))
    for name in ("openai_chat", "anthropic"):
        body = load(name).render_reply(provider, View())
        assert b"It is" in body
        assert b"toolu_1" in body
