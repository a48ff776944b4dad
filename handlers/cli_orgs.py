"""`cutwater org`: apply, show, list and delete organisations."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from handlers import admin_orgs
from handlers.admin_orgs import Applied
from handlers.cli_common import (
    LOCAL,
    Stack,
    Yes,
    at,
    now,
    random,
    read,
    remark,
    show_json,
    show_table,
)
from handlers.places import Where
from handlers.terminal import Data, Json, Table

commands = typer.Typer(
    help="Organisations: their providers' keys, and who may use them.", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="The organisation's name.")]


@commands.command()
def apply(
    file: Annotated[Path, typer.Argument(help="An organisation's document, JSON.")],
    data: Data = LOCAL,
    table: Table = None,
    stack: Stack = None,
    *,
    json: Json = False,
) -> None:
    """Check an organisation's document and keep it, in place of an older one."""
    body = read(file)
    apply_document(body, str(file), Where(data=data, table=table, stack=stack), json=json)


def apply_document(body: bytes, source: str, where: Where, *, json: bool) -> None:
    applied = at(
        where,
        lambda place: admin_orgs.apply(place, body, source=source, now=now(), random=random),
    )
    if json:
        show_json(applied)
    else:
        _tell(applied)


def _tell(applied: Applied) -> None:
    done = "created" if applied.created else "replaced"
    print(f"{applied.name}: {done}, {applied.endpoints} endpoints")
    if applied.data_key == "made":
        print("  a data key was made for the shared cache")
    if applied.data_key == "kept":
        print("  the data keys it had are kept")
    if applied.keys_moved:
        names = ", ".join(applied.keys_moved)
        print(f"  keys moved to the key store, as digests: {names}")
        print("  the deployment does not know them in clear: take them out of the file")


@commands.command()
def show(
    name: Name,
    data: Data = LOCAL,
    table: Table = None,
    stack: Stack = None,
    *,
    reveal: Annotated[bool, typer.Option("--reveal", help="With its secrets.")] = False,
    json: Json = False,
) -> None:
    """Print an organisation's document, its secrets masked."""
    where = Where(data=data, table=table, stack=stack)
    found = at(where, lambda place: admin_orgs.show(place.secrets, name, reveal=reveal))
    if json:
        show_json(found)
    else:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


@commands.command(name="list")
def list_orgs(
    data: Data = LOCAL, table: Table = None, stack: Stack = None, *, json: Json = False
) -> None:
    """List the organisations."""
    where = Where(data=data, table=table, stack=stack)
    found = at(where, lambda place: admin_orgs.listed(place, now()))
    if json:
        show_json(found)
        return
    rows = [
        [one.name, str(one.endpoints), str(one.keys), "yes" if one.shared_cache else "no"]
        for one in found
    ]
    show_table(["organisation", "endpoints", "keys", "shared cache"], rows)
    for one in found:
        if one.fault is not None:
            remark(f"cannot be used: {one.fault}")


@commands.command()
def delete(
    name: Name,
    data: Data = LOCAL,
    table: Table = None,
    stack: Stack = None,
    *,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete an organisation, and revoke the keys that belong to no other."""
    if not yes:
        typer.confirm(f"Delete the organisation {name} and revoke its keys?", abort=True)
    where = Where(data=data, table=table, stack=stack)
    revoked = at(where, lambda place: admin_orgs.delete(place, name, now()))
    if json:
        show_json({"deleted": name, "keys_revoked": revoked})
        return
    print(f"{name}: deleted, {revoked} keys revoked")
    if stack is not None:
        print("  Secrets Manager keeps it for 7 more days; applying it again brings it back")
