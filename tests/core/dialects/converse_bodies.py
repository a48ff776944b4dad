"""Neutral requests as Bedrock's bodies, in few words."""

from typing import Any

import msgspec
from msgspec import Raw

from core.dialects import converse
from core.neutral import Facts, Message, Part, Rendered, Request, Text, Tool, ToolCall, ToolResult

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "us.amazon.nova-pro-v1:0"
LLAMA = "us.meta.llama4-maverick-17b-instruct-v1:0"
OWN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2"
HI = (Message("user", (Text("hi"),)),)
WEATHER = Tool(name="weather", description="d", schema=Raw(b'{"type":"object"}'))
CLOCK = Tool(name="clock")
CALLED = (
    *HI,
    Message("assistant", (ToolCall(id="t1", name="weather", arguments='{"q":1.50}'),)),
    Message("user", (ToolResult(call_id="t1", parts=(Text("sun"),)),)),
)


def rendered(facts: Facts | None = None, **fields: Any) -> tuple[dict[str, Any], Rendered]:
    request = Request(**{"model": CLAUDE, "messages": HI, **fields})
    out = converse.render_request(request, facts or Facts())
    return msgspec.json.decode(out.body), out


def body(facts: Facts | None = None, **fields: Any) -> dict[str, Any]:
    return rendered(facts, **fields)[0]


def dropped(facts: Facts | None = None, **fields: Any) -> tuple[str, ...]:
    return rendered(facts, **fields)[1].dropped


def turns(*messages: Message, model: str = CLAUDE) -> list[dict[str, Any]]:
    given: list[dict[str, Any]] = body(model=model, messages=messages)["messages"]
    return given


def content(*parts: Part, model: str = CLAUDE) -> list[dict[str, Any]]:
    (turn,) = turns(Message("user", parts), model=model)
    blocks: list[dict[str, Any]] = turn["content"]
    return blocks
