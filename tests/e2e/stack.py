"""`cutwater serve` in front of `replay_upstream.py`, one organisation per way of delivery."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests import corpus, processes
from tests.e2e.comparison import APIS, Place
from tests.processes import Server

KEY = "cw_test_0123456789abcdef0123456789abcde{}"


class Stack(Struct, frozen=True):
    replay: Server
    cutwater: Server

    @property
    def direct(self) -> Place:
        return Place(self.replay.url)

    def through(self, chunk: int = 0) -> Place:
        """With a key of the organisation whose upstream writes `chunk` bytes at a time."""
        return Place(self.cutwater.url, KEY.format(chunk))


def organisation(url: str, chunk: int) -> dict[str, Any]:
    """The replay server reads its options from headers: an endpoint may add its own."""
    headers = {"x-replay-chunk": str(chunk)} if chunk else {}
    metadata = {"api_base": f"{url}/v1", "additionalHeaders": headers}
    return {
        "name": f"chunk-{chunk}",
        "keys": [{"name": "ci", "key": KEY.format(chunk)}],
        "endpoints": [
            {"name": "openai-main", "type": "openai", "secret": "k", "metadata": metadata},
            {"name": "claude", "type": "anthropic", "secret": "k", "metadata": metadata},
        ],
    }


@contextmanager
def running(directory: Path, chunks: Sequence[int] = (0, 1, 7)) -> Iterator[Stack]:
    with ExitStack() as servers:
        replay = servers.enter_context(processes.replay_upstream(directory, corpus.require(), APIS))
        orgs = [organisation(replay.url, chunk) for chunk in chunks]
        cutwater = servers.enter_context(processes.cutwater(directory, orgs))
        yield Stack(replay, cutwater)
