"""A JSON request body, opened only as far as the proxy needs.

Top-level keys are split; their values stay raw bytes. Whatever field a
provider adds next year passes through untouched, and `1.50` stays `1.50`.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from core.errors import BadRequestError

Envelope = dict[str, Raw]
T = TypeVar("T")

_split = msgspec.json.Decoder(Envelope).decode
_encode = msgspec.json.Encoder().encode
_decoder = cache(msgspec.json.Decoder)
"""One for each type: making it costs more than a small value does."""
_FILLED_LIST = re.compile(rb"\[\s*[^\s\]]")
_NULL, _NOTHING = Raw(b"null"), Raw()


def split(body: bytes) -> Envelope:
    try:
        if not body.isascii():
            body.decode()  # Raw values are not looked into: broken UTF-8 would travel on.
        return _split(body)
    except msgspec.DecodeError as error:
        if (body_mended := mended(body)) != body:
            return split(body_mended)
        raise BadRequestError(f"The request body is not a JSON object: {error}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError("The request body is not a JSON object in UTF-8.") from error


LONE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)


def mended(body: bytes) -> bytes:
    """JSON without lone surrogates: half an emoji is no text, but `json.dumps` writes it.

    The rest of the bytes is as it was; the same bytes where there is no such half.
    """
    return LONE.sub(lambda found: rb"\ufffd" if found["lone"] else found[0], body)


def read_mended(decode: Callable[[bytes], T], body: bytes) -> T:
    """What a provider wrote, half an emoji and all; its errors are msgspec's."""
    try:
        return decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return decode(mended(body))


def read(envelope: Mapping[str, Raw], name: str, kind: Any, default: T) -> T:
    """The field as `kind`, `default` where it is absent or null; 400 where it is something else."""
    raw = envelope.get(name)
    if raw is None or raw == _NULL:
        return default
    try:
        value: T = _decoder(kind).decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"`{name}` is not usable: {error}", param=name) from error
    return value


def is_filled_list(envelope: Mapping[str, Raw], name: str) -> bool:
    """Told from the first bytes: the value is neither opened nor copied."""
    return _FILLED_LIST.match(envelope.get(name, b"")) is not None


def present(value: Raw) -> Raw | None:
    """A field declared as `Raw = Raw()`: None where it is absent or null.

    (msgspec takes no `Raw | None`: in a union Raw stands for nothing.)
    """
    return None if value in (_NULL, _NOTHING) else value


def raw(value: object) -> Raw:
    return Raw(_encode(value))


def renamed(envelope: Envelope, rename: Mapping[str, str], drop: frozenset[str]) -> Envelope:
    """The same fields by a provider's names.

    A renamed field gives way where the client also sent the field under its new name.
    """
    fields: Envelope = {}
    for name, value in envelope.items():
        target = rename.get(name, name)
        other = envelope.get(target, Raw()) if target != name else Raw()
        if name in drop or present(other) is not None:
            continue
        if target in fields and present(value) is None:
            continue
        fields[target] = value
    return fields


def join(envelope: Envelope) -> bytes:
    return _encode(envelope)
