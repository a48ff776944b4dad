"""JSON Schema -> the subset that a provider holds its model to.

A schema that says more than the subset is narrowed only where every answer to
the narrower one is an answer to the client's own: an object is closed, what
may be null anyway must be there, a bound goes into the description. Where the
meaning would change (a map, a property that may be left out) there is no held
form, and the provider is sent the schema as it is, without its promise.
https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
https://docs.claude.com/en/docs/build-with-claude/structured-outputs#json-schema-limitations
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw, Struct

from core.envelope import raw

Node: TypeAlias = dict[str, Any]
"""A schema, opened: values are Raw, or nodes that were rewritten."""

DEEPEST: Final = 60
MOST_NODES: Final = 5000


class Rules(Struct, frozen=True, kw_only=True):
    """What a provider's constrained decoding takes beside types, objects, lists and choices."""

    bounds: frozenset[str]
    """Keywords that narrow a value."""
    formats: frozenset[str]
    all_required: bool = False
    object_at_root: bool = False
    recursion: bool = True
    most_min_items: int | None = None
    """The largest `minItems` that it takes; None: any."""
    most_optional: int | None = None
    most_unions: int | None = None
    """How many properties may be left out, or have more than one type."""


_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
OPENAI: Final = Rules(
    bounds=frozenset(
        {
            "pattern",
            "format",
            "multipleOf",
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "minItems",
            "maxItems",
        }
    ),
    formats=_FORMATS,
    all_required=True,
    object_at_root=True,
)
ANTHROPIC: Final = Rules(
    bounds=frozenset({"format", "minItems"}),
    formats=_FORMATS | {"uri"},
    recursion=False,
    most_min_items=1,
    most_optional=24,
    most_unions=16,
)

_KEPT: Final = frozenset({"type", "title", "description", "enum", "const", "required", "default"})
_IGNORED: Final = frozenset(
    {"$schema", "$id", "$comment", "$anchor", "id", "examples", "example", "deprecated"}
    | {"readOnly", "writeOnly", "nullable", "discriminator", "propertyOrdering"}
)
"""What narrows nothing: left out without a word."""
_CHANGES: Final = frozenset(
    {"patternProperties", "prefixItems", "additionalItems", "$dynamicRef", "$recursiveRef"}
)
"""Keywords without which a schema means something else."""
_BESIDE_REFERENCE: Final = frozenset({"title", "description", "default"})
_DEFINITIONS: Final = ("$defs", "definitions")
_FALSE: Final = Raw(b"false")


class Held(Struct, frozen=True):
    schema: Raw
    moved: tuple[str, ...] = ()
    """Keywords that are only said in descriptions now."""


class _UnheldError(Exception):
    """There is no held form."""


