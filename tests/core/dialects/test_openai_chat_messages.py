"""The messages of a chat completion request, read into the neutral form."""

from base64 import b64encode
from typing import Any

import pytest

from core.neutral import Media, Message, Reasoning, Refusal, Text, ToolCall, ToolResult
from tests.core.dialects.openai_chat_requests import CACHED, EPHEMERAL, parse
from tests.core.dialects.wire import plain


def call(name: str = "f", arguments: str = "{}", id: str = "c1", **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
        **more,
    }


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param(
            [
                {"role": "system", "content": "a"},
                {"role": "developer", "content": "b"},
                {"role": "user", "content": "c", "name": "ada"},
                {"role": "system", "content": "d"},
            ],
            [
                Message("system", (Text("a"),)),
                Message("developer", (Text("b"),)),
                Message("user", (Text("c"),), "ada"),
                Message("system", (Text("d"),)),
            ],
            id="every message keeps its role and its place",
        ),
        pytest.param(
            [{"role": "user", "content": ""}, {"role": "user", "content": None}],
            [Message("user", ()), Message("user", ())],
            id="empty content is no part",
        ),
        pytest.param(
            [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "a", "cache_control": EPHEMERAL}],
                }
            ],
            [Message("user", (Text("a", CACHED),))],
            id="a part keeps its cache breakpoint",
        ),
        pytest.param(
            [{"role": "user", "content": "a", "cache_control": EPHEMERAL}],
            [Message("user", (Text("a", CACHED),))],
            id="a message's cache breakpoint is its text's",
        ),
        pytest.param(
            [
                {
                    "role": "assistant",
                    "content": "t",
                    "tool_calls": [
                        call("f", '{"a": 1.50}', "c1", cache_control=EPHEMERAL),
                        call("g", "", "c2"),
                    ],
                }
            ],
            [
                Message(
                    "assistant",
                    (
                        Text("t"),
                        ToolCall(id="c1", name="f", arguments='{"a": 1.50}', cache_control=CACHED),
                        ToolCall(id="c2", name="g", arguments=""),
                    ),
                )
            ],
            id="parallel tool calls keep their order, ids and arguments as written",
        ),
        pytest.param(
            [
                {
                    "role": "tool",
                    "tool_call_id": "c1",
                    "content": "42",
                    "name": "f",
                    "cache_control": EPHEMERAL,
                }
            ],
            [
                Message(
                    "user",
                    (
                        ToolResult(
                            call_id="c1", parts=(Text("42"),), name="f", cache_control=CACHED
                        ),
                    ),
                )
            ],
            id="a tool's message is a result within the user's turn",
        ),
        pytest.param(
            [
                {
                    "role": "tool",
                    "tool_call_id": "c1",
                    "content": [
                        {"type": "text", "text": "a"},
                        {"type": "image_url", "image_url": {"url": "https://x.test/i.png"}},
                    ],
                }
            ],
            [
                Message(
                    "user",
                    (
                        ToolResult(
                            call_id="c1",
                            parts=(Text("a"), Media(kind="image", url="https://x.test/i.png")),
                        ),
                    ),
                )
            ],
            id="a tool's result may hold an image",
        ),
        pytest.param(
            [
                {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "1"},
                {"role": "assistant", "function_call": {"name": "g", "arguments": "{}"}},
                {"role": "function", "name": "g", "content": "2"},
            ],
            [
                Message("assistant", (ToolCall(id="call_1", name="f", arguments="{}"),)),
                Message("user", (ToolResult(call_id="call_1", parts=(Text("1"),), name="f"),)),
                Message("assistant", (ToolCall(id="call_2", name="g", arguments="{}"),)),
                Message("user", (ToolResult(call_id="call_2", parts=(Text("2"),), name="g"),)),
            ],
            id="a legacy function result answers the call before it",
        ),
        pytest.param(
            [
                {
                    "role": "assistant",
                    "content": "t",
                    "reasoning": [
                        {"id": "sig", "content": "why", "index": 0},
                        {"redacted": "sealed"},
                        {"id": "", "content": None},
                    ],
                }
            ],
            [
                Message(
                    "assistant",
                    (
                        Reasoning(text="why", signature="sig"),
                        Reasoning(redacted="sealed"),
                        Reasoning(),
                        Text("t"),
                    ),
                )
            ],
            id="reasoning comes first, with its signatures and seals",
        ),
        pytest.param(
            [{"role": "assistant", "reasoning": {"id": "sig", "content": "why", "index": 0}}],
            [Message("assistant", (Reasoning(text="why", signature="sig"),))],
            id="reasoning as a stream tells it may come back as it is",
        ),
        pytest.param(
            [
                {"role": "assistant", "content": "t", "reasoning": "a"},
                {"role": "assistant", "content": "t", "reasoning_content": "b"},
                {"role": "assistant", "content": "t", "reasoning": ""},
            ],
            [
                Message("assistant", (Reasoning(text="a"), Text("t"))),
                Message("assistant", (Reasoning(text="b"), Text("t"))),
                Message("assistant", (Text("t"),)),
            ],
            id="reasoning may be plain text under either name",
        ),
        pytest.param(
            [
                {"role": "assistant", "refusal": "no"},
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "never"}]},
            ],
            [
                Message("assistant", (Refusal("no"),)),
                Message("assistant", (Refusal("never"),)),
            ],
            id="a refusal is told in a field or in a part",
        ),
    ],
)
def test_messages(messages: list[Any], expected: list[Message]):
    assert plain(parse(messages=messages).messages) == plain(expected)


