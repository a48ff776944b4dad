"""Recordings that a client is shown in another way than the rules say, each with its reason.

A recording with an entry must differ, and only in this way.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from core.routes import DialectName
from tests.corpus import Recording
from tests.e2e.canonical import Answer, Choice
from tests.e2e.explained import FIRST_MESSAGE, KEY_REFUSED, Explanation

_replace = msgspec.structs.replace


def _each(change: Callable[[Choice], Choice]) -> Callable[[Answer], Answer]:
    return lambda answer: _replace(answer, choices=tuple(map(change, answer.choices)))


def _told(what: str) -> Callable[[Answer], Answer]:
    words = f"[The model made: {what}. This format has no place for it.]"
    return _each(lambda choice: _replace(choice, text=choice.text + words))


OTHER_END: Final = Explanation(
    "The provider ended its stream with `[DONE]` and gave no finish reason: Gemini has a word for "
    "such an end, `OTHER`, the other dialects have none but `stop`.",
    _each(lambda choice: _replace(choice, finish="other")),
)
FIRST_RESPONSE: Final = Explanation(
    "This recording holds the streams of several responses. An answer ends with its first "
    "`response.completed`, and Cutwater ends the stream there.",
    FIRST_MESSAGE.instead,
)
PAUSED: Final = Explanation(
    "Anthropic paused a long turn (`pause_turn`): Gemini's word for such an end is `OTHER`, and "
    "the others have none but `stop`.",
    _each(lambda choice: _replace(choice, finish="other")),
)
SOUND: Final = Explanation(
    "The model spoke: Cutwater tells those in words whose dialect has no place for a sound.",
    _told("audio (audio/L16;codec=pcm;rate=24000)"),
)
PICTURE: Final = Explanation(
    "The model drew: Cutwater tells those in words whose dialect has no place for a picture.",
    _told("image (image/png)"),
)

KEY_REFUSED_AS_400: Final = Explanation(
    "The provider refused the endpoint's own key, with a 400 and in words. That is no fault of the "
    "caller's, who sees 502 with the reason.",
    KEY_REFUSED.instead,
)
MODEL_MISSING: Final = Explanation(
    "The provider does not have the model, which the endpoint's settings name here. That is no "
    "fault of the caller's: another endpoint is asked, and where there is none the caller sees 502 "
    "with the reason. A model that nobody holds to be served stays a 404.",
    KEY_REFUSED.instead,
)

_ALL: Final[tuple[DialectName, ...]] = (
    "openai_chat",
    "openai_responses",
    "anthropic",
    "gemini",
    "converse",
)
_BUT_GEMINI: Final[tuple[DialectName, ...]] = (
    "openai_chat",
    "openai_responses",
    "anthropic",
    "converse",
)


def _for(
    explanation: Explanation, clients: Iterable[DialectName], *tails: str
) -> dict[str, dict[DialectName, Explanation]]:
    return {tail: dict.fromkeys(clients, explanation) for tail in tails}


EXPLAINED: Final[Mapping[str, Mapping[DialectName, Explanation]]] = {
    **_for(FIRST_MESSAGE, ("anthropic",), "c0b2e817-1", "fa9883bc-1"),
    **_for(FIRST_RESPONSE, ("openai_responses",), "dd92d717-1"),
    **_for(OTHER_END, ("gemini",), "c1721a3e-0"),
    **_for(PAUSED, ("gemini",), "2eed7314-0"),
    **_for(PICTURE, ("anthropic",), "7410ea3d-0", "9702de58-0"),
    **_for(KEY_REFUSED_AS_400, _ALL, "ac062182-0"),
    **_for(
        MODEL_MISSING,
        _ALL,
        "3639fca1-0",
        "4915c671-1",
        "57d3a105-0",
        "751c321a-0",
        "900f9ef3-0",
        "9e5b07cd-0",
    ),
    **_for(SOUND, _BUT_GEMINI, "0aed8f34-0"),
}
"""By the recording's tail, then by client."""


def explanation(recording: Recording, client: DialectName) -> Explanation | None:
    if recording.response.status == 401:
        return KEY_REFUSED
    return EXPLAINED.get(recording.tail, {}).get(client)
