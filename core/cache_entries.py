"""An answer as it lies in the cache: packed, compressed, sealed, cut into rows.

AES-256-GCM. What is bound beside the text (entry, expiry, format, number of
pieces) cannot be changed without the seal breaking, and whatever does not open
is simply not there: `open_entry` never raises. A large answer is sealed as a
whole and then cut, so that a piece missing, or of another writing, breaks the
seal as well. The first row names the writing that its pieces belong to, and is
written last.
"""

import zlib
from collections.abc import Mapping
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from core.cache_keys import FORMAT, Names
from core.ports import Row, RowKey

PIECE: Final = 380 * 1024
"""Bytes of one row; DynamoDB takes 400 KB with names and all."""
MOST_SEALED: Final = 4 * 1024 * 1024
NONCE: Final = 12
_MAGIC: Final = b"CW"
_HEAD: Final = len(_MAGIC) + 2 + NONCE
_WORTH_PACKING: Final = 256
_MOST_UNPACKED: Final = 128 * 1024 * 1024
_PLAIN, _DEFLATED = b"\0", b"\1"
FIRST: Final = "0"
"""Sort key of the row that tells of the others."""


class Entry(Struct, frozen=True, kw_only=True, array_like=True):
    """The client's bytes, and what its head must say again."""

    stored_at: int
    ttl_s: int
    """0: for ever."""
    headers: tuple[tuple[bytes, bytes], ...]
    streamed: bool
    body: bytes
    digest: bytes = b""
    """Of the request: an answer of a cassette moves to another key with it."""

    def __repr__(self) -> str:
        return f"<Entry of {len(self.body)} bytes>"


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(Entry).decode


def seal(names: Names, entry: Entry, nonce: bytes, *, sk: str = "", org: str = "") -> list[Row]:
    """The rows to write, in this order; none where the answer is too large to keep.

    `nonce`: 12 random bytes, never used before. `sk` tells entries of one partition apart.
    """
    plain = _pack(entry)
    deflated = zlib.compress(plain, 1) if len(plain) > _WORTH_PACKING else plain
    small = _DEFLATED + deflated if len(deflated) < len(plain) else _PLAIN + plain
    pieces = -(-(len(small) + 16) // PIECE)
    expires_at = entry.stored_at + entry.ttl_s if entry.ttl_s else 0
    bound = _bound(names, sk, expires_at, FORMAT, pieces)
    sealed = AESGCM(names.seal).encrypt(nonce, small, bound)
    if len(sealed) > MOST_SEALED:
        return []
    head = _MAGIC + bytes((FORMAT, pieces)) + nonce
    rows = [
        Row(
            pk=names.pk,
            sk=_piece_key(sk, nonce, number),
            data=sealed[number * PIECE : (number + 1) * PIECE],
            expires_at=expires_at,
            stored_at=entry.stored_at,
            org=org,
        )
        for number in range(1, pieces)
    ]
    first = Row(
        pk=names.pk,
        sk=sk + FIRST,
        data=head + sealed[:PIECE],
        expires_at=expires_at,
        stored_at=entry.stored_at,
        org=org,
    )
    return [*rows, first]


def missing(row: Row, sk: str = "") -> list[RowKey]:
    """The other rows of the answer that this first row begins."""
    if len(row.data) < _HEAD or not row.data.startswith(_MAGIC):
        return []
    pieces, nonce = row.data[len(_MAGIC) + 1], row.data[_HEAD - NONCE : _HEAD]
    return [(row.pk, _piece_key(sk, nonce, number)) for number in range(1, min(pieces, 16))]


def open_entry(
    names: Names, row: Row, others: Mapping[RowKey, Row], now: int, *, sk: str = ""
) -> Entry | None:
    """The answer; None where it has expired, or is not what was sealed under this name."""
    if 0 < row.expires_at <= now or row.pk != names.pk or row.sk != sk + FIRST:
        return None
    data = row.data
    if len(data) < _HEAD or data[: len(_MAGIC)] != _MAGIC or data[len(_MAGIC)] != FORMAT:
        return None
    pieces, nonce = data[len(_MAGIC) + 1], data[_HEAD - NONCE : _HEAD]
    rest = [others.get(key) for key in missing(row, sk)]
    sealed = data[_HEAD:] + b"".join(piece.data for piece in rest if piece is not None)
    try:
        bound = _bound(names, sk, row.expires_at, FORMAT, pieces)
        entry = _unpack(_expanded(AESGCM(names.seal).decrypt(nonce, sealed, bound)))
    except (InvalidTag, ValueError, zlib.error):
        return None
    return entry if entry.ttl_s == 0 or now < entry.stored_at + entry.ttl_s else None


def _expanded(small: bytes) -> bytes:
    if small[:1] == _PLAIN:
        return small[1:]
    return zlib.decompressobj().decompress(small[1:], _MOST_UNPACKED)


def _bound(names: Names, sk: str, expires_at: int, version: int, pieces: int) -> bytes:
    return _encode((names.pk, sk, expires_at, version, pieces))


_encode: Final = msgspec.msgpack.Encoder().encode


def _piece_key(sk: str, nonce: bytes, number: int) -> str:
    return f"{sk}{FIRST}#{nonce.hex()}#{number:02}"


def is_first(row: Row) -> bool:
    """Whether an answer begins in this row."""
    return row.sk.endswith(FIRST) and "#" not in row.sk
