"""A platform of its own for a test or a tool: a supervisor as a child process, on free ports."""

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from triptych_local.ports import LOOPBACK
from triptych_local.service import GRPC, HTTP, OPERATIONS
from triptych_local.settings import inherited
from triptych_local.state import State

READY_TIMEOUT: Final = 150.0
STOP_TIMEOUT: Final = 120.0
INTERVAL: Final = 0.05


class SessionError(Exception):
    """The platform did not start or did not stop in order; the message ends with its log."""


@dataclass(frozen=True, slots=True)
class Session:
    """A running platform."""

    supervisor_pid: int
    state_file: Path
    log_file: Path

    @property
    def state(self) -> State:
        """Pids, restarts and ports of this moment."""
        return State.read(self.state_file)

    @property
    def http_url(self) -> str:
        """The gateway's HTTP address."""
        return f"http://{LOOPBACK}:{self._port('gateway', HTTP)}"

    @property
    def log(self) -> str:
        """What the supervisor has printed so far."""
        return self.log_file.read_text(errors="replace")

    def grpc_address(self, service: str) -> str:
        """`host:port` of a service's gRPC listener."""
        return f"{LOOPBACK}:{self._port(service, GRPC)}"

    def operations_url(self, service: str) -> str:
        """Address of a service's /livez, /readyz and /metrics."""
        return f"http://{LOOPBACK}:{self._port(service, OPERATIONS)}"

    def pid(self, service: str) -> int:
        """Process id of a service. Raises SessionError while it is down."""
        pid = self.state.services[service].pid
        if pid is None:
            raise SessionError(f"{service} is down\n{self.log}")
        return pid

    def _port(self, service: str, kind: str) -> int:
        return self.state.services[service].ports[kind]


@contextlib.contextmanager
def running(repository: Path, environment: Mapping[str, str] | None = None) -> Iterator[Session]:
    """A ready platform that serves `repository`, stopped in order at the end of the block.

    `environment` is added to this process's own. Raises SessionError where the platform does not
    become ready, or does not stop with exit code 0.
    """
    with tempfile.TemporaryDirectory(prefix="triptych-") as folder:
        state_file, log_file = Path(folder, "state.json"), Path(folder, "log.txt")
        process = _start(repository, state_file, log_file, {**inherited(), **(environment or {})})
        session = Session(process.pid, state_file, log_file)
        try:
            _wait_ready(process, session)
            yield session
        finally:
            code = _stop(process)
        if code != 0:
            raise SessionError(f"the supervisor ended with {code}\n{session.log}")


def _start(
    repository: Path, state_file: Path, log_file: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "triptych_local", "--ports", "auto"]
    command += ["--repository", str(repository), "--state-file", str(state_file)]
    with log_file.open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603


def _wait_ready(process: subprocess.Popen[bytes], session: Session) -> None:
    deadline = time.monotonic() + READY_TIMEOUT
    while not (session.state_file.exists() and session.state.ready):
        if process.poll() is not None or time.monotonic() > deadline:
            raise SessionError(f"the platform did not become ready\n{session.log}")
        time.sleep(INTERVAL)


def _stop(process: subprocess.Popen[bytes]) -> int:
    """Exit code after SIGTERM, or after SIGKILL where that was not enough."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
