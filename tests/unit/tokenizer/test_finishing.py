"""Items to sequences, held against what the library makes of them by its own means."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Encoding, Tokenizer

from triptych_servicekit.errors import InvalidArgument, PayloadTooLarge, TriptychError
from triptych_tokenizer.finishing import Tokenized, finish
from triptych_tokenizer.items import Item, TextPair, TokenIds
from triptych_tokenizer.model import ModelTokenizer
from triptych_tokenizer.options import Columns, Options, Truncation, resolve
from triptych_tokenizer.sequences import Column, Sequences

CLS, SEP = 1, 2
EVERY_COLUMN = Columns(offsets=True, word_ids=True, special_tokens_mask=True, sequence_ids=True)

words = st.lists(st.integers(0, 39).map("w{}".format), min_size=1, max_size=30).map(" ".join)
pairs = st.builds(TextPair, words, words)
reuse = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def tokenize(
    model: ModelTokenizer, items: Sequence[Item], options: Options, max_tokens: int = 10**6
) -> Tokenized:
    plan = resolve(options, model.vocabulary)
    return finish(model.encode(items, plan), items, plan, max_tokens)


def rows(sequences: Sequences, column: Column | None) -> list[Any]:
    assert column is not None
    return [row.tolist() for row in np.split(column, np.cumsum(sequences.lengths)[:-1])]


def ids(result: Tokenized) -> list[list[int]]:
    return rows(result.sequences, result.sequences.input_ids)


def numbers(*values: int) -> str:
    return " ".join(f"w{value}" for value in values)


@reuse
@given(st.lists(words | pairs, min_size=1), st.integers(4, 16), st.sampled_from(["right", "left"]))
def test_every_column_is_the_librarys(
    library: Tokenizer, model: ModelTokenizer, items: list[Item], max_length: int, side: str
) -> None:
    library.no_truncation()
    options = Options(truncation=Truncation(side), max_length=max_length, columns=EVERY_COLUMN)
    result = tokenize(model, items, options)
    totals = [len(encoding) for encoding in library.encode_batch(items)]
    library.enable_truncation(max_length, strategy="longest_first", direction=side)
    expected = library.encode_batch(items)
    made = result.sequences
    assert ids(result) == [encoding.ids for encoding in expected]
    assert rows(made, made.offsets) == [list(map(list, e.offsets)) for e in expected]
    assert rows(made, made.word_ids) == [minus(e.word_ids) for e in expected]
    assert rows(made, made.special_tokens_mask) == [e.special_tokens_mask for e in expected]
    assert rows(made, made.sequence_ids) == [minus(e.sequence_ids) for e in expected]
    assert_types(made, expected, items)
    assert result.total_tokens.tolist() == totals
    assert result.kept_tokens.tolist() == made.lengths.tolist()


def minus(values: Sequence[int | None]) -> list[int]:
    return [-1 if value is None else value for value in values]


def assert_types(made: Sequences, expected: list[Encoding], items: list[Item]) -> None:
    if any(isinstance(item, TextPair) for item in items):
        assert rows(made, made.token_type_ids) == [encoding.type_ids for encoding in expected]
    else:
        assert made.token_type_ids is None


def test_columns_are_left_out_unless_asked_for(model: ModelTokenizer) -> None:
    made = tokenize(model, ["w1", "w2 w3"], Options()).sequences
    assert made == Sequences(made.lengths, made.input_ids)


def test_ready_ids_get_special_tokens_once(model: ModelTokenizer) -> None:
    items: list[Item] = [
        np.array([7, 8], np.int32),
        "w5",
        np.array([CLS, 7, 8, SEP], np.int32),
        np.arange(3, 23, dtype=np.int32),
    ]
    result = tokenize(model, items, Options(max_length=5))
    assert ids(result) == [[CLS, 7, 8, SEP], [CLS, 8, SEP], [CLS, 7, 8, SEP], [CLS, 3, 4, 5, SEP]]
    assert result.total_tokens.tolist() == [4, 3, 4, 22]


def test_without_special_tokens_ready_ids_stay_as_they_are(model: ModelTokenizer) -> None:
    items = [np.array([CLS, 7, SEP], np.int32)]
    assert ids(tokenize(model, items, Options(add_special_tokens=False))) == [[CLS, 7, SEP]]


def test_ready_ids_have_no_words_and_offsets(model: ModelTokenizer) -> None:
    items: list[Item] = ["w1 w2", np.array([7], np.int32)]
    made = tokenize(model, items, Options(columns=EVERY_COLUMN)).sequences
    assert rows(made, made.word_ids) == [[-1, 0, 1, -1], [-1, -1, -1]]
    assert rows(made, made.sequence_ids) == [[-1, 0, 0, -1], [-1, 0, -1]]
    assert rows(made, made.offsets)[1] == [[0, 0]] * 3


def test_windows(model: ModelTokenizer) -> None:
    items = [numbers(*range(7)), "w9"]
    result = tokenize(model, items, Options(truncation=Truncation.WINDOW, max_length=5, stride=1))
    assert ids(result) == [[1, 3, 4, 5, 2], [1, 5, 6, 7, 2], [1, 7, 8, 9, 2], [1, 12, 2]]
    made = result.sequences
    assert made.item_index is not None
    assert made.window_start is not None
    assert made.item_index.tolist() == [0, 0, 0, 1]
    assert made.window_start.tolist() == [0, 2, 4, 0]
    assert result.total_tokens.tolist() == result.kept_tokens.tolist() == [9, 3]


def test_windows_that_are_not_needed_leave_no_trace(model: ModelTokenizer) -> None:
    made = tokenize(model, ["w1", "w2"], Options(truncation=Truncation.WINDOW)).sequences
    assert made.item_index is made.window_start is None


def test_too_long_items_fail_alone_and_tell_their_length(model: ModelTokenizer) -> None:
    items = [numbers(*range(20)), "w1"]
    result = tokenize(model, items, Options(truncation=Truncation.ERROR))
    error = result.errors[0]
    assert (error.reason, error.field) == ("INPUT_TOO_LONG", "inputs[0]")
    assert "22 tokens, at most 16" in error.message
    assert result.total_tokens.tolist() == [22, 3]
    assert result.kept_tokens.tolist() == [0, 3]
    assert result.sequences.item_index is not None
    assert result.sequences.item_index.tolist() == [1]
    assert result.sequences.window_start is None


def test_items_without_any_token_fail(model: ModelTokenizer) -> None:
    result = tokenize(model, [" ", "w1"], Options(add_special_tokens=False))
    assert result.errors[0].reason == "EMPTY_INPUT"
    assert ids(tokenize(model, [" "], Options())) == [[CLS, SEP]]


def test_a_call_of_failed_items_has_no_sequences(model: ModelTokenizer) -> None:
    failed: list[Item] = [InvalidArgument("one"), InvalidArgument("two")]
    result = tokenize(model, failed, Options(columns=EVERY_COLUMN))
    assert len(result.sequences.lengths) == len(result.sequences.input_ids) == 0
    assert sorted(result.errors) == [0, 1]


def test_offsets_count_in_the_text_without_its_prompt(model: ModelTokenizer) -> None:
    options = Options(prompt_name="query", columns=Columns(offsets=True))
    result = tokenize(model, ["w1 w2"], options)
    assert ids(result) == [[CLS, 33, 34, 4, 5, SEP]]
    offsets = rows(result.sequences, result.sequences.offsets)
    assert offsets == [[[0, 0], [0, 0], [0, 0], [0, 2], [3, 5], [0, 0]]]


def test_more_tokens_than_a_call_may_make_are_refused(model: ModelTokenizer) -> None:
    with pytest.raises(PayloadTooLarge, match="6 tokens, at most 5"):
        tokenize(model, ["w1", "w2"], Options(), max_tokens=5)


def test_windows_of_one_item_are_bounded_before_they_are_made(model: ModelTokenizer) -> None:
    options = Options(truncation=Truncation.WINDOW, max_length=5, stride=2)
    items = [numbers(*range(30)), "w1"]
    whole = tokenize(model, items, options)
    used = int(whole.sequences.lengths[:-1].sum())
    assert not tokenize(model, items[:1], options, max_tokens=used).errors
    result = tokenize(model, items, options, max_tokens=used - 1)
    assert result.errors[0].reason == "INPUT_TOO_LONG"
    assert ids(result) == [[CLS, 4, SEP]]


def test_an_item_that_needs_too_many_windows_fails_alone(model: ModelTokenizer) -> None:
    options = Options(truncation=Truncation.WINDOW, max_length=5, stride=1, max_windows=3)
    result = tokenize(model, [numbers(*range(8)), numbers(*range(7))], options)
    error = result.errors[0]
    assert (error.reason, error.field) == ("TOO_MANY_WINDOWS", "inputs[0]")
    assert "more than 3 windows" in error.message
    assert result.sequences.item_index is not None
    assert result.sequences.item_index.tolist() == [1, 1, 1]
    assert result.total_tokens.tolist() == [10, 9]
    assert result.kept_tokens.tolist() == [0, 9]


@reuse
@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_no_text_breaks_anything(model: ModelTokenizer, items: list[str]) -> None:
    result = tokenize(model, items, Options(columns=EVERY_COLUMN))
    assert not result.errors
    assert len(result.sequences.lengths) == len(items)
    assert result.sequences.lengths.sum() == len(result.sequences.input_ids)


def test_decoding_passes_errors_by(model: ModelTokenizer) -> None:
    broken = InvalidArgument("broken")
    sequence = np.array([CLS, 4, 5, SEP], np.int32)
    sequences: list[TokenIds | TriptychError] = [sequence, broken, sequence[:2]]
    assert model.decode(sequences, special_tokens=False) == ["w1 w2", broken, "w1"]
    assert model.decode([sequence], special_tokens=True) == ["[CLS] w1 w2 [SEP]"]
