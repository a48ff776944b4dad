"""`cutwater import`: the settings of another gateway become an organisation."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Struct

from core.importing import braintrust, litellm, portkey
from core.importing.common import Imported, ImportingError, Known
from handlers import cli_orgs
from handlers.cli_common import LOCAL, Stack, Yes, read, remark, show_json
from handlers.places import Where
from handlers.terminal import Data, Json, Table, stop
from providers import catalog


class Format(StrEnum):
    """Whose settings they are."""

    BRAINTRUST = "braintrust"
    LITELLM = "litellm"
    PORTKEY = "portkey"


class _Target(Struct, frozen=True, kw_only=True):
    output: Path | None
    apply: bool
    where: Where
    yes: bool
    json: bool


def known() -> Known:
    variables = {
        name: tuple(one for one in (row.key_variable, row.other_key_variable) if one)
        for name, row in catalog.PROVIDERS.items()
    }
    types = frozenset(catalog.PROVIDERS)
    return Known(types=types, rules=catalog.rules(), key_variables=variables)


def import_settings(  # noqa: PLR0913  options of a command line
    form: Annotated[Format, typer.Argument(metavar="FORMAT", help="braintrust, litellm, portkey.")],
    file: Annotated[
        Path,
        typer.Argument(
            help="AI providers as Braintrust's API lists them; LiteLLM's config.yaml; a Portkey "
            "config."
        ),
    ],
    org: Annotated[str | None, typer.Option(help="The organisation's name.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where to write it; standard output without.")
    ] = None,
    data: Data = LOCAL,
    table: Table = None,
    *,
    stack: Stack = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Keep it at once, as `org apply` does.")
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Turn the settings of another gateway into an organisation, and say what is not taken."""
    if output is not None and apply:
        raise stop("--output or --apply, one of them.")
    where = Where(data=data, table=table, stack=stack)
    target = _Target(output=output, apply=apply, where=where, yes=yes, json=json)
    _deliver(file, _taken(form, file, org), target)


def _json(file: Path) -> Any:
    try:
        return msgspec.json.decode(read(file))
    except ValueError:
        # Without its cause, which may quote what it read.
        raise stop(f"{file}: not JSON") from None


def _yaml(file: Path) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise stop("this needs PyYAML: pip install pyyaml, then again.") from error
    try:
        return yaml.safe_load(read(file))
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise stop(f"{file}: not YAML{line}") from None
    except yaml.YAMLError:
        raise stop(f"{file}: not YAML") from None


def _taken(form: Format, file: Path, org: str | None) -> Imported:
    try:
        match form:
            case Format.BRAINTRUST:
                return braintrust.take(_json(file), known(), name=org)
            case Format.PORTKEY:
                return portkey.take(_json(file), known(), name=org)
            case Format.LITELLM:
                return litellm.take(_yaml(file), known(), environment=os.environ, name=org)
    except ImportingError as error:
        raise stop(f"{file}: {error}") from error


def _deliver(file: Path, imported: Imported, target: _Target) -> None:
    body = msgspec.json.format(msgspec.json.encode(imported.document), indent=2) + b"\n"
    if target.apply:
        cli_orgs.apply_document(body, str(file), target.where, json=target.json)
    elif target.output is not None:
        _write(target.output, body, yes=target.yes)
        if not target.json:
            number = len(imported.document["endpoints"])
            print(f"{target.output}: {imported.document['name']}, {number} endpoints")
    elif not target.json:
        print(body.decode(), end="")
    if target.json and not target.apply:
        show_json({"document": imported.document, "untaken": imported.untaken})
        return
    for one in imported.untaken:
        remark(f"{one.path}: {one.reason}")


def _write(output: Path, body: bytes, *, yes: bool) -> None:
    if output.exists() and not yes:
        typer.confirm(f"Overwrite {output}?", abort=True)
    try:
        # It holds keys: for its owner's eyes only, from the start.
        output.touch(mode=0o600)
        output.write_bytes(body)
    except OSError as error:
        raise stop(f"{output}: {error.strerror}") from error
