"""What a temporary credential may do, as `POST /credentials` asks for it.

Unknown fields are ignored, as the reference does: clients written for it may
send more. A list that is empty is refused: whoever computes one and finds
nothing to allow does not mean "everything".
"""

import re
from math import isfinite
from typing import Any, Final

from msgspec import Raw, Struct

from core import envelope as envelopes
from core.envelope import Envelope
from core.errors import BadRequestError, PermissionDeniedError
from core.scopes import (
    LONGEST_NAME,
    MOST_NAMES,
    ROUTE_NAMES,
    RouteName,
    Scopes,
    may_use_endpoint,
    may_use_model,
)

DEFAULT_TTL_S: Final = 600
LONGEST_TTL_S: Final = 24 * 3600
MOST_REQUESTS: Final = 1_000_000_000
_LONGEST_PARENT: Final = 1000
_ORIGIN: Final = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[a-z0-9_-][a-z0-9._-]*)(?::[0-9]{1,5})?"
)


class Logging(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    parent: str | None = None
    project_name: str | None = None
    compress_audio: bool = True


class Grant(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Empty, or None: not restricted beyond what the issuer's key may do."""

    model: str | None = None
    models: tuple[str, ...] = ()
    """Patterns; never together with `model`."""
    routes: tuple[RouteName, ...] = ()
    endpoints: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    """Of the pages that may use it. Only browsers say where a request comes from."""
    max_requests: int | None = None
    max_cost_usd: float | None = None
    logging: Logging | None = None

    @property
    def scopes(self) -> Scopes:
        models = self.models if self.model is None else (self.model,)
        return Scopes(models=models, routes=self.routes, endpoints=self.endpoints)


class Asked(Struct, frozen=True):
    """A request for a credential, checked."""

    grant: Grant
    ttl_s: int = DEFAULT_TTL_S


def parse_request(body: bytes) -> Asked:
    """400 that names the field."""
    fields = envelopes.split(body)
    grant = Grant(
        model=_model(fields),
        models=_names(fields, "models"),
        routes=_routes(fields),
        endpoints=_names(fields, "endpoints"),
        origins=_origins(fields),
        max_requests=_whole(fields, "max_requests", MOST_REQUESTS),
        max_cost_usd=_dollars(fields),
        logging=_logging(fields),
    )
    if grant.model is not None and grant.models:
        raise _wrong("models", "comes instead of `model`: send one of them")
    ttl_s = _whole(fields, "ttl_seconds", LONGEST_TTL_S)
    return Asked(grant, DEFAULT_TTL_S if ttl_s is None else ttl_s)


def check_within(grant: Grant, scopes: Scopes) -> None:
    """403 where the issuer's key may not do what it wants to grant.

    Only for an early word: what a credential may do is checked against both whenever it is used.
    """
    if grant.model is not None and not may_use_model((scopes,), grant.model):
        raise _beyond("model", grant.model)
    for route in grant.routes:
        if scopes.routes and route not in scopes.routes:
            raise _beyond("routes", route)
    for name in grant.endpoints:
        if not may_use_endpoint((scopes,), name):
            raise _beyond("endpoints", name)


def _beyond(field: str, name: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"`{field}`: the key of this request may not use `{name}` itself, so it cannot grant it.",
        param=field,
    )


def _wrong(field: str, fault: str) -> BadRequestError:
    return BadRequestError(f"`{field}` {fault}.", param=field)


def _model(fields: Envelope) -> str | None:
    name: str | None = envelopes.read(fields, "model", str, None)
    if name is None:
        return None
    _check_name("model", name)
    if "*" in name:
        raise _wrong("model", "is the name of one model: patterns go into `models`")
    return name


def _check_name(field: str, name: str) -> None:
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise _wrong(field, f"holds names of 1 to {LONGEST_NAME} printable characters")


def _names(fields: Envelope, field: str) -> tuple[str, ...]:
    names: tuple[str, ...] | None = envelopes.read(fields, field, tuple[str, ...], None)
    if names is None:
        return ()
    if not 0 < len(names) <= MOST_NAMES:
        raise _wrong(field, f"holds 1 to {MOST_NAMES} names; leave it out to allow all")
    for name in names:
        _check_name(field, name)
    return tuple(dict.fromkeys(names))


def _routes(fields: Envelope) -> tuple[RouteName, ...]:
    known: dict[str, RouteName] = {n: n for n in ROUTE_NAMES if n != "credentials"}
    found: list[RouteName] = []
    for said in _names(fields, "routes"):
        route = known.get(said)
        if route is None:
            raise _wrong("routes", f"knows no `{said}`; there are: {', '.join(known)}")
        found.append(route)
    return tuple(found)


def _origins(fields: Envelope) -> tuple[str, ...]:
    """`origin` is one, `origins` are several."""
    one: str | None = envelopes.read(fields, "origin", str, None)
    said = {"origin": () if one is None else (one,), "origins": _names(fields, "origins")}
    return tuple(dict.fromkeys(_origin(at, name) for at, names in said.items() for name in names))


def _origin(field: str, name: str) -> str:
    plain = name.lower().removesuffix("/")
    if not _ORIGIN.fullmatch(plain):
        raise _wrong(field, "is the origin of a page, as `https://app.example.com`")
    return plain


def _whole(fields: Envelope, field: str, most: int) -> int | None:
    number: float | None = envelopes.read(fields, field, int | float, None)
    if number is None:
        return None
    if number != number // 1 or not 1 <= number <= most:
        raise _wrong(field, f"is a whole number from 1 to {most}")
    return int(number)


def _dollars(fields: Envelope) -> float | None:
    dollars: float | None = envelopes.read(fields, "max_cost_usd", float, None)
    if dollars is not None and not (isfinite(dollars) and dollars > 0):
        raise _wrong("max_cost_usd", "is more than 0")
    return dollars


def _logging(fields: Envelope) -> Logging | None:
    said: Envelope | None = envelopes.read(fields, "logging", dict[str, Raw], None)
    if said is None:
        return None
    found: dict[str, Any] = {}
    for name, kind in (("parent", str), ("project_name", str), ("compress_audio", bool)):
        try:
            value = envelopes.read(said, name, kind, None)
        except BadRequestError as error:
            raise _wrong(f"logging.{name}", f"is a {kind.__name__}") from error
        if value is not None:
            found[name] = value
    logging = Logging(**found)
    if not (logging.parent or logging.project_name):
        raise _wrong("logging", "needs `parent` or `project_name`: where to log to")
    if max(len(logging.parent or ""), len(logging.project_name or "")) > _LONGEST_PARENT:
        raise _wrong("logging", f"names what has at most {_LONGEST_PARENT} characters")
    return logging


def check_origin(grant: Grant, origin: str | None) -> None:
    """403 for a page that the credential is not for. `origin`: the header, where it came."""
    if not grant.origins:
        return
    if origin is None or origin.lower() not in grant.origins:
        raise PermissionDeniedError(
            "This temporary credential is only for pages of these origins: "
            f"{', '.join(grant.origins[:20])}."
        )


def check_count(grant: Grant, requests: int) -> None:
    """403 where this request, the so-manieth, is one too many."""
    if grant.max_requests is not None and requests > grant.max_requests:
        raise PermissionDeniedError(
            f"This temporary credential was for {grant.max_requests} requests, which are used up: "
            "ask for a new one where you got it."
        )
