"""The options of `triptych evaluate`; docs/evaluate.md tells them at length."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

from triptych_client.connection import DEFAULT_ATTEMPTS, DEFAULT_TIMEOUT
from triptych_client.evaluation.asking import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_CONCURRENCY,
    DEFAULT_DEADLINE,
)
from triptych_client.evaluation.bootstrap import DEFAULT_CONFIDENCE, DEFAULT_RESAMPLES
from triptych_client.evaluation.calibration import DEFAULT_BINS
from triptych_client.evaluation.command import BELOW, CLASSIFY, TASKS, UNANSWERED, run_evaluate
from triptych_client.evaluation.examples import MAX_EXAMPLES
from triptych_client.evaluation.tasks import AGGREGATIONS, UNJOINED
from triptych_client.settings import Settings

EVALUATE_HELP: Final = "score a served model on a labelled set"
EVALUATE_EPILOG: Final = (
    "Exit codes: 0, done; 1, it could not be done; 2, wrong usage;"
    f" {UNANSWERED}, done, but some inputs have no answer and count as wrong;"
    f" {BELOW}, done, but a score is below what --require asks."
)
MAX_BATCH_SIZE: Final = 2048
"""What a platform takes unless its settings say otherwise."""
MAX_CONCURRENCY: Final = 1024
"""Connections of one client; more load is a benchmark's business."""
MAX_SECONDS: Final = 7 * 86_400.0
MAX_ATTEMPTS: Final = 100
MAX_RESAMPLES: Final = 100_000
MAX_BINS: Final = 100
MAX_SEED: Final = 2**32 - 1
NAME: Final = "NAME[@VERSION]"


def add_evaluating(command: argparse.ArgumentParser, settings: Settings) -> None:
    """All options, in the groups of the help."""
    command.add_argument(
        "--url", type=_url, default=settings.url, help="of the platform (default: %(default)s)"
    )
    _add_models(command.add_argument_group("models"))
    _add_data(command.add_argument_group("labelled set"))
    _add_load(command.add_argument_group("load"))
    _add_scoring(command.add_argument_group("scores"))
    _add_report(command.add_argument_group("report, beside the tables on standard output"))
    command.set_defaults(run=run_evaluate, refuse=command.error)


def _add_models(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--model", required=True, metavar=NAME, help="a model, head or alias")
    group.add_argument("--head", default="", metavar=NAME, help="of the model, to classify by")
    group.add_argument("--baseline", default="", metavar=NAME, help="to compare the model with")
    group.add_argument("--baseline-head", default="", metavar=NAME, help="of the baseline")


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="CSV in UTF-8, or CoNLL for tags"
    )
    group.add_argument(
        "--task", choices=TASKS, help=f"default: tag for .conll, .bio and .iob, else {CLASSIFY}"
    )
    group.add_argument("--text-column", default="text", metavar="NAME", help="default: text")
    group.add_argument("--pair-column", default="", metavar="NAME", help="of second texts")
    group.add_argument(
        "--label-column",
        default="label",
        metavar="NAME",
        help="of labels, or of scores for similarity (default: label)",
    )
    group.add_argument(
        "--label-names", metavar="VALUE=NAME,…", help="the model's names for the column's values"
    )
    group.add_argument(
        "--header", metavar="NAME,…", help="columns of a file that has no header of its own"
    )
    group.add_argument(
        "--sample",
        type=_whole(1, MAX_EXAMPLES),
        metavar="N",
        help="only N examples, drawn by the seed (default: all)",
    )


def _add_load(group: argparse._ArgumentGroup) -> None:
    _number(group, "--batch-size", _whole(1, MAX_BATCH_SIZE), DEFAULT_BATCH_SIZE, "of a request")
    _number(group, "--concurrency", _whole(1, MAX_CONCURRENCY), DEFAULT_CONCURRENCY, "requests")
    _number(group, "--timeout", _real(0.001, MAX_SECONDS), DEFAULT_TIMEOUT, "seconds an attempt")
    _number(group, "--attempts", _whole(1, MAX_ATTEMPTS), DEFAULT_ATTEMPTS, "of each request")
    _number(group, "--deadline", _real(0.001, MAX_SECONDS), DEFAULT_DEADLINE, "seconds a model")


def _add_scoring(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--aggregation",
        choices=AGGREGATIONS,
        default=UNJOINED,
        help="how tags of tokens become entities; none: a word has its first token's (default)",
    )
    confidence = _real(0.5, 0.9999)
    _number(group, "--bins", _whole(1, MAX_BINS), DEFAULT_BINS, "of the calibration")
    _number(group, "--resamples", _whole(2, MAX_RESAMPLES), DEFAULT_RESAMPLES, "of the bootstrap")
    _number(group, "--confidence", confidence, DEFAULT_CONFIDENCE, "of intervals")
    _number(group, "--seed", _whole(0, MAX_SEED), 0, "of sample and bootstrap")
    group.add_argument(
        "--require",
        type=_requirement,
        action="append",
        default=[],
        metavar="SCORE=VALUE",
        help=f"exit with {BELOW} where the model's score is less; may be repeated",
    )


def _add_report(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--json", type=Path, metavar="FILE", help="everything, for programs")
    group.add_argument("--picture", type=Path, metavar="FILE", help="a .png, .svg or .pdf")


def _number(
    group: argparse._ArgumentGroup,
    name: str,
    read: Callable[[str], float],
    default: float,
    what: str,
) -> None:
    described = f"{what} (default: {default:,})"
    group.add_argument(name, type=read, default=default, metavar="N", help=described)


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        return int(_within(text, int, least, most))

    return read


def _real(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        return _within(text, float, least, most)

    return read


def _within(text: str, kind: Callable[[str], float], least: float, most: float) -> float:
    message = f"must be a number from {least:,} to {most:,}"
    try:
        value = kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(message) from None
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(message)
    return value


def _requirement(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    return name, _within(value, float, -1.0, 1.0)


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError("must begin with http:// or https://")
    return text
