"""Entities by arithmetic: every character is a token, and its kind is its tag.

The probabilities of a token are the softmax of 1 + id % 4 for its own tag and 0 for the others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from triptych_gateway.local_tokens import SPECIAL, Sequenced
from triptych_gateway.tasks import Entities, TagOptions

LAST_ASCII: Final = 0x7F
PREFIXES: Final = ("B-", "I-")


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a text, and the probability of each tag for it."""

    start: int
    end: int
    probabilities: NDArray[np.float64]
    space: bool = False

    @property
    def tag(self) -> int:
        """The likeliest."""
        return int(self.probabilities.argmax())

    @property
    def score(self) -> float:
        """Its probability."""
        return float(self.probabilities.max())


def find_entities(
    labels: Sequence[str], done: Sequence[Sequenced], options: TagOptions
) -> Entities:
    """The entities of the inputs that tokenized; `item_index` counts all inputs."""
    found = [
        (index, start, end, label, score)
        for index, item in enumerate(done)
        for start, end, label, score in _of_one(labels, item, options)
    ]
    table = list(dict.fromkeys(label for _, _, _, label, _ in found))
    item, start, end, name, score = zip(*found, strict=True) if found else [()] * 5
    return Entities(
        np.array(item, np.int32),
        np.array(start, np.int32),
        np.array(end, np.int32),
        np.array([table.index(label) for label in name], np.int32),
        np.array(score, np.float32),
        table,
    )


def _of_one(
    labels: Sequence[str], item: Sequenced, options: TagOptions
) -> Iterator[tuple[int, int, str, float]]:
    spans = list(_tokens(item, len(labels)))
    if options.aggregation not in ("none", "simple"):
        spans = [_word(word, options.aggregation) for word in _words(spans)]
    groups = (
        ([span] for span in spans)
        if options.aggregation == "none"
        else (list(group) for _, group in groupby(spans, key=lambda span: span.tag))
    )
    for group in groups:
        label = labels[group[0].tag]
        if options.aggregation != "none" and label.startswith(PREFIXES):
            label = label[2:]
        if label not in options.ignore_labels:
            score = float(np.mean([span.score for span in group]))
            yield group[0].start, group[-1].end, label, score


def _tokens(item: Sequenced, tags: int) -> Iterator[Span]:
    """Tokens that have a place in the text: neither special ones nor those of a prompt."""
    for number, place in zip(item.ids, item.places(), strict=True):
        if place.end > place.start:
            logits = np.zeros(tags)
            logits[_kind(number - SPECIAL) % tags] = 1 + number % 4
            powers = np.exp(logits)
            space = chr(number - SPECIAL).isspace()
            yield Span(place.start, place.end, powers / powers.sum(), space)


def _kind(code: int) -> int:
    if code > LAST_ASCII:
        return 2
    return 1 if chr(code).isdigit() else 0


def _words(tokens: Sequence[Span]) -> Iterator[list[Span]]:
    for space, run in groupby(tokens, key=lambda token: token.space):
        if not space:
            yield list(run)


def _word(tokens: Sequence[Span], aggregation: str) -> Span:
    if aggregation == "first":
        chosen = tokens[0].probabilities
    elif aggregation == "max":
        chosen = max(tokens, key=lambda token: token.score).probabilities
    else:
        chosen = np.mean([token.probabilities for token in tokens], axis=0)
    return Span(tokens[0].start, tokens[-1].end, chosen)
