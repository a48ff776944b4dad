"""A provider's error, whatever shape it has, as a `ProviderError`.

Most say `{"error": {"message", "type", "code"}}`; some leave the envelope out.
The body itself is never shown: it may quote headers or keys.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from core.envelope import split
from core.errors import STATUS_OF_TYPE, BadRequestError, CutwaterError, ProviderError, UpstreamError
from core.neutral import Failed

_LONGEST = 4000
_NO_ERROR = (b"null", b'""', b"{}", b"false")
_BARE = frozenset({"message", "Message", "__type", "type", "code", "status", "detail"})
"""An error without an envelope, as AWS writes it, says nothing else."""


def parse(status: int, body: bytes) -> ProviderError:
    return of_document(_document(body), status)


def check_whole(body: bytes) -> None:
    """Raises what a reply with status 200 really is: an error, or no answer at all."""
    try:
        fields = split(body)
    except BadRequestError as error:
        raise UpstreamError("The provider's answer is no JSON object: it may be cut.") from error
    if "error" in fields and bytes(fields["error"]) not in _NO_ERROR and "choices" not in fields:
        raise of_document(_document(body))
    if fields and fields.keys() <= _BARE:
        raise of_document(_document(body))


def is_error(body: bytes) -> bool:
    """Whether clients that know the shape of most providers' errors can read this one."""
    document = _document(body)
    return isinstance(document, dict) and "error" in document


def of_event(data: bytes) -> ProviderError:
    """An error inside a stream."""
    return of_document(_document(data))


def _document(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def of_document(document: Any, status: int | None = None) -> ProviderError:
    """`status` is None inside a stream: then the error's own words say what it stands for."""
    if isinstance(document, list) and document:
        document = document[0]  # Google wraps the error of a stream in a list.
    error = document.get("error", document) if isinstance(document, dict) else None
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict):
        error = {}
    message = error.get("message") or error.get("detail") or document_message(document)
    kind, code = error.get("type"), error.get("code")
    if status is None:
        status = _status_of(error)
    return ProviderError(
        message[:_LONGEST] if isinstance(message, str) else f"The provider answered {status}.",
        status=status,
        type=kind if isinstance(kind, str) else None,
        code=code if isinstance(code, str) else None,
        param=error["param"] if isinstance(error.get("param"), str) else None,
    )


def document_message(document: Any) -> Any:
    if not isinstance(document, dict):
        return None
    return document.get("message") or document.get("Message")  # AWS writes both.


def _status_of(error: dict[str, Any]) -> int:
    for name in ("status_code", "status", "code"):
        if isinstance(error.get(name), int) and 400 <= error[name] < 600:
            return int(error[name])
    for name in ("type", "code", "status"):
        word = error.get(name)
        if isinstance(word, str) and word in STATUS_OF_TYPE:
            return STATUS_OF_TYPE[word]
    return 500


def told(error: ProviderError) -> Failed:
    """The error as a delta of the stream that it ends."""
    return Failed(error.status, error.message, error.type, error.code)


def of_delta(failed: Failed) -> ProviderError:
    return ProviderError(failed.message, status=failed.status, type=failed.type, code=failed.code)


def strike(body: bytes, keys: Iterable[str]) -> bytes:
    """Without the keys that a provider may quote."""
    for key in keys:
        body = body.replace(key.encode(), b"***")
    return body


def strike_error(error: CutwaterError, keys: Iterable[str]) -> None:
    for name in ("message", "type", "code", "param"):
        for key in keys:
            if isinstance(text := getattr(error, name), str):
                setattr(error, name, text.replace(key, "***"))
