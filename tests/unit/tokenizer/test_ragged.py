import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from triptych_tokenizer.ragged import run_indices, run_starts


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 8))))
def test_indices_of_runs(runs: list[tuple[int, int]]) -> None:
    starts, lengths = np.array(runs, np.int64).reshape(-1, 2).T
    expected = [start + step for start, length in runs for step in range(length)]
    assert run_indices(starts, lengths).tolist() == expected


def test_starts_do_not_overflow_int32() -> None:
    assert run_starts(np.full(3, 2**30, np.int32)).tolist() == [0, 2**30, 2**31]
