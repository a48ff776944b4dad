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

DialectName: TypeAlias = Literal[
    "openai_chat", "openai_responses", "anthropic", "gemini", "converse"
]
Kind: TypeAlias = Literal[
    "chat",
    "auto",
    "count",
    "embeddings",
    "forward",
    "explain",
    "credentials",
    "credential",
    "models",
    "model",
    "health",
    "realtime",
    "client_secrets",
]


class Route(Struct, frozen=True, kw_only=True):
    kind: Kind
    method: str
    dialect: DialectName = "openai_chat"
    org: str | None = None
    model: str | None = None
    """Named in the path."""
    stream: bool | None = None
    """Said by the path; None: the body says it."""
    path: str = ""
    """Of what is forwarded: as the provider has it, still percent-encoded."""


_chat = Route(kind="chat", method="POST")
_messages = Route(kind="chat", method="POST", dialect="anthropic")
_responses = Route(kind="chat", method="POST", dialect="openai_responses")

ROUTES: Final[Mapping[str, Route]] = {
    "/chat/completions": _chat,
    "/responses": _responses,
    "/messages": _messages,
    "/anthropic/messages": _messages,
    "/anthropic/v1/messages": _messages,
    "/auto": Route(kind="auto", method="POST"),
    "/embeddings": Route(kind="embeddings", method="POST", path="/embeddings"),
    "/explain": Route(kind="explain", method="POST"),
    "/credentials": Route(kind="credentials", method="POST"),
    "/models": Route(kind="models", method="GET"),
    "/anthropic/v1/models": Route(kind="models", method="GET", dialect="anthropic"),
    "/v1beta/models": Route(kind="models", method="GET", dialect="gemini"),
    "/google/v1beta/models": Route(kind="models", method="GET", dialect="gemini"),
    "/health": Route(kind="health", method="GET"),
    "/realtime": Route(kind="realtime", method="GET", path="/realtime"),
    **{
        path: Route(kind="client_secrets", method="POST", path=path)
        for path in (
            "/realtime/client_secrets",
            "/realtime/sessions",
            "/realtime/transcription_sessions",
        )
    },
}
_MODEL: Final[Mapping[str, DialectName]] = {
    "/models/": "openai_chat",
    "/anthropic/v1/models/": "anthropic",
    "/v1beta/models/": "gemini",
    "/google/v1beta/models/": "gemini",
}

FORWARDED: Final[Mapping[str, tuple[str, ...]]] = {
    "openai_chat": (
        "assistants",
        "audio",
        "batches",
        "chat/completions/",
        "completions",
        "containers",
        "conversations",
        "evals",
        "files",
        "fine_tuning",
        "images",
        "models/",
        "moderations",
        "responses/",
        "skills",
        "threads",
        "uploads",
        "vector_stores",
        "videos",
    ),
    "anthropic": ("files", "messages/", "skills"),
}
"""How the paths begin whose bytes go through, by the API that they belong to.

Not everything goes: a key of an organisation must not open its provider's administration.
"""


def dialect_of(path: str, headers: Mapping[str, str]) -> DialectName:
    """The dialect to speak to a client whose path may not even be known."""
    if (
        "anthropic-version" in headers
        or "/anthropic/" in path
        or path.rstrip("/").endswith("/messages")
    ):
        return "anthropic"
    if "x-goog-api-key" in headers or _GOOGLE.search(path):
        return "gemini"
    if _CONVERSE.search(path):
        return "converse"
    if path.endswith("/responses"):
        return "openai_responses"
    return "openai_chat"


_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")


def unquote(text: str) -> str:
    """Percent-decoding, without the I/O modules that its library brings along."""
    raw = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), text.encode())
    return raw.decode("utf-8", "replace")


def shown(url: str) -> str:
    """A URL without what may be secret in it: who asks, and its query."""
    scheme, mark, rest = url.partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return scheme + mark + host.rpartition("@")[2] + slash + path


_ASTRAY: Final = re.compile(r"(?:^|[/\\])\.\.?(?:$|[/\\])")


def check_segment(name: str) -> None:
    """400 for a name that leads to another place of its provider, and takes a key along."""
    if not name:
        raise BadRequestError("This endpoint answers about a model only: name one.", param="model")
    if _ASTRAY.search(name):
        raise BadRequestError("`model` is no name of a model.", param="model")


def segment(name: str) -> str:
    """A model's name as one segment of a path. 400 where it would be none."""
    check_segment(name)
    return quote(name)


def quote(text: str) -> str:
    return "".join(
        char if char.isascii() and (char.isalnum() or char in "-._~:@") else _escaped(char)
        for char in text
    )


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())


