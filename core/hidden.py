"""What a provider was given and may quote, and nobody else may read.

Not only keys: whatever the settings add to requests is their owner's.
"""

from typing import Final

from core.options import KEY_HEADERS
from core.orgs import Endpoint
from core.ports import Outgoing

SHORTEST_SECRET: Final = 8
"""What is shorter is no secret, and would take words out of messages."""
HEADERS: Final = (*KEY_HEADERS, "x-amz-security-token")


def secrets_of(endpoint: Endpoint) -> tuple[str, ...]:
    """What its settings hold."""
    metadata = endpoint.metadata
    said = (
        endpoint.secret,
        metadata.access_key,
        metadata.session_token,
        *metadata.additional_headers.values(),
    )
    return tuple(secret for secret in said if secret and len(secret) >= SHORTEST_SECRET)


def keys_sent(outgoing: Outgoing, endpoint: Endpoint) -> tuple[str, ...]:
    """What went along with a request: the settings' own, and what was made of it."""
    headers = outgoing.headers
    sent = [headers[name].rpartition(" ")[2] for name in HEADERS if name in headers]
    found = {key for key in sent if len(key) >= SHORTEST_SECRET}
    # The longest first: one may be the beginning of another.
    return tuple(sorted(found.union(secrets_of(endpoint)), key=len, reverse=True))
