"""Routes whose bytes go through as they are: which endpoint, which address, which headers.

A route that names no model cannot be balanced: what was uploaded to one
account is unknown to the next. It goes to the endpoint that answers its whole
API and weighs most, every time, or to the one that x-bt-endpoint-name says.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from core import envelope as envelopes
from core import plan, routing
from core.errors import BadRequestError, ModelNotFoundError
from core.orgs import Endpoint, Org, Timeouts
from core.plan import Attempt
from core.routes import DialectName, Route, unquote
from core.routing import Candidate, Model, Providers

OWNER_OF: Final[Mapping[DialectName, str]] = {
    "openai_chat": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
}
"""Whose API it is, and whose key a key is taken for whose shape does not tell."""
_SPOKEN: Final[Mapping[DialectName, frozenset[DialectName]]] = {
    "openai_chat": frozenset({"openai_chat", "openai_responses"}),
    "anthropic": frozenset({"anthropic"}),
    "gemini": frozenset({"gemini"}),
}

HEAD: Final = 64 * 1024
"""How far into an upload the field `model` is looked for."""
PATIENCE_S: Final = 300.0
"""An image or a transcript is made in silence: longer than a stream may be silent."""

_MODEL_FIELD: Final = re.compile(
    rb'\r\ncontent-disposition:[^\r\n]*;\s*name="?model"?[ \t]*\r\n'
    rb"(?:[^\r\n]+\r\n)*\r\n([^\r\n]+)\r\n",
    re.IGNORECASE,
)


class Forward(Struct, frozen=True, kw_only=True):
    """A request on its way through."""

    route: Route
    query: str = ""
    headers: Mapping[str, str]
    body: bytes = b""
    model: str | None = None

    @property
    def is_json(self) -> bool:
        return is_json(self.headers)


def is_json(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def model_of_json(body: bytes) -> str | None:
    """400 where it is no JSON object."""
    return envelopes.read(envelopes.split(body), "model", str, None) if body.strip() else None


def model_of_form(head: bytes) -> str | None:
    """The field `model` of a multipart body whose beginning this is; None while it is not there."""
    found = _MODEL_FIELD.search(b"\r\n" + head.partition(b"\r\n")[2])
    return found[1].decode("utf-8", "replace") if found else None


def model_of_query(query: str) -> str | None:
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name == "model" and value:
            return unquote(value.replace("+", " "))
    return None


def anybody(dialect: DialectName) -> Model:
    """Stands for the model of a route that names none."""
    return Model(name="", format=OWNER_OF[dialect], providers=(OWNER_OF[dialect],))


def fitting(found: Iterable[Candidate], dialect: DialectName) -> list[Candidate]:
    """Those that answer routes of this API. 400 where none does."""
    found = list(found)
    fit = [candidate for candidate in found if _answers(candidate, dialect)]
    if not fit:
        types = ", ".join(sorted({candidate.endpoint.type for candidate in found}))
        raise BadRequestError(
            f"This route belongs to the API of {OWNER_OF[dialect]}, which the model's provider "
            f"({types}) does not answer.",
            param="model",
        )
    return fit


def _answers(candidate: Candidate, dialect: DialectName) -> bool:
    provider = candidate.provider
    if provider.built_in or provider.in_client:
        return False
    if _SPOKEN[dialect].isdisjoint(candidate.spoken):
        return False
    # An address that a provider makes up itself says only how its models are asked.
    return provider.url is None or provider.whole_api or dialect != "anthropic"


def without_model(
    org: Org, providers: Providers, dialect: DialectName, *, endpoint_name: str | None
) -> list[Candidate]:
    """The endpoints for a route that names no model, always in the same order."""
    endpoints: Iterable[Endpoint] = org.endpoints
    if endpoint_name is not None:
        endpoints = routing.named(org, endpoint_name)
    able = [e for e in endpoints if e.type in providers and not providers[e.type].in_client]
    found = [routing.candidate(e, anybody(dialect), providers) for e in able]
    fit = [c for c in found if _answers(c, dialect) and c.endpoint.metadata.endpoint_path is None]
    if endpoint_name is None:
        fit = [c for c in fit if c.provider.url is None or c.provider.whole_api]
    if not fit:
        raise ModelNotFoundError(
            f"No endpoint of this caller answers this route of {OWNER_OF[dialect]}'s API."
        )
    return sorted(fit, key=lambda c: (not c.provider.whole_api, -c.endpoint.weight))


def attempt(forward: Forward, candidate: Candidate, *, timeouts: Timeouts) -> Attempt:
    """What to send: the same method, path, query and bytes, with this endpoint's key."""
    dialect = forward.route.dialect
    body, dropped = _body(forward, candidate)
    # Azure has deployments in its paths for models, and none for what belongs to an account.
    speaking: DialectName = dialect
    if dialect == "openai_chat" and forward.model is None:
        speaking = "openai_responses"
    outgoing, needed = plan.addressed(
        candidate,
        dialect,
        url=_with_query(
            plan.address(candidate, forward.route.path, speaking, False), forward.query
        ),
        body=body,
        headers=forward.headers,
        timeouts=_patient(timeouts),
        method=forward.route.method,
        content_type=forward.headers.get("content-type"),
    )
    return Attempt(
        outgoing=outgoing,
        authorization=needed,
        candidate=candidate,
        dialect=dialect,
        lane="pass",
        streams=False,
        dropped=dropped,
    )


def _patient(timeouts: Timeouts) -> Timeouts:
    """The reply's head comes after the upload and the work: only the whole is bounded."""
    return replace(
        timeouts,
        first_byte_s=timeouts.total_s,
        idle_s=min(timeouts.total_s, max(timeouts.idle_s, PATIENCE_S)),
    )


def _body(forward: Forward, candidate: Candidate) -> tuple[bytes, tuple[str, ...]]:
    """The client's own bytes, unless the endpoint has another name for the model."""
    if forward.model is None:
        return forward.body, ()
    other = candidate.body_model != forward.model and forward.route.model is None
    if not forward.is_json:
        if other:
            raise BadRequestError(
                f"`{forward.model[:200]}` has another name upstream, which an upload cannot be "
                "given: send that name.",
                param="model",
            )
        return forward.body, ()
    fields = envelopes.split(forward.body)
    dropped = tuple(name for name in fields if name in candidate.provider.drop)
    if not other and not dropped:
        return forward.body, ()
    fields = {name: raw for name, raw in fields.items() if name not in dropped}
    if other:
        fields["model"] = envelopes.raw(candidate.body_model)
    return envelopes.join(fields), dropped


def _with_query(url: str, query: str) -> str:
    """The client's query, without its key and without what the address already says."""
    base, _, said = url.partition("?")
    names = {pair.partition("=")[0] for pair in said.split("&")} | {"key"}
    kept = [pair for pair in query.split("&") if pair and pair.partition("=")[0] not in names]
    whole = "&".join([*([said] if said else []), *kept])
    return f"{base}?{whole}" if whole else base
