"""`cutwater serve` in front of the recorded realtime sessions: one endpoint for each of them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from tests import corpus, processes
from tests.processes import Server

KEY: Final = "cw_test_realtime_0123456789abcdef"
TYPES: Final = {
    "openai.realtime": ("openai", "/v1"),
    "azure.realtime": ("azure", "/openai/v1"),
    "azure-voice-live.realtime": ("azure", ""),
    "xai.realtime": ("xAI", "/v1"),
}
SECRETS: Final = {
    "openai.realtime-client-secrets": ("openai", "/v1"),
    "azure.realtime-client-secrets": ("azure", "/openai/v1"),
}


class Frame(Struct, frozen=True):
    dir: str
    text: str = ""
    close: dict[str, Any] | None = None


class Session(Struct, frozen=True):
    id: str
    api: str
    model: str | None = None
    frames: tuple[Frame, ...] = ()

    @property
    def parts(self) -> list[list[Frame]]:
        """Its frames by connection: a recorded close ends one, the next goes on after it."""
        found: list[list[Frame]] = [[]]
        for frame in self.frames:
            found[-1].append(frame)
            if frame.close is not None:
                found.append([])
        return [part for part in found if part]


class Stack(Struct, frozen=True):
    replay: Server
    cutwater: Server

    @property
    def url(self) -> str:
        return self.cutwater.url.replace("http", "ws") + "/v1/realtime"


@cache
def sessions(*apis: str) -> tuple[Session, ...]:
    folder = corpus.require() / "recordings"
    decode = msgspec.json.Decoder(Session).decode
    lines = [line for api in apis for line in (folder / f"{api}.jsonl").read_bytes().splitlines()]
    return tuple(decode(line) for line in lines if line.strip())


def ids() -> list[str]:
    """Of the recorded sessions; none where the recordings are absent."""
    if corpus.folder() is None:
        return []
    return [session.id for session in sessions(*TYPES)]


def session(name: str) -> Session:
    return next(one for one in sessions(*TYPES) if one.id == name)


def endpoint(one: Session, url: str) -> dict[str, Any]:
    kind, path = {**TYPES, **SECRETS}[one.api]
    metadata: dict[str, Any] = {"api_base": f"{url}/replay/{one.id}{path}"}
    if one.api.startswith("azure-voice-live"):
        metadata |= {"endpoint_path": "/voice-live/realtime", "api_version": "2025-10-01"}
    return {"name": one.id, "type": kind, "secret": "sk-of-the-endpoint", "metadata": metadata}


@contextmanager
def running(directory: Path, *, only: str | None = None) -> Iterator[Stack]:
    """`only`: the one recording there is an endpoint for."""
    apis = [*TYPES, *SECRETS]
    with ExitStack() as servers:
        replay = servers.enter_context(processes.replay_upstream(directory, corpus.require(), apis))
        endpoints = [endpoint(one, replay.url) for one in sessions(*apis) if only in (None, one.id)]
        models = sorted({one.model or "gpt-realtime" for one in sessions(*apis)})
        for found in endpoints:  # Whatever the model: the test names the endpoint.
            found["metadata"]["models"] = models
        org = {"name": "acme", "keys": [{"name": "ci", "key": KEY}], "endpoints": endpoints}
        cutwater = servers.enter_context(processes.cutwater(directory, [org]))
        yield Stack(replay, cutwater)
