"""Whether two canonical answers agree, and what of an answer a client's dialect cannot say.

Each rule is about a dialect and holds for every recording; it says what a
client is shown instead. A client of the recording's own dialect gets no rule:
all that its SDK shows must be equal.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from core.routes import DialectName
from tests.e2e.canonical import Answer, Choice, Tokens

_replace = msgspec.structs.replace

ASPECTS: Final = ("text", "tool calls", "reasoning", "finish reason", "usage", "error class")


class Rule(Struct, frozen=True):
    name: str
    reason: str
    clients: frozenset[DialectName]
    instead: Callable[[Answer], Answer]


def _each(change: Callable[[Choice], Choice]) -> Callable[[Answer], Answer]:
    return lambda answer: _replace(answer, choices=tuple(map(change, answer.choices)))


def _told(choice: Choice) -> Choice:
    if not choice.refusal:
        return choice
    text = choice.text + choice.refusal
    return _replace(choice, text=text, refusal="", finish="content_filter")


def _stopped(choice: Choice) -> Choice:
    return _replace(choice, finish="stop") if choice.finish == "other" else choice


def _ended(choice: Choice) -> Choice:
    if choice.finish is not None:
        return choice
    return _replace(choice, finish="tool_calls" if choice.tool_calls else "stop")


def _cached_at_least(answer: Answer) -> Answer:
    usage = answer.usage
    if usage is None:
        return answer
    return _replace(answer, usage=_replace(usage, input=max(usage.input, usage.cache_read)))


def _uncounted(answer: Answer) -> Answer:
    usage = answer.usage
    return answer if usage is None else _replace(answer, usage=_replace(usage, reasoning=0))


ALL: Final[frozenset[DialectName]] = frozenset(
    ("openai_chat", "openai_responses", "anthropic", "gemini", "converse")
)

RULES: Final = (
    Rule(
        "one answer",
        "A message of Anthropic, a response of OpenAI and a Converse answer are one answer: of "
        "several choices the first is shown.",
        frozenset(("openai_responses", "anthropic", "converse")),
        lambda answer: _replace(answer, choices=answer.choices[:1]),
    ),
    Rule(
        "refusal as text",
        "Only OpenAI's dialects have a field for a refusal: elsewhere it is text, and the answer "
        "ends as filtered.",
        frozenset(("anthropic", "gemini", "converse")),
        _each(_told),
    ),
    Rule(
        "no other end",
        "Only Gemini has a word for an end that is none of the known ones: elsewhere it is `stop`.",
        ALL - {"gemini"},
        _each(_stopped),
    ),
    Rule(
        "an end all the same",
        "A provider that gives no finish reason (Snowflake) has ended all the same: with its "
        "calls, or by itself.",
        ALL,
        _each(_ended),
    ),
    Rule(
        "cached tokens are input",
        "Anthropic's and Converse's input is what was read from a cache, and the rest: where a "
        "provider counts more cached tokens than tokens of the prompt (Grok on Azure), the rest is "
        "none.",
        frozenset(("anthropic", "converse")),
        _cached_at_least,
    ),
    Rule(
        "reasoning not counted apart",
        "Converse counts tokens of reasoning as output, and not apart.",
        frozenset(("converse",)),
        _uncounted,
    ),
)


def expected(answer: Answer, client: DialectName) -> tuple[Answer, tuple[str, ...]]:
    """What this client is to be shown, and the rules that made it so."""
    answer, used = normal(answer), []
    for rule in RULES:
        if client in rule.clients and (shown := rule.instead(answer)) != answer:
            answer = shown
            used.append(rule.name)
    return answer, tuple(used)


def normal(answer: Answer) -> Answer:
    """Without what is a matter of notation: a `stop` with calls is an end for the calls' sake."""
    return _each(_normal)(answer)


def _normal(choice: Choice) -> Choice:
    called = choice.tool_calls and choice.finish == "stop"
    return _replace(choice, finish="tool_calls" if called else choice.finish)


def differing(wanted: Answer, shown: Answer) -> tuple[str, ...]:
    """The aspects in which an answer is not what was expected."""
    shown = normal(shown)
    if wanted.error is not None or shown.error is not None:
        return () if _same_error(wanted.error, shown.error) else ("error class",)
    if len(wanted.choices) != len(shown.choices):
        return ("text",)
    found = set()
    for old, new in zip(wanted.choices, shown.choices, strict=True):
        found |= _differing_choice(old, new)
    # A recording without usage, or without cached tokens, leaves them open.
    if wanted.usage is not None and wanted.usage != (shown.usage or Tokens()):
        found.add("usage")
    return tuple(aspect for aspect in ASPECTS if aspect in found)


def _same_error(wanted: int | None, shown: int | None) -> bool:
    """An error inside a recorded stream has no status: any that is shown will do."""
    return wanted == shown or (wanted == 0 and shown is not None and shown >= 0)


def _differing_choice(old: Choice, new: Choice) -> set[str]:
    silent = old.finish == "content_filter" and not (old.text or old.refusal or old.tool_calls)
    aspects: dict[str, Callable[[Choice], Any]] = {
        # Where a provider blocks without a word, ours may say so.
        "text": lambda choice: None if silent else (choice.text, choice.refusal),
        "tool calls": lambda choice: [(call.name, call.arguments) for call in choice.tool_calls],
        "reasoning": lambda choice: "".join(thought.text for thought in choice.reasoning),
        "finish reason": lambda choice: choice.finish,
    }
    found = {aspect for aspect, of in aspects.items() if of(old) != of(new)}
    ids = [call.id for call in new.tool_calls]
    known = {call.id for call in old.tool_calls if call.id}
    if len({*filter(None, ids)}) < len(known):
        found.add("tool calls")
    return found
