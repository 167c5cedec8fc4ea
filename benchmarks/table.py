"""The results as Markdown."""

from collections.abc import Iterable, Sequence
from typing import Final

from benchmarks import report
from benchmarks.bars import bars
from benchmarks.cell import Cell
from benchmarks.report import Spread, System
from benchmarks.results import OpenLoop, Results
from benchmarks.single import Single, median
from benchmarks.system import BARE, PLATFORM

MAX_UNREST: Final = 1.15
"""Of the bare runtime between rounds; a quiet virtual machine stays within it."""


def render(results: Results) -> str:
    """All tables."""
    parts = [
        *(_head(results), _bars(results), _rates(results.cells), _latencies(results)),
        *(_rates(results.replicated), _memory(results), _cores(results.cells)),
    ]
    return "\n\n".join([*filter(None, parts), _notes(results)]) + "\n"


def _head(results: Results) -> str:
    machine = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return "\n".join(
        (
            f"# {machine.cpu}, {machine.cores} cores, {results.started}",
            "",
            f"Commit {machine.commit}, Python {machine.python}, {versions};"
            f" flags {' '.join(machine.flags)}; {machine.memory_gibibytes} GiB;"
            f" load average before {machine.load_average}; {results.seconds:.0f} s.",
            *_warning(report.unrest(results.cells, BARE)),
        )
    )


def _warning(unrest: float) -> list[str]:
    """That the figures say little, where they do."""
    if unrest <= MAX_UNREST:
        return []
    said = f"bare alone differed by a factor of {unrest:.2f} between rounds"
    return ["", f"**Disturbed: {said}. Measure again on a machine that does nothing else.**"]


def _rates(cells: Sequence[Cell]) -> str:
    """Tokens a second and latencies, row by row and system by system."""
    if not cells:
        return ""
    lines = [
        "| row | system | precision | useful tokens/s | of bare | p50 ms | p95 ms | p99 ms |",
        "|---|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in report.names(cells):
        for system in systems(cells, row):
            lines.append(_rate_line(cells, row, system))
    return "\n".join(lines)


def _rate_line(cells: Sequence[Cell], row: str, system: System) -> str:
    rate = report.rate(cells, row, system)
    over = None if system[0] == BARE else report.ratio(cells, row, system, (BARE, system[1]))
    found = report.of(cells, row, system).values()
    latencies = [_milliseconds([getattr(cell, name) for cell in found]) for name in LATENCIES]
    return table_line(row, *system, spread(rate, "{:,.0f}"), spread(over, "{:.3f}"), *latencies)


LATENCIES = ("p50", "p95", "p99")


def _milliseconds(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{1000 * Spread.of(known).median:.1f}" if known else ""


def _cores(cells: Sequence[Cell]) -> str:
    """Where the processor time went."""
    lines = ["| row | system | cores busy, by process |", "|---|---|---|"]
    for row in report.names(cells):
        for system in systems(cells, row):
            if system[0] != BARE:
                found = list(report.of(cells, row, system).values())
                lines.append(table_line(row, " ".join(system), _busy(found)))
    return "\n".join(lines)


def _busy(cells: Sequence[Cell]) -> str:
    medians = {
        name: Spread.of([cell.cores[name] for cell in cells]).median for name in cells[0].cores
    }
    return ", ".join(f"{name} {value:.2f}" for name, value in medians.items())


def _bars(results: Results) -> str:
    lines = ["| bar | measured | limit | |", "|---|--:|--:|---|"]
    lines += [
        table_line(bar.what, f"{bar.value:.3f}", f"{bar.sign} {bar.limit:g}", bar.verdict)
        for bar in bars(results)
    ]
    return "\n".join(lines)


def _latencies(results: Results) -> str:
    """One text at a time, and the open loop."""
    lines = [
        "| system | precision | texts | load | p50 ms | p95 ms | p99 ms |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    alone: dict[tuple[str, str, str], list[Single]] = {}
    for item in results.singles:
        alone.setdefault((item.system, item.precision, item.kind), []).append(item)
    for key, items in alone.items():
        served, bare = (f"{1000 * value:.2f}" for value in median(items))
        lines.append(table_line(*key, f"alone (bare {bare})", served, "", ""))
    opened: dict[tuple[str, str, str, float], list[OpenLoop]] = {}
    for found in results.open_loops:
        opened.setdefault((found.system, found.precision, found.kind, found.share), []).append(
            found
        )
    for (*names, share), loops in opened.items():
        times = [_milliseconds([getattr(one, name) for one in loops]) for name in LATENCIES]
        lines.append(table_line(*names, f"{share:.0%}", *times))
    return "\n".join(lines) if len(lines) > 2 else ""


def _memory(results: Results) -> str:
    """Memory of the platform's services."""
    if not results.memory:
        return ""
    services = list(next(iter(results.memory.values())))
    lines = [table_line("resident MiB", *services), table_line(*["---"] * (len(services) + 1))]
    for when, sizes in results.memory.items():
        lines.append(table_line(when, *(f"{sizes[name]:.0f}" for name in services)))
    return "\n".join(lines)


def _notes(results: Results) -> str:
    lines = [f"- bare, {name}: {layout}" for name, layout in results.layouts.items()]
    for name, trials in results.trials.items():
        tried = "; ".join(f"{trial.setting}: {trial.said}" for trial in trials)
        lines.append(f"- {name}, tokens/s by setting: {tried}")
    lines += [f"- {name}: cosine at least {value:.5f}" for name, value in results.cosines.items()]
    lines += [f"- left out: {name}: {reason}" for name, reason in results.left_out.items()]
    return "\n".join(lines)


def systems(cells: Iterable[Cell], row: str) -> list[System]:
    """Those that have cells of a row, in one order for all rows."""
    found = {(cell.system, cell.precision) for cell in cells if cell.row == row}
    return sorted(found, key=lambda item: (item[1] != "fp32", item[1], item[0] != PLATFORM, item))


def spread(value: Spread | None, form: str) -> str:
    """Median (least to most)."""
    if value is None:
        return ""
    median, least, most = map(form.format, (value.median, value.least, value.most))
    return f"{median} ({least} to {most})"


def table_line(*items: str) -> str:
    """A line of a table."""
    return f"| {' | '.join(items)} |"
