"""Google's thought signatures, carried through clients that have no field for them.

Google answers 400 where a signature does not come back, and any other
provider where it sees one; a client that speaks OpenAI's or Anthropic's format
returns only what these formats know. So the signature of a tool call travels
in the call's id, which every client returns as it came, and the signature of a
thought says whose it is. `without` takes both off for every other provider.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from msgspec.structs import replace

from core.neutral import Message, Part, Reasoning, Request, Text, ToolCall, ToolResult

IN_ID: Final = "__thoughtsig_"
"""Letters, digits, `_` and `-` only: Anthropic takes nothing else in an id."""
_GOOGLE: Final = "gemini:"
OPENAI: Final = "cutwaterThought1"
"""Base64 like what follows it: clients that hold signatures as bytes decode and encode it whole.
What follows is dialects/openai_responses/thoughts.py's."""
MARKS: Final = (_GOOGLE, OPENAI)


def into_id(call_id: str, signature: str | None) -> str:
    if signature is None:
        return call_id
    return call_id + IN_ID + urlsafe_b64encode(signature.encode()).decode().rstrip("=")


def from_id(call_id: str) -> tuple[str, str | None]:
    """The id as it was, and the signature that came with it."""
    plain, mark, coded = call_id.partition(IN_ID)
    if not mark:
        return call_id, None
    try:
        return plain, urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
    except ValueError:
        return plain, None  # A client cut it short: the call is good without.


def is_marked(signature: str) -> bool:
    """Somebody else's than Claude's, whose signatures carry no mark: Claude answers 400 to it."""
    return signature.startswith(MARKS)


def of_google(signature: str) -> str:
    return _GOOGLE + signature


def for_google(signature: str | None) -> str | None:
    """The signature as Google made it; None where somebody else did, or nobody."""
    if signature is None or not signature.startswith(_GOOGLE):
        return None
    return signature.removeprefix(_GOOGLE)


def without(request: Request) -> Request:
    """The request for a provider that is not Google: ids as short as they were."""
    messages = tuple([_plain(message) for message in request.messages])
    return request if messages == request.messages else replace(request, messages=messages)


def _plain(message: Message) -> Message:
    parts = tuple([plain for part in message.parts if (plain := _plain_part(part)) is not None])
    return replace(message, parts=parts) if parts != message.parts else message


def _plain_part(part: Part) -> Part | None:
    match part:
        case Text():
            return part  # First, because most are.
        case ToolCall(id=call_id) if IN_ID in call_id:
            return replace(part, id=from_id(call_id)[0])
        case ToolResult(call_id=call_id) if IN_ID in call_id:
            return replace(part, call_id=from_id(call_id)[0])
        case Reasoning(signature=str(signature)) if signature.startswith(_GOOGLE):
            # A signature without a thought belonged to a text.
            return replace(part, signature=None) if part.text else None
        case _:
            return part
