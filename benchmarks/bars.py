"""Every bar there is, from what was measured."""

from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks import report
from benchmarks.report import Bar, Spread, System
from benchmarks.results import Results
from benchmarks.rows import (
    BAR_LOAD,
    BARS,
    LEVEL,
    MAX_ALONE_OVERHEAD,
    MAX_TAIL,
    MIN_GAIN,
    MIN_LEVEL,
    MIN_REPLICATED,
    PEER_BARS,
    PEER_FLOOR,
    Row,
)
from benchmarks.single import Single, median
from benchmarks.system import BARE, OWN, PLATFORM

REPLICATED: Final = f"{PLATFORM}, 2 encoders"


def bars(results: Results) -> list[Bar]:
    """All that can be judged."""
    return [
        *_over_bare(results),
        *_over_peers(results),
        *_gains(results),
        *_alone(results),
        *_tails(results),
        *_level(results),
        *_replicated(results),
    ]


def _over_bare(results: Results) -> Iterator[Bar]:
    for row, limits in BARS.items():
        for precision, limit in limits.items():
            over, under = (PLATFORM, precision), (BARE, precision)
            found = report.ratio(results.cells, row.name, over, under)
            if found:
                yield Bar(f"{row.name} {precision} over bare", found.median, limit)


def _over_peers(results: Results) -> Iterator[Bar]:
    """Each precision against the best peer at that precision, or at any where it is a lower one."""
    for precision in sorted({cell.precision for cell in results.cells}):
        for row in report.names(results.cells):
            best = best_peer(results, row, precision)
            found = best and report.ratio(results.cells, row, (PLATFORM, precision), best)
            if best and found:
                limit = PEER_BARS.get(Row.parse(row), PEER_FLOOR)
                yield Bar(f"{row} {precision} over {' '.join(best)}", found.median, limit)


def best_peer(results: Results, row: str, precision: str) -> System | None:
    """The peer with the most tokens a second in a row: of fp32 for fp32, else of any precision."""
    peers = {
        (cell.system, cell.precision): rate.median
        for cell in results.cells
        if cell.row == row
        and not cell.system.startswith(OWN)
        and (precision != "fp32" or cell.precision == "fp32")
        and (rate := report.rate(results.cells, row, (cell.system, cell.precision)))
    }
    return max(peers, key=peers.__getitem__) if peers else None


def _gains(results: Results) -> Iterator[Bar]:
    for precision, limit in MIN_GAIN.items():
        for row in BARS:
            over, under = (PLATFORM, precision), (PLATFORM, "fp32")
            found = report.ratio(results.cells, row.name, over, under)
            if found:
                yield Bar(f"{row.name} {precision} over fp32", found.median, limit)


def _alone(results: Results) -> Iterator[Bar]:
    groups: dict[tuple[str, str, str], list[Single]] = {}
    for item in results.singles:
        groups.setdefault((item.kind, item.system, item.precision), []).append(item)
    medians = {key: median(items) for key, items in groups.items()}
    for (kind, system, precision), (served, bare) in medians.items():
        if system != PLATFORM:
            continue
        added = 1000 * (served - bare)
        what = f"{kind}, one text alone, {precision}: ms over bare"
        yield Bar(what, added, 1000 * MAX_ALONE_OVERHEAD, at_least=False)
        peers = [p50 for (k, s, p), (p50, _) in medians.items() if k == kind and s != PLATFORM]
        if peers:
            what = f"{kind}, one text alone, {precision}: p50 over the best peer's"
            yield Bar(what, served / min(peers), 1.0, at_least=False)


def _tails(results: Results) -> Iterator[Bar]:
    groups: dict[tuple[str, str], list[float]] = {}
    for item in results.open_loops:
        if item.system == PLATFORM and item.share == BAR_LOAD:
            groups.setdefault((item.kind, item.precision), []).append(item.p99 / item.p50)
    for (kind, precision), ratios in groups.items():
        what = f"{kind} {precision}, p99 over p50 at {BAR_LOAD:.0%} of saturation"
        yield Bar(what, Spread.of(ratios).median, MAX_TAIL, at_least=False)


def _level(results: Results) -> Iterator[Bar]:
    rates = _medians(results, LEVEL)
    if len(rates) == len(LEVEL):
        yield Bar(
            f"least over {LEVEL[0].name} up to {LEVEL[-1].name}", min(rates) / rates[0], MIN_LEVEL
        )


def _medians(results: Results, rows: Sequence[Row]) -> list[float]:
    found = [report.rate(results.cells, row.name, (PLATFORM, "fp32")) for row in rows]
    return [rate.median for rate in found if rate]


def _replicated(results: Results) -> Iterator[Bar]:
    for row in report.names(results.cells):
        over, under = (REPLICATED, "fp32"), (PLATFORM, "fp32")
        found = report.ratio(results.replicated, row, over, under)
        if found:
            yield Bar(f"{row}, two encoders over one", found.median, MIN_REPLICATED)
