"""The one table of request parameters that merely change their name between dialects.

What needs more than another name (messages, tools, thinking, schema) is mapped
in the dialects. Everything a client sends that neither this table nor a
dialect knows is dropped and named to the client, or refused where dropping it
would change what the answer is.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from msgspec import Raw

from core.envelope import Envelope, raw, read
from core.errors import BadRequestError

PARAMETERS: Final[Mapping[str, Mapping[str, str]]] = {
    # neutral name        what each dialect calls it
    "temperature": {
        "openai_chat": "temperature",
        "anthropic": "temperature",
        "converse": "temperature",
        "gemini": "temperature",
        "openai_responses": "temperature",
    },
    "top_p": {
        "openai_chat": "top_p",
        "anthropic": "top_p",
        "converse": "topP",
        "gemini": "topP",
        "openai_responses": "top_p",
    },
    "top_k": {"openai_chat": "top_k", "anthropic": "top_k", "converse": "top_k", "gemini": "topK"},
    "stop": {
        "openai_chat": "stop",
        "anthropic": "stop_sequences",
        "converse": "stopSequences",
        "gemini": "stopSequences",
    },
    "seed": {"openai_chat": "seed", "gemini": "seed"},
    "user": {
        "openai_chat": "user",
        "openai_responses": "user",
    },  # Anthropic's `metadata.user_id` is read as this one.
    "n": {"openai_chat": "n", "gemini": "candidateCount"},
    "presence_penalty": {"openai_chat": "presence_penalty", "gemini": "presencePenalty"},
    "frequency_penalty": {"openai_chat": "frequency_penalty", "gemini": "frequencyPenalty"},
    "logit_bias": {"openai_chat": "logit_bias"},
    "logprobs": {"openai_chat": "logprobs"},
    "top_logprobs": {"openai_chat": "top_logprobs"},
    "verbosity": {"openai_chat": "verbosity"},  # `text.verbosity` of responses is read as this one.
    "metadata": {"openai_chat": "metadata", "openai_responses": "metadata"},
    "service_tier": {"openai_chat": "service_tier", "openai_responses": "service_tier"},
    "safety_identifier": {
        "openai_chat": "safety_identifier",
        "openai_responses": "safety_identifier",
    },
    "prompt_cache_key": {"openai_chat": "prompt_cache_key", "openai_responses": "prompt_cache_key"},
    "prompt_cache_retention": {
        "openai_chat": "prompt_cache_retention",
        "openai_responses": "prompt_cache_retention",
    },
    "cache_control": {"openai_chat": "cache_control", "anthropic": "cache_control"},
}

NOT_UPSTREAM: Final[Mapping[str, frozenset[str]]] = {
    # Clients of the reference proxy send these in OpenAI's shape; OpenAI itself answers 400.
    # The others came to OpenAI alone, whose own clients take the pass lane.
    "openai_chat": frozenset(
        {
            "top_k",
            "cache_control",
            "verbosity",
            "metadata",
            "service_tier",
            "safety_identifier",
            "prompt_cache_key",
            "prompt_cache_retention",
        }
    ),
    "openai_responses": frozenset(),
    "anthropic": frozenset(),
    "converse": frozenset(),
    "gemini": frozenset(),
}

REFUSED: Final[Mapping[str, Mapping[str, str]]] = {
    "openai_chat": {
        "audio": "Audio output needs a model whose endpoint speaks OpenAI chat.",
    },
    "openai_responses": {
        "previous_response_id": "It names a response that OpenAI keeps: send the whole "
        "conversation as `input`.",
        "conversation": "OpenAI keeps it: send the whole conversation as `input`.",
        "prompt": "OpenAI keeps it: send its text as `instructions` and `input`.",
        "background": "Only an endpoint that speaks OpenAI responses answers later: leave it out.",
    },
    "anthropic": {
        "mcp_servers": "MCP servers are run by Anthropic: use a model that Anthropic serves.",
        "container": "Containers are run by Anthropic: use a model that Anthropic serves.",
    },
    "converse": {
        "guardrailConfig": "Guardrails are run by Bedrock: use a model that Bedrock serves.",
        "promptVariables": "Prompts are kept by Bedrock: use a model that Bedrock serves.",
    },
    "gemini": {
        "cachedContent": "Cached contents are kept by Google: send the contents themselves.",
        "responseModalities": "Images and speech need a model that Google serves.",
    },
}

_NO_EFFECT: Final[Mapping[str, frozenset[bytes]]] = {
    "n": frozenset({b"1"}),
    "logprobs": frozenset({b"false"}),
    "store": frozenset({b"false"}),
    "presence_penalty": frozenset({b"0", b"0.0"}),
    "frequency_penalty": frozenset({b"0", b"0.0"}),
    "logit_bias": frozenset({b"{}"}),
    "modalities": frozenset({b'["text"]'}),
    "candidateCount": frozenset({b"1"}),
    "background": frozenset({b"false"}),
    "truncation": frozenset({b'"disabled"'}),
    "top_logprobs": frozenset({b"0"}),
    "metadata": frozenset({b"{}"}),
    "responseLogprobs": frozenset({b"false"}),
    "presencePenalty": frozenset({b"0", b"0.0"}),
    "frequencyPenalty": frozenset({b"0", b"0.0"}),
}
"""Values that ask for nothing: dropping them is not worth telling."""

_NULL: Final = b"null"
_NOTHING: Final[Mapping[str, str]] = {}

MOST_STOPS: Final[Mapping[str, int]] = {"openai_chat": 4, "gemini": 5}
"""How many stop words a provider of a dialect takes; absent: as many as one likes.

