"""Nothing of a request is lost in silence: every loss has a name, in the client's own words."""

from typing import Any

import msgspec
import pytest

from core import plan
from core.dialects import load, parameters
from core.errors import BadRequestError
from core.neutral import Facts, Quirks
from core.orgs import Endpoint, Metadata, Timeouts
from core.plan import Attempt
from core.routes import DialectName, Route
from core.routing import Model, Provider, candidate

DIALECTS: tuple[DialectName, ...] = (
    "openai_chat",
    "openai_responses",
    "anthropic",
    "gemini",
    "converse",
)
OPTIONAL = {
    "type": "object",
    "properties": {"a": {"type": "string", "minLength": 1, "uniqueItems": True}},
    "additionalProperties": False,
}
PNG = "data:image/png;base64,AAAA"
MARK = {"type": "ephemeral"}

RICH: dict[DialectName, dict[str, Any]] = {
    # Much of what a client of each dialect can say and others cannot.
    "openai_chat": {
        "messages": [
            {
                "role": "user",
                "name": "Ann",
                "content": [
                    {"type": "text", "text": "hi", "cache_control": MARK},
                    {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                ],
            }
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": OPTIONAL, "strict": True}}
        ],
        "temperature": 1.5,
        "stop": ["1", "2", "3", "4", "5", "6"],
        "seed": 1,
        "n": 2,
        "logit_bias": {"1": 1},
        "max_completion_tokens": 100_000,
        "store": True,
    },
    "openai_responses": {
        "input": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "name": "f", "parameters": OPTIONAL, "strict": True}],
        "temperature": 1.5,
        "max_output_tokens": 100_000,
        "text": {"verbosity": "low"},
        "service_tier": "flex",
        "truncation": "auto",
    },
    "anthropic": {
        "max_tokens": 100_000,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "hi", "cache_control": MARK},
                    {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": "a"},
                        "title": "T",
                        "context": "C",
                        "citations": {"enabled": True},
                    },
                ],
            }
        ],
        "tools": [
            {
                "name": "f",
                "input_schema": OPTIONAL,
                "strict": True,
                "input_examples": [{"a": "b"}],
                "defer_loading": True,
                "allowed_callers": ["code_execution_20250825"],
            },
            {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
        ],
        "top_k": 3,
        "stop_sequences": ["1", "2", "3", "4", "5", "6"],
        "output_config": {"effort": "high", "task_budget": {"type": "tokens", "total": 1}},
    },
    "gemini": {
        "contents": [
            {"parts": [{"text": "hi"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}
        ],
        "safetySettings": [{}],
        "generationConfig": {
            "topK": 3,
            "seed": 1,
            "candidateCount": 2,
            "presencePenalty": 0.5,
            "maxOutputTokens": 100_000,
            "stopSequences": ["1", "2", "3", "4", "5", "6"],
            "thinkingConfig": {"thinkingBudget": 1024},
        },
    },
    "converse": {
        "messages": [
            {"role": "user", "content": [{"text": "hi"}, {"cachePoint": {"type": "default"}}]}
        ],
        "inferenceConfig": {
            "maxTokens": 100_000,
            "stopSequences": ["1", "2", "3", "4", "5", "6"],
        },
        "toolConfig": {
            "tools": [
                {"toolSpec": {"name": "f", "inputSchema": {"json": OPTIONAL}, "strict": True}}
            ]
        },
        "requestMetadata": {"a": "b"},
        "additionalModelRequestFields": {"reasoning_effort": "high", "odd": 1},
    },
}
LOST: dict[tuple[DialectName, DialectName], set[str]] = {
    ("openai_chat", "openai_responses"): {
        "store",
        "cache_control",
        "messages.name",
        "tools.strict",
        "stop",
        "seed",
        "n",
        "logit_bias",
        "max_completion_tokens>9000",
    },
    ("openai_chat", "anthropic"): {
        "store",
        "messages.image.detail",
        "messages.name",
        "tools.strict",
        "temperature>1",
        "seed",
        "n",
        "logit_bias",
        "max_completion_tokens>9000",
    },
    ("openai_chat", "gemini"): {
        "store",
        "cache_control",
        "messages.image.detail",
        "messages.name",
        "tools.strict",
        "tools.uniqueItems",
        "stop>5",
        "logit_bias",
        "max_completion_tokens>9000",
    },
    ("openai_chat", "converse"): {
        "store",
        "messages.image.detail",
        "messages.name",
        "tools.strict",
        "temperature>1",
        "seed",
        "n",
        "logit_bias",
        "max_completion_tokens>9000",
    },
    ("openai_responses", "openai_chat"): {
        "truncation",
        "text.verbosity",
        "service_tier",
        "tools.strict",
        "max_output_tokens>9000",
    },
    ("openai_responses", "anthropic"): {
        "truncation",
        "text.verbosity",
        "service_tier",
        "tools.strict",
        "temperature>1",
        "max_output_tokens>9000",
    },
    ("openai_responses", "gemini"): {
        "truncation",
        "text.verbosity",
        "service_tier",
        "tools.strict",
        "tools.uniqueItems",
        "max_output_tokens>9000",
    },
    ("openai_responses", "converse"): {
        "truncation",
        "text.verbosity",
        "service_tier",
        "tools.strict",
        "temperature>1",
        "max_output_tokens>9000",
    },
}
OF_ANTHROPIC = {
    "output_config.task_budget",
    "messages.document.context",
    "messages.document.citations",
    "tools.input_examples",
    "tools.defer_loading",
    "tools.allowed_callers",
    "tools.tool_search_tool_regex_20251119",
    "tools.strict",
    "output_config.effort",
    "max_tokens>9000",
}
MARKS = {"cache_control", "messages.document.title"}
LOST |= {
    ("anthropic", "openai_chat"): OF_ANTHROPIC | MARKS | {"top_k", "stop_sequences>4"},
    ("anthropic", "openai_responses"): OF_ANTHROPIC | MARKS | {"top_k", "stop_sequences"},
    ("anthropic", "gemini"): OF_ANTHROPIC | MARKS | {"tools.uniqueItems", "stop_sequences>5"},
    ("anthropic", "converse"): OF_ANTHROPIC,
    ("gemini", "openai_chat"): {
        "safetySettings",
        "topK",
        "thinkingConfig",
        "stopSequences>4",
        "maxOutputTokens>9000",
    },
    ("gemini", "openai_responses"): {
        "safetySettings",
        "topK",
        "seed",
        "candidateCount",
        "presencePenalty",
        "thinkingConfig",
        "stopSequences",
        "maxOutputTokens>9000",
    },
    ("gemini", "anthropic"): {
        "safetySettings",
        "seed",
        "candidateCount",
        "presencePenalty",
        "thinkingConfig",
        "maxOutputTokens>9000",
    },
    ("gemini", "converse"): {
        "safetySettings",
        "seed",
        "candidateCount",
        "presencePenalty",
        "thinkingConfig",
        "maxOutputTokens>9000",
    },
}
OF_CONVERSE = {
    "requestMetadata",
    "additionalModelRequestFields.odd",
    "additionalModelRequestFields.reasoning_effort",
    "toolConfig.tools.strict",
    "maxTokens>9000",
}
LOST |= {
    ("converse", "openai_chat"): OF_CONVERSE | {"cachePoint", "stopSequences>4"},
    ("converse", "openai_responses"): OF_CONVERSE | {"cachePoint", "stopSequences"},
    ("converse", "anthropic"): OF_CONVERSE,
    ("converse", "gemini"): OF_CONVERSE
    | {"cachePoint", "stopSequences>5", "toolConfig.tools.uniqueItems"},
}
FACTS = Facts(reasoning=False, max_output_tokens=9000)
PAIRS = [(client, provider) for client in DIALECTS for provider in DIALECTS if client != provider]
MODEL = "anthropic.claude-x"


def attempt(
    client: DialectName,
    provider: DialectName,
    fields: dict[str, Any],
    *,
    facts: Facts = FACTS,
    strict: bool = False,
) -> Attempt:
    in_path = client in ("gemini", "converse")
    route = Route(kind="chat", method="POST", dialect=client, model=MODEL if in_path else None)
    body = fields if in_path else {"model": MODEL, **fields}
    chat = plan.read_chat(msgspec.json.encode(body), route)
    model = Model(name=MODEL, format="openai", facts=facts)
    endpoint = Endpoint(type="t", secret="s", metadata=Metadata(api_base="https://p.test"))
    row = Provider(base_url="https://p.test", dialects=(provider,), auth="none")
    chosen = candidate(endpoint, model, {"t": row})
    return plan.attempt(chat, chosen, headers={}, timeouts=Timeouts(), strict=strict)


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_every_loss_has_a_name_in_the_clients_own_words(client: DialectName, provider: DialectName):
    made = attempt(client, provider, RICH[client])
    assert made.dialect == provider
    assert set(made.dropped) == LOST[client, provider]
    assert len(made.dropped) == len(set(made.dropped))


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_strict_refuses_once_and_lists_all_that_would_be_lost(
    client: DialectName, provider: DialectName
):
    with pytest.raises(BadRequestError) as caught:
        attempt(client, provider, RICH[client], strict=True)
    listed = caught.value.message.partition("no place for: ")[2].removesuffix(".")
    assert set(listed.split(", ")) == LOST[client, provider]
    body = msgspec.json.decode(load(client).error_body(caught.value, "r"))
    assert "x-bt-strict" in str(body)


PLAIN: dict[DialectName, dict[str, Any]] = {
    "openai_chat": {"messages": [{"role": "user", "content": "hi"}]},
    "openai_responses": {"input": "hi"},
    "anthropic": {"max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]},
    "gemini": {"contents": [{"parts": [{"text": "hi"}]}]},
    "converse": {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
}


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_a_plain_request_loses_nothing(client: DialectName, provider: DialectName):
    assert attempt(client, provider, PLAIN[client], strict=True).dropped == ()


@pytest.mark.parametrize(
    ("client", "fields", "name"),
    [
        ("openai_chat", {"reasoning_effort": "high"}, "reasoning_effort"),
        ("openai_chat", {"reasoning_budget": 2000}, "reasoning_budget"),
        ("openai_chat", {"reasoning_enabled": True}, "reasoning_enabled"),
        ("openai_responses", {"reasoning": {"effort": "high"}}, "reasoning"),
        ("anthropic", {"thinking": {"type": "enabled", "budget_tokens": 2000}}, "thinking"),
        ("anthropic", {"output_config": {"effort": "high"}}, "output_config.effort"),
        (
            "gemini",
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 2000}}},
            "thinkingConfig",
        ),
        (
            "converse",
            {"additionalModelRequestFields": {"thinking": {"type": "enabled"}}},
            "additionalModelRequestFields.thinking",
        ),
        (
            "converse",
            {"additionalModelRequestFields": {"reasoningConfig": {"type": "enabled"}}},
            "additionalModelRequestFields.reasoningConfig",
        ),
        ("converse", {"outputConfig": {"effort": "high"}}, "outputConfig.effort"),
    ],
)
def test_thinking_that_a_model_does_not_do_is_told_by_the_word_that_the_client_used(
    client: DialectName, fields: dict[str, Any], name: str
):
    for provider in DIALECTS:
        if provider != client:
            assert attempt(client, provider, {**PLAIN[client], **fields}).dropped == (name,)


