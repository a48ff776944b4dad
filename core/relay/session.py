"""One realtime session: what becomes of each frame, of the time that passes, of a close.

`from_client` and `from_server` say None for nearly every frame: relay it as it came. A Step
says what else is to be done, in the order of its fields. Times are seconds of any clock that
only goes forward; the same one for all calls on a session.

A driver:
    step = session.from_server(frame, now)
    await client.send(frame)                        # step is None
    ... or, in this order: step.forward, each of step.answers, record step.records, step.close
    at session.next_look() at the latest: session.tick(now)
    when a socket closes: session.client_closed(...) or session.server_closed(...)
    at the very end: session.totals(now), for the log
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from core import provider_errors, realtime_usage
from core.errors import (
    CutwaterError,
    PermissionDeniedError,
    RequestTimeoutError,
    TooLargeError,
    UpstreamTimeoutError,
)
from core.realtime_usage import Usage
from core.relay import closing, events
from core.relay.closing import Close
from core.relay.events import Frame
from core.relay.transcript import Transcript, Turn
from core.routing import Costs


class Limits(Struct, frozen=True, kw_only=True):
    """Of one session. Sizes are of a frame as it came."""

    idle_s: float = 600.0
    """Without a frame of either side; pings do not count."""
    session_s: float = 7200.0
    warn_s: float = 60.0
    """How long before its end a session is told of it; 0: it is not."""
    frame_bytes: int = 16 * 1024 * 1024
    buffered_bytes: int = 4 * 1024 * 1024
    buffered_frames: int = 2048
    stalled_s: float = 30.0
    """How long a reader may take nothing of what waits for it."""
    max_cost_usd: float | None = None
    """What is left to spend when the session begins."""


class Responded(Struct, frozen=True, kw_only=True):
    """For the log: one response."""

    response_id: str
    status: str
    code: str | None
    usage: Usage | None
    cost_usd: float | None
    seconds: float | None
    """Since its `response.created`."""


class Totals(Struct, frozen=True, kw_only=True):
    """What a successor has to know of a session that goes on elsewhere. JSON through msgspec."""

    responses: int = 0
    usage: Usage = Usage()
    cost_usd: float = 0.0
    unpriced: int = 0
    """Responses whose cost is not known, and not in `cost_usd`."""
    transcribed_s: float = 0.0
    """Audio of the client that the provider wrote down; it has a price of its own."""
    client_frames: int = 0
    server_frames: int = 0
    client_bytes: int = 0
    server_bytes: int = 0
    errors: int = 0
    seconds: float = 0.0
    """How long it lasted before."""
    turns: tuple[Turn, ...] = ()
    turns_left_out: int = 0


class Step(Struct, frozen=True, kw_only=True):
    """What to do, in this order."""

    forward: Frame | None = None
    """To the other side, as it came; None: it goes no further."""
    answers: tuple[str, ...] = ()
    """To the client: events of our own."""
    records: tuple[Responded, ...] = ()
    close: Close | None = None
    """Both sides, the client with this; the provider with 1000."""


class _Said(Struct, frozen=True):
    """`session.update`: a model may be named in it."""

    class _Session(Struct, frozen=True):
        model: str | None = None

    event_id: str | None = None
    session: _Session = _Session()


def _anything(_model: str) -> bool:
    return True


class Terms(Struct, frozen=True, kw_only=True):
    """What a session is opened with."""

    limits: Limits = Limits()
    costs: Costs = Costs()
    may_use: Callable[[str], bool] = _anything
    """Whether the caller may have a model."""
    keep_transcript: bool = False
    hidden: tuple[str, ...] = ()
    """What the provider was given, and an error of its may quote."""

    def __repr__(self) -> str:
        return "<Terms>"


class Session:
    """State of one session. `fresh_id` names the events that are ours.

    `before`: the totals of the session that this one goes on from, with another connection.
    """

    def __init__(
        self,
        terms: Terms,
        *,
        now: float,
        fresh_id: Callable[[], str],
        before: Totals | None = None,
    ) -> None:
        self.limits = terms.limits
        self._terms = terms
        self._fresh_id = fresh_id
        self._totals = before or Totals()
        self._transcript = Transcript(
            self._totals.turns, self._totals.turns_left_out, keeps=terms.keep_transcript
        )
        self._started = now - self._totals.seconds
        self._heard = now
        self._warned = False
        self._open: dict[str, float] = {}
        """Responses under way, and since when."""
        self._listening = False
        """Audio of the client that is not yet an item."""
        self._frames = [0, 0]
        self._bytes = [0, 0]
        self.ended: Close | None = None

    # Frames.

    def from_client(self, frame: Frame, now: float) -> Step | None:
        """None: relay it. Text may be refused by an answer of ours, and goes no further then."""
        self._heard = now
        self._frames[0] += 1
        self._bytes[0] += len(frame)
        if len(frame) > self.limits.frame_bytes:
            return self.fail(self._too_large("client"))
        match events.type_of(frame):
            case "input_audio_buffer.append":
                self._listening = True
            case "input_audio_buffer.commit" | "input_audio_buffer.clear":
                self._listening = False
            case "session.update" | "transcription_session.update":
                return self._updated(frame)
            case "conversation.item.create":
                self._transcript.created(frame)
        return None

    def from_server(self, frame: Frame, now: float) -> Step | None:
        self._heard = now
        self._frames[1] += 1
        self._bytes[1] += len(frame)
        if len(frame) > self.limits.frame_bytes:
            return self.fail(self._too_large("provider"))
        if isinstance(frame, str) and frame.startswith(_SOUND):  # By far the most, and the longest.
            return None
        kind = events.type_of(frame)
        if kind.endswith(".delta"):
            return None
        match kind:
            case "response.done":
                return self._done(frame, now)
            case "response.created":
                self._open[realtime_usage.answered(frame).response_id] = now
            case "input_audio_buffer.committed" | "input_audio_buffer.cleared":
                self._listening = False
            case "conversation.item.input_audio_transcription.completed":
                seconds = self._totals.transcribed_s + self._transcript.transcribed(frame)
                self._totals = replace(self._totals, transcribed_s=seconds)
            case "error":
                self._totals = replace(self._totals, errors=self._totals.errors + 1)
                return Step(forward=self._struck(frame))
            case _:
                self._transcript.spoken(kind, frame)
        return None

    def _struck(self, frame: Frame) -> Frame:
        if isinstance(frame, bytes) or not any(key in frame for key in self._terms.hidden):
            return frame
        return provider_errors.strike(frame.encode(), self._terms.hidden).decode()

    def _too_large(self, who: str) -> TooLargeError:
        return TooLargeError(
            f"A frame of the {who} is larger than {self.limits.frame_bytes} bytes."
        )

    def _updated(self, frame: Frame) -> Step | None:
        """A session may be led to another model only where the caller may use it."""
        said = events.read(frame, _Said)
        model = said.session.model if said is not None else None
        if said is None or model is None or self._terms.may_use(model):
            return None
        error = PermissionDeniedError(
            f"The key of this session is not allowed to use the model `{model[:200]}`.",
            param="session.model",
        )
        event = events.error_event(error, self._fresh_id(), caused_by=said.event_id)
        return Step(answers=(event,))

    # Usage.

    def _done(self, frame: Frame, now: float) -> Step:
        found = realtime_usage.answered(frame)
        began = self._open.pop(found.response_id, None)
        if len(self._open) > _MOST_OPEN:  # Whoever never says `done` must not fill the memory.
            self._open.clear()
        cost = None if found.usage is None else realtime_usage.cost(found.usage, self._terms.costs)
        totals = self._totals
        self._totals = replace(
            totals,
            responses=totals.responses + 1,
            usage=totals.usage + (found.usage or Usage()),
            cost_usd=totals.cost_usd + (cost or 0.0),
            unpriced=totals.unpriced + (cost is None),
        )
        record = Responded(
            response_id=found.response_id,
            status=found.status,
            code=found.code,
            usage=found.usage,
            cost_usd=cost,
            seconds=None if began is None else now - began,
        )
        over = self._over_budget()
        if over is None:
            return Step(forward=frame, records=(record,))
        return replace(self.fail(over), forward=frame, records=(record,))

    def _over_budget(self) -> PermissionDeniedError | None:
        most = self.limits.max_cost_usd
        if most is None or self._totals.cost_usd < most:
            return None
        return PermissionDeniedError(
            f"This session has used up what its key may spend ({most:.4f} US dollars)."
        )

    # Time.

    def tick(self, now: float) -> Step | None:
        """To be called at `next_look` or later; earlier it does nothing."""
        if self.ended is not None:
            return None
        left = self._started + self.limits.session_s - now
        if left <= 0:
            # OpenAI's own words for the end of its hour.
            error = RequestTimeoutError(
                f"This session has reached its longest duration, {self.limits.session_s:.0f} "
                "seconds: connect again."
            )
            error.code = "session_expired"
            return self.fail(error, Close(1001, "session_expired"))
        if now - self._heard >= self.limits.idle_s:
            error = RequestTimeoutError(
                f"Nothing was said in this session for {self.limits.idle_s:.0f} seconds."
            )
            error.code = "session_idle"
            return self.fail(error)
        if left <= self.limits.warn_s and not self._warned:
            self._warned = True
            return Step(answers=(events.ending_event(round(left), self._fresh_id()),))
        return None

    def stalled(self, now: float, *, client: float | None, provider: float | None) -> Step | None:
        """For drivers that wait with each frame until it is taken: since when they do so."""
        if client is not None and now - client >= self.limits.stalled_s:
            seconds = f"{self.limits.stalled_s:.0f} seconds"
            return self.fail(RequestTimeoutError(f"The client has read nothing for {seconds}."))
        if provider is not None and now - provider >= self.limits.stalled_s:
            return self.fail(UpstreamTimeoutError("The provider takes nothing any more."))
        return None

    def next_look(self) -> float:
        """When `tick` may have something to say next."""
        end = self._started + self.limits.session_s
        warning = end if self._warned else end - self.limits.warn_s
        return min(warning, self._heard + self.limits.idle_s)

    @property
    def is_answering(self) -> bool:
        """The provider has begun an answer and not ended it."""
        return bool(self._open)

    @property
    def is_quiet(self) -> bool:
        """No answer is being made and no audio waits for one: a moment to hand it over."""
        return not self._open and not self._listening

    # The end.

    def fail(self, error: CutwaterError, close: Close | None = None) -> Step:
        """Ends the session: an `error` event in the Realtime shape, then the close code."""
        self.ended = close or closing.of_error(error)
        return Step(answers=(events.error_event(error, self._fresh_id()),), close=self.ended)

    def client_closed(self, code: int | None, reason: str = "") -> Close:
        """What to close the provider's connection with."""
        said = closing.passed_on(code, reason)
        self.ended = self.ended or said
        return said

    def server_closed(self, code: int | None, reason: str = "") -> Step:
        """The provider's own code; where it broke off, an error that says so first."""
        if closing.broke_off(code):
            return self.fail(closing.LOST_PROVIDER)
        for key in self._terms.hidden:
            reason = reason.replace(key, "***")
        self.ended = closing.passed_on(code, reason)
        return Step(close=self.ended)

    def totals(self, now: float) -> Totals:
        """So far; also what a successor begins with (`before`)."""
        totals = self._totals
        return replace(
            totals,
            client_frames=totals.client_frames + self._frames[0],
            server_frames=totals.server_frames + self._frames[1],
            client_bytes=totals.client_bytes + self._bytes[0],
            server_bytes=totals.server_bytes + self._bytes[1],
            seconds=now - self._started,
            turns=tuple(self._transcript.turns),
            turns_left_out=self._transcript.left_out,
        )


_MOST_OPEN: Final = 256
_SOUND: Final = ('{"type":"response.output_audio.delta"', '{"type":"response.audio.delta"')
