"""`cutwater cache`: count, purge, prove; cassettes to files and back."""

import secrets
import time
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table as RichTable

from handlers import housekeeping
from handlers.housekeeping import CassetteError, Stats
from handlers.terminal import Data, Json, Key, Table, stop, with_store

commands = typer.Typer(
    help="The encrypted cache: what it holds, and the cassettes of tests.",
    no_args_is_help=True,
)
LOCAL = Path(".cutwater")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Cassette = Annotated[str, typer.Option(help="Its name, as in x-bt-cassette.")]


def _now() -> int:
    return int(time.time())


def seconds(said: str) -> int:
    """`30m`, `12h`, `7d`, or seconds."""
    unit = _UNITS.get(said[-1:].lower())
    digits = said if unit is None else said[:-1]
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 12):
        raise typer.BadParameter("a time such as 3600, 30m, 12h or 7d")
    return int(digits) * (unit or 1)


@commands.command()
def stats(data: Data = LOCAL, table: Table = None, *, json: Json = False) -> None:
    """How much lies in the cache. What it says cannot be seen from here."""
    found = with_store(data, table, lambda store: housekeeping.stats(store, _now()))
    if json:
        print(msgspec.json.encode(found).decode())
        return
    shown = RichTable(
        "", "answers", "rows", "expired", "organisations", "bytes", "oldest", "newest"
    )
    for name, one in found.items():
        shown.add_row(name, *_cells(one))
    Console().print(shown)


def _cells(one: Stats) -> list[str]:
    counts = (one.answers, one.rows, one.expired, one.organisations, one.bytes)
    return [*(f"{count:,}" for count in counts), _time(one.oldest), _time(one.newest)]


def _time(seconds_since: int) -> str:
    if not seconds_since:
        return "-"
    return datetime.fromtimestamp(seconds_since, UTC).strftime("%Y-%m-%d %H:%M")


@commands.command()
def purge(  # noqa: PLR0913  options of a command line
    data: Data = LOCAL,
    table: Table = None,
    org: Annotated[str | None, typer.Option(help="Of this organisation only.")] = None,
    older_than: Annotated[
        str | None, typer.Option(help="Kept longer ago than this: 30m, 12h, 7d.")
    ] = None,
    *,
    cassettes: Annotated[bool, typer.Option(help="Cassettes as well.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Delete answers from the cache."""
    before = None if older_than is None else _now() - seconds(older_than)
    if not yes:
        whose = "all organisations" if org is None else f"the organisation {org}"
        age = "" if older_than is None else f" that are older than {older_than}"
        typer.confirm(f"Delete the cached answers of {whose}{age}?", abort=True)
    gone = with_store(
        data,
        table,
        lambda store: housekeeping.purge(store, org=org, before=before, cassettes=cassettes),
    )
    print(msgspec.json.encode({"deleted": gone}).decode() if json else f"{gone} rows deleted")


@commands.command()
def verify(
    data: Data = LOCAL,
    table: Table = None,
    sample: Annotated[int, typer.Option(help="How many answers to try.")] = 50,
    *,
    json: Json = False,
) -> None:
    """Prove on a sample that answers open with the right key only."""
    proof = with_store(data, table, lambda store: housekeeping.verify(store, _now(), sample=sample))
    if json:
        print(msgspec.json.encode(proof).decode())
    else:
        print(f"{proof.sampled} answers tried with keys that are not theirs: {proof.opened} opened")
        print(f"{proof.readable} of them hold bytes that are not sealed")
        print("an answer sealed for the purpose: " + ("; ".join(proof.canary) or "as it should be"))
    if not proof.holds:
        raise typer.Exit(1)


@commands.command(name="export")
def export_cassette(
    file: Annotated[Path, typer.Argument(help="Where to write it.")],
    cassette: Cassette,
    key: Key,
    data: Data = LOCAL,
    table: Table = None,
) -> None:
    """Write a cassette to a file, in the clear, to lie beside the tests that replay it."""
    try:
        document = with_store(
            data,
            table,
            lambda store: housekeeping.export(store, key=key, cassette=cassette, now=_now()),
        )
    except CassetteError as error:
        raise stop(str(error)) from error
    try:
        file.write_bytes(document)
    except OSError as error:
        raise stop(f"{file}: {error.strerror}") from error
    number = document.count(b"\n")
    print(f"{number} answers written to {file}")


@commands.command(name="import")
def import_cassette(
    file: Annotated[Path, typer.Argument(help="A file that `cache export` wrote.")],
    cassette: Cassette,
    key: Key,
    data: Data = LOCAL,
    table: Table = None,
) -> None:
    """Read a cassette from a file: from then on it replays for the holder of the key."""
    try:
        document = file.read_bytes()
    except OSError as error:
        raise stop(f"{file}: {error.strerror}") from error
    try:
        number = with_store(
            data,
            table,
            lambda store: housekeeping.import_(
                store, document, key=key, cassette=cassette, now=_now()
            ),
            new=True,
        )
    except CassetteError as error:
        raise stop(f"{file}: {error}") from error
    print(f"{number} answers read into the cassette {cassette}")


@commands.command()
def new_key() -> None:
    """Print a new data key, for `data_keys` in the settings of an organisation."""
    print(urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("="))