def _strip(path: str) -> tuple[str, str | None]:
    """The path without prefixes, and the organisation it names."""
    org: str | None = None
    for _ in range(3):  # A prefix, the organisation, and what an SDK adds to its base URL.
        if path.startswith("/v1/"):
            path = path[9:] if path.startswith("/v1/proxy/") else path[3:]
        elif path[:7].lower() != "/btorg/":
            break
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
    route = (
        ROUTES.get(rest)
        or _named_in_path(rest)
        or _credential(method, rest)
        or (_model_route(rest) if method != "DELETE" else None)
        or _forwarded(method, rest, headers)
    )
    if route is not None and method == "POST" and route.path in COUNTED:
        route = replace(route, kind="count", dialect=COUNTED[route.path])
    if route is None:
        raise NotFoundError(
            f"There is no route {method} {path[:200]}. "
            "Known: POST /v1/chat/completions, POST /v1/messages, GET /v1/models, GET /health, "
            "and the README's table of routes."
        )
    if method != route.method and not (route.method == "GET" and method == "HEAD"):
        raise MethodNotAllowedError(
            f"{path[:200]} takes {route.method}, not {method}.", headers={"allow": route.method}
        )
    if org is None and route.kind not in ("models", "model"):
        return route  # By far the most common.
    return replace(route, org=org, dialect=_asking(route, headers))


def _asking(route: Route, headers: Mapping[str, str]) -> DialectName:
    """The SDKs of three dialects list models at the same path."""
    if route.kind in ("models", "model"):
        if "anthropic-version" in headers:
            return "anthropic"
        if "x-goog-api-key" in headers:
            return "gemini"
    return route.dialect


_GEMINI: Final = re.compile(
    r"(?:/google)?(?:/v1beta1?|/v1)?(?:/publishers/[^/]+)?/models/(?P<model>.+)"
    r":(?P<verb>[A-Za-z]+)"
)
_GOOGLE: Final = re.compile(r"/google/|/v1beta1?/|:(?:stream)?[gG]enerateContent")
_GENERATE: Final = frozenset({"generateContent", "streamGenerateContent"})
_GEMINI_FORWARDED: Final = frozenset(
    {"batchEmbedContents", "computeTokens", "countTokens", "embedContent", "predict"}
)
_CONVERSE: Final = re.compile(
    r"(?:/bedrock)?/model/(?P<model>[^/]+)/(?P<verb>converse|converse-stream|count-tokens)$"
)
COUNTED: Final[Mapping[str, DialectName]] = {
    "/messages/count_tokens": "anthropic",
    "/model/{model}/count-tokens": "converse",
    "/models/{model}:countTokens": "gemini",
    "/responses/input_tokens": "openai_responses",
}
"""Paths of what counts the tokens of a request."""


def _named_in_path(rest: str) -> Route | None:
    """Gemini and Converse name the model, and whether to stream, in the path."""
    dialect: DialectName = "gemini"
    if found := _GEMINI.fullmatch(rest):
        if found["verb"] not in _GENERATE:
            return _gemini_forwarded(found["verb"], unquote(found["model"]))
    elif found := _CONVERSE.fullmatch(rest):
        dialect = "converse"
    else:
        return None
    path = "/model/{model}/count-tokens" if found["verb"] == "count-tokens" else ""
    return Route(
        kind="chat",
        method="POST",
        dialect=dialect,
        model=unquote(found["model"]),
        stream="stream" in found["verb"].lower(),
        path=path,
    )


def _gemini_forwarded(verb: str, model: str) -> Route | None:
    if verb not in _GEMINI_FORWARDED:
        return None
    path = f"/models/{{model}}:{verb}"
    return Route(kind="forward", method="POST", dialect="gemini", model=model, path=path)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


def _forwarded(method: str, rest: str, headers: Mapping[str, str]) -> Route | None:
    """A route whose bytes go through as they are; the provider knows its methods."""
    dialect: DialectName = "openai_chat"
    if rest.startswith("/anthropic/"):
        rest = rest.removeprefix("/anthropic").removeprefix("/v1")
        dialect = "anthropic"
    elif "anthropic-version" in headers or rest.startswith("/messages/"):
        dialect = "anthropic"
    known = any(f"{rest[1:]}/".startswith(f"{start.rstrip('/')}/") for start in FORWARDED[dialect])
    if method not in _METHODS or not known or rest[1:] + "/" in FORWARDED[dialect]:
        return None
    if any(_leads_astray(segment) for segment in rest[1:].split("/")):
        return None
    return Route(kind="forward", method=method, dialect=dialect, path=rest)


def _leads_astray(segment: str) -> bool:
    """Whether it might end up at another route of the provider than the one that was checked."""
    plain = unquote(segment)
    return plain in ("", ".", "..") or any(char in plain for char in "/\\?#%")


def _credential(method: str, rest: str) -> Route | None:
    name = rest.removeprefix("/credentials/")
    if name == rest or not name or "/" in name:
        return None
    return Route(kind="credential", method="DELETE" if method == "DELETE" else "GET", path=name)


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
