"""How long a process goes by the settings that it remembers of an organisation.

Three things are told apart: the store says that there is none (a fact, believed
at once), the store cannot be asked (what was known stays in use for a while),
and what is stored is faulty (what was last good stays in use: whoever wrote it
meant to change something, not to end all calls).
"""

import re
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from core.errors import UnavailableError
from core.options import UseCredsCache
from core.orgs import Org, SettingsError
from core.ports import Document

FRESH_S: Final = 60.0
"""A change is live everywhere after so long."""
STALE_S: Final = 600.0
"""While the store cannot be asked, what it said last is used for so long."""
ABSENT_S: Final = 5.0
AGAIN_S: Final = 5.0
"""A store in trouble is not asked by every request, nor is it asked at every 401."""

Parse: TypeAlias = Callable[[bytes, str], Org]
"""A document and the organisation that it is of; raises SettingsError."""
Step: TypeAlias = Literal["use", "read"]

_PLACE: Final = re.compile(r"at `(\$[^`]*)`")


class Known(Struct, frozen=True, kw_only=True):
    """What a process remembers of one organisation."""

    org: Org | None = None
    version: str = ""
    """Of the document that was seen last, be it faulty."""
    checked_at: float = 0.0
    """When the store was asked that gave an answer."""
    tried_at: float = 0.0
    failed: bool = False
    """The store was asked since, and gave no answer."""
    fault: str | None = None
    """Where the document that was seen last is faulty."""


def step(known: Known | None, now: float, mode: UseCredsCache) -> Step:
    if known is None or mode == "never":
        return "read"
    limit = FRESH_S if known.org is not None else ABSENT_S
    if not known.failed and 0 <= now - known.checked_at < limit:
        return "use"
    if known.failed and is_usable(known, now) and 0 <= now - known.tried_at < AGAIN_S:
        return "use"
    return "read"


def is_usable(known: Known | None, now: float) -> bool:
    """Whether what is known will do where the store gives no answer."""
    return known is not None and known.org is not None and now - known.checked_at < STALE_S


def may_refresh(known: Known, now: float) -> bool:
    return not 0 <= now - max(known.checked_at, known.tried_at) < AGAIN_S


def answered(
    known: Known | None, name: str, document: Document | None, *, asked_at: float, parse: Parse
) -> Known:
    """After the store's answer. A document that is known already is not parsed again."""
    if document is None:
        return Known(checked_at=asked_at, tried_at=asked_at)
    if known is not None and known.version == document.version:
        return replace(known, checked_at=asked_at, tried_at=asked_at, failed=False)
    fault = None
    org: Org | None
    try:
        org = _named(name, parse(document.body, name))
    except SettingsError as error:
        # Only the place: the rest may quote the document.
        places = _PLACE.findall(str(error))
        fault = places[-1] if places else "$"
        org = known.org if known is not None else None
    return Known(
        org=org, version=document.version, checked_at=asked_at, tried_at=asked_at, fault=fault
    )


def _named(name: str, org: Org) -> Org:
    if org.name != name:
        # It would get the cache and the limits of another one.
        raise SettingsError("The document is of another organisation - at `$.name`")
    return org


def failed(known: Known | None, now: float) -> Known:
    """After a question that the store did not answer."""
    return replace(known or Known(), tried_at=now, failed=True)


def org_of(known: Known, now: float, mode: UseCredsCache) -> Org | None:
    """None: there is no such organisation. UnavailableError where that cannot be said.

    Who asked for `never` wants what is stored, and hears if it cannot be had.
    """
    if known.failed and (mode == "never" or not is_usable(known, now)):
        raise UnavailableError(
            "The settings of the organisation cannot be read at the moment: try again.",
            headers={"retry-after": "5"},
        )
    if known.fault is not None and (mode == "never" or known.org is None):
        raise UnavailableError(
            "The settings of the organisation are stored with a fault: its administrator finds "
            "the place in the log (org_settings_faulty)."
        )
    return known.org
