"""Every model that a body names, for a caller who may use some models only.

What goes through untouched is read by somebody else's parser: of a name that
comes twice it may take the other one, and `Model` may mean `model` to it. Some
providers take a list `models` to fall back on. A caller whose models are
limited says plainly which one it wants, or is refused.
"""

import re
from typing import Final

from core import cache_keys
from core import envelope as envelopes
from core.errors import BadRequestError

_FIELD: Final = re.compile(
    rb"""name\*?\s*=\s*(?:utf-8'[^']*')?["']?model["']?\s*(?:[;\r\n]|$)""", re.IGNORECASE
)
_NO_SINGLE: Final = (
    "The key of this request is limited to certain models, and the body does not say in one way "
    "which model it wants: send `model` once."
)


def in_json(body: bytes) -> tuple[str, ...]:
    """The models of a JSON body; 400 where another reader might see another one."""
    if not body.strip():
        return ()
    if cache_keys.canonical(body) is None:
        raise BadRequestError(_NO_SINGLE, param="model")
    fields = envelopes.split(body)
    if any(name.casefold() == "model" != name for name in fields):
        raise BadRequestError(_NO_SINGLE, param="model")
    one: str | None = envelopes.read(fields, "model", str, None)
    more: tuple[str, ...] = envelopes.read(fields, "models", tuple[str, ...], ())
    return more if one is None else (one, *more)


def check_form(body: bytes) -> None:
    """400 where a multipart body has more than one field of that name."""
    if len(_FIELD.findall(body)) > 1:
        raise BadRequestError(_NO_SINGLE, param="model")
