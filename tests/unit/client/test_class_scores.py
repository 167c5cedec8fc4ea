"""Scores of classifiers, computed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_client.evaluation.calibration import calibrate
from triptych_client.evaluation.class_scores import Classified, ClassScores, score_classes
from triptych_client.evaluation.scores import Confusion

LABELS = st.sampled_from("abcd")
ANSWERS = st.one_of(st.none(), LABELS)


def scored(expected: str, answered: str) -> ClassScores:
    """Labels of one letter; `-` is no answer."""
    answers = [None if label == "-" else Classified(label, 0.5, 1.0) for label in answered]
    return score_classes(list(expected), answers, bins=10)


def test_the_report_in_the_manual_of_scikit_learn() -> None:
    """`classification_report` of [0, 1, 2, 2, 2] and [0, 0, 2, 2, 1]."""
    scores = scored("abccc", "aaccb")
    document = scores.document()
    by_label = document["by_label"]
    assert by_label["a"] == pytest.approx(
        {"precision": 1 / 2, "recall": 1, "f1": 2 / 3, "support": 1}
    )
    assert by_label["b"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert by_label["c"] == pytest.approx(
        {"precision": 1, "recall": 2 / 3, "f1": 4 / 5, "support": 3}
    )
    macro = {"precision": 0.5, "recall": 5 / 9, "f1": (2 / 3 + 4 / 5) / 3}
    assert document["macro"] == pytest.approx(macro)
    weighted = {"precision": 3.5 / 5, "recall": 3 / 5, "f1": (2 / 3 + 3 * 4 / 5) / 5}
    assert document["weighted"] == pytest.approx(weighted)
    assert scores.correct.tolist() == [True, False, True, True, False]


def test_no_answer_is_wrong_and_of_no_label() -> None:
    scores = scored("aabb", "a-b-")
    assert scores.statistics()["accuracy"](np.arange(4)) == 0.5
    assert scores.tally().precision.tolist() == [1, 1]
    assert scores.tally().recall.tolist() == [0.5, 0.5]
    assert scores.confusion() == [
        Confusion("a", "", 1),
        Confusion("a", "a", 1),
        Confusion("b", "", 1),
        Confusion("b", "b", 1),
    ]


def test_statistics_are_of_the_rows_they_get() -> None:
    scores = scored("abccc", "aaccb")
    statistics = scores.statistics()
    rows = np.array([0, 0, 3])
    assert statistics["accuracy"](rows) == 1
    # labels that are not among the rows have no part in the mean
    assert statistics["f1_macro"](rows) == 1
    assert statistics["f1_macro"](np.array([0, 1])) == pytest.approx((2 / 3 + 0) / 2)


@given(st.lists(st.tuples(LABELS, ANSWERS), min_size=1, max_size=30))
def test_shares_agree_with_their_definitions(pairs: list[tuple[str, str | None]]) -> None:
    answers = [Classified(label, 0.5, 1.0) if label else None for _, label in pairs]
    scores = score_classes([label for label, _ in pairs], answers, bins=5)
    tally, total = scores.tally(), len(pairs)
    for number, label in enumerate(scores.labels):
        right = sum(pair == (label, label) for pair in pairs)
        wanted = sum(expected == label for expected, _ in pairs)
        given_ = sum(answered == label for _, answered in pairs)
        assert tally.label(number).precision == (right / given_ if given_ else 0)
        assert tally.label(number).recall == (right / wanted if wanted else 0)
        precision, recall = tally.label(number).precision, tally.label(number).recall
        harmonic = 2 * precision * recall / (precision + recall) if right else 0
        assert tally.label(number).f1 == pytest.approx(harmonic)
    accuracy = sum(expected == answered for expected, answered in pairs) / total
    assert scores.statistics()["accuracy"](np.arange(total)) == pytest.approx(accuracy)
    # recall weighted by support is accuracy, whatever the answers are
    assert tally.weighted().recall == pytest.approx(accuracy)
    assert sum(one.count for one in scores.confusion()) == total


def test_calibration_by_hand() -> None:
    confidence = np.array([0.15, 0.2, 0.25, 0.95, 0.0, 1.0])
    correct = np.array([True, False, True, True, False, True])
    found = calibrate(confidence, correct, bins=5)
    first, second, *middle, last = found.bins
    assert (first.low, first.high) == (0, 0.2)
    assert first.count == 3  # its upper end is its own, and 0 has no bin below
    assert first.confidence == pytest.approx(0.35 / 3)
    assert first.accuracy == pytest.approx(1 / 3)
    assert (second.count, second.confidence, second.accuracy) == (1, 0.25, 1)
    assert [one.count for one in middle] == [0, 0]
    assert (last.count, last.accuracy) == (2, 1)
    assert last.confidence == pytest.approx(0.975)
    by_hand = (3 * (1 / 3 - 0.35 / 3) + 1 * 0.75 + 2 * 0.025) / 6
    assert found.error == pytest.approx(by_hand)


def test_scores_that_are_no_distribution_have_no_calibration() -> None:
    answers = [Classified("a", 0.9, 1.7), Classified("b", 0.8, 1.0)]
    assert score_classes(["a", "b"], answers, bins=5).calibration is None
    assert score_classes(["a", "b"], [None, None], bins=5).calibration is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1), st.integers(1, 20))
def test_bins_hold_every_answer_once(pairs: list[tuple[float, bool]], bins: int) -> None:
    confidence = np.array([one for one, _ in pairs])
    found = calibrate(confidence, np.array([right for _, right in pairs]), bins)
    assert sum(one.count for one in found.bins) == len(pairs)
    assert 0 <= found.error <= 1
    for one in found.bins:
        if one.count:
            assert one.low - 1e-9 <= one.confidence <= one.high + 1e-9
