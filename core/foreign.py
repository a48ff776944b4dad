"""What other providers sealed, taken out of a conversation that goes on in the pass lane.

A client of one format keeps the thoughts of every provider that answered it,
and sends them all to the next one. A provider of the client's own format takes
them for its own, cannot read them and answers 400. So whole blocks, items and
parts with a mark of ours go, and the tails of ids. Only places where signatures
live are looked at: a user who writes a mark into a text keeps it, and what is
not changed keeps its bytes.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from core.envelope import Envelope, present, raw
from core.routes import DialectName
from core.routing import Candidate
from core.signatures import IN_ID, MARKS, from_id, is_marked

T = TypeVar("T")

_IN_ID: Final = IN_ID.encode()
_SIGNATURE: Final = b'"signature"'
_NOT_CLAUDES: Final = (b'""', *(b'"%b' % mark.encode() for mark in MARKS))
"""How another provider's signature begins, or nobody's."""
_THINKING: Final = frozenset({"thinking", "redacted_thinking"})


class Cleaned(Struct, frozen=True):
    fields: Envelope
    dropped: tuple[str, ...] = ()
    """What was lost, as the client knows it. An id's tail is no loss."""


class _Place(Struct, frozen=True, kw_only=True):
    """Where a dialect keeps what a provider sealed."""

    gates: tuple[bytes, ...]
    """A body without any of these holds nothing: nothing of it is opened."""
    signatures: bool = False
    """A field `signature` is a gate too where it holds what Claude never writes."""
    turns: str
    parts: str | None
    """Of a turn; None where the turns themselves are looked at."""
    name: str
    look: "Callable[[Envelope, _Look], Envelope | None]"
    """The part as it should be, the very same where it may stay; None: it has to go."""


class _Look:
    """One conversation on its way to one endpoint."""

    def __init__(self, place: _Place, candidate: Candidate) -> None:
        self.place = place
        self.candidate = candidate
        self.lost = False
        self.first_call = True
        """Of the turn."""
        self.thought: list[Envelope] = []
        """Of the turn: pieces of a thought whose end, with its signature, has not come yet."""
        self.gone: set[int] = set()
        """Pieces of which it turned out later whose they are, by identity."""


def without(fields: Envelope, body: bytes, candidate: Candidate, dialect: DialectName) -> Cleaned:
    """The same fields where there is nothing to take out. `body` is what they were split from."""
    place = _PLACES[dialect]
    if not _may_hold(body, place):
        return Cleaned(fields)
    turns = _read(fields.get(place.turns), list[Raw])
    if turns is None:
        return Cleaned(fields)  # A text, or what the provider itself will refuse.
    look = _Look(place, candidate)
    kept = [seen for turn in turns if (seen := _turn(turn, look)) is not None]
    if len(kept) == len(turns) and all(a is b for a, b in zip(kept, turns, strict=True)):
        return Cleaned(fields)
    if dialect == "converse":
        kept = _in_turns(kept)
    fields = {**fields, place.turns: raw(kept)}
    dropped = [place.name] if look.lost else []
    if look.lost and dialect in _UNTHINKING:
        fields, more = _UNTHINKING[dialect](fields, kept)
        dropped += more
    return Cleaned(fields, tuple(dropped))


def _may_hold(text: bytes, place: _Place) -> bool:
    for gate in place.gates:  # A generator would cost more than the search.
        if gate in text:
            return True
    at = text.find(_SIGNATURE) if place.signatures else -1
    while at >= 0:
        after = at + len(_SIGNATURE)
        if text[after : after + 32].lstrip(b" \t\r\n:").startswith(_NOT_CLAUDES):
            return True
        at = text.find(_SIGNATURE, after)
    return False


def _read(value: Raw | None, kind: type[T]) -> T | None:
    """None for what has another shape: to say so is the provider's part."""
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _opened(value: Raw | None) -> Envelope:
    return _read(value, dict[str, Raw]) or {}


def _text(value: Raw | None) -> str:
    return _read(value, str) or ""


