"""How a client asked to see the answer, as most formats say it.

Usage is part of every stream in them: only OpenAI's chat clients ask for it.
"""

from core.envelope import Envelope, read
from core.neutral import View


def view_of(envelope: Envelope) -> View:
    return View(
        stream=read(envelope, "stream", bool, False),
        usage_in_stream=True,
        model=read(envelope, "model", str, ""),
    )
