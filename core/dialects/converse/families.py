"""What the makers of Bedrock's models do each in their own way: rows, found by the model's name.

Converse has one shape for all, but it refuses a cache point or a forced tool
where the model has none, and what it has no field for (top_k, thinking) goes to
the model as it is. A model that is only an ARN of the caller's own is taken to
have what it was asked for.
"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct


class Family(Struct, frozen=True, kw_only=True):
    thinking: Literal["claude", "nova", "effort"] | None = None
    """How it is told to think; None: it cannot be told."""
    top_k: tuple[str, ...] = ()
    """Where top_k goes in `additionalModelRequestFields`."""
    caches: frozenset[str] = frozenset()
    """Where it takes cache points."""
    forces: frozenset[str] = frozenset()
    """The tool choices beside `auto` that it takes."""
    names_stop_sequence: bool = False
    """It can be asked which stop sequence it was."""
    signs: bool = True
    """Its thoughts may be signed. Another model takes no block of thinking at all."""
    begins_anyhow: bool = False
    """An assistant may speak first; Bedrock's documentation wants a user, and so do the others."""


_EVERYWHERE: Final = frozenset({"system", "messages", "tools"})
_ANY_OR_TOOL: Final = frozenset({"any", "tool"})
_UNSIGNED: Final = Family(signs=False)

FAMILIES: Final[Mapping[str, Family]] = {
    # The first whose marker is in the name is the one.
    "anthropic.": Family(
        thinking="claude",
        top_k=("top_k",),
        caches=_EVERYWHERE,
        forces=_ANY_OR_TOOL,
        names_stop_sequence=True,
        begins_anyhow=True,
    ),
    "amazon.nova-2": Family(
        thinking="nova",
        top_k=("inferenceConfig", "topK"),
        caches=frozenset({"system", "messages"}),
        forces=_ANY_OR_TOOL,
    ),
    "amazon.nova": Family(
        signs=False,
        top_k=("inferenceConfig", "topK"),
        caches=frozenset({"system", "messages"}),
        forces=_ANY_OR_TOOL,
    ),
    "openai.gpt-oss": Family(signs=False, thinking="effort"),
    "mistral.": Family(signs=False, forces=frozenset({"any"})),
    "ai21.": _UNSIGNED,
    "amazon.titan": _UNSIGNED,
    "cohere.": _UNSIGNED,
    "deepseek.": _UNSIGNED,
    "google.": _UNSIGNED,
    "meta.": _UNSIGNED,
    "openai.": _UNSIGNED,
    "qwen.": _UNSIGNED,
}
UNKNOWN: Final = Family(caches=_EVERYWHERE, forces=_ANY_OR_TOOL)


def family_of(model: str) -> Family:
    name = model.rpartition("/")[2]
    return next((row for marker, row in FAMILIES.items() if marker in name), UNKNOWN)
