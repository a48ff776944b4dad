"""JSON Schema <-> the subset of OpenAPI's schema that Gemini takes.

Gemini knows no `$ref`, no `const` and no list of types, and answers 400 to a
keyword that it does not know. A value is rewritten only where it must be;
every other one keeps its bytes. https://ai.google.dev/api/caching#Schema
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw

from core.envelope import raw
from core.errors import BadRequestError

Node: TypeAlias = dict[str, Any]
"""A schema, opened: values are Raw, or nodes that were rewritten."""

MOST_NODES: Final = 5000
"""Inlined references may multiply without end."""
DEEPEST: Final = 60

_KEPT: Final = frozenset(
    {
        "type",
        "format",
        "title",
        "description",
        "nullable",
        "default",
        "enum",
        "items",
        "minItems",
        "maxItems",
        "properties",
        "required",
        "minProperties",
        "maxProperties",
        "propertyOrdering",
        "minLength",
        "maxLength",
        "pattern",
        "example",
        "anyOf",
        "minimum",
        "maximum",
    }
)
_FORMATS: Final = frozenset({"enum", "date-time", "float", "double", "int32", "int64"})
_OBJECT: Final = Raw(b'"object"')
_TRUE: Final = Raw(b"true")


_NARROWING: Final = frozenset(
    {
        "contains",
        "dependentRequired",
        "dependentSchemas",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "if",
        "multipleOf",
        "not",
        "patternProperties",
        "propertyNames",
        "uniqueItems",
    }
)
"""What says something about an answer, and is left out."""


def for_gemini(schema: Raw, lost: list[str] | None = None) -> Raw:
    """400 where the schema is no object, or grows beyond all measure.

    `lost` gets the keywords that Gemini has no word for.
    """
    writer = _Writer(schema)
    written = raw(writer.write(schema, ()))
    if lost is not None:
        lost += [name for name in writer.lost if name not in lost]
    return written


def is_empty_object(schema: Raw) -> bool:
    """An object without properties: Gemini wants no parameters at all instead."""
    node = _opened(schema)
    properties = node.get("properties")
    kind = bytes(node.get("type", _OBJECT)).lower()
    return kind == b'"object"' and "anyOf" not in node and not (properties and _opened(properties))


def _opened(schema: Raw) -> dict[str, Raw]:
    try:
        return msgspec.json.decode(schema, type=dict[str, Raw])
    except msgspec.DecodeError as error:
        if bytes(schema) in (b"true", b"false"):
            return {}  # Anything goes, or nothing does: Gemini can say neither.
        raise BadRequestError("A schema is a JSON object.", param="schema") from error


def _list(value: Raw | None) -> list[Raw]:
    if value is None:
        return []
    try:
        return msgspec.json.decode(value, type=list[Raw])
    except msgspec.DecodeError as error:
        raise BadRequestError("A list in the schema is no list.", param="schema") from error


class _Writer:
    def __init__(self, root: Raw) -> None:
        self._root = root
        self._nodes = 0
        self.lost: dict[str, None] = {}

    def write(self, schema: Raw, within: tuple[str, ...], *, whole: bool = True) -> Node:
        """`within`: the references that are being inlined, one inside the other.

        `whole`: no other part of an `allOf` says what this one lacks.
        """
        self._nodes += 1
        if self._nodes > MOST_NODES or len(within) > DEEPEST:
            raise BadRequestError(
                "The schema is too large for this model once its $refs are inlined.",
                param="schema",
            )
        node = _opened(schema)
        inner = (*within, "")
        if (reference := node.pop("$ref", None)) is not None:
            return self._referenced(reference, node, within)
        if "allOf" in node:
            node = self._all_of(node, within)
        written: Node = {name: value for name, value in node.items() if name in _KEPT}
        self.lost |= dict.fromkeys(name for name in node if name in _NARROWING)
        if bytes(node.get("additionalProperties", b"")).startswith(b"{"):
            self.lost["additionalProperties"] = None  # A map: Gemini fills no other properties.
        self._nest(node, written, inner)
        _type(written)
        _values(node, written)
        _format(written)
        if whole and "required" in written:
            self._require(written)
        return written

    def _require(self, written: Node) -> None:
        """Gemini refuses a demand for a property that is not described."""
        given, properties = _list(raw(written["required"])), written.get("properties", {})
        kept = [name for name in given if _text(name) in properties]
        if len(kept) < len(given):
            self.lost["required"] = None
        if kept:
            written["required"] = raw(kept)
        else:
            del written["required"]

    def _referenced(
        self, reference: Raw, beside: Mapping[str, Raw], within: tuple[str, ...]
    ) -> Node:
        name = _text(reference)
        target = self._target(name)
        if target is None:
            return {"type": _OBJECT}
        if name in within:
            # A note instead of the endless inlining: it tells the model what belongs here.
            shape = name.rpartition("/")[2] or "the whole"
            return {"type": _OBJECT, "description": f"Recursive: of the same shape as {shape}."}
        written = self.write(target, (*within, name))
        for key in ("description", "title", "default"):
            if key in beside:
                written[key] = beside[key]
        return written

    def _target(self, name: str) -> Raw | None:
        """What a reference inside this document points to (RFC 6901)."""
        if not name.startswith("#"):
            return None
        found = self._root
        for step in filter(None, name[1:].split("/")):
            key = step.replace("~1", "/").replace("~0", "~")
            value = _opened(found).get(key) if bytes(found).startswith(b"{") else None
            if value is None:
                return None
            found = value
        return found

    def _all_of(self, node: Mapping[str, Raw], within: tuple[str, ...]) -> dict[str, Raw]:
        """One schema that asks for all that each of them asks for."""
        merged: dict[str, Raw] = {}
        properties: Node = {}
        required: list[Raw] = []
        beside = raw({name: value for name, value in node.items() if name != "allOf"})
        for part in [*_list(node["allOf"]), beside]:
            # Written already: what is written once more stays as it is.
            written = self.write(part, (*within, ""), whole=False)
            properties.update(written.pop("properties", {}))
            required += _list(raw(written.pop("required", [])))
            merged.update({name: raw(value) for name, value in written.items()})
        if properties:
            merged["properties"] = raw(properties)
        if required:
            merged["required"] = raw(list({bytes(name): name for name in required}.values()))
        return merged

    def _nest(self, node: Mapping[str, Raw], written: Node, within: tuple[str, ...]) -> None:
        if (properties := node.get("properties")) is not None:
            written["properties"] = {
                name: self.write(value, within) for name, value in _opened(properties).items()
            }
        items = node.get("items", Raw(b"true"))
        written.pop("items", None)
        if bytes(items).startswith(b"{"):
            written["items"] = self.write(items, within)
        elif "prefixItems" in node or bytes(items).startswith(b"["):
            # A tuple: each place may hold what any of them may.
            places = _list(node.get("prefixItems", items))
            written["items"] = _any_of([self.write(place, within) for place in places])
        elif bytes(node.get("type", b"")).lower() == b'"array"':
            written["items"] = {"type": Raw(b'"string"')}  # Gemini wants to be told.
        choices = _list(node.get("anyOf")) + _list(node.get("oneOf"))
        if choices:
            self._choose([self.write(choice, within) for choice in choices], written)

    def _choose(self, choices: list[Node], written: Node) -> None:
        real = [choice for choice in choices if not _is_null(choice)]
        written.pop("anyOf", None)
        if len(real) < len(choices):
            written["nullable"] = _TRUE
        if not real:
            return
        if len(real) == 1:
            for name, value in real[0].items():
                written.setdefault(name, value)
        elif all(real):  # One without a demand makes the others' no demands.
            written["anyOf"] = real


def _any_of(nodes: list[Node]) -> Node:
    distinct = list({msgspec.json.encode(node): node for node in nodes}.values())
    match distinct:
        case []:
            return {"type": Raw(b'"string"')}
        case [only]:
            return only
        case _:
            return {"anyOf": distinct}


def _is_null(node: Node) -> bool:
    kind = node.get("type")
    return isinstance(kind, Raw) and bytes(kind).lower() == b'"null"'


def _text(value: Raw) -> str:
    try:
        return msgspec.json.decode(value, type=str)
    except msgspec.DecodeError as error:
        raise BadRequestError("A $ref in the schema is no text.", param="schema") from error


def _type(written: Node) -> None:
    """A list of types: Gemini has one, beside `nullable`."""
    kind = written.get("type")
    if kind is None or not bytes(kind).startswith(b"["):
        return
    names = [name for name in _list(kind) if bytes(name).lower() != b'"null"']
    if len(names) < len(_list(kind)):
        written["nullable"] = _TRUE
    del written["type"]
    if len(names) == 1:
        written["type"] = names[0]
    elif names:
        written.setdefault("anyOf", [_of_type(name, written) for name in names])
        written.pop("items", None)
        written.pop("properties", None)


def _of_type(name: Raw, written: Node) -> Node:
    match bytes(name).lower():
        case b'"array"':
            return {"type": name, "items": written.get("items", {"type": Raw(b'"string"')})}
        case b'"object"' if "properties" in written:
            return {"type": name, "properties": written["properties"]}
        case _:
            return {"type": name}


def _values(node: Mapping[str, Raw], written: Node) -> None:
    """`const` and `enum`: Gemini's hold texts only; other values go into the description."""
    if "const" in node:
        values = [node["const"]]
    elif "enum" in node:
        values = _list(node["enum"])
    else:
        return
    real = [value for value in values if bytes(value) != b"null"]
    if len(real) < len(values):
        written["nullable"] = _TRUE
    if not real:
        written.pop("enum", None)  # An empty one is a 400.
        if values:
            written.setdefault("type", Raw(b'"null"'))
        return
    if all(bytes(value).startswith(b'"') for value in real):
        written["enum"] = real
        return
    written.pop("enum", None)
    said = ", ".join(bytes(value).decode() for value in real)
    _note(written, f"One of: {said}." if len(real) > 1 else f"Always {said}.")


