"""Entities by their tags: the rules of conlleval, which are the default of seqeval.

An entity is a run of words. It ends before `O`, before another label, before `B-` and `S-`, and
after `E-` and `S-`; whatever goes on where nothing was begun begins one, so `I-` after `O` does.
It is right where its first word, its last word and its label are (Tjong Kim Sang & De Meulder 2003,
Introduction to the CoNLL-2003 Shared Task).
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

OUTSIDE: Final = "O"
PREFIXES: Final = frozenset("BIES")
GOES_ON: Final = frozenset("IE")
STAYS_OPEN: Final = frozenset("BI")


class Span(NamedTuple):
    """An entity in code points of its text, from the first to behind the last."""

    start: int
    end: int
    label: str


class _Tag(NamedTuple):
    prefix: str
    label: str


def spans(words: Sequence[str], tags: Sequence[str]) -> list[Span]:
    """The entities of words with a blank between, in their order."""
    ends = list(accumulate(len(word) + 1 for word in words))
    places = [(end - len(word) - 1, end - 1) for word, end in zip(words, ends, strict=True)]
    return [
        Span(places[first][0], places[last][1], label) for first, last, label in word_spans(tags)
    ]


def word_spans(tags: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """First word, last word and label of each entity."""
    first, before = 0, _Tag(OUTSIDE, "")
    for number, text in enumerate([*tags, OUTSIDE]):
        tag = read_tag(text)
        joined = tag.label == before.label and tag.prefix in GOES_ON and before.prefix in STAYS_OPEN
        if before.label and not joined:
            yield first, number - 1, before.label
        if not joined:
            first = number
        before = tag


def read_tag(text: str) -> _Tag:
    """Prefix and label; a model's tag without a prefix goes on, as transformers reads it."""
    prefix, hyphen, label = text.partition("-")
    if text == OUTSIDE:
        return _Tag(OUTSIDE, "")
    return _Tag(prefix, label) if hyphen and prefix in PREFIXES else _Tag("I", text)


def words_of_tokens(words: Sequence[str], tokens: Sequence[Span]) -> list[str]:
    """The tag of each word, which is that of its first token; `O` where it has none.

    Tokens are spans whose labels are tags. One is of the word that its last character is in, since
    some tokenizers let a token begin with the blank before.
    """
    tags = [OUTSIDE] * len(words)
    ends = list(accumulate(len(word) + 1 for word in words))
    word, tagged = 0, -1
    for token in tokens:
        while word < len(words) - 1 and token.end > ends[word]:
            word += 1
        if word != tagged:
            tags[word], tagged = token.label, word
    return tags
