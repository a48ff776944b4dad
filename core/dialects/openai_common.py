"""What OpenAI's two formats have in common: errors, media by URL, words for effort.

A data URL may hold what its field does not say: an image field with a PDF in
it is a document, and a text file is text that any model can read.
"""

import binascii
from base64 import b64decode
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw

from core.errors import BadRequestError, CutwaterError
from core.neutral import Media, Thinking

EFFORT_OF_BUDGET: Final = ((2048, "low"), (8192, "medium"))
"""Up to how many thinking tokens an effort stands for; more is `high`."""


def error_fields(error: CutwaterError) -> dict[str, Any]:
    return {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }


def error_body(error: CutwaterError, request_id: str) -> bytes:
    return msgspec.json.encode({"error": error_fields(error), "request_id": request_id})


def effort(thinking: Thinking) -> str | None:
    """The effort to ask for; None leaves the model its default."""
    if not thinking.enabled:
        return None
    if thinking.effort is not None:
        return {"max": "xhigh"}.get(thinking.effort, thinking.effort)
    if thinking.budget is None:
        return "medium"
    return next((word for most, word in EFFORT_OF_BUDGET if thinking.budget <= most), "high")


def media_from_url(
    url: str,
    kind: Literal["image", "document"],
    param: str,
    *,
    name: str | None = None,
    detail: str | None = None,
    cache_control: Raw | None = None,
) -> Media:
    """`param` names the field in the 400 for what is no usable URL."""
    if not url.startswith("data:"):
        if kind == "document" and not url.startswith(("http://", "https://")):
            # Some clients send a file's base64 without the data URL around it.
            return Media(kind=kind, media_type="application/pdf", data=url, name=name)
        return Media(kind=kind, url=url, detail=detail, name=name, cache_control=cache_control)
    head, _, data = url[5:].partition(",")
    media_type = head.partition(";")[0] or "text/plain"
    if not head.endswith(";base64"):
        raise BadRequestError("A data URL must be base64 encoded.", param=param)
    if not media_type.startswith("image/"):
        kind = "document"
    if is_text(media_type):
        media_type, data = "text/plain", _decoded(data, param)
    return Media(
        kind=kind,
        media_type=media_type,
        data=data,
        name=name,
        detail=detail,
        cache_control=cache_control,
    )


def is_text(media_type: str) -> bool:
    """Documents that a model reads as plain text."""
    return media_type.startswith("text/") or media_type in (
        "application/json",
        "application/xml",
        "application/yaml",
        "application/x-yaml",
        "application/javascript",
    )


def _decoded(data: str, param: str) -> str:
    try:
        return b64decode(data, validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise BadRequestError("A text file must be base64 of UTF-8.", param=param) from error