def test_a_response_schema_is_told_by_the_word_that_the_client_used():
    shape = {"type": "object", "properties": {"a": {"type": "string"}}}
    for client, fields, name in (
        (
            "anthropic",
            {"output_config": {"format": {"type": "json_schema", "schema": shape}}},
            "output_config.format.strict",
        ),
        (
            "anthropic",
            {"output_format": {"type": "json_schema", "schema": shape}},
            "output_format.strict",
        ),
    ):
        assert attempt(client, "openai_chat", {**PLAIN[client], **fields}).dropped == (name,)


@pytest.mark.parametrize(("count", "dropped"), [(4, ()), (5, ("stop_sequences>4",))])
def test_of_too_many_stop_words_the_first_stay(count: int, dropped: tuple[str, ...]):
    stops = [str(number) for number in range(count)]
    made = attempt("anthropic", "openai_chat", {**PLAIN["anthropic"], "stop_sequences": stops})
    assert msgspec.json.decode(made.outgoing.body)["stop"] == stops[:4]
    assert made.dropped == dropped


@pytest.mark.parametrize(
    ("asked", "sent", "dropped"),
    [(9000, 9000, ()), (9001, 9000, ("max_tokens>9000",))],
)
def test_no_more_tokens_are_asked_for_than_the_model_can_write(
    asked: int, sent: int, dropped: tuple[str, ...]
):
    fields = {**PLAIN["openai_chat"], "max_tokens": asked}
    for provider, name in (("anthropic", "max_tokens"), ("openai_responses", "max_output_tokens")):
        made = attempt("openai_chat", provider, fields)
        assert msgspec.json.decode(made.outgoing.body)[name] == sent
        assert made.dropped == dropped


