"""How an organisation's document is named where it is kept, and how large it may be.

Names may hold any letter; what keeps them may not. A character that does not
fit becomes `=` and two hexadecimal digits for each of its bytes, so that two
organisations never share a place and a name can be read back.
"""

import re
from typing import Final

from core.ports import StoreError

MOST_BYTES: Final = 65_536
"""Of a secret: https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html"""

_IN_SECRET: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_IN_FILE: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")
"""Some file systems take `A` for `a`; a name that begins with a dot would be hidden."""
_ESCAPED: Final = re.compile(rb"=([0-9A-F]{2})")
_PREFIX: Final = re.compile(r"[A-Za-z0-9/_+.@-]{1,200}")
_LONGEST_SECRET: Final = 512
_LONGEST_FILE: Final = 200


class UnfitDocumentError(StoreError):
    """Nothing is wrong with the store: what it was given cannot be kept."""


def check(org: str, body: bytes) -> None:
    if len(body) > MOST_BYTES:
        raise UnfitDocumentError(
            f"The settings of the organisation `{org[:200]}` have {len(body)} bytes, and at most "
            f"{MOST_BYTES} can be kept: leave out what repeats itself, such as long "
            "`overrideSystemPrompt` and `customModels`, or make two organisations of it."
        )
    try:
        body.decode()
    except UnicodeDecodeError:
        # Without its cause, which quotes the document.
        raise UnfitDocumentError(
            f"The settings of the organisation `{org[:200]}` are not UTF-8."
        ) from None


def secret_prefix(prefix: str) -> str:
    """ValueError where AWS would not take it."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("The prefix of secrets is 1 to 200 letters, digits and any of /_+.@-")
    return f"{prefix.rstrip('/')}/org/"


def secret_name(prefix: str, org: str) -> str | None:
    """`prefix` is that of `secret_prefix`. None: no secret can have such a name."""
    escaped = _escape(org, _IN_SECRET)
    if escaped is None or len(prefix) + len(escaped) > _LONGEST_SECRET:
        return None
    return prefix + escaped


def org_of_secret(prefix: str, name: str) -> str | None:
    """None: it is not one of ours."""
    if not name.startswith(prefix):
        return None
    org = _unescape(name.removeprefix(prefix))
    return org if org is not None and secret_name(prefix, org) == name else None


def file_name(org: str) -> str | None:
    """None: no file can have such a name."""
    escaped = _escape(org, _IN_FILE)
    return None if escaped is None or len(escaped) > _LONGEST_FILE else f"{escaped}.json"


def org_of_file(name: str) -> str | None:
    """None: it is not one of ours."""
    org = _unescape(name.removesuffix(".json"))
    return org if org is not None and file_name(org) == name else None


def unfit_name(org: str) -> UnfitDocumentError:
    return UnfitDocumentError(
        f"The name of the organisation `{org[:200]}` is empty, or too long to be kept: "
        "take one of at most 60 letters and digits."
    )


def _escape(org: str, kept: frozenset[int]) -> str | None:
    try:
        name = org.encode()
    except UnicodeEncodeError:
        return None
    return "".join(chr(byte) if byte in kept else f"={byte:02X}" for byte in name) or None


def _unescape(name: str) -> str | None:
    try:
        return _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), name.encode()).decode()
    except UnicodeError:
        return None
