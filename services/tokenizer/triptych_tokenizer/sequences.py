"""Sequences as the encoder reads them: runs of tokens and special tokens, gathered."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_tokenizer.options import Plan
from triptych_tokenizer.ragged import run_indices, run_starts
from triptych_tokenizer.template import RUNS, Template
from triptych_tokenizer.tokens import Tokens
from triptych_tokenizer.words import NO_WORD

Column = NDArray[np.int32]
NO_TEXT = -1
NOTHING = np.empty(0, np.int32)


@dataclass(frozen=True, slots=True)
class Sequences:
    """S sequences of T tokens in all, without padding; the columns of the contract's SequenceBatch.

    Every column is int32; one that was not asked for, or would say nothing, is None.
    """

    lengths: Column
    input_ids: Column
    token_type_ids: Column | None = None
    item_index: Column | None = None
    window_start: Column | None = None
    offsets: Column | None = None
    word_ids: Column | None = None
    special_tokens_mask: Column | None = None
    sequence_ids: Column | None = None


@dataclass(frozen=True, slots=True)
class Runs:
    """The five runs of every sequence, see `template.RUNS`.

    Each is [S, 5]; `starts` count in the tokens' pool followed by both templates' special tokens.
    `type_ids` is None where no sequence is a pair.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    type_ids: NDArray[np.int32] | None


def lay_runs(
    tokens: Tokens,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    pair: NDArray[np.bool_],
    plan: Plan,
) -> Runs:
    """Put special tokens around the texts of S sequences.

    `starts` and `lengths` are [S, 2] in the pool of `tokens`; `pair` is [S].
    """
    templates = (plan.single, plan.pair)
    kind = pair.astype(np.intp)
    special = np.array([_special_lengths(template) for template in templates], np.int64)
    special_starts = run_starts(special.ravel()).reshape(special.shape) + len(tokens.ids)
    all_starts, all_lengths = special_starts[kind], special[kind]
    all_starts[:, 1::2], all_lengths[:, 1::2] = starts, lengths
    types = np.array([template.type_ids for template in templates], np.int32)
    return Runs(all_starts, all_lengths, types[kind] if pair.any() else None)


def assemble(
    tokens: Tokens, runs: Runs, plan: Plan, item_index: Column | None, window_start: Column | None
) -> Sequences:
    """Gather every column that the plan asks for."""
    columns = plan.columns
    lengths = runs.lengths.ravel()
    index = run_indices(runs.starts.ravel(), lengths)
    texts = _texts(lengths) if columns.special_tokens_mask or columns.sequence_ids else NOTHING
    return Sequences(
        runs.lengths.sum(axis=1).astype(np.int32),
        np.concatenate([tokens.ids, _special_ids(plan)])[index],
        None if runs.type_ids is None else np.repeat(runs.type_ids.ravel(), lengths),
        item_index,
        window_start,
        _gather_offsets(tokens.offsets, plan, index),
        _gather_words(tokens.word_ids, plan, index),
        (texts == NO_TEXT).astype(np.int32) if columns.special_tokens_mask else None,
        texts if columns.sequence_ids else None,
    )


def _texts(lengths: NDArray[np.int64]) -> Column:
    numbers = [NO_TEXT if text is None else text for text in RUNS]
    return np.repeat(np.array(numbers * (len(lengths) // len(RUNS)), np.int32), lengths)


def _special_lengths(template: Template) -> tuple[int, ...]:
    return len(template.before), 0, len(template.between), 0, len(template.after)


def _special_ids(plan: Plan) -> Column:
    ids = [
        token
        for template in (plan.single, plan.pair)
        for token in (*template.before, *template.between, *template.after)
    ]
    return np.array(ids, np.int32)


def _gather_words(word_ids: Column | None, plan: Plan, index: NDArray[np.int64]) -> Column | None:
    if word_ids is None:
        return None
    special = np.full(len(plan.single) + len(plan.pair), NO_WORD, np.int32)
    return np.concatenate([word_ids, special])[index]


def _gather_offsets(offsets: Column | None, plan: Plan, index: NDArray[np.int64]) -> Column | None:
    if offsets is None:
        return None
    special = np.zeros((len(plan.single) + len(plan.pair), 2), np.int32)
    # Offsets count in the caller's own text, so tokens of the prompt shrink to 0, 0.
    own = np.maximum(offsets - len(plan.prompt), 0)
    return np.concatenate([own, special])[index]
