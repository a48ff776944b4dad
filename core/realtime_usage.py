"""What a Realtime response used, and what it cost.

Text, audio and images have prices of their own, and what was cached of each is part of its
input. OpenAI and Azure say the usage inside the response, xAI beside it.
https://platform.openai.com/docs/guides/realtime-costs
"""

from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from core.relay.events import Frame
from core.routing import Costs

_MILLION: Final = 1_000_000


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens by kind. The cached ones are among the input, the reasoning ones in the output."""

    input_text: int = 0
    input_audio: int = 0
    input_image: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    cached_image: int = 0
    output_text: int = 0
    output_audio: int = 0
    reasoning: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            **{
                name: mine + theirs
                for name, mine, theirs in zip(
                    self.__struct_fields__, astuple(self), astuple(other), strict=True
                )
            }
        )

    @property
    def input_tokens(self) -> int:
        return self.input_text + self.input_audio + self.input_image

    @property
    def output_tokens(self) -> int:
        return self.output_text + self.output_audio

    @property
    def cache_read_tokens(self) -> int:
        return self.cached_text + self.cached_audio + self.cached_image


class Answered(Struct, frozen=True, kw_only=True):
    """One `response.done`."""

    response_id: str
    status: str
    """`completed`, `cancelled`, `failed`, `incomplete`."""
    usage: Usage | None
    """None: the provider said none."""
    code: str | None = None
    """Of the error, where it failed."""


class _Details(Struct, frozen=True):
    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens_details: "_Details | None" = None


class _Usage(Struct, frozen=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_token_details: _Details | None = None
    output_token_details: _Details | None = None


class _Response(Struct, frozen=True):
    id: str = ""
    status: str = ""
    status_details: Any = None
    usage: _Usage | None = None


class _Done(Struct, frozen=True):
    response: _Response = _Response()
    usage: _Usage | None = None


_decode: Final = msgspec.json.Decoder(_Done).decode


def answered(frame: Frame) -> Answered:
    """What a `response.done` says; of one that we cannot read, that it was one."""
    try:
        done = _decode(frame)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Answered(response_id="", status="unknown", usage=None)
    response = done.response
    said = next((u for u in (response.usage, done.usage) if u not in (None, _Usage())), None)
    return Answered(
        response_id=response.id,
        status=response.status,
        usage=None if said is None else _usage(said),
        code=_code(response.status_details),
    )


def _code(details: Any) -> str | None:
    error = details.get("error") if isinstance(details, dict) else None
    code = error.get("code") or error.get("type") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None


def _usage(said: _Usage) -> Usage:
    into, out = said.input_token_details or _Details(), said.output_token_details or _Details()
    audio, image = into.audio_tokens or 0, into.image_tokens or 0
    text = into.text_tokens
    if text is None:  # Whatever is not told apart is text.
        text = max(0, (said.input_tokens or 0) - audio - image)
    spoken = out.audio_tokens or 0
    written = out.text_tokens
    if written is None:
        written = max(0, (said.output_tokens or 0) - spoken)
    cached = into.cached_tokens_details or _split(into.cached_tokens or 0, text, audio)
    return Usage(
        input_text=text,
        input_audio=audio,
        input_image=image,
        cached_text=min(text, cached.text_tokens or 0),
        cached_audio=min(audio, cached.audio_tokens or 0),
        cached_image=min(image, cached.image_tokens or 0),
        output_text=written,
        output_audio=spoken,
        reasoning=out.reasoning_tokens or 0,
    )


def _split(cached: int, text: int, audio: int) -> _Details:
    """What is cached begins with the instructions: text first."""
    return _Details(text_tokens=min(cached, text), audio_tokens=min(max(0, cached - text), audio))


def cost(usage: Usage, costs: Costs) -> float | None:
    """US dollars; None where a price of something that was used is not known."""
    cached_text = costs.input if costs.cache_read is None else costs.cache_read
    cached_audio = costs.input_audio if costs.cache_read_audio is None else costs.cache_read_audio
    image = costs.input if costs.input_image is None else costs.input_image
    cached_image = image if costs.cache_read_image is None else costs.cache_read_image
    total = 0.0
    for tokens, price in (
        (usage.input_text - usage.cached_text, costs.input),
        (usage.input_audio - usage.cached_audio, costs.input_audio),
        (usage.input_image - usage.cached_image, image),
        (usage.cached_text, cached_text),
        (usage.cached_audio, cached_audio),
        (usage.cached_image, cached_image),
        (usage.output_text, costs.output),
        (usage.output_audio, costs.output_audio),
    ):
        if tokens and price is None:
            return None
        total += tokens * (price or 0.0)
    return total / _MILLION


def is_priced(costs: Costs) -> bool:
    """Whether a limit in dollars can be kept, whatever the session turns out to use."""
    needed = (costs.input, costs.output, costs.input_audio, costs.output_audio)
    return all(price is not None for price in needed)