https://platform.openai.com/docs/api-reference/chat/create#chat_create-stop,
https://ai.google.dev/api/generate-content#generationconfig
"""


def _asks_for_nothing(name: str, value: Raw) -> bool:
    text = bytes(value)
    return text == _NULL or text in _NO_EFFECT.get(name, frozenset())


@cache
def _neutral_names(dialect: str) -> Mapping[str, str]:
    return {names[dialect]: name for name, names in PARAMETERS.items() if dialect in names}


def parse(
    envelope: Envelope, dialect: str, mapped: frozenset[str]
) -> tuple[dict[str, Raw], tuple[str, ...]]:
    """The client's scalars by neutral name, and what was dropped; 400 for what is refused.

    `mapped` are the fields that the dialect itself has read.
    """
    neutral_names = _neutral_names(dialect)
    parameters: dict[str, Raw] = {}
    dropped: list[str] = []
    for name, value in envelope.items():
        if name in mapped or _asks_for_nothing(name, value):
            continue
        if name in neutral_names:
            parameters[neutral_names[name]] = value
        elif (why := REFUSED[dialect].get(name)) is not None:
            raise BadRequestError(f"`{name}` cannot be translated. {why}", param=name)
        else:
            dropped.append(name)
    return parameters, tuple(dropped)


def render(parameters: Mapping[str, Raw], dialect: str) -> tuple[dict[str, Raw], list[str]]:
    """The scalars by the provider's names, and the neutral names it has no place for."""
    fields: dict[str, Raw] = {}
    dropped: list[str] = []
    for name, value in parameters.items():
        wire = PARAMETERS[name].get(dialect)
        if wire is None or name in NOT_UPSTREAM[dialect]:
            dropped.append(name)
        else:
            fields[wire] = value
    if (most := MOST_STOPS.get(dialect)) is not None and "stop" in parameters:
        _shorten(fields, PARAMETERS["stop"][dialect], most, dropped)
    return fields, dropped


def _shorten(fields: dict[str, Raw], wire: str, most: int, dropped: list[str]) -> None:
    """The first words stay: an answer that goes on too long beats one that is refused."""
    if not bytes(fields[wire]).startswith(b"["):
        return
    stops: list[Raw] = read({"stop": fields[wire]}, "stop", list[Raw], [])
    if len(stops) > most:
        fields[wire] = raw(stops[:most])
        dropped.append(f"stop>{most}")


_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    # What is no mere parameter has a name too.
    "thinking": {
        "openai_chat": "reasoning_effort",
        "openai_responses": "reasoning",
        "gemini": "thinkingConfig",
        "converse": "additionalModelRequestFields.thinking",
    },
    "schema": {
        "openai_chat": "response_format",
        "openai_responses": "text.format",
        "anthropic": "output_config.format",
        "gemini": "responseSchema",
        "converse": "outputConfig.textFormat",
    },
    "max_tokens": {
        "openai_chat": "max_completion_tokens",
        "openai_responses": "max_output_tokens",
        "gemini": "maxOutputTokens",
        "converse": "maxTokens",
    },
    "tools": {"converse": "toolConfig.tools"},
    "tool_choice": {"gemini": "toolConfig", "converse": "toolConfig.toolChoice"},
    "parallel_tool_calls": {"anthropic": "tool_choice.disable_parallel_tool_use"},
    "messages": {"openai_responses": "input", "gemini": "contents"},
    "cache_control": {"converse": "cachePoint"},
    "verbosity": {"openai_responses": "text.verbosity"},
    "user": {"anthropic": "metadata.user_id"},
}
_NOTE: Final = re.compile(r"([a-z_]+)((?:[^A-Za-z0-9_].*)?)", re.DOTALL)
"""A neutral name, and what of it is meant: `temperature>1`, `messages.reasoning`."""


def client_names(
    neutral_names: Iterable[str], dialect: str, said: Mapping[str, str] = _NOTHING
) -> list[str]:
    """Neutral names, or notes that begin with one, as the client that speaks `dialect` knows them.

    `said`: where this client used another word than most do.
    """
    return [_client_name(name, dialect, said) for name in neutral_names]


def _client_name(note: str, dialect: str, said: Mapping[str, str]) -> str:
    if (found := _NOTE.fullmatch(note)) is None:
        return note
    name, rest = found[1], found[2]
    known = said.get(name) or {**_WORDS.get(name, {}), **PARAMETERS.get(name, {})}.get(dialect)
    return (known or name) + rest


def neutral_names(names: Iterable[str], dialect: str) -> list[str]:
    """What a provider's names mean."""
    known = _meanings(dialect)
    return [known.get(name, name) for name in names]


@cache
def _meanings(dialect: str) -> Mapping[str, str]:
    words = {words[dialect]: name for name, words in _WORDS.items() if dialect in words}
    return {**words, **_neutral_names(dialect)}
