"""Where a realtime session is opened, and what to say there: an endpoint's address and headers.

The key goes in a header, never in a subprotocol, which servers echo and log.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from core import passthrough, plan
from core.errors import BadRequestError
from core.orgs import Timeouts
from core.plan import Attempt
from core.routes import quote, unquote
from core.routing import Candidate, base_url

DEFAULT_MODEL: Final = "gpt-realtime"
"""Where a client names none, as the reference proxy's clients may."""
BROWSER_KEY: Final = "openai-insecure-api-key."
"""A subprotocol: browsers can set no header."""
BETA_PROTOCOL: Final = "openai-beta."
PROTOCOL: Final = "realtime"
_NO_MODEL: Final = frozenset({"intent", "call_id"})
_OURS: Final = frozenset({"key", "model", "deployment", "api-version", "api-key", "authorization"})
"""Of the client's query: what the address says itself, and keys."""


def path_of(candidate: Candidate) -> str:
    """The base URL and the path; an `endpoint_path` counts where it is one of Realtime."""
    other = candidate.endpoint.metadata.endpoint_path or ""
    if other.rstrip("/").endswith("/realtime"):
        return base_url(candidate) + (other if other.startswith("/") else "/" + other)
    return base_url(candidate) + "/realtime"


def like_openai(candidate: Candidate) -> tuple[str, str]:
    """`/realtime` after the base URL, and what names the model in its query."""
    return path_of(candidate), f"model={quote(candidate.model)}"


def speaks(candidate: Candidate) -> bool:
    return candidate.provider.realtime is not None


def able(found: list[Candidate]) -> list[Candidate]:
    """Those that have a Realtime API; 400 where none has."""
    fit = [candidate for candidate in found if speaks(candidate)]
    if not fit:
        types = ", ".join(sorted({candidate.endpoint.type for candidate in found}))
        raise BadRequestError(f"The model's provider ({types}) has no Realtime API.", param="model")
    return fit


class Asked(Struct, frozen=True, kw_only=True):
    """What a client asked for in its handshake, without its key."""

    headers: Mapping[str, str]
    query: str
    model: str
    named: bool
    """By the client. A transcription, or a call that is joined, may have no model."""

    def __repr__(self) -> str:
        return f"<Asked {self.model[:200]}>"


def asked(headers: Mapping[str, str], query: str, granted: str | None) -> Asked:
    """`granted`: the one model of a temporary credential, for a client that names none."""
    named = model_asked(query)
    others = {pair.partition("=")[0] for pair in query.split("&")}
    model = named or granted or DEFAULT_MODEL
    return Asked(
        headers=headers,
        query=query,
        model=model,
        named=named is not None or others.isdisjoint(_NO_MODEL),
    )


def attempt(asked: Asked, candidate: Candidate, *, timeouts: Timeouts, own_key: bool) -> Attempt:
    """The handshake to send; `authorize` may still have to add a token."""
    row = candidate.provider.realtime
    if row is None:
        raise BadRequestError(f"`{candidate.endpoint.type}` has no Realtime API.", param="model")
    url, model = row(candidate)
    outgoing, needed = plan.addressed(
        candidate,
        "openai_chat",
        url=socket_url(with_query(url, model if asked.named else "", asked.query)),
        body=b"",
        headers=asked.headers,
        timeouts=replace(timeouts, first_byte_s=timeouts.first_byte_s or plan.FIRST_BYTE_S),
        method="GET",
        content_type=None,
        own_key=own_key,
    )
    said = {name: value for name, value in outgoing.headers.items() if name != "accept-encoding"}
    return Attempt(
        outgoing=replace(outgoing, headers=said),
        authorization=needed,
        candidate=candidate,
        dialect="openai_chat",
        lane="pass",
        streams=True,
    )


def socket_url(url: str) -> str:
    """`wss:` for `https:`, `ws:` for `http:`."""
    return "ws" + url[4:] if url.startswith("http") else url


def with_query(url: str, model: str, query: str) -> str:
    """The client's other parameters too: `intent`, `call_id`, and what comes next year."""
    base, _, said = url.partition("?")
    others = [
        pair
        for pair in query.split("&")
        if pair and unquote(pair.partition("=")[0]).lower() not in _OURS
    ]
    whole = "&".join([part for part in (said, model) if part] + others)
    return f"{base}?{whole}" if whole else base


def model_asked(query: str) -> str | None:
    """Azure's clients say `deployment`."""
    named = passthrough.model_of_query(query)
    if named is not None:
        return named
    pairs = (pair.partition("=") for pair in query.split("&"))
    return next(
        (unquote(v.replace("+", " ")) for n, _, v in pairs if n == "deployment" and v), None
    )


def from_subprotocols(offered: list[str]) -> dict[str, str]:
    """The headers that a browser's subprotocols stand for; an empty or `null` key is none."""
    headers: dict[str, str] = {}
    for said in offered:
        if said.startswith(BROWSER_KEY):
            key = said.removeprefix(BROWSER_KEY)
            if key and key != "null":
                headers["authorization"] = f"Bearer {key}"
        elif said.startswith(BETA_PROTOCOL):
            # `openai-beta.realtime-v1` for `OpenAI-Beta: realtime=v1`.
            headers["openai-beta"] = said.removeprefix(BETA_PROTOCOL).replace("-", "=", 1)
        else:
            for name in ("openai-organization", "openai-project"):
                if said.startswith(f"{name}."):
                    headers[name] = said.removeprefix(f"{name}.")
    return headers


def answered_subprotocol(offered: list[str]) -> str | None:
    """Never one that holds a key. A browser hangs up where none of its offers is taken."""
    return PROTOCOL if PROTOCOL in offered else None


def from_query(query: str) -> dict[str, str]:
    """Azure's clients for browsers put their key, or their token, into the query."""
    pairs = (pair.partition("=") for pair in query.split("&"))
    return {
        name.lower(): unquote(value.replace("+", " "))
        for name, _, value in pairs
        if name.lower() in ("api-key", "authorization") and value
    }
