"""What a whole run measures besides the rounds: latency, level and memory, replicas."""

from typing import Final

from benchmarks import latency, rounds
from benchmarks.lineup import Lineup
from benchmarks.options import Options
from benchmarks.processes import resident_mebibytes, tree
from benchmarks.replicas import doubled
from benchmarks.results import Results
from benchmarks.rows import LEVEL, Row
from benchmarks.served import Served
from benchmarks.system import PLATFORM

REPLICA_ROW: Final = Row("mixed", 1, 64)


def run(options: Options, lineup: Lineup, results: Results) -> None:
    """Of every platform and peer that is there."""
    for precision, bare in lineup.bares.items():
        systems = [one for one in lineup.served if one.precision == precision]
        latency.alone(systems, bare, results)
    for served in lineup.served:
        latency.loaded(served, results)
    for served in lineup.served:
        if served.name == PLATFORM and served.precision == "fp32":
            _level(options, served, results)
            _replicas(options, lineup, served, results)


def _level(options: Options, served: Served, results: Results) -> None:
    """The rows of LEVEL that were not measured yet; memory before and after."""
    _weigh(served, "before 2,000 at once", results)
    for number in range(options.rounds):
        for row in (row for row in LEVEL if row not in options.rows):
            rounds.measure(served, row, number, options.seconds, results)
    _weigh(served, "after 2,000 at once", results)


def _weigh(served: Served, when: str, results: Results) -> None:
    results.memory[when] = {
        name: round(resident_mebibytes(tree(pid)), 1) for name, pid in served.roots.items()
    }


def _replicas(options: Options, lineup: Lineup, served: Served, results: Results) -> None:
    """One encoder and two, alternating."""
    apart = Results(results.machine)
    session = lineup.sessions[served.precision]
    with doubled(session, options.repository, served) as both:
        for number in range(options.rounds):
            for system in (served, both)[:: 1 - 2 * (number % 2)]:
                rounds.measure(system, REPLICA_ROW, number, options.seconds, apart)
    results.replicated += apart.cells
    results.left_out |= apart.left_out
