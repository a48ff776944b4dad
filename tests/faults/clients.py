"""Five clients that read as strictly as the format allows, and sort what they got.

There are three honest ends: the whole answer, an error with a status, and an
error event after a part of the answer. Everything else is a lie: a short answer
with a clean end, an end without a word, an error that says nothing. None of
Cutwater's code reads here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from botocore.eventstream import EventStreamBuffer, ParserError
from msgspec import Struct

from tests.asgi_driver import Exchange
from tests.faults.speech import DialectName

End: TypeAlias = Literal["complete", "status", "event", "lie"]
Document: TypeAlias = dict[str, Any]


class Outcome(Struct, frozen=True, kw_only=True):
    end: End
    status: int
    text: str = ""
    """What was said up to the end."""
    said: str = ""
    """The error's message; of a lie, what is wrong."""

    def __str__(self) -> str:
        return f"{self.end} {self.status} {len(self.text)} characters: {self.said[:300]}"


class LieError(Exception):
    pass


_HI: Final = [{"role": "user", "content": "hi"}]


def question(
    client: DialectName, *, stream: bool, model: str = "m", prompt: str = "hi"
) -> tuple[str, Document]:
    """Path and body."""
    match client:
        case "openai_chat":
            messages = [{"role": "user", "content": prompt}]
            body = {"model": model, "messages": messages, "stream": stream}
            return "/v1/chat/completions", body
        case "openai_responses":
            return "/v1/responses", {"model": model, "input": prompt, "stream": stream}
        case "anthropic":
            messages = [{"role": "user", "content": prompt}]
            body = {"model": model, "messages": messages, "max_tokens": 100, "stream": stream}
            return "/v1/messages", body
        case "gemini":
            method = "streamGenerateContent?alt=sse" if stream else "generateContent"
            contents = [{"role": "user", "parts": [{"text": prompt}]}]
            return f"/v1beta/models/{model}:{method}", {"contents": contents}
        case "converse":
            method = "converse-stream" if stream else "converse"
            blocks = [{"text": prompt}]
            return f"/model/{model}/{method}", {"messages": [{"role": "user", "content": blocks}]}


def outcome_of(client: DialectName, exchange: Exchange, *, stream: bool) -> Outcome:
    return outcome(client, exchange.status, exchange.headers, exchange.body, stream=stream)


def outcome(
    client: DialectName, status: int, headers: Mapping[str, str], body: bytes, *, stream: bool
) -> Outcome:
    if "content-encoding" in headers:
        return Outcome(end="lie", status=status, said="the body is not encoded as it says")
    try:
        if status != 200:
            return _refusal(client, status, headers, body)
        if stream:
            return _stream(client, headers, body)
        return Outcome(end="complete", status=200, text=_whole(client, _json(body)))
    except LieError as lie:
        return Outcome(end="lie", status=status, said=f"{lie}: {body[-300:]!r}")
    except (KeyError, TypeError, IndexError, ParserError) as error:
        return Outcome(end="lie", status=status, said=f"{error!r}: {body[-300:]!r}")


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise LieError("no JSON") from error


