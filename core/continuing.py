"""An answer that broke off after its first byte, taken up by another run of a model.

Only what can be joined without a guess is joined. Where the target goes on from
a last message of the assistant, it is given what was said (`prefill`). Elsewhere
it answers afresh, and what it says is compared with what was said: only an answer
that begins with all of that may take its place (`match`), so that the client
has in the end one answer of one run. Calls of tools and signed thoughts are
never joined, nor is an answer of several choices. What does not agree stays
what it was: an error in the middle of a stream.
"""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from core import envelope as envelopes
from core.dialects import StreamParser, StreamRenderer
from core.neutral import (
    CitationDelta,
    Delta,
    Ended,
    Failed,
    Finished,
    MediaDelta,
    Message,
    ReasoningDelta,
    RefusalDelta,
    Request,
    Started,
    Text,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageDelta,
)
from core.routes import DialectName
from core.routing import Candidate
from core.sse import Event

Method: TypeAlias = Literal["prefill", "prefix", "match"]

PASSES: Final[frozenset[DialectName]] = frozenset({"openai_chat", "anthropic", "gemini"})
"""A stream of the provider's own bytes can be taken up in these; the others number what they
say in ways that two runs cannot share."""
RESTATES: Final[frozenset[DialectName]] = frozenset({"openai_chat", "gemini"})
"""Here each event names the model: from the join on, the one that went on."""
LEAST_ECHO: Final = 16
"""Characters. Whether a shorter text is an echo or an answer that begins alike nobody can say."""
CHARACTERS_A_TOKEN: Final = 3
_ENDS: Final = " \t\r\n"


class Said:
    """What the client has been told of one answer, delta by delta."""

    def __init__(self) -> None:
        self.start = Started()
        self.text = ""
        self.usage: Usage | None = None
        """All that was paid so far, as far as it was told."""
        self.parts = 0
        """The next part's number."""
        self._open: int | None = None
        """The text part that the last words belong to."""
        self._joinable = True
        self._thought = False

    def feed(self, delta: Delta) -> None:
        match delta:
            case Started():
                self.start = delta
                self.usage = delta.usage or self.usage
            case UsageDelta():
                self.usage = delta.usage
            case TextDelta(choice=0):
                self.text += delta.text
                self._begin(delta.part)
                self._open = delta.part
            case ReasoningDelta(choice=0, signature=None, redacted=None):
                self._begin(delta.part)
                self._thought, self._open = True, None
            case CitationDelta(choice=0) | Ended() | Failed():
                pass
            case _:
                # Calls, pictures, refusals, signed thoughts, a second choice, and an end.
                self._joinable = False

    def _begin(self, part: int) -> None:
        self.parts = max(self.parts, part + 1)

    @property
    def open_part(self) -> int:
        return self.parts if self._open is None else self._open

    @property
    def is_joinable(self) -> bool:
        """Whether anything may be joined to it: it is text so far, or nothing at all."""
        return self._joinable and (self._open is not None or not self._thought)


def method(
    said: Said, request: Request, candidate: Candidate, dialect: DialectName
) -> Method | None:
    """How `candidate`, spoken to in `dialect`, may go on; None: not at all."""
    if not said.is_joinable or bytes(request.parameters.get("n", b"1")) != b"1":
        return None
    if not _may_prefill(said, request, candidate):
        return "match"
    if dialect in ("anthropic", "converse") and candidate.facts.prefill:
        return "prefill"
    if dialect == "openai_chat" and candidate.provider.prefix and len(said.text) >= LEAST_ECHO:
        return "prefix"
    return "match"


def _may_prefill(said: Said, request: Request, candidate: Candidate) -> bool:
    thinks = request.thinking is not None and request.thinking.enabled
    choice = request.tool_choice
    return not (
        thinks
        or candidate.facts.always_thinks
        or request.schema is not None
        or (choice is not None and choice.mode not in ("auto", "none"))
        or not request.messages
        or request.messages[-1].role == "assistant"
        or not said.text.strip(_ENDS)
    )


