"""What a key, or a temporary credential, may be used for.

A scope that says nothing of models, routes or endpoints allows them all. A
caller can have several scopes, its key's and its credential's: all of them
must allow a thing, so that none can widen another.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from core.errors import PermissionDeniedError
from core.routes import Route

RouteName: TypeAlias = Literal[
    "chat",
    "completions",
    "embeddings",
    "moderations",
    "images",
    "audio",
    "videos",
    "realtime",
    "files",
    "batches",
    "credentials",
    "other",
]
ROUTE_NAMES: Final[Mapping[RouteName, str]] = {
    "chat": "answers in a chat, in every format; tokens counted beforehand; stored answers",
    "completions": "/completions",
    "embeddings": "/embeddings, and Gemini's `embedContent`",
    "moderations": "/moderations",
    "images": "/images, and Gemini's `predict`",
    "audio": "/audio: speech, transcripts, translations",
    "videos": "/videos",
    "realtime": "/realtime, and the secrets for its clients",
    "files": "/files and /uploads",
    "batches": "/batches, and Anthropic's /messages/batches",
    "credentials": "/credentials: issue, inspect and revoke temporary credentials",
    "other": "all other routes of a provider: fine_tuning, vector_stores, assistants ...",
}
"""The words of `scopes.routes`. Lists of models can be read with any key."""

LONGEST_NAME: Final = 256
MOST_NAMES: Final = 100
"""Of models, or of endpoints, in one scope."""
_TOLD: Final = 20
"""So many names an error message lists."""

_OF_KIND: Final[Mapping[str, RouteName]] = {
    "chat": "chat",
    "auto": "chat",
    "explain": "chat",
    "embeddings": "embeddings",
    "realtime": "realtime",
    "credentials": "credentials",
    "credential": "credentials",
}
_OF_PATH: Final[tuple[tuple[str, RouteName], ...]] = (
    ("/messages/batches", "batches"),
    ("/messages", "chat"),
    ("/chat/completions", "chat"),
    ("/responses", "chat"),
    ("/completions", "completions"),
    ("/embeddings", "embeddings"),
    ("/moderations", "moderations"),
    ("/images", "images"),
    ("/audio", "audio"),
    ("/videos", "videos"),
    ("/realtime", "realtime"),
    ("/files", "files"),
    ("/uploads", "files"),
    ("/batches", "batches"),
)
_OF_VERB: Final[Mapping[str, RouteName]] = {
    "countTokens": "chat",
    "computeTokens": "chat",
    "embedContent": "embeddings",
    "batchEmbedContents": "embeddings",
    "predict": "images",
}
_MODEL_SAID_ELSEWHERE: Final = frozenset({"batches", "other"})
"""What such a request runs stands in a file, an assistant, a stored job. A `model` that its body
names says nothing."""
_NO_MODEL: Final = frozenset({"files"})


class Scopes(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    models: tuple[str, ...] = ()
    """Names; `*` stands for any characters."""
    routes: tuple[RouteName, ...] = ()
    endpoints: tuple[str, ...] = ()
    """Names as in the settings; the type of an endpoint that has none."""


EVERYTHING: Final = Scopes()


def route_name(route: Route) -> RouteName | None:
    """None for what needs no permission: lists of models, health."""
    if route.kind in ("models", "model", "health"):
        return None
    if route.kind in _OF_KIND:
        return _OF_KIND[route.kind]
    if ":" in route.path and route.dialect == "gemini":
        return _OF_VERB.get(route.path.rpartition(":")[2], "other")
    for start, name in _OF_PATH:
        if f"{route.path}/".startswith(f"{start}/"):
            return name
    return "other"


def plain(model: str) -> str:
    """A model's name as it is compared: Google's clients write `models/` before it."""
    return model.removeprefix("models/")


def fits(pattern: str, name: str) -> bool:
    """Whether a name fits a pattern. No regular expression: some patterns would take one years."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    last = rest.pop()
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for piece in rest:
        at = name.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def may_use_model(scopes: Iterable[Scopes], model: str) -> bool:
    name = plain(model)
    return all(
        not scope.models or any(fits(plain(pattern), name) for pattern in scope.models)
        for scope in scopes
    )


def may_use_endpoint(scopes: Iterable[Scopes], label: str) -> bool:
    """`label`: an endpoint's name, or its type where it has none."""
    return all(not scope.endpoints or label in scope.endpoints for scope in scopes)


def permit(
    scopes: Sequence[Scopes],
    *,
    model: str | None,
    route: RouteName | None,
    endpoint: str | None = None,
) -> None:
    """403 where one of the scopes does not allow it. `model` and `endpoint`: as the caller asked.

    `endpoint` None: any; then the candidates are chosen by `may_use_endpoint`.
    """
    if route is None:
        return
    for scope in scopes:
        if scope.routes and route not in scope.routes:
            raise _refused("route", route, scope.routes)
        _permit_model(scope, model, route)
        if endpoint is not None and not may_use_endpoint((scope,), endpoint):
            raise _refused("endpoint", endpoint, scope.endpoints)


def _permit_model(scope: Scopes, model: str | None, route: RouteName) -> None:
    if not scope.models or route == "credentials":
        return
    if route in _NO_MODEL:
        # They are the whole organisation's: a key for one model opens them only where it says so.
        if route not in scope.routes:
            raise PermissionDeniedError(
                f"The key of this request is limited to certain models: the route `{route}` must "
                "be among its routes."
            )
    elif route in _MODEL_SAID_ELSEWHERE:
        raise PermissionDeniedError(
            "The key of this request is limited to certain models, and on the route "
            f"`{route}` the request does not say which model it uses: take a key for all models."
        )
    elif model is None:
        raise PermissionDeniedError(
            "The key of this request is limited to certain models, and the request names none. "
            f"Allowed: {_listed(scope.models)}.",
            param="model",
        )
    elif not may_use_model((scope,), model):
        raise _refused("model", model, scope.models)


def _refused(what: str, name: str, allowed: Sequence[str]) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"The key of this request is not allowed to use the {what} `{name[:LONGEST_NAME]}`. "
        f"Allowed: {_listed(allowed)}.",
        param="model" if what == "model" else None,
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more


def faults(scopes: Scopes) -> list[tuple[str, str]]:
    """(field, what is wrong with it): what a type cannot say."""
    found: list[tuple[str, str]] = []
    for field, names in (("models", scopes.models), ("endpoints", scopes.endpoints)):
        if len(names) > MOST_NAMES:
            found.append((field, f"at most {MOST_NAMES} names"))
        if not all(_is_name(name) for name in names):
            found.append((field, f"a name has 1 to {LONGEST_NAME} printable characters"))
    return found


def _is_name(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and name.isprintable()
