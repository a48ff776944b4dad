"""Paths -> what they mean.

Every route lives under `/v1/proxy`, `/v1` or nothing, with `/btorg/<org>`
before or after that prefix; the rest names the client's dialect.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from core.errors import BadRequestError, MethodNotAllowedError, NotFoundError

DialectName: TypeAlias = Literal["openai_chat", "anthropic"]
Kind: TypeAlias = Literal["chat", "models", "model", "health"]


class Route(Struct, frozen=True, kw_only=True):
    kind: Kind
    method: str
    dialect: DialectName = "openai_chat"
    org: str | None = None
    model: str | None = None


_chat = Route(kind="chat", method="POST")
_messages = Route(kind="chat", method="POST", dialect="anthropic")

ROUTES: Final[Mapping[str, Route]] = {
    "/chat/completions": _chat,
    "/messages": _messages,
    "/anthropic/messages": _messages,
    "/anthropic/v1/messages": _messages,
    "/models": Route(kind="models", method="GET"),
    "/anthropic/v1/models": Route(kind="models", method="GET", dialect="anthropic"),
    "/health": Route(kind="health", method="GET"),
}
_MODEL: Final[Mapping[str, DialectName]] = {
    "/models/": "openai_chat",
    "/anthropic/v1/models/": "anthropic",
}


def dialect_of(path: str, headers: Mapping[str, str]) -> DialectName:
    """The dialect to speak to a client whose path may not even be known."""
    if (
        "anthropic-version" in headers
        or "/anthropic/" in path
        or path.rstrip("/").endswith("/messages")
    ):
        return "anthropic"
    return "openai_chat"


_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")


def unquote(text: str) -> str:
    """Percent-decoding, without the I/O modules that its library brings along."""
    raw = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), text.encode())
    return raw.decode("utf-8", "replace")


def _strip(path: str) -> tuple[str, str | None]:
    """The path without prefixes, and the organisation it names."""
    org: str | None = None
    for _ in range(3):  # A prefix, the organisation, and what an SDK adds to its base URL.
        if path.startswith("/v1/"):
            path = path[9:] if path.startswith("/v1/proxy/") else path[3:]
        if path[:7].lower() == "/btorg/" and org is None:
            name, slash, rest = path[7:].partition("/")
            if not slash or not name:
                raise NotFoundError("After /btorg/ the path names an organisation and a route.")
            org, path = unquote(name), slash + rest
    return path, org


def resolve(method: str, path: str, headers: Mapping[str, str]) -> Route:
    """The route of a path; 404 and 405 where there is none.

    `path` is still percent-encoded, so that an organisation's name may hold a slash.
    """
    rest, org = _strip(path)
    if len(rest) > 1:
        rest = rest.rstrip("/")
    route = ROUTES.get(rest) or _model_route(rest)
    if route is None:
        raise NotFoundError(
            f"There is no route {method} {path[:200]}. "
            "Known: POST /v1/chat/completions, POST /v1/messages, GET /v1/models, GET /health."
        )
    if method != route.method and not (route.method == "GET" and method == "HEAD"):
        raise MethodNotAllowedError(
            f"{path[:200]} takes {route.method}, not {method}.", headers={"allow": route.method}
        )
    if org is None and (route.kind == "chat" or "anthropic-version" not in headers):
        return route  # By far the most common.
    # The SDKs of both dialects list models at the same path.
    models = route.kind != "chat" and "anthropic-version" in headers
    dialect: DialectName = "anthropic" if models else route.dialect
    return replace(route, org=org, dialect=dialect)


def _model_route(rest: str) -> Route | None:
    for prefix, dialect in _MODEL.items():
        if rest.startswith(prefix) and len(rest) > len(prefix):
            name = unquote(rest[len(prefix) :])
            return Route(kind="model", method="GET", dialect=dialect, model=name)
    return None


def choose_org(route: Route, header: str | None) -> str | None:
    if route.org and header and route.org != header:
        raise BadRequestError(
            "The path and the header x-bt-org-name name different organisations: send one of them."
        )
    return route.org or header