def _refusal(client: DialectName, status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
    if status < 400 or not headers.get("content-type", "").startswith("application/json"):
        raise LieError("no error in JSON")
    if client == "converse" and not headers.get("x-amzn-errortype", "").endswith("Exception"):
        raise LieError("an error of AWS has its class in a header")
    return Outcome(end="status", status=status, said=_message(client, _json(body)))


def _message(client: DialectName, document: Document) -> str:
    """Of an error in the dialect's own shape."""
    if client == "converse":
        message: str = document["message"]
        return _told(message)
    error = document["error"]
    if client == "gemini" and not (isinstance(error["code"], int) and error["status"].isupper()):
        raise LieError("an error of Google has a code and a status")
    if client == "anthropic" and not (document["type"] == "error" and error["type"]):
        raise LieError("an error of Anthropic has a type")
    if client.startswith("openai") and not error["type"]:
        raise LieError("an error of OpenAI has a type")
    return _told(error["message"])


def _told(message: str) -> str:
    if len(message) < 5:
        raise LieError("an error that says nothing")
    return message


def _whole(client: DialectName, answer: Document) -> str:
    """The text of an answer that says of itself that it is whole."""
    text: str
    match client:
        case "openai_chat":
            (choice,) = answer["choices"]
            text, finish = choice["message"]["content"], choice["finish_reason"] == "stop"
        case "openai_responses":
            text = "".join(part["text"] for item in answer["output"] for part in item["content"])
            finish = answer["status"] == "completed"
        case "anthropic":
            text = "".join(block["text"] for block in answer["content"])
            finish = answer["stop_reason"] == "end_turn"
        case "gemini":
            (candidate,) = answer["candidates"]
            text = "".join(part["text"] for part in candidate["content"]["parts"])
            finish = candidate["finishReason"] == "STOP"
        case "converse":
            text = "".join(block["text"] for block in answer["output"]["message"]["content"])
            finish = answer["stopReason"] == "end_turn"
    if not finish:
        raise LieError("the answer has not finished")
    return text


def _stream(client: DialectName, headers: Mapping[str, str], body: bytes) -> Outcome:
    if client == "converse":
        if headers["content-type"] != "application/vnd.amazon.eventstream":
            raise LieError("a wrong content type")
        return _converse(body)
    if not headers["content-type"].startswith("text/event-stream"):
        raise LieError("a wrong content type")
    events = _events(body)
    errors = [n for n, event in enumerate(events) if isinstance(event, dict) and _is_error(event)]
    if errors:
        if errors[0] != len(events) - 1:
            raise LieError("something follows the error")
        said = _event_message(client, events[-1])
        return Outcome(end="event", status=200, text=_text(client, events[:-1]), said=said)
    if not _ended(client, events):
        raise LieError("the stream stops without a word")
    return Outcome(end="complete", status=200, text=_text(client, events))


def _events(body: bytes) -> list[Any]:
    if not body.endswith(b"\n\n"):
        raise LieError("the last event is cut")
    events: list[Any] = []
    for block in body.split(b"\n\n"):
        data = [line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:")]
        if data:
            joined = b"\n".join(data)
            events.append("[DONE]" if joined == b"[DONE]" else _json(joined))
    return events


def _is_error(event: Document) -> bool:
    return ("error" in event and event["error"] is not None) or event.get("type") == "error"


def _event_message(client: DialectName, event: Document) -> str:
    if client == "openai_responses":
        return _told((event.get("error") or event)["message"])
    return _message(client, event)


def _ended(client: DialectName, events: Sequence[Any]) -> bool:
    if not events:
        return False
    match client:
        case "openai_chat":
            said = [e for e in events if e != "[DONE]"]
            finished = any(c.get("finish_reason") for e in said for c in e["choices"])
            return finished and events[-1] == "[DONE]" and len(said) == len(events) - 1
        case "openai_responses":
            return bool(events[-1]["type"] == "response.completed")
        case "anthropic":
            stopped = any(e.get("delta", {}).get("stop_reason") for e in events)
            return stopped and bool(events[-1]["type"] == "message_stop")
        case _:
            return any(c.get("finishReason") for e in events for c in e.get("candidates", ()))


def _text(client: DialectName, events: Sequence[Any]) -> str:
    match client:
        case "openai_chat":
            deltas = [c["delta"] for e in events if e != "[DONE]" for c in e["choices"]]
            return "".join(delta.get("content") or "" for delta in deltas)
        case "openai_responses":
            return _responses_text(events)
        case "anthropic":
            return "".join(e.get("delta", {}).get("text", "") for e in events)
        case _:
            parts = [
                part
                for event in events
                for candidate in event.get("candidates", ())
                for part in candidate.get("content", {}).get("parts", ())
            ]
            return "".join(part.get("text", "") for part in parts)


def _responses_text(events: Sequence[Document]) -> str:
    """What the deltas said; the response at the end must say the same."""
    text = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
    if events and events[-1]["type"] == "response.completed":
        whole = _whole("openai_responses", events[-1]["response"])
        if whole != text:
            raise LieError(f"the deltas say {text[-80:]!r}, the end says {whole[-80:]!r}")
    return text


def _converse(body: bytes) -> Outcome:
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    text, ended, size = "", False, 0
    for message in buffer:
        size += message.prelude.total_length
        headers, payload = message.headers, _json(message.payload)
        if headers[":message-type"] == "exception":
            if size != len(body):
                raise LieError("something follows the error")
            said = _told(payload["message"])
            return Outcome(end="event", status=200, text=text, said=said)
        match headers[":event-type"]:
            case "contentBlockDelta":
                text += payload["delta"].get("text", "")
            case "messageStop":
                ended = True
    if size != len(body):
        raise LieError("the last event is cut")
    if not ended:
        raise LieError("the stream stops without a word")
    return Outcome(end="complete", status=200, text=text)
