"""The failure table as data: what is played, what the caller must get, what the provider sees.

A row is told three times: `whole` and `stream` are what one endpoint and one
attempt give; `tries` is how often a sole endpoint is asked; `before` how often
an endpoint is asked before the next one is, 0 where no other endpoint may be.
"""

from typing import Final

from msgspec import Struct

from tests.faults import plays, speech
from tests.faults.clients import End
from tests.faults.plays import refused, status, typed
from tests.faults.server import Play
from tests.faults.speech import TEXT


class Told(Struct, frozen=True):
    """What the caller may get: each is honest, none but these is right."""

    ends: frozenset[End]
    statuses: frozenset[int] = frozenset()
    """Of an error with a status."""


class Row(Struct, frozen=True, kw_only=True):
    name: str
    play: Play
    whole: Told | None
    """None: the row is about streams only."""
    stream: Told | None
    tries: int = 1
    tries_stream: int | None = None
    """Where it is another number for a stream."""
    before: int = 0
    before_stream: int | None = None
    text: str = TEXT
    told: frozenset[int] = frozenset()
    """The status once failover is wired, where it is another one than the provider's."""

    def expected(self, *, stream: bool) -> Told | None:
        return self.stream if stream else self.whole

    def asked(self, *, stream: bool) -> int:
        """How often a sole endpoint is asked."""
        other = self.tries_stream if stream else None
        return self.tries if other is None else other

    def asked_before(self, *, stream: bool) -> int:
        """How often before the next endpoint is; 0: the next one never is."""
        other = self.before_stream if stream else None
        return self.before if other is None else other


def error(*statuses: int) -> Told:
    return Told(frozenset({"status"}), frozenset(statuses))


COMPLETE: Final = Told(frozenset({"complete"}))
EVENT: Final = Told(frozenset({"event"}))
"""An error event: the answer's beginning has been said."""
BROKEN: Final = error(502)
SILENT: Final = error(504)
READ_OR_NOT: Final = Told(frozenset({"complete", "status"}), frozenset({502}))
"""As the libraries of this deployment are."""
BEFORE_TOKEN: Final = Told(frozenset({"status", "event"}), frozenset({502, 503, 504}))
"""A status where the events before the first token are held back."""


def broken(name: str, play: Play) -> Row:
    """No answer at all: tried again, then elsewhere."""
    return Row(name=name, play=play, whole=BROKEN, stream=BROKEN, tries=2, before=2)


def cut(name: str, play: Play) -> Row:
    """A whole answer is not begun; of a stream the client has had a part."""
    return Row(
        name=name,
        play=play,
        whole=BROKEN,
        stream=EVENT,
        tries=2,
        tries_stream=1,
        before=2,
        before_stream=0,
    )


def fine(name: str, play: Play, text: str = TEXT) -> Row:
    return Row(name=name, play=play, whole=COMPLETE, stream=COMPLETE, text=text)


def server_error(number: int) -> Row:
    told = error(number)
    return Row(
        name=f"status_{number}", play=status(number), whole=told, stream=told, tries=2, before=2
    )


def final(name: str, play: Play, number: int) -> Row:
    """The request's own fault, which no other endpoint mends."""
    return Row(name=name, play=play, whole=error(number), stream=error(number))


