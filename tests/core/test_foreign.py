"""Foreign thoughts in the pass lane: what goes, what stays, and which bytes nobody touches."""

from base64 import b64encode
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace

from core import foreign, plan
from core.envelope import split
from core.orgs import Endpoint, Timeouts
from core.routes import DialectName, Route
from core.routing import Candidate, candidate
from core.signatures import into_id, of_google
from providers.catalog import PROVIDERS
from providers.models import lookup

GOOGLES = of_google("CpYB+/9Zq==")
OPENAIS = "cutwaterThought1WyJyc18xIl0="
TAILED = into_id("call_7", "CpYB+/9Zq==")
SHOWN = b64encode(b"cutwater:signature:ErUB").decode()
NOBODYS = b64encode(b"cutwater:unsigned").decode()

Case = tuple[DialectName, str, str]
"""Client's dialect, type of the endpoint, model."""
CHAT: Case = ("openai_chat", "openrouter", "gpt-4o")
RESPONSES: Case = ("openai_responses", "openai", "gpt-5")
CLAUDE: Case = ("anthropic", "anthropic", "claude-sonnet-4-5")
BEDROCK: Case = ("converse", "bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0")
GOOGLE: Case = ("gemini", "google", "gemini-3-pro-preview")
ROOM: dict[DialectName, str] = {
    "openai_chat": "messages",
    "openai_responses": "input",
    "anthropic": "messages",
    "converse": "messages",
    "gemini": "contents",
}


def endpoint_of(case: Case) -> Candidate:
    dialect, kind, model = case
    endpoint = Endpoint(type=kind)
    found = candidate(endpoint, lookup(model), PROVIDERS)
    return replace(found, spoken=(dialect,), dialect=dialect)


def cleaned(case: Case, *turns: Any, **fields: Any) -> foreign.Cleaned:
    body = msgspec.json.encode({ROOM[case[0]]: turns, **fields})
    return foreign.without(split(body), body, endpoint_of(case), case[0])


def turns_of(case: Case, found: foreign.Cleaned) -> Any:
    return msgspec.json.decode(found.fields[ROOM[case[0]]])


