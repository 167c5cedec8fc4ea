"""Several tasks over the same items."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from triptych_postprocess.outcome import Errors, Outcome

R = TypeVar("R")


def analyze(tasks: Sequence[Callable[[Errors], Outcome[R]]], errors: Errors) -> Outcome[list[R]]:
    """What every task makes of the items that none of them fails, in the order of the tasks.

    A task that failed fewer items than all together is done again without the others': that is
    rare, and leaves it to the task what is left of its answer.
    """
    outcomes = [task(errors) for task in tasks]
    failed: Errors = {}
    for outcome in outcomes:
        failed = outcome.errors | failed
    rows = [
        outcome.rows if len(outcome.errors) == len(failed) else task(failed).rows
        for task, outcome in zip(tasks, outcomes, strict=True)
    ]
    return Outcome(rows, failed)
