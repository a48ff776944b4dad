"""Structured output where it is no field of its own: a tool whose arguments are the answer.

A model that takes a schema as such gets it only beside tools or thinking,
where a forced tool cannot stand in.
"""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw, structs

from core.errors import BadRequestError, UpstreamError
from core.held_schemas import ANTHROPIC, Held, Rules, held, is_object
from core.neutral import Facts, Request, Schema, Tool

STAND_IN: Final = "json"
"""The tool whose arguments are the structured answer."""

MOST_HELD: Final = 20
"""Anthropic refuses more strict tools in one request."""

_NO_FIELDS: Final = Raw(b'{"type":"object","properties":{}}')
_ANY_OBJECT: Final = Raw(b'{"type":"object"}')


def hold(
    schema: Raw | None, rules: Rules, name: str, *, strict: bool | None
) -> tuple[Raw | None, bool, list[str]]:
    """The schema to send, whether to hold the model to it, and what of the wish is lost."""
    if not strict:
        return schema, False, []
    found = held(schema or _NO_FIELDS, rules)
    if found is None:
        return schema, False, [f"{name}.strict"]
    return found.schema, True, [f"{name}.{keyword}" for keyword in found.moved]


def native(request: Request, schema: Schema, facts: Facts, *, thinks: bool) -> Held | None:
    """The schema to send as such, None where a tool stands in; 400 where there is no way."""
    given = schema.schema
    if facts.native_schema and given is not None:
        # Arguments of a tool are an object; an answer may be a list.
        crowded = bool(request.tools) or thinks or not is_object(given)
        found = held(given, ANTHROPIC) if crowded else None
        if found is not None:
            return found
    if request.tools:
        raise beside_tools()
    return None


def beside_tools() -> BadRequestError:
    return BadRequestError(
        "This model cannot give structured output and use tools in one request: "
        "leave one of them out, or use a model that takes this schema beside tools.",
        param="response_format",
    )


def stand_in(schema: Schema, *, strict: bool = False) -> Tool:
    return Tool(
        name=STAND_IN,
        description="Output the result in JSON format",
        schema=schema.schema or _ANY_OBJECT,
        strict=strict or None,
    )


def held_tools(tools: Iterable[Tool], name: str, *, able: bool) -> tuple[list[Tool], list[str]]:
    """Tools as a model of Anthropic's is held to them, and what of `strict` is lost.

    `able`: the model can be held to a schema; to others `strict` is an unknown field.
    """
    written: list[Tool] = []
    lost: list[str] = []
    left = MOST_HELD if able else 0
    for tool in tools:
        schema, is_held, missing = tool.schema, False, [f"{name}.strict"] if tool.strict else []
        if tool.strict and left:
            schema, is_held, missing = hold(tool.schema, ANTHROPIC, name, strict=True)
        left -= is_held
        lost += missing
        written.append(structs.replace(tool, schema=schema, strict=is_held or None))
    return written, lost


def answered(arguments: str, *, cut: bool) -> Raw:
    """The arguments of a call in an answer, as the object they should be.

    `cut`: the answer ended at its limit, perhaps in the middle of them.
    """
    given = Raw(b"{}") if arguments.strip() == "null" else as_object(arguments)
    if given is not None:
        return given
    if cut:
        return Raw(b"{}")
    raise UpstreamError("The model wrote tool arguments that are no JSON object.")


def as_object(arguments: str) -> Raw | None:
    """A tool's arguments as the object they should be; None where a model wrote something else."""
    if not arguments.strip():
        return Raw(b"{}")
    try:
        msgspec.json.decode(arguments, type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError):
        return None
    return Raw(arguments.encode())
