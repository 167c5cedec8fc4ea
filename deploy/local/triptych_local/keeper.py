"""Keeps one service running until it is told to stop."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from triptych_local.backoff import Backoff
from triptych_local.console import Console
from triptych_local.process import Child, ending
from triptych_local.service import Service
from triptych_servicekit.settings import SettingsError

# The exit code of a service whose settings cannot be used: starting it again would not help.
UNUSABLE_SETTINGS: Final = 2


class Keeper:
    """Starts a service, starts it again when it dies, and stops it.

    `changed` is called whenever `pid` or `restarts` has changed.
    """

    def __init__(self, service: Service, console: Console, changed: Callable[[], None]) -> None:
        self.service = service
        self.restarts = 0
        self._console = console
        self._changed = changed
        self._backoff = Backoff()
        self._child: Child | None = None
        self._retired = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Process id; None while the service is down."""
        return self._child.pid if self._child else None

    async def keep(self) -> None:
        """Run until retired. Raises SettingsError where the first run ends on its settings."""
        try:
            while not self._retired.is_set():
                await self._run()
        finally:
            self._ended.set()

    def retire(self) -> None:
        """Do not start the service again."""
        self._retired.set()

    def kill(self) -> None:
        """End the service at once."""
        if self._child:
            self._child.kill()

    async def stop(self, grace: float) -> None:
        """Ask the service to stop, and end it where it has not done so within `grace` seconds."""
        self.retire()
        if self._child:
            self._child.terminate()
        try:
            await asyncio.wait_for(self._ended.wait(), grace)
        except TimeoutError:
            self._console.note(f"{self.service.name} did not stop within {grace:g} s: killed")
            self.kill()
            await self._ended.wait()

    async def _run(self) -> None:
        child = await Child.spawn(self.service, self._console)
        if self._retired.is_set():
            child.terminate()
        self._child = child
        self._changed()
        code = await child.wait()
        self._child = None
        self._changed()
        if not self._retired.is_set():
            await self._recover(code, child.uptime)

    async def _recover(self, code: int, uptime: float) -> None:
        name = self.service.name
        if code == UNUSABLE_SETTINGS and self.restarts == 0:
            raise SettingsError(f"{name} {ending(code)}: its settings cannot be used, see above")
        delay = self._backoff.delay(uptime)
        self._console.note(f"{name} {ending(code)}: starting it again in {delay:g} s")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._retired.wait(), delay)
        self.restarts += 1
