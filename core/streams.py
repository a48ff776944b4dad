"""A provider's stream of bytes -> the client's, one chunk at a time, for both lanes.

Only whole events leave: what is cut in the middle never reaches the client,
and an error event or a heartbeat never lands inside another event. A stream
ends as complete only if the provider finished every choice.
"""

from abc import ABC, abstractmethod
from typing import Protocol

import msgspec

from core import provider_errors
from core.dialects import Dialect, StreamParser, StreamRenderer, StreamWatcher
from core.envelope import mended
from core.errors import CutwaterError, UpstreamError
from core.halves import Halves, kept
from core.neutral import Delta, Ended, Failed, Reply, Started, Step, Usage, UsageDelta, fold
from core.sse import Event
from core.wire import Wire

_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
UNKNOWN = "The provider sent an event that cannot be translated."
CUT = "The provider's stream ended before the answer was complete."


def _mended(event: Event) -> Event:
    return Event(mended(event.data), event.name)


def _parsed(parser: StreamParser, event: Event) -> tuple[list[Delta], bool]:
    """What an event says; and whether there are halves of an emoji in it."""
    try:
        return parser.feed(event), False
    except msgspec.ValidationError:
        msgspec.json.decode(event.data)  # What is no JSON at all is another matter.
        raise
    except msgspec.DecodeError:
        return parser.feed(Event(kept(event.data), event.name)), True


def fold_stream(provider: Dialect, wire: Wire, body: bytes) -> Reply:
    """The whole reply that a provider streamed although nobody asked; 502 where it is not whole."""
    framer, parser = wire.framer(), provider.StreamParser()
    deltas: list[Delta] = []
    halves = Halves()
    for frame in [*framer.feed(body), framer.flush()]:
        event = wire.parse(frame) if frame else None
        if event is None:
            continue
        try:
            told, _ = _parsed(parser, event)
            deltas += [whole for delta in told for whole in halves.step(delta)]
        except _NO_JSON as error:
            raise UpstreamError(UNKNOWN) from error
    for delta in deltas:
        if isinstance(delta, Failed):
            raise provider_errors.of_delta(delta)
    if not parser.complete:
        raise UpstreamError(CUT)
    return fold(deltas)


class Relay(Protocol):
    """One stream on its way."""

    ended: bool
    """The answer is whole, or an error event has been told: nothing follows."""
    broken_events: int
    """Events that were no JSON and were left out."""

    @property
    def usage(self) -> Usage | None:
        """What the provider has counted so far."""
        ...

    def feed(self, chunk: bytes) -> bytes:
        """Bytes for the client. An error before the first of them is raised as its status."""
        ...

    def finish(self, error: CutwaterError | None) -> bytes:
        """The provider's bytes are over, by `error` or by themselves."""
        ...

    @property
    def complete(self) -> bool:
        """Every choice has finished; only usage and an end marker may follow."""
        ...


class _Relay(ABC):
    def __init__(self, wire: Wire, client: Dialect, request_id: str) -> None:
        self.ended = False
        self.broken_events = 0
        self._client = client
        self._request_id = request_id
        self._framer = wire.framer()
        self._parse = wire.parse
        self._spoke = False

    def feed(self, chunk: bytes) -> bytes:
        said = []
        for frame in self._framer.feed(chunk):
            said.append(self._frame(frame))
            # At each frame: what an error becomes must not depend on how the bytes were cut.
            # A comment is no word of the answer.
            self._spoke = self._spoke or (bool(said[-1]) and not said[-1].startswith(b":"))
        return b"".join(said)

    def finish(self, error: CutwaterError | None) -> bytes:
        if self.ended:
            return b""
        said = b""
        if error is None and (rest := self._framer.flush()):
            said = self._frame(rest)
        if self.ended:
            return said
        if self.complete and error is None:
            return said + self._end()
        return said + self._fail(error or UpstreamError(CUT), spoke=self._spoke or bool(said))

    def _fail(self, error: CutwaterError, *, spoke: bool) -> bytes:
        self.ended = True
        if not spoke:
            raise error
        return self._client.error_event(error, self._request_id)

    @abstractmethod
    def _frame(self, frame: bytes) -> bytes:
        """What the client gets for one frame of the provider."""

    @property
    @abstractmethod
    def complete(self) -> bool: ...

    @abstractmethod
    def _end(self) -> bytes:
        """What a whole answer still lacks."""


