"""A provider's stream of bytes -> the client's, one chunk at a time, for both lanes.

Only whole events leave: what is cut in the middle never reaches the client,
and an error event or a heartbeat never lands inside another event. A stream
ends as complete only if the provider finished every choice. Nothing leaves
before the first token: until then another endpoint may still take over.
"""

import re
from abc import ABC, abstractmethod
from typing import Final, Protocol

import msgspec

from core import provider_errors
from core.dialects import Dialect, StreamParser, StreamRenderer, StreamWatcher
from core.envelope import mended
from core.errors import CutwaterError, UpstreamError, untraced
from core.halves import Halves, kept
from core.neutral import (
    CitationDelta,
    Delta,
    Ended,
    Failed,
    Finished,
    MediaDelta,
    ReasoningDelta,
    RefusalDelta,
    Reply,
    Started,
    Step,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageDelta,
    fold,
)
from core.sse import Event
from core.wire import Wire

_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
TOKENS: Final = frozenset(
    {
        TextDelta,
        ReasoningDelta,
        RefusalDelta,
        ToolCallStarted,
        ToolCallDelta,
        MediaDelta,
        CitationDelta,
        Finished,
    }
)
_ANYTHING: Final = re.compile(rb"")
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


def token_mark(dialect: Dialect) -> re.Pattern[bytes]:
    """What is found in an event that carries a piece of an answer, and in no event before it."""
    mark: re.Pattern[bytes] = getattr(dialect, "TOKEN", _ANYTHING)
    return mark


class Said(Protocol):
    """Keeps what the client has been told, for who may have to go on (core/continuing.py)."""

    def feed(self, delta: Delta) -> None: ...


class Shadow(Protocol):
    """Likewise, beside bytes that pass as they are."""

    def see(self, event: Event) -> None: ...


class Relay(Protocol):
    """One stream on its way."""

    is_quiet: bool

    failed: CutwaterError | None
    """What broke it off after its first token."""
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
        """A token has come: what is said from then on, and what was held back, is told."""
        self._held = b""
        self.failed: CutwaterError | None = None
        """What broke it off after its first token."""
        self.is_quiet = False
        """Such an error is not told: another attempt may go on."""

    def feed(self, chunk: bytes) -> bytes:
        # Frame by frame: what an error becomes must not depend on how the bytes were cut.
        said = b"".join([self._frame(frame) for frame in self._framer.feed(chunk)])
        if self._spoke or self.ended:
            return self._released(said)
        self._held += said
        return b""

    def _released(self, said: bytes) -> bytes:
        if self._held:
            said, self._held = self._held + said, b""
        return said

    def finish(self, error: CutwaterError | None) -> bytes:
        if self.ended:
            return b""
        said = b""
        if error is None and (rest := self._framer.flush()):
            said = self._frame(rest)
        if self.ended:
            return self._released(said)
        if self.complete and error is None:
            return self._released(said + self._end())
        return self._released(said + self._fail(error or UpstreamError(CUT)))

    def _fail(self, error: CutwaterError) -> bytes:
        self.ended = True
        if not self._spoke:
            raise error
        self.failed = untraced(error)
        return b"" if self.is_quiet else self._client.error_event(error, self._request_id)

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
        self._speaks = token_mark(client)
        self.shadow: Shadow | None = None

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
            self.failed = error
            return b"" if self.is_quiet else frame
        if self.shadow is not None:
            self.shadow.see(event)
        if not self._spoke:
            self._spoke = self._speaks.search(event.data) is not None
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
        self.renderer = renderer
        self._step = step
        self._usage: Usage | None = None
        self.said: Said | None = None
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
            return self._fail(UpstreamError(UNKNOWN))
        except _NO_JSON:
            self.broken_events += 1
            return b""
        said = b""
        for delta in deltas:
            try:
                said += self._delta(delta)
            except CutwaterError as error:
                if self.ended:
                    raise
                # The client's format has no word for it. What was said before it counts.
                return said + self._fail(error)
            self._spoke = self._spoke or type(delta) in TOKENS
        return said

    def _parsed(self, event: Event) -> list[Delta]:
        deltas, mended = _parsed(self._parser, event)
        if mended and self._halves is None:
            self._halves = Halves()
        if self._halves is None:
            return deltas
        return [whole for delta in deltas for whole in self._halves.step(delta)]

    def _delta(self, delta: Delta) -> bytes:
        # Not isinstance, which takes three times as long to say no: here at each word.
        if type(delta) is Failed:
            return self._fail(provider_errors.of_delta(delta))
        if type(delta) is Ended:
            self.ended = True
        elif type(delta) is UsageDelta or type(delta) is Started:
            self._usage = delta.usage or self._usage
        stepped = (delta,) if self._step is None else self._step(delta)
        if self.said is not None:
            for one in stepped:
                self.said.feed(one)
        if len(stepped) == 1:
            return self.renderer.feed(stepped[0])
        return b"".join([self.renderer.feed(one) for one in stepped])

    @property
    def complete(self) -> bool:
        return self._parser.complete

    def _end(self) -> bytes:
        return self._delta(Ended())
