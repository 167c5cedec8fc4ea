"""One run of a service as a child process."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final, Self

from triptych_local.console import LONGEST_LINE, Console, Lines
from triptych_local.service import Service

TETHER: Final = Path(__file__).with_name("tether.py")
# A descendant may hold the output open after the service itself is gone.
LAST_WORDS: Final = 1.0


class Child:
    """A started service. Its output goes to the console line by line."""

    def __init__(self, process: asyncio.subprocess.Process, name: str, console: Console) -> None:
        self._process = process
        self._started = time.monotonic()
        self._output = asyncio.create_task(self._pump(name, console))

    @classmethod
    async def spawn(cls, service: Service, console: Console) -> Self:
        """Start `service` in a process group of its own, out of reach of the terminal's Ctrl-C."""
        process = await asyncio.create_subprocess_exec(
            *_tethered(service.command),
            env=service.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            process_group=0,
        )
        return cls(process, service.name, console)

    @property
    def pid(self) -> int:
        """Process id of the service itself."""
        return self._process.pid

    @property
    def uptime(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._started

    async def wait(self) -> int:
        """Exit code, or minus the signal, once the process has ended and its output is shown."""
        code = await self._process.wait()
        await asyncio.wait({self._output}, timeout=LAST_WORDS)
        self._output.cancel()
        return code

    def terminate(self) -> None:
        """Ask it to stop."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def kill(self) -> None:
        """End it and whatever it started, at once."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _pump(self, name: str, console: Console) -> None:
        stream, lines = self._process.stdout, Lines()
        while stream and (data := await stream.read(LONGEST_LINE)):
            for line in lines.feed(data):
                console.line(name, line)
        for line in lines.end():
            console.line(name, line)


def ending(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exited with code {code}"
    return f"was killed by {signal.Signals(-code).name}"


def _tethered(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command, tied to the life of this process where the kernel can do it."""
    if sys.platform != "linux":
        return command
    return (sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *command)
