"""Stand-ins for the world: a clock, a provider that notes what it is sent, a log, AWS keys."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

import msgspec
from msgspec import Struct, field

from core import orgs
from core.errors import UpstreamError
from core.ports import Incoming, Outgoing
from core.sigv4 import AwsKeys
from providers import catalog

KEY = "cw_test_0123456789abcdef0123456789abcdef"
JSON = "application/json"
NOW = 1_700_000_000.0


class Clock:
    def __init__(self, now: float = NOW) -> None:
        self.time = now

    def now(self) -> float:
        return self.time


class Reply(Struct, kw_only=True):
    """What the provider answers. `fails`: it cannot be reached."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": JSON})
    body: bytes = b"{}"
    fails: bool = False

    async def read(self) -> bytes:
        return self.body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.body


class _Sending:
    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    async def __aenter__(self) -> Incoming:
        if self._reply.fails:
            raise UpstreamError("The provider could not be reached.")
        return self._reply

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


class FakeUpstream:
    """Answers in turn; the last reply is repeated."""

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies)
        self.sent: list[Outgoing] = []

    def send(self, request: Outgoing) -> AbstractAsyncContextManager[Incoming]:
        self.sent.append(request)
        return _Sending(self._replies.pop(0) if len(self._replies) > 1 else self._replies[0])

    async def close(self) -> None:
        return None


class FakeAws:
    region: str | None = "eu-west-1"

    def __init__(self) -> None:
        self.asked = 0
        self.refused: AwsKeys | None = None

    async def keys(self, *, refused: AwsKeys | None = None) -> AwsKeys:
        self.asked += 1
        self.refused = refused
        return AwsKeys(access_key="AKIAROLE", secret_key="role-secret", session_token="role-token")


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    info = error = warning


def settings(endpoints: Sequence[Mapping[str, Any]]) -> orgs.Org:
    document = {
        "name": "acme",
        "keys": [{"name": "ci", "key": KEY}],
        "endpoints": list(endpoints),
        "retry": {"max_attempts": 1},
    }
    return orgs.parse(
        msgspec.json.encode(document),
        source="test",
        types=frozenset(catalog.PROVIDERS),
        rules=catalog.rules(),
    )
