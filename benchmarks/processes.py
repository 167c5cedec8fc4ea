"""Processor time, memory and rest of process trees, from /proc."""

import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

TICK: Final = 1 / os.sysconf("SC_CLK_TCK")
# Places in /proc/PID/stat behind the name, which may hold spaces; proc(5).
PARENT, USER, SYSTEM = 1, 11, 12


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    parents = {int(item.name): _parent(item) for item in Path("/proc").glob("[0-9]*")}
    found = [pid]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found


def _parent(process: Path) -> int:
    fields = _stat(process)
    return int(fields[PARENT]) if fields else 0


def _stat(process: Path) -> list[str]:
    with suppress(OSError):
        return (process / "stat").read_text().rpartition(")")[2].split()
    return []


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time that the processes have used so far."""
    stats = [_stat(Path("/proc", str(pid))) for pid in pids]
    return sum((int(item[USER]) + int(item[SYSTEM])) * TICK for item in stats if item)


def resident_mebibytes(pids: Iterable[int]) -> float:
    """Resident memory of the processes, shared pages counted for each."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Meter:
    """Processor time of named process trees since it was made."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._trees = {name: tree(pid) for name, pid in roots.items()}
        self._start = self._now()

    def read(self) -> dict[str, float]:
        """Seconds by name."""
        return {name: now - self._start[name] for name, now in self._now().items()}

    def _now(self) -> dict[str, float]:
        return {name: cpu_seconds(pids) for name, pids in self._trees.items()}


@contextmanager
def awake(pid: int) -> Iterator[None]:
    """Let a process tree that is stopped run for the length of the block."""
    send(pid, signal.SIGCONT)
    try:
        yield
    finally:
        send(pid, signal.SIGSTOP)


def send(pid: int, number: signal.Signals) -> None:
    """A signal to a process and all its descendants."""
    for one in tree(pid):
        with suppress(ProcessLookupError):
            os.kill(one, number)