def _turn(turn: Raw, look: _Look) -> Raw | None:
    """The very turn where nothing in it changes; None where nothing of it is left."""
    place = look.place
    if not _may_hold(bytes(turn), place):
        return turn
    look.first_call, look.thought = True, []
    fields = _opened(turn)
    if place.parts is None:
        return _part(turn, fields, look)
    parts = _read(fields.get(place.parts), list[Raw])
    if parts is None:
        return turn
    opened = [_opened(part) for part in parts]
    seen = [_part(part, known, look) for part, known in zip(parts, opened, strict=True)]
    told = zip(seen, opened, strict=True)
    kept = [part for part, known in told if part is not None and id(known) not in look.gone]
    if len(kept) == len(parts) and all(a is b for a, b in zip(kept, parts, strict=True)):
        return turn
    return raw({**fields, place.parts: kept}) if kept else None


def _part(part: Raw, fields: Envelope, look: _Look) -> Raw | None:
    if not fields:
        return part
    seen = look.place.look(fields, look)
    look.lost = look.lost or seen is None
    if seen is fields:
        return part
    return None if seen is None else raw(seen)


def _is_claude(candidate: Candidate) -> bool:
    """Claude signs every thought of its own; other models that speak its formats may not."""
    return candidate.endpoint.type == "anthropic" or "claude" in candidate.model


def _plain_ids(fields: Envelope, *names: str) -> Envelope:
    """Ids without the signature that they carried for Google."""
    for name in names:
        value = fields.get(name, Raw())
        if _IN_ID in bytes(value) and (call_id := _text(value)):
            fields = {**fields, name: raw(from_id(call_id)[0])}
    return fields


def _of_chat(message: Envelope, look: _Look) -> Envelope:
    thoughts = bytes(message.get("reasoning", b""))
    if thoughts.startswith((b"[", b"{")):
        # Our own way to tell thoughts. A provider's own field of this name is a text.
        look.lost = look.lost or thoughts not in (b"[]", b"{}")
        message = {name: value for name, value in message.items() if name != "reasoning"}
    message = _plain_ids(message, "tool_call_id")
    calls = message.get("tool_calls", Raw())
    if _IN_ID in bytes(calls) and (given := _read(calls, list[Raw])):
        opened = ((call, _opened(call)) for call in given)
        plain = [raw(_plain_ids(fields, "id")) if fields else call for call, fields in opened]
        message = {**message, "tool_calls": raw(plain)}
    return message


_SEALED_ITEM: Final = ("cutwater-signed:", "cutwater-redacted:")
_OUR_ITEM: Final = "rs_cutwater"


def _of_responses(item: Envelope, look: _Look) -> Envelope | None:
    del look
    if _text(item.get("type")) != "reasoning":
        return _plain_ids(item, "call_id")
    if _text(item.get("encrypted_content")).startswith(_SEALED_ITEM):
        return None
    # OpenAI looks an item up that brings nothing but its id.
    return None if _text(item.get("id")).startswith(_OUR_ITEM) else item


def _of_anthropic(block: Envelope, look: _Look) -> Envelope | None:
    match _text(block.get("type")):
        case "thinking":
            signature = _text(block.get("signature"))
            unsigned = not signature and _is_claude(look.candidate)
            return None if unsigned or is_marked(signature) else block
        case "tool_use":
            return _plain_ids(block, "id")
        case "tool_result":
            return _plain_ids(block, "tool_use_id")
        case _:
            return block


def _unthinking_messages(fields: Envelope, turns: Sequence[Raw]) -> tuple[Envelope, list[str]]:
    """Thinking by budget is refused where an answer that calls tools does not begin with it."""
    wanted = _opened(fields.get("thinking"))
    if _text(wanted.get("type")) != "enabled":
        return fields, []
    kinds = [_text(_opened(block).get("type")) for block in _last_answer(turns)]
    if "tool_use" not in kinds or kinds[0] in _THINKING:
        return fields, []
    return {name: value for name, value in fields.items() if name != "thinking"}, ["thinking"]


def _last_answer(turns: Sequence[Raw]) -> list[Raw]:
    for turn in reversed(turns):
        fields = _opened(turn)
        if _text(fields.get("role")) == "assistant":
            return _read(fields.get("content"), list[Raw]) or []
    return []


