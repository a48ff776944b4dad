"""Amazon Bedrock: Converse for every model, and Claude's own body where that says more.

Converse has no place for Anthropic's server tools, citations, betas and most
cache settings, so Claude is asked in messages, through InvokeModel, by every
client but one that speaks Converse itself. A streamed answer of InvokeModel is
a binary event stream whose payloads hold Anthropic's events: `CLAUDE` unpacks
them while it cuts frames. https://docs.aws.amazon.com/bedrock/latest/APIReference/
"""

import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from core import authorization, eventstream, sse
from core.authorization import (
    AssumedRole,
    Auth,
    Authorization,
    KeySource,
    ProcessKeys,
    SigV4,
)
from core.errors import UpstreamError
from core.orgs import Endpoint
from core.routes import DialectName, check_segment
from core.routing import Candidate, base_url
from core.sigv4 import AwsKeys, Scope, escape
from core.sse import Event
from core.wire import Wire

_SERVICE: Final = "bedrock"
_PLACE: Final = re.compile(r"^(?:apac|au|eu|global|jp|us|us-gov)\.(?=[a-z0-9]+\.)")
"""Tokens are counted for the models themselves, not for their inference profiles."""


def url(candidate: Candidate, path: str, dialect: DialectName, streams: bool) -> str:
    region = candidate.endpoint.metadata.region
    base = base_url(candidate) or f"https://bedrock-runtime.{region}.amazonaws.com"
    check_segment(candidate.model)
    # A name holds colons, an ARN slashes too: AWS wants them all escaped.
    if path.endswith("/count-tokens"):
        return base + path.replace("{model}", escape(_PLACE.sub("", candidate.model)))
    model = escape(candidate.model)
    if dialect == "anthropic":
        verb = "invoke-with-response-stream" if streams else "invoke"
        return f"{base}/model/{model}/{verb}"
    return base + path.replace("{model}", model)


def _given(endpoint: Endpoint) -> AwsKeys | None:
    metadata = endpoint.metadata
    if not metadata.access_key or not endpoint.secret:
        return None
    return AwsKeys(
        access_key=metadata.access_key,
        secret_key=endpoint.secret,
        session_token=metadata.session_token,
    )


def _signed(endpoint: Endpoint, keys: KeySource) -> SigV4:
    return SigV4(scope=Scope(endpoint.metadata.region or "", _SERVICE), keys=keys)


def iam_credentials(endpoint: Endpoint) -> Authorization:
    """The keys in the settings; without any, those of the role this process runs as."""
    keys = _given(endpoint)
    if keys is None and (endpoint.secret or endpoint.metadata.access_key):
        raise authorization.unusable(
            endpoint, "AWS keys are `secret` and metadata.access_key, both or none."
        )
    return _signed(endpoint, keys or ProcessKeys())


def role(endpoint: Endpoint) -> Authorization:
    return _signed(endpoint, ProcessKeys())


def assume_role(endpoint: Endpoint) -> Authorization:
    metadata = endpoint.metadata
    if not metadata.role_arn:
        raise authorization.unusable(endpoint, "assume_role needs metadata.role_arn.")
    region = metadata.region or ""
    base = metadata.token_base or f"https://sts.{region}.amazonaws.com"
    return _signed(
        endpoint,
        AssumedRole(
            role_arn=metadata.role_arn,
            external_id=metadata.external_id,
            region=region,
            base=_given(endpoint) or ProcessKeys(),
            url=base.rstrip("/") + "/",
        ),
    )


AUTH_TYPES: Final[Mapping[str, Auth]] = {
    "iam_credentials": iam_credentials,
    "role": role,
    "assume_role": assume_role,
    "api_key": "bearer",
}


class _Chunk(Struct):
    bytes: str = ""


_decode_chunk = msgspec.json.Decoder(_Chunk).decode

_ERROR_TYPES: Final[Mapping[bytes, str]] = {
    b"throttlingException": "rate_limit_error",
    b"validationException": "invalid_request_error",
    b"modelTimeoutException": "timeout_error",
    b"serviceUnavailableException": "overloaded_error",
}
"""Bedrock's exceptions inside a stream, as Anthropic names such errors."""


class _ClaudeFramer:
    """AWS's frames in, Anthropic's server-sent events out."""

    def __init__(self) -> None:
        self._framer = eventstream.Framer()

    def feed(self, chunk: bytes) -> list[bytes]:
        return [_unpacked(frame) for frame in self._framer.feed(chunk)]

    def flush(self) -> bytes:
        return self._framer.flush()


def _unpacked(frame: bytes) -> bytes:
    event = eventstream.parse(frame)
    if event.name.endswith(b"Exception"):
        return _failed(event)
    try:
        data = b64decode(_decode_chunk(event.data).bytes, validate=True)
        name = msgspec.json.decode(data, type=_Typed).type
    except (ValueError, msgspec.DecodeError) as error:
        raise UpstreamError("The provider's event stream holds no Anthropic event.") from error
    return sse.render(data.replace(b"\n", b" "), name.encode())


class _Typed(Struct):
    type: str = ""


def _failed(event: Event) -> bytes:
    try:
        told: Any = msgspec.json.decode(event.data, type=dict[str, Any]).get("message")
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = None
    kind = _ERROR_TYPES.get(event.name, "api_error")
    error = {"type": kind, "message": told or "Bedrock failed in the middle of its answer."}
    return sse.render(msgspec.json.encode({"type": "error", "error": error}), b"error")


CLAUDE: Final = Wire(
    content_type=eventstream.EVENT_STREAM.content_type,
    framer=_ClaudeFramer,
    parse=sse.parse,
)
