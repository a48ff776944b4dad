"""`cutwater credential`: temporary credentials on the store itself, without a server."""

from typing import Annotated, Any

import msgspec
import typer

from core.temporary import Shown
from handlers import admin_credentials, credential_table
from handlers.cli_cache import seconds
from handlers.cli_common import LOCAL, Stack, Yes, at, date, now, random, remark, show_json
from handlers.places import Where
from handlers.terminal import Data, Json, Key, Table

commands = typer.Typer(
    help="Temporary credentials, for browsers and apps; POST /credentials makes them too.",
    no_args_is_help=True,
)
Several = list[str] | None
Id = Annotated[
    str, typer.Argument(metavar="ID", help="As `create` says it; `jti` in the credential.")
]


@commands.command()
def create(  # noqa: PLR0913, PLR0917  options of a command line
    key: Key,
    model: Annotated[
        Several, typer.Option(help="Only this model; `*` stands for any characters; repeatable.")
    ] = None,
    route: Annotated[
        Several, typer.Option(help="Only this kind of route: chat, embeddings ...; repeatable.")
    ] = None,
    endpoint: Annotated[
        Several, typer.Option(help="Only this endpoint of the organisation; repeatable.")
    ] = None,
    origin: Annotated[
        Several, typer.Option(help="Only for pages of this origin; repeatable.")
    ] = None,
    ttl: Annotated[str, typer.Option(help="How long it is good: 600, 30m, 12h; at most 24h.")] = (
        "600"
    ),
    max_requests: Annotated[int | None, typer.Option(help="Requests in all.")] = None,
    max_cost_usd: Annotated[float | None, typer.Option(help="US dollars in all.")] = None,
    parent: Annotated[
        str | None, typer.Option(help="What its requests are to be logged to.")
    ] = None,
    org: Annotated[
        str | None, typer.Option(help="Which organisation, where the key has several.")
    ] = None,
    data: Data = LOCAL,
    table: Table = None,
    stack: Stack = None,
    *,
    json: Json = False,
) -> None:
    """Issue a temporary credential on behalf of a key, and print it."""
    wanted: dict[str, Any] = {
        **_models(model),
        "routes": route,
        "endpoints": endpoint,
        "origins": origin,
        "ttl_seconds": seconds(ttl),
        "max_requests": max_requests,
        "max_cost_usd": max_cost_usd,
        "logging": None if parent is None else {"parent": parent},
    }
    fields = {name: value for name, value in wanted.items() if value is not None}
    issued = at(
        Where(data=data, table=table, stack=stack),
        lambda place: admin_credentials.create(
            place, key, fields, org_name=org, now=now(), random=random
        ),
    )
    if json:
        show_json({"key": issued.key, "id": issued.id, "expires_at": issued.expires_at})
        return
    print(issued.key)
    remark(f"credential {issued.id}, good until {date(issued.expires_at)} UTC")


def _models(names: Several) -> dict[str, Any]:
    if names is not None and len(names) == 1 and "*" not in names[0]:
        return {"model": names[0]}
    return {"models": names}


@commands.command()
def inspect(
    credential_id: Id,
    key: Key,
    data: Data = LOCAL,
    table: Table = None,
    stack: Stack = None,
    *,
    json: Json = False,
) -> None:
    """Show what a credential may do; only with the key that issued it."""
    where = Where(data=data, table=table, stack=stack)
    shown = at(where, lambda place: credential_table.inspect(place.store, key, credential_id))
    if json:
        show_json(shown)
    else:
        _tell(shown)


def _tell(shown: Shown) -> None:
    print(f"credential    {shown.id}")
    print(f"organisation  {_org(shown)}")
    print(f"issued        {date(shown.created_at)} UTC")
    print(f"good until    {date(shown.expires_at)} UTC")
    if shown.revoked_at is not None:
        print(f"revoked       {date(shown.revoked_at)} UTC")
    if shown.requests is not None:
        print(f"requests      {shown.requests}")
    if shown.cost_usd is not None:
        print(f"spent         ${shown.cost_usd:.6f}")
    granted: dict[str, Any] = msgspec.to_builtins(shown.grant)
    for name, value in granted.items():
        said = ", ".join(value) if isinstance(value, list | tuple) else value
        print(f"{name:<13} {said}")


def _org(shown: Shown) -> str:
    return shown.org_name or "none, a provider's own key"


@commands.command()
def revoke(  # noqa: PLR0913  options of a command line
    credential_id: Id,
    key: Key,
    data: Data = LOCAL,
    table: Table = None,
    stack: Stack = None,
    *,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Revoke a credential before its time; only with the key that issued it."""
    if not yes:
        typer.confirm(f"Revoke the credential {credential_id}?", abort=True)
    at(
        Where(data=data, table=table, stack=stack),
        lambda place: credential_table.revoke(
            place.store, key, credential_id, now=now(), random=random
        ),
    )
    if json:
        show_json({"revoked": credential_id})
    else:
        print(f"{credential_id}: revoked")
