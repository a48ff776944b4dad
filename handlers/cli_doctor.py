"""`cutwater doctor`: is everything as it should be, here or in a stack, and what to do if not."""

import asyncio
import os
from typing import Annotated, Final

import typer

from core import checks
from core.checks import Check, Expected
from core.ports import StoreError
from handlers import doctor
from handlers.admin_keys import AdminError
from handlers.cli_common import LOCAL, Stack, Yes, now, random, show_json, show_table
from handlers.doctor import Asking, Looked
from handlers.places import Where
from handlers.terminal import Data, Json, stop

_ENTROPY: Final = 32
_PORT: Final = "8787"


def examine(  # noqa: PLR0913, PLR0917  options of a command line
    stack: Stack = None,
    data: Data = LOCAL,
    url: Annotated[
        str | None, typer.Option(help="Where it is reached, if not at the usual place.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Ask the endpoints that serve it for this one.")
    ] = None,
    rps: Annotated[float, typer.Option(min=0, help="Requests a second at the peak.")] = 10.0,
    seconds: Annotated[float, typer.Option(min=0, help="How long each of them takes.")] = 20.0,
    key: Annotated[
        str | None,
        typer.Option(
            envvar="CUTWATER_KEY",
            help="A Cutwater key to ask with, in place of one made for ten minutes.",
            show_default=False,
        ),
    ] = None,
    *,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Check settings, stores, quotas, providers and streaming, and say what to do."""
    where = Where(data=data, stack=stack)
    try:
        looked = asyncio.run(_look(where, url, Expected(rps, seconds)))
        asking = Asking(
            endpoints=yes or _agreed(looked, where, quiet=json),
            models=tuple(model or ()),
            key=key,
        )
        asked = asyncio.run(doctor.ask(looked, asking, where, now(), random(_ENTROPY)))
    except (AdminError, StoreError, OSError) as error:
        raise stop(str(error)) from error
    _show([*looked.checks, *asked], json=json)


async def _look(where: Where, url: str | None, expected: Expected) -> Looked:
    if where.stack is not None:
        return await doctor.look_at_stack(where.stack, expected, url and url.rstrip("/"))
    port = os.environ.get("CUTWATER_PORT") or _PORT
    usual = f"http://127.0.0.1:{port}/v1"
    address = (url or usual).rstrip("/")
    return await doctor.look_here(where.data, os.environ, address, needed=url is not None)


def _agreed(looked: Looked, where: Where, *, quiet: bool) -> bool:
    if quiet or looked.url is None or not looked.endpoints:
        return False
    kept = where.stack or str(where.data)
    question = (
        f"Ask each of {looked.endpoints} endpoints for one token? It is paid for, "
        f"and a key that lives ten minutes may be made in {kept}."
    )
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        return False  # Nobody is there to answer.


def _show(found: list[Check], *, json: bool) -> None:
    well = checks.well(found)
    if json:
        show_json({"well": well, "checks": found})
    else:
        rows = [[one.name, one.verdict, one.found, one.to_do] for one in found]
        show_table(["check", "verdict", "found", "what to do"], rows)
        count = dict.fromkeys(("passed", "failed", "skipped"), 0)
        for one in found:
            count[one.verdict] += 1
        print(", ".join(f"{number} {verdict}" for verdict, number in count.items()))
    if not well:
        raise typer.Exit(1)
