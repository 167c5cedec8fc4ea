"""A peer with the best of its settings, ready to be started at any of its precisions."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.closed_loop import LoadError
from benchmarks.peers.in_process import encoding
from benchmarks.peers.known import IN_PROCESS, IN_PROCESS_LAYOUTS, PEERS, TORCH_TYPES
from benchmarks.peers.peer import ENVIRONMENTS, Peer, Setting
from benchmarks.peers.serving import serving
from benchmarks.peers.tuning import Best, Tuning
from benchmarks.system import System
from benchmarks.texts import KINDS, Source

GUESS: Final[dict[str, float]] = {"short": 12_000.0, "mixed": 4_000.0, "long": 4_000.0}
"""Tokens a second of a peer of which nothing is known yet."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Its settings at their best, by what they are best for, and its start at a precision."""

    precisions: Sequence[str]
    best: Sequence[Best]
    start: Callable[[Best, str], AbstractContextManager[System]]


def chosen(name: str, model: Path, source: Source, tuning: Tuning) -> Chosen:
    """Tune a peer in fp32. Raises LoadError where it is not installed, or nothing works."""
    if not (ENVIRONMENTS / _environment(name) / "bin" / "python").exists():
        raise LoadError("its environment is not installed")
    if name == IN_PROCESS:
        return _in_process(model, source, tuning)
    return _served(next(peer for peer in PEERS if peer.name == name), model, source, tuning)


def _environment(name: str) -> str:
    return {peer.name: peer.environment for peer in PEERS}.get(name, name)


def _in_process(model: Path, source: Source, tuning: Tuning) -> Chosen:
    def start(best: Best, precision: str) -> AbstractContextManager[System]:
        return encoding(best.setting, best.kinds, precision, model, source)

    best = tuning.best(
        IN_PROCESS, IN_PROCESS_LAYOUTS, lambda setting: start(_guess(setting), "fp32")
    )
    return Chosen(tuple(TORCH_TYPES), best, start)


def _served(peer: Peer, model: Path, source: Source, tuning: Tuning) -> Chosen:
    def start(best: Best, precision: str) -> AbstractContextManager[System]:
        return serving(peer, best, precision, model, source)

    best = tuning.best(peer.name, peer.layouts, lambda setting: start(_guess(setting), "fp32"))
    return Chosen(peer.precisions, best, start)


def _guess(setting: Setting) -> Best:
    return Best(setting, KINDS, GUESS)