def says(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def thinks(signature: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": "hm", "signature": signature}


def reasons(**thought: str) -> dict[str, Any]:
    return {"reasoningContent": {"reasoningText": {"text": "hm", **thought}}}


def model(*parts: Any) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
OWN = thinks("ErUBCkYIBhgC")
TEXT = {"type": "text", "text": "hi"}
THOUGHT = {"text": "hm", "thought": True}
GOOGLE_CALL = {"functionCall": {"name": "f", "args": {}}}


@pytest.mark.parametrize(
    ("case", "given", "left", "named"),
    [
        pytest.param(
            CHAT,
            {"role": "assistant", "content": "a", "reasoning": [{"id": GOOGLES, "content": "hm"}]},
            {"role": "assistant", "content": "a"},
            True,
            id="a list of thoughts",
        ),
        pytest.param(
            CHAT,
            {"role": "assistant", "content": "a", "reasoning": {"index": 0, "content": "hm"}},
            {"role": "assistant", "content": "a"},
            True,
            id="a thought of our stream",
        ),
        pytest.param(
            CHAT,
            {"role": "assistant", "content": "a", "reasoning": []},
            {"role": "assistant", "content": "a"},
            False,
            id="an empty list",
        ),
        pytest.param(
            CHAT,
            {"role": "assistant", "tool_calls": [{"id": TAILED, "n": 1.50}, {"id": "c2"}, 3]},
            {"role": "assistant", "tool_calls": [{"id": "call_7", "n": 1.50}, {"id": "c2"}, 3]},
            False,
            id="the id of a chat's call",
        ),
        pytest.param(
            CHAT,
            {"role": "tool", "tool_call_id": TAILED, "content": "r"},
            {"role": "tool", "tool_call_id": "call_7", "content": "r"},
            False,
            id="the id of a chat's result",
        ),
        pytest.param(
            RESPONSES,
            {"type": "function_call_output", "call_id": TAILED, "output": "r"},
            {"type": "function_call_output", "call_id": "call_7", "output": "r"},
            False,
            id="the id of an item",
        ),
        pytest.param(
            CLAUDE, says(thinks(GOOGLES), TEXT), says(TEXT), True, id="a thought of Google's"
        ),
        pytest.param(
            CLAUDE, says(thinks(OPENAIS), TEXT), says(TEXT), True, id="a thought of OpenAI's"
        ),
        pytest.param(CLAUDE, says(thinks(""), TEXT), says(TEXT), True, id="nobody's thought"),
        pytest.param(
            CLAUDE,
            says(OWN, {**CALL, "id": TAILED}),
            says(OWN, {**CALL, "id": "call_7"}),
            False,
            id="the id of Claude's call",
        ),
        pytest.param(
            CLAUDE,
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": TAILED}, TEXT]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_7"}, TEXT]},
            False,
            id="the id of Claude's result",
        ),
        pytest.param(
            BEDROCK,
            says(reasons(signature=GOOGLES), {"text": "hi"}),
            says({"text": "hi"}),
            True,
            id="a thought of Google's at Bedrock",
        ),
        pytest.param(
            BEDROCK,
            says(reasons(), {"text": "hi"}),
            says({"text": "hi"}),
            True,
            id="nobody's thought at Bedrock",
        ),
        pytest.param(
            BEDROCK,
            says({"toolUse": {"toolUseId": TAILED, "input": {"n": 1}}}),
            says({"toolUse": {"toolUseId": "call_7", "input": {"n": 1}}}),
            False,
            id="the id of Bedrock's call",
        ),
        pytest.param(
            GOOGLE,
            model(THOUGHT, {"text": "", "thought": True, "thoughtSignature": SHOWN}, {"text": "a"}),
            model({"text": "a"}),
            True,
            id="a streamed thought of another provider",
        ),
        pytest.param(
            GOOGLE,
            model(THOUGHT, {"text": "a"}, {**THOUGHT, "thought_signature": SHOWN}),
            model(THOUGHT, {"text": "a"}),
            True,
            id="a thought behind a text that ends another one",
        ),
        pytest.param(
            GOOGLE,
            model(
                {**GOOGLE_CALL, "thoughtSignature": NOBODYS},
                {**GOOGLE_CALL, "thoughtSignature": NOBODYS},
            ),
            model(
                {**GOOGLE_CALL, "thoughtSignature": "skip_thought_signature_validator"}, GOOGLE_CALL
            ),
            False,
            id="calls that nobody signed",
        ),
        pytest.param(
            ("gemini", "google", "gemini-2.5-flash"),
            model({**GOOGLE_CALL, "thoughtSignature": NOBODYS}),
            model(GOOGLE_CALL),
            False,
            id="a call that needs no signature",
        ),
    ],
)
def test_what_another_provider_sealed_goes(case: Case, given: Any, left: Any, named: bool):
    found = cleaned(case, given)
    assert turns_of(case, found) == [left]
    assert bool(found.dropped) is named


@pytest.mark.parametrize(
    ("case", "given"),
    [
        pytest.param(RESPONSES, {"type": "reasoning", "encrypted_content": sealed}, id=sealed)
        for sealed in ("cutwater-signed:ErUB", "cutwater-redacted:EmwK")
    ]
    + [
        pytest.param(
            RESPONSES, {"type": "reasoning", "id": "rs_cutwater_x_0", "summary": []}, id="our id"
        ),
        pytest.param(CLAUDE, says(thinks(GOOGLES)), id="an answer of thoughts alone"),
        pytest.param(GOOGLE, model({**THOUGHT, "thoughtSignature": SHOWN}), id="and to Gemini"),
    ],
)
def test_nothing_empty_stays_behind(case: Case, given: Any):
    found = cleaned(case, given)
    assert turns_of(case, found) == []
    assert found.dropped in (("input.reasoning",), ("messages.reasoning",), ("contents.reasoning",))


