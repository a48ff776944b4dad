"""The system prompt of the settings comes before the client's own, in every dialect."""

import msgspec
import pytest

from core import envelope
from core.prompts import put_first


@pytest.mark.parametrize(
    ("dialect", "body", "field", "value"),
    [
        (
            "openai_chat",
            {"messages": [{"role": "system", "content": "S", "name": "n"}]},
            "messages",
            [{"role": "system", "content": "CTX\n\nS", "name": "n"}],
        ),
        (
            "openai_chat",
            {"messages": [{"role": "developer", "content": [{"type": "text", "text": "S"}]}]},
            "messages",
            [
                {
                    "role": "developer",
                    "content": [{"type": "text", "text": "CTX"}, {"type": "text", "text": "S"}],
                }
            ],
        ),
        (
            "openai_chat",
            {"messages": [{"role": "user", "content": "hi"}]},
            "messages",
            [{"role": "system", "content": "CTX"}, {"role": "user", "content": "hi"}],
        ),
        ("openai_chat", {}, "messages", [{"role": "system", "content": "CTX"}]),
        ("openai_responses", {"instructions": "S"}, "instructions", "CTX\n\nS"),
        ("openai_responses", {"instructions": None}, "instructions", "CTX"),
        ("anthropic", {"system": "S"}, "system", "CTX\n\nS"),
        (
            "anthropic",
            {"system": [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}]},
            "system",
            [
                {"type": "text", "text": "CTX"},
                {"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}},
            ],
        ),
        ("anthropic", {}, "system", "CTX"),
        ("gemini", {}, "systemInstruction", {"parts": [{"text": "CTX"}]}),
        (
            "gemini",
            {"system_instruction": {"parts": [{"text": "S"}]}},
            "system_instruction",
            {"parts": [{"text": "CTX"}, {"text": "S"}]},
        ),
        (
            "gemini",
            {"systemInstruction": {"parts": {"text": "S"}}},
            "systemInstruction",
            {"parts": [{"text": "CTX"}, {"text": "S"}]},
        ),
        ("converse", {"system": [{"text": "S"}]}, "system", [{"text": "CTX"}, {"text": "S"}]),
        ("converse", {}, "system", [{"text": "CTX"}]),
    ],
)
def test_the_prompt_joins_what_the_client_says(dialect, body, field, value):
    fields = envelope.split(msgspec.json.encode(body))
    assert msgspec.json.decode(put_first(fields, dialect, "CTX")[field]) == value