@pytest.mark.parametrize(("effort", "told"), [("none", ()), ("low", ("temperature", "top_p"))])
def test_sampling_is_left_out_where_a_model_of_openai_reasons(effort: str, told: tuple[str, ...]):
    quirks = Quirks(refuses=frozenset({"temperature", "top_p"}), sampling_at=frozenset({"none"}))
    fields = {**PLAIN["openai_responses"], "temperature": 0.5, "top_p": 0.5}
    fields["reasoning"] = {"effort": effort}
    made = attempt(
        "openai_responses", "openai_chat", fields, facts=Facts(reasoning=True, quirks=quirks)
    )
    assert made.dropped == told


@pytest.mark.parametrize("provider", ["anthropic", "converse"])
@pytest.mark.parametrize(
    ("facts", "fields", "told"),
    [
        (Facts(temperature_or_top_p=True), {"temperature": 0.5, "top_p": 0.5}, ("top_p",)),
        (Facts(temperature_or_top_p=True), {"top_p": 0.5}, ()),
        (Facts(temperature_or_top_p=True), {"temperature": 0.5}, ()),
        (Facts(), {"temperature": 0.5, "top_p": 0.5}, ()),
    ],
)
def test_temperature_goes_before_top_p_where_a_model_takes_one_of_them(
    provider: DialectName, facts: Facts, fields: dict[str, Any], told: tuple[str, ...]
):
    made = attempt("openai_chat", provider, {**PLAIN["openai_chat"], **fields}, facts=facts)
    assert made.dropped == told


