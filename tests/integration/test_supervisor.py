"""The supervisor over small programs of its own kind: no service is needed."""

import asyncio
import io
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from triptych_local.console import Console
from triptych_local.ports import choose
from triptych_local.service import OPERATIONS, Port, Service
from triptych_local.session import INTERVAL
from triptych_local.settings import inherited
from triptych_local.state import State
from triptych_local.supervisor import Plan, Supervisor

PATIENCE = 20.0
SLEEP = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
SAYS_GOODBYE = """
import signal, sys, time
def leave(number, frame):
    print("goodbye", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print("up", flush=True)
time.sleep(600)
"""
READY_AT_THIRD_ASKING = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += 1
        ready = Handler.asked > 2
        body = b'{"problems": []}' if ready else b'{"problems": ["still loading"]}'
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def program(name: str, code: str, *arguments: str, ports: tuple[Port, ...] = ()) -> Service:
    return Service(name, (sys.executable, "-c", code, *arguments), inherited(), ports)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what happens is in other processes
            await asyncio.sleep(INTERVAL)


class Run:
    """A supervisor in this process and what it has printed."""

    def __init__(self, plan: Plan) -> None:
        self.stream = io.StringIO()
        names = [service.name for service in plan.services]
        self.supervisor = Supervisor(plan, Console(self.stream, names))
        self.task = asyncio.create_task(self.supervisor.run())

    @property
    def lines(self) -> list[str]:
        return [" ".join(line.split()) for line in self.stream.getvalue().splitlines()]

    async def until(self, line: str) -> None:
        await until(lambda: any(line in seen for seen in self.lines))


@asynccontextmanager
async def running(*services: Service, **options: Any) -> AsyncIterator[Run]:
    run = Run(Plan(services, "welcome", **options))
    try:
        yield run
    finally:
        run.supervisor.stop()
        await asyncio.wait_for(run.task, PATIENCE)


async def test_output_comes_line_by_line_with_the_name_of_its_service() -> None:
    async with running(program("one", SAYS_GOODBYE), program("other", SAYS_GOODBYE)) as run:
        await run.until("one | up")
        await run.until("other | up")
    assert "other | goodbye" in run.lines


async def test_services_stop_one_after_the_other_and_the_run_ends_with_0() -> None:
    names = ["gateway", "tokenizer", "encoder", "postprocess"]
    async with running(*(program(name, SAYS_GOODBYE) for name in names)) as run:
        for name in names:
            await run.until(f"{name} | up")
    goodbyes = [line for line in run.lines if line.endswith("goodbye")]
    assert goodbyes == [f"{name} | goodbye" for name in names]
    assert run.lines[-1] == "triptych | stopped"
    assert run.task.result() == 0


async def test_a_service_that_dies_is_named_and_started_again_with_back_off() -> None:
    async with running(program("encoder", "raise SystemExit(7)")) as run:
        await run.until("encoder exited with code 7: starting it again in 0.2 s")
        await run.until("encoder exited with code 7: starting it again in 0.4 s")


async def test_a_service_that_is_killed_is_back_under_another_pid(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    async with running(program("encoder", SAYS_GOODBYE), state_file=path) as run:
        await run.until("encoder | up")
        before = State.read(path).services["encoder"].pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await run.until("encoder was killed by SIGKILL: starting it again in 0.2 s")
        await until(lambda: State.read(path).services["encoder"].pid not in (None, before))
        assert State.read(path).services["encoder"].restarts == 1
    assert not path.exists()


async def test_unusable_settings_at_the_first_start_end_the_run_with_2() -> None:
    other = program("gateway", SAYS_GOODBYE)
    failing = "import time; time.sleep(0.5); print('TRIPTYCH_X is wrong'); raise SystemExit(2)"
    async with running(other, program("encoder", failing)) as run:
        assert await asyncio.wait_for(run.task, PATIENCE) == 2
    assert "encoder | TRIPTYCH_X is wrong" in run.lines
    error = "triptych | error: encoder exited with code 2: its settings cannot be used, see above"
    assert error in run.lines
    assert "gateway | goodbye" in run.lines


async def test_the_welcome_waits_until_every_service_is_ready(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    (number,) = choose(1)
    ports = (Port(OPERATIONS, number, "A_PORT"),)
    service = program("encoder", READY_AT_THIRD_ASKING, str(number), ports=ports)
    async with running(service, state_file=path) as run:
        await until(path.exists)
        assert not State.read(path).ready
        await run.until("welcome")
        assert State.read(path).ready
        assert State.read(path).services["encoder"].ports == {OPERATIONS: number}
    asked = [line for line in run.lines if "GET /readyz" in line]
    assert len(asked) == 3


async def test_a_service_that_does_not_become_ready_ends_the_run_with_1() -> None:
    (number,) = choose(1)
    silent = program("encoder", SLEEP, ports=(Port(OPERATIONS, number, "A_PORT"),))
    async with running(silent, ready_timeout=0.5) as run:
        assert await asyncio.wait_for(run.task, PATIENCE) == 1
    assert any("error: not ready after 0.5 s: encoder:" in line for line in run.lines)


async def test_a_service_deaf_to_sigterm_is_killed_after_its_grace() -> None:
    deaf = program("encoder", DEAF + "print('up', flush=True); time.sleep(600)")
    async with running(deaf, grace=0.3) as run:
        await run.until("encoder | up")
    assert "triptych | encoder did not stop within 0.3 s: killed" in run.lines
    assert run.task.result() == 0


async def test_a_second_stop_hastens() -> None:
    deaf = program("encoder", DEAF + "print('up', flush=True); time.sleep(600)")
    async with running(deaf, grace=600) as run:
        await run.until("encoder | up")
        run.supervisor.stop()
        await run.until("stopping")
        assert not run.task.done()
    assert run.task.result() == 0


async def test_a_stop_while_a_service_waits_for_its_restart_is_prompt() -> None:
    async with running(program("encoder", "raise SystemExit(1)")) as run:
        await run.until("starting it again in 1.6 s")
        started = time.monotonic()
    assert time.monotonic() - started < 1
