"""`/auto`: the route that a model is made for, by its flavor."""

from collections.abc import Mapping
from typing import Final

from core.envelope import Envelope
from core.errors import BadRequestError
from core.orgs import Org
from core.routing import Model

PATHS: Final[Mapping[str, str]] = {
    "chat": "/chat/completions",
    "completion": "/completions",
    "embedding": "/embeddings",
    "moderation": "/moderations",
}
_TALKING: Final = frozenset({"audio", "image"})
"""Some of these models are asked in a chat, and then there are messages."""


def flavor_of(model: Model, org: Org | None) -> str:
    """What the settings say of a model comes before the catalogue."""
    for endpoint in org.endpoints if org is not None else ():
        if (custom := endpoint.metadata.custom_models.get(model.name)) is not None:
            return custom.flavor
    return model.flavor


def path_of(model: Model, org: Org | None, envelope: Envelope) -> str:
    flavor = flavor_of(model, org)
    if flavor in _TALKING and "messages" in envelope:
        flavor = "chat"
    path = PATHS.get(flavor)
    if path is None:
        raise BadRequestError(
            f"/auto has no route for `{model.name[:200]}`, whose flavor is {flavor}: "
            f"it knows {', '.join(PATHS)}. Ask the model's own route.",
            param="model",
        )
    return path
