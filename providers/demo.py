"""The built-in provider `demo`: what it answers, as a script of bytes and pauses.

It speaks OpenAI chat, so that an Anthropic client in front of it shows the
translation. It needs no key and calls nobody.
"""

from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from core.dialects import openai_chat
from core.envelope import split
from core.errors import BadRequestError, CutwaterError
from core.neutral import Choice, Request, Text, TextDelta, ToolCall, Usage, View, unfold
from core.neutral import Reply as NeutralReply

WORD_S: Final = 0.03
STALL_S: Final = 3600.0


Fails: TypeAlias = Literal["reset", "silent"]
"""Before the reply's head."""


class Script(Struct, frozen=True, kw_only=True):
    status: int
    headers: dict[str, str]
    steps: tuple[tuple[float, bytes], ...]
    """(seconds to wait, bytes to send), in turn."""
    cut: bool = False
    """The connection is dropped after the last step."""
    fails: Fails | None = None
    """There is no reply at all."""


class Fault(Struct, frozen=True, kw_only=True):
    status: int = 200
    message: str = ""
    code: str | None = None
    headers: dict[str, str] = {}
    splice: bytes | None = None
    """Bytes put into the middle of the stream, or where it stops."""
    stop_after: float | None = None
    """Only this share of the answer is sent; 0: not one token."""
    cut: bool = False
    stall: bool = False
    end_marker: bool = True
    fails: Fails | None = None


_BROKE_DOWN: Final = b'data: {"error":{"message":"The demo broke down.","type":"server_error"}}\n\n'

FAULTS: Final = {
    "demo-fault-400": Fault(status=400, message="The demo refuses this request."),
    "demo-fault-401": Fault(status=401, message="The demo refuses this key."),
    "demo-fault-403": Fault(status=403, message="The demo's key may not use this model."),
    "demo-fault-404": Fault(
        status=404, message="The demo does not have this model.", code="model_not_found"
    ),
    "demo-fault-413": Fault(status=413, message="The request is too large for the demo."),
    "demo-fault-422": Fault(status=422, message="The demo cannot process this request."),
    "demo-fault-429": Fault(
        status=429, message="The demo's rate limit is reached.", headers={"retry-after": "2"}
    ),
    "demo-fault-429-bare": Fault(status=429, message="The demo's rate limit is reached."),
    "demo-fault-500": Fault(status=500, message="The demo failed inside."),
    "demo-fault-502": Fault(status=502, message="The demo's gateway failed."),
    "demo-fault-503": Fault(status=503, message="The demo is overloaded."),
    "demo-fault-504": Fault(status=504, message="The demo's gateway waited in vain."),
    "demo-fault-529": Fault(status=529, message="The demo is overloaded."),
    "demo-fault-context": Fault(
        status=400,
        message="The demo's maximum context length is exceeded. Reduce the length of the messages.",
        code="context_length_exceeded",
    ),
    "demo-fault-cut": Fault(stop_after=0.5, cut=True),
    "demo-fault-error": Fault(stop_after=0.5, splice=_BROKE_DOWN),
    "demo-fault-error-first": Fault(stop_after=0.0, splice=_BROKE_DOWN),
    "demo-fault-garbage": Fault(splice=b'data: {"choices":[{"index"\n\n'),
    "demo-fault-no-done": Fault(end_marker=False),
    "demo-fault-no-token": Fault(stop_after=0.0, stall=True),
    "demo-fault-policy": Fault(
        status=400,
        message="The demo's content policy was violated.",
        code="content_policy_violation",
    ),
    "demo-fault-reset": Fault(fails="reset"),
    "demo-fault-silent": Fault(fails="silent"),
    "demo-fault-stall": Fault(stop_after=0.5, stall=True),
}

_JSON: Final = {"content-type": "application/json"}
_SSE: Final = {"content-type": "text/event-stream; charset=utf-8"}


def answer(body: bytes, *, now: int) -> Script:
    """What the demo says to a chat completion request. `now` is in Unix seconds."""
    try:
        envelope = split(body)
        openai_chat.check_request(envelope)
        request = openai_chat.parse_request(envelope)
    except CutwaterError as error:
        return _failed(error)
    fault = FAULTS.get(request.model, Fault())
    if fault.fails is not None:
        return Script(status=0, headers={}, steps=(), fails=fault.fails)
    if fault.status != 200:
        return _refused(fault)
    reply = _reply(request, now)
    if not request.stream:
        return _whole(reply, fault, now)
    view = View(stream=True, usage_in_stream=True, model=request.model, created=now)
    slow = request.model == "demo-slow"
    steps = _paced(_frames(reply, view), slow=slow)
    return _streamed(steps, fault)


