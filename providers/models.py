"""The model catalogue: facts by name, and what a name's family says where no entry does.

models.json is read on the first look-up, not at import: a request with an
endpoint that lists its models never needs it.
"""

from functools import lru_cache
from importlib.resources import files
from typing import Final, Literal

import msgspec
from msgspec import Struct

from core.neutral import Facts
from core.routing import Model


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
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    deprecation_date: str | None = None


class Family(Struct, frozen=True, kw_only=True):
    prefix: str
    format: str
    providers: tuple[str, ...]


FAMILIES: Final = (
    Family(prefix="demo-", format="openai", providers=("demo",)),
    Family(prefix="claude", format="anthropic", providers=("anthropic",)),
    Family(prefix="", format="openai", providers=("openai", "ollama")),
)
"""The first prefix that fits a name without an entry."""


class Trait(Struct, frozen=True, kw_only=True):
    prefix: str
    thinking: Literal["budget", "adaptive"] = "budget"
    sampling: bool = True
    native_schema: bool = False


TRAITS: Final = (
    # docs.anthropic.com: structured outputs, adaptive thinking, migration to Opus 4.7.
    Trait(prefix="claude-opus-4-1", native_schema=True),
    Trait(prefix="claude-opus-4-5", native_schema=True),
    Trait(prefix="claude-opus-4-6", native_schema=True),
    Trait(prefix="claude-opus-4-7", thinking="adaptive", sampling=False, native_schema=True),
    Trait(prefix="claude-opus-4-8", thinking="adaptive", sampling=False, native_schema=True),
    Trait(prefix="claude-opus-5", thinking="adaptive", sampling=False, native_schema=True),
    Trait(prefix="claude-fable-5", thinking="adaptive", sampling=False, native_schema=True),
    Trait(prefix="claude-sonnet-5", thinking="adaptive", sampling=False, native_schema=True),
    Trait(prefix="claude-sonnet-4-5", native_schema=True),
    Trait(prefix="claude-sonnet-4-6", native_schema=True),
    Trait(prefix="claude-haiku-4-5", native_schema=True),
)
_PLAIN: Final = Trait(prefix="")

DEMO_MODELS: Final = {
    "demo-echo": "streams your last message back, word by word",
    "demo-tools": "answers with calls of the tools you send",
    "demo-slow": "waits two seconds, then streams slowly",
    "demo-fault-400": "refuses the request",
    "demo-fault-401": "refuses the key",
    "demo-fault-429": "says that the rate limit is reached",
    "demo-fault-500": "fails inside",
    "demo-fault-503": "is overloaded",
    "demo-fault-cut": "drops the connection in the middle of the answer",
    "demo-fault-error": "sends an error event in the middle of the answer",
    "demo-fault-garbage": "sends an event that is no JSON in the middle of the answer",
    "demo-fault-no-done": "leaves out the end marker of a whole answer",
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


@lru_cache(maxsize=4096)
def lookup(name: str) -> Model:
    """What is known of a model; an unknown name belongs to its family."""
    entry = entries().get(name)
    trait = next((trait for trait in TRAITS if name.startswith(trait.prefix)), _PLAIN)
    if entry is None:
        family = next(family for family in FAMILIES if name.startswith(family.prefix))
        providers = () if name.startswith("demo-") else family.providers
        return Model(
            name=name, format=family.format, providers=providers, facts=_facts(trait, None)
        )
    return Model(
        name=name,
        format=entry.format,
        flavor=entry.flavor,
        providers=entry.providers,
        display_name=entry.display_name,
        facts=_facts(trait, entry),
    )


def _facts(trait: Trait, entry: Entry | None) -> Facts:
    return Facts(
        max_output_tokens=entry.max_output_tokens if entry else None,
        # The catalogue marks the models that reason; silence means that they do not.
        reasoning=bool(entry.reasoning) if entry else None,
        thinking=trait.thinking,
        sampling=trait.sampling,
        native_schema=trait.native_schema,
    )
