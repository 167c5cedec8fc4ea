"""The supervisor as a process: its signals, its death, its command line."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from triptych_local.session import INTERVAL
from triptych_local.settings import inherited
from triptych_local.state import State

PATIENCE = 20.0
SLEEP = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
SAYS_GOODBYE = """
import signal, sys, time
def leave(number, frame):
    print("goodbye", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print("up", flush=True)
time.sleep(600)
"""
# The command line: the state file and the services, a JSON list of [name, program].
SUPERVISOR = """
import asyncio, json, sys
from pathlib import Path
from triptych_local.console import Console
from triptych_local.service import Service
from triptych_local.supervisor import Plan, Supervisor
async def run():
    services = [Service(n, (sys.executable, "-c", p)) for n, p in json.loads(sys.argv[2])]
    supervisor = Supervisor(Plan(services, "welcome", Path(sys.argv[1])), Console(sys.stdout, []))
    supervisor.listen_to_signals()
    return await supervisor.run()
sys.exit(asyncio.run(run()))
"""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what happens is in other processes
            await asyncio.sleep(INTERVAL)


class Process:
    """A supervisor in a process of its own."""

    def __init__(self, folder: Path, **programs: str) -> None:
        self.path = folder / "state.json"
        arguments = [str(self.path), json.dumps(list(programs.items()))]
        self.log = (folder / "log.txt").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, *arguments], stdout=self.log, start_new_session=True
        )

    async def pids(self) -> list[int]:
        """Pids of the services, once all of them run."""
        await until(lambda: self.path.exists() and State.read(self.path).ready)
        await until(lambda: all(item.pid for item in State.read(self.path).services.values()))
        return [item.pid for item in State.read(self.path).services.values() if item.pid]

    async def ended(self) -> int:
        await until(lambda: self.process.poll() is not None)
        return self.process.returncode


@contextmanager
def process(folder: Path, **programs: str) -> Iterator[Process]:
    started = Process(folder, **programs)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()
        started.log.close()


def gone(pid: int) -> bool:
    """Whether the process has ended, be it only as a zombie that nobody has asked about."""
    command = ("ps", "-o", "stat=", "-p", str(pid))
    state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return state == "" or state.startswith("Z")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_stops_everything_with_exit_code_0(tmp_path: Path, number: int) -> None:
    with process(tmp_path, encoder=SAYS_GOODBYE, gateway=SAYS_GOODBYE) as started:
        pids = await started.pids()
        started.process.send_signal(number)
        assert await started.ended() == 0
        assert all(gone(pid) for pid in pids)


async def test_ctrl_c_in_the_terminal_reaches_only_the_supervisor(tmp_path: Path) -> None:
    with process(tmp_path, encoder=SAYS_GOODBYE) as started:
        await started.pids()
        await until(lambda: "up" in (tmp_path / "log.txt").read_text())
        # A terminal signals the whole group in its foreground.
        os.killpg(started.process.pid, signal.SIGINT)
        assert await started.ended() == 0
    assert "goodbye" in (tmp_path / "log.txt").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="the tie to the parent is Linux's own")
async def test_no_service_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with process(tmp_path, encoder=SLEEP, gateway=DEAF) as started:
        pids = await started.pids()
        started.process.kill()
        await started.ended()
        await until(lambda: all(gone(pid) for pid in pids))


async def test_a_busy_port_is_an_error_before_anything_starts() -> None:
    holder = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    busy = holder.sockets[0].getsockname()[1]
    environment = {**inherited(), "TRIPTYCH_LOCAL_GATEWAY_PORT": str(busy)}
    async with holder:
        supervisor = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "triptych_local"),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(supervisor.communicate(), PATIENCE)
    assert supervisor.returncode == 2
    assert output == b""
    assert f"port {busy} (gateway, grpc) is in use" in errors.decode()
    assert "TRIPTYCH_LOCAL_GATEWAY_PORT" in errors.decode()
