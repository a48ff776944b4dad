"""What of a request a provider's dialect has no field for, by neutral names.

A dialect that has the field does not ask for its name here. What merely looks
different in it is no loss.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Final, TypeAlias

from core.neutral import Media, Part, Request, Text, ToolCall, ToolResult

Parts: TypeAlias = Sequence[Part]
"""All parts of a request, those of tool results among them."""

_MARKABLE: Final = (Text, Media, ToolCall, ToolResult)


def _parts(request: Request) -> Parts:
    parts = [part for message in request.messages for part in message.parts]
    inner = [part.parts for part in parts if isinstance(part, ToolResult)]
    return [*parts, *chain.from_iterable(inner)] if inner else parts


def _marked(request: Request, parts: Parts) -> bool:
    return any(tool.cache_control is not None for tool in request.tools) or any(
        part.cache_control is not None for part in parts if isinstance(part, _MARKABLE)
    )


_CHECKS: Final[Mapping[str, Callable[[Request, Parts], bool]]] = {
    "cache_control": _marked,
    "messages.image.detail": lambda _, parts: any(
        part.detail not in (None, "auto") for part in parts if isinstance(part, Media)
    ),
    "messages.document.title": lambda _, parts: any(
        part.name is not None and (part.media_type == "text/plain" or part.url is not None)
        for part in parts
        if isinstance(part, Media)
    ),
    "messages.name": lambda request, _: any(message.name for message in request.messages),
    "tools.strict": lambda request, _: any(tool.strict for tool in request.tools),
    "schema.description": lambda request, _: bool(request.schema and request.schema.description),
}
"""`messages.document.title`: a text or an address goes without its name, other files with it."""


def losses(request: Request, *names: str) -> list[str]:
    """Of `names`, those that this request says."""
    parts = _parts(request)
    return [name for name in names if _CHECKS[name](request, parts)]
