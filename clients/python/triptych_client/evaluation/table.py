"""The report for a person at a terminal."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from triptych_client.evaluation.bootstrap import Interval
from triptych_client.evaluation.class_scores import ClassScores
from triptych_client.evaluation.evaluating import Outcome
from triptych_client.evaluation.latency import latency, rate
from triptych_client.evaluation.report import Report
from triptych_client.evaluation.scores import Confusion, LabelScores
from triptych_client.evaluation.shares import PRF

MAX_LABELS: Final = 20
"""Labels that have a line; those with the least F1."""
MAX_CONFUSIONS: Final = 10
NO_ANSWER: Final = "(no answer)"

Row = Sequence[str]


def render(report: Report) -> str:
    """All tables."""
    data, plan = report.data, report.plan
    head = (
        f"{data.file}: {len(data.examples):,} {report.unit}, sha256 {data.sha256[:12]};"
        f" intervals {plan.confidence:.0%}, {plan.resamples:,} resamples, seed {plan.seed}"
    )
    parts = [head, _scores(report), *(_details(one, report) for one in report.outcomes)]
    return "\n\n".join(parts) + "\n"


def _scores(report: Report) -> str:
    """A line a score; a column a model, and one for their difference."""
    columns = [one.intervals(report.plan.confidence) for one in report.outcomes]
    heads, signs = [str(one.target) for one in report.outcomes], ["", "", "+"]
    if report.comparison:
        columns.append(dict(report.comparison.differences))
        heads.append("difference")
    rows = [["", *heads]]
    for score in columns[0]:
        cells = [_interval(one[score], sign) for one, sign in zip(columns, signs, strict=False)]
        rows.append([score.replace("_", " "), *cells])
    # what has no interval has no difference either
    rows += [[*row, *[""] * (len(heads) + 1 - len(row))] for row in _averages(report.outcomes)]
    return "\n".join([_table(rows), *_test(report)])


def _interval(found: Interval, sign: str) -> str:
    value, low, high = (f"{one:{sign}.4f}" for one in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def _averages(outcomes: Sequence[Outcome]) -> Iterable[Row]:
    """What has no interval: averages over labels, and calibration."""
    scores = [outcome.scores for outcome in outcomes]
    tallies = [one.tally() for one in scores if isinstance(one, LabelScores)]
    if tallies:
        yield ["P / R / F1 macro", *(_shares(one.macro()) for one in tallies)]
        yield ["P / R / F1 weighted", *(_shares(one.weighted()) for one in tallies)]
    classes = [one for one in scores if isinstance(one, ClassScores)]
    if classes:
        yield ["calibration error", *(_calibration(one) for one in classes)]


def _shares(found: PRF) -> str:
    return f"{found.precision:.4f} / {found.recall:.4f} / {found.f1:.4f}"


def _calibration(scores: ClassScores) -> str:
    return f"{scores.calibration.error:.4f}" if scores.calibration else "no distribution"


def _test(report: Report) -> Iterable[str]:
    test = report.comparison.test if report.comparison else None
    if test:
        yield (
            f"McNemar, exact: {test.only_first:,} right only by the model, {test.only_second:,}"
            f" only by the baseline, p = {test.p_value:.3g}"
        )


def _details(outcome: Outcome, report: Report) -> str:
    answered_by = [*outcome.answers.answered_by, *filter(None, [outcome.known.head])]
    title = f"{outcome.target}, answered by {' and '.join(answered_by) or 'nothing'}"
    parts = [title, *_notes(outcome), _speed(outcome, report)]
    if isinstance(outcome.scores, LabelScores):
        parts += [_labels(outcome.scores), _confusions(outcome.scores)]
    return "\n".join(filter(None, parts))


def _notes(outcome: Outcome) -> Iterable[str]:
    answers = outcome.answers
    yield from (f"  ! {line}" for line in outcome.known.coverage.warnings(str(outcome.target)))
    if len(answers.answered_by) > 1:
        yield "  ! more than one model answered: the numbers are of a mixture"
    if answers.errors:
        first = min(answers.errors)
        count = f"{len(answers.errors):,} without an answer, counted as wrong"
        yield f"  ! {count}; number {first + 1}: {answers.errors[first]}"
    if answers.truncated:
        yield f"  ! {answers.truncated:,} were cut to the model's length"


def _speed(outcome: Outcome, report: Report) -> str:
    times, speed, load = latency(outcome.answers.latencies), rate(outcome.answers), report.load
    p50, p95, p99 = (f"{1000 * one:.1f}" for one in (times.p50, times.p95, times.p99))
    repeats = outcome.answers.repeats
    return (
        f"  {times.requests:,} requests of {load.batch_size}, {load.concurrency} at once:"
        f" p50 {p50} ms, p95 {p95} ms, p99 {p99} ms;"
        f" {speed.items_per_second:,.0f} {report.unit} and {speed.tokens_per_second:,.0f} tokens"
        f" a second over {speed.seconds:.1f} s"
        + (f"; {repeats:,} attempts repeated" if repeats else "")
    )


def _labels(scores: LabelScores) -> str:
    """The labels with the least F1."""
    labels, tally = scores.labels, scores.tally()
    worst = np.argsort(tally.f1, kind="stable")[:MAX_LABELS].tolist()
    rows = [["label, least F1 first", "precision", "recall", "F1", "support"]]
    for number in worst:
        found = tally.label(number)
        shares = (f"{one:.4f}" for one in (found.precision, found.recall, found.f1))
        rows.append([labels[number], *shares, f"{tally.expected[number]:,}"])
    left = len(labels) - len(worst)
    return _table(rows) + (f"\n  and {left:,} more: --json has all" if left else "")


def _confusions(scores: LabelScores) -> str:
    wrong = [one for one in scores.confusion() if one.expected != one.predicted]
    rows = [["expected", "answered", "times"], *map(_confusion, wrong[:MAX_CONFUSIONS])]
    return _table(rows) if wrong else ""


def _confusion(found: Confusion) -> Row:
    return found.expected, found.predicted or NO_ANSWER, f"{found.count:,}"


def _table(rows: Sequence[Row]) -> str:
    """Columns as wide as their widest cell; the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  "
        + "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
