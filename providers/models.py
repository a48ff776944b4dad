"""The model catalogue: facts by name, and what a name's family says where no entry does.

models.json is read on the first look-up, not at import: a request with an
endpoint that lists its models never needs it.
"""

import re
from functools import lru_cache
from importlib.resources import files
from typing import Final, Literal

import msgspec
from msgspec import Struct

from core.neutral import Facts, Quirks
from core.routing import Costs, Model


class Entry(Struct, frozen=True, kw_only=True):
    """One line of models.json. Prices are US dollars per million tokens."""

    format: str
    flavor: str
    providers: tuple[str, ...] = ()
    display_name: str | None = None
    multimodal: bool = False
    reasoning: bool | None = None
    input_cost_per_mil_tokens: float | None = None
    output_cost_per_mil_tokens: float | None = None
    input_cache_read_cost_per_mil_tokens: float | None = None
    input_cache_write_cost_per_mil_tokens: float | None = None
    input_audio_cost_per_mil_tokens: float | None = None
    output_audio_cost_per_mil_tokens: float | None = None
    input_cache_read_audio_cost_per_mil_tokens: float | None = None
    input_image_cost_per_mil_tokens: float | None = None
    input_cache_read_image_cost_per_mil_tokens: float | None = None
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    supported_regions: tuple[str, ...] = ()
    deprecation_date: str | None = None
    deprecated: bool = False
    retired: bool = False
    supports_streaming: bool = True
    streaming_only: bool = False
    documented: bool = False
    """Of those that are listed whatever their age."""


class Family(Struct, frozen=True, kw_only=True):
    prefix: str
    format: str
    providers: tuple[str, ...]


BEDROCK_PLACES: Final = ("", "us.", "eu.", "apac.", "au.", "jp.", "us-gov.", "global.")
"""Where an inference profile may run its model."""
BEDROCK_MAKERS: Final = (
    "ai21",
    "amazon",
    "cohere",
    "deepseek",
    "google",
    "meta",
    "minimax",
    "mistral",
    "moonshot",
    "moonshotai",
    "nvidia",
    "openai",
    "qwen",
    "writer",
    "zai",
)
MISTRAL_NAMES: Final = (
    "codestral-",
    "devstral-",
    "magistral-",
    "ministral-",
    "mistral-",
    "open-mistral-",
    "open-mixtral-",
    "pixtral-",
)

FAMILIES: Final = (
    Family(prefix="demo-", format="openai", providers=("demo",)),
    Family(prefix="claude", format="anthropic", providers=("anthropic", "vertex")),
    Family(prefix="gemini", format="google", providers=("google", "vertex")),
    Family(prefix="models/gemini", format="google", providers=("google",)),
    Family(prefix="publishers/anthropic/", format="anthropic", providers=("vertex",)),
    Family(prefix="publishers/google/", format="google", providers=("vertex",)),
    Family(prefix="publishers/", format="openai", providers=("vertex",)),
    *(
        Family(prefix=f"{place}anthropic.", format="anthropic", providers=("bedrock",))
        for place in BEDROCK_PLACES
    ),
    *(
        Family(prefix=f"{place}{maker}.", format="converse", providers=("bedrock",))
        for place in BEDROCK_PLACES
        for maker in BEDROCK_MAKERS
    ),
    Family(prefix="arn:aws", format="converse", providers=("bedrock",)),
    Family(prefix="accounts/fireworks/", format="openai", providers=("fireworks",)),
    Family(prefix="databricks-", format="openai", providers=("databricks",)),
    *(Family(prefix=p, format="openai", providers=("mistral",)) for p in MISTRAL_NAMES),
    Family(prefix="grok-", format="openai", providers=("xAI",)),
    Family(prefix="sonar", format="openai", providers=("perplexity",)),
    Family(prefix="command-", format="openai", providers=("cohere",)),
    Family(prefix="embed-", format="openai", providers=("cohere",)),
    Family(prefix="voyage-", format="openai", providers=("voyage",)),
    Family(prefix="deepseek-", format="openai", providers=("deepseek",)),
    Family(prefix="", format="openai", providers=("openai", "azure", "ollama")),
)
"""The first prefix that fits a name without an entry."""


class Trait(Struct, frozen=True, kw_only=True):
    prefix: str
    thinking: Literal["budget", "adaptive", "level"] = "budget"
    levels: tuple[str, ...] = ("low", "high")
    budgets: tuple[int, int] | None = None
    always_thinks: bool = False
    sampling: bool = True
    temperature_or_top_p: bool = False
    native_schema: bool = False
    schema_beside_tools: bool = True


GEMINI_FLASH: Final = tuple(
    f"gemini-3{minor}-flash" for minor in ("", ".1", ".2", ".3", ".4", ".5", ".6", ".7", ".8", ".9")
)