def data_url(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{b64encode(content).decode()}"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        pytest.param(
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            Media(kind="image", media_type="image/png", data="AAAA"),
            id="an image in a data URL is base64 with its type",
        ),
        pytest.param(
            {"type": "image_url", "image_url": "https://x.test/i.png"},
            Media(kind="image", url="https://x.test/i.png"),
            id="an image's URL may stand without its object",
        ),
        pytest.param(
            {
                "type": "image_url",
                "image_url": {"url": "https://x.test/i.png", "detail": "low"},
                "cache_control": EPHEMERAL,
            },
            Media(kind="image", url="https://x.test/i.png", detail="low", cache_control=CACHED),
            id="an image keeps its detail and its cache breakpoint",
        ),
        pytest.param(
            {"type": "image_url", "image_url": {"url": "data:application/pdf;base64,JVBE"}},
            Media(kind="document", media_type="application/pdf", data="JVBE"),
            id="an image that is none is a document",
        ),
        pytest.param(
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE"}},
            Media(kind="document", media_type="application/pdf", data="JVBE"),
            id="a PDF stays base64",
        ),
        pytest.param(
            {"type": "file", "file": {"file_data": "JVBE", "filename": "a.pdf"}},
            Media(kind="document", media_type="application/pdf", data="JVBE", name="a.pdf"),
            id="base64 without a data URL is taken for a PDF",
        ),
        pytest.param(
            {"type": "file", "file": {"file_data": "https://x.test/a.pdf"}},
            Media(kind="document", url="https://x.test/a.pdf"),
            id="a file may be at a URL",
        ),
        *(
            pytest.param(
                {"type": "file", "file": {"file_data": data_url(kind, "ä,b".encode())}},
                Media(kind="document", media_type="text/plain", data="ä,b"),
                id=f"{kind or 'a file of no type'} is read as text",
            )
            for kind in (
                "",
                "text/csv",
                "text/plain;charset=utf-8",
                "application/json",
                "application/xml",
                "application/yaml",
                "application/x-yaml",
                "application/javascript",
            )
        ),
        pytest.param(
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            Media(kind="audio", media_type="audio/wav", data="UklG"),
            id="audio keeps its format",
        ),
    ],
)
def test_parts(part: dict[str, Any], expected: Media):
    (message,) = parse(messages=[{"role": "user", "content": [part]}]).messages
    assert plain(message.parts) == plain((expected,))
