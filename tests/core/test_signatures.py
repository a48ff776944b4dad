import re

import pytest

from core import signatures
from core.neutral import Message, Reasoning, Request, Text, ToolCall, ToolResult

SIGNED = "CiMBjz1rX25K/WbsHTRNHBXso88Ptem+wfs=="


def test_a_signature_comes_out_of_the_id_as_it_went_in():
    call_id = signatures.into_id("call_7", SIGNED)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", call_id)
    assert signatures.from_id(call_id) == ("call_7", SIGNED)


def test_an_id_without_a_signature_is_itself():
    assert signatures.into_id("call_7", None) == "call_7"
    assert signatures.from_id("call_7") == ("call_7", None)


def test_an_id_that_a_client_cut_still_names_its_call():
    call_id = signatures.into_id("call_7", SIGNED)
    cut = call_id[: call_id.index("sig_") + 5]
    assert signatures.from_id(cut) == ("call_7", None)


@pytest.mark.parametrize("signature", [None, "ErUBCkYIBhgC", "cutwaterThought1e30="])
def test_google_gets_no_signature_of_somebody_else(signature):
    assert signatures.for_google(signature) is None


def test_google_gets_its_own_signature():
    assert signatures.for_google(signatures.of_google(SIGNED)) == SIGNED


def test_other_providers_see_nothing_of_them():
    mark = signatures.of_google(SIGNED)
    call_id = signatures.into_id("call_7", SIGNED)
    own = Reasoning(text="mine", signature="ErUB")
    call = ToolCall(id=call_id, name="f", arguments="{}")
    result = ToolResult(call_id=call_id, parts=(Text("r"),))
    thoughts = (Reasoning(text="a", signature=mark), Reasoning(signature=mark), own)
    messages = (
        Message("user", (Text("hi"),)),
        Message("assistant", (*thoughts, call)),
        Message("user", (result,)),
    )
    plain = signatures.without(Request(model="m", messages=messages))
    assert plain.messages[0] is messages[0]
    assert plain.messages[1].parts == (
        Reasoning(text="a"),
        own,
        ToolCall(id="call_7", name="f", arguments="{}"),
    )
    assert plain.messages[2].parts == (ToolResult(call_id="call_7", parts=(Text("r"),)),)
