"""The same clients with the official SDKs: what these keep of an answer and write back.

Python's SDKs read arguments that are objects as floats and dicts, and Google's
reads signatures as bytes: what they write back is worth the same and need not
be written the same.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from google.genai import types as google
from msgspec.structs import replace
from openai import omit
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel

from tests.core.dialects.wire import events
from tests.handlers.round_trips.clients import CLIENTS, Client, Kept


def _read(kind: Any, body: bytes) -> Any:
    """As the SDKs of OpenAI and Anthropic read: what has another shape passes as it is."""
    return construct_type(type_=kind, value=msgspec.json.decode(body))


def _sent(model: BaseModel) -> dict[str, Any]:
    """As the SDKs of OpenAI and Anthropic write their own types into a request."""
    exclude = getattr(model, "__api_exclude__", None)
    return model.model_dump(exclude_unset=True, mode="json", exclude=exclude)


def _chat_kept(completion: ChatCompletion) -> Kept:
    message = completion.choices[0].message
    return Kept(_sent(message), [call.id for call in message.tool_calls or ()])


def _chat_streamed(body: bytes) -> Kept:
    state = ChatCompletionStreamState()
    for event in events(body):
        if event.data != b"[DONE]":
            state.handle_chunk(_read(ChatCompletionChunk, event.data))
    return _chat_kept(state.current_completion_snapshot)


def _responses_kept(response: Response) -> Kept:
    calls = [item for item in response.output if item.type == "function_call"]
    return Kept([_sent(item) for item in response.output], [call.call_id for call in calls])


def _responses_streamed(body: bytes) -> Kept:
    state: Any = ResponseStreamState(input_tools=[], text_format=omit)
    for event in events(body):
        told = _read(ResponseStreamEvent, event.data)
        state.handle_event(told)
    return _responses_kept(told.response)


def _claude_kept(message: Any) -> Kept:
    calls = [block for block in message.content if block.type == "tool_use"]
    turn = {"role": "assistant", "content": [_sent(block) for block in message.content]}
    return Kept(turn, [call.id for call in calls])


def _claude_streamed(body: bytes) -> Kept:
    snapshot: Any = None
    texts: dict[int, bytes] = {}
    for event in events(body):
        if event.name != b"ping":
            told = _read(RawMessageStreamEvent, event.data)
            snapshot = accumulate_event(event=told, current_snapshot=snapshot, json_bufs=texts)
    return _claude_kept(snapshot)


def _google_kept(*bodies: bytes) -> Kept:
    """A chat's history has one content for each chunk; a result is made by the name alone."""
    answers = [google.GenerateContentResponse.model_validate_json(body) for body in bodies]
    contents = [answer.candidates[0].content for answer in answers if answer.candidates]
    told = [c.model_dump(mode="json", by_alias=True, exclude_none=True) for c in contents if c]
    calls = [call for answer in answers for call in answer.function_calls or ()]
    return Kept(told, [None for _ in calls])


def _google_streamed(body: bytes) -> Kept:
    return _google_kept(*(event.data for event in events(body)))


SDKS: Final[Mapping[str, Client]] = {
    "openai_chat": replace(
        CLIENTS["openai_chat"],
        whole=lambda body: _chat_kept(_read(ChatCompletion, body)),
        streamed=_chat_streamed,
    ),
    "openai_responses": replace(
        CLIENTS["openai_responses"],
        whole=lambda body: _responses_kept(_read(Response, body)),
        streamed=_responses_streamed,
    ),
    "anthropic": replace(
        CLIENTS["anthropic"],
        whole=lambda body: _claude_kept(Message.model_validate_json(body)),
        streamed=_claude_streamed,
    ),
    "gemini": replace(CLIENTS["gemini"], whole=_google_kept, streamed=_google_streamed),
}