def _reply(request: Request, now: int) -> NeutralReply:
    if request.model == "demo-tools" and request.tools and not _answered(request):
        parts: tuple[Text | ToolCall, ...] = tuple(
            ToolCall(id=f"call_demo_{i}", name=tool.name, arguments=_arguments(tool.schema))
            for i, tool in enumerate(request.tools)
        )
    else:
        parts = (Text(_echo(request)),)
    calls = any(isinstance(part, ToolCall) for part in parts)
    said = sum(_count(p.text if isinstance(p, Text) else p.arguments) for p in parts)
    heard = sum(
        _count(p.text) for message in request.messages for p in message.parts if isinstance(p, Text)
    )
    return NeutralReply(
        id=f"chatcmpl-demo-{now}",
        model=request.model,
        created=now,
        choices=(Choice(parts=parts, reason="tool_calls" if calls else "stop"),),
        usage=Usage(input_tokens=heard, output_tokens=said),
    )


def _answered(request: Request) -> bool:
    return any(type(part).__name__ == "ToolResult" for part in request.messages[-1].parts)


def _echo(request: Request) -> str:
    for message in reversed(request.messages):
        texts = [part.text for part in message.parts if isinstance(part, Text)]
        if message.role == "user" and texts:
            return " ".join(texts)
    return "The demo heard nothing."


def _count(text: str) -> int:
    return max(len(text.split()), 1)


def _arguments(schema: Any) -> str:
    """A value for each property that the tool's schema names."""
    try:
        properties = msgspec.json.decode(schema or b"{}")["properties"]
        kinds = {name: rule.get("type") for name, rule in properties.items()}
    except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
        kinds = {}
    samples: dict[Any, Any] = {
        "integer": 1,
        "number": 1.5,
        "boolean": True,
        "array": [],
        "object": {},
        "null": None,
    }
    values = {
        name: samples.get(kind if isinstance(kind, str) else None, "demo")
        for name, kind in kinds.items()
    }
    return msgspec.json.encode(values).decode()


def _frames(reply: NeutralReply, view: View) -> list[bytes]:
    """The reply's events, one a word."""
    renderer = openai_chat.StreamRenderer(view)
    frames = []
    for delta in unfold(reply):
        if isinstance(delta, TextDelta):
            pieces = _words(delta.text)
            frames += [renderer.feed(msgspec.structs.replace(delta, text=p)) for p in pieces]
        else:
            frames.append(renderer.feed(delta))
    return [frame for frame in frames if frame]


def _words(text: str) -> list[str]:
    words = text.split(" ")
    return [word if i == len(words) - 1 else word + " " for i, word in enumerate(words)]


def _paced(frames: list[bytes], *, slow: bool) -> list[tuple[float, bytes]]:
    gap = 0.5 if slow else WORD_S
    steps = [(gap if i else 0.0, frame) for i, frame in enumerate(frames)]
    return [(2.0, b""), *steps] if slow else steps


def _streamed(steps: list[tuple[float, bytes]], fault: Fault) -> Script:
    half = int(len(steps) * _share(fault))
    if not fault.end_marker:
        steps = [(gap, frame.removesuffix(b"data: [DONE]\n\n")) for gap, frame in steps]
    if fault.splice is not None:
        steps = [
            *steps[:half],
            (0.0, fault.splice),
            *([] if fault.stop_after is not None else steps[half:]),
        ]
    elif fault.stop_after is not None:
        steps = steps[:half]
    if fault.stall:
        steps.append((STALL_S, b""))
    return Script(status=200, headers=_SSE, steps=tuple(steps), cut=fault.cut)


def _share(fault: Fault) -> float:
    return 0.5 if fault.stop_after is None else fault.stop_after


def _whole(reply: NeutralReply, fault: Fault, now: int) -> Script:
    body = openai_chat.render_reply(reply, View(model=reply.model, created=now))
    if fault.splice is not None and fault.stop_after == 0.0:
        # Some providers say so with a status of 200.
        return Script(status=200, headers=_JSON, steps=((0.0, fault.splice[len("data: ") :]),))
    wait = 2.0 if reply.model == "demo-slow" else STALL_S if fault.stall else 0.0
    if fault.cut or fault.stop_after is not None:
        half = int(len(body) * _share(fault))
        return Script(status=200, headers=_JSON, steps=((0.0, body[:half]), (wait, b"")), cut=True)
    return Script(status=200, headers=_JSON, steps=((wait, body),))


def _refused(fault: Fault) -> Script:
    error = BadRequestError(fault.message)
    error.status, error.type, error.code = fault.status, "demo_fault", fault.code
    return _failed(error, fault.headers)


def _failed(error: CutwaterError, headers: dict[str, str] | None = None) -> Script:
    body = openai_chat.error_body(error, "demo")
    return Script(status=error.status, headers={**_JSON, **(headers or {})}, steps=((0.0, body),))
