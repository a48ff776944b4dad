"""The turns of a generateContent request, read into neutral messages.

A function response names the function and often has no id: it answers the
first call of that name that has no answer yet.
"""

from typing import Final, Literal

from msgspec import Raw

from core.dialects.gemini.fields import decoded, listed, opened, standard_base64
from core.dialects.gemini.foreign import signature_of_call, unwrapped
from core.envelope import Envelope, read
from core.errors import BadRequestError
from core.neutral import Media, Message, Part, Reasoning, Role, Text, ToolCall, ToolResult

_ROLES: Final[dict[str, Role]] = {
    "": "user",
    "user": "user",
    "function": "user",
    "tool": "user",
    "model": "assistant",
}
_GOOGLES_OWN: Final = frozenset(
    {"executableCode", "codeExecutionResult", "toolCall", "toolResponse"}
)
"""What Google's own tools left in the history; no other provider knows it."""

_KINDS: Final = frozenset({"text", "inlineData", "fileData", "functionCall", "functionResponse"})
_HELD_BY_GOOGLE: Final = ("gs://", "https://generativelanguage.googleapis.com/")


class Reader:
    """Reads turns in their order; knows the calls that wait for an answer."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        """What was left out, by the client's names."""
        self._calls = 0
        self._open: list[tuple[str, str]] = []
        """(id, name) of the calls without an answer."""

    def instruction(self, value: Raw) -> list[Message]:
        if bytes(value).startswith(b'"'):
            said: str = read({"systemInstruction": value}, "systemInstruction", str, "")
            return [Message("system", (Text(said),))]
        parts = listed(opened(value, "systemInstruction").get("parts"), "systemInstruction.parts")
        texts = []
        for index, part in enumerate(parts):
            at = f"systemInstruction.parts[{index}]"
            text: str | None = read(opened(part, at), "text", str | None, None)
            if text is None:
                raise BadRequestError("A system instruction is text.", param=at)
            texts += [Text(text)] if text else []
        return [Message("system", tuple(texts))] if texts else []

    def messages(self, contents: Raw | None) -> list[Message]:
        turns: list[tuple[str, list[Part]]] = []
        for index, content in enumerate(listed(contents, "contents")):
            at = f"contents[{index}]"
            fields = opened(content, at)
            role = read(fields, "role", str, "")
            if role not in _ROLES:
                raise BadRequestError("`role` is user or model.", param=f"{at}.role")
            # What the model said in a stream comes back with one turn for each chunk.
            follows = bool(turns) and role == "model" == turns[-1][0]
            parts: list[Part] = turns[-1][1] if follows else []
            for place, part in enumerate(listed(fields.get("parts"), f"{at}.parts")):
                where = f"{at}.parts[{place}]"
                for read_part in self._part(opened(part, where), where):
                    _add(parts, read_part, join=role == "model")
            if not follows:
                turns.append((role, parts))
        return [Message(_ROLES[role], tuple(parts)) for role, parts in turns]

    def _part(self, part: Envelope, at: str) -> list[Part]:
        self.notes += [
            f"contents.{name}" for name in ("videoMetadata", "mediaResolution") if name in part
        ]
        if not part.keys().isdisjoint(_GOOGLES_OWN):
            self.notes += [f"contents.{name}" for name in part if name in _GOOGLES_OWN]
            return []
        shown = read(part, "thoughtSignature", str | None, None)
        kind = next((name for name in part if name in _KINDS), "text" if shown else "")
        match kind:
            case "text":
                return _spoken(read(part, "text", str, ""), shown, thought=_is_thought(part))
            case "functionCall":
                signature = signature_of_call(shown)
                return [self._call(opened(part[kind], at), signature, f"{at}.{kind}")]
            case "functionResponse":
                return [self._result(opened(part[kind], at), f"{at}.{kind}")]
            case "inlineData":
                return [_inline(opened(part[kind], at), f"{at}.{kind}")]
            case "fileData":
                return [_by_address(opened(part[kind], at), f"{at}.{kind}")]
            case _:
                raise BadRequestError("This part has no content that is known here.", param=at)

    def _call(self, call: Envelope, signature: str | None, at: str) -> ToolCall:
        name = read(call, "name", str, "")
        if not name:
            raise BadRequestError("A function call needs a `name`.", param=f"{at}.name")
        arguments = bytes(call.get("args", b"{}"))
        if not arguments.startswith(b"{"):
            raise BadRequestError("`args` is an object.", param=f"{at}.args")
        call_id = read(call, "id", str, "") or f"call_{self._calls}"
        self._calls += 1
        self._open.append((call_id, name))
        return ToolCall(id=call_id, name=name, arguments=arguments.decode(), signature=signature)

    def _result(self, response: Envelope, at: str) -> ToolResult:
        name = read(response, "name", str, "")
        given = read(response, "id", str, "")
        answered = next(
            (c for c in self._open if given == c[0] or (not given and name == c[1])), None
        )
        if answered is not None:
            self._open.remove(answered)
        elif not given:
            raise BadRequestError(
                f"No function call `{name[:200]}` waits for this response.", param=f"{at}.name"
            )
        value = response.get("response", Raw(b"{}"))
        text, is_error = _said(value, at)
        media = [
            _medium(opened(part, at), at) for part in listed(response.get("parts"), f"{at}.parts")
        ]
        return ToolResult(
            call_id=given or (answered or ("", ""))[0],
            parts=(Text(text), *media),
            is_error=is_error,
            name=name or None,
        )


