"""Another provider's thoughts, shown to a client that speaks Gemini.

`thoughtSignature` is base64 that Google's SDK decodes and encodes anew, in the
other alphabet. A signature that is not Google's would come back changed, so it
goes in as bytes under a mark of ours, which also says whose it is.
"""

from base64 import b64encode
from typing import Final

from core.dialects.gemini.fields import decoded
from core.neutral import Reasoning
from core.signatures import for_google, of_google

MARK: Final = b"cutwater:"
_SIGNATURE: Final = MARK + b"signature:"
_REDACTED: Final = MARK + b"redacted:"

UNSIGNED_CALL: Final = b64encode(MARK + b"unsigned").decode()
"""Shown with a call that nobody signed: should Google go on with this conversation, it wants
to hear that the call is not its own."""


def wrapped(signature: str | None, redacted: str | None) -> str | None:
    """What to show as `thoughtSignature`."""
    if redacted is not None:
        return b64encode(_REDACTED + redacted.encode()).decode()
    if not signature:
        return None
    return for_google(signature) or b64encode(_SIGNATURE + signature.encode()).decode()


def signature_of_call(shown: str | None) -> str | None:
    """Google's own; None where there is none."""
    return None if shown is None or is_ours(shown) else shown


def is_ours(shown: str) -> bool:
    return (decoded(shown) or b"").startswith(MARK)


def unwrapped(text: str, shown: str | None) -> Reasoning:
    """The thought with the signature that its own provider made."""
    if shown is None:
        return Reasoning(text=text)
    inside = decoded(shown) or b""
    if inside.startswith(_REDACTED):
        return Reasoning(text=text, redacted=inside.removeprefix(_REDACTED).decode())
    if inside.startswith(_SIGNATURE):
        return Reasoning(text=text, signature=inside.removeprefix(_SIGNATURE).decode())
    return Reasoning(text=text, signature=of_google(shown))
