"""Each peer at its best: what was tried, and what won. Tried once, then read from a file."""

import itertools
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.closed_loop import LoadError
from benchmarks.peers.peer import BATCH_SIZES, ENVIRONMENTS, Setting
from benchmarks.progress import say
from benchmarks.rows import rows
from benchmarks.system import System
from benchmarks.texts import KINDS

ROWS: Final = rows("short-1x64", "mixed-1x64")
"""What is best in the first serves short texts, what is best in the second all others."""
SECONDS: Final = 1.7
"""Of a trial."""

TUNED: Final = ENVIRONMENTS / "tuning.json"

Start = Callable[[Setting], AbstractContextManager[System]]


@dataclass(frozen=True, slots=True)
class Trial:
    """A setting and its tokens a second, by kind of text."""

    setting: Setting
    rates: dict[str, float]

    @property
    def said(self) -> str:
        """The rates, for people."""
        return ", ".join(f"{kind} {rate:.0f}" for kind, rate in self.rates.items())


@dataclass(frozen=True, slots=True)
class Best:
    """A setting, the kinds of text that it is best for, and its rates."""

    setting: Setting
    kinds: tuple[str, ...]
    rates: dict[str, float]


@dataclass(slots=True)
class Tuning:
    """Trials by peer, kept in a file."""

    path: Path
    trials: dict[str, list[Trial]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.exists():
            known = json.loads(self.path.read_text())
            self.trials = {name: [_read(item) for item in items] for name, items in known.items()}

    def best(self, name: str, layouts: Sequence[tuple[int, int]], start: Start) -> list[Best]:
        """The best settings of a peer, kind by kind. Raises LoadError where none works.

        Batch sizes are tried with the first layout of threads, other layouts with the best of them.
        """
        first, *others = layouts
        for size in BATCH_SIZES:
            self._try(name, Setting(size, *first), start)
        sizes = sorted({best.setting.batch_size for best in self._winners(name)})
        for layout, size in itertools.product(others, sizes):
            self._try(name, Setting(size, *layout), start)
        return self._winners(name)

    def _winners(self, name: str) -> list[Best]:
        """Of the trials so far; one for all kinds of text, or two, the first for short ones."""
        working = [trial for trial in self.trials[name] if trial.rates]
        if not working:
            raise LoadError("no setting of it works")
        short, others = (max(working, key=lambda it: it.rates[row.kind]) for row in ROWS)
        found = [(short, KINDS)] if short is others else [(short, KINDS[:1]), (others, KINDS[1:])]
        return [Best(trial.setting, kinds, _rates(trial)) for trial, kinds in found]

    def _try(self, name: str, setting: Setting, start: Start) -> None:
        tried = self.trials.setdefault(name, [])
        if setting not in {trial.setting for trial in tried}:
            tried.append(_trial(name, setting, start))
            self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        document = {name: list(map(asdict, items)) for name, items in self.trials.items()}
        self.path.write_text(json.dumps(document, indent=1) + "\n")


def _rates(trial: Trial) -> dict[str, float]:
    """Of all kinds: long texts were not tried, mixed ones are the nearest."""
    return {**trial.rates, "long": trial.rates["mixed"]}


def _read(item: dict[str, dict[str, float]]) -> Trial:
    setting = {name: int(value) for name, value in item["setting"].items()}
    return Trial(Setting(**setting), item["rates"])


def _trial(name: str, setting: Setting, start: Start) -> Trial:
    try:
        with start(setting) as system:
            cells = {row.kind: system.measure(row, 0, SECONDS) for row in ROWS}
    except LoadError as error:
        say(f"{name}, {setting}: {error}")
        return Trial(setting, {})
    trial = Trial(setting, {kind: cell.tokens_per_second for kind, cell in cells.items()})
    say(f"{name}, {setting}: {trial.said}")
    return trial
