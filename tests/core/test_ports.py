"""What crosses the ports."""

from core.ports import Outgoing


def test_a_request_to_a_provider_shows_neither_key_nor_query_nor_body():
    outgoing = Outgoing(
        method="POST",
        url="https://x.test/v1?key=sk-sentinel",
        headers={"authorization": "Bearer sk-sentinel"},
        body=b"sk-sentinel",
        connect_s=1,
        first_byte_s=1,
        idle_s=1,
        total_s=1,
    )
    assert repr(outgoing) == "<Outgoing POST https://x.test/v1>"
