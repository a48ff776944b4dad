"""Where an SDK shows something else through Cutwater than when it reads the recording directly.

Each entry says why, and what is shown instead: a recording with an entry must
differ, and only in this way. Whatever differs without an entry fails the test.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from tests.e2e.canonical import Answer, Choice

_replace = msgspec.structs.replace


class Explanation(Struct, frozen=True):
    reason: str
    instead: Callable[[Answer], Answer]


def _as_it_is(answer: Answer) -> Answer:
    return answer


def _first_choice(answer: Answer) -> Answer:
    return _replace(answer, choices=answer.choices[:1])


def _refusal_as_text(answer: Answer) -> Answer:
    def told(choice: Choice) -> Choice:
        text = choice.text + choice.refusal
        return _replace(choice, text=text, refusal="", finish="content_filter")

    return _replace(answer, choices=tuple(told(choice) for choice in answer.choices))


def _bad_gateway(answer: Answer) -> Answer:
    return _replace(answer, error=502)


def _finished_with_calls(answer: Answer) -> Answer:
    return _replace(
        answer, choices=tuple(_replace(one, finish="tool_calls") for one in answer.choices)
    )


KEY_REFUSED: Final = Explanation(
    "The provider refused the endpoint's own key (401). That is no fault of the caller's key, "
    "so the caller sees 502 with the reason.",
    _bad_gateway,
)
FIRST_MESSAGE: Final = Explanation(
    "This recording was rebuilt from the events of two messages. An answer ends with its first "
    "`message_stop`, and Cutwater ends the stream there.",
    _as_it_is,
)
ONE_CHOICE: Final = Explanation(
    "The request asked OpenAI for several choices (n > 1); a message of Anthropic is one answer, "
    "so the first choice is shown.",
    _first_choice,
)
REFUSAL_AS_TEXT: Final = Explanation(
    "OpenAI tells a refusal in a field of its own; Anthropic's dialect tells it as text with the "
    "stop reason `refusal`.",
    _refusal_as_text,
)

NO_REASON: Final = Explanation(
    "The provider ended its stream with `[DONE]` and never gave a finish reason; a message of "
    "Anthropic must have one, and the answer ends with a tool call.",
    _finished_with_calls,
)

EXPLAINED: Final[Mapping[tuple[str, str], Mapping[str, Explanation]]] = {
    ("openai", "openai.chat"): {"548ba130-0": KEY_REFUSED, "c639afeb-0": KEY_REFUSED},
    ("anthropic", "anthropic.messages"): {
        "75247b10-0": KEY_REFUSED,
        "c0b2e817-1": FIRST_MESSAGE,
        "fa9883bc-1": FIRST_MESSAGE,
    },
    ("openai", "anthropic.messages"): {"75247b10-0": KEY_REFUSED},
    ("anthropic", "openai.chat"): {
        "548ba130-0": KEY_REFUSED,
        "c639afeb-0": KEY_REFUSED,
        "e0053174-0": NO_REASON,
        "2ad412c2-0": ONE_CHOICE,
        "555e5590-0": ONE_CHOICE,
        "8fb2b5bb-0": ONE_CHOICE,
        "773e90c9-0": REFUSAL_AS_TEXT,
        "773e90c9-1": REFUSAL_AS_TEXT,
    },
}
"""By SDK and recorded API, then by the recording's tail."""
