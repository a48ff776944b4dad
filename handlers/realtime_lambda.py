"""The Lambda entries of realtime sessions: `connect` for API Gateway, `session` for each session.

One event loop lives as long as the process, and with it the connections. A session is the only
thing that its process does, for up to 15 minutes; connecting takes a moment.
"""

import asyncio
import os
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from core.relay import handed
from handlers import realtime_connect, realtime_session, wiring
from handlers.realtime_session import Gateway, Times

if TYPE_CHECKING:
    from handlers.app import App

T = TypeVar("T")

SOFT_S: Final = 90.0
"""Before the process is stopped: from then on a session goes over at the first quiet moment."""
HARD_S: Final = 30.0


class Process:
    """Made with the first event: nothing is opened before a snapshot is taken."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app: App | None = None
        self._gateway: Gateway | None = None

    def connect(self, event: dict[str, Any], _context: Any) -> dict[str, Any]:
        """$connect, a process that ended; the other two events, where the template says so."""
        return self._run(realtime_connect.answer(self._made(), event))

    def session(self, event: dict[str, Any], context: Any) -> None:
        """Invoked without anybody waiting. What it raises goes to `connect`, which tells it."""
        gateway = self._made()
        left = context.get_remaining_time_in_millis() / 1000
        ends = gateway.clock.now() + left
        times = Times(soft=ends - min(SOFT_S, left / 2), hard=ends - min(HARD_S, left / 4))
        self._run(realtime_session.serve(gateway, handed.read_start(event), times))

    def stop(self) -> None:
        if self._app is not None and self._gateway is not None:
            self._run(self._app.shutdown())
            self._run(self._gateway.close())
        if self._loop is not None:
            self._loop.close()
        self._loop = self._app = self._gateway = None

    def _made(self) -> Gateway:
        if self._gateway is None:
            self._app = wiring.build(self._environment)
            self._gateway = wiring.gateway(self._app.services, self._environment)
        return self._gateway

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(work)


_process: Final = Process(os.environ)
connect: Final = _process.connect
session: Final = _process.session
