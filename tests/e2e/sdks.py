"""The official SDKs as black-box clients: one question each way, the answer as plain values."""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import anthropic
import openai
from msgspec import Struct

from tests.e2e.canonical import READERS, Answer, BrokenStreamError

Sdk: TypeAlias = Literal["openai", "anthropic"]
TIMEOUT_SECONDS: Final = 60.0
_MESSAGES: Final[list[Any]] = [{"role": "user", "content": "x"}]

ERRORS: Final = (openai.APIError, anthropic.APIError)


class Question(Struct, frozen=True):
    model: str
    stream: bool
    usage_in_stream: bool = False

    def arguments(self, sdk: Sdk) -> dict[str, Any]:
        asked: dict[str, Any] = {"model": self.model, "messages": _MESSAGES, "stream": self.stream}
        if sdk == "anthropic":
            asked["max_tokens"] = 1024
        elif self.stream and self.usage_in_stream:
            asked["stream_options"] = {"include_usage": True}
        return asked


class Seen(Struct, frozen=True):
    """What an SDK showed: everything, and reduced."""

    dump: Any
    answer: Answer


def dump(shown: Any) -> dict[str, Any]:
    """All that the API sent, the fields that the SDK has no name for included."""
    values: dict[str, Any] = shown.model_dump(exclude_unset=True, warnings=False)
    return values


def _seen(sdk: Sdk, question: Question, dumped: Any) -> Seen:
    try:
        return Seen(dumped, READERS[sdk, question.stream](dumped))
    except BrokenStreamError as error:
        return Seen({"broken stream": str(error), "events": dumped}, Answer(error=0))


def _failed(error: openai.APIError | anthropic.APIError) -> Seen:
    status: int = getattr(error, "status_code", 0)
    body = error.body if status else str(error)
    return Seen({"status": status, "body": body}, Answer(error=status))


def ask(client: openai.OpenAI | anthropic.Anthropic, question: Question) -> Seen:
    sdk: Sdk = "openai" if isinstance(client, openai.OpenAI) else "anthropic"
    create: Any = (
        client.chat.completions.create
        if isinstance(client, openai.OpenAI)
        else client.messages.create
    )
    try:
        reply = create(**question.arguments(sdk))
        dumped = [dump(event) for event in reply] if question.stream else dump(reply)
    except ERRORS as error:
        return _failed(error)
    return _seen(sdk, question, dumped)


async def ask_async(
    client: openai.AsyncOpenAI | anthropic.AsyncAnthropic, question: Question
) -> Seen:
    sdk: Sdk = "openai" if isinstance(client, openai.AsyncOpenAI) else "anthropic"
    create: Any = (
        client.chat.completions.create
        if isinstance(client, openai.AsyncOpenAI)
        else client.messages.create
    )
    try:
        reply = await create(**question.arguments(sdk))
        dumped = [dump(event) async for event in reply] if question.stream else dump(reply)
    except ERRORS as error:
        return _failed(error)
    return _seen(sdk, question, dumped)


async def ask_helper(
    client: openai.AsyncOpenAI | anthropic.AsyncAnthropic, question: Question
) -> Seen:
    """The SDK's own helper joins the stream: what it shows at the end."""
    sdk: Sdk = "openai" if isinstance(client, openai.AsyncOpenAI) else "anthropic"
    arguments = question.arguments(sdk)
    del arguments["stream"]
    try:
        if isinstance(client, openai.AsyncOpenAI):
            async with client.chat.completions.stream(**arguments) as events:
                await events.until_done()
                # Not the final completion: to read that, a helper refuses some finish reasons.
                dumped = dump(events.current_completion_snapshot)
        else:
            async with client.messages.stream(**arguments) as events:
                dumped = dump(await events.get_final_message())
    except ERRORS as error:
        return _failed(error)
    return Seen(dumped, READERS[sdk, False](dumped))


def _client_arguments(url: str, key: str, headers: Mapping[str, str]) -> dict[str, Any]:
    return {
        "api_key": key,
        "base_url": url,
        "max_retries": 0,
        "timeout": TIMEOUT_SECONDS,
        "default_headers": dict(headers),
    }


def client(
    sdk: Sdk, url: str, key: str, headers: Mapping[str, str] | None = None
) -> openai.OpenAI | anthropic.Anthropic:
    if sdk == "openai":
        return openai.OpenAI(**_client_arguments(f"{url}/v1", key, headers or {}))
    return anthropic.Anthropic(**_client_arguments(url, key, headers or {}))


def async_client(
    sdk: Sdk, url: str, key: str, headers: Mapping[str, str] | None = None
) -> openai.AsyncOpenAI | anthropic.AsyncAnthropic:
    if sdk == "openai":
        return openai.AsyncOpenAI(**_client_arguments(f"{url}/v1", key, headers or {}))
    return anthropic.AsyncAnthropic(**_client_arguments(url, key, headers or {}))
