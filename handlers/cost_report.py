"""An estimate of AWS's cost as JSON, as rows of a table, and as the Markdown of docs/cost.md."""

from typing import Any, Final

import msgspec

from core.cost_estimate import SNAPSTART, Estimate, Line

COLUMNS: Final = ["service", "what", "a month", "USD for one", "at rest", "with this load"]


def plain(estimate: Estimate) -> dict[str, Any]:
    load: dict[str, Any] = msgspec.to_builtins(estimate.load)
    return {
        "load": load,
        "requests": round(estimate.requests),
        "concurrency": round(estimate.concurrency, 3),
        "cold_starts": round(estimate.starts),
        "lines": [_line(line) for line in estimate.lines],
        "at_rest_usd": _cents(estimate.rest_usd),
        "usd": _cents(estimate.usd),
        "free_at_rest_in_every_account_usd": _cents(estimate.unpaid_rest_usd),
        "free_in_every_account_usd": _cents(estimate.unpaid_usd),
        "usd_per_million_requests": _cents(estimate.million_usd),
        "region": "us-east-1",
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "service": line.service,
        "what": line.what,
        "unit": line.unit,
        "price_usd": line.price,
        "quantity": round(line.with_load, 6),
        "at_rest_usd": _cents(line.rest_usd),
        "usd": _cents(line.usd),
        "free_in_every_account_usd": _cents(line.unpaid_usd),
    }


def _cents(dollars: float | None) -> float | None:
    return None if dollars is None else round(dollars, 2)


def rows(estimate: Estimate) -> list[list[str]]:
    """In the order of COLUMNS; the last row is the sum."""
    found = [_row(line) for line in estimate.lines]
    return [*found, ["", "in all", "", "", _usd(estimate.rest_usd), _usd(estimate.usd)]]


def _row(line: Line) -> list[str]:
    much = f"{_number(line.with_load)} {line.unit}"
    price = f"{line.price:.10f}".rstrip("0")
    whole, _, cents = price.partition(".")
    shown = f"{whole}.{cents:0<2}"
    return [line.service, line.what, much, shown, _usd(line.rest_usd), _usd(line.usd)]


def _number(quantity: float) -> str:
    if quantity == 0 or quantity >= 100:
        return f"{quantity:,.0f}"
    return f"{quantity:.3g}" if quantity >= 0.001 else "< 0.001"


def _usd(dollars: float) -> str:
    if 0 < dollars < 0.005:
        return "< $0.01"
    return f"${dollars:,.2f}" if dollars else "$0"


def remarks(estimate: Estimate) -> list[str]:
    """What the table does not say."""
    executions = estimate.concurrency
    busy = f"{executions:,.0f}" if executions >= 10 else f"{executions:.2g}"
    load = f"{estimate.requests:,.0f} requests a month, {busy} executions at once on average."
    said = [load]
    if (million := estimate.million_usd) is not None:
        said.append(f"A million requests add {_usd(million)} to what is paid at rest.")
    return [*said, _alone(estimate), _snapshots(estimate)]


def _alone(estimate: Estimate) -> str:
    month = _usd(estimate.usd - estimate.unpaid_usd)
    rest = _usd(estimate.rest_usd - estimate.unpaid_rest_usd)
    return (
        f"An account that uses nothing else pays {month} ({rest} at rest): AWS gives each some "
        "of it for nothing."
    )


def _snapshots(estimate: Estimate) -> str:
    starts = f"{estimate.starts:,.0f} cold starts a month"
    if not estimate.load.snapstart:
        return f"{starts}, and each imports the code: a quarter to half a second."
    paid = sum(line.usd for line in estimate.lines if line.service == SNAPSTART)
    return (
        f"SnapStart is {_usd(paid)} of the sum, for {starts}; without it (--no-snapstart) each "
        "imports the code: a quarter to half a second."
    )


def markdown(estimate: Estimate) -> str:
    shown = [COLUMNS, ["---", "---", "---:", "---:", "---:", "---:"], *rows(estimate)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in shown)
    return table + "\n\n" + "\n".join(remarks(estimate)) + "\n"
