"""JSON objects as Google's clients write them.

Google takes every field in camelCase and in snake_case, one object where a
list is meant, and base64 in both alphabets; its own SDK makes use of all three.
"""

import binascii
import re
from base64 import b64decode
from typing import Final

import msgspec
from msgspec import Raw

from core.envelope import Envelope, present
from core.errors import BadRequestError

_UNDERSCORE: Final = re.compile(r"_([a-z0-9])")
_STANDARD: Final = str.maketrans("-_", "+/")


def camel(fields: Envelope) -> Envelope:
    """One level only: what lies in arguments and schemas has names of its own."""
    return {
        _UNDERSCORE.sub(lambda found: found[1].upper(), name) if "_" in name else name: value
        for name, value in fields.items()
        if present(value) is not None
    }


def opened(value: Raw, at: str) -> Envelope:
    try:
        return camel(msgspec.json.decode(value, type=Envelope))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(f"`{at}` is no object.", param=at) from error


def listed(value: Raw | None, at: str) -> list[Raw]:
    if value is None:
        return []
    if bytes(value).startswith(b"{"):
        return [value]
    try:
        return msgspec.json.decode(value, type=list[Raw])
    except msgspec.DecodeError as error:
        raise BadRequestError(f"`{at}` is no list.", param=at) from error


def standard_base64(data: str) -> str:
    """What every other provider takes."""
    plain = data.translate(_STANDARD)
    return plain + "=" * (-len(plain) % 4)


def decoded(data: str) -> bytes | None:
    """None where it is no base64 at all."""
    try:
        return b64decode(standard_base64(data), validate=True)
    except (binascii.Error, ValueError):
        return None
