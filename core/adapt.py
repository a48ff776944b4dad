"""A body in a dialect -> the body that this endpoint takes, by its rows of data.

Everything here returns the very object it was given where nothing has to
change: the caller then forwards the client's own bytes.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw, Struct

from core import envelope as envelopes
from core import prompts
from core.dialects.structured import STAND_IN
from core.envelope import Envelope
from core.errors import BadRequestError
from core.neutral import Quirks
from core.routes import DialectName
from core.routing import Candidate, Provider, Shape

_QUIET: Final = frozenset(
    {"reasoning_budget", "reasoning_enabled", "stream", "stream_options", "use_cache", "model"}
)
"""What no client misses: dropping it is not worth telling."""

_REASONS_AT: Final = "reasoning_effort"

_MESSAGES: Final[Mapping[str, str]] = {"openai_chat": "messages", "openai_responses": "input"}
"""Where the messages with OpenAI's roles are."""


class Adapted(Struct, frozen=True):
    fields: Envelope
    dropped: tuple[str, ...] = ()
    """By the names of the provider's dialect."""
    tool_as_text: str | None = None


def adapt(
    fields: Envelope, body: bytes, candidate: Candidate, dialect: DialectName, *, betas: str | None
) -> Adapted:
    """`body` is what the fields were split from, before anything of them changed."""
    if _changes_nothing(fields, body, candidate, dialect):
        return Adapted(fields)
    return adapted(fields, candidate, dialect, betas=betas)


class _Gate(Struct, frozen=True):
    """What a request must hold before anything of it is changed."""

    open: bool
    """Something always changes."""
    names: frozenset[str]
    """Of fields."""
    marks: tuple[bytes, ...]
    """Of messages: anywhere in the body, so that no message is looked into in vain."""


def _gate(candidate: Candidate, dialect: DialectName) -> _Gate:
    provider, quirks = candidate.provider, candidate.facts.quirks
    shape = provider.shapes.get(dialect) or Shape()
    names = {*provider.rename, *provider.drop, *provider.older, *shape.drop}
    marks = {*provider.roles, *provider.drop_in_messages}
    if not provider.usage_in_stream:
        names.add("stream_options")
    if dialect == "openai_chat" and provider.schema_as_tool:
        names.add("response_format")
    if dialect == "openai_chat" and quirks is not None:
        names |= {*quirks.rename, *quirks.drop, _REASONS_AT}
        marks |= {*quirks.roles}
    return _Gate(
        open=bool(candidate.endpoint.metadata.override_system_prompt or shape.set or shape.betas),
        names=frozenset(names),
        marks=tuple(b'"%s"' % mark.encode() for mark in marks),
    )


def _gate_of(candidate: Candidate, dialect: DialectName) -> _Gate:
    gate: _Gate | None = candidate.worked_out.get(("gate", dialect))
    if gate is None:
        gate = candidate.worked_out["gate", dialect] = _gate(candidate, dialect)
    return gate


def differs(candidate: Candidate, dialect: DialectName) -> bool:
    """Whether this endpoint wants anything that its dialect does not say."""
    gate = _gate_of(candidate, dialect)
    return bool(gate.open or gate.names or gate.marks)


def _changes_nothing(
    fields: Envelope, body: bytes, candidate: Candidate, dialect: DialectName
) -> bool:
    gate = _gate_of(candidate, dialect)
    if gate.open or not gate.names.isdisjoint(fields):
        return False
    return not any(map(body.__contains__, gate.marks))


def adapted(
    fields: Envelope, candidate: Candidate, dialect: DialectName, *, betas: str | None
) -> Adapted:
    given = fields
    tool_as_text = None
    if prompt := candidate.endpoint.metadata.override_system_prompt:
        fields = prompts.put_first(fields, dialect, prompt)
    roles = candidate.provider.roles
    if dialect == "openai_chat":
        if (quirks := candidate.facts.quirks) is not None:
            fields, roles = _reasoning(fields, quirks), {**roles, **quirks.roles}
        if candidate.provider.schema_as_tool and b'"json_schema"' in _format(fields):
            plain, fields = fields, _schema_as_tool(fields)
            tool_as_text = STAND_IN if fields is not plain else None
    fields = _cast(_named(fields, candidate), roles, dialect)
    fields, in_messages = _in_messages(fields, candidate.provider)
    fields = _shaped(fields, candidate.provider, dialect, betas)
    told = (*_told(given, fields, candidate), *in_messages)
    return Adapted(fields, told, tool_as_text)