class PassRelay(_Relay):
    """Frames go through as they are; a watcher looks on."""

    def __init__(
        self,
        client: Dialect,
        watcher: StreamWatcher,
        request_id: str,
        *,
        wire: Wire | None = None,
    ) -> None:
        """`wire` cuts into frames that the client can read, whatever the bytes come in."""
        super().__init__(wire or client.WIRE, client, request_id)
        self.watcher = watcher

    @property
    def usage(self) -> Usage | None:
        return self.watcher.usage

    def _frame(self, frame: bytes) -> bytes:
        if self.ended:
            return b""
        event = self._parse(frame)
        if event is None:
            # A comment passes, and what every reader skips; a page of HTML does not.
            return b"" if frame.lstrip().startswith(b"<") else frame
        try:
            seen = self._see(event)
        except _NO_JSON:
            self.broken_events += 1
            return b""
        if (error := self.watcher.error) is not None:
            self.ended = True
            if not self._spoke:
                raise error
            return frame
        self.ended = self.watcher.ended
        return frame if seen else b""

    def _see(self, event: Event) -> bool:
        try:
            return self.watcher.see(event)
        except msgspec.ValidationError:
            msgspec.json.decode(event.data)
            return True  # JSON of a shape that only the client may know.
        except msgspec.DecodeError:
            return self.watcher.see(_mended(event))

    @property
    def complete(self) -> bool:
        return self.watcher.complete

    def _end(self) -> bytes:
        self.ended = True
        return self.watcher.ending()


class NeutralRelay(_Relay):
    """Provider's events -> deltas -> client's events."""

    def __init__(
        self,
        client: Dialect,
        provider: Dialect,
        renderer: StreamRenderer,
        request_id: str,
        *,
        step: Step | None = None,
        wire: Wire | None = None,
    ) -> None:
        super().__init__(wire or provider.WIRE, client, request_id)
        self._parser = provider.StreamParser()
        self._renderer = renderer
        self._step = step
        self._usage: Usage | None = None
        self._halves: Halves | None = None
        """From the first half of an emoji on."""

    @property
    def usage(self) -> Usage | None:
        return self._usage

    def _frame(self, frame: bytes) -> bytes:
        if self.ended or (event := self._parse(frame)) is None:
            return b""
        try:
            deltas = self._parsed(event)
        except msgspec.ValidationError:
            # Part of the answer would be missing, and nobody could tell.
            return self._fail(UpstreamError(UNKNOWN), spoke=self._spoke)
        except _NO_JSON:
            self.broken_events += 1
            return b""
        said = b""
        for delta in deltas:
            spoke = self._spoke or bool(said)
            try:
                said += self._delta(delta, spoke=spoke)
            except CutwaterError as error:
                if self.ended:
                    raise
                # The client's format has no word for it. What was said before it counts.
                return said + self._fail(error, spoke=spoke)
        return said

    def _parsed(self, event: Event) -> list[Delta]:
        deltas, mended = _parsed(self._parser, event)
        if mended and self._halves is None:
            self._halves = Halves()
        if self._halves is None:
            return deltas
        return [whole for delta in deltas for whole in self._halves.step(delta)]

    def _delta(self, delta: Delta, *, spoke: bool) -> bytes:
        if isinstance(delta, Failed):
            return self._fail(provider_errors.of_delta(delta), spoke=spoke)
        if isinstance(delta, Ended):
            self.ended = True
        elif isinstance(delta, (UsageDelta, Started)):
            self._usage = delta.usage or self._usage
        if self._step is None:
            return self._renderer.feed(delta)
        return b"".join([self._renderer.feed(stepped) for stepped in self._step(delta)])

    @property
    def complete(self) -> bool:
        return self._parser.complete

    def _end(self) -> bytes:
        return self._delta(Ended(), spoke=True)
