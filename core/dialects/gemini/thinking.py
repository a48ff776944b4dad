"""How much a Gemini model is to think: a budget of tokens, or a level for Gemini 3 and later.

https://ai.google.dev/gemini-api/docs/thinking
"""

from typing import Any, Final

from core.dialects.thinking import SHARE_OF_EFFORT
from core.neutral import Facts, Request, Thinking

DEFAULT_MOST: Final = 1024
"""Of what an effort is a share where the client limits nothing (as the reference proxy has it)."""

_ORDER: Final = ("minimal", "low", "medium", "high", "xhigh", "max")
_LEVEL_OF_BUDGET: Final = ((1024, "minimal"), (2048, "low"), (8192, "medium"))


def config(request: Request, facts: Facts) -> tuple[dict[str, Any], list[str]]:
    """`thinkingConfig`, and what of the wish could not be met."""
    thinking = request.thinking
    if thinking is None:
        return {}, []
    if facts.reasoning is False:
        return {}, ["thinking"] if thinking.enabled else []
    if not thinking.enabled:
        return _least(facts)
    if facts.thinking == "level":
        return {"includeThoughts": True, **_level(thinking, facts.levels)}, []
    tokens = _budget(thinking, request.max_tokens or DEFAULT_MOST)
    if facts.budgets is not None:
        least, most = facts.budgets
        tokens = min(max(tokens, least), most)
    return {"includeThoughts": True, "thinkingBudget": tokens}, []


def _least(facts: Facts) -> tuple[dict[str, Any], list[str]]:
    if facts.thinking == "level":
        lowest = facts.levels[0]
        return {"thinkingLevel": lowest}, [] if lowest == "minimal" else ["thinking"]
    if facts.always_thinks and facts.budgets is not None:
        return {"thinkingBudget": facts.budgets[0]}, ["thinking"]
    return {"thinkingBudget": 0}, []


def _budget(thinking: Thinking, most: int) -> int:
    if thinking.budget is not None:
        return thinking.budget
    if thinking.effort is None:
        return DEFAULT_MOST
    return int(SHARE_OF_EFFORT.get(thinking.effort, 0.5) * most)


def _level(thinking: Thinking, levels: tuple[str, ...]) -> dict[str, str]:
    """The level nearest to the wish that the model has, rather more than less."""
    effort = thinking.effort
    if effort is None and thinking.budget is not None:
        budget = thinking.budget
        effort = next((word for most, word in _LEVEL_OF_BUDGET if budget <= most), "high")
    if effort not in _ORDER:
        return {}
    enough = (level for level in levels if _ORDER.index(level) >= _ORDER.index(effort))
    return {"thinkingLevel": next(enough, levels[-1])}
