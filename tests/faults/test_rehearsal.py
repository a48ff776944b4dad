"""What docs/outages.md promises of each demo model is what happens."""

import re
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from msgspec import Struct

from core import orgs
from core.orgs import Org
from infra.clock import SystemClock
from providers import catalog, demo
from tests.asgi_driver import ask
from tests.fakes import application
from tests.faults.clients import Outcome, outcome_of

PAGE: Final = (Path(__file__).parents[2] / "docs/outages.md").read_text()
WORDS: Final = "one two three four five six"


class Line(Struct, frozen=True):
    """A row of the table."""

    streamed: str
    whole: str
    pair: str
    attempts: str
    reason: str


LINES: Final = {
    model: Line(*(cell.strip(" `") for cell in cells.split("|")[2:7]))
    for model, cells in re.findall(r"^\| `(demo-fault-[a-z0-9-]+)` (.*)\|$", PAGE, re.MULTILINE)
}
SETTINGS: Final = {
    found["name"]: found
    for block in re.findall(r"<<'END'\n(.*?)END\n", PAGE, re.DOTALL)
    for found in [msgspec.json.decode(block)]
}
SHORT: Final = {"first_byte_s": 0.2, "first_token_s": 0.2, "idle_s": 0.2, "total_s": 9}


def organisation(name: str, **changes: Any) -> Org:
    """As the page has it, with less patience."""
    document = msgspec.json.encode({**SETTINGS[name], "timeouts": SHORT, **changes})
    return orgs.parse(document, source="page", types=frozenset(catalog.PROVIDERS))


async def asked(
    org: Org, model: str, *, stream: bool, **headers: str
) -> tuple[Outcome, dict[str, str], bytes]:
    app, _ = application(None, org, clock=SystemClock())
    body = {
        "model": model,
        "stream": stream,
        "messages": [{"role": "user", "content": WORDS}],
    }
    headers = {"authorization": f"Bearer {org.keys[0].key}", **headers}
    exchange = await ask(app, "/v1/chat/completions", body, headers=headers)
    return outcome_of("openai_chat", exchange, stream=stream), exchange.headers, exchange.body


def seen(found: Outcome) -> str:
    """In the words of the page."""
    match found.end:
        case "complete" if found.text == WORDS:
            return "answer"
        case "event" if WORDS.startswith(found.text) and found.text:
            return "error event"
        case "status":
            return str(found.status)
        case _:
            return str(found)


def test_every_fault_is_on_the_page() -> None:
    assert set(LINES) == set(demo.FAULTS)


@pytest.mark.parametrize("model", sorted(LINES))
async def test_a_sole_endpoint_shows_what_the_page_says(model: str) -> None:
    org = organisation("alone", retry={"max_attempts": 1})
    streamed, _, _ = await asked(org, model, stream=True)
    whole, _, _ = await asked(org, model, stream=False)
    assert (seen(streamed), seen(whole)) == (LINES[model].streamed, LINES[model].whole)


@pytest.mark.parametrize("model", sorted(LINES))
async def test_a_pair_of_endpoints_shows_what_the_page_says(model: str) -> None:
    found, headers, _ = await asked(organisation("pair"), model, stream=True)
    assert (seen(found), headers["x-bt-attempts"]) == (LINES[model].pair, LINES[model].attempts)
    if seen(found) == "answer":
        used = "first" if LINES[model].attempts == "1" else "second"
        assert headers["x-bt-used-endpoint"] == used


async def test_a_model_that_is_missing_is_the_endpoints_fault() -> None:
    found, _, _ = await asked(organisation("alone"), "demo-fault-404", stream=True)
    assert seen(found) == LINES["demo-fault-404"].streamed


async def test_a_fallback_named_by_the_caller_answers_by_its_name() -> None:
    found, _, body = await asked(
        organisation("alone"),
        "demo-fault-context",
        stream=True,
        **{"x-bt-fallback-models": "demo-echo"},
    )
    assert seen(found) == "answer"
    assert b'"model":"demo-echo"' in body


async def test_a_broken_stream_goes_on_where_the_settings_say_so() -> None:
    org = organisation("pair", midstream="continue")
    found, _, _ = await asked(org, "demo-fault-cut", stream=True)
    assert seen(found) == "answer"
