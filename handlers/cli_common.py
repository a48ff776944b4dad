"""What the commands for organisations, keys and credentials have in common."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.table import Table as RichTable

from core.errors import CutwaterError
from core.orgs import SettingsError
from core.ports import StoreError
from handlers import places
from handlers.admin_keys import AdminError
from handlers.places import Place, Where
from handlers.terminal import stop

T = TypeVar("T")

Stack = Annotated[
    str | None,
    typer.Option(help="A stack in AWS instead of this machine: its table and its secrets."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
LOCAL: Final = Path(".cutwater")
_WIDE: Final = 1000
"""Into a file or a pipe a row is a line."""


def now() -> int:
    return int(time.time())


def random(number: int) -> bytes:
    return os.urandom(number)


def at(where: Where, work: Callable[[Place], Awaitable[T]]) -> T:
    """Runs `work`; what goes wrong is one line and the exit code 2."""

    async def run() -> T:
        async with places.opened(where) as place:
            return await work(place)

    try:
        return asyncio.run(run())
    except (AdminError, CutwaterError, SettingsError, StoreError) as error:
        raise stop(str(error)) from error
    except OSError as error:
        raise stop(
            ": ".join(str(one) for one in (error.filename, error.strerror) if one)
        ) from error


def read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise stop(f"{file}: {error.strerror}") from error


def show_json(value: Any) -> None:
    print(msgspec.json.encode(value).decode())


def show_table(columns: list[str], rows: list[list[str]]) -> None:
    table = RichTable(*columns)
    # Cut in two it can be neither copied nor searched for.
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDE
    console.print(table)


def remark(text: str) -> None:
    """Beside the result: standard output may go into a file."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(text)


def date(seconds: int | None) -> str:
    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
