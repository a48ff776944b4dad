"""What a provider was given and may quote, and nobody else may read."""

from collections.abc import Mapping, Sequence
from typing import Final

from core.options import KEY_HEADERS
from core.orgs import SHORTEST_SECRET, Endpoint
from core.ports import Outgoing

HEADERS: Final = (*KEY_HEADERS, "x-amz-security-token")


def keys_sent(outgoing: Outgoing, endpoint: Endpoint) -> tuple[str, ...]:
    """What went along with a request: the settings' own, and what was made of it."""
    headers, secrets = outgoing.headers, endpoint.secrets
    sent = [headers[name].rpartition(" ")[2] for name in HEADERS if name in headers]
    made = [key for key in sent if key not in secrets and len(key) >= SHORTEST_SECRET]
    # The longest first: one may be the beginning of another.
    return tuple(sorted({*secrets, *made}, key=len, reverse=True)) if made else secrets


def shown(headers: Mapping[str, str], keys: Sequence[str]) -> Mapping[str, str]:
    """A reply's headers without those that quote a key."""
    whole = "\n".join(headers.values())
    for key in keys:
        if key in whole:
            headers = {name: value for name, value in headers.items() if key not in value}
    return headers
