"""Medians and ratios from cells: arithmetic only."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.cell import Cell

System = tuple[str, str]
"""Name and precision."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and its extremes over the rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Bar:
    """A demand and whether it is met."""

    what: str
    value: float
    limit: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether the value is on the right side of the limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def sign(self) -> str:
        """Of the comparison."""
        return "≥" if self.at_least else "≤"

    @property
    def verdict(self) -> str:
        """For people."""
        return "met" if self.met else "MISSED"


def of(cells: Iterable[Cell], row: str, system: System) -> dict[int, Cell]:
    """A system's cells of a row, by round."""
    return {
        cell.round: cell
        for cell in cells
        if cell.row == row and (cell.system, cell.precision) == system
    }


def rate(cells: Iterable[Cell], row: str, system: System) -> Spread | None:
    """Tokens a second of a system; None where it has no cell of the row."""
    found = [cell.tokens_per_second for cell in of(cells, row, system).values()]
    return Spread.of(found) if found else None


def ratio(cells: Sequence[Cell], row: str, over: System, under: System) -> Spread | None:
    """Tokens a second of one system over another's, round by round; None where none is shared."""
    above, below = of(cells, row, over), of(cells, row, under)
    found = [
        above[number].tokens_per_second / below[number].tokens_per_second
        for number in sorted(above.keys() & below.keys())
    ]
    return Spread.of(found) if found else None


def unrest(cells: Sequence[Cell], reference: str) -> float:
    """Most over least tokens a second of the system that is the reference, in its worst row.

    It does the same work in every round: well above 1, something else ran on the machine.
    """
    keys = {(cell.row, cell.precision) for cell in cells if cell.system == reference}
    spreads = [rate(cells, row, (reference, precision)) for row, precision in keys]
    return max((spread.most / spread.least for spread in spreads if spread), default=1.0)


def names(cells: Iterable[Cell]) -> list[str]:
    """The rows that were measured, in the order of the first cell of each."""
    return list(dict.fromkeys(cell.row for cell in cells))
