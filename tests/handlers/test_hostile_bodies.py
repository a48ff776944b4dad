"""Bodies that nobody sends by intention: each gets an answer or a clear refusal, never a 500."""

import copy
import random
from typing import Any

import msgspec
import pytest

from core.ports import Incoming, Outgoing
from tests.asgi_driver import ask
from tests.fakes import KEY, Reply, anthropic_endpoint, application, openai_endpoint, org
from tests.handlers.caches import COMPLETION, MESSAGE

AUTH = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
SAID = [{"role": "user", "content": "x"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": SAID},
    "/v1/responses": {"input": "x"},
    "/v1/messages": {"max_tokens": 5, "messages": SAID},
    "/v1beta/models/{model}:generateContent": {"contents": [{"parts": [{"text": "x"}]}]},
    "/model/{model}/converse": {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
    "/v1/embeddings": {"model": "text-embedding-3-small", "input": "x"},
    "/v1/completions": {"model": "gpt-3.5-turbo-instruct", "prompt": "x"},
    "/v1/moderations": {"input": "x"},
    "/v1/explain": {"route": "/v1/chat/completions", "messages": SAID},
    "/v1/messages/count_tokens": {"messages": SAID},
    "/v1/credentials": {"ttl_seconds": 60},
    "/v1/realtime/client_secrets": {"session": {"type": "realtime", "model": "gpt-realtime"}},
}
FIELDS = [
    *("stream", "tools", "tool_choice", "temperature", "response_format", "stop", "n", "system"),
    *("thinking", "metadata", "max_tokens", "generationConfig", "toolConfig", "inferenceConfig"),
    *("reasoning", "text", "input", "messages", "contents", "model"),
]
STRANGE: list[Any] = [
    *(None, True, -1, 1e308, 2**63, "\0", "é" * 9, "x" * 5000, "-0", 0.1),
    *([], {}, [[]], [None], {"type": None}, {"type": "x"}, [{"type": "text"}], [{"role": None}]),
    *({"a": {"b": [1, {"c": None}]}}, [{"role": "user", "content": None}], [1, 2, 3]),
    [{"role": "tool", "content": [{"type": "tool_result"}]}],
]
RAW = [
    *(b"", b"{", b"null", b'"x"', b"1e999", b"[" * 100_000, b'{"a":' * 50_000, b"\xef\xbb\xbf{}"),
    b'{"model":"\xff"}',
    b'{"model":"gpt-4o","model":"x","messages":[]}',
    b'{"model":"gpt-4o","messages":[{"role":"user","content":"\\ud800"}]}',
    b'{"model":"gpt-4o","max_tokens":1e999,"messages":[{"role":"user","content":"x"}]}',
]


class Upstream:
    """Answers everything, in the format of whom it is asked for."""

    def send(self, request: Outgoing) -> "Upstream":
        self._body = MESSAGE if "anthropic" in request.url else COMPLETION
        return self

    async def __aenter__(self) -> Incoming:
        return Reply(self._body)

    async def __aexit__(self, *_: object) -> None:
        return None

    async def close(self) -> None:
        return None


def spoiled(body: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    body = copy.deepcopy(body)
    for _ in range(draw.randint(1, 3)):
        node: Any = body
        while True:
            known = list(node) if isinstance(node, dict) else range(len(node))
            place = draw.choice([*known, *(FIELDS if isinstance(node, dict) else [])])
            inner = node.get(place) if isinstance(node, dict) else node[place]
            if isinstance(inner, dict | list) and inner and draw.random() < 0.6:
                node = inner
                continue
            node[place] = copy.deepcopy(draw.choice(STRANGE))
            break
    return body


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5"])
@pytest.mark.parametrize("path", BODIES)
async def test_no_body_is_a_failure_of_ours(path: str, model: str):
    endpoints = [openai_endpoint(), anthropic_endpoint()]
    upstream: Any = Upstream()
    app, log = application(upstream, org(endpoints=endpoints), fresh_id=lambda: "req_1")
    draw = random.Random(f"{path} {model}")  # noqa: S311
    body = {"model": model, **BODIES[path]}
    cases = [msgspec.json.encode(spoiled(body, draw)) for _ in range(150)]
    for case in [*cases, *RAW]:
        answer = await ask(app, path.replace("{model}", model), case, headers=AUTH)
        assert answer.status != 500, case[:500]
        assert answer.finished
    assert "failed_inside" not in {event for _, event, _ in log.lines}
