"""Events of Lambda, as far as Mangum does not say them as ASGI does.

What stands before our own paths differs: API Gateway leaves its stage out of a REST event's path
and in that of an HTTP API, and a custom domain's base path is in both.
"""

import re
from collections.abc import Iterable
from typing import Any, Final, TypeAlias
from urllib.parse import quote, unquote

from handlers.asgi import Scope

Event: TypeAlias = dict[str, Any]

_BARE_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")


def is_rest(event: Event) -> bool:
    """HTTP APIs can send this shape too; they name its version, and they cannot stream."""
    return "resource" in event and "httpMethod" in event and "version" not in event


def scope_of(scope: Scope, event: Event) -> Scope:
    """Mangum's scope as ASGI asks for it: headers as pairs of bytes, and the path undecoded."""
    path = _path(event)
    escaped = quote(path or "/", safe="%/:@!$&'()*+,;=")
    return {
        **scope,
        "headers": [(name.lower(), value) for name, value in scope["headers"]],
        "path": unquote(path) or "/",
        "raw_path": _BARE_PERCENT.sub("%25", escaped).encode(),
    }


def _path(event: Event) -> str:
    context = event["requestContext"]
    path: str = context["http"]["path"] if "http" in context else event["path"]
    if is_rest(event):
        proxy = (event.get("pathParameters") or {}).get("proxy")
        return path if proxy is None else _without_base(path, proxy)
    stage = context.get("stage") or "$default"
    return path.removeprefix(f"/{stage}") if path.startswith(f"/{stage}/") else path


def _without_base(path: str, proxy: str) -> str:
    """`proxy` is what the resource `/{proxy+}` took, whatever a domain has before it."""
    whole, own = unquote(path), "/" + unquote(proxy)
    base = whole.removesuffix(own)
    return path.removeprefix(base) if whole.endswith(own) and path.startswith(base) else path


def utf8(headers: Iterable[tuple[bytes, bytes]]) -> list[list[bytes]]:
    """Headers are Latin-1; Mangum reads them as UTF-8."""
    return [[name, value.decode("latin-1").encode()] for name, value in headers]
