"""Who calls, and what they may do. Before this nothing of a request's body is read.

A key is one kind of thing only: what looks like a Cutwater key or like a
temporary credential is found or refused, and never tried as a provider's own.
What a caller may use is asked twice: before the cache answers, and where the
endpoints are chosen, since not every route passes the cache.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from core import cors, credentials, options, routing, scopes
from core.errors import AuthenticationError
from core.options import Options
from core.orgs import KEY_PREFIX, Org
from core.routes import Route, choose_org
from core.scopes import Scopes
from handlers.exchange import Exchange, KeysRenewedError

if TYPE_CHECKING:
    from core.temporary import Credential


class Access(Struct, frozen=True, kw_only=True):
    """A caller that is verified. It carries a key: it has no repr."""

    asked: Options
    key: str
    """Whose answers are cached: the caller's own, or the issuer's of a temporary credential."""
    org: Org | None = None
    """None for a provider's own key."""
    org_name: str | None = None
    """The organisation's; with a provider's own key what the caller named, if it did."""
    scopes: tuple[Scopes, ...] = ()
    """All of them must allow a thing."""
    credential: "Credential | None" = None

    def __repr__(self) -> str:
        return "<Access>"

    def permit(self, route: Route, model: str | None) -> None:
        """403 where the caller may not use this model, this route, or the endpoint it names."""
        if self.scopes:
            name = scopes.route_name(route)
            scopes.permit(self.scopes, model=model, route=name, endpoint=self.asked.endpoint)

    @property
    def own_key(self) -> bool:
        """Whether the key in the request is a provider's."""
        return self.org is None and self.credential is None

    @property
    def limits_models(self) -> bool:
        return any(scope.models for scope in self.scopes)

    @property
    def endpoint(self) -> str | Sequence[Any] | None:
        """Who may answer, as the cache tells answers apart."""
        limits = [sorted(scope.endpoints) for scope in self.scopes if scope.endpoints]
        return (self.asked.endpoint, limits) if limits else self.asked.endpoint


async def authenticate(exchange: Exchange) -> Access:
    asked = options.parse(exchange.headers, exchange.query)
    key, named = asked.key, choose_org(exchange.route, asked.org)
    exchange.strict = asked.strict
    if key is None:
        raise AuthenticationError(
            "No API key came with the request. Send `Authorization: Bearer <key>` "
            "or the key header of your SDK."
        )
    if key.startswith(KEY_PREFIX):
        hide_key(exchange, key)
        access = await _of_org(exchange, asked, key, named)
    elif "." in key and _is_temporary(key):
        hide_key(exchange, key)
        return await _lent(exchange, asked, key, named)
    else:
        _check_own(exchange)
        access = Access(asked=asked, key=key, org_name=named)
    if (origin := exchange.headers.get("origin")) is not None:
        # Until here a page of any origin may be told why its key is refused.
        exchange.outlet.for_pages = cors.told(exchange.services.origins, origin, long_lived=True)
    return access


def _is_temporary(key: str) -> bool:
    from core import temporary

    return temporary.looks_like(key)


def _check_own(exchange: Exchange) -> None:
    if not exchange.services.provider_keys:
        raise AuthenticationError(
            "This deployment takes Cutwater keys (cw_...) only, not a provider's own key."
        )


async def _of_org(exchange: Exchange, asked: Options, key: str, named: str | None) -> Access:
    directory = exchange.services.directory
    org, allowed = await directory.find(key, named, asked.use_creds_cache)
    exchange.org, exchange.renew = org, directory.renewed
    narrow = () if allowed is scopes.EVERYTHING or allowed == scopes.EVERYTHING else (allowed,)
    return Access(asked=asked, key=key, org=org, org_name=org.name, scopes=narrow)


async def _lent(exchange: Exchange, asked: Options, token: str, named: str | None) -> Access:
    """With a temporary credential: what its issuer may do, as far as it was granted."""
    from core import grants, temporary

    credential = await exchange.services.directory.credential(token)
    grants.check_origin(credential.grant, exchange.headers.get("origin"))
    name, key = temporary.choose_org(credential, named), credential.parent_key
    if key.startswith(KEY_PREFIX):
        access = await _of_org(exchange, asked, key, name)
    else:
        _check_own(exchange)
        access = Access(asked=asked, key=key, org_name=name)
    lent = Access(
        asked=asked,
        key=key,
        org=access.org,
        org_name=access.org_name,
        scopes=(*access.scopes, credential.grant.scopes),
        credential=credential,
    )
    await _meter(exchange, credential)
    return lent


async def _meter(exchange: Exchange, credential: "Credential") -> None:
    """What a credential may use up is counted in the table, for all processes alike."""
    grant = credential.grant
    if grant.max_requests is None and grant.max_cost_usd is None:
        return
    from handlers import metering

    if grant.max_requests is not None and scopes.route_name(exchange.route) is not None:
        await metering.count(exchange, credential)
    if grant.max_cost_usd is not None:
        exchange.meter = metering.Meter(exchange, credential)


async def with_renewal(
    exchange: Exchange, access: Access, ask: Callable[[Access], Awaitable[None]]
) -> None:
    """Once more, where a provider refused a key that has been replaced meanwhile."""
    try:
        await ask(access)
    except KeysRenewedError as renewed:
        exchange.org, exchange.renew = renewed.org, None
        await ask(replace(access, org=renewed.org))


def hide_key(exchange: Exchange, key: str) -> None:
    """It opens more than the provider that it would be sent to."""
    exchange.headers = options.without_key(exchange.headers, key)
    exchange.query = options.query_without(exchange.query, key)


def caller_for(exchange: Exchange, access: Access, model: routing.Model) -> credentials.Caller:
    return credentials.caller_of(access.org, access.key, model, exchange.services.providers)
