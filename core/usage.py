"""What an answer costs, by the tokens that its provider counted.

Cached tokens are among the input, and are priced apart only where the
catalogue knows their price; else they cost what fresh ones do, so that an
answer never looks cheaper than it was.
"""

import math
import re
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from core.neutral import Usage
from core.routing import Costs

MILLION: Final = 1_000_000
BYTES_A_TOKEN: Final = 4
"""A rough measure, for an answer whose tokens nobody counted."""
TOKENS_A_SECOND: Final = 30


def cost_usd(usage: Usage, costs: Costs) -> float | None:
    """US dollars; None where a price that it takes is not known."""
    if costs.input is None or (costs.output is None and usage.output_tokens):
        return None
    read = costs.input if costs.cache_read is None else costs.cache_read
    write = costs.input if costs.cache_write is None else costs.cache_write
    cached = usage.cache_read_tokens + usage.cache_write_tokens
    fresh = max(0, usage.input_tokens - cached)
    total = (
        fresh * costs.input
        + usage.cache_read_tokens * read
        + usage.cache_write_tokens * write
        + usage.output_tokens * (costs.output or 0.0)
    )
    return total / MILLION


def estimated(asked: int, answered: int, seconds: float = 0.0) -> Usage:
    """Tokens of so many bytes of a request and of what was said in its answer, rounded up.

    `seconds`: how long the answer was being made. What a provider thought, or made of a whole
    answer, before its client left was seen by nobody; the pace is that of a slow model.
    """
    unseen = math.ceil(max(0.0, seconds) * TOKENS_A_SECOND)
    return Usage(
        input_tokens=-(-asked // BYTES_A_TOKEN),
        output_tokens=max(unseen, -(-answered // BYTES_A_TOKEN)),
    )


def at_least(counted: Usage | None, guessed: Usage) -> Usage:
    """What was counted before the answer broke off, and not less than it must have taken."""
    if counted is None:
        return guessed
    return replace(counted, output_tokens=max(counted.output_tokens, guessed.output_tokens))


_SAID: Final = re.compile(
    rb'"(?:content|text|delta|arguments|partial_json|thinking|reasoning|reasoning_content|refusal)"'
    rb'\s*:\s*"((?:[^"\\]|\\.)*)'
)


def said_bytes(answer: bytes) -> int:
    """How much of an answer, in any format, whole or cut, is words and not their frame."""
    return sum(len(found[1]) for found in _SAID.finditer(answer))


class _Counted(Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Body(Struct):
    usage: _Counted | None = None


_decode: Final = msgspec.json.Decoder(_Body).decode


def of_body(body: bytes) -> Usage | None:
    """What a whole answer of OpenAI's older routes says: completions, embeddings."""
    try:
        counted = _decode(body).usage
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if counted is None:
        return None
    return Usage(input_tokens=counted.prompt_tokens, output_tokens=counted.completion_tokens)