def _of_converse(block: Envelope, look: _Look) -> Envelope | None:
    if "reasoningContent" in block:
        thought = _opened(_opened(block["reasoningContent"]).get("reasoningText"))
        signature = _text(thought.get("signature"))
        unsigned = bool(thought) and not signature and _is_claude(look.candidate)
        return None if unsigned or is_marked(signature) else block
    for kind in ("toolUse", "toolResult"):
        if kind in block:
            before = _opened(block[kind])
            after = _plain_ids(before, "toolUseId")
            return block if after is before else {**block, kind: raw(after)}
    return block


def _in_turns(messages: Sequence[Raw]) -> list[Raw]:
    """Bedrock wants roles to take turns, and an answer may be gone that was nothing but thought."""
    turns: list[Raw] = []
    for message in messages:
        fields, before = _opened(message), _opened(turns[-1]) if turns else {}
        if before and _text(before.get("role")) == _text(fields.get("role")):
            pieces = (_read(one.get("content"), list[Raw]) or [] for one in (before, fields))
            turns[-1] = raw({**before, "content": [part for piece in pieces for part in piece]})
        else:
            turns.append(message)
    return turns


def _unthinking_converse(fields: Envelope, turns: Sequence[Raw]) -> tuple[Envelope, list[str]]:
    place = "additionalModelRequestFields"
    more = _opened(fields.get(place))
    wanted = next((name for name in ("thinking", "reasoning_config") if name in more), "")
    if not wanted or _text(_opened(more[wanted]).get("type")) != "enabled":
        return fields, []
    kinds = [kind for block in _last_answer(turns) for kind in _opened(block)]
    if "toolUse" not in kinds or kinds[0] == "reasoningContent":
        return fields, []
    kept = {name: value for name, value in more.items() if name != wanted}
    return {**fields, place: raw(kept)}, [f"{place}.{wanted}"]


def _either(fields: Envelope, name: str, snake: str) -> tuple[str, Raw | None]:
    """Google takes both spellings."""
    found = snake if snake in fields else name
    return found, fields.get(found)


def _of_gemini(part: Envelope, look: _Look) -> Envelope | None:
    from core.dialects.gemini.foreign import is_ours
    from core.dialects.gemini.request_out import UNSIGNED

    name, shown = _either(part, "thoughtSignature", "thought_signature")
    ours = shown is not None and is_ours(_text(shown))
    call = present(_either(part, "functionCall", "function_call")[1] or Raw())
    if call is None:
        pieces, look.thought = look.thought, []
        if ours:
            look.gone.update(id(piece) for piece in pieces)
            return None
        if shown is None and bytes(part.get("thought", b"")) == b"true":
            look.thought = [*pieces, part]
        return part
    first, look.first_call = look.first_call, False
    if not ours:
        return part
    if first and look.candidate.facts.thinking == "level":
        return {**part, name: raw(UNSIGNED)}  # The model refuses a call without any signature.
    return {field: value for field, value in part.items() if field != name}


_PLACES: Final[dict[str, _Place]] = {
    "openai_chat": _Place(
        gates=(_IN_ID, b'"reasoning"'),
        turns="messages",
        parts=None,
        name="messages.reasoning",
        look=_of_chat,
    ),
    "openai_responses": _Place(
        gates=(_IN_ID, b'"cutwater-', b'"rs_cutwater'),
        turns="input",
        parts=None,
        name="input.reasoning",
        look=_of_responses,
    ),
    "anthropic": _Place(
        gates=(_IN_ID,),
        signatures=True,
        turns="messages",
        parts="content",
        name="messages.reasoning",
        look=_of_anthropic,
    ),
    "converse": _Place(
        gates=(_IN_ID, b'"reasoningText"'),
        turns="messages",
        parts="content",
        name="messages.reasoning",
        look=_of_converse,
    ),
    "gemini": _Place(
        gates=(b"Y3V0d2F0ZXI6",),  # The beginning of our mark, in base64.
        turns="contents",
        parts="parts",
        name="contents.reasoning",
        look=_of_gemini,
    ),
}

_UNTHINKING: Final[dict[str, Any]] = {
    "anthropic": _unthinking_messages,
    "converse": _unthinking_converse,
}
