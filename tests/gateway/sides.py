"""Support for the tests of API Gateway's driver: a deployment over fakes behind the emulator."""

import asyncio
from typing import Any

import msgspec

from handlers.realtime_session import LIMITS, Gateway
from infra.clock import SystemClock
from tests.fakes import FakeLog, application
from tests.gateway.emulator import Api, Faults, MemoryMailbox
from tests.handlers.realtime_sides import CREATED, FakeSocket, FakeSockets


def said(**fields: Any) -> str:
    return msgspec.json.encode(fields).decode()


class Model(FakeSocket):
    """A provider that answers: what it is told is acknowledged, a response says what it heard."""

    def __init__(self, *, number: int = 0, holds: asyncio.Event | None = None) -> None:
        super().__init__(CREATED)
        self.number = number
        self.holds = holds
        """A response that has begun waits for it."""
        self.responses = 0
        self.items: list[Any] = []
        self.sound = 0
        self._speaking: set[asyncio.Task[None]] = set()

    async def send(self, frame: str | bytes) -> None:
        await super().send(frame)
        event = msgspec.json.decode(frame)
        match event["type"]:
            case "session.update":
                self.say(said(type="session.updated", session=event["session"]))
            case "conversation.item.create":
                item = {"id": f"item_{self.number}_{len(self.items)}", **event["item"]}
                self.items.append(item)
                self.say(said(type="conversation.item.added", item=item))
                self.say(said(type="conversation.item.done", item=item))
            case "input_audio_buffer.append":
                self.sound += 1
            case "input_audio_buffer.commit":
                self.say(said(type="input_audio_buffer.committed", item_id="a"))
                self.sound = 0
            case "response.create":
                task = asyncio.ensure_future(self._answer())
                self._speaking.add(task)
                task.add_done_callback(self._speaking.discard)

    async def _answer(self) -> None:
        self.responses += 1
        name = f"resp_{self.number}_{self.responses}"
        self.say(said(type="response.created", response={"id": name}))
        for word in ("I ", "heard ", f"{len(self.items)}"):
            self.say(
                said(type="response.output_text.delta", response_id=name, item_id=name, delta=word)
            )
            await asyncio.sleep(0)
        if self.holds is not None:
            await self.holds.wait()
        usage = {"input_tokens": 3, "output_tokens": 2}
        done = {"id": name, "status": "completed", "usage": usage}
        self.say(said(type="response.done", response=done))


def deployment(
    *sockets: Any, faults: Faults | None = None, limits: dict[str, Any] | None = None, **times: Any
) -> tuple[Api, FakeLog, FakeSockets]:
    """`times`: of the emulator's processes, and of the lease."""
    provider = FakeSockets(*sockets)
    clock = SystemClock()
    lease = {name: times.pop(name) for name in ("lease_s", "renewed_s") if name in times}
    organisations = times.pop("organisations", ())
    app, log = application(None, *organisations, sockets=provider, clock=clock)

    def make(api: Api, mailbox: MemoryMailbox) -> Gateway:
        return Gateway(
            services=app.services,
            mailbox=mailbox,
            connections=api,
            invoke=api,
            limits=msgspec.structs.replace(LIMITS, **(limits or {})),
            **lease,
        )

    return Api(make, faults, **times), log, provider
