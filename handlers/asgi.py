"""One HTTP exchange as ASGI has it: the request's body, the response's head and body.

The head is held until the first byte of the body, so that it says what really
happened; after that byte nothing about it can change.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from core.errors import RequestTimeoutError, TooLargeError
from core.sse import HEARTBEAT

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

SILENCE_S: Final = 15.0
BODY_IDLE_S: Final = 30.0
"""Between two pieces of a request's body."""
MOST_BODY: Final = 50 * 1024 * 1024
LONGEST_LENGTH: Final = 18
"""Digits; Python refuses to read a number of thousands of them."""


class ClientGoneError(Exception):
    """Nobody is there to answer."""


async def read_body(receive: Receive, headers: dict[str, str], *, most: int) -> bytes:
    declared = headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > LONGEST_LENGTH or int(declared) > most):
        raise _too_large(most)
    pieces: list[bytes] = []
    size = 0
    while True:
        try:
            async with asyncio.timeout(BODY_IDLE_S):
                message = await receive()
        except TimeoutError as error:
            raise RequestTimeoutError("The request's body did not arrive in time.") from error
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        piece = message.get("body", b"")
        size += len(piece)
        if size > most:
            raise _too_large(most)
        pieces.append(piece)
        if not message.get("more_body"):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(most: int) -> TooLargeError:
    return TooLargeError(f"The request body is larger than {most} bytes.")


class Outlet:
    """Where the response goes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._status = 200
        self._headers: Headers = []
        self._beating: asyncio.Task[None] | None = None
        self._last = 0.0
        self._clock: Callable[[], float] | None = None
        self.begun = False
        """A byte has left: status and headers are said."""
        self.over = False

    def head(self, status: int, headers: Headers) -> None:
        """Not sent before the first byte of the body."""
        self._status, self._headers = status, headers

    async def _begin(self, extra: Headers) -> None:
        # First of all: a heartbeat meanwhile may not say the head again.
        self.begun = True
        await self._send(
            {
                "type": "http.response.start",
                "status": self._status,
                "headers": self._headers + extra,
            }
        )

    async def whole(self, body: bytes) -> None:
        self.over = True
        await self._begin([(b"content-length", b"%d" % len(body))])
        await self._send({"type": "http.response.body", "body": body})

    async def write(self, chunk: bytes) -> None:
        if not self.begun:
            await self._begin([])
        if self._clock is not None:
            self._last = self._clock()
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self) -> None:
        self.over = True
        self.hush()
        if not self.begun:
            await self._begin([])
        await self._send({"type": "http.response.body", "body": b""})

    def beat(self, silence_s: float = SILENCE_S) -> None:
        """From now on a comment goes out whenever nothing else did for that long."""
        self._beating = asyncio.ensure_future(self._beat(silence_s))

    def hush(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None

    async def _beat(self, silence_s: float) -> None:
        # Kept: to ask for the running loop costs a system call on some Pythons, at each chunk.
        clock = self._clock = asyncio.get_running_loop().time
        self._last = clock()
        while True:
            await asyncio.sleep(self._last + silence_s - clock())
            if clock() - self._last >= silence_s:
                await self.write(HEARTBEAT)


def watch(receive: Receive, outlet: Outlet) -> "asyncio.Task[None]":
    """A task that cancels the current one as soon as the client is gone."""
    worker = asyncio.current_task()

    async def wait() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if worker is not None and not outlet.over:
            worker.cancel(ClientGoneError)

    return asyncio.ensure_future(wait())
