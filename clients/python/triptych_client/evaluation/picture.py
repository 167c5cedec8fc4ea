"""The report as a picture, by matplotlib, which only who draws needs."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from triptych_client.errors import NotWritten
from triptych_client.evaluation.class_scores import ClassScores
from triptych_client.evaluation.correlation_scores import CorrelationScores
from triptych_client.evaluation.entity_scores import EntityScores
from triptych_client.evaluation.report import Report, check_folder
from triptych_client.evaluation.scores import LabelScores

FORMATS: Final = (".png", ".svg", ".pdf")
SIZE: Final = (13.0, 10.0)
"""Inches."""
DOTS_PER_INCH: Final = 120
MAX_LABELS: Final = 40
"""Labels of a heat map that can be read; those with the most mistakes."""
MAX_LABEL_CHARACTERS: Final = 28


def check(path: Path) -> None:
    """Raises NotWritten where it could not be drawn, as `check_folder`."""
    check_folder(path, "--picture")
    if path.suffix not in FORMATS:
        raise NotWritten(f"--picture: {path.name} must end in one of {', '.join(FORMATS)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        wanted = "needs matplotlib: pip install 'triptych-client[plots]'"
        raise NotWritten(f"--picture: {wanted}") from None


def draw(report: Report, path: Path) -> None:
    """Four panels. Raises NotWritten."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=SIZE)
    _scores(axes[0][0], report)
    _mistakes(axes[0][1], report)
    _trust(axes[1][0], report)
    _latencies(axes[1][1], report)
    figure.suptitle(f"{report.data.file}, {len(report.data.examples):,} {report.unit}")
    figure.tight_layout()
    try:
        figure.savefig(path, dpi=DOTS_PER_INCH)
    except OSError as error:
        raise NotWritten(f"--picture: {path}: {error.strerror}") from error
    finally:
        pyplot.close(figure)


def _scores(axes: Any, report: Report) -> None:
    """A point with its interval for each score of each model."""
    for place, outcome in enumerate(report.outcomes):
        found = outcome.intervals(report.plan.confidence)
        values = np.array([(one.value, one.low, one.high) for one in found.values()])
        rows = np.arange(len(found)) + 0.2 * place
        errors = np.maximum([values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]], 0)
        axes.errorbar(
            values[:, 0], rows, xerr=errors, fmt="o", capsize=3, label=str(outcome.target)
        )
        for row, value in zip(rows, values[:, 0], strict=True):
            axes.annotate(f"{value:.4f}", (value, row), (0, 6), textcoords="offset points")
    names = [name.replace("_", " ") for name in report.outcomes[0].sampled]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.margins(x=0.15)  # room for the numbers
    axes.set_title(f"scores, {report.plan.confidence:.0%} intervals")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _mistakes(axes: Any, report: Report) -> None:
    """What the model takes for what, as shares of each expected label; or cosines by score."""
    scores = report.outcomes[0].scores
    if isinstance(scores, CorrelationScores):
        axes.plot(scores.expected, scores.cosines, ".", alpha=0.4)
        axes.set(xlabel="score in the set", ylabel="cosine", title=str(report.outcomes[0].target))
        axes.grid(alpha=0.3)
    elif isinstance(scores, LabelScores):
        labels, shares = confusion_shares(scores)
        picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.figure.colorbar(picture, ax=axes, label="share of the expected")
        size = 8 if len(labels) <= MAX_LABELS // 2 else 5
        names = [label[:MAX_LABEL_CHARACTERS] for label in labels]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
        axes.set_yticks(range(len(names)), names, fontsize=size)
        left = len(scores.labels) - len(labels)
        more = f", {left} labels more" if left > 0 else ""
        axes.set(xlabel="answered", ylabel="expected")
        axes.set_title(f"{report.outcomes[0].target}{more}")


def confusion_shares(scores: LabelScores) -> tuple[list[str], Any]:
    """The expected labels with the most mistakes, and a matrix of what each was taken for."""
    found = scores.confusion()
    counts, wrong = Counter[str](), Counter[str]()
    for one in found:
        counts[one.expected] += one.count
        if one.expected != one.predicted:
            wrong.update({one.expected: one.count, one.predicted: one.count})
    most = sorted(counts, key=lambda label: (-wrong[label], -counts[label], label))[:MAX_LABELS]
    labels = sorted(most)
    place = {label: number for number, label in enumerate(labels)}
    shares = np.zeros((len(labels), len(labels)))
    for one in found:
        if one.expected in place and one.predicted in place:
            shares[place[one.expected], place[one.predicted]] = one.count / counts[one.expected]
    return labels, shares


def _trust(axes: Any, report: Report) -> None:
    """Reliability where there are confidences, else F1 by label."""
    scores = [outcome.scores for outcome in report.outcomes]
    if all(isinstance(one, ClassScores) for one in scores):
        _reliability(axes, report)
    elif isinstance(scores[0], EntityScores):
        _labels(axes, report)
    else:
        axes.set_axis_off()


def _reliability(axes: Any, report: Report) -> None:
    axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1)
    for outcome in report.outcomes:
        scores = outcome.scores
        if isinstance(scores, ClassScores) and scores.calibration:
            bins = [one for one in scores.calibration.bins if one.count]
            label = f"{outcome.target}, error {scores.calibration.error:.4f}"
            confidence, right = [one.confidence for one in bins], [one.accuracy for one in bins]
            line = axes.plot(confidence, right, marker="o", label=label)[0]
            edges, width = [one.low for one in bins], bins[0].high - bins[0].low
            shares = [one.count / outcome.scores.items for one in bins]
            axes.bar(edges, shares, width, align="edge", alpha=0.15, color=line.get_color())
    axes.set(
        xlabel="confidence",
        ylabel="accuracy",
        title="calibration; bars: share of all answers",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)


def _labels(axes: Any, report: Report) -> None:
    labels = sorted({label for one in report.outcomes for label in _entity_f1(one.scores)})
    width = 0.8 / len(report.outcomes)
    for place, outcome in enumerate(report.outcomes):
        found = _entity_f1(outcome.scores)
        values: Sequence[float] = [found.get(label, 0.0) for label in labels]
        rows = np.arange(len(labels)) + place * width
        axes.barh(rows, values, width, label=str(outcome.target))
    axes.set_yticks(np.arange(len(labels)) + 0.4 - width / 2, labels)
    axes.set(xlabel="F1", xlim=(0, 1), title="entities by label")
    axes.legend(fontsize=8)


def _entity_f1(scores: object) -> dict[str, float]:
    if not isinstance(scores, EntityScores):
        return {}
    return dict(zip(scores.labels, scores.by_label.f1.tolist(), strict=True))


def _latencies(axes: Any, report: Report) -> None:
    """Share of the requests answered within a time."""
    for outcome in report.outcomes:
        times = 1000 * np.sort(outcome.answers.latencies)
        shares = np.arange(1, len(times) + 1) / max(len(times), 1)
        axes.step(times, shares, where="post", label=str(outcome.target))
    load = report.load
    axes.set(xlabel="milliseconds", ylabel="share of requests", ylim=(0, 1.02))
    axes.set_title(f"latency, {load.batch_size} a request, {load.concurrency} at once")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