TRAITS: Final = (
    # docs.anthropic.com: structured outputs, adaptive thinking, migration to Opus 4.7.
    # From Opus 4.1 on a model takes temperature or top_p, not both.
    Trait(prefix="claude-opus-4-1", temperature_or_top_p=True, native_schema=True),
    Trait(prefix="claude-opus-4-5", temperature_or_top_p=True, native_schema=True),
    Trait(prefix="claude-opus-4-6", temperature_or_top_p=True, native_schema=True),
    Trait(prefix="claude-opus-4-7", thinking="adaptive", sampling=False, native_schema=True),
    Trait(prefix="claude-opus-4-8", thinking="adaptive", sampling=False, native_schema=True),
    Trait(prefix="claude-opus-5", thinking="adaptive", sampling=False, native_schema=True),
    Trait(prefix="claude-fable-5", thinking="adaptive", sampling=False, native_schema=True),
    Trait(prefix="claude-sonnet-5", thinking="adaptive", sampling=False, native_schema=True),
    Trait(prefix="claude-sonnet-4-5", temperature_or_top_p=True, native_schema=True),
    Trait(prefix="claude-sonnet-4-6", temperature_or_top_p=True, native_schema=True),
    Trait(prefix="claude-haiku-4-5", temperature_or_top_p=True, native_schema=True),
    # ai.google.dev/gemini-api/docs/thinking: budgets up to 2.5, levels from 3 on.
    # ai.google.dev/gemini-api/docs/structured-output: beside tools from 3 on.
    Trait(
        prefix="gemini-2.5-pro",
        budgets=(128, 32768),
        always_thinks=True,
        schema_beside_tools=False,
    ),
    Trait(prefix="gemini-2.5-flash-lite", budgets=(512, 24576), schema_beside_tools=False),
    Trait(prefix="gemini-2.5-flash", budgets=(1, 24576), schema_beside_tools=False),
    Trait(prefix="gemini-2", schema_beside_tools=False),
    Trait(prefix="gemini-1", schema_beside_tools=False),
    Trait(prefix="gemini-3-pro", thinking="level", levels=("low", "high")),
    Trait(prefix="gemini-3.1-pro", thinking="level", levels=("low", "medium", "high")),
    *(
        Trait(prefix=made, thinking="level", levels=("minimal", "low", "medium", "high"))
        for made in GEMINI_FLASH
    ),
    Trait(prefix="gemini-3", thinking="level", levels=("low", "high")),
)
_PLAIN: Final = Trait(prefix="")

_REASONING: Final = Quirks(
    rename={"max_tokens": "max_completion_tokens"},
    drop=frozenset({"temperature", "parallel_tool_calls"}),
    refuses=frozenset(
        {
            "temperature",
            "top_p",
            "presence_penalty",
            "frequency_penalty",
            "logit_bias",
            "logprobs",
            "top_logprobs",
            "stop",
        }
    ),
)
QUIRKS: Final = (
    # platform.openai.com/docs/guides/reasoning, and what the reference proxy changes.
    (
        r"o1-(?:mini|preview)",
        msgspec.structs.replace(_REASONING, roles={"system": "user", "developer": "user"}),
    ),
    (r"o[1-4](?:-|$)", _REASONING),
    (r"gpt-5-chat", Quirks(rename={"max_tokens": "max_completion_tokens"})),
    (
        r"gpt-5\.1",
        msgspec.structs.replace(
            _REASONING, sampling_at=frozenset({"none"}), efforts={"minimal": "low"}
        ),
    ),
    (r"gpt-5", msgspec.structs.replace(_REASONING, sampling_at=frozenset({"none"}))),
)
"""The first pattern that a name begins with."""
LEAST: Final = (
    (r"o1-(?:mini|preview)", ""),
    (r"o[1-4](?:-|$)", "low"),
    (r"gpt-5(?:\.\d+)?-(?:pro|chat|search)", ""),
    (r"gpt-5(?:\.\d+)?-codex", "low"),
    (r"gpt-5\.", "none"),
    (r"gpt-5", "minimal"),
)
"""Quirks.least, as above."""

PREFILLED: Final = re.compile(
    r"claude-(?:v?[12]\b|instant|3|(?:opus|sonnet|haiku)-4(?:-[015])?(?:$|[@:]|-v\d|-20\d\d|-latest))"
)
"""platform.claude.com, migration to 4.6: from then on a last message of the assistant is a 400."""

RESPONSES_ONLY: Final = r"o[13]-pro|gpt-5-pro|gpt-5\.(?:[3-9]|\d\d)|gpt-5(?:\.\d+)?-?.*codex"
"""OpenAI answers for these at /responses only, or says more there."""

ALSO_AT: Final = {("anthropic", "claude-"): ("vertex",)}
"""Who else has the models of a provider, by the names it gave them."""

_MAKER: Final = re.compile(r"(?:[a-z-]+\.)?(?:anthropic|openai)\.")
"""How a name begins: looked for anywhere else, a long name would take its time."""

