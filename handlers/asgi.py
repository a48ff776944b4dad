"""One HTTP exchange as ASGI has it: the request's body, the response's head and body.

The head is held until the first byte of the body, so that it says what really
happened; after that byte nothing about it can change.
"""

import asyncio
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, MutableMapping
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from core.errors import RequestTimeoutError, TooLargeError

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]
T = TypeVar("T")

SILENCE_S: Final = 15.0
BODY_IDLE_S: Final = 30.0
"""Between two pieces of a request's body."""
WATCH_AFTER_S: Final = 0.05
"""How long a client may be gone before somebody notices."""
MOST_BODY: Final = 50 * 1024 * 1024
DEADLINE: Final = "cutwater.deadline"
"""In a scope: the loop's time at which the request must be over, where there is such a time."""
LONGEST_LENGTH: Final = 18
"""Digits; Python refuses to read a number of thousands of them."""


class ClientGoneError(Exception):
    """Nobody is there to answer."""


class CutShortError(Exception):
    """A body of foreign bytes broke off: nothing may be added, and its end may not be said.

    The server closes the connection of an application that leaves without an end.
    """


async def read_body(receive: Receive, headers: dict[str, str], *, most: int) -> bytes:
    _check_length(headers, most)
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await _next_piece(receive)
        piece = message.get("body", b"")
        size += len(piece)
        if size > most:
            raise _too_large(most)
        pieces.append(piece)
        if not message.get("more_body"):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _next_piece(receive: Receive) -> MutableMapping[str, Any]:
    try:
        message = await _in_time(receive())
    except TimeoutError as error:
        raise RequestTimeoutError("The request's body did not arrive in time.") from error
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    return message


@types.coroutine
def _in_time(coming: Awaitable[T]) -> Generator[Any, Any, T]:
    """What comes within BODY_IDLE_S. TimeoutError where it does not.

    A small body is mostly there already: a timer would cost more than to read it.
    """
    steps = coming.__await__()
    try:
        waits_for = next(steps)
    except StopIteration as done:
        value: T = done.value
        return value
    return (yield from _timed(_rest(steps, waits_for)).__await__())


async def _timed(coming: Awaitable[T]) -> T:
    async with asyncio.timeout(BODY_IDLE_S):
        return await coming


@types.coroutine
def _rest(steps: Generator[Any, Any, T], waits_for: object) -> Generator[Any, Any, T]:
    """Of what has taken its first step, and waits for something."""
    try:
        yield waits_for
    except BaseException as error:
        steps.throw(error)  # It has to be heard in there, where somebody may be cleaning up.
        raise
    return (yield from steps)


class Inlet:
    """A request body that is passed on while it arrives."""

    def __init__(self, receive: Receive, headers: dict[str, str], *, most: int) -> None:
        _check_length(headers, most)
        self._receive = receive
        self._most = most
        self._size = 0
        self.head = bytearray()
        """What has been read and is still to be passed on."""
        self.failure: Exception | None = None
        """Why it ended early: who sends it on sees only that it did."""
        self.over = False

    async def more(self) -> None:
        """Read on into `head`."""
        try:
            message = await _next_piece(self._receive)
        except (RequestTimeoutError, ClientGoneError) as error:
            self.failure = error
            raise
        piece = message.get("body", b"")
        self._size += len(piece)
        if self._size > self._most:
            self.failure = _too_large(self._most)
            raise self.failure
        self.head += piece
        self.over = not message.get("more_body")

    async def pieces(self) -> AsyncIterator[bytes]:
        """The whole body, from its first byte."""
        while True:
            piece, self.head = bytes(self.head), bytearray()
            if piece:
                yield piece
            if self.over:
                return
            await self.more()


def _check_length(headers: dict[str, str], most: int) -> None:
    declared = headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > LONGEST_LENGTH or int(declared) > most):
        raise _too_large(most)


def _too_large(most: int) -> TooLargeError:
    return TooLargeError(f"The request body is larger than {most} bytes.")


