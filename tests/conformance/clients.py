"""The five clients: one question each, the answer as an application reads it.

The official SDK of each dialect, retries off. boto3 sends its key as it does
with AWS_BEARER_TOKEN_BEDROCK, without that variable: it would hold for the
whole process.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from typing import Any, Final

import anthropic
import boto3
import openai
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from google import genai
from google.genai import errors, types
from pydantic import ValidationError

from core.routes import DialectName
from tests.conformance import readers
from tests.e2e import sdks
from tests.e2e.canonical import Answer, BrokenStreamError
from tests.e2e.sdks import Question, Seen

Ask = Callable[[Question], Seen]
Client = Callable[[str, str, ExitStack], Ask]
"""An address and a key -> how to ask. What must be closed is closed by the stack."""

UNREADABLE: Final = Answer(error=-1)
_BEYOND_THE_ANSWER: Final = {"sdk_http_response", "automatic_function_calling_history", "parsed"}


def _shown(dumped: Any, read: Callable[[Any], Answer]) -> Seen:
    try:
        return Seen(dumped, read(dumped))
    except (BrokenStreamError, KeyError, TypeError) as error:
        return Seen({"unreadable": repr(error), "shown": dumped}, UNREADABLE)


def _failed(status: int, body: Any) -> Seen:
    """An error inside a stream has no status: what an SDK says then is that of the stream."""
    return Seen({"status": status, "body": body}, Answer(error=status if status >= 400 else 0))


def _chat(url: str, key: str, stack: ExitStack) -> Ask:
    client = stack.enter_context(sdks.client("openai", url, key))
    return lambda question: sdks.ask(client, question)


def _messages(url: str, key: str, stack: ExitStack) -> Ask:
    client = stack.enter_context(sdks.client("anthropic", url, key))

    def ask(question: Question) -> Seen:
        seen = sdks.ask(client, question)
        return _failed(seen.answer.error, seen.dump) if seen.answer.error else seen

    return ask


def _responses(
    url: str,
    key: str,
    stack: ExitStack,
    read: Callable[[Any], Answer] = readers.from_responses_stream,
) -> Ask:
    client = stack.enter_context(
        openai.OpenAI(
            api_key=key, base_url=f"{url}/v1", max_retries=0, timeout=sdks.TIMEOUT_SECONDS
        )
    )

    def ask(question: Question) -> Seen:
        asked: dict[str, Any] = {"model": question.model, "input": "x", "stream": question.stream}
        try:
            reply: Any = client.responses.create(**asked)
            if question.stream:
                return _shown([sdks.dump(event) for event in reply], read)
            return _shown(sdks.dump(reply), readers.from_responses)
        except openai.APIError as error:
            status = getattr(error, "status_code", 0)
            return _failed(status, error.body if status else str(error))

    return ask


def recorded_responses(url: str, key: str, stack: ExitStack) -> Ask:
    """Some recordings lack deltas: what a provider says at the end is what counts."""
    return _responses(url, key, stack, readers.from_responses_end)


def _gemini(url: str, key: str, stack: ExitStack, *, vertex: bool = False) -> Ask:
    options = types.HttpOptions(base_url=url, timeout=int(sdks.TIMEOUT_SECONDS * 1000))
    client = genai.Client(api_key=key, http_options=options, vertexai=vertex)
    stack.callback(client.close)

    def dump(response: Any) -> Any:
        return response.model_dump(
            exclude_none=True, mode="json", exclude=_BEYOND_THE_ANSWER, warnings=False
        )

    def ask(question: Question) -> Seen:
        asked: dict[str, Any] = {"model": question.model, "contents": "x"}
        try:
            if question.stream:
                chunks = [dump(chunk) for chunk in client.models.generate_content_stream(**asked)]
                return _shown(chunks, readers.from_gemini)
            return _shown([dump(client.models.generate_content(**asked))], readers.from_gemini)
        except errors.APIError as error:
            return _failed(error.code, error.details)
        except errors.UnknownApiResponseError as error:
            return _failed(0, str(error))
        except (AttributeError, ValidationError) as error:  # A number for a word, say.
            return Seen({"unreadable": repr(error)}, UNREADABLE)

    return ask


def vertex_gemini(url: str, key: str, stack: ExitStack) -> Ask:
    """Google's SDK as it speaks to Vertex: it shows fields that Gemini's API lacks."""
    return _gemini(url, key, stack, vertex=True)


def _aws(url: str, key: str) -> Any:
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        config=Config(
            signature_version=UNSIGNED,
            retries={"total_max_attempts": 1},
            max_pool_connections=20,
            read_timeout=sdks.TIMEOUT_SECONDS,
        ),
    )

    def with_key(params: Mapping[str, Any], **_: Any) -> None:
        params["headers"]["authorization"] = f"Bearer {key}"

    client.meta.events.register("before-call.bedrock-runtime", with_key)
    return client


def _converse(url: str, key: str, stack: ExitStack) -> Ask:
    client = stack.enter_context(closing(_aws(url, key)))

    def ask(question: Question) -> Seen:
        asked = {
            "modelId": question.model,
            "messages": [{"role": "user", "content": [{"text": "x"}]}],
        }
        try:
            if question.stream:
                with closing(client.converse_stream(**asked)["stream"]) as stream:
                    events = [*stream]
                return _shown(events, readers.from_converse_stream)
            reply = client.converse(**asked)
            del reply["ResponseMetadata"]
            return _shown(reply, readers.from_converse)
        except EventStreamError as error:
            return _failed(0, str(error))
        except ClientError as error:
            return _failed(error.response["ResponseMetadata"]["HTTPStatusCode"], str(error))

    return ask


def bedrock_messages(url: str, key: str, stack: ExitStack) -> Ask:
    """Anthropic's own SDK for Bedrock: it reads InvokeModel directly."""
    client = stack.enter_context(
        anthropic.AnthropicBedrock(base_url=url, api_key=key, aws_region="us-east-1", max_retries=0)
    )
    read = {True: sdks.READERS["anthropic", True], False: sdks.READERS["anthropic", False]}

    def ask(question: Question) -> Seen:
        try:
            reply: Any = client.messages.create(**question.arguments("anthropic"))
            if question.stream:
                return _shown([sdks.dump(event) for event in reply], read[True])
            return _shown(sdks.dump(reply), read[False])
        except anthropic.APIError as error:
            return _failed(getattr(error, "status_code", 0), str(error))

    return ask


CLIENTS: Final[Mapping[DialectName, Client]] = {
    "openai_chat": _chat,
    "openai_responses": _responses,
    "anthropic": _messages,
    "gemini": _gemini,
    "converse": _converse,
}
"""By dialect."""
