"""Hedging: a second attempt beside one that is slower than it usually is.

The first token wins. It passes a gate before any of it is told, and whoever
comes to the gate after another one never gets through: the client has one
answer of one provider. The loser's call is called off.
"""

import asyncio
from collections.abc import Awaitable, Callable

from handlers.failover import Requests, Trial

Attempted = Callable[[Trial], Awaitable[bool]]


class Gate:
    """Lets one trial through."""

    def __init__(self) -> None:
        self._winner: Trial | None = None
        self.tasks: dict[Trial, asyncio.Task[bool]] = {}

    async def passed(self, trial: Trial) -> None:
        if self._winner is None:
            self._winner = trial
            for other, task in self.tasks.items():
                if other is not trial:
                    task.cancel()
        elif self._winner is not trial:
            await asyncio.Event().wait()  # Its task has been cancelled.

    def start(self, trial: Trial, attempted: Attempted) -> None:
        trial.gate = self
        self.tasks[trial] = asyncio.ensure_future(attempted(trial))


async def race(requests: Requests, first: Trial, attempted: Attempted, wait_s: float) -> bool:
    """Whether one of the two was answered. The second starts after `wait_s` without a token."""
    gate = Gate()
    gate.start(first, attempted)
    try:
        await asyncio.wait(gate.tasks.values(), timeout=wait_s)
        if not (first.is_answered or gate.tasks[first].done()):
            hedges, now = requests.exchange.services.hedges, requests.now()
            send = hedges.second(requests.org.name, requests.tries, now)
            if send is not None:
                gate.start(Trial(requests, send), attempted)
        return await _won(set(gate.tasks.values()))
    finally:
        for task in gate.tasks.values():
            task.cancel()
        await asyncio.gather(*gate.tasks.values(), return_exceptions=True)


async def _won(tasks: "set[asyncio.Task[bool]]") -> bool:
    while tasks:
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if any(not task.cancelled() and task.result() for task in done):
            return True
    return False
