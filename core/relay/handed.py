"""What a process needs to serve a session, or to go on with it: a sealed row.

The row says nothing without the key, which travels in the event that starts the process and is
another one for each; the key says nothing without the row. Both name the connection and the
generation, so that neither fits elsewhere.
"""

import zlib
from typing import Final

import msgspec
from msgspec import Struct

from core.errors import CutwaterError
from core.relay import replaying
from core.relay.session import Totals
from core.scopes import Scopes
from core.temporary import Credential

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_MOST: Final = 16 * 1024 * 1024
"""Of a state that is unpacked."""


class Handed(Struct, kw_only=True):
    """It holds the client's key and a conversation: it has no repr."""

    request_id: str
    path: str
    headers: list[tuple[str, str]]
    query: str
    offered: list[str]
    """Subprotocols."""
    connected_ms: int
    """When API Gateway took the connection; Unix milliseconds."""
    org_name: str | None = None
    own_key: bool = False
    """The key in the headers is a provider's."""
    key: str = ""
    """Whose it is; the issuer's of a temporary credential."""
    scopes: tuple[Scopes, ...] = ()
    credential: Credential | None = None
    left_usd: float | None = None
    """When the session began."""
    endpoint: str | None = None
    """Which one it spoke with."""
    attempts: int = 0
    totals: Totals | None = None
    state: replaying.State | None = None
    since_ms: int = 0
    """Where to read the mailbox from."""
    done: tuple[str, ...] = ()
    """Messages since then that were taken, and need not be sent again."""

    def __repr__(self) -> str:
        return f"<Handed {self.request_id}>"


class Start(Struct, frozen=True):
    """The event that starts a process for a session. It carries a key: it has no repr."""

    connection: str
    generation: int
    key: bytes

    def __repr__(self) -> str:
        return f"<Start {self.generation}>"


class UnreadableError(Exception):
    """A row, or an event, that is not what it should be."""


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Handed).decode


def _bound(start: Start) -> bytes:
    return f"rt#{start.connection}#{start.generation}".encode()


def seal(handed: Handed, start: Start, nonce: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    small = zlib.compress(_encode(handed), 3)
    return nonce + AESGCM(start.key).encrypt(nonce, small, _bound(start))


def opened(data: bytes, start: Start) -> Handed:
    """UnreadableError where the row is not the one that the event is of."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce, text = data[:NONCE_BYTES], data[NONCE_BYTES:]
    try:
        small = AESGCM(start.key).decrypt(nonce, text, _bound(start))
        unpacker = zlib.decompressobj()
        return _decode(unpacker.decompress(small, _MOST))
    except (InvalidTag, ValueError, zlib.error, CutwaterError):
        raise UnreadableError("The session's row does not fit the event.") from None


def start_event(start: Start) -> bytes:
    return _encode(start)


def read_start(event: object) -> Start:
    try:
        start = msgspec.convert(event, Start)
    except msgspec.ValidationError:
        raise UnreadableError("The event starts no session.") from None
    if len(start.key) != KEY_BYTES:
        raise UnreadableError("The event's key is no key.")
    return start
