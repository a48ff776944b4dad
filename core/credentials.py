"""Who is calling, by the key that came along.

A key that begins like one of ours is ours: known or refused, never handed to
a provider. Every other key is a provider's own and is used as it is, for the
provider that the model or the key's shape names.
"""

from collections.abc import Mapping
from hashlib import sha256

from msgspec import Struct

from core.errors import (
    AuthenticationError,
    BadRequestError,
    ModelNotFoundError,
    PermissionDeniedError,
)
from core.orgs import KEY_PREFIX, Endpoint, Org
from core.routing import Model, Providers


class Caller(Struct, frozen=True, kw_only=True):
    """Carries keys by way of `org`: it has no repr."""

    org: Org
    own_key: bool
    """The caller sent a provider's key and hears that provider's opinion of it."""

    def __repr__(self) -> str:
        return "<Caller>"


def digest(key: str) -> bytes:
    """What is stored and compared instead of a key, so that timing tells nothing of it."""
    return sha256(key.encode()).digest()


Keys = Mapping[bytes, tuple[Org, ...]]
"""Digest of a Cutwater key -> the organisations it belongs to."""


def index(orgs: Mapping[str, Org]) -> dict[bytes, tuple[Org, ...]]:
    keys: dict[bytes, tuple[Org, ...]] = {}
    for org in orgs.values():
        for key in org.keys:
            name = digest(key.key)
            keys[name] = (*keys.get(name, ()), org)
    return keys


def identify(
    key: str | None, keys: Keys, *, org_name: str | None, provider_keys: bool
) -> Org | None:
    """The organisation of a Cutwater key; None for a provider's own key."""
    if key is None:
        raise AuthenticationError(
            "No API key came with the request. Send `Authorization: Bearer <key>` "
            "or the key header of your SDK."
        )
    if key.startswith(KEY_PREFIX):
        return _choose(keys.get(digest(key), ()), org_name)
    if not provider_keys:
        raise AuthenticationError(
            "This deployment takes Cutwater keys (cw_...) only, not a provider's own key."
        )
    return None


def _choose(orgs: tuple[Org, ...], name: str | None) -> Org:
    if not orgs:
        raise AuthenticationError("This Cutwater key is not known here: check it, or create one.")
    if name is not None:
        for org in orgs:
            if org.name == name:
                return org
        raise PermissionDeniedError(f"This key does not belong to the organisation `{name[:200]}`.")
    if len(orgs) > 1:
        names = ", ".join(sorted(org.name for org in orgs))
        raise BadRequestError(
            f"This key belongs to several organisations: name one in x-bt-org-name ({names}).",
            param="x-bt-org-name",
        )
    return orgs[0]


def provider_of_key(key: str, model: Model, providers: Providers) -> str | None:
    """The provider that a provider's own key is for; 400 where more than a key is needed.

    The shape of the key comes first: it must never reach anybody but its maker.
    """
    wanted = model.providers
    for name, provider in providers.items():
        if provider.key_prefix is not None and key.startswith(provider.key_prefix):
            built_in = [n for n in wanted if n in providers and providers[n].built_in]
            if provider.required and not built_in:
                raise BadRequestError(
                    f"This looks like a key of `{name}`, which alone leads nowhere: put it into "
                    f"an endpoint of the settings, with {' and '.join(provider.required)}."
                )
            return built_in[0] if built_in else name
    # Where an endpoint needs more than a key, a key alone leads nowhere.
    alone = [n for n in wanted if n in providers and not providers[n].required]
    return next((n for n in alone if not providers[n].in_client), None)


def caller_of(org: Org | None, key: str, model: Model, providers: Providers) -> Caller:
    """404 where no provider that we know serves the model."""
    if org is not None:
        return Caller(org=org, own_key=False)
    name = provider_of_key(key, model, providers)
    if name is None:
        raise ModelNotFoundError(
            f"No provider is known for the model `{model.name[:200]}`.", param="model"
        )
    own = Org(name="", endpoints=(Endpoint(type=name, secret=key),))
    return Caller(org=own, own_key=True)
