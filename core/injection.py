"""What an organisation's settings may not smuggle in: header lines, and addresses in credentials.

A credential file names the addresses where its tokens are fetched, so that it
is to be looked at as `api_base` is.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from core import addresses
from core.addresses import Reach

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_HEADERS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OF_THE_CONNECTION: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""They say where a request ends or whom it is for: a second opinion smuggles another one in."""


def header_faults(headers: Mapping[str, Any], at: str) -> list[tuple[str, str]]:
    faults: list[tuple[str, str]] = []
    for name, value in headers.items():
        shown = CONTROL.sub("?", name[:80])
        if not _HEADER_NAME.fullmatch(name) or _NOT_IN_HEADERS.search(str(value)):
            faults.append((at, f"`{shown}` is no usable header"))
        elif name.lower() in _OF_THE_CONNECTION:
            faults.append((at, f"`{shown}` is Cutwater's own to send"))
    return faults


def _document(secret: str | None) -> dict[str, Any]:
    """A secret that is a credential file, such as Google's; else nothing."""
    if not (secret or "").lstrip().startswith("{"):
        return {}
    try:
        return msgspec.json.decode(secret or "", type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return {}


_CREDENTIAL_URLS: Final = ("token_uri", "token_url", "service_account_impersonation_url")
_WHO_AM_I: Final = re.compile(
    r"https://sts\.(\{region\}|[a-z0-9-]{1,60})\.amazonaws\.com(\.cn)?/?"
    r"\?Action=GetCallerIdentity&Version=2011-06-15"
)
"""What this process's role signs for others: any other action would be done in its name."""


def credential_faults(secret: str | None, at: str, reach: Reach) -> list[tuple[str, str]]:
    """Of the addresses in a credential file, which are asked as `api_base` is."""
    document = _document(secret)
    source = document.get("credential_source")
    source = source if isinstance(source, dict) else {}
    urls = [(name, document.get(name)) for name in _CREDENTIAL_URLS]
    urls.append(("credential_source.url", source.get("url")))
    faults = [
        (at, f"`{name}` in it {wrong}")
        for name, url in urls
        if url and (wrong := addresses.fault(str(url), reach)) is not None
    ]
    question = source.get("regional_cred_verification_url")
    if question and not _WHO_AM_I.fullmatch(str(question)):
        faults.append(
            (at, "`regional_cred_verification_url` in it may ask for GetCallerIdentity only")
        )
    headers = source.get("headers")
    return faults + header_faults(headers if isinstance(headers, dict) else {}, at)
