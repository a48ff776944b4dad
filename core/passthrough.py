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
from core.routes import COUNTED, DialectName, Route, unquote
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

_ASKING: Final = frozenset({"/completions", "/moderations", *COUNTED})
"""Nothing is left of these but their answer."""

HEAD: Final = 64 * 1024
"""How far into an upload the field `model` is looked for."""
PATIENCE_S: Final = 300.0
"""An image or a transcript is made in silence: longer than a stream may be silent."""

_LONGEST_PART_HEAD: Final = 16 * 1024
_LONGEST_BOUNDARY: Final = 128
_NAMES_MODEL: Final = re.compile(
    rb'content-disposition:[^\r\n]*;[ \t]*name="?model"?[ \t]*', re.IGNORECASE
)
"""A header line of a part, from its first byte to its last."""


class Forward(Struct, frozen=True, kw_only=True):
    """A request on its way through."""

    route: Route
    query: str = ""
    headers: Mapping[str, str]
    body: bytes = b""
    model: str | None = None

    def __repr__(self) -> str:
        return f"<Forward {self.route.method} {self.route.path}>"  # Its headers hold a key.

    @property
    def is_json(self) -> bool:
        return is_json(self.headers)


def is_json(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def model_of_json(body: bytes) -> str | None:
    """400 where it is no JSON object."""
    return envelopes.read(envelopes.split(body), "model", str, None) if body.strip() else None


class ModelField:
    """Finds the field `model` in the beginning of a multipart body, which grows between looks.

    No byte is looked at again and again: a body may be made to cost time.
    """

    def __init__(self) -> None:
        self._boundary = b""
        self._part = 0
        """Where the part begins that is looked at."""
        self._content = 0
        """Where its content begins, once its headers are read."""
        self._is_model = False
        self._seen = 0
        """No boundary begins before this."""
        self.over = False
        """It is known, or will not be found."""
        self.model: str | None = None

    def look(self, head: bytes | bytearray) -> str | None:
        if not self._boundary:
            self._begin(head)
        while self._boundary and not self.over and self._look_at_part(head):
            pass
        return self.model

    def _begin(self, head: bytes | bytearray) -> None:
        start = 2 if head.startswith(b"\r\n") else 0
        end = head.find(b"\r\n", start)
        line = bytes(head[start : end if end >= 0 else start + _LONGEST_BOUNDARY + 1])
        if len(line) > _LONGEST_BOUNDARY or (end >= 0 and not line.startswith(b"--")):
            self.over = True
        elif end >= 0:
            self._boundary = b"\r\n" + line.rstrip()
            self._part = end + 2

    def _look_at_part(self, head: bytes | bytearray) -> bool:
        """Whether there is another part to look at."""
        if not self._content and not self._read_headers(head):
            return False
        if self._is_model:
            end = head.find(b"\r\n", self._content)
            if end >= 0:
                self.model = bytes(head[self._content : end]).decode("utf-8", "replace") or None
            self.over = end >= 0 or len(head) - self._content > _LONGEST_PART_HEAD
            return False
        found = head.find(self._boundary, self._seen)
        line_end = head.find(b"\r\n", found + 2) if found >= 0 else -1
        if line_end < 0:
            self._seen = found if found >= 0 else max(self._seen, len(head) - len(self._boundary))
            return False
        self._part, self._content = line_end + 2, 0
        return True

    def _read_headers(self, head: bytes | bytearray) -> bool:
        """Whether they are all there."""
        start = self._part
        # A part without headers begins with the empty line at once.
        end = start if head.startswith(b"\r\n", start) else head.find(b"\r\n\r\n", start)
        if end < 0 or end - start > _LONGEST_PART_HEAD:
            self.over = len(head) - start > _LONGEST_PART_HEAD
            return False
        lines = bytes(head[start:end]).split(b"\r\n")
        self._is_model = any(_NAMES_MODEL.fullmatch(line) for line in lines)
        self._content = end + (2 if end == start else 4)
        self._seen = self._content - 2  # An empty content's end is that of its headers.
        return True


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
    fit = [candidate for candidate in found if answers(candidate, dialect)]
    if not fit:
        types = ", ".join(sorted({candidate.endpoint.type for candidate in found}))
        raise BadRequestError(
            f"This route belongs to the API of {OWNER_OF[dialect]}, which the model's provider "
            f"({types}) does not answer.",
            param="model",
        )
    return fit


def answers(candidate: Candidate, dialect: DialectName) -> bool:
    """Whether it has the rest of an API too, and not only what a chat needs."""
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
    fit = [c for c in found if answers(c, dialect) and c.endpoint.metadata.endpoint_path is None]
    if endpoint_name is None:
        fit = [c for c in fit if c.provider.url is None or c.provider.whole_api]
    if not fit:
        raise ModelNotFoundError(
            f"No endpoint of this caller answers this route of {OWNER_OF[dialect]}'s API."
        )
    return sorted(fit, key=lambda c: (not c.provider.whole_api, -c.endpoint.weight))


def attempt(
    forward: Forward, candidate: Candidate, *, timeouts: Timeouts, own_key: bool = False
) -> Attempt:
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
        own_key=own_key,
    )
    if does_something(forward.route):
        outgoing = replace(outgoing, once=True)
    return Attempt(
        outgoing=outgoing,
        authorization=needed,
        candidate=candidate,
        dialect=dialect,
        lane="pass",
        streams=False,
        dropped=dropped,
    )


def does_something(route: Route) -> bool:
    """Whether it would be done twice if it were sent twice: a batch, an upload, a thread."""
    if route.method not in ("POST", "PATCH") or route.kind != "forward":
        return False
    return route.dialect != "gemini" and route.path not in _ASKING


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
