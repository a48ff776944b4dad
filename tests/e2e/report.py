"""The shares as a table, for the documentation: `python -m tests.e2e.report`.

It takes all recordings in every delivery, the longest byte by byte too, which
the tests leave out for their time.
"""

import asyncio
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.e2e import stack
from tests.e2e.comparison import (
    CHUNK_7,
    EVERY_CHUNK_1,
    FLAVOURS,
    PAIRS,
    STREAM,
    WHOLE,
    Delivery,
    Flavour,
    Shares,
    compare,
    has_flavour,
)
from tests.e2e.stack import Stack

Cell = tuple[str, Delivery, Shares]


def row(shares: Shares, flavour: str, delivery: Delivery) -> str:
    """One line that says how many agree; the rest by reason."""
    line = (
        f"{shares.sdk} SDK ({flavour}), {shares.api}, {delivery}: "
        f"{shares.agreed} of {shares.total} agree"
    )
    if shares.explained:
        line += f", {len(shares.explained)} explained"
    if shares.unexplained:
        line += f", {len(shares.unexplained)} NOT explained"
    return line


def table(cells: Iterable[Cell]) -> str:
    """Markdown: one row for pair and delivery, one column for each flavour of the SDK."""
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for flavour, delivery, shares in cells:
        key = (shares.sdk, shares.api, str(delivery))
        rows.setdefault(key, {})[flavour] = f"{shares.agreed} / {shares.total}"
    lines = [
        f"| SDK | recordings of | delivered | {' | '.join(FLAVOURS)} |",
        f"| --- | --- | --- | {' | '.join('---' for _ in FLAVOURS)} |",
    ]
    for key, cell in rows.items():
        shares_shown = [cell.get(flavour, "") for flavour in FLAVOURS]
        lines.append(f"| {' | '.join([*key, *shares_shown])} |")
    return "\n".join(lines)


def reasons(cells: Iterable[Cell]) -> str:
    """Each difference with its reason, as a list: SDK and recording, then why."""
    why: dict[str, set[str]] = {}
    for _, _, shares in cells:
        for recording, reason in shares.explained.items():
            why.setdefault(reason, set()).add(f"{shares.sdk} SDK: {recording}")
    return "\n".join(
        f"- {reason}\n  ({'; '.join(sorted(which))})" for reason, which in sorted(why.items())
    )


async def measure(
    running: Stack, deliveries: Sequence[Delivery], flavours: Sequence[Flavour] = FLAVOURS
) -> list[Cell]:
    cells: list[Cell] = []
    for pair in PAIRS:
        for delivery in deliveries:
            for flavour in filter(lambda f: has_flavour(f, delivery), flavours):
                through = running.through(delivery.chunk)
                shares = await compare(
                    pair, flavour, delivery, direct=running.direct, through=through
                )
                cells.append((flavour, delivery, shares))
    return cells


def main() -> int:
    deliveries = (WHOLE, STREAM, CHUNK_7, EVERY_CHUNK_1)
    with tempfile.TemporaryDirectory() as directory, stack.running(Path(directory)) as running:
        cells = asyncio.run(measure(running, deliveries))
    lines = [table(cells), "", "What differs, and why:", "", reasons(cells)]
    wrong = [
        f"NOT EXPLAINED {shares.sdk} SDK ({flavour}, {delivery}) {recording}: {sides}"
        for flavour, delivery, shares in cells
        for recording, sides in shares.unexplained.items()
    ]
    sys.stdout.write("\n".join([*lines, *wrong]) + "\n")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
