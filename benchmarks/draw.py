"""Throughput by concurrency and latency by load, as SVG; run with matplotlib's environment."""

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot

KINDS = ("short", "mixed")
Series = dict[str, dict[float, list[float]]]


def throughput(document: dict[str, Any], kind: str) -> Series:
    """Tokens a second by requests at once, one text a request, for each system."""
    series: Series = defaultdict(lambda: defaultdict(list))
    for cell in document["cells"]:
        name, _, shape = cell["row"].partition("-")
        per_request, at_once = map(int, shape.split("x"))
        if name == kind and per_request == 1:
            rate = cell["tokens"] / cell["seconds"]
            series[f"{cell['system']} {cell['precision']}"][at_once].append(rate)
    return series


def latency(document: dict[str, Any], kind: str) -> Series:
    """Milliseconds by share of saturation, for the percentiles of each system."""
    series: Series = defaultdict(lambda: defaultdict(list))
    for item in document["open_loops"]:
        for name in ("p50", "p99"):
            if item["kind"] == kind:
                line = f"{item['system']} {item['precision']}, {name}"
                series[line][100 * item["share"]].append(1000 * item[name])
    return series


def draw(axes: Any, series: Series) -> None:
    """Medians, with a bar from the least to the most."""
    for name, points in sorted(series.items()):
        places = sorted(points)
        medians = [statistics.median(points[place]) for place in places]
        below = [m - min(points[place]) for m, place in zip(medians, places, strict=True)]
        above = [max(points[place]) - m for m, place in zip(medians, places, strict=True)]
        axes.errorbar(places, medians, [below, above], marker="o", capsize=2, label=name)


def page(document: dict[str, Any], what: str, path: Path) -> None:
    """A figure for each kind of text, side by side."""
    figure, row = pyplot.subplots(1, len(KINDS), figsize=(12, 4.5))
    for axes, kind in zip(row, KINDS, strict=True):
        series = throughput(document, kind) if what == "throughput" else latency(document, kind)
        draw(axes, series)
        axes.set_title(f"{kind} texts, one a request")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if what == "throughput":
            axes.set(xscale="log", xlabel="requests at once", ylabel="useful tokens a second")
        else:
            axes.set(yscale="log", ylabel="milliseconds", xlabel="load, % of own saturation")
            axes.set_ylim(bottom=1)
        if series:
            axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Two figures beside the results."""
    results = Path(sys.argv[1])
    document = json.loads(results.read_text())
    mpl.rcParams["svg.hashsalt"] = results.stem
    for what in ("throughput", "latency"):
        page(document, what, results.with_name(f"{results.stem}-{what}.svg"))


if __name__ == "__main__":
    main()
