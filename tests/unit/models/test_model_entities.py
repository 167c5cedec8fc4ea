"""Entities found whole, counted as conlleval counts them."""

import pytest

from triptych_models.entities import score_entities, spans


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O O", []),
        ("B-a I-a O B-a", [(0, 2, "a"), (3, 4, "a")]),
        ("B-a B-a", [(0, 1, "a"), (1, 2, "a")]),
        ("O I-a I-a", [(1, 3, "a")]),
        ("B-a I-b I-b", [(0, 1, "a"), (1, 3, "b")]),
        ("B-creative-work I-creative-work", [(0, 2, "creative-work")]),
    ],
)
def test_spans(tags: str, expected: list[tuple[int, int, str]]) -> None:
    assert spans(tags.split()) == expected


def test_an_entity_counts_whole_or_not_at_all() -> None:
    gold = [["B-a", "I-a", "O", "B-b"], ["B-a", "O"]]
    found = [["B-a", "O", "O", "B-b"], ["B-a", "B-a"]]
    scores = score_entities(gold, found)
    # found 4, there 3, right 2: the second of the first sentence and the first of the second
    assert scores.precision == 0.5
    assert scores.recall == pytest.approx(2 / 3)
    assert scores.f1 == pytest.approx(4 / 7)
    assert scores.by_label == {"a": pytest.approx(2 / 5), "b": 1.0}


def test_nothing_there_and_nothing_found_is_no_success() -> None:
    assert score_entities([["O"]], [["O"]]).f1 == 0.0
