"""What the commands of the command line have in common."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from core.ports import Store, StoreError
from handlers import wiring

T = TypeVar("T")

Data = Annotated[
    Path, typer.Option(envvar="CUTWATER_DATA", help="Where `cutwater serve` keeps its state.")
]
Table = Annotated[
    str | None,
    typer.Option(envvar="CUTWATER_TABLE", help="A DynamoDB table instead of the local one."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Key = Annotated[
    str,
    typer.Option(
        envvar="CUTWATER_KEY",
        help="The caller's key. The variable keeps it out of the list of processes.",
        show_default=False,
    ),
]


def stop(message: str) -> typer.Exit:
    # Not wrapped: a path that is cut in two can be neither copied nor searched for.
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"cutwater: {message}", style="red", markup=False)
    return typer.Exit(2)


def with_store(
    data: Path, table: str | None, work: Callable[[Store], Awaitable[T]], *, new: bool = False
) -> T:
    """Runs `work` on the table of this machine, or on one in AWS; `new`: it may make one."""
    if table is None and not new and not (data / wiring.DATABASE).exists():
        # Else a purge in the wrong folder would say that it is done.
        raise stop(f"There is no table in {data}: name its folder with --data, or use --table.")

    async def run() -> T:
        async with wiring.opened_store(data, table) as store:
            return await work(store)

    try:
        return asyncio.run(run())
    except (StoreError, OSError) as error:
        raise stop(str(error)) from error
