"""Each peer at its best: what was tried, and what won. Tried once, then read from a file."""

import json
import math
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

ROWS: Final = rows("short-1x64", "mixed-1x64")
"""A setting's score is the geometric mean of its tokens a second in these."""
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
    def score(self) -> float:
        """Geometric mean of the rates: no kind of text counts more than another."""
        return math.prod(self.rates.values()) ** (1 / len(self.rates)) if self.rates else 0.0


@dataclass(slots=True)
class Tuning:
    """Trials by peer, kept in a file."""

    path: Path
    trials: dict[str, list[Trial]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.exists():
            known = json.loads(self.path.read_text())
            self.trials = {name: [_trial(item) for item in items] for name, items in known.items()}

    def best(self, name: str, layouts: Sequence[tuple[int, int]], start: Start) -> Trial:
        """The best trial of a peer. Raises LoadError where no setting works.

        Batch sizes are tried with the first layout of threads, other layouts with the best of them.
        """
        if name not in self.trials:
            (workers, threads), *others = layouts
            tried = [_try(name, Setting(size, workers, threads), start) for size in BATCH_SIZES]
            size = max(tried, key=_score).setting.batch_size
            tried += [_try(name, Setting(size, *layout), start) for layout in others]
            self.trials[name] = tried
            self._write()
        found = max(self.trials[name], key=_score)
        if not found.rates:
            raise LoadError("no setting of it works")
        return found

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        document = {name: list(map(asdict, items)) for name, items in self.trials.items()}
        self.path.write_text(json.dumps(document, indent=1) + "\n")


def _score(trial: Trial) -> float:
    return trial.score


def _trial(item: dict[str, dict[str, float]]) -> Trial:
    setting = {name: int(value) for name, value in item["setting"].items()}
    return Trial(Setting(**setting), item["rates"])


def _try(name: str, setting: Setting, start: Start) -> Trial:
    try:
        with start(setting) as system:
            cells = {row.kind: system.measure(row, 0, SECONDS) for row in ROWS}
    except LoadError as error:
        say(f"{name}, {setting}: {error}")
        return Trial(setting, {})
    trial = Trial(setting, {kind: cell.tokens_per_second for kind, cell in cells.items()})
    say(f"{name}, {setting}: {trial.score:.0f} tokens/s")
    return trial