def _told(given: Envelope, fields: Envelope, candidate: Candidate) -> tuple[str, ...]:
    if fields is given:
        return ()
    quirks = candidate.facts.quirks
    renamed = {*candidate.provider.rename, *(quirks.rename if quirks else ())}
    renamed |= {name for name, (_, older) in candidate.provider.older.items() if older}
    gone = given.keys() - fields.keys() - _QUIET - renamed - {"response_format"}
    return tuple(name for name in given if name in gone)


def _without(fields: Envelope, rename: Mapping[str, str], drop: frozenset[str]) -> Envelope:
    if fields.keys().isdisjoint(rename) and fields.keys().isdisjoint(drop):
        return fields
    return envelopes.renamed(fields, rename, drop)


def _reasoning(fields: Envelope, quirks: Quirks) -> Envelope:
    effort = envelopes.read(fields, _REASONS_AT, str, "")
    drop = quirks.drop - {"temperature"} if effort in quirks.sampling_at else quirks.drop
    fields = _without(fields, quirks.rename, drop)
    if effort in quirks.efforts:
        fields = {**fields, _REASONS_AT: envelopes.raw(quirks.efforts[effort])}
    return fields


def _cast(fields: Envelope, roles: Mapping[str, str], dialect: DialectName) -> Envelope:
    """Messages with the roles that are known here."""
    if not roles:
        return fields  # Before anything is copied: messages may hold images.
    name = _MESSAGES.get(dialect, "")
    given = bytes(fields.get(name, b""))
    known = {b'"%s"' % said.encode(): envelopes.raw(role) for said, role in roles.items()}
    if not given.startswith(b"[") or not any(said in given for said in known):
        return fields
    messages: list[Envelope] = envelopes.read(fields, name, list[Envelope], [])
    told = [{**message, **_role(message, known)} for message in messages]
    return fields if told == messages else {**fields, name: envelopes.raw(told)}


def _role(message: Envelope, known: Mapping[bytes, Raw]) -> Envelope:
    said = bytes(message.get("role", b""))
    return {"role": known[said]} if said in known else {}


def _named(fields: Envelope, candidate: Candidate) -> Envelope:
    provider = candidate.provider
    rename, drop = provider.rename, provider.drop
    if not provider.usage_in_stream:
        drop = drop | {"stream_options"}
    if provider.older and provider.version and (version := provider.version(candidate)):
        late = {n: older for n, (since, older) in provider.older.items() if version < since}
        rename = {**rename, **{name: older for name, older in late.items() if older}}
        drop = drop.union(name for name, older in late.items() if older is None)
    return _without(fields, rename, drop)


def _in_messages(fields: Envelope, provider: Provider) -> tuple[Envelope, list[str]]:
    drop = provider.drop_in_messages
    if not drop or "messages" not in fields:
        return fields, []
    text = bytes(fields["messages"])
    if not any(b'"%s"' % name.encode() in text for name in drop):
        return fields, []
    messages: list[Envelope] = envelopes.read(fields, "messages", list[Envelope], [])
    gone = sorted(name for name in drop if any(name in message for message in messages))
    if not gone:
        return fields, []
    kept = [{n: raw for n, raw in message.items() if n not in drop} for message in messages]
    return {**fields, "messages": envelopes.raw(kept)}, [f"messages.{name}" for name in gone]


def _shaped(
    fields: Envelope, provider: Provider, dialect: DialectName, betas: str | None
) -> Envelope:
    shape = provider.shapes.get(dialect)
    if shape is None:
        return fields
    fields = _without(fields, {}, shape.drop)
    if shape.set:
        fields = {**fields, **shape.set}
    if betas and shape.betas and shape.betas not in fields:
        names = [name.strip() for name in betas.split(",") if name.strip()]
        fields = {**fields, shape.betas: envelopes.raw(names)}
    return fields


def _format(fields: Envelope) -> bytes:
    return bytes(fields.get("response_format", b""))


class _Format(Struct):
    type: str = ""
    json_schema: dict[str, Raw] = {}


def _schema_as_tool(fields: Envelope) -> Envelope:
    asked = envelopes.read(fields, "response_format", _Format, _Format())
    if asked.type != "json_schema":
        return fields
    if envelopes.read(fields, "tools", list[Raw], []):
        raise BadRequestError(
            "This model cannot give structured output and use tools in one request.",
            param="response_format",
        )
    schema = asked.json_schema
    tool = {
        "name": STAND_IN,
        "description": "Output the result in JSON format",
        "parameters": schema.get("schema", Raw(b'{"type":"object"}')),
    }
    if "strict" in schema:
        tool["strict"] = schema["strict"]
    kept = {n: raw for n, raw in fields.items() if n not in ("response_format", "tools")}
    return {
        **kept,
        "tools": envelopes.raw([{"type": "function", "function": tool}]),
        "tool_choice": envelopes.raw({"type": "function", "function": {"name": STAND_IN}}),
    }