class Reshape(Protocol):
    """Another form for all that is streamed."""

    def feed(self, chunk: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class Witness(Protocol):
    """Sees what the client gets, in the form before `Reshape`; heartbeats are not shown."""

    def begin(self, status: int, headers: Headers, body: bytes | None) -> Headers:
        """The headers to send. `body` is the whole of it where it is known."""
        ...

    def see(self, chunk: bytes) -> None: ...


class Outlet:
    """Where the response goes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._status = 200
        self._headers: Headers = []
        self._beating: asyncio.Task[None] | None = None
        self._early: Headers | None = None
        self._last = 0.0
        self.reshape: Reshape | None = None
        self.witness: Witness | None = None
        self.for_pages: Headers = []
        """What tells a browser whether the page that asked may read the answer."""
        self.outlives_client = False
        """Whether the answer is made to its end although nobody is left to read it."""
        self.gathers = False
        """Whether an answer that is no stream is sent as a whole, for its head to tell of it."""
        self._clock: Callable[[], float] | None = None
        self.size = 0
        """Bytes of the body so far."""
        self.begun = False
        """A byte has left: status and headers are said."""
        self.over = False

    def head(self, status: int, headers: Headers) -> None:
        """Not sent before the first byte of the body."""
        self._status, self._headers = status, headers

    async def _begin(self, extra: Headers, body: bytes | None = None) -> None:
        # First of all: a heartbeat meanwhile may not say the head again.
        self.begun = True
        if self.witness is not None:
            self._headers = self.witness.begin(self._status, self._headers, body)
        await self._send(
            {
                "type": "http.response.start",
                "status": self._status,
                "headers": self._headers + self.for_pages + extra,
            }
        )

    async def whole(self, body: bytes) -> None:
        self.over = True
        self.size = len(body)
        await self._begin([(b"content-length", b"%d" % len(body))], body)
        await self._send({"type": "http.response.body", "body": body})

    async def write(self, chunk: bytes) -> None:
        if not self.begun:
            await self._begin([])
        if self.witness is not None:
            self.witness.see(chunk)
        await self._write(chunk)

    async def _write(self, chunk: bytes) -> None:
        if self.reshape is not None:
            chunk = self.reshape.feed(chunk)
        if not self.begun:
            await self._begin([])
        if self._clock is not None:
            self._last = self._clock()
        self.size += len(chunk)
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self) -> None:
        self.over = True
        self.hush()
        if not self.begun:
            await self._begin([])
        last = b"" if self.reshape is None else self.reshape.finish()
        await self._send({"type": "http.response.body", "body": last})

    @property
    def status(self) -> int:
        return self._status

    def mute(self) -> None:
        """From now on all is said to nobody."""
        self.hush()
        self._send = _nobody

    def beat(
        self, heartbeat: bytes, silence_s: float = SILENCE_S, *, early: Headers | None = None
    ) -> None:
        """From now on this goes out whenever nothing else did for that long; empty: nothing.

        `early` is the head where a heartbeat is the first that is said.
        """
        if heartbeat and self._beating is None:
            self._early = early
            self._beating = asyncio.ensure_future(self._beat(heartbeat, silence_s))

    def hush(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None

    async def _beat(self, heartbeat: bytes, silence_s: float) -> None:
        # Kept: to ask for the running loop costs a system call on some Pythons, at each chunk.
        clock = self._clock = asyncio.get_running_loop().time
        self._last = clock()
        while True:
            await asyncio.sleep(self._last + silence_s - clock())
            if clock() - self._last >= silence_s:
                if not self.begun and self._early is not None:
                    self._headers = self._early
                await self._write(heartbeat)


async def _nobody(_: MutableMapping[str, Any]) -> None:
    """Where a response goes whose client has left."""


class Watch:
    """Cancels `worker`, else the current task, as soon as the client is gone.

    It begins to listen after a moment: most requests of a quick provider are over by then, and
    a task for each of them would cost more than what it saves.
    """

    def __init__(
        self, receive: Receive, outlet: Outlet, worker: "asyncio.Task[object] | None" = None
    ) -> None:
        loop = asyncio.get_running_loop()
        self._receive = receive
        self._outlet = outlet
        self._worker = worker or asyncio.current_task(loop)
        self._listening: asyncio.Task[None] | None = None
        self._later = loop.call_later(WATCH_AFTER_S, self._listen, loop)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        self._listening = loop.create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._outlet.outlives_client:
            self._outlet.mute()
        elif self._worker is not None and not self._outlet.over:
            self._worker.cancel(ClientGoneError)

    def cancel(self) -> None:
        self._later.cancel()
        if self._listening is not None:
            self._listening.cancel()