def held(schema: Raw, rules: Rules) -> Held | None:
    """None where holding the model to it would change what the schema means."""
    try:
        writer = _Writer(schema, rules)
        written = writer.root()
    except (_UnheldError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Held(raw(written), tuple(writer.moved))


def _opened(schema: Raw) -> dict[str, Raw]:
    if not bytes(schema).lstrip().startswith(b"{"):
        raise _UnheldError
    return msgspec.json.decode(schema, type=dict[str, Raw])


def _listed(value: Raw) -> list[Raw]:
    return msgspec.json.decode(value, type=list[Raw])


def _text(value: Raw) -> str:
    return msgspec.json.decode(value, type=str)


def is_object(schema: Raw) -> bool:
    """Whether the schema asks for an object, told without following references."""
    try:
        node = _opened(schema)
    except (_UnheldError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return bytes(node.get("type", b"")) == b'"object"' or "properties" in node


class _Writer:
    def __init__(self, schema: Raw, rules: Rules) -> None:
        self._root = schema
        self._rules = rules
        self._nodes = self._optional = self._unions = 0
        self.moved: dict[str, None] = {}

    def root(self) -> Node:
        node = _opened(self._root)
        definitions = {name: node.pop(name) for name in _DEFINITIONS if name in node}
        # At the root a reference counts for no object, and one that comes back is recursion.
        seen: tuple[str, ...] = ()
        while (reference := node.get("$ref")) is not None:
            name = _text(reference)
            if name in seen:
                raise _UnheldError
            seen = (*seen, name)
            beside = {key: value for key, value in node.items() if key in _BESIDE_REFERENCE}
            node = _opened(self._target(name)) | beside
        written = self._write(node, seen if not self._rules.recursion else ())
        for name, given in definitions.items():
            written[name] = {
                key: self._write(_opened(value), (f"#/{name}/{_escaped(key)}",))
                for key, value in _opened(given).items()
            }
        self._count()
        if self._rules.object_at_root and (
            bytes(written.get("type", b"")) != b'"object"' or "anyOf" in written
        ):
            raise _UnheldError
        return written

    def _count(self) -> None:
        rules = self._rules
        if rules.most_optional is not None and self._optional > rules.most_optional:
            raise _UnheldError
        if rules.most_unions is not None and self._unions > rules.most_unions:
            raise _UnheldError

    def _write(self, node: dict[str, Raw], within: tuple[str, ...]) -> Node:
        """`within`: the references that lead here."""
        self._nodes += 1
        if self._nodes > MOST_NODES or len(within) > DEEPEST:
            raise _UnheldError
        node = self._merged(node)
        if "$ref" in node:
            return self._reference(node, within)
        if not _CHANGES.isdisjoint(node) or any(name in node for name in _DEFINITIONS):
            raise _UnheldError
        written: Node = {}
        left = {
            name: value
            for name, value in node.items()
            if not self._keep(name, value, written, (*within, ""))
        }
        if "anyOf" in written and "properties" in written:
            raise _UnheldError  # Each would be closed, and no object could be both.
        self._type(node, written)
        self._unions += "anyOf" in written or len(_types(written)) > 1
        self._note(written, left)
        if "object" in _types(written):
            self._close(node, written)
            return written
        written.pop("additionalProperties", None)
        if "array" in _types(written) and "items" not in written:
            raise _UnheldError  # A list of anything.
        return written

    def _keep(self, name: str, value: Raw, written: Node, within: tuple[str, ...]) -> bool:
        """False for what a description has to say."""
        match name:
            case "anyOf" | "oneOf":
                if "anyOf" in written:
                    raise _UnheldError
                written["anyOf"] = [self._write(_opened(c), within) for c in _listed(value)]
            case "properties":
                properties = _opened(value).items()
                written[name] = {key: self._write(_opened(v), within) for key, v in properties}
            case "items":
                written[name] = self._write(_opened(value), within)
            case "default" if self._rules.all_required:
                pass  # What must be there has none.
            case _ if name in _KEPT or self._takes(name, value):
                written[name] = value
            case "additionalProperties":
                written[name] = _FALSE  # In its place; `_close` looks at what it was.
            case _:
                return name in _IGNORED
        return True

    def _takes(self, name: str, value: Raw) -> bool:
        if name not in self._rules.bounds:
            return False
        if name == "format":
            return _text(value) in self._rules.formats
        most = self._rules.most_min_items
        return name != "minItems" or most is None or bytes(value) in _COUNTS[: most + 1]

    def _merged(self, node: dict[str, Raw]) -> dict[str, Raw]:
        """`allOf` of one is what it holds: so do schema generators write a reference with a title.

        Of several, each would be closed, and no object could be all of them.
        """
        if "allOf" not in node:
            return node
        parts = _listed(node.pop("allOf"))
        if len(parts) != 1:
            raise _UnheldError
        only = _opened(parts[0])
        if "allOf" in only or not (only.keys() & node.keys() <= _BESIDE_REFERENCE):
            raise _UnheldError
        return only | node

    def _reference(self, node: dict[str, Raw], within: tuple[str, ...]) -> Node:
        name = _text(node["$ref"])
        target = self._target(name)
        if not self._rules.recursion and self._comes_back(target, (*within, name)):
            raise _UnheldError
        beside = {key: value for key, value in node.items() if key in _BESIDE_REFERENCE}
        if node.keys() - {"$ref"} - _BESIDE_REFERENCE - _IGNORED:
            raise _UnheldError
        if not beside or name in within:
            return {"$ref": node["$ref"]}
        # Nothing may stand beside a reference.
        return self._write(_opened(target) | beside, (*within, name))

    def _comes_back(self, schema: Raw, within: tuple[str, ...]) -> bool:
        """Whether what a reference leads to leads back."""
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise _UnheldError
        for reference in _references(schema):
            if reference in within:
                return True
            if self._comes_back(self._target(reference), (*within, reference)):
                return True
        return False

    def _target(self, name: str) -> Raw:
        """What a reference inside this document points to (RFC 6901)."""
        if not name.startswith("#"):
            raise _UnheldError
        found = self._root
        for step in filter(None, name[1:].split("/")):
            key = step.replace("~1", "/").replace("~0", "~")
            value = _opened(found).get(key)
            if value is None:
                raise _UnheldError
            found = value
        return found

    def _type(self, node: Mapping[str, Raw], written: Node) -> None:
        if "type" not in written and "anyOf" not in written:
            if "properties" in written:
                written["type"] = Raw(b'"object"')
            elif "items" in written:
                written["type"] = Raw(b'"array"')
            elif values := [*_listed(node.get("enum", Raw(b"[]"))), *_constant(node)]:
                kinds = list(dict.fromkeys(_kind(value) for value in values))
                written["type"] = raw(kinds[0] if len(kinds) == 1 else kinds)
            else:
                raise _UnheldError  # Anything goes.
        if bytes(node.get("nullable", b"")) == b"true" and "type" in written:
            # OpenAPI's word, which says nothing in JSON Schema.
            kinds = _types(written)
            if "null" not in kinds:
                written["type"] = raw([*kinds, "null"])

    def _close(self, node: Mapping[str, Raw], written: Node) -> None:
        more = bytes(node.get("additionalProperties", b""))
        if more not in (b"", b"false") or ("properties" not in written and more != b"false"):
            raise _UnheldError  # A map, or any object at all.
        written.setdefault("properties", {})
        properties: Node = written["properties"]
        named = _listed(written.get("required", Raw(b"[]")))
        required = list(dict.fromkeys(_text(name) for name in named))
        if not properties.keys() >= set(required):
            raise _UnheldError
        optional = [name for name in properties if name not in required]
        if not self._rules.all_required:
            self._optional += len(optional)
        else:
            if not all(self._may_be_null(properties[name], 0) for name in optional):
                raise _UnheldError  # It would have to be there, and hold what it never held.
            if optional or "required" not in written:
                written["required"] = raw([*required, *optional])
        written["additionalProperties"] = _FALSE

    def _may_be_null(self, node: Node, depth: int) -> bool:
        if (reference := node.get("$ref")) is not None:
            target = self._target(_text(reference))
            return depth < DEEPEST and self._may_be_null(dict(_opened(target)), depth + 1)
        if "enum" in node and b"null" not in map(bytes, _listed(raw(node["enum"]))):
            return False
        if "const" in node and bytes(node["const"]) != b"null":
            return False
        kinds = _types(node)
        if kinds:
            return "null" in kinds
        choices = node.get("anyOf", [])
        opened = choices if isinstance(choices, list) else map(_opened, _listed(choices))
        return any(self._may_be_null(dict(choice), depth + 1) for choice in opened)

    def _note(self, written: Node, left: Mapping[str, Raw]) -> None:
        if not left:
            return
        self.moved.update(dict.fromkeys(left))
        said = ", ".join(f"{name}: {bytes(value).decode()}" for name, value in left.items())
        before = _text(written["description"]) if "description" in written else ""
        written["description"] = raw(f"{before}\n\n{{{said}}}".strip())


_COUNTS: Final = (b"0", b"1")
_KINDS: Final = {ord('"'): "string", ord("t"): "boolean", ord("f"): "boolean", ord("n"): "null"}


def _kind(value: Raw) -> str:
    first = bytes(value).lstrip()[0]
    if first in b"{[":
        raise _UnheldError
    return _KINDS.get(first, "number")


def _constant(node: Mapping[str, Raw]) -> Iterable[Raw]:
    return [node["const"]] if "const" in node else []


def _types(node: Node) -> list[str]:
    kind = node.get("type")
    if kind is None:
        return []
    if bytes(kind).startswith(b"["):
        return [_text(name) for name in _listed(kind)]
    return [_text(kind)]


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _references(schema: Raw) -> list[str]:
    found: list[str] = []
    _find(msgspec.json.decode(schema), found)
    return found


def _find(value: Any, found: list[str]) -> None:
    match value:
        case {"$ref": str(name)}:
            found.append(name)
        case dict():
            for inner in value.values():
                _find(inner, found)
        case list():
            for inner in value:
                _find(inner, found)
