"""Structured output where it is no field of its own: a tool whose arguments are the answer.

A model that takes a schema as such gets it only beside tools or thinking,
where a forced tool cannot stand in.
"""

from typing import Final

import msgspec
from msgspec import Raw

from core.errors import BadRequestError
from core.neutral import Facts, Request, Schema, Tool

STAND_IN: Final = "json"
"""The tool whose arguments are the structured answer."""

_ANY_OBJECT: Final = Raw(b'{"type":"object"}')


def is_native(request: Request, schema: Schema, facts: Facts, *, thinks: bool) -> bool:
    """Whether to send the schema as such; 400 where there is no way to have it."""
    crowded = bool(request.tools) or thinks
    if crowded and facts.native_schema and schema.schema is not None:
        return True
    if request.tools:
        raise BadRequestError(
            "This model cannot give structured output and use tools in one request.",
            param="response_format",
        )
    return False


def stand_in(schema: Schema) -> Tool:
    return Tool(
        name=STAND_IN,
        description="Output the result in JSON format",
        schema=schema.schema or _ANY_OBJECT,
    )


def as_object(arguments: str) -> Raw | None:
    """A tool's arguments as the object they should be; None where a model wrote something else."""
    if not arguments.strip():
        return Raw(b"{}")
    try:
        msgspec.json.decode(arguments, type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError):
        return None
    return Raw(arguments.encode())
