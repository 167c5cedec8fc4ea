"""Logits of tokens to entities.

T tokens of S sequences, L labels of tokens. The rules are those of transformers 4.57 and 5,
TokenClassificationPipeline: `postprocess` for the scores, `aggregate` and `aggregate_word` for what
becomes of a word, `group_entities` for what becomes of neighbours. Here they work on all tokens of
all sequences at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from triptych_postprocess.entities import Entities
from triptych_postprocess.heads import softmax
from triptych_postprocess.layout import Layout
from triptych_postprocess.outcome import Errors, Outcome, failing, living
from triptych_postprocess.tags import TagScheme, ignored
from triptych_postprocess.vectors import finite_rows
from triptych_postprocess.windows import changes
from triptych_servicekit.errors import Internal

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]


class Aggregation(Enum):
    """How the tags of tokens become entities."""

    NONE = "none"
    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class TagOptions:
    """How entities are found, and the labels that are never returned."""

    aggregation: Aggregation
    ignore_labels: frozenset[str]

    def labels(self, scheme: TagScheme) -> tuple[str, ...]:
        """The labels that entities can have."""
        return scheme.labels if self.aggregation is Aggregation.NONE else scheme.groups


@dataclass(frozen=True, slots=True)
class Tokens:
    """The K tokens that are tagged, in their order."""

    index: Rows
    """[K]: which of all tokens"""
    run: Rows
    """[K]: number of the run that each is in, see Once"""
    word: Rows
    """[K]: its word; where words do not matter, each token is one"""
    scores: Scores
    """[K, L]: probabilities"""


@dataclass(frozen=True, slots=True)
class Units:
    """U tokens, words or groups of them, one after the other."""

    first: Rows
    """[U]: the first token of each, of K"""
    last: Rows
    label: Rows
    score: Scores


def tag(
    logits: NDArray[np.floating],
    layout: Layout,
    scheme: TagScheme,
    options: TagOptions,
    errors: Errors,
) -> Outcome[Entities]:
    """Entities in the items not in `errors` and without other error; `logits` are [T, L].

    An item fails alone where the logits of one of its tokens are not finite.
    """
    item, items = layout.sequences.item, layout.sequences.items
    owner = np.repeat(item, layout.sequences.lengths)
    broken = np.zeros(items, bool)
    broken[owner[~finite_rows(logits)]] = True
    errors = failing(broken, Internal("the encoder's logits are not finite")) | errors
    tokens = _tokens(logits, layout, living(items, errors)[owner])
    units = UNITS[options.aggregation](tokens)
    if options.aggregation is not Aggregation.NONE:
        units = _grouped(units, tokens, scheme)
    found = _entities(units, layout, owner, tokens)
    names = options.labels(scheme)
    return Outcome(found.take(~ignored(names, options.ignore_labels)[found.label_id]), errors)


def _tokens(logits: NDArray[np.floating], layout: Layout, alive: NDArray[np.bool_]) -> Tokens:
    once = layout.once()
    kept = alive[once.index]
    if layout.word_ids is not None:
        kept &= layout.word_ids[once.index] >= 0
    once = once.only(kept)
    index = once.index
    word = index if layout.word_ids is None else layout.word_ids[index].astype(np.int64)
    # float32, as transformers takes it: how scores round decides between equals
    scores = softmax(logits[index].astype(np.float32)).astype(np.float32, copy=False)
    return Tokens(index, once.runs, word, scores)


def _single_tokens(tokens: Tokens) -> Units:
    rows = np.arange(len(tokens.index))
    return _labelled(rows, rows, tokens.scores)


def _first_of_words(tokens: Tokens) -> Units:
    first, last = _words(tokens)
    return _labelled(first, last, tokens.scores[first])


def _average_of_words(tokens: Tokens) -> Units:
    first, last = _words(tokens)
    sums: Scores = np.add.reduceat(tokens.scores, first, axis=0)
    lengths: Scores = (last - first + 1).astype(np.float32)
    return _labelled(first, last, sums / lengths[:, np.newaxis])


def _best_of_words(tokens: Tokens) -> Units:
    first, last = _words(tokens)
    best = tokens.scores.max(axis=1)
    is_best = best == np.repeat(np.maximum.reduceat(best, first), last - first + 1)
    # of several the first: rows that are not the best count as if they stood behind the word
    rows = np.where(is_best, np.arange(len(best)), len(best))
    return _labelled(first, last, tokens.scores[np.minimum.reduceat(rows, first)])


UNITS: Final[Mapping[Aggregation, Callable[[Tokens], Units]]] = {
    Aggregation.NONE: _single_tokens,
    Aggregation.SIMPLE: _single_tokens,
    Aggregation.FIRST: _first_of_words,
    Aggregation.AVERAGE: _average_of_words,
    Aggregation.MAX: _best_of_words,
}


def _labelled(first: Rows, last: Rows, scores: Scores) -> Units:
    label = scores.argmax(axis=1)
    return Units(first, last, label, scores[np.arange(len(label)), label])


def _words(tokens: Tokens) -> tuple[Rows, Rows]:
    return _spans(changes(tokens.run) | changes(tokens.word))


def _grouped(units: Units, tokens: Tokens, scheme: TagScheme) -> Units:
    """Neighbours of one tag joined, unless the later one begins an entity; labels are groups."""
    apart = changes(scheme.tag[units.label]) | scheme.begins[units.label]
    first, last = _spans(apart | changes(tokens.run[units.first]))
    sums = np.add.reduceat(units.score, first, dtype=np.float64)
    scores = (sums / (last - first + 1)).astype(np.float32)
    labels = scheme.group[units.label[first]].astype(np.int64)
    return Units(units.first[first], units.last[last], labels, scores)


def _entities(units: Units, layout: Layout, owner: Rows, tokens: Tokens) -> Entities:
    first, last = tokens.index[units.first], tokens.index[units.last]
    return Entities(
        owner[first].astype(np.int32),
        layout.offsets[first, 0],
        layout.offsets[last, 1],
        units.label.astype(np.int32),
        units.score,
    )


def _spans(begins: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """First and last row of what begins where this says so; the first row does."""
    first = np.flatnonzero(begins)
    return first, np.append(first[1:], len(begins))[: len(first)] - 1
