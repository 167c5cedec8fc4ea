"""What `triptych evaluate` does with its options."""

import argparse
import asyncio
import sys
from collections.abc import Mapping
from typing import Any, Final

from triptych_client.connection import Connection, Patience, open_client
from triptych_client.errors import DataError
from triptych_client.evaluation import picture, report, table
from triptych_client.evaluation.asking import Load
from triptych_client.evaluation.bootstrap import Plan
from triptych_client.evaluation.conll_file import read_tagged
from triptych_client.evaluation.csv_file import Columns, read_graded, read_labelled
from triptych_client.evaluation.evaluating import Evaluation, Outcome, compare
from triptych_client.evaluation.examples import LabelledSet
from triptych_client.evaluation.progress import say
from triptych_client.evaluation.report import Report
from triptych_client.evaluation.task import Target, Task
from triptych_client.evaluation.tasks import Classify, Similarity, Tag

CLASSIFY: Final = "classify"
TAG: Final = "tag"
SIMILARITY: Final = "similarity"
TASKS: Final = (CLASSIFY, TAG, SIMILARITY)
TAGGED_SUFFIXES: Final = (".conll", ".bio", ".iob")
UNANSWERED: Final = 3
BELOW: Final = 4
"""Exit codes of a report that is complete but not good."""


def run_evaluate(arguments: argparse.Namespace) -> int:
    """Read, ask, score and report; the exit code. Raises ClientError."""
    task = _task(arguments)
    _check(arguments, task)
    if arguments.json:
        report.check_folder(arguments.json, "--json")
    if arguments.picture:
        picture.check(arguments.picture)
    data = _data(arguments)
    plan = Plan(arguments.resamples, arguments.confidence, arguments.seed)
    load = Load(arguments.batch_size, arguments.concurrency, arguments.deadline)
    outcomes = asyncio.run(_ask(arguments, Evaluation(task, data, load, plan)))
    comparison = compare(outcomes[0], outcomes[1], plan.confidence) if outcomes[1:] else None
    found = Report(arguments.url, data, task.unit, load, plan, outcomes, comparison)
    _tell(found, arguments)
    return _code(found, arguments)


async def _ask(arguments: argparse.Namespace, evaluation: Evaluation[Any]) -> list[Outcome]:
    targets = [Target(arguments.model, arguments.head)]
    if arguments.baseline:
        targets.append(Target(arguments.baseline, arguments.baseline_head))
    patience = Patience(arguments.timeout, arguments.attempts)
    async with open_client(arguments.url, patience, arguments.concurrency) as client:
        return await evaluation.run(targets, Connection(client, patience))


def _task(arguments: argparse.Namespace) -> Task[Any, Any]:
    tagged = arguments.data.suffix.lower() in TAGGED_SUFFIXES
    name = arguments.task or (TAG if tagged else CLASSIFY)
    tasks: Mapping[str, Task[Any, Any]] = {
        CLASSIFY: Classify(arguments.bins),
        TAG: Tag(arguments.aggregation),
        SIMILARITY: Similarity(),
    }
    return tasks[name]


def _check(arguments: argparse.Namespace, task: Task[Any, Any]) -> None:
    """Refuse, as wrong usage, what does not go together."""
    refuse = arguments.refuse
    if (arguments.head or arguments.baseline_head) and not isinstance(task, Classify):
        refuse("--head and --baseline-head are for --task classify")
    if arguments.baseline_head and not arguments.baseline:
        refuse("--baseline-head needs --baseline")
    if isinstance(task, Similarity) and not arguments.pair_column:
        refuse("--task similarity needs --pair-column")
    for name, _ in arguments.require:
        if name not in task.measures:
            refuse(f"--require: {name!r} is none of {', '.join(task.measures)}")


def _data(arguments: argparse.Namespace) -> LabelledSet[Any]:
    data = _read(arguments)
    return data.sample(arguments.sample, arguments.seed) if arguments.sample else data


def _read(arguments: argparse.Namespace) -> LabelledSet[Any]:
    task = _task(arguments)
    if isinstance(task, Tag):
        return read_tagged(arguments.data)
    columns = Columns(arguments.text_column, arguments.pair_column, arguments.label_column)
    header = arguments.header.split(",") if arguments.header else None
    if isinstance(task, Similarity):
        return read_graded(arguments.data, columns, header)
    return read_labelled(arguments.data, columns, header, _names(arguments.label_names))


def _names(text: str | None) -> Mapping[str, str] | None:
    """Labels by value from `0=bearish,1=bullish`. Raises DataError."""
    if not text:
        return None
    pairs = [pair.partition("=") for pair in text.split(",")]
    names = {value: name for value, _, name in pairs}
    if not all(value and name for value, _, name in pairs) or len(names) < len(pairs):
        raise DataError("--label-names: must be VALUE=NAME, separated by commas, each value once")
    return names


def _tell(found: Report, arguments: argparse.Namespace) -> None:
    sys.stdout.write(table.render(found))
    if arguments.json:
        report.write(found, arguments.json)
    if arguments.picture:
        picture.draw(found, arguments.picture)


def _code(found: Report, arguments: argparse.Namespace) -> int:
    """Missed requirements count before inputs without an answer, which are their lesser cause."""
    scores = found.outcomes[0].sampled
    missed = [(name, least) for name, least in arguments.require if scores[name].value < least]
    for name, least in missed:
        say(f"triptych: {name} is {scores[name].value:.4f}, below the {least:g} of --require")
    if missed:
        return BELOW
    return UNANSWERED if found.unanswered else 0
