"""Support for the tests of keys and credentials: a table, two organisations, a provider."""

import base64
from typing import Any

import msgspec

from core import keys
from core.ports import Document, StoreError
from handlers import admin_keys
from handlers.directory import Directory
from handlers.org_cache import OrgCache
from handlers.wiring import parse_org
from tests.asgi_driver import Exchange, ask
from tests.fakes import (
    FakeClock,
    FakeLog,
    FakeStore,
    FakeUpstream,
    Reply,
    anthropic_endpoint,
    application,
    openai_endpoint,
)
from tests.handlers.caches import COMPLETION, question

CHAT = "/v1/chat/completions"


class FakeSecrets:
    """core.ports.Secrets in a dict. `trouble`: the store gives no answer."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.reads: list[str] = []
        self.trouble = False

    def put(self, name: str, version: str = "1", **settings: Any) -> None:
        endpoints = settings.pop("endpoints", [openai_endpoint(), anthropic_endpoint()])
        once = {"retry": {"max_attempts": 1}}
        body = msgspec.json.encode({"name": name, "endpoints": endpoints, **once, **settings})
        self.documents[name] = Document(body, version)

    async def read(self, org: str) -> Document | None:
        self.reads.append(org)
        if self.trouble:
            raise StoreError("It sleeps.")
        return self.documents.get(org)

    async def write(self, org: str, body: bytes) -> None:
        self.documents[org] = Document(body, "written")

    async def delete(self, org: str) -> None:
        del self.documents[org]

    async def names(self) -> list[str]:
        return sorted(self.documents)

    async def close(self) -> None:
        return None


class Office:
    """One process: its table, its organisations `acme` and `globex`, and a scripted provider."""

    def __init__(self, *replies: Any, local: bool = False, **changes: Any) -> None:
        self.store, self.clock, self.log = FakeStore(), FakeClock(), FakeLog()
        self.secrets = FakeSecrets()
        self.secrets.put("acme")
        self.secrets.put("globex")
        self.upstream = FakeUpstream(*(replies or [Reply(COMPLETION) for _ in range(9)]))
        orgs = OrgCache(self.secrets, self.clock, self.log, parse_org)
        self.directory = Directory(self.clock, self.log, store=self.store, orgs=orgs, local=local)
        services = {
            "clock": self.clock,
            "log": self.log,
            "store": self.store,
            "directory": self.directory,
            **changes,
        }
        self.app, _ = application(self.upstream, **services)
        self._drawn = 0

    def random(self, size: int) -> bytes:
        self._drawn += 1
        return self._drawn.to_bytes(size, "big")

    async def key(self, *orgs: str, **said: Any) -> str:
        draft = keys.draft("ci", orgs or ("acme",), **said)
        now = int(self.clock.now())
        created = await admin_keys.create(self.store, draft, now=now, random=self.random)
        return created.key

    async def revoke(self, key: str) -> None:
        digest = keys.digest(key)
        record = keys.read_row(self.store.rows[keys.row_key_of(digest)])
        await admin_keys.revoke(self.store, digest, record, int(self.clock.now()))

    async def ask(
        self,
        key: str | None,
        path: str = CHAT,
        asked: Any = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Exchange:
        given = {} if key is None else {"authorization": f"Bearer {key}"}
        given["content-type"] = "application/json"
        if asked is None:
            asked = question() if more.get("method", "POST") == "POST" else b""
        return await ask(self.app, path, asked, headers={**given, **(headers or {})}, **more)

    async def lend(self, key: str, **granted: Any) -> str:
        lent = await self.ask(key, "/v1/credentials", granted)
        assert lent.status == 200, lent.body
        token: str = lent.json["key"]
        return token

    @property
    def sent(self) -> int:
        return len(self.upstream.sent)


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    found: dict[str, Any] = msgspec.json.decode(base64.urlsafe_b64decode(payload + "==="))
    return found


def id_of(token: str) -> str:
    found: str = claims(token)["jti"]
    return found
