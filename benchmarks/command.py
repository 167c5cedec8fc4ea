"""The command: options, systems, rounds, results."""

import signal
import sys
from contextlib import ExitStack

from benchmarks import beside, machine, options, plots, rounds, table
from benchmarks.lineup import Lineup, find_model
from benchmarks.options import Options
from benchmarks.progress import elapsed
from benchmarks.results import Results


def main() -> int:
    """Measure what was asked for; write the JSON and the table, and print the table."""
    signal.signal(signal.SIGTERM, _end)
    asked = options.read()
    results = Results(machine.describe())
    name = results.stem if asked.whole else "partial"
    with ExitStack() as stack:
        try:
            measure(asked, stack, results)
        finally:  # what was measured is kept, whatever came between and before anything is stopped
            results.seconds = elapsed()
            path = results.write(asked.out, name)
    text = table.render(results)
    path.with_suffix(".md").write_text(text)
    sys.stdout.write(text)
    return plots.draw(path)


def measure(asked: Options, stack: ExitStack, results: Results) -> None:
    """All parts."""
    lineup = Lineup(asked, stack, results, find_model(asked.repository))
    for precision in asked.precisions:
        lineup.add_precision(precision)
    lineup.add_peers()
    rounds.run(asked, lineup.systems, results)
    if asked.whole:
        beside.run(asked, lineup, results)


def _end(number: int, frame: object) -> None:  # noqa: ARG001
    """End in order, so that no system that was started outlives the run."""
    sys.exit(128 + number)
