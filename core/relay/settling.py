"""What of a client's frames the provider has not answered for: a successor has to send it again.

Each kind of frame has an event that acknowledges it. Sound has one only once it is committed, so
that all sound since then is kept; where the provider itself finds the beginning and the end of
speech, silence need not be.
"""

from collections.abc import Mapping
from typing import Final

from core.relay import events
from core.relay.ordering import Arrival

APPEND: Final = "input_audio_buffer.append"
BEFORE_SPEECH_MS: Final = 1000
"""Sound that a provider may count among the speech that it hears begin."""
CALM_S: Final = 0.7
"""So long nothing has happened, where a session is handed over."""
_ANSWERED_BY: Final[Mapping[str, str]] = {
    "session.updated": "session.update",
    "transcription_session.updated": "transcription_session.update",
    "conversation.item.created": "conversation.item.create",
    "conversation.item.added": "conversation.item.create",
    "conversation.item.deleted": "conversation.item.delete",
    "conversation.item.truncated": "conversation.item.truncate",
    "conversation.item.retrieved": "conversation.item.retrieve",
    "input_audio_buffer.committed": "input_audio_buffer.commit",
    "input_audio_buffer.cleared": "input_audio_buffer.clear",
    "response.created": "response.create",
    "response.done": "response.cancel",
}
_ASKS: Final = frozenset(_ANSWERED_BY.values())


class Settling:
    """Of one provider session. `now` is in seconds of any clock that only goes forward."""

    def __init__(self, now: float = 0.0) -> None:
        self._asked: list[tuple[str, Arrival]] = []
        self._sound: list[Arrival] = []
        self._finds_speech = False
        self._speaking = False
        self._moved_at = now

    def taken(self, arrival: Arrival, now: float) -> None:
        """A frame of the client, on its way to the provider."""
        kind = events.type_of(arrival.text)
        if kind == APPEND:
            self._sound.append(arrival)
            if self._finds_speech and not self._speaking:
                start = arrival.at_ms - BEFORE_SPEECH_MS
                self._sound = [one for one in self._sound if one.at_ms >= start]
            return
        self._moved_at = now
        if kind in _ASKS:
            self._asked.append((kind, arrival))

    def heard(self, frame: str, now: float) -> None:
        """A frame of the provider."""
        kind = events.type_of(frame)
        if not kind.endswith(".delta"):
            self._moved_at = now
        if kind == "input_audio_buffer.speech_started":
            self._finds_speech = self._speaking = True
        elif kind == "input_audio_buffer.speech_stopped":
            self._speaking = False
        elif kind == "error":
            self._refused(frame)
        elif (asked := _ANSWERED_BY.get(kind)) is not None:
            if kind in ("input_audio_buffer.committed", "input_audio_buffer.cleared"):
                self._sound.clear()
            self._answered(asked)

    def _answered(self, asked: str) -> None:
        found = next((one for one in self._asked if one[0] == asked), None)
        if found is not None:
            self._asked.remove(found)

    def _refused(self, frame: str) -> None:
        """By its own name where the client gave it one, else the oldest: it is not sent again."""
        error = events.read(frame, events.ErrorEvent)
        name = None if error is None else error.error.event_id
        named = next((o for o in self._asked if events.identity_of(o[1].text)[1] == name), None)
        found = named if name else next(iter(self._asked), None)
        if found is not None:
            self._asked.remove(found)

    def is_calm(self, now: float, *, listening: bool) -> bool:
        """Whether nothing is under way. `listening`: sound was sent that is no item yet."""
        waits = listening and not self._finds_speech
        if self._asked or self._speaking or waits:
            return False
        return now - self._moved_at >= CALM_S

    @property
    def unsettled(self) -> list[Arrival]:
        """In the order in which they arrived."""
        found = [*self._sound, *(arrival for _, arrival in self._asked)]
        return sorted(found, key=lambda one: (one.at_ms, one.id))
