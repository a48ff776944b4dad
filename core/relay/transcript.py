"""What was said in a session, as text, for whoever asked to log it. Sound itself is not kept."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from core.relay import events
from core.relay.events import Frame

MOST_TRANSCRIPT: Final = 256 * 1024
"""Characters of a session's transcript; what comes later is left out, and that is said."""


class Turn(Struct, frozen=True):
    """For whoever asked for transcripts: what somebody said, as text."""

    role: str
    """`user`, `assistant`, `tool_call`, `tool`."""
    text: str
    item_id: str = ""


class _Transcription(Struct, frozen=True):
    item_id: str = ""
    transcript: str = ""
    usage: "_Duration | None" = None


class _Duration(Struct, frozen=True):
    seconds: float | None = None


class _Spoken(Struct, frozen=True):
    item_id: str = ""
    text: str = ""
    transcript: str = ""
    name: str = ""
    arguments: str = ""


class Transcript:
    """Bounded: what comes after `MOST_TRANSCRIPT` is counted and left out."""

    def __init__(self, turns: Iterable[Turn] = (), left_out: int = 0, *, keeps: bool) -> None:
        self._keeps = keeps
        self.turns = list(turns)
        self.left_out = left_out
        self._size = sum(len(turn.text) for turn in self.turns)

    def transcribed(self, frame: Frame) -> float:
        """The seconds of sound that were written down; 0 where nobody says."""
        said = events.read(frame, _Transcription)
        if said is None:
            return 0.0
        self._keep("user", said.transcript, said.item_id)
        return (said.usage.seconds or 0.0) if said.usage is not None else 0.0

    def created(self, frame: Frame) -> None:
        """An item of the client's."""
        if not self._keeps:
            return
        event = events.read(frame, events.ItemEvent)
        item = None if event is None else events.read(event.item, events.Item)
        if item is None:
            return
        if item.type == "function_call_output":
            output = events.read(event.item, _Output) if event is not None else None
            self._keep("tool", "" if output is None else output.output, item.call_id)
            return
        for part in events.read(item.content, list[_Part]) or []:
            self._keep(item.role or "user", part.text or part.transcript or "", item.id)

    def spoken(self, kind: str, frame: Frame) -> None:
        """Whatever the provider says; most of it is not what this is about."""
        if not self._keeps or kind not in _SPOKEN:
            return
        said = events.read(frame, _Spoken)
        if said is None:
            return
        if kind == "response.function_call_arguments.done":
            self._keep("tool_call", f"{said.name}({said.arguments})", said.item_id)
        else:
            self._keep("assistant", said.text or said.transcript, said.item_id)

    def _keep(self, role: str, text: str, item_id: str) -> None:
        if not self._keeps or not text:
            return
        if self._size + len(text) > MOST_TRANSCRIPT:
            self.left_out += 1
            return
        self._size += len(text)
        self.turns.append(Turn(role, text, item_id))


_SPOKEN: Final = frozenset(
    {
        "response.audio_transcript.done",
        "response.output_audio_transcript.done",
        "response.text.done",
        "response.output_text.done",
        "response.function_call_arguments.done",
    }
)


class _Part(Struct, frozen=True):
    text: str | None = None
    transcript: str | None = None


class _Output(Struct, frozen=True):
    output: str = ""
