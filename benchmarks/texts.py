"""Texts of known lengths, never the same one twice.

Equal texts share a pass in our encoder and an entry in any cache, so a repeated text would measure
that instead. Words are whole tokens of the vocabulary and all of the same number of letters: the
tokens of a text follow from its words, and from its characters, which is what some peers count.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]

LETTERS: Final = 7
"""The number of letters that most words of BERT's English vocabulary have: 3,542 of them."""
SPECIAL_TOKENS: Final = 2
"""[CLS] and [SEP]."""
SHORT_TOKENS: Final = 12
MIXED_MEDIAN, MIXED_SIGMA = 3.66, 0.75
"""Of the logarithm of a mixed text's tokens: clipped to MIXED_RANGE their mean is about 51."""
MIXED_RANGE: Final = (5, 256)
LONG_RANGE: Final = (200, 256)
KINDS: Final = ("short", "mixed", "long")


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a vocabulary that are one token and have LETTERS letters, and their ids."""

    words: NDArray[np.str_]
    ids: Ids
    cls: int
    sep: int

    @classmethod
    def read(cls, tokenizer: Path) -> "Words":
        """The words of a tokenizer.json of the WordPiece kind."""
        vocabulary: dict[str, int] = json.loads(tokenizer.read_text())["model"]["vocab"]
        whole = re.compile(f"[a-z]{{{LETTERS}}}")
        chosen = sorted(word for word in vocabulary if whole.fullmatch(word))
        ids = np.array([vocabulary[word] for word in chosen], np.int32)
        return cls(np.array(chosen), ids, vocabulary["[CLS]"], vocabulary["[SEP]"])


@dataclass(frozen=True, slots=True)
class Text:
    """A text and the token ids that the model's tokenizer makes of it."""

    text: str
    ids: Ids


@dataclass(slots=True)
class Source:
    """Hands out texts of every kind; one source never hands out the same text twice."""

    words: Words
    seed: int = 7
    _used: set[bytes] = field(default_factory=set)
    _rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def take(self, kind: str, count: int) -> list[Text]:
        """The next `count` texts of a kind."""
        return [self._new(int(length)) for length in lengths(kind, count, self._rng)]

    def _new(self, tokens: int) -> Text:
        while True:
            picked = self._rng.integers(len(self.words.ids), size=tokens - SPECIAL_TOKENS)
            key = picked.astype(np.int16).tobytes()
            if key not in self._used:
                self._used.add(key)
                return self._text(picked)

    def _text(self, picked: NDArray[np.int64]) -> Text:
        ids = np.empty(len(picked) + SPECIAL_TOKENS, np.int32)
        ids[0], ids[-1] = self.words.cls, self.words.sep
        ids[1:-1] = self.words.ids[picked]
        return Text(" ".join(self.words.words[picked]), ids)


def lengths(kind: str, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Tokens of `count` texts of a kind, special tokens included."""
    if kind == "short":
        return np.full(count, SHORT_TOKENS)
    if kind == "long":
        return rng.integers(*LONG_RANGE, count, endpoint=True)
    drawn = rng.lognormal(MIXED_MEDIAN, MIXED_SIGMA, count)
    return np.clip(drawn, *MIXED_RANGE).astype(np.int64)


def mean_tokens(kind: str) -> float:
    """Tokens of a text of a kind, on average."""
    return float(lengths(kind, 10_000, np.random.default_rng(1)).mean())


def tokens_of_characters(characters: int, texts: int) -> int:
    """Tokens of texts that have so many characters together, single spaces between words."""
    words = (characters + texts) // (LETTERS + 1)
    return words + SPECIAL_TOKENS * texts


def requests(texts: Sequence[Text], per_request: int) -> Iterator[str | list[str]]:
    """What the requests ask: a text, or a list of `per_request`."""
    if per_request == 1:
        yield from (text.text for text in texts)
        return
    for start in range(0, len(texts) - per_request + 1, per_request):
        yield [text.text for text in texts[start : start + per_request]]
