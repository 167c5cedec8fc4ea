"""Scores of a tagger by the entities that it finds whole."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_client.evaluation.bootstrap import Statistic
from triptych_client.evaluation.entities import OUTSIDE, Span
from triptych_client.evaluation.scores import Confusion
from triptych_client.evaluation.shares import Tally

Found = Sequence[Span]


@dataclass(frozen=True, slots=True)
class EntityScores:
    """N texts, L labels of entities: those of the set and those that were found, sorted."""

    labels: tuple[str, ...]
    counts: NDArray[np.int64]
    """[N, 3]: entities that are right, that were found, and that are there, of each text."""
    by_label: Tally
    confusions: tuple[Confusion, ...]
    """Entities with the same place; `O` stands for none there. The most frequent first."""

    @property
    def items(self) -> int:
        """N."""
        return len(self.counts)

    @property
    def correct(self) -> None:
        """A text is not right or wrong: some of its entities are."""
        return

    def statistics(self) -> Mapping[str, Statistic]:
        """Precision, recall and F1 over all entities, as conlleval's first line."""
        return {
            "entity_f1": lambda rows: self._of(rows).micro().f1,
            "entity_precision": lambda rows: self._of(rows).micro().precision,
            "entity_recall": lambda rows: self._of(rows).micro().recall,
        }

    def tally(self) -> Tally:
        """Counts by label."""
        return self.by_label

    def confusion(self) -> Sequence[Confusion]:
        """What was taken for what, the most frequent first; right answers are among it."""
        return self.confusions

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "micro": self.by_label.micro().document(),
            **self.by_label.document(self.labels),
            "confusion": [one.document() for one in self.confusions],
        }

    def _of(self, rows: NDArray[np.int64]) -> Tally:
        right, found, there = self.counts[rows].sum(axis=0)
        return Tally(np.array([right]), np.array([found]), np.array([there]))


def score_entities(expected: Sequence[Found], answers: Sequence[Found | None]) -> EntityScores:
    """Hold the entities of texts against those there; None is no answer, and finds none."""
    right, found, there = Counter[str](), Counter[str](), Counter[str]()
    confusions, counts = Counter[tuple[str, str]](), []
    for wanted, answer in zip(expected, answers, strict=True):
        gold, given = set(wanted), set(answer or ())
        counts.append((len(gold & given), len(given), len(gold)))
        right.update(span.label for span in gold & given)
        found.update(span.label for span in given)
        there.update(span.label for span in gold)
        confusions.update(_confusions(gold, given))
    labels = sorted({*found, *there})
    columns = (np.array([one[label] for label in labels], int) for one in (right, found, there))
    listed = (Confusion(*pair, count) for pair, count in confusions.most_common())
    return EntityScores(tuple(labels), np.array(counts), Tally(*columns), tuple(listed))


def _confusions(gold: set[Span], given: set[Span]) -> Counter[tuple[str, str]]:
    """Labels at each place; of several at one place, which only a model gives, the last counts."""
    there = {(span.start, span.end): span.label for span in gold}
    found = {(span.start, span.end): span.label for span in given}
    places = there.keys() | found.keys()
    return Counter((there.get(at, OUTSIDE), found.get(at, OUTSIDE)) for at in places)