def test_turns_at_bedrock_still_take_turns():
    asked = [{"role": "user", "content": [{"text": text}]} for text in "ab"]
    found = cleaned(BEDROCK, asked[0], says(reasons(signature=GOOGLES)), asked[1])
    assert turns_of(BEDROCK, found) == [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]


@pytest.mark.parametrize(
    ("case", "turn"),
    [
        (CHAT, {"role": "user", "content": f'"reasoning" __thoughtsig_x {TAILED}'}),
        (CHAT, {"role": "user", "content": [{"type": "text", "text": TAILED}]}),
        (CHAT, {"role": "assistant", "content": TAILED, "reasoning": "OpenRouter's own text"}),
        (CHAT, {"role": "tool", "tool_call_id": "c", "content": TAILED}),
        (RESPONSES, {"role": "user", "content": "cutwater-signed:x"}),
        (RESPONSES, {"type": "function_call_output", "call_id": "c", "output": TAILED}),
        (RESPONSES, {"type": "reasoning", "id": "rs_68", "encrypted_content": "gAAAA"}),
        (RESPONSES, {"type": "message", "content": [{"text": "cutwater-signed:x"}]}),
        (CLAUDE, {"role": "user", "content": f'"signature":"" {TAILED}'}),
        (CLAUDE, says({"type": "text", "text": GOOGLES, "signature": GOOGLES})),
        (CLAUDE, says({**CALL, "input": {"signature": GOOGLES, "id": TAILED}})),
        (CLAUDE, {"role": "user", "content": [{"type": "tool_result", "content": TAILED}]}),
        (CLAUDE, says(OWN, {"type": "redacted_thinking", "data": GOOGLES})),
        (BEDROCK, {"role": "user", "content": [{"text": f"reasoningText {TAILED}"}]}),
        (BEDROCK, says({"toolUse": {"toolUseId": "c", "input": {"reasoningText": TAILED}}})),
        (BEDROCK, says(reasons(signature="ErUB"))),
        (GOOGLE, {"role": "user", "parts": [{"text": SHOWN}]}),
        (GOOGLE, model({"functionCall": {"name": "f", "args": {"thoughtSignature": SHOWN}}})),
        (GOOGLE, model({**GOOGLE_CALL, "thoughtSignature": "CiQB"}, {"text": SHOWN})),
    ],
)
def test_a_mark_anywhere_else_changes_nothing(case: Case, turn: Any):
    body = msgspec.json.encode({ROOM[case[0]]: [turn]})
    fields = split(body)
    found = foreign.without(fields, body, endpoint_of(case), case[0])
    assert found.fields is fields
    assert not found.dropped


@pytest.mark.parametrize("case", [CHAT, RESPONSES, CLAUDE, BEDROCK, GOOGLE], ids=lambda c: c[0])
@pytest.mark.parametrize(
    "turns",
    [b'"text"', b"[1,null]", b'[{"content":1,"parts":{}}]', b'[{"content":[1,"a"],"parts":[2]}]'],
)
def test_what_is_no_conversation_is_left_to_the_provider(case: Case, turns: bytes):
    marks = f'"reasoning" "signature" "reasoningText" "cutwater- {TAILED} {SHOWN}'
    fields = {ROOM[case[0]]: Raw(turns), "user": Raw(msgspec.json.encode(marks))}
    body = msgspec.json.encode(fields) + marks.encode()
    assert foreign.without(fields, body, endpoint_of(case), case[0]).fields is fields


def test_every_other_turn_and_number_keeps_its_bytes():
    quiet = b'{ "role":"user",  "content":[{"type":"text","text":"\\u00e9 1.50 \xc3\xa9"}]}'
    call = b'{"type":"tool_use","id":"t","name":"f","input":{ "n":1.50,"e":1e3 }}'
    thought = msgspec.json.encode(thinks(GOOGLES))
    loud = b'{"role":"assistant","content":[%b,%b]}' % (thought, call)
    body = b'{"temperature":1.0,"messages":[%b,%b]}' % (quiet, loud)
    found = foreign.without(split(body), body, endpoint_of(CLAUDE), "anthropic")
    left = b'[%b,{"role":"assistant","content":[%b]}]' % (quiet, call)
    assert bytes(found.fields["messages"]) == left
    assert bytes(found.fields["temperature"]) == b"1.0"


