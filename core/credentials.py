"""Whose endpoints a request goes to: an organisation's, or the maker's of a provider's own key.

A provider's own key is used as it is, for the provider that the key's shape or
the model names, and for no other.
"""

from collections.abc import Mapping
from hashlib import sha256

from msgspec import Struct

from core.errors import BadRequestError, ModelNotFoundError
from core.orgs import Endpoint, Org
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
