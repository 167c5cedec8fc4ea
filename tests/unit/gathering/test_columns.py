"""Results divided among the requests of a call, and joined from chunks."""

import numpy as np
import pytest

from triptych_gateway.columns import (
    divide,
    embedding_width,
    empty_result,
    join_results,
    sum_runs,
)
from triptych_gateway.local_bundles import local_bundle, local_head
from triptych_gateway.tasks import (
    ChosenHead,
    Classes,
    Classify,
    EmbedOptions,
    Entities,
    TagOptions,
)

MODEL = local_bundle(dimensions=20)


def column(*values: int) -> "np.ndarray[tuple[int], np.dtype[np.int32]]":
    return np.array(values, np.int32)


def entities(items: list[int], labels: tuple[str, ...]) -> Entities:
    count = len(items)
    places = np.arange(count, dtype=np.int32)
    scores = np.ones(count, np.float32)
    return Entities(column(*items), places, places + 1, places % len(labels), scores, labels)


def names(result: object) -> list[tuple[int, str]]:
    assert isinstance(result, Entities)
    pairs = zip(result.item_index.tolist(), result.label_id.tolist(), strict=True)
    return [(item, result.labels[label]) for item, label in pairs]


def test_runs_are_summed_whether_they_have_values_or_not() -> None:
    assert sum_runs(column(3, 4, 5, 6), [0, 2, 0, 1, 1, 0]) == [0, 7, 0, 5, 6, 0]


def test_entities_go_to_the_request_of_their_item() -> None:
    found = entities([0, 0, 2, 3, 5], ("A", "B"))
    parts = divide(found, [2, 0, 1, 3], [2, 0, 1, 2])
    assert list(map(names, parts)) == [
        [(0, "A"), (0, "B")],
        [],
        [(0, "A")],
        [(0, "B"), (2, "A")],
    ]


def test_chunks_with_tables_of_their_own_get_one() -> None:
    first, second = entities([0, 1], ("A", "B")), entities([0, 0], ("B", "C"))
    joined = join_results([first, empty_result(MODEL, TagOptions()), second], [0, 2, 7])
    assert names(joined) == [(0, "A"), (1, "B"), (7, "B"), (7, "C")]
    ids, scores = column(0, 1).reshape(1, 2), np.ones((1, 2), np.float32)
    classes = join_results(
        [Classes(ids, scores, ("A", "B")), Classes(ids, scores, ("B", "A"))], [0, 1]
    )
    assert isinstance(classes, Classes)
    labels = [[classes.labels[index] for index in row] for row in classes.label_ids]
    assert labels == [["A", "B"], ["B", "A"]]


@pytest.mark.parametrize(
    ("options", "width"),
    [
        (EmbedOptions(), 20),
        (EmbedOptions(dimensions=9, dtype="int8"), 9),
        (EmbedOptions(dtype="uint8"), 3),
        (EmbedOptions(dimensions=8, dtype="uint8"), 1),
    ],
)
def test_no_embeddings_have_a_width(options: EmbedOptions, width: int) -> None:
    assert embedding_width(MODEL, options) == width
    nothing = empty_result(MODEL, options)
    assert isinstance(nothing, np.ndarray)
    assert (nothing.shape, nothing.dtype) == ((0, width), np.dtype(options.dtype))


def test_no_classes_have_labels() -> None:
    head = local_head("moods", ("a", "b", "c"), trunk=MODEL)
    nothing = empty_result(MODEL, Classify(ChosenHead(head.head), top_k=2))
    assert isinstance(nothing, Classes)
    assert nothing.scores.shape == (0, 2)
    assert nothing.labels == ("a", "b", "c")