DEMO_MODELS: Final = {
    "demo-echo": "streams your last message back, word by word",
    "demo-tools": "answers with calls of the tools you send",
    "demo-slow": "waits two seconds, then streams slowly",
    "demo-fault-400": "refuses the request",
    "demo-fault-401": "refuses the key",
    "demo-fault-403": "forbids the key this model",
    "demo-fault-404": "does not have the model",
    "demo-fault-413": "says that the request is too large",
    "demo-fault-422": "says that the request cannot be processed",
    "demo-fault-429": "says that the rate limit is reached, and for how long",
    "demo-fault-429-bare": "says that the rate limit is reached, and nothing more",
    "demo-fault-500": "fails inside",
    "demo-fault-502": "fails at its gateway",
    "demo-fault-503": "is overloaded",
    "demo-fault-504": "is given up by its gateway",
    "demo-fault-529": "is overloaded, as Anthropic says it",
    "demo-fault-context": "says that the prompt is too long for the model",
    "demo-fault-cut": "drops the connection in the middle of the answer",
    "demo-fault-error": "sends an error event in the middle of the answer",
    "demo-fault-error-first": "sends an error event before the first token",
    "demo-fault-garbage": "sends an event that is no JSON in the middle of the answer",
    "demo-fault-no-done": "leaves out the end marker of a whole answer",
    "demo-fault-no-token": "begins a reply and sends no token",
    "demo-fault-policy": "refuses the content of the request",
    "demo-fault-reset": "resets the connection before it replies",
    "demo-fault-silent": "never replies",
    "demo-fault-stall": "falls silent in the middle of the answer",
}


@lru_cache(maxsize=1)
def entries() -> dict[str, Entry]:
    document = files("providers").joinpath("models.json").read_bytes()
    found = msgspec.json.decode(document, type=dict[str, Entry])
    demo = {
        name: Entry(format="openai", flavor="chat", providers=("demo",), display_name=text)
        for name, text in DEMO_MODELS.items()
    }
    return found | demo


def bare(name: str) -> str:
    """A model's name as its maker gave it, wherever it is served."""
    last = name.rpartition("/")[2]
    maker = _MAKER.match(last)
    return last[maker.end() :] if maker else last


@lru_cache(maxsize=4096)
def lookup(name: str) -> Model:
    """What is known of a model; an unknown name belongs to its family."""
    entry = entries().get(name)
    family = next(family for family in FAMILIES if name.startswith(family.prefix))
    responses = re.match(RESPONSES_ONLY, bare(name)) is not None
    if entry is None:
        return Model(
            name=name,
            format=family.format,
            providers=() if name.startswith("demo-") else family.providers,
            facts=_facts(name, None),
            known=bool(family.prefix),
            in_catalogue=False,
            dialect="openai_responses" if responses else None,
        )
    return Model(
        name=name,
        format=entry.format,
        flavor=entry.flavor,
        providers=_served_by(name, entry.providers),
        display_name=entry.display_name,
        costs=Costs(
            input=entry.input_cost_per_mil_tokens,
            output=entry.output_cost_per_mil_tokens,
            cache_read=entry.input_cache_read_cost_per_mil_tokens,
            cache_write=entry.input_cache_write_cost_per_mil_tokens,
            input_audio=entry.input_audio_cost_per_mil_tokens,
            output_audio=entry.output_audio_cost_per_mil_tokens,
            cache_read_audio=entry.input_cache_read_audio_cost_per_mil_tokens,
            input_image=entry.input_image_cost_per_mil_tokens,
            cache_read_image=entry.input_cache_read_image_cost_per_mil_tokens,
        ),
        max_input_tokens=entry.max_input_tokens,
        multimodal=entry.multimodal,
        deprecation_date=entry.deprecation_date,
        lifecycle="retired" if entry.retired else "deprecated" if entry.deprecated else "active",
        facts=_facts(name, entry),
        supports_streaming=entry.supports_streaming,
        streaming_only=entry.streaming_only,
        dialect="openai_responses" if responses else None,
    )


def _served_by(name: str, providers: tuple[str, ...]) -> tuple[str, ...]:
    """The catalogue's providers, and those that serve what these do."""
    also = [
        other
        for (provider, prefix), others in ALSO_AT.items()
        if provider in providers and name.startswith(prefix)
        for other in others
    ]
    return (*providers, *(p for p in also if p not in providers))


def _facts(name: str, entry: Entry | None) -> Facts:
    made = bare(name)
    trait = next((trait for trait in TRAITS if made.startswith(trait.prefix)), _PLAIN)
    quirks = next((q for pattern, q in QUIRKS if re.match(pattern, made)), None)
    if quirks is not None:
        least = next((word for pattern, word in LEAST if re.match(pattern, made)), None)
        quirks = msgspec.structs.replace(quirks, least=least)
    return Facts(
        max_output_tokens=entry.max_output_tokens if entry else None,
        # The catalogue marks the models that reason; silence means that they do not.
        reasoning=bool(entry.reasoning) if entry else None,
        thinking=trait.thinking,
        levels=trait.levels,
        budgets=trait.budgets,
        always_thinks=trait.always_thinks,
        sampling=trait.sampling,
        temperature_or_top_p=trait.temperature_or_top_p,
        schema_beside_tools=trait.schema_beside_tools,
        native_schema=trait.native_schema,
        prefill=PREFILLED.match(made) is not None,
        quirks=quirks,
        regions=entry.supported_regions if entry else (),
    )