def test_a_model_that_takes_no_schema_beside_tools_is_not_asked_for_both():
    fields = {
        **PLAIN["openai_chat"],
        "tools": RICH["openai_chat"]["tools"],
        "response_format": {"type": "json_object"},
    }
    attempt("openai_chat", "gemini", fields)
    with pytest.raises(BadRequestError, match="leave one of them out"):
        attempt("openai_chat", "gemini", fields, facts=Facts(schema_beside_tools=False))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("web_search_20250305", "Anthropic runs it"),
        ("code_execution_20250825", "Anthropic runs it"),
        ("bash_20250124", "Describe it as a tool of your own"),
        ("text_editor_20250728", "Describe it as a tool of your own"),
        ("computer_20250124", "Describe it as a tool of your own"),
        ("memory_20250818", "Describe it as a tool of your own"),
    ],
)
def test_a_tool_of_anthropics_own_is_refused_with_what_to_do(kind: str, says: str):
    fields = {**PLAIN["anthropic"], "tools": [{"type": kind, "name": "t"}]}
    for provider in DIALECTS:
        if provider != "anthropic":
            with pytest.raises(BadRequestError, match=says) as caught:
                attempt("anthropic", provider, fields)
            assert caught.value.param == "tools[0].type"


@pytest.mark.parametrize(
    ("name", "dialect", "expected"),
    [
        ("temperature>1", "gemini", "temperature>1"),
        ("stop>4", "converse", "stopSequences>4"),
        ("max_tokens<16", "gemini", "maxOutputTokens<16"),
        ("schema.strict", "openai_responses", "text.format.strict"),
        ("messages.reasoning", "gemini", "contents.reasoning"),
        ("tools.strict", "converse", "toolConfig.tools.strict"),
        ("cache_control", "converse", "cachePoint"),
        ("userProfile", "anthropic", "userProfile"),
        ("x-y", "anthropic", "x-y"),
        ("", "anthropic", ""),
    ],
)
def test_a_note_begins_with_the_clients_word(name: str, dialect: str, expected: str):
    assert parameters.client_names([name], dialect) == [expected]