@pytest.mark.parametrize(
    ("blocks", "kind", "thinks_on"),
    [
        ([thinks(GOOGLES), CALL], "enabled", False),
        ([thinks(GOOGLES), TEXT], "enabled", True),
        ([OWN, thinks(GOOGLES), CALL], "enabled", True),
        ([thinks(GOOGLES), CALL], "adaptive", True),
    ],
    ids=["calls", "text", "a thought of its own", "thinking that adapts"],
)
def test_claude_is_not_told_to_think_where_it_would_refuse_to(
    blocks: list[Any], kind: str, thinks_on: bool
):
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1"}]}
    thinking = {"type": kind, "budget_tokens": 1024}
    found = cleaned(CLAUDE, says(*blocks), result, thinking=thinking)
    assert ("thinking" in found.fields) is thinks_on
    assert ("thinking" in found.dropped) is not thinks_on


@pytest.mark.parametrize("used", [True, False])
def test_nor_is_claude_at_bedrock(used: bool):
    block = {"toolUse": {"toolUseId": "c", "name": "f", "input": {}}} if used else {"text": "a"}
    more = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "top_k": 5}
    turns = (says(reasons(signature=GOOGLES), block), {"role": "user", "content": [{"text": "b"}]})
    found = cleaned(BEDROCK, *turns, additionalModelRequestFields=more)
    left = msgspec.json.decode(found.fields["additionalModelRequestFields"])
    assert left == ({"top_k": 5} if used else more)
    named = ("additionalModelRequestFields.thinking",) if used else ()
    assert found.dropped == ("messages.reasoning", *named)


def test_thoughts_that_nobody_signed_stay_with_models_that_sign_none():
    assert turns_of(CLAUDE, cleaned(("anthropic", "custom", "kimi-k2"), says(thinks("")))) == [
        says(thinks(""))
    ]
    deepseek: Case = ("converse", "bedrock", "deepseek.r1-v1:0")
    assert turns_of(deepseek, cleaned(deepseek, says(reasons()))) == [says(reasons())]


@pytest.mark.parametrize(
    ("case", "path_model", "body"),
    [
        (CHAT, None, b'{ "model":"gpt-4o", "messages":[ {"role":"user","content":"\\u00e9"} ]}'),
        (RESPONSES, None, b'{ "model":"gpt-5",  "input":"h\xc3\xa9" }'),
        (
            CLAUDE,
            None,
            b'{"model":"claude-sonnet-4-5","max_tokens":5, "messages":[{"role":"assistant",'
            b'"content":[{"type":"thinking","thinking":"x","signature":"ErUB"}]}]}',
        ),
        (BEDROCK, BEDROCK[2], b'{ "messages" :[{"role":"user", "content":[{"text":"a"}]}]}'),
        (GOOGLE, GOOGLE[2], b'{"contents":[{"parts":[{"text":"a","thoughtSignature":"Ci"}]}]}'),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_body_without_marks_is_sent_as_it_came(case: Case, path_model: str | None, body: bytes):
    route = Route(
        kind="chat",
        method="POST",
        dialect=case[0],
        model=path_model,
        stream=None if path_model is None else False,
    )
    settings = {"region": "eu-west-1", "access_key": "AKIA"} if case[1] == "bedrock" else {}
    found = endpoint_of(case)
    metadata = replace(found.endpoint.metadata, **settings)
    found = replace(found, endpoint=replace(found.endpoint, metadata=metadata, secret="s"))
    sent = plan.attempt(plan.read_chat(body, route), found, headers={}, timeouts=Timeouts())
    assert sent.lane == "pass"
    assert sent.dropped == ()
    assert sent.outgoing.body == body