def _add(parts: list[Part], part: Part, *, join: bool) -> None:
    """`join`: a text or a thought that was streamed comes back in pieces, the signature last."""
    match (parts[-1] if parts and join else None), part:
        case Text() as before, Text():
            parts[-1] = Text(before.text + part.text)
        case Reasoning(signature=None, redacted=None) as before, Reasoning(redacted=None):
            parts[-1] = Reasoning(text=before.text + part.text, signature=part.signature)
        case _:
            parts.append(part)


def _is_thought(part: Envelope) -> bool:
    return read(part, "thought", bool, False)


def _spoken(text: str, shown: str | None, *, thought: bool) -> list[Part]:
    if thought:
        return [unwrapped(text, shown)]
    parts: list[Part] = [Text(text)] if text else []
    # A signature of a text is a thought without words, just behind it.
    return [*parts, unwrapped("", shown)] if shown else parts


def _said(value: Raw, at: str) -> tuple[str, bool]:
    """Google's convention: the text itself under `output`, or under `error`."""
    fields: Envelope = read({at: value}, at, Envelope, {})
    if len(fields) == 1:
        (name, only), *_ = fields.items()
        if name in ("output", "result", "error") and bytes(only).startswith(b'"'):
            return read(fields, name, str, ""), name == "error"
    return bytes(value).decode(), "error" in fields and len(fields) == 1


def _medium(part: Envelope, at: str) -> Media:
    if "inlineData" in part:
        return _inline(opened(part["inlineData"], at), at)
    if "fileData" in part:
        return _by_address(opened(part["fileData"], at), at)
    raise BadRequestError("A part of a function response is inlineData or fileData.", param=at)


def kind_of(media_type: str) -> Literal["image", "document", "audio", "video"]:
    match media_type.partition("/")[0]:
        case "image":
            return "image"
        case "audio":
            return "audio"
        case "video":
            return "video"
        case _:
            return "document"


def _inline(blob: Envelope, at: str) -> Media:
    media_type, data = read(blob, "mimeType", str, ""), read(blob, "data", str, "")
    if not media_type or not data:
        raise BadRequestError("Inline data needs `mimeType` and `data`.", param=at)
    name = read(blob, "displayName", str | None, None)
    if media_type.startswith("text/"):
        try:
            text = (decoded(data) or b"\xff").decode()
        except UnicodeDecodeError as error:
            raise BadRequestError("A text file must be base64 of UTF-8.", param=at) from error
        return Media(kind="document", media_type="text/plain", data=text, name=name)
    return Media(
        kind=kind_of(media_type), media_type=media_type, data=standard_base64(data), name=name
    )


def _by_address(file: Envelope, at: str) -> Media:
    url = read(file, "fileUri", str, "")
    if not url:
        raise BadRequestError("File data needs a `fileUri`.", param=at)
    if url.startswith(_HELD_BY_GOOGLE):
        raise BadRequestError(
            "This file is held by Google and no other provider can read it: send its data.",
            param=f"{at}.fileUri",
        )
    media_type = read(file, "mimeType", str, "")
    return Media(kind=kind_of(media_type), media_type=media_type or None, url=url)
