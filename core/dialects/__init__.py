"""Wire formats. Each works as client side and as provider side; none knows another.

A dialect is a module with the functions and classes of `Dialect`. It is
imported on first use: a Lambda that only ever relays OpenAI to OpenAI never
pays for the others.
"""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Protocol

from core.errors import CutwaterError, ProviderError
from core.neutral import Delta, Facts, Rendered, Reply, Request, Usage, View
from core.routes import DialectName
from core.sse import Event
from core.wire import Wire

if TYPE_CHECKING:
    from core.envelope import Envelope


class StreamParser(Protocol):
    """Events of a provider in, neutral deltas out."""

    def feed(self, event: Event) -> list[Delta]: ...

    @property
    def complete(self) -> bool:
        """Every choice that began has finished: the answer is whole."""
        ...


class StreamRenderer(Protocol):
    """Neutral deltas in, the bytes of a client's event stream out."""

    def feed(self, delta: Delta) -> bytes: ...


class StreamWatcher(Protocol):
    """Looks at the events that the pass lane forwards, and changes none."""

    usage: Usage | None
    ended: bool
    """The provider said that nothing follows."""
    error: ProviderError | None
    """What an error event said that went by."""

    def see(self, event: Event) -> bool:
        """Whether the client gets to see this event."""
        ...

    @property
    def complete(self) -> bool: ...

    def ending(self) -> bytes:
        """What a whole stream still lacks, such as a missing `[DONE]`."""
        ...


class Dialect(Protocol):
    """A module with these names. `envelope` arguments are a request's fields.

    A dialect that names the model in the path (gemini, converse) finds `model`
    and `stream` in the envelope all the same: `plan.read_chat` puts them there.
    """

    WIRE: Wire
    PATHS: tuple[str, str]
    """What follows the base URL for a whole and for a streamed answer; `{model}` is filled."""
    MODEL_IN_BODY: bool

    @property
    def check_request(self) -> "Callable[[Envelope], None]": ...
    @property
    def view_of(self) -> "Callable[[Envelope], View]": ...
    @property
    def parse_request(self) -> "Callable[[Envelope], Request]": ...
    @property
    def render_request(self) -> Callable[[Request, Facts], Rendered]: ...
    @property
    def parse_reply(self) -> Callable[[bytes], Reply]: ...
    @property
    def render_reply(self) -> Callable[[Reply, View], bytes]: ...
    @property
    def StreamParser(self) -> Callable[[], StreamParser]: ...
    @property
    def StreamRenderer(self) -> Callable[[View], StreamRenderer]: ...
    @property
    def StreamWatcher(self) -> Callable[[View], StreamWatcher]: ...
    @property
    def error_body(self) -> Callable[[CutwaterError, str], bytes]: ...
    @property
    def error_event(self) -> Callable[[CutwaterError, str], bytes]: ...


def error_headers(dialect: Dialect, error: CutwaterError, request_id: str) -> dict[str, str]:
    """Headers that tell an error to a dialect's clients beside its body; most need none."""
    headers: Callable[[CutwaterError, str], dict[str, str]] | None = getattr(
        dialect, "error_headers", None
    )
    return {} if headers is None else headers(error, request_id)


@cache
def load(name: DialectName) -> Dialect:
    match name:
        case "openai_chat":
            from core.dialects import openai_chat

            return openai_chat
        case "anthropic":
            from core.dialects import anthropic

            return anthropic
        case "openai_responses":
            from core.dialects import openai_responses

            return openai_responses
        case "gemini":
            from core.dialects import gemini

            return gemini
        case "converse":
            from core.dialects import converse

            return converse
