"""Entities against the rules told token by token, and against numbers worked out by hand."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from triptych_postprocess.entities import Entities
from triptych_postprocess.layout import Layout, Sequences
from triptych_postprocess.outcome import Outcome
from triptych_postprocess.tagging import Aggregation, TagOptions, tag
from triptych_postprocess.tags import TagScheme, read_scheme
from triptych_servicekit.errors import DeadlineExceeded, Internal

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
NONE, B_PER, I_PER, B_LOC, I_LOC = range(5)
SPECIAL = None
BY_WORD = (Aggregation.FIRST, Aggregation.AVERAGE, Aggregation.MAX)

Row = Sequence[float] | int
# A token: its probabilities (or the label that it surely has), its word, its first and last code
# point; None for a special token.
Token = tuple[Row, int, int, int] | None


def scheme(labels: Sequence[str] = LABELS) -> TagScheme:
    made = read_scheme(labels)
    assert made is not None
    return made


def logits(row: Row, labels: int) -> list[float]:
    if isinstance(row, int):
        return [20.0 if label == row else 0.0 for label in range(labels)]
    return [math.log(share) for share in row]


def found(
    *sequences: Sequence[Token],
    aggregation: Aggregation = Aggregation.SIMPLE,
    labels: Sequence[str] = LABELS,
    ignore: Sequence[str] = ("O",),
    item: Sequence[int] | None = None,
    start: Sequence[int] | None = None,
) -> list[Any]:
    options = TagOptions(aggregation, frozenset(ignore))
    outcome = run(*sequences, options=options, labels=labels, item=item, start=start)
    assert not outcome.errors
    return rows(outcome.rows, options.labels(scheme(labels)))


def run(
    *sequences: Sequence[Token],
    options: TagOptions,
    labels: Sequence[str] = LABELS,
    item: Sequence[int] | None = None,
    start: Sequence[int] | None = None,
    errors: dict[int, Any] | None = None,
    scale: float = 1,
    dtype: type[np.floating] = np.float32,
) -> Outcome[Entities]:
    tokens = [token for sequence in sequences for token in sequence]
    numbers = [logits(token[0], len(labels)) if token else [0.0] * len(labels) for token in tokens]
    layout = Layout(
        Sequences(
            np.array([*map(len, sequences)], np.int32),
            np.array(range(len(sequences)) if item is None else item, np.int64),
            None if start is None else np.array(start, np.int64),
        ),
        np.array([token[2:] if token else (0, 0) for token in tokens], np.int32),
        np.array([token is None for token in tokens]),
        np.array([token[1] if token else -1 for token in tokens], np.int32),
    )
    array = (np.array(numbers) * scale).astype(dtype)
    return tag(array, layout, scheme(labels), options, errors or {})


def rows(made: Entities, labels: Sequence[str]) -> list[Any]:
    """(item, label, start, end, score) of each."""
    columns = made.item_index, made.label_id, made.start, made.end, made.score
    assert [column.dtype for column in columns] == [np.int32] * 4 + [np.float32]
    return [
        (int(item), labels[label], int(start), int(end), pytest.approx(float(score), abs=1e-5))
        for item, label, start, end, score in zip(*columns, strict=True)
    ]


# microsoft|company: two pieces a word
PIECES: list[Token] = [
    SPECIAL,
    ((0.1, 0.6, 0.1, 0.1, 0.1), 0, 0, 5),
    ((0.1, 0.1, 0.1, 0.05, 0.65), 0, 5, 9),
    ((0.1, 0.1, 0.5, 0.2, 0.1), 1, 10, 13),
    ((0.3, 0.1, 0.4, 0.1, 0.1), 1, 13, 17),
    ((0.9, 0.025, 0.025, 0.025, 0.025), 2, 17, 18),
    SPECIAL,
]


def test_none_takes_every_token() -> None:
    assert found(PIECES, aggregation=Aggregation.NONE) == [
        (0, "B-PER", 0, 5, 0.6),
        (0, "I-LOC", 5, 9, 0.65),
        (0, "I-PER", 10, 13, 0.5),
        (0, "I-PER", 13, 17, 0.4),
    ]


def test_simple_joins_tokens_of_one_tag() -> None:
    assert found(PIECES) == [
        (0, "PER", 0, 5, 0.6),
        (0, "LOC", 5, 9, 0.65),
        (0, "PER", 10, 17, 0.45),
    ]


def test_first_lets_the_first_piece_speak_for_the_word() -> None:
    assert found(PIECES, aggregation=Aggregation.FIRST) == [(0, "PER", 0, 17, 0.55)]


def test_max_lets_the_surest_piece_speak() -> None:
    assert found(PIECES, aggregation=Aggregation.MAX) == [
        (0, "LOC", 0, 9, 0.65),
        (0, "PER", 10, 17, 0.5),
    ]


def test_average_takes_the_mean_over_the_pieces() -> None:
    # means: (0.1, 0.35, 0.1, 0.075, 0.375) and (0.2, 0.1, 0.45, 0.15, 0.1)
    assert found(PIECES, aggregation=Aggregation.AVERAGE) == [
        (0, "LOC", 0, 9, 0.375),
        (0, "PER", 10, 17, 0.45),
    ]


def test_what_begins_an_entity_ends_the_one_before() -> None:
    tokens = [(label, number, number, number + 1) for number, label in enumerate((1, 2, 1, 1, 4))]
    spans = [(label, start, end) for _, label, start, end, _ in found(tokens)]
    assert spans == [("PER", 0, 2), ("PER", 2, 3), ("PER", 3, 4), ("LOC", 4, 5)]


def test_what_is_outside_parts_entities() -> None:
    tokens = [(label, number, number, number + 1) for number, label in enumerate((2, 0, 2, 4, 4))]
    spans = [(label, start, end) for _, label, start, end, _ in found(tokens)]
    assert spans == [("PER", 0, 1), ("PER", 2, 3), ("LOC", 3, 5)]


def test_labels_without_prefix_go_on() -> None:
    labels = ("O", "PER", "X-PER", "B-A-B")
    tokens = [(label, n, n, n + 1) for n, label in enumerate((1, 1, 2, 2, 3, 3))]
    assert [entry[1:4] for entry in found(tokens, labels=labels)] == [
        ("PER", 0, 2),
        ("PER", 2, 4),
        ("A-B", 4, 5),
        ("A-B", 5, 6),
    ]


def test_ignored_labels_are_those_of_the_answer() -> None:
    tokens = [(label, n, n, n + 1) for n, label in enumerate((0, 1, 4))]
    groups = found(tokens, ignore=["PER", "B-LOC"])
    assert [entry[1] for entry in groups] == ["O", "LOC"]
    single = found(tokens, ignore=["B-PER", "LOC"], aggregation=Aggregation.NONE)
    assert [entry[1] for entry in single] == ["O", "I-LOC"]


def test_no_entity_spans_two_sequences_or_a_special_token() -> None:
    token: Token = (I_PER, 0, 0, 1)
    for aggregation in (Aggregation.SIMPLE, *BY_WORD):
        made = found([token], [SPECIAL, token, SPECIAL, token], aggregation=aggregation)
        assert [entry[0] for entry in made] == [0, 1, 1]


def test_tokens_of_no_word_are_left_out() -> None:
    prompt: Token = (B_LOC, -1, 0, 0)
    for aggregation in Aggregation:
        made = found([SPECIAL, prompt, (B_PER, 0, 0, 3)], aggregation=aggregation)
        assert [entry[2:4] for entry in made] == [(0, 3)]


def test_windows_say_once_what_both_have_seen() -> None:
    first: list[Token] = [(NONE, 0, 0, 3), (B_PER, 1, 4, 6), (I_PER, 2, 7, 9)]
    second: list[Token] = [
        (B_PER, 1, 4, 6),
        (I_PER, 2, 7, 9),
        (I_PER, 3, 10, 12),
        (NONE, 4, 13, 14),
    ]
    other: list[Token] = [(B_LOC, 0, 0, 2)]
    made = found(first, second, other, item=[0, 0, 1], start=[0, 1, 0])
    assert [entry[:4] for entry in made] == [(0, "PER", 4, 12), (1, "LOC", 0, 2)]


def test_broken_items_fail_alone() -> None:
    late = DeadlineExceeded("late")
    token: Token = (B_PER, 0, 0, 1)
    broken: Token = ((math.e, math.inf, 1, 1, 1), 0, 0, 1)
    options = TagOptions(Aggregation.SIMPLE, frozenset(("O",)))
    made = run([token], [token, broken], [token], [token], options=options, errors={2: late})
    assert made.rows.item_index.tolist() == [0, 3]
    assert isinstance(made.errors[1], Internal)
    assert made.errors[2] is late


@pytest.mark.parametrize("aggregation", Aggregation)
def test_without_tokens_there_are_no_entities(aggregation: Aggregation) -> None:
    assert found([SPECIAL, SPECIAL], aggregation=aggregation) == []
    assert found([(NONE, 0, 0, 1)], aggregation=aggregation) == []


shares = st.lists(st.floats(0.015625, 1, width=32), min_size=5, max_size=5) | st.integers(0, 4)


@st.composite
def texts(draw: st.DrawFn) -> list[Token]:
    tokens: list[Token] = [SPECIAL]
    word, end = -1, 0
    for _ in range(draw(st.integers(0, 8))):
        joined = word >= 0 and draw(st.booleans())
        word, start = word + (not joined), end + draw(st.integers(0, 2))
        end = start + draw(st.integers(1, 4))
        tokens.append((draw(shares), word, start, end))
    return [*tokens, SPECIAL]


@given(st.lists(texts(), min_size=1, max_size=4), st.sampled_from(Aggregation))
def test_entities_are_those_of_the_rules(
    sequences: list[list[Token]], aggregation: Aggregation
) -> None:
    expected = [
        (item, *entity)
        for item, sequence in enumerate(sequences)
        for entity in told([token for token in sequence if token], aggregation)
        if entity[0] != "O"
    ]
    assert found(*sequences, aggregation=aggregation) == expected


def told(tokens: list[Any], aggregation: Aggregation) -> list[tuple[str, int, int, float]]:
    """The entities of one sequence, by the rules as transformers tells them."""
    words: list[list[tuple[NDArray[np.float32], int, int]]] = []
    before = -1
    for row, word, start, end in tokens:
        numbers = np.array(logits(row, 5), np.float32)
        raw = np.exp(numbers - numbers.max())
        if aggregation in BY_WORD and word == before:
            words[-1].append((raw / raw.sum(), start, end))
        else:
            words.append([(raw / raw.sum(), start, end)])
        before = word
    tagged = [(verdict(word, aggregation), word[0][1], word[-1][2]) for word in words]
    named = [
        (LABELS[int(scores.argmax())], start, end, float(scores.max()))
        for scores, start, end in tagged
    ]
    return named if aggregation is Aggregation.NONE else grouped(named)


def verdict(word: list[Any], aggregation: Aggregation) -> NDArray[np.float32]:
    scores = np.stack([entry[0] for entry in word])
    if aggregation is Aggregation.AVERAGE:
        return np.asarray(scores.mean(axis=0))
    if aggregation is Aggregation.MAX:
        return np.asarray(max(scores, key=max))
    return np.asarray(scores[0])


def grouped(named: list[tuple[str, int, int, float]]) -> list[tuple[str, int, int, float]]:
    groups: list[list[tuple[str, int, int, float]]] = []
    for entry in named:
        same = groups and groups[-1][-1][0].split("-")[-1] == entry[0].split("-")[-1]
        if same and not entry[0].startswith("B-"):
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return [
        (
            group[0][0].split("-")[-1],
            group[0][1],
            group[-1][2],
            sum(entry[3] for entry in group) / len(group),
        )
        for group in groups
    ]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@given(
    sequences=st.lists(texts(), min_size=1, max_size=4),
    aggregation=st.sampled_from(Aggregation),
    size=st.sampled_from([1e-7, 1.0, 6e4, 1e30]),
)
def test_entities_lie_inside_their_offsets(
    sequences: list[list[Token]], aggregation: Aggregation, size: float, dtype: type[np.floating]
) -> None:
    options = TagOptions(aggregation, frozenset(("none",)))
    largest = float(np.finfo(dtype).max)
    made = run(*sequences, options=options, scale=min(size, largest / 40), dtype=dtype).rows
    assert (np.diff(made.item_index) >= 0).all()
    assert ((made.score > 0) & (made.score <= 1 + 1e-6)).all()
    for item, start, end in zip(made.item_index, made.start, made.end, strict=True):
        own = [token for token in sequences[item] if token]
        assert start in [token[2] for token in own]
        assert end in [token[3] for token in own]
        assert start < end


@st.composite
def windows(draw: st.DrawFn) -> tuple[list[list[Token]], list[int], int, int]:
    """Texts, the items of them that are cut, tokens of a window, and how many two share."""
    sequences = draw(st.lists(texts(), min_size=1, max_size=3))
    room = draw(st.integers(1, 6))
    return sequences, draw(st.lists(st.integers(0, 2))), room, draw(st.integers(0, room - 1))


@given(windows(), st.sampled_from(Aggregation))
def test_windows_of_a_text_give_the_entities_of_the_text(
    drawn: tuple[list[list[Token]], list[int], int, int], aggregation: Aggregation
) -> None:
    sequences, cut, room, stride = drawn
    made, item, start = [], [], []
    for index, sequence in enumerate(sequences):
        inner, step = sequence[1:-1], room - stride
        beyond = max(0, len(inner) - room) if index in cut else 0
        length = room if index in cut else len(inner)
        for first in range(0, beyond + step, step):
            made.append([SPECIAL, *inner[first : first + length], SPECIAL])
            item.append(index)
            start.append(first)
    whole = found(*sequences, aggregation=aggregation)
    assert found(*made, aggregation=aggregation, item=item, start=start) == whole


@pytest.mark.parametrize("at", range(12))
def test_a_token_is_read_where_most_is_around_it(at: int) -> None:
    """Windows 0 to 7 and 4 to 11: tokens are surely PER in the one and surely LOC in the other."""
    tokens = [[(label, n, n, n + 1) for n in range(12)] for label in (B_PER, B_LOC)]
    made = found(
        [SPECIAL, *tokens[0][:8], SPECIAL], [SPECIAL, *tokens[1][4:], SPECIAL],
        item=[0, 0], start=[0, 4], aggregation=Aggregation.NONE,
    )  # fmt: skip
    assert len(made) == 12
    assert made[at][1:4] == ("B-PER" if at < 6 else "B-LOC", at, at + 1)