def _format(written: Node) -> None:
    given = written.get("format")
    if given is not None and _text(given) not in _FORMATS:
        del written["format"]
        _note(written, f"Format: {_text(given)}.")


def _note(written: Node, note: str) -> None:
    given = written.get("description")
    before = given if isinstance(given, str) else "" if given is None else _text(given)
    written["description"] = f"{before} {note}".strip()


_UNDERSCORE: Final = re.compile(r"_([a-z])")
_COUNTS: Final = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
)
_OPENAPI_FORMATS: Final = frozenset({b'"enum"', b'"float"', b'"double"', b'"int32"', b'"int64"'})


def from_gemini(schema: Raw) -> Raw:
    """JSON Schema: types in lower case, `nullable` as one more type."""
    return raw(_read(schema, 0))


def _read(schema: Raw, depth: int) -> Node:
    if depth > DEEPEST:
        raise BadRequestError("The schema is nested too deep.", param="schema")
    given = {
        _UNDERSCORE.sub(lambda found: found[1].upper(), name): value
        for name, value in _opened(schema).items()
    }
    read: Node = dict(given)
    for name in ("propertyOrdering", "nullable", "example"):
        read.pop(name, None)
    if (kind := given.get("type")) is not None and bytes(kind).startswith(b'"'):
        read["type"] = Raw(bytes(kind).lower())
    for name in _COUNTS & given.keys():
        # 64 bit numbers are texts in Google's JSON.
        read[name] = Raw(bytes(given[name]).strip(b'"'))
    if bytes(given.get("format", b"")) in _OPENAPI_FORMATS:
        del read["format"]
    if "example" in given:
        read["examples"] = [given["example"]]
    _read_inner(given, read, depth + 1)
    if bytes(given.get("nullable", b"")) == b"true":
        _allow_null(read)
    return read


def _read_inner(given: Mapping[str, Raw], read: Node, depth: int) -> None:
    for name in ("properties", "$defs", "defs"):
        if name in given:
            read[name] = {key: _read(v, depth) for key, v in _opened(given[name]).items()}
    if "items" in given and bytes(given["items"]).startswith(b"{"):
        read["items"] = _read(given["items"], depth)
    if "anyOf" in given:
        read["anyOf"] = [_read(choice, depth) for choice in _list(given["anyOf"])]


def _allow_null(read: Node) -> None:
    null = Raw(b'"null"')
    if "type" in read:
        read["type"] = [*_each(read["type"]), null]
    elif "anyOf" in read:
        read["anyOf"] = [*read["anyOf"], {"type": null}]
    if "enum" in read:
        read["enum"] = [*_list(read["enum"]), Raw(b"null")]


def _each(kind: Raw) -> Iterable[Raw]:
    return _list(kind) if bytes(kind).startswith(b"[") else [kind]
