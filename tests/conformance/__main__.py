"""`python -m tests.conformance`: measure every pair, and write docs/conformance.md."""

import sys
import tempfile
import warnings
from pathlib import Path
from typing import Final

from tests.conformance import report
from tests.conformance.apis import APIS
from tests.conformance.measure import WAYS, Pair, measure, running

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"


def main() -> int:
    warnings.simplefilter("ignore")  # Google's SDK warns of every word that is new to it.
    pairs: list[Pair] = []
    with tempfile.TemporaryDirectory() as directory, running(Path(directory), APIS, WAYS) as stack:
        for api in APIS:
            for way in WAYS:
                pairs += measure(stack, api, way)
            sys.stdout.write(f"{api.name}: {report.total(pairs)}\n")
            sys.stdout.flush()
    PAGE.write_text(report.page(pairs))
    wrong = [pair for pair in pairs if not pair.agrees and pair.reason is None]
    for pair in wrong:
        sys.stdout.write(f"{pair.recording} ({pair.way}) to {pair.client}: {pair.aspects}\n")
        sys.stdout.write(f"    {pair.sides}\n")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
