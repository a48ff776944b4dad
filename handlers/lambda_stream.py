"""Response streaming for the managed Python runtimes, by two seams of awslambdaric.

The runtime that AWS manages cannot stream; the Runtime API that it talks to can. `install`
lets a `Stream` through the marshaller, and posts it chunked where the runtime would have
posted one body. The awslambdaric to change is the one already running: a second copy in the
bundle would be changed in vain. Where the seams have moved, the same prelude and the whole body
as plain bytes are what a streaming integration takes as well.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

import base64
import http.client
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, Final

import msgspec

CONTENT_TYPE: Final = "application/vnd.awslambda.http-integration-response"
ERROR_TYPE: Final = "Lambda-Runtime-Function-Error-Type"
ERROR_BODY: Final = "Lambda-Runtime-Function-Error-Body"
_END_OF_PRELUDE: Final = bytes(8)
_FRAMING: Final = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
"""Headers that speak of one connection; the next one is API Gateway's own."""

_log = logging.getLogger("cutwater.lambda")

Headers = Iterable[tuple[bytes, bytes]]


def prelude(status: int, headers: Headers) -> bytes:
    """Status and headers as they go before a body, whether that is streamed or whole."""
    values: dict[str, list[str]] = {}
    for raw_name, value in headers:
        name = raw_name.decode("latin-1").lower()
        if name not in _FRAMING:
            values.setdefault(name, []).append(value.decode("latin-1"))
    head = {
        "statusCode": status,
        "headers": {name: one[0] for name, one in values.items() if len(one) == 1},
        "multiValueHeaders": {name: many for name, many in values.items() if len(many) > 1},
    }
    return msgspec.json.encode(head) + _END_OF_PRELUDE


class Stream:
    """What a handler returns in order to stream.

    `close` is called once, whether the body was read to its end or not.
    """

    __slots__ = ("body", "close", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: Headers,
        body: Iterable[bytes],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.close = close

    def frames(self) -> Iterator[bytes]:
        """The request body in HTTP chunks, each as soon as there is one; errors as trailers."""
        yield _frame(prelude(self.status, self.headers))
        try:
            for chunk in self.body:
                # An empty chunk would say that the body is over.
                if chunk:
                    yield _frame(chunk)
        except Exception as error:  # noqa: BLE001  the head is gone: only the trailers are left
            yield b"0\r\n" + _trailers(error) + b"\r\n"
        else:
            yield b"0\r\n\r\n"


def _frame(chunk: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(chunk), chunk)


def _trailers(error: Exception) -> bytes:
    """The error's type alone: its text may quote a key or a prompt, and Lambda logs it."""
    name = type(error).__name__.encode("ascii", "replace").decode()
    report = {"errorMessage": "The response broke after its head was sent.", "errorType": name}
    body = base64.b64encode(msgspec.json.encode(report)).decode()
    return f"{ERROR_TYPE}: Runtime.{name}\r\n{ERROR_BODY}: {body}\r\n".encode()


def post(address: str, invoke_id: str, invocation_id: str | None, stream: Stream) -> None:
    """Send a stream to the Runtime API. That nobody reads it any more is no error of ours."""
    connection = http.client.HTTPConnection(address)
    try:
        connection.putrequest("POST", f"/2018-06-01/runtime/invocation/{invoke_id}/response")
        connection.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.putheader("Content-Type", CONTENT_TYPE)
        connection.putheader("Trailer", f"{ERROR_TYPE}, {ERROR_BODY}")
        if invocation_id:
            connection.putheader("Lambda-Runtime-Invocation-Id", invocation_id)
        connection.endheaders()
        for frame in stream.frames():
            connection.send(frame)
        reply = connection.getresponse()
        reply.read()
        if reply.status >= 400:
            _log.warning("The Runtime API answered %d to a streamed response.", reply.status)
    except (OSError, http.client.HTTPException) as error:
        _log.info("The caller went away while a response was streamed: %s.", type(error).__name__)
    finally:
        connection.close()
        stream.close()


class _Marshaller:
    """The runtime's own marshaller, but a stream passes as it is."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def marshal_response(self, response: object) -> Any:
        if isinstance(response, Stream):
            return response, CONTENT_TYPE
        return self._inner.marshal_response(response)


def install(client: ModuleType | None = None) -> bool:
    """Let the running awslambdaric post streams. False where it is not as we know it."""
    module = client or sys.modules.get("awslambdaric.lambda_runtime_client")
    # Version 4 has a base class for its two clients; before, there was one client.
    base = getattr(module, "BaseLambdaRuntimeClient", None) or getattr(
        module, "LambdaRuntimeClient", None
    )
    marshaller = getattr(base, "marshaller", None)
    post_whole = getattr(base, "post_invocation_result", None)
    if base is None or not callable(post_whole) or not hasattr(marshaller, "marshal_response"):
        return False

    def post_invocation_result(
        self: Any,
        invoke_id: str,
        result_data: Any,
        content_type: str = "",
        *rest: Any,
        **named: Any,
    ) -> Any:
        if not isinstance(result_data, Stream):
            return post_whole(self, invoke_id, result_data, content_type, *rest, **named)
        address = getattr(self, "lambda_runtime_address", None)
        invocation_id = rest[0] if rest else named.get("invocation_id")
        environment = os.environ.get("AWS_LAMBDA_RUNTIME_API", "")
        return post(address or environment, invoke_id, invocation_id, result_data)

    base.marshaller = _Marshaller(marshaller)
    base.post_invocation_result = post_invocation_result
    return True