def request_for(how: Method, said: Said, request: Request) -> Request:
    """What to ask: with what was said so far, where the target goes on from there.

    Asked for in `prefix`, the rendered body has yet to be `marked`.
    """
    if how == "match":
        return request
    # Anthropic refuses a last message that ends in white space.
    text = said.text.rstrip(_ENDS) if how == "prefill" else said.text
    messages = (*request.messages, Message("assistant", (Text(text),)))
    most = request.max_tokens
    if most is not None:
        written = said.usage.output_tokens if said.usage is not None else 0
        most = max(most - max(written, len(text) // CHARACTERS_A_TOKEN), 1)
    return replace(request, messages=messages, max_tokens=most)


def marked(body: bytes) -> bytes:
    """A rendered OpenAI chat request whose last message is to be gone on from."""
    fields = envelopes.split(body)
    messages: list[dict[str, Raw]]
    messages = envelopes.read(fields, "messages", list[dict[str, Raw]], [])
    messages[-1]["prefix"] = Raw(b"true")
    return envelopes.join({**fields, "messages": envelopes.raw(messages)})


class Swallow(Struct, frozen=True):
    """The client has it already."""


class Emit(Struct, frozen=True):
    text: str


class Disagree(Struct, frozen=True):
    """Another answer: nothing of it can be used."""


Verdict: TypeAlias = Swallow | Emit | Disagree


class Matcher:
    """Compares a new run's text with what was sent, however both were cut."""

    def __init__(self, sent: str) -> None:
        self._left = sent
        self._over = False

    @property
    def is_joined(self) -> bool:
        return not self._left

    def feed(self, text: str) -> Verdict:
        same = min(len(text), len(self._left))
        if self._over or text[:same] != self._left[:same]:
            self._over = True
            return Disagree()
        self._left = self._left[same:]
        return Emit(text[same:]) if len(text) > same else Swallow()

    def finish(self) -> bool:
        """Whether an answer may end here."""
        return self.is_joined


class EchoMatcher(Matcher):
    """For a target that goes on, and that may or may not repeat what it was given."""

    def __init__(self, sent: str) -> None:
        super().__init__(sent)
        self._held = ""

    def feed(self, text: str) -> Verdict:
        verdict = super().feed(text)
        if isinstance(verdict, Disagree):
            # No echo: what only looked like one belongs to the answer.
            self._left, self._over, held = "", False, self._held
            return Emit(held + text)
        self._held = self._held + text if self._left else ""
        return verdict

    def finish(self) -> bool:
        return not self._held


class TailMatcher(Matcher):
    """For a target that was given all but the white space at the end, and may say that again."""

    def __init__(self, sent: str) -> None:
        super().__init__(sent[len(sent.rstrip(_ENDS)) :])

    def feed(self, text: str) -> Verdict:
        same = 0
        while same < min(len(text), len(self._left)) and text[same] == self._left[same]:
            same += 1
        # White space that differs is no disagreement: what follows it is the model's to say.
        self._left = self._left[same:] if same == len(text) else ""
        return Emit(text[same:]) if len(text) > same else Swallow()

    def finish(self) -> bool:
        return True


def matcher(how: Method, sent: str) -> Matcher:
    match how:
        case "prefill":
            return TailMatcher(sent)
        case "prefix":
            return EchoMatcher(sent)
        case "match":
            return Matcher(sent)


class Continuation:
    """The deltas of the run that goes on -> those that the client still lacks.

    `said` is kept up to date, so that this run may break off and be gone on from
    too. `restates`: the client's dialect is one of RESTATES.
    """

    def __init__(self, said: Said, how: Method, *, restates: bool) -> None:
        self._said = said
        self._how = how
        self._restates = restates
        self._matcher = matcher(how, said.text)
        self._paid = said.usage or Usage()
        self._joined = how == "match" and not said.text
        """All that comes from here on is the client's."""
        self._parts: dict[int, int] = {}
        self._signed = False
        self._restated: Started | None = None
        self.disagrees = False
        self.model = ""
        """Which one goes on, as its provider calls it."""

    def feed(self, delta: Delta) -> Sequence[Delta]:
        if self.disagrees:
            return ()
        told = self._step(delta)
        if told is None:
            self.disagrees = True
            return ()
        if told and self._restated is not None:
            told, self._restated = (self._restated, *told), None
        for one in told:
            self._said.feed(one)
        return told

    def _step(self, delta: Delta) -> Sequence[Delta] | None:
        match delta:
            case Started():
                return self._start(delta)
            case UsageDelta():
                return (UsageDelta(added(self._paid, delta.usage)),)
            case Ended() | Failed():
                return (delta,)
            case Finished(choice=0):
                return (delta,) if self._joined or self._matcher.finish() else None
            case TextDelta(choice=0) if not self._joined:
                return self._match(delta)
            case ReasoningDelta(choice=0) if not self._joined:
                # The client has read the thoughts of the first run, or wants none.
                self._signed = self._signed or (delta.signature or delta.redacted) is not None
                return ()
            case CitationDelta(choice=0) if not self._joined:
                return ()
            case ToolCallStarted(choice=0) if self._signed:
                return None  # It would have to go back with thoughts that the client never saw.
            case _:
                return self._rest(delta)

    def _start(self, start: Started) -> Sequence[Delta]:
        self.model = start.model
        if start.usage is not None:
            self._said.usage = added(self._paid, start.usage)
        if self._restates and start.model:
            # Told with the first word that is new, under the first run's id: it is one answer.
            first = self._said.start
            self._restated = replace(first, model=start.model, usage=self._said.usage)
        return ()

    def _match(self, delta: TextDelta) -> Sequence[Delta] | None:
        match self._matcher.feed(delta.text):
            case Disagree():
                return None
            case Swallow():
                self._parts[delta.part] = self._said.open_part
                return ()
            case Emit(text):
                self._joined = True
                self._parts[delta.part] = self._said.open_part
                return (TextDelta(self._said.open_part, text),)

    def _rest(self, delta: Delta) -> Sequence[Delta] | None:
        if not (self._joined or self._matcher.finish()):
            return None
        match delta:
            case (
                TextDelta(choice=0)
                | CitationDelta(choice=0)
                | ReasoningDelta(choice=0)
                | RefusalDelta(choice=0)
                | ToolCallStarted(choice=0)
                | ToolCallDelta(choice=0)
                | MediaDelta(choice=0)
            ):
                self._joined = True
                return (replace(delta, part=self._part(delta.part)),)
            case _:
                return None

    def _part(self, part: int) -> int:
        if part not in self._parts:
            self._parts[part] = max([self._said.parts, *(p + 1 for p in self._parts.values())])
        return self._parts[part]


def added(paid: Usage, more: Usage) -> Usage:
    names = Usage.__struct_fields__
    return Usage(**{name: getattr(paid, name) + getattr(more, name) for name in names})


_NO_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Shadow:
    """Beside a stream whose bytes pass as they are: what was said, and a renderer that is as far.

    Where the two may have lost each other, `is_true` says so: then nothing is joined.
    """

    def __init__(self, parser: StreamParser, renderer: StreamRenderer) -> None:
        self.said = Said()
        self.renderer = renderer
        self._parser = parser
        self._lost = False
        self._blocks = 0
        self._closed = 0

    def see(self, event: Event) -> None:
        if self._lost:
            return
        try:
            deltas = self._parser.feed(event)
        except _NO_JSON:
            self._lost = True
            return
        # Anthropic's blocks are numbered and closed by the provider: the renderer's must agree.
        self._blocks += event.name == b"content_block_start"
        self._closed += event.name == b"content_block_stop"
        for delta in deltas:
            self.said.feed(delta)
            self.renderer.feed(delta)

    @property
    def is_true(self) -> bool:
        blocks_agree = not self._blocks or (self._blocks == self.said.parts == self._closed + 1)
        return not self._lost and blocks_agree
