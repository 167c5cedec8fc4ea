"""Token ids of a batch before anything is cut or added."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from triptych_tokenizer.options import Columns
from triptych_tokenizer.ragged import run_starts
from triptych_tokenizer.words import NO_WORD, Spans, WordRule, number_words


@dataclass(frozen=True, slots=True)
class Texts:
    """K texts of a batch: text k is text `slots[k] % 2` of item `slots[k] // 2`."""

    prompt: str
    """What stands before each when it is tokenized."""
    own: Sequence[str]
    slots: Sequence[int]

    def prompted(self) -> list[str]:
        """The texts as the tokenizer reads them."""
        return [self.prompt + text for text in self.own]


@dataclass(frozen=True, slots=True)
class Tokens:
    """A pool of T tokens, and where in it the two texts of each of N items stand.

    An item without a second text, or one that has failed, has runs of length 0.
    """

    ids: NDArray[np.int32]
    """[T]"""
    offsets: NDArray[np.int32] | None
    """[T, 2], code points of the text as the tokenizer read it, its prompt included"""
    word_ids: NDArray[np.int32] | None
    """[T]"""
    starts: NDArray[np.int64]
    """[N, 2]"""
    lengths: NDArray[np.int64]
    """[N, 2]"""


def collect(
    count: int, texts: Texts, encodings: Sequence[Encoding], rule: WordRule, columns: Columns
) -> Tokens:
    """Tokens of `count` items from the encodings of their texts."""
    lengths = np.fromiter(map(len, encodings), np.int64, len(encodings))
    total = int(lengths.sum())
    # fromiter over one flat iterator is the cheapest way out of the library's Python lists
    ids = np.fromiter(chain.from_iterable(e.ids for e in encodings), np.int32, total)
    offsets = _offsets(encodings, total) if columns.traced else None
    words = None
    if columns.word_ids and offsets is not None:
        words = number_words(rule, Spans(ids, offsets, lengths, texts.own, len(texts.prompt)))
    return _placed(count, ids, offsets if columns.offsets else None, words, lengths, texts.slots)


def wrap(
    count: int, arrays: Sequence[NDArray[np.int32]], slots: Sequence[int], columns: Columns
) -> Tokens:
    """Tokens of items that came as ids; array k is text `slots[k] % 2` of item `slots[k] // 2`."""
    lengths = np.fromiter(map(len, arrays), np.int64, len(arrays))
    total = int(lengths.sum())
    ids = np.concatenate([np.empty(0, np.int32), *arrays])
    offsets = np.zeros((total, 2), np.int32) if columns.offsets else None
    words = np.full(total, NO_WORD, np.int32) if columns.word_ids else None
    return _placed(count, ids, offsets, words, lengths, slots)


def overlay(first: Tokens, second: Tokens) -> Tokens:
    """Tokens of the same items, of which each has its tokens in one of the two."""
    starts = first.starts + np.where(second.lengths, second.starts + len(first.ids), 0)
    return Tokens(*_pooled([first, second]), starts, first.lengths + second.lengths)


def join(parts: Sequence[Tokens]) -> Tokens:
    """Tokens of the items of all parts, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    shifts = run_starts(np.array([len(part.ids) for part in parts]))
    starts = [part.starts + shift for part, shift in zip(parts, shifts, strict=True)]
    lengths = np.concatenate([part.lengths for part in parts])
    return Tokens(*_pooled(parts), np.concatenate(starts), lengths)


def _placed(
    count: int,
    ids: NDArray[np.int32],
    offsets: NDArray[np.int32] | None,
    word_ids: NDArray[np.int32] | None,
    lengths: NDArray[np.int64],
    slots: Sequence[int],
) -> Tokens:
    table = np.zeros((2, count * 2), np.int64)
    table[:, slots] = run_starts(lengths), lengths
    starts, item_lengths = table.reshape(2, count, 2)
    return Tokens(ids, offsets, word_ids, starts, item_lengths)


def _pooled(
    parts: Sequence[Tokens],
) -> tuple[NDArray[np.int32], NDArray[np.int32] | None, NDArray[np.int32] | None]:
    offsets = [part.offsets for part in parts if part.offsets is not None]
    words = [part.word_ids for part in parts if part.word_ids is not None]
    return (
        np.concatenate([part.ids for part in parts]),
        np.concatenate(offsets) if offsets else None,
        np.concatenate(words) if words else None,
    )


def _offsets(encodings: Sequence[Encoding], total: int) -> NDArray[np.int32]:
    pairs = chain.from_iterable(encoding.offsets for encoding in encodings)
    return np.fromiter(chain.from_iterable(pairs), np.int32, total * 2).reshape(total, 2)
