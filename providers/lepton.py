"""Lepton: every model has a host of its own."""

import re
from typing import Final

from core.errors import BadRequestError
from core.routes import DialectName
from core.routing import Candidate, base_url

_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def url(candidate: Candidate, path: str, _dialect: DialectName, _streams: bool) -> str:
    if candidate.endpoint.metadata.api_base:
        return base_url(candidate) + path
    # The name comes from the caller and becomes a host: nothing else may get in.
    if not _LABEL.fullmatch(candidate.model):
        raise BadRequestError("This is no name of a Lepton model.", param="model")
    return f"https://{candidate.model}.lepton.run/api/v1{path}"
