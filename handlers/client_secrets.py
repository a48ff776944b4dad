"""POST /realtime/client_secrets: a provider's short-lived secret, for the caller's organisation.

With it a browser connects to the provider itself, by WebRTC or WebSocket: nothing of that
session passes here, so nothing of it is counted. Whoever may spend only so much gets none.
https://platform.openai.com/docs/api-reference/realtime-sessions/create-realtime-client-secret
"""

from typing import Final

from msgspec import Raw

from core import envelope as envelopes
from core import passthrough, realtime_address, scopes
from core.envelope import Envelope
from core.errors import BadRequestError, PermissionDeniedError
from core.passthrough import Forward
from core.routing import Candidate
from handlers import realtime_opening
from handlers.asgi import Receive
from handlers.exchange import Exchange, WholeBody
from handlers.failover import Requests, Trial, ranked
from handlers.passthrough import send
from handlers.realtime_opening import Identify, Permit

_NESTED: Final = "/realtime/client_secrets"
"""Here the body's `session` names the model; in the beta's routes the body itself does."""


async def mint(
    exchange: Exchange, receive: Receive, *, identify: Identify = realtime_opening.identify
) -> None:
    permit = await identify(exchange)
    _check_grant(exchange, permit)
    async with WholeBody(exchange, receive) as body:
        fields = envelopes.split(body) if body.strip() else {}
        inner = _inner(exchange, fields)
        model = _model(inner, permit)
        name = scopes.route_name(exchange.route)
        endpoint = permit.access.asked.endpoint
        scopes.permit(permit.scopes, model=model, route=name, endpoint=endpoint)
        caller, ways = ranked(exchange, permit.access, model, {})
        found = [way.candidate for way in ways if way.rank == 0]
        allowed = [c for c in found if scopes.may_use_endpoint(permit.scopes, c.endpoint.label)]
        if not allowed:
            raise PermissionDeniedError(
                "The key of this request may not use any of the endpoints that could answer it."
            )
        chosen = realtime_address.able(passthrough.fitting(allowed, "openai_chat"))[0]
        forward = Forward(
            route=exchange.route,
            query=exchange.query,
            headers={**exchange.headers, "content-type": "application/json"},
            body=envelopes.join(_outer(exchange, fields, _with_model(inner, chosen))),
        )

        async def ask(trial: Trial) -> None:
            timeouts = trial.send.timeouts
            attempt = passthrough.attempt(
                forward, chosen, timeouts=timeouts, own_key=caller.own_key
            )
            await send(exchange, trial, attempt)

        way = [way for way in ways if way.candidate is chosen]
        await Requests(exchange, caller, way, again=False).run(ask)


def _check_grant(exchange: Exchange, permit: Permit) -> None:
    grant = permit.grant
    if grant is not None:
        from core import grants

        grants.check_origin(grant, exchange.headers.get("origin"))
    if permit.left_usd is not None or (grant is not None and grant.max_cost_usd is not None):
        raise PermissionDeniedError(
            "This key is limited in dollars, which cannot be counted where the client connects to "
            "the provider itself: connect to /realtime instead."
        )


def _inner(exchange: Exchange, fields: Envelope) -> Envelope:
    if exchange.route.path != _NESTED:
        return fields
    session: Envelope = envelopes.read(fields, "session", dict[str, Raw], {})
    return session


def _outer(exchange: Exchange, fields: Envelope, said: Envelope) -> Envelope:
    if exchange.route.path != _NESTED:
        return said
    return {**fields, "session": envelopes.raw(said)}


def _model(inner: Envelope, permit: Permit) -> str:
    """The model that a session is for; of one that only transcribes, the one that does so."""
    named: str | None = envelopes.read(inner, "model", str, None)
    if named is None and _transcribes(inner):
        named = _transcriber(inner)
    if named is None and permit.grant is not None:
        named = permit.grant.model
    if named == "":
        raise BadRequestError("`model` is empty.", param="session.model")
    return named or realtime_address.DEFAULT_MODEL


def _transcribes(inner: Envelope) -> bool:
    kind: str | None = envelopes.read(inner, "type", str, None)
    return kind == "transcription" or "input_audio_transcription" in inner


def _transcriber(inner: Envelope) -> str | None:
    """`audio.input.transcription.model`; in the beta `input_audio_transcription.model`."""
    found: Envelope = envelopes.read(inner, "input_audio_transcription", dict[str, Raw], {})
    at: Envelope = inner
    for name in ("audio", "input", "transcription"):
        at = envelopes.read(at, name, dict[str, Raw], {})
    named: str | None = envelopes.read(at or found, "model", str, None)
    return named


def _with_model(inner: Envelope, chosen: Candidate) -> Envelope:
    """A session that only transcribes may have no model of its own."""
    if "model" not in inner and _transcribes(inner):
        return inner
    return {**inner, "model": envelopes.raw(chosen.endpoint.metadata.deployment or chosen.model)}
