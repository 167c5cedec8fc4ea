"""A peer: how it is started, and what can be set."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.processes import send, tree

ROOT: Final = Path(__file__).parents[2]
ENVIRONMENTS: Final = ROOT / ".cache" / "bench"
PROGRAMS: Final = Path(__file__).with_name("programs")
BATCH_SIZES: Final = (4, 8, 16, 32)
STOP_TIMEOUT: Final = 5.0
"""Seconds to end in order; then it is killed."""
OFFLINE: Final = {
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "HF_HOME": str(ENVIRONMENTS / "hub"),
}
"""Of every peer: nothing is fetched, nothing reported, tokenizing takes the cores there are."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is tuned."""

    batch_size: int
    workers: int
    threads: int

    def __str__(self) -> str:
        return f"batch size {self.batch_size}, {self.workers}x{self.threads} threads"


@dataclass(frozen=True, slots=True)
class Launch:
    """A command in a folder; its environment is added to ours."""

    command: Sequence[str]
    folder: Path = ROOT
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer that serves HTTP at /v1/embeddings, and counts characters as tokens in its usage."""

    name: str
    environment: str
    """Folder of its environment under ENVIRONMENTS; requirements of the same name."""
    precisions: Sequence[str]
    layouts: Sequence[tuple[int, int]]
    """Workers and threads of each that are worth a try."""
    launch: Callable[[Setting, str, int, Path], Launch]
    """Of a setting, a precision, a port and the model's folder."""


def executable(environment: str, name: str) -> str:
    """A program of an environment."""
    return str(ENVIRONMENTS / environment / "bin" / name)


@contextmanager
def started(launch: Launch, log: Path, **pipes: int) -> Iterator[subprocess.Popen[str]]:
    """The program as a child process, ended with all its descendants at the end of the block."""
    environment = {**os.environ, **OFFLINE, **launch.environment}
    with log.open("w") as output:
        process = subprocess.Popen(
            launch.command,
            cwd=launch.folder,
            env=environment,
            stdout=pipes.get("stdout", output),
            stdin=pipes.get("stdin", subprocess.DEVNULL),
            stderr=output,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    pids = tree(process.pid)
    for number in (signal.SIGCONT, signal.SIGTERM):
        send(process.pid, number)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT)
    deadline = time.monotonic() + STOP_TIMEOUT
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        _kill(pids)
        process.poll()
        time.sleep(0.05)


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
