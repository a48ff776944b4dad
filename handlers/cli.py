"""The command line."""

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from core import __version__ as version
from core.orgs import Org, SettingsError
from core.ports import StoreError
from handlers import (
    cli_cache,
    cli_cost,
    cli_credentials,
    cli_doctor,
    cli_import,
    cli_keys,
    cli_orgs,
)
from handlers.terminal import stop

cli = typer.Typer(
    name="cutwater",
    help="One URL in front of every AI provider, in your own hands.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


cli.add_typer(cli_orgs.commands, name="org")
cli.add_typer(cli_keys.commands, name="key")
cli.add_typer(cli_credentials.commands, name="credential")
cli.add_typer(cli_cache.commands, name="cache")
cli.command(name="import")(cli_import.import_settings)
cli.command(name="cost")(cli_cost.cost)
cli.command(name="doctor")(cli_doctor.examine)


@cli.command(name="version")
def show_version() -> None:
    """Print the version."""
    print(version)


@cli.command()
def serve(
    host: Annotated[
        str, typer.Option(envvar="CUTWATER_HOST", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="CUTWATER_PORT", help="Port to listen on.")] = 8787,
    org: Annotated[
        list[Path] | None, typer.Option(help="An organisation file; may be repeated.")
    ] = None,
    data: Annotated[
        Path, typer.Option(envvar="CUTWATER_DATA", help="Where local state is kept.")
    ] = Path(".cutwater"),
    drain: Annotated[
        int,
        typer.Option(
            envvar="CUTWATER_DRAIN_S",
            min=0,
            help="Seconds that requests under way have once it is told to stop.",
        ),
    ] = 30,
) -> None:
    """Run the proxy on this machine. It picks up OPENAI_API_KEY, ANTHROPIC_API_KEY and Ollama."""
    from handlers import local, wiring
    from infra.org_files import OrgFiles

    try:
        orgs = wiring.read_orgs(org or [])
        # In a deployment, a provider key in the environment is nobody's endpoint by accident.
        deployed = bool(os.environ.get("CUTWATER_SECRETS_PREFIX"))
        if local.LOCAL not in orgs and not deployed:
            orgs[local.LOCAL] = local.local_org(os.environ, data)
        app = wiring.build(more=orgs, data=data)
        stored = asyncio.run(OrgFiles(data / "orgs").names())
    except (SettingsError, StoreError) as error:
        raise stop(str(error)) from error
    except OSError as error:
        raise stop(f"{error.filename}: {error.strerror}") from error
    if taken := _taken(host, port):
        raise stop(f"{host}:{port} cannot be used: {taken}. Choose another one with --port.")
    _greet(host, port, orgs, [name for name in stored if name not in orgs], data)
    local.serve(app, host, port, drain)


def _taken(host: str, port: int) -> str | None:
    """Why the address cannot be listened on."""
    try:
        family = socket.getaddrinfo(host, port)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return error.strerror or "no such address"
    return None


_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def _greet(host: str, port: int, orgs: dict[str, Org], stored: list[str], data: Path) -> None:
    url = f"http://{host}:{port}/v1"
    print(f"\nCutwater {version} is listening on {url}\n")
    for org in orgs.values():
        found = ", ".join(endpoint.label for endpoint in org.endpoints) or "none yet"
        print(f"  organisation {org.name}: {found}")
    for name in stored:
        print(f"  organisation {name}: `cutwater org show {name}`")
    print("  built in, no key needed: demo-echo, demo-tools, demo-slow, demo-fault-...")
    if "local" in orgs and orgs["local"].keys:
        # Where others can reach it, others may read what it prints.
        file = data / "local.key"
        place = f"in {file}" if file.exists() else "in its settings"
        key = orgs["local"].keys[0].key if host in _LOOPBACK else place
        print(f"\n  key of the organisation local: {key}")
    print(_SNIPPETS.format(url=url))
    sys.stdout.flush()


_SNIPPETS = """
Try it:

  curl -N {url}/chat/completions \\
    -H 'authorization: Bearer demo' -H 'content-type: application/json' \\
    -d '{{"model": "demo-echo", "stream": true,
         "messages": [{{"role": "user", "content": "Hello from Cutwater"}}]}}'

or in Python (pip install openai):

  from openai import OpenAI

  client = OpenAI(base_url="{url}", api_key="demo")
  answer = client.chat.completions.create(
      model="demo-echo", messages=[{{"role": "user", "content": "Hello from Cutwater"}}]
  )
  print(answer.choices[0].message.content)

Set OPENAI_API_KEY or ANTHROPIC_API_KEY and start again to reach those providers. Ctrl-C stops.
"""


def main() -> None:
    cli()


if __name__ == "__main__":
    main()
