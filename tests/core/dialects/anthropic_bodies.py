"""Neutral requests as Anthropic's bodies, in few words."""

from typing import Any

from core.dialects import anthropic
from core.neutral import Facts, Rendered, Request, Tool
from tests.core.dialects.wire import raw, rendered, request

CACHED = raw('{"type":"ephemeral"}')
F = Tool(name="f", schema=raw('{"type":"object"}'))


def render(given: Request, facts: Facts | None = None) -> Rendered:
    return anthropic.render_request(given, facts or Facts())


def fields(facts: Facts | None = None, **given: Any) -> dict[str, Any]:
    """What the request holds beside its model and messages."""
    body = rendered(anthropic.render_request, request(**given), facts)
    return {name: value for name, value in body.items() if name not in ("model", "messages")}
