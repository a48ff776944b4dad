"""A body becomes what an endpoint takes; the very same body where nothing has to change."""

import msgspec
import pytest

from core import adapt as adapting
from core import envelope
from core.adapt import adapt
from core.envelope import renamed
from core.errors import BadRequestError
from providers.catalog import PROVIDERS
from tests.providers.test_addresses import AZ, asked, candidate


def adapted(kind, model, body, **metadata):
    said = msgspec.json.encode(body)
    fields = envelope.split(said)
    found = candidate(kind, model, metadata)
    return fields, adapt(fields, said, found, "openai_chat", betas=None)


def test_what_needs_no_change_is_the_object_that_came():
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "my reasoning"}], "x": 1}
    fields, found = adapted("openai", "gpt-4o", body)
    assert found.fields is fields


def test_fields_of_messages_that_a_provider_refuses_are_left_out():
    messages = [{"role": "assistant", "content": "a", "reasoning": [{"id": "s"}]}]
    _, found = adapted("openai", "gpt-4o", {"messages": messages})
    assert msgspec.json.decode(found.fields["messages"]) == [{"role": "assistant", "content": "a"}]
    _, found = adapted("openrouter", "gpt-4o", {"messages": messages})
    assert msgspec.json.decode(found.fields["messages"]) == messages


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({"a": 1}, {"b": 1}),
        ({"a": 1, "b": 2}, {"b": 2}),
        ({"a": 1, "b": None}, {"b": 1}),
        ({"b": None, "a": 1}, {"b": 1}),
        ({"b": None}, {"b": None}),
        ({"a": 1, "c": 3}, {"b": 1}),
    ],
)
def test_a_renamed_field_gives_way_to_one_that_says_something_under_the_new_name(body, sent):
    fields = envelope.split(msgspec.json.encode(body))
    assert msgspec.json.decode(envelope.join(renamed(fields, {"a": "b"}, frozenset("c")))) == sent


def test_a_prompt_of_the_settings_reaches_the_provider_in_both_lanes():
    for client in ("openai_chat", "anthropic"):
        made = asked("openai", "gpt-4o", {"overrideSystemPrompt": "CTX"}, client=client)
        first = msgspec.json.decode(made.outgoing.body)["messages"][0]
        assert first == {"role": "system", "content": "CTX"}
        assert made.dropped == ()


def test_what_a_prompt_cannot_be_put_before_is_the_clients_fault():
    with pytest.raises(BadRequestError):
        asked("anthropic", "claude-x", {"overrideSystemPrompt": "C"}, client="anthropic", system=5)


def test_what_is_dropped_on_the_way_is_named_as_the_client_knows_it():
    made = asked("azure", "gpt-4o", AZ, client="anthropic", tool_choice=None)
    assert made.dropped == ()
    made = asked("groq", "x", {}, logit_bias={"1": 2})
    assert made.dropped == ("logit_bias",)


def test_a_format_that_only_mentions_a_schema_is_left_alone():
    given = {"type": "text", "note": "json_schema"}
    fields, found = adapted("together", "x", {"messages": [], "response_format": given})
    assert found.fields["response_format"] is fields["response_format"]
    assert found.tool_as_text is None


@pytest.mark.parametrize("given", [5, {"type": "json_schema", "json_schema": 5}])
def test_a_schema_that_is_none_is_the_clients_fault(given):
    with pytest.raises(BadRequestError):
        adapted("together", "x", {"messages": [], "response_format": [given, "json_schema"]})


def test_a_message_without_a_role_is_left_to_the_provider():
    _, found = adapted("openai", "o1-mini", {"messages": [{"content": "a"}]})
    assert msgspec.json.decode(found.fields["messages"]) == [{"content": "a"}]


def test_the_developer_is_the_system_where_only_openai_knows_the_role():
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": '"developer"', "n": 1.50},
    ]
    for lane in ("openai_chat", "openai_responses"):
        name = "messages" if lane == "openai_chat" else "input"
        made = asked("groq", "x", {"dialects": [lane]}, client=lane, **{name: messages})
        first, second = msgspec.json.decode(made.outgoing.body)[name]
        assert (first["role"], second) == ("system", messages[1])
    translated = asked(
        "deepseek",
        "deepseek-chat",
        {"dialects": ["openai_chat"]},
        client="openai_responses",
        input=messages[:1],
    )
    assert b'"role":"system"' in translated.outgoing.body
    for knows in ("openai", "openrouter", "cerebras"):
        fields, found = adapted(knows, "x", {"model": "x", "messages": messages})
        assert found.fields["messages"] is fields["messages"]


def test_messages_are_not_touched_where_nobody_speaks_as_developer():
    fields, found = adapted("groq", "x", {"messages": [{"role": "user", "content": "developer"}]})
    assert found.fields["messages"] is fields["messages"]


_WORDS = ("temperature", "max_tokens", "max_completion_tokens", "stream_options", "store", "seed")
_BODIES = [
    {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    *({"messages": [{"role": "user", "content": "hi"}], word: 1} for word in _WORDS),
    {"messages": [{"role": "developer", "content": "hi"}]},
    {"messages": [{"role": "assistant", "content": "hi", "reasoning": "so"}]},
    {"messages": [], "reasoning_effort": "minimal", "response_format": {"type": "json_schema"}},
]


@pytest.mark.parametrize("kind", sorted(n for n, row in PROVIDERS.items() if not row.in_client))
@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5.1", "o1-mini", "claude-sonnet-4-5"])
def test_what_is_not_looked_into_would_not_have_been_changed(kind: str, model: str):
    found = candidate(kind, model, {"api_base": "https://a.test/v1"})
    for dialect in found.spoken:
        for body in _BODIES:
            said = msgspec.json.encode(body)
            fields = envelope.split(said)
            shortly = adapt(fields, said, found, dialect, betas="b-1")
            assert shortly == adapting.adapted(fields, found, dialect, betas="b-1")
