"""Labelled data as a bundle's graph reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from triptych_models.conll import Sentence, read_conll
from triptych_models.heads.examples import Examples
from triptych_models.words import Worded, encode_sentences

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Token ids and types of N inputs, special tokens included."""

    input_ids: Sequence[Ids]
    token_types: Sequence[Ids]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each."""
        return [len(ids) for ids in self.input_ids]


def encode_examples(tokenizer: Tokenizer, examples: Examples) -> Inputs:
    """Texts or pairs, cut at the tokenizer's maximum."""
    texts = list(examples.texts)
    inputs = list(zip(texts, examples.pairs, strict=True)) if examples.pairs else texts
    encodings = tokenizer.encode_batch(inputs)
    return Inputs(
        [np.array(one.ids, np.int32) for one in encodings],
        [np.array(one.type_ids, np.int32) for one in encodings],
    )


@dataclass(frozen=True, slots=True)
class Tagged:
    """Sentences, and their tokens."""

    sentences: Sequence[Sentence]
    worded: Sequence[Worded]

    @property
    def inputs(self) -> Inputs:
        """All of token type 0."""
        ids = [one.input_ids for one in self.worded]
        return Inputs(ids, [np.zeros_like(one) for one in ids])


def read_tagged(path: Path, tokenizer: Tokenizer) -> Tagged:
    """The sentences of a CoNLL file; TrainingDataError where there are none."""
    sentences = read_conll(path)
    return Tagged(sentences, encode_sentences(tokenizer, sentences))
