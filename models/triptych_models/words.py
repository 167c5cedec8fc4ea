"""Sentences of words as tokens, and which word each token is of."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from triptych_models.conll import Sentence

NO_WORD = -1
"""Of special tokens, and of what stands between words."""


@dataclass(frozen=True, slots=True)
class Worded:
    """A sentence of S tokens, cut at the tokenizer's maximum."""

    input_ids: NDArray[np.int32]
    word: NDArray[np.int64]
    """[S]: the sentence's word that each token is of, or NO_WORD."""

    @property
    def begins(self) -> NDArray[np.bool_]:
        """[S]: whether a token is the first of a word."""
        before = np.concatenate([[NO_WORD], self.word[:-1]])
        first: NDArray[np.bool_] = (self.word != NO_WORD) & (self.word != before)
        return first


def encode_sentences(tokenizer: Tokenizer, sentences: Sequence[Sentence]) -> list[Worded]:
    """Tokens of the text as a client sends it, not of words apart: as the model will be served."""
    encodings = tokenizer.encode_batch([sentence.text for sentence in sentences])
    return [
        Worded(np.array(one.ids, np.int32), _words(sentence, one.offsets))
        for sentence, one in zip(sentences, encodings, strict=True)
    ]


def _words(sentence: Sentence, offsets: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """By the last character of each token, since some tokenizers let one begin with the blank."""
    ends = np.array(list(accumulate(len(word) + 1 for word in sentence.words)))
    last = np.array([end - 1 for _, end in offsets])
    empty = np.array([start == end for start, end in offsets])
    return np.where(empty, NO_WORD, np.searchsorted(ends, last, side="right"))


def word_tags(
    sentence: Sentence, worded: Worded, classes: NDArray[np.integer], labels: Sequence[str]
) -> list[str]:
    """The tag of each word, from its first token's class [S]; `O` for what was cut off."""
    tags = ["O"] * len(sentence.words)
    for token in np.flatnonzero(worded.begins):
        tags[worded.word[token]] = labels[classes[token]]
    return tags
