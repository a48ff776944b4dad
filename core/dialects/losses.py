"""What of a request a provider's dialect has no field for, by neutral names.

A dialect that has the field does not ask for its name here. What merely looks
different in it is no loss.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from core.neutral import Media, Part, Request, Text, ToolCall, ToolResult


def _parts(request: Request) -> Iterable[Part]:
    for message in request.messages:
        for part in message.parts:
            yield part
            if isinstance(part, ToolResult):
                yield from part.parts


def _media(request: Request) -> Iterable[Media]:
    return (part for part in _parts(request) if isinstance(part, Media))


def _marked(request: Request) -> bool:
    return any(tool.cache_control is not None for tool in request.tools) or any(
        part.cache_control is not None
        for part in _parts(request)
        if isinstance(part, Text | Media | ToolCall | ToolResult)
    )


_CHECKS: Final[Mapping[str, Callable[[Request], bool]]] = {
    "cache_control": _marked,
    "messages.image.detail": lambda request: any(
        media.detail not in (None, "auto") for media in _media(request)
    ),
    "messages.document.title": lambda request: any(
        media.name is not None and (media.media_type == "text/plain" or media.url is not None)
        for media in _media(request)
    ),
    "messages.name": lambda request: any(message.name for message in request.messages),
    "tools.strict": lambda request: any(tool.strict for tool in request.tools),
    "schema.description": lambda request: bool(request.schema and request.schema.description),
}
"""`messages.document.title`: a text or an address goes without its name, other files with it."""


def losses(request: Request, *names: str) -> list[str]:
    """Of `names`, those that this request says."""
    return [name for name in names if _CHECKS[name](request)]
