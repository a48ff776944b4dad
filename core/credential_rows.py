"""The row of a temporary credential: what it holds, and under which keys it is sealed.

AES-256-GCM twice: the issuer's key, under a secret that only the JWT carries;
and what was granted, under what only the issuer's key gives, so that opening
it proves who the issuer is. The second seal binds the first one and every
other field of the row: none can be changed, or come from another row.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from core.grants import Grant
from core.ports import Row, RowKey

SECRET: Final = 32
NONCE: Final = 12

_FORMAT: Final = 1
_MAGIC: Final = b"CT"
_HEAD: Final = len(_MAGIC) + 1 + NONCE + 2


class About(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What only the issuer can read in the row."""

    grant: Grant
    org_name: str | None = None
    revoked_at: int | None = None


class Kept(Struct, frozen=True):
    """A row's data, taken apart."""

    nonce: bytes
    sealed: bytes
    """The issuer's key. Empty: revoked."""
    about: bytes = b""

    def __repr__(self) -> str:
        return "<Kept>"


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(About).decode
_pack: Final = msgspec.msgpack.Encoder().encode


def row_key_of(credential_id: str) -> RowKey:
    return (_partition(credential_id), "0")


def counter_row_key(credential_id: str) -> RowKey:
    """Where its requests are counted: `Store.add(key, 1, expires_at)`."""
    return (_partition(credential_id), "requests")


def spent_row_key(credential_id: str) -> RowKey:
    """Where its millionths of a dollar are counted, likewise."""
    return (_partition(credential_id), "spent")


def _partition(credential_id: str) -> str:
    return "cred#" + sha256(credential_id.encode()).hexdigest()


def sealed(row: Row, key: str, secret: bytes, nonce: bytes) -> Kept:
    """The issuer's key, for the row whose other fields these are."""
    return Kept(nonce, _seal(_sealing_key(secret), nonce, key.encode(), _bound(row)))


def written(row: Row, kept: Kept, about: About, key: str, credential_id: str) -> Row:
    """The row with its data; `kept.about` is made of `about`."""
    told = _seal(
        _about_key(key, credential_id), kept.nonce, _encode(about), _bound(row) + kept.sealed
    )
    size = len(kept.sealed).to_bytes(2, "big")
    head = _MAGIC + bytes((_FORMAT,)) + kept.nonce + size
    return replace(row, data=head + kept.sealed + told)


def taken_apart(row: Row) -> Kept | None:
    """None where it is no row of this format."""
    data = row.data
    if len(data) < _HEAD or data[: len(_MAGIC) + 1] != _MAGIC + bytes((_FORMAT,)):
        return None
    end = _HEAD + int.from_bytes(data[_HEAD - 2 : _HEAD], "big")
    return Kept(data[_HEAD - 2 - NONCE : _HEAD - 2], data[_HEAD:end], data[end:])


def issuers_key(row: Row, kept: Kept, secret: bytes) -> str | None:
    """None where the secret is not the one of this row."""
    plain = _open(_sealing_key(secret), kept.nonce, kept.sealed, _bound(row))
    return None if plain is None else plain.decode()


def about(row: Row, kept: Kept, key: str, credential_id: str) -> About | None:
    """None where the key is not the issuer's."""
    bound = _bound(row) + kept.sealed
    plain = _open(_about_key(key, credential_id), kept.nonce, kept.about, bound)
    return None if plain is None else _decode(plain)


def _bound(row: Row) -> bytes:
    return _pack((_FORMAT, row.pk, row.sk, row.expires_at, row.stored_at, row.org))


def signing_key(key: str, nonce: bytes, credential_id: str) -> bytes:
    """Of the JWT. The nonce is in the row alone: a bearer cannot try out keys."""
    return _derived(key.encode(), nonce, f"sign {credential_id}")


def _about_key(key: str, credential_id: str) -> bytes:
    return _derived(key.encode(), b"", f"about {credential_id}")


def _sealing_key(secret: bytes) -> bytes:
    return _derived(secret, b"", "seal")


def _derived(material: bytes, salt: bytes, purpose: str) -> bytes:
    """32 bytes: one block of HKDF (RFC 5869) over SHA-256."""
    extracted = hmac.digest(salt or bytes(32), material, "sha256")
    info = _pack(("cutwater credential", _FORMAT, purpose))
    return hmac.digest(extracted, info + b"\x01", "sha256")


def _seal(key: bytes, nonce: bytes, plain: bytes, bound: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key).encrypt(nonce, plain, bound)


def _open(key: bytes, nonce: bytes, text: bytes, bound: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(nonce, text, bound)
    except (InvalidTag, ValueError):
        return None


def text_of(raw: bytes) -> str:
    """Base64url, without padding."""
    return urlsafe_b64encode(raw).decode().rstrip("=")


def bytes_of(text: str) -> bytes | None:
    """None where it is not the one way to write these bytes: a JWT is not to have two forms."""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return raw if text_of(raw) == text else None
