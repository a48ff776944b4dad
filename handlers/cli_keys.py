"""`cutwater key`: create, list and revoke Cutwater keys."""

from typing import Annotated, Any

import msgspec
import typer

from core import keys
from core.keys import KeyRecord
from core.orgs import SettingsError
from handlers import admin_keys
from handlers.admin_keys import Created
from handlers.cli_cache import seconds
from handlers.cli_common import (
    LOCAL,
    Stack,
    Yes,
    at,
    date,
    now,
    random,
    remark,
    show_json,
    show_table,
)
from handlers.places import Place, Where
from handlers.terminal import Data, Json, Table, stop

commands = typer.Typer(
    help="Keys of organisations: shown once, kept as digests.", no_args_is_help=True
)
Several = list[str] | None


@commands.command()
def create(  # noqa: PLR0913, PLR0917  options of a command line
    org: Annotated[list[str], typer.Option(help="The organisation it is for; may be repeated.")],
    name: Annotated[str, typer.Option(help="What it is for: `ci`, `alice`.")],
    model: Annotated[
        Several, typer.Option(help="Only this model; `*` stands for any characters; repeatable.")
    ] = None,
    route: Annotated[
        Several, typer.Option(help="Only this kind of route: chat, embeddings ...; repeatable.")
    ] = None,
    endpoint: Annotated[
        Several, typer.Option(help="Only this endpoint of the organisation; repeatable.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="After 12h, 30d ...; never without.")] = None,
    rpm: Annotated[int | None, typer.Option(help="Requests a minute.")] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens a minute.")] = None,
    usd_per_day: Annotated[float | None, typer.Option(help="US dollars a day.")] = None,
    usd_total: Annotated[float | None, typer.Option(help="US dollars in all.")] = None,
    data: Data = LOCAL,
    table: Table = None,
    stack: Stack = None,
    *,
    json: Json = False,
) -> None:
    """Create a key and print it, once."""
    moment = now()
    limits = {
        "requests_per_minute": rpm,
        "tokens_per_minute": tpm,
        "usd_per_day": usd_per_day,
        "usd_total": usd_total,
    }
    try:
        draft = keys.draft(
            name,
            org,
            scopes={"models": model or (), "routes": route or (), "endpoints": endpoint or ()},
            limits={limit: most for limit, most in limits.items() if most is not None},
            expires_at=None if expires is None else moment + seconds(expires),
        )
    except SettingsError as error:
        raise stop(str(error)) from error

    async def work(place: Place) -> tuple[Created, list[str]]:
        created = await admin_keys.create(place.store, draft, now=moment, random=random)
        known = {*await place.secrets.names(), *place.local_keys}
        return created, [one for one in draft.orgs if one not in known]

    created, unknown = at(Where(data=data, table=table, stack=stack), work)
    if json:
        show_json({"key": created.key, **_plain(created.record, moment)})
    else:
        print(created.key)
        remark(f"key {created.record.id} for {', '.join(draft.orgs)}: it is not shown again")
    for one in unknown:
        remark(f"there is no organisation {one} here yet: `cutwater org apply` makes it")


def _plain(record: KeyRecord, moment: int) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(record)
    return {**plain, "state": admin_keys.state(record, moment)}


@commands.command(name="list")
def list_keys(
    org: Annotated[str | None, typer.Option(help="Of this organisation only.")] = None,
    data: Data = LOCAL,
    table: Table = None,
    stack: Stack = None,
    *,
    json: Json = False,
) -> None:
    """List keys by their ids; of the keys themselves nobody has a copy."""
    where, moment = Where(data=data, table=table, stack=stack), now()
    found = at(where, lambda place: admin_keys.listed(place.store, org))
    if json:
        show_json([_plain(record, moment) for record in found])
        return
    columns = ["id", "name", "organisations", "state", "may use", "limits", "expires", "last used"]
    show_table(columns, [_cells(record, moment) for record in found])


def _cells(record: KeyRecord, moment: int) -> list[str]:
    scopes: dict[str, list[str]] = msgspec.to_builtins(record.scopes)
    may = "; ".join(f"{what}: {', '.join(names)}" for what, names in scopes.items())
    limits: dict[str, Any] = msgspec.to_builtins(record.limits)
    return [
        record.id,
        record.name,
        ", ".join(record.orgs),
        admin_keys.state(record, moment),
        may or "all",
        ", ".join(f"{name} {most}" for name, most in limits.items()) or "-",
        date(record.expires_at),
        date(record.last_used_at),
    ]


@commands.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `key list` shows it.")],
    data: Data = LOCAL,
    table: Table = None,
    stack: Stack = None,
    *,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Revoke a key for good: at most 60 seconds later it is refused everywhere."""
    where, moment = Where(data=data, table=table, stack=stack), now()
    digest, record = at(where, lambda place: admin_keys.named(place.store, key_id))
    if record.revoked_at is None and not yes:
        whose = f"{record.name} of {', '.join(record.orgs)}"
        typer.confirm(f"Revoke the key {record.id} ({whose})?", abort=True)
    over = at(where, lambda place: admin_keys.revoke(place.store, digest, record, moment))
    if json:
        show_json(_plain(over, moment))
    else:
        print(f"{over.id}: revoked on {date(over.revoked_at)} UTC")
