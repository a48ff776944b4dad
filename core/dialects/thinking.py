"""How much to think: an effort as a number of tokens, and back."""

from typing import Final

from core.neutral import Thinking

LEAST_BUDGET: Final = 1024
LEAST_ANSWER: Final = 1024
"""What a budget leaves of the model's limit."""
SHARE_OF_EFFORT: Final = {
    "minimal": 0.1,
    "low": 0.2,
    "medium": 0.5,
    "high": 0.8,
    "xhigh": 0.9,
    "max": 0.9,
}
"""How much of max_tokens an effort may think (low to high as the reference proxy has it)."""


def budget(thinking: Thinking, most: int) -> int:
    """Tokens to think with, where the whole answer has `most`."""
    if thinking.budget is not None:
        return max(thinking.budget, LEAST_BUDGET)
    if thinking.effort is None:
        return LEAST_BUDGET
    return max(LEAST_BUDGET, int(SHARE_OF_EFFORT.get(thinking.effort, 0.5) * most))


def room(thinking: Thinking, most: int, limit: int | None) -> tuple[int, int, list[str]]:
    """The budget, the tokens of the whole answer with it, and what of the wish is lost.

    `limit`: what the model can write at most.
    """
    wanted = budget(thinking, most)
    if wanted < most:
        return wanted, most, []
    if limit is None or limit <= LEAST_BUDGET:
        return wanted, int(wanted * 1.5), []
    fits = max(min(wanted, limit - min(LEAST_ANSWER, limit // 2)), LEAST_BUDGET)
    whole = max(min(int(fits * 1.5), limit), min(most, limit))
    return fits, whole, [f"thinking>{fits}"] if fits < wanted else []


def effort(thinking: Thinking, most: int) -> str | None:
    """None leaves it to the model."""
    if thinking.effort is not None or thinking.budget is None:
        return thinking.effort
    share = thinking.budget / most
    return "low" if share <= 0.2 else "medium" if share <= 0.5 else "high"
