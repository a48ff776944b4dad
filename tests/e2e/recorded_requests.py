"""Recorded request bodies, sent to Cutwater as they were, and what the provider then received."""

import asyncio
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import aiohttp
import msgspec
from anthropic.types import message_create_params as anthropic_params
from msgspec import Struct
from openai.types.chat import completion_create_params as openai_params
from pydantic import TypeAdapter, ValidationError

from tests import corpus
from tests.corpus import Recording
from tests.e2e.comparison import CONCURRENCY, MODEL, Place
from tests.e2e.stack import Stack

PATHS: Final = {"openai.chat": "/v1/chat/completions", "anthropic.messages": "/v1/messages"}
OTHER: Final = {"openai.chat": "anthropic.messages", "anthropic.messages": "openai.chat"}
HEADERS: Final = {
    "openai.chat": {"openai-beta": "some-day=v9"},
    "anthropic.messages": {"anthropic-version": "2023-06-01", "anthropic-beta": "some-day-2030"},
}
"""Headers of the dialect that its own provider must get to see."""

_SHAPES: Final[Mapping[tuple[str, bool], Any]] = {
    ("openai.chat", False): openai_params.CompletionCreateParamsNonStreaming,
    ("openai.chat", True): openai_params.CompletionCreateParamsStreaming,
    ("anthropic.messages", False): anthropic_params.MessageCreateParamsNonStreaming,
    ("anthropic.messages", True): anthropic_params.MessageCreateParamsStreaming,
}

_SAMPLING: Final = frozenset({"temperature", "top_p", "top_k"})
"""Anthropic takes them for older models, yet its SDK no longer has them."""


class Exchange(Struct, frozen=True, kw_only=True):
    recording: Recording
    """Whose request was sent."""
    answered_by: Recording
    """Whose reply the provider gave."""
    sent: dict[str, Any]
    status: int
    message: str
    """Of the error, if there was one."""
    body: bytes
    dropped: tuple[str, ...]
    received: dict[str, Any] | None
    """By the provider; None where the request did not get there."""


def with_body(api: str) -> list[Recording]:
    """A few recordings have no request, a few one that is not JSON."""
    return [
        recording
        for recording in corpus.recordings(api)
        if recording.request.recorded and isinstance(recording.request.body, dict)
    ]


def replies_for(recordings: Iterable[Recording], api: str) -> list[tuple[Recording, Recording]]:
    """Each request of one API with a good reply of another, streamed where it asks for a stream.

    Different ones for neighbours: the replay server keeps what it received by reply.
    """
    endless = {
        stream: itertools.cycle(
            [
                reply
                for reply in corpus.recordings(api)
                if reply.stream == stream and reply.response.status == 200
            ]
        )
        for stream in (False, True)
    }
    return [
        (recording, next(endless[bool(recording.request.body.get("stream"))]))
        for recording in recordings
    ]


async def send_all(
    running: Stack, place: Place, pairs: Sequence[tuple[Recording, Recording]]
) -> list[Exchange]:
    """Each request to `place`, the replay server or Cutwater in front of it."""
    limit = asyncio.Semaphore(CONCURRENCY)
    log = f"{running.replay.url}/_received"
    async with aiohttp.ClientSession() as session:

        async def send(request: Recording, reply: Recording) -> Exchange:
            async with limit:
                return await _send(session, place, log, request, reply)

        return list(await asyncio.gather(*(send(request, reply) for request, reply in pairs)))


async def _send(
    session: aiohttp.ClientSession, place: Place, log: str, request: Recording, reply: Recording
) -> Exchange:
    sent = {**request.request.body, "model": MODEL[reply.api].format(reply.tail)}
    mark = f"for-{request.id}"
    headers = {
        "authorization": f"Bearer {place.key}",
        "content-type": "application/json",
        "x-test-mark": mark,
        **HEADERS[request.api],
    }
    url = place.url + PATHS[request.api]
    async with session.post(url, data=msgspec.json.encode(sent), headers=headers) as answer:
        body = await answer.read()
        dropped = answer.headers.get("x-bt-dropped-params", "")
    async with session.get(f"{log}/{reply.id}") as entry:
        received = msgspec.json.decode(await entry.read())
    reached = entry.status == 200 and received["headers"].get("x-test-mark") == mark
    return Exchange(
        recording=request,
        answered_by=reply,
        sent=sent,
        status=answer.status,
        body=body,
        message=_message(body) if answer.status >= 400 else "",
        dropped=tuple(filter(None, re.split(r",\s*", dropped))),
        received=received if reached else None,
    )


def _message(body: bytes) -> str:
    """Both dialects put it in the same place."""
    message: str = msgspec.json.decode(body)["error"]["message"]
    return message


@cache
def _validator(shape: Any) -> TypeAdapter[Any]:
    """Kept: what it has validated refers to it."""
    return TypeAdapter(shape)


def faults(body: dict[str, Any], api: str) -> list[str]:
    """Where a request is not what the provider's SDK would let through, or could not send."""
    shape = _SHAPES[api, bool(body.get("stream"))]
    known = shape.__annotations__.keys() | _SAMPLING
    unknown = [f"unknown field: {name}" for name in body if name not in known]
    try:
        _exhaust(_validator(shape).validate_python(body))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return [*unknown, f"{first['loc']}: {first['msg']}"]
    return unknown


def _exhaust(value: Any) -> None:
    """The SDK's types hold iterables that pydantic checks only as they are read."""
    if isinstance(value, dict):
        for inner in value.values():
            _exhaust(inner)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for inner in value:
            _exhaust(inner)
