"""How many entities are found whole: the measure of the shared tasks (conlleval)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from triptych_models.conll import OUTSIDE

Span = tuple[int, int, str]
"""First word, word after the last, label."""


@dataclass(frozen=True, slots=True)
class EntityScores:
    """Shares from 0 to 1 over all entities; 0 where there is nothing to divide by."""

    precision: float
    recall: float
    f1: float
    by_label: dict[str, float]
    """F1 of each label that is there or was found."""

    def __str__(self) -> str:
        return f"entity F1 {self.f1:.4f} (precision {self.precision:.4f}, recall {self.recall:.4f})"


def spans(tags: Sequence[str]) -> list[Span]:
    """The entities of a sentence's tags.

    `B-` begins one; `I-` goes on with one of its label, and begins one where there is none before
    it, as conlleval reads it.
    """
    return list(_spans(tags))


def _spans(tags: Sequence[str]) -> Iterator[Span]:
    start, label = 0, ""
    for at, tag in enumerate([*tags, OUTSIDE]):
        goes_on = bool(label) and tag == f"I-{label}"
        if label and not goes_on:
            yield start, at, label
        if not goes_on:
            start, label = at, "" if tag == OUTSIDE else tag[2:]


def score_entities(gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> EntityScores:
    """Hold tags of sentences against the right ones: an entity counts where words and label agree.

    Micro-averaged over all labels, as conlleval's first line.
    """
    right, there, made = Counter[str](), Counter[str](), Counter[str]()
    for expected, actual in zip(gold, found, strict=True):
        wanted, given = set(spans(expected)), set(spans(actual))
        there.update(label for *_, label in wanted)
        made.update(label for *_, label in given)
        right.update(label for *_, label in wanted & given)
    labels = sorted({*there, *made})
    by_label = {label: _f1(right[label], there[label], made[label]) for label in labels}
    hits, total, guesses = right.total(), there.total(), made.total()
    return EntityScores(
        hits / max(guesses, 1), hits / max(total, 1), _f1(hits, total, guesses), by_label
    )


def _f1(right: int, there: int, made: int) -> float:
    return 2 * right / max(there + made, 1)
