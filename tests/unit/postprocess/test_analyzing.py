import numpy as np
from numpy.typing import NDArray

from triptych_postprocess.analyzing import analyze
from triptych_postprocess.outcome import Errors, Outcome, living
from triptych_servicekit.errors import DeadlineExceeded, Internal

COUNT = 4


class Task:
    """Lists the items that are alive, all but one of its own."""

    def __init__(self, *broken: int) -> None:
        self.broken = broken
        self.calls = 0

    def __call__(self, errors: Errors) -> Outcome[NDArray[np.int64]]:
        self.calls += 1
        errors = {index: Internal(f"broken {self.broken}") for index in self.broken} | errors
        return Outcome(np.flatnonzero(living(COUNT, errors)), errors)


def test_nothing_fails_and_nothing_is_done_twice() -> None:
    tasks = Task(), Task()
    made = analyze(tasks, {})
    assert [rows.tolist() for rows in made.rows] == [[0, 1, 2, 3]] * 2
    assert [task.calls for task in tasks] == [1, 1]


def test_an_item_that_fails_in_one_task_fails_in_all() -> None:
    late = DeadlineExceeded("late")
    tasks = Task(1), Task(), Task(1, 3)
    made = analyze(tasks, {0: late})
    assert [rows.tolist() for rows in made.rows] == [[2]] * 3
    assert sorted(made.errors) == [0, 1, 3]
    assert made.errors[0] is late
    assert made.errors[1].message == "broken (1,)"
    assert [task.calls for task in tasks] == [2, 2, 1]
