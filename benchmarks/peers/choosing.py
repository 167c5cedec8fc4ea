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
from benchmarks.peers.tuning import Trial, Tuning
from benchmarks.system import System
from benchmarks.texts import Source

GUESS: Final = {"short": 12_000.0, "mixed": 4_000.0, "long": 4_000.0}
"""Tokens a second of a peer of which nothing is known yet."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What `Tuning` found of it, and its start at a precision."""

    precisions: Sequence[str]
    best: Trial
    start: Callable[[str], AbstractContextManager[System]]


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
    def start(setting: Setting) -> AbstractContextManager[System]:
        return encoding(setting, "fp32", model, source)

    best = tuning.best(IN_PROCESS, IN_PROCESS_LAYOUTS, start)
    return Chosen(
        tuple(TORCH_TYPES), best, lambda precision: encoding(best.setting, precision, model, source)
    )


def _served(peer: Peer, model: Path, source: Source, tuning: Tuning) -> Chosen:
    def start(setting: Setting) -> AbstractContextManager[System]:
        return serving(peer, setting, "fp32", model, source, GUESS)

    best = tuning.best(peer.name, peer.layouts, start)
    rates = {**best.rates, "long": best.rates["mixed"]}
    return Chosen(
        peer.precisions,
        best,
        lambda precision: serving(peer, best.setting, precision, model, source, rates),
    )
