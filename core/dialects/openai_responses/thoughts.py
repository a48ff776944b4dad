"""Reasoning items <-> neutral thoughts, so that what a provider sealed comes back byte for byte.

Two directions, two kinds of mark. As provider: the item's id, its encrypted
content and the lengths of its texts become one signature that begins with
`SEALED`. As client: the signature of any provider travels in
`encrypted_content` behind `SIGNED` or `REDACTED`; encrypted content without a
mark is OpenAI's own, and is sealed as if its provider had just said it.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from core.neutral import Reasoning
from core.signatures import OPENAI as SEALED

SIGNED: Final = "cutwater-signed:"
REDACTED: Final = "cutwater-redacted:"
OUR_ID: Final = "rs_cutwater"
"""Begins the id of an item that OpenAI never made, and would look for in vain."""

SEPARATOR: Final = "\n\n"
"""Between the texts of one item, where they are told as one."""


class Piece(Struct):
    text: str = ""


class ReasoningItem(Struct):
    id: str | None = None
    summary: list[Piece] | None = None
    content: list[Piece] | None = None
    encrypted_content: str | None = None


class Seal(Struct, array_like=True, frozen=True):
    """What of an item no text shows. Lengths count characters."""

    id: str | None
    summary: tuple[int, ...]
    content: tuple[int, ...]
    encrypted_content: str | None


_open = msgspec.json.Decoder(Seal).decode


def _texts(pieces: Iterable[Piece] | None) -> list[str]:
    return [piece.text for piece in pieces or ()]


def text_of(item: ReasoningItem) -> str:
    return SEPARATOR.join([*_texts(item.summary), *_texts(item.content)])


def seal(item: ReasoningItem) -> str | None:
    """None where there is nothing to bring back: an id alone says nothing without its store."""
    summary, content = _texts(item.summary), _texts(item.content)
    if not item.encrypted_content and not content:
        return None
    document = Seal(
        id=item.id,
        summary=tuple(len(text) for text in summary),
        content=tuple(len(text) for text in content),
        encrypted_content=item.encrypted_content,
    )
    return SEALED + urlsafe_b64encode(msgspec.json.encode(document)).decode()


def _unseal(signature: str) -> Seal | None:
    if not signature.startswith(SEALED):
        return None
    # Whoever held it as bytes may have written it back in the other alphabet.
    written = signature[len(SEALED) :].replace("+", "-").replace("/", "_")
    try:
        return _open(urlsafe_b64decode(written))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None


def provider_item(thought: Reasoning) -> dict[str, Any] | None:
    """The item as its provider said it; None for a thought that another provider signed."""
    if thought.signature is None or (sealed := _unseal(thought.signature)) is None:
        return None
    texts = _cut(thought.text, (*sealed.summary, *sealed.content))
    if texts is None:
        # The client changed the text. The seal is what counts.
        texts, count = ([thought.text] if thought.text else []), 1
    else:
        count = len(sealed.summary)
    item: dict[str, Any] = {"type": "reasoning"}
    if sealed.id is not None:
        item["id"] = sealed.id
    item["summary"] = [{"type": "summary_text", "text": text} for text in texts[:count]]
    if content := texts[count:]:
        item["content"] = [{"type": "reasoning_text", "text": text} for text in content]
    if sealed.encrypted_content is not None:
        item["encrypted_content"] = sealed.encrypted_content
    return item


def _cut(text: str, lengths: tuple[int, ...]) -> list[str] | None:
    """The texts that were joined; None where this is not what they were joined to."""
    texts, place = [], 0
    for number, length in enumerate(lengths):
        if number:
            if text[place : place + len(SEPARATOR)] != SEPARATOR:
                return None
            place += len(SEPARATOR)
        texts.append(text[place : place + length])
        place += length
    return texts if place == len(text) else None


def neutral_of(item: ReasoningItem) -> Reasoning | None:
    """What a provider said; None for an item without text or seal, which says nothing."""
    thought = Reasoning(text=text_of(item), signature=seal(item))
    return thought if thought.text or thought.signature else None


def encrypted_content(signature: str | None, redacted: str | None) -> str | None:
    """What a client keeps of a thought, and sends back as it came."""
    if redacted is not None:
        return REDACTED + redacted
    return None if signature is None else SIGNED + signature


def client_thought(item: ReasoningItem) -> Reasoning | None:
    """An item that a client sends back."""
    kept = item.encrypted_content or ""
    if kept.startswith(SIGNED):
        return Reasoning(text=text_of(item), signature=kept.removeprefix(SIGNED))
    if kept.startswith(REDACTED):
        return Reasoning(text=text_of(item), redacted=kept.removeprefix(REDACTED))
    return neutral_of(item)
