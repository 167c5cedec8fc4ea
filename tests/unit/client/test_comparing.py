"""Correlations, intervals and tests, against values from elsewhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from triptych_client.evaluation.bootstrap import Plan, sample
from triptych_client.evaluation.class_scores import Classified, score_classes
from triptych_client.evaluation.correlation_scores import pearson, ranks, score_cosines, spearman
from triptych_client.evaluation.mcnemar import mcnemar, p_value

PLAN = Plan(resamples=400, confidence=0.95, seed=3)


def test_ranks_share_the_mean_of_equals() -> None:
    assert ranks(np.array([10.0, 20.0, 10.0, 5.0, 20.0, 20.0])).tolist() == [2.5, 5, 2.5, 1, 5, 5]


def test_spearman_of_a_worked_example() -> None:
    """IQ and hours of television, in Wikipedia's article on the coefficient: −29/165."""
    iq = np.array([106.0, 100, 86, 101, 99, 103, 97, 113, 112, 110])
    hours = np.array([7.0, 27, 2, 50, 28, 29, 20, 12, 6, 17])
    assert spearman(iq, hours) == pytest.approx(-29 / 165)


def test_pearson_by_hand() -> None:
    assert pearson(np.array([1.0, 2, 3]), np.array([1.0, 3, 2])) == pytest.approx(0.5)
    assert pearson(np.array([1.0, 1.0]), np.array([1.0, 2.0])) == 0
    assert pearson(np.array([]), np.array([])) == 0


def test_pairs_without_an_answer_are_left_out() -> None:
    scores = score_cosines([1.0, 2.0, 3.0, 4.0], [0.1, None, 0.2, 0.3])
    assert scores.statistics()["spearman"](np.arange(4)) == pytest.approx(1)


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=20))
def test_spearman_sees_order_only(pairs: list[tuple[int, int]]) -> None:
    left, right = (np.array(side, np.float64) for side in zip(*pairs, strict=True))
    found = spearman(left, right)
    assert -1 - 1e-9 <= found <= 1 + 1e-9
    assert spearman(right, left) == pytest.approx(found)
    assert spearman(left**3, 2 * right + 1) == pytest.approx(found)
    assert spearman(-left, right) == pytest.approx(-found)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (1, 9, 2 * (1 + 10) / 2**10),
        (9, 1, 2 * (1 + 10) / 2**10),
        (0, 6, 2 / 2**6),
        (3, 4, 1.0),
        # the example of McNemar's test in Agresti, Categorical Data Analysis: 86 and 150
        (86, 150, 3.716e-05),
    ],
)
def test_p_values(first: int, second: int, p: float) -> None:
    assert p_value(first, second) == pytest.approx(p, rel=1e-3)


def test_only_items_that_one_side_gets_right_count() -> None:
    ours = np.array([True, True, True, False, False, True])
    theirs = np.array([True, False, False, False, True, False])
    found = mcnemar(ours, theirs)
    assert (found.only_first, found.only_second) == (3, 1)
    assert found.p_value == pytest.approx(2 * (1 + 4) / 2**4)


def test_the_same_plan_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).random(50)
    one, two = (sample(lambda rows: float(values[rows].mean()), 50, PLAN) for _ in range(2))
    assert one.interval(0.95) == two.interval(0.95)
    other = sample(lambda rows: float(values[rows].mean()), 50, Plan(400, 0.95, seed=4))
    assert one.interval(0.95) != other.interval(0.95)


def test_the_interval_of_a_share_is_near_the_normal_one() -> None:
    """400 items of which 80 % are right: a standard error of 0.02."""
    correct = np.arange(400) % 5 > 0
    found = sample(lambda rows: float(correct[rows].mean()), 400, Plan(2000)).interval(0.95)
    assert found.value == 0.8
    assert found.low == pytest.approx(0.8 - 1.96 * 0.02, abs=0.004)
    assert found.high == pytest.approx(0.8 + 1.96 * 0.02, abs=0.004)


def test_pairing_takes_away_what_is_hard_for_both() -> None:
    """One of 200 answers differs: the difference is 0.005, its interval narrower than either's."""
    ours = np.arange(200) % 2 == 0
    theirs = ours.copy()
    theirs[0] = False
    first, second = (
        sample(score_classes(["y"] * 200, _answers(right), 1).statistics()["accuracy"], 200, PLAN)
        for right in (ours, theirs)
    )
    difference = first.minus(second).interval(0.95)
    assert difference.value == pytest.approx(0.005)
    assert difference.low >= 0
    assert difference.high <= 0.02
    alone = first.interval(0.95)
    assert alone.high - alone.low > 0.1


def _answers(right: NDArray[np.bool_]) -> list[Classified]:
    return [Classified("y" if one else "n", 1.0, 1.0) for one in right]
