"""What is known of a model, as far as a request to it depends on that.

providers/models.py and core/routing.py fill it in. None is no answer: a renderer
takes what is not known for what most models of its dialect do.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct


class Quirks(Struct, frozen=True, kw_only=True):
    """Where a model's API refuses what its dialect allows: OpenAI's reasoning models."""

    rename: Mapping[str, str] = {}
    drop: frozenset[str] = frozenset()
    sampling_at: frozenset[str] = frozenset()
    """Reasoning efforts with which `temperature` is taken all the same."""
    roles: Mapping[str, str] = {}
    """Roles of messages that it knows under another name."""
    efforts: Mapping[str, str] = {}
    """Reasoning efforts that it knows under another name."""
    least: str | None = None
    """The effort that comes nearest to no reasoning; empty: it takes none, None: not known."""
    refuses: frozenset[str] = frozenset()
    """Neutral parameters that a translated request leaves out while the model reasons."""


class Facts(Struct, frozen=True, kw_only=True):
    """What a renderer must know of the model it writes for. None: not known."""

    max_output_tokens: int | None = None
    reasoning: bool | None = None
    thinking: Literal["budget", "adaptive", "level"] = "budget"
    """A token budget, only an effort that the model adapts to, or (Google) one of `levels`."""
    levels: tuple[str, ...] = ("low", "high")
    """From the least thinking to the most."""
    budgets: tuple[int, int] | None = None
    """The least and the most tokens that a budget may be."""
    always_thinks: bool = False
    """Thinking cannot be switched off, only made small."""
    sampling: bool = True
    """False where the model refuses temperature, top_p and top_k."""
    temperature_or_top_p: bool = False
    """The model refuses the two together."""
    schema_beside_tools: bool = True
    """A model that takes a schema as such takes it beside tools too."""
    native_schema: bool = False
    """The model takes a JSON schema as such; else a forced tool stands in for it."""
    prefill: bool = False
    """The model goes on where a last message of the assistant ends."""
    quirks: Quirks | None = None
    regions: tuple[str, ...] = ()
    """Where a cloud offers the model; empty: not known."""