ROWS: Final = (
    fine("no_fault", plays.fine),
    # The line breaks.
    broken("reset_before_head", plays.reset_before_head),
    broken("close_before_head", plays.close_before_head),
    broken("half_a_head", plays.half_a_head),
    broken("reset_after_head", plays.reset_after_head),
    broken("close_after_head", plays.close_after_head),
    cut("cut_mid_chunk", plays.cut_mid_chunk),
    cut("cut_mid_event", plays.cut_mid_event),
    cut("end_mid_event", plays.end_mid_event),
    cut("end_between_events", plays.end_between_events),
    Row(
        name="end_in_preamble",
        play=plays.end_in_preamble,
        whole=BROKEN,
        stream=BEFORE_TOKEN,
        tries=2,
        before=2,
    ),
    # Silence.
    Row(
        name="stall_before_head",
        play=plays.stall_before_head,
        whole=SILENT,
        stream=SILENT,
        before=1,
    ),
    Row(
        name="stall_after_head", play=plays.stall_after_head, whole=SILENT, stream=SILENT, before=1
    ),
    Row(
        name="stall_in_preamble",
        play=plays.stall_in_preamble,
        whole=SILENT,
        stream=BEFORE_TOKEN,
        before=1,
    ),
    Row(
        name="stall_mid_answer",
        play=plays.stall_mid_answer,
        whole=SILENT,
        stream=EVENT,
        before=1,
        before_stream=0,
    ),
    Row(
        name="comments_forever",
        play=plays.comments_forever,
        whole=SILENT,
        stream=BEFORE_TOKEN,
        # A whole answer that comes in blanks is waited for up to `total_s`: no time is left then.
        before=0,
        before_stream=1,
    ),
    fine("trickle", plays.trickle),
    # What is said makes no sense.
    fine("huge_event", plays.huge_event, plays.HUGE + TEXT),
    Row(name="garbage_event", play=plays.garbage_event, whole=None, stream=COMPLETE),
    broken("no_json", plays.no_json),
    broken("html", plays.html),
    broken("nothing", plays.nothing),
    broken("no_content", plays.no_content),
    Row(name="redirect", play=plays.redirect, whole=BROKEN, stream=BROKEN, before=1),
    Row(
        name="no_end_mark",
        play=plays.no_end_mark,
        whole=None,
        # In responses the mark is the finish: without it nobody knows why the answer ended.
        stream=Told(frozenset({"complete", "event"})),
    ),
    Row(
        name="no_end_mark_and_open",
        play=plays.no_end_mark_and_open,
        whole=None,
        stream=Told(frozenset({"complete", "event"})),
    ),
    Row(
        name="error_event_first",
        play=plays.error_event("head"),
        whole=None,
        stream=error(500, 503, 529),
        tries=2,
        before=2,
    ),
    Row(
        name="error_event_in_preamble",
        play=plays.error_event("preamble"),
        whole=None,
        stream=Told(frozenset({"status", "event"}), frozenset({500, 503, 529})),
        tries=2,
        before=2,
    ),
    Row(
        name="error_event_mid_answer",
        play=plays.error_event("words"),
        whole=None,
        stream=EVENT,
    ),
    Row(
        name="error_with_status_200",
        play=plays.error_with_status_200,
        # Converse's errors are told from answers by their status alone.
        whole=error(500, 502, 503),
        stream=error(500, 502, 503),
        tries=2,
        before=2,
    ),
    # The framing is odd.
    fine("typed_text_plain", typed("text/plain")),
    fine("typed_octet_stream", typed("application/octet-stream")),
    fine("hundred_continue", plays.hundred_continue),
    fine("http_1_0", plays.http_1_0),
    cut("http_1_0_cut", plays.http_1_0_cut),
    Row(
        name="length_too_long",
        play=plays.length_too_long,
        # The answer was all there; but Gemini's has no mark that could say so.
        whole=READ_OR_NOT,
        stream=Told(frozenset({"complete", "event"})),
        tries=2,
        tries_stream=1,
        before=2,
        before_stream=0,
    ),
    cut("length_too_short", plays.length_too_short),
    broken("headers_without_end", plays.headers_without_end),
    fine("gzip", plays.encoded("gzip")),
    fine("deflate", plays.encoded("deflate")),
    Row(
        name="zstd",
        play=plays.encoded("zstd"),
        whole=READ_OR_NOT,
        stream=READ_OR_NOT,
        tries=2,
        before=2,
    ),
    Row(
        name="brotli",
        play=plays.encoded("br"),
        whole=READ_OR_NOT,
        stream=READ_OR_NOT,
        tries=2,
        before=2,
    ),
    cut("gzip_cut", plays.gzip_cut),
    broken("gzip_lie", plays.gzip_lie),
    # Refusals.
    *(server_error(number) for number in (500, 502, 503, 504, 529)),
    Row(
        name="html_503",
        play=plays.html_503,
        whole=error(503),
        stream=error(503),
        tries=2,
        before=2,
    ),
    Row(
        name="status_429_told",
        play=status(429, "retry-after: 30"),
        whole=error(429),
        stream=error(429),
        before=1,
    ),
    Row(
        name="status_429",
        play=status(429),
        whole=error(429),
        stream=error(429),
        tries=4,
        before=1,
    ),
    Row(
        name="key_refused",
        play=refused(speech.KEY_REFUSED),
        whole=error(400, 502),
        stream=error(400, 502),
        before=1,
        told=frozenset({502}),
    ),
    Row(
        name="status_403",
        play=status(403),
        whole=error(502),
        stream=error(502),
        before=1,
    ),
    Row(
        name="model_missing",
        play=refused(speech.MODEL_MISSING),
        whole=error(404, 502),
        stream=error(404, 502),
        before=1,
        told=frozenset({502}),
    ),
    final("too_long", refused(speech.TOO_LONG), 400),
    final("policy", refused(speech.POLICY), 400),
    final("status_400", status(400), 400),
    final("status_413", status(413), 413),
    final("status_422", status(422), 422),
)

NAMES: Final = tuple(row.name for row in ROWS)
BY_NAME: Final = {row.name: row for row in ROWS}
