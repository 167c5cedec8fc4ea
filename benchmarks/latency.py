"""How long an answer takes: alone, and at shares of what saturates a system."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from benchmarks import open_loop, report, single
from benchmarks.bare import Bare
from benchmarks.closed_loop import LoadError
from benchmarks.progress import say
from benchmarks.results import OpenLoop, Results
from benchmarks.rows import BAR_LOAD, Row
from benchmarks.served import Served
from benchmarks.system import PLATFORM
from benchmarks.texts import mean_tokens

REPEATS: Final = 5
KINDS: Final = ("short", "mixed")
LOADS: Final = (0.4, BAR_LOAD)
"""Shares of its own saturation at which the platform's latency is taken; a peer's at BAR_LOAD."""
SECONDS: Final = 3.0
"""Of arrivals."""
ROUNDS: Final = 3
SATURATION: Final[Mapping[str, Row]] = {kind: Row(kind, 1, 64) for kind in KINDS}
"""The row whose throughput is taken for saturation."""


def alone(systems: Sequence[Served], bare: Bare, results: Results) -> None:
    """One text at a time, every system in turn, each interleaved with the bare runtime."""
    for _ in range(REPEATS):
        for kind in KINDS:
            for served in (one for one in systems if kind in one.kinds):
                results.singles.append(single.compare(served, bare, kind, served.source))
    say(f"one text at a time: {', '.join(served.name for served in systems)}")


def loaded(served: Served, results: Results) -> None:
    """The open loop, at shares of what the closed loop showed to be the most."""
    rng = np.random.default_rng(served.source.seed)
    shares = LOADS if served.name == PLATFORM else (BAR_LOAD,)
    for number in range(ROUNDS if served.name == PLATFORM else 1):
        for kind, row in SATURATION.items():
            most = report.rate(results.cells, row.name, (served.name, served.precision))
            for share in shares if most and kind in served.kinds else ():
                rate = share * most.median / mean_tokens(kind) if most else 0.0
                plan = OpenLoop(served.name, served.precision, kind, share, number, rate)
                times = open_loop.schedule(rate, SECONDS, rng)
                _measure(served, plan, times, results)


def _measure(served: Served, plan: OpenLoop, times: open_loop.Times, results: Results) -> None:
    texts = served.source.take(plan.kind, len(times))
    name = f"{plan.system} {plan.precision}, {plan.kind}, open loop at {plan.share:.0%}"
    try:
        with served.working():
            found = open_loop.run(served.target, texts, times)
    except (LoadError, TimeoutError) as error:
        results.left_out[name] = str(error) or "not all was answered in time"
        return
    results.open_loops.append(plan.seen(found))
    say(f"{name}: p50 {found.percentile(50) * 1e3:.1f} ms, p99 {found.percentile(99) * 1e3:.1f} ms")
