"""The recordings of provider traffic: where they are, and how to read them.

They are not redistributed, so they may be absent: then a test marked `corpus`
skips and says why, or fails where CUTWATER_REQUIRE_CORPUS=1 (as in CI).
"""

import os
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from msgspec import Struct

WHERE: Final = "CUTWATER_SHARED"
REQUIRED: Final = "CUTWATER_REQUIRE_CORPUS"


class Request(Struct, frozen=True, kw_only=True):
    method: str
    path: str
    headers: dict[str, str] = {}
    body: Any = None
    recorded: bool = True


class Response(Struct, frozen=True, kw_only=True):
    status: int
    body: Any = None
    body_text: str = ""
    body_b64: str = ""
    """What is no text: AWS's event streams, audio."""


class Recording(Struct, frozen=True, kw_only=True):
    id: str
    api: str
    model: str | None = None
    stream: bool
    features: tuple[str, ...] = ()
    request: Request
    response: Response

    @property
    def tail(self) -> str:
        """The unique end of the id: a model name that contains it asks for this recording."""
        return "-".join(self.id.rsplit("-", 2)[1:])


def folder() -> Path | None:
    """`corpus` in the folder that CUTWATER_SHARED names, else in `../shared` beside the repository.

    None where the recordings are absent.
    """
    configured = os.environ.get(WHERE)
    shared = Path(configured) if configured else Path(__file__).resolve().parents[2] / "shared"
    found = shared / "corpus"
    return found if (found / "recordings").is_dir() else None


def require() -> Path:
    """The folder; where it is absent the running test skips, or fails if CI demands it."""
    found = folder()
    if found is not None:
        return found
    reason = f"The recordings are not here: {WHERE} names the folder that holds `corpus/recordings`"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason}, and {REQUIRED}=1 forbids to skip.", pytrace=False)
    pytest.skip(f"{reason} (default: ../shared beside the repository).")


@cache
def recordings(api: str) -> tuple[Recording, ...]:
    """All recordings of one API, such as `openai.chat`."""
    path = require() / "recordings" / f"{api}.jsonl"
    decode = msgspec.json.Decoder(Recording).decode
    return tuple(decode(line) for line in path.read_bytes().split(b"\n") if line.strip())
