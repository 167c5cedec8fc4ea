"""Runs services side by side, from the first start to the ordered stop."""

import asyncio
import os
import signal
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from triptych_local.console import Console
from triptych_local.keeper import UNUSABLE_SETTINGS, Keeper
from triptych_local.readiness import wait_ready
from triptych_local.service import Service
from triptych_local.state import ServiceState, State
from triptych_servicekit.settings import SettingsError

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. Services start together and stop one after the other, in this order."""

    services: Sequence[Service]
    welcome: str = ""
    state_file: Path | None = None
    ready_timeout: float = 120.0
    grace: float = 25.0


class Supervisor:
    """Keeps the services of a plan running until `stop`."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self._plan = plan
        self._console = console
        self._keepers = [Keeper(service, console, self._record) for service in plan.services]
        self._ready = False
        self._verdict: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> int:
        """Run everything; returns the exit code once all services have ended."""
        for keeper in self._keepers:
            self._spawn(keeper.keep())
        self._spawn(self._welcome())
        code = await self._verdict
        await self._stop_in_order()
        self._forget()
        return code

    def stop(self) -> None:
        """Stop in order; asked a second time, at once."""
        if self._verdict.done():
            for keeper in self._keepers:
                keeper.kill()
        self._decide(0)

    def listen_to_signals(self) -> None:
        """Let Ctrl-C, SIGTERM and a closed terminal stop the run."""
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self.stop)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._judge)
        self._tasks.append(task)

    def _judge(self, task: asyncio.Task[None]) -> None:
        """A task that failed ends the run."""
        if task.cancelled() or (failure := task.exception()) is None:
            return
        self._console.note(f"error: {failure}")
        self._decide(UNUSABLE_SETTINGS if isinstance(failure, SettingsError) else 1)

    def _decide(self, code: int) -> None:
        for keeper in self._keepers:
            keeper.retire()
        if not self._verdict.done():
            self._verdict.set_result(code)

    async def _welcome(self) -> None:
        await wait_ready(self._plan.services, self._plan.ready_timeout, self._console.note)
        self._ready = True
        self._record()
        self._console.announce(self._plan.welcome)

    async def _stop_in_order(self) -> None:
        self._console.note("stopping")
        for keeper in self._keepers:
            await keeper.stop(self._plan.grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._console.note("stopped")

    def _record(self) -> None:
        if self._plan.state_file:
            services = {keeper.service.name: _state(keeper) for keeper in self._keepers}
            State(os.getpid(), self._ready, services).write(self._plan.state_file)

    def _forget(self) -> None:
        if self._plan.state_file:
            self._plan.state_file.unlink(missing_ok=True)


def _state(keeper: Keeper) -> ServiceState:
    ports = {port.kind: port.number for port in keeper.service.ports}
    return ServiceState(keeper.pid, keeper.restarts, ports)
