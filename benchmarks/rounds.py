"""The interleaved rounds of the closed loops."""

from collections.abc import Sequence
from typing import Final

from benchmarks.closed_loop import LoadError
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.results import Results
from benchmarks.rows import BARS, MAX_PEER_TEXTS, Row
from benchmarks.system import BARE, OWN, System

SHORTER: Final = 0.55
"""Of the time that rows with bars take of ours, what other rows and peers take. wrk's runs are
whole seconds: it is one less."""


def run(options: Options, systems: Sequence[System], results: Results) -> None:
    """Measure every row with every system that takes it, one system right after the other.

    The order turns with every round, so that none always follows the same one.
    """
    for number in range(options.rounds):
        for row in options.rows:
            taking = [system for system in systems if takes(system, row, options.whole)]
            turn = number % len(taking) if taking else 0
            for system in taking[turn:] + taking[:turn]:
                seconds = options.seconds * (1.0 if system.name in OWN and row in BARS else SHORTER)
                measure(system, row, number, seconds, results)


def takes(system: System, row: Row, whole: bool) -> bool:
    """Whether a system is asked this row.

    The bare runtime has no requests: a text alone is compared apart. In a whole run the lower
    precisions are measured where they have bars.
    """
    texts = row.at_once * row.per_request
    if row.kind not in system.kinds:
        return False
    if system.name == BARE and texts == 1:
        return False
    if system.name not in OWN and texts > MAX_PEER_TEXTS:
        return False
    return not whole or system.precision == "fp32" or row in BARS


def measure(system: System, row: Row, number: int, seconds: float, results: Results) -> None:
    """A cell of the results, or the reason why there is none."""
    name = f"{system.name} {system.precision}, {row.name}, round {number + 1}"
    try:
        cell = system.measure(row, number, seconds)
    except LoadError as error:
        results.left_out[name] = str(error)
        say(f"{name}: {error}")
        return
    results.cells.append(cell)
    say(f"{name}: {cell.tokens_per_second:.0f} tokens/s")
