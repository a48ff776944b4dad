"""Plays a script of bytes and pauses as if a provider had sent it: the demo's upstream."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Literal, Protocol

from core.errors import UpstreamError, UpstreamTimeoutError
from core.ports import Incoming, Outgoing


class Script(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> dict[str, str]: ...
    @property
    def steps(self) -> tuple[tuple[float, bytes], ...]:
        """(seconds to wait, bytes to send), in turn."""
        ...

    @property
    def cut(self) -> bool:
        """The connection is dropped after the last step."""
        ...

    @property
    def fails(self) -> Literal["reset", "silent"] | None:
        """There is no reply: the connection is reset, or nothing comes."""
        ...


class ScriptedReply:
    def __init__(self, script: Script, idle_s: float) -> None:
        self._script = script
        self._idle_s = idle_s
        self.status = script.status
        self.headers: Mapping[str, str] = script.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        for pause, data in self._script.steps:
            await asyncio.sleep(min(pause, self._idle_s))
            if pause > self._idle_s:
                raise UpstreamTimeoutError("The provider stopped in the middle of its answer.")
            if data:
                yield data
        if self._script.cut:
            raise UpstreamError("The provider's answer was cut off.")

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])


class ScriptedUpstream:
    def __init__(self, script_of: Callable[[bytes], Script]) -> None:
        self._script_of = script_of

    @asynccontextmanager
    async def send(self, request: Outgoing) -> AsyncIterator[Incoming]:
        script = self._script_of(request.body)
        if script.fails == "silent":
            await asyncio.sleep(request.first_byte_s)
            raise UpstreamTimeoutError("The provider did not answer in time.")
        if script.fails == "reset":
            raise UpstreamError("The provider could not be reached.")
        yield ScriptedReply(script, request.idle_s)

    async def close(self) -> None:
        return
