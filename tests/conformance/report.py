"""What was measured, as docs/conformance.md: `make conformance` writes it.

Nothing in it depends on the day or the machine, so that a difference in the
file is a difference in behaviour.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from core.routes import DialectName
from tests.conformance.agreement import RULES
from tests.conformance.apis import APIS, LEFT_OUT, NOT_CLAUDE
from tests.conformance.measure import WAYS, Pair

CLIENTS: Final[dict[DialectName, str]] = {
    "openai_chat": "OpenAI chat",
    "openai_responses": "OpenAI responses",
    "anthropic": "Anthropic",
    "gemini": "Gemini",
    "converse": "Converse",
}

_HEAD: Final = """\
# Conformance

What each of five clients is shown of each recorded answer. Written by `make
conformance`; the tests repeat a sample of it.

A **pair** is one recording, delivered in one way, and one client. The client
is an official SDK (`openai` for chat and for responses, `anthropic`,
`google-genai`, `boto3`) in front of `cutwater serve`, whose endpoint replays the
recording. What it shows is compared with what the official SDK of the
recording's own format shows when it reads the recording without Cutwater
between: text, tool calls (names, arguments as JSON, ids that differ), reasoning,
finish reason, usage (input, output, cached and reasoning tokens) and, of an
error, its status. Where client and provider speak the same format, every
field that the SDK shows must be equal.

Delivered whole, streamed event by event, and streamed one byte at a time
(`chunk=1`); for ten whole answers of each API the client asks for a stream of a
provider that gives none.
"""


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _share(pairs: Sequence[Pair]) -> str:
    return f"{sum(pair.agrees for pair in pairs)} / {len(pairs)}" if pairs else ""


def total(pairs: Sequence[Pair]) -> str:
    agreed = sum(pair.agrees for pair in pairs)
    share = int(10000 * agreed / len(pairs)) / 100  # Never rounded up.
    return f"**{agreed} of {len(pairs)} pairs agree: {share:.2f} %.**"


def matrix(pairs: Sequence[Pair]) -> list[str]:
    lines = [
        _row(["recorded API", *CLIENTS.values()]),
        _row(["---"] * (len(CLIENTS) + 1)),
    ]
    for api in APIS:
        of_api = [pair for pair in pairs if pair.api == api.name]
        cells = [_share([p for p in of_api if p.client == client]) for client in CLIENTS]
        lines.append(_row([f"`{api.name}`", *cells]))
    return [*lines, _row(["all", *(_share([p for p in pairs if p.client == c]) for c in CLIENTS)])]


def by_way(pairs: Sequence[Pair]) -> list[str]:
    shares = [(way.name, _share([p for p in pairs if p.way == way.name])) for way in WAYS]
    return [_row(["delivered", "agree"]), _row(["---"] * 2), *map(_row, shares)]


def rules(pairs: Sequence[Pair]) -> list[str]:
    used = Counter(rule for pair in pairs for rule in pair.rules)
    return [f"- {rule.reason} ({used[rule.name]} pairs)" for rule in RULES]


def reasons(pairs: Sequence[Pair]) -> list[str]:
    """Each difference by name: why, and which recordings to which clients."""
    why: dict[str, dict[str, set[DialectName]]] = {}
    for pair in pairs:
        if not pair.agrees:
            which = why.setdefault(pair.reason or f"NOT EXPLAINED: {pair.sides}", {})
            which.setdefault(pair.recording, set()).add(pair.client)
    lines = []
    for reason, recordings in sorted(why.items()):
        lines.append(f"- {reason}")
        lines += [f"  - `{name}`: {_names(shown)}" for name, shown in sorted(recordings.items())]
    return lines


def _names(clients: set[DialectName]) -> str:
    known = [name for client, name in CLIENTS.items() if client in clients]
    return "all clients" if len(known) == len(CLIENTS) else ", ".join(known)


def left_out() -> list[str]:
    why: dict[str, list[str]] = {}
    for api, reason in LEFT_OUT.items():
        why.setdefault(reason, []).append(f"`{api}`")
    lines = [f"- {reason} {', '.join(apis)}." for reason, apis in why.items()]
    return [*lines, f"- {NOT_CLAUDE} Parts of `bedrock.invoke*`."]


def page(pairs: Sequence[Pair]) -> str:
    sections = (
        [total(pairs)],
        matrix(pairs),
        by_way(pairs),
        ["## What a client's format cannot say", "", _RULES_ARE, "", *rules(pairs)],
        ["## What differs all the same", "", *reasons(pairs)],
        ["## What is not in the matrix", "", *left_out()],
    )
    return "\n".join([_HEAD, *("\n".join([*section, ""]) for section in sections)])


_RULES_ARE: Final = """\
These hold for every recording: the answer is compared with what is left after
them. None is for a client of the recording's own format, unless its answer had
to be written anew."""
