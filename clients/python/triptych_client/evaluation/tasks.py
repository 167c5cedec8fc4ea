"""The tasks: classes, tags and similarity."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from triptych_client.evaluation.calibration import DEFAULT_BINS
from triptych_client.evaluation.class_scores import Classified, ClassScores, score_classes
from triptych_client.evaluation.correlation_scores import CorrelationScores, score_cosines
from triptych_client.evaluation.entities import (
    OUTSIDE,
    Span,
    read_tag,
    spans,
    word_spans,
    words_of_tokens,
)
from triptych_client.evaluation.entity_scores import EntityScores, score_entities
from triptych_client.evaluation.examples import Graded, Labelled, Pair, Tagged
from triptych_client.evaluation.task import PROBE, Entry, Target

UNJOINED: Final = "none"
"""The platform's word for the tag of every token: a word then takes that of its first."""
AGGREGATIONS: Final = (UNJOINED, "simple", "first", "average", "max")


@dataclass(frozen=True, slots=True)
class Classify:
    """One label for each text or pair."""

    bins: int = DEFAULT_BINS
    """Of the calibration."""
    path: ClassVar[str] = "/api/v1/classify"
    unit: ClassVar[str] = "inputs"
    measures: ClassVar[tuple[str, ...]] = ("accuracy", "f1_macro", "f1_weighted")

    def probe(self, target: Target) -> dict[str, Any]:
        """One text; a model of pairs reads it too."""
        return self._request(target, [PROBE])

    def request(self, target: Target, examples: Sequence[Labelled]) -> dict[str, Any]:
        """All labels and their scores."""
        return self._request(target, [_input(example.input) for example in examples])

    def read(self, example: Labelled, entry: Entry) -> Classified:  # noqa: ARG002
        """The best label; an entry has them best first."""
        labels = entry["labels"]
        scores = [float(one["score"]) for one in labels]
        return Classified(str(labels[0]["label"]), scores[0], sum(scores))

    def expected_labels(self, examples: Sequence[Labelled]) -> Mapping[str, int]:
        """The column's labels."""
        return Counter(example.label for example in examples)

    def model_labels(self, entry: Entry, card: Entry) -> frozenset[str]:  # noqa: ARG002
        """Every answer has all of them; the card is the trunk's where a head answers."""
        return frozenset(str(one["label"]) for one in entry["labels"])

    def score(
        self, examples: Sequence[Labelled], answers: Sequence[Classified | None]
    ) -> ClassScores:
        """Accuracy and the rest."""
        return score_classes([example.label for example in examples], answers, self.bins)

    def _request(self, target: Target, inputs: list[Any]) -> dict[str, Any]:
        head = {"head": target.head} if target.head else {}
        return {"model": target.model, "inputs": inputs, **head}


@dataclass(frozen=True, slots=True)
class Tag:
    """The entities of each text, by the platform's `aggregation`."""

    aggregation: str = UNJOINED
    path: ClassVar[str] = "/api/v1/tag"
    unit: ClassVar[str] = "sentences"
    measures: ClassVar[tuple[str, ...]] = ("entity_f1", "entity_precision", "entity_recall")

    def probe(self, target: Target) -> dict[str, Any]:
        """One text."""
        return self._request(target, [PROBE])

    def request(self, target: Target, examples: Sequence[Tagged]) -> dict[str, Any]:
        """Texts of words with a blank between."""
        return self._request(target, [example.text for example in examples])

    def read(self, example: Tagged, entry: Entry) -> list[Span]:
        """The entities, by the tags of words or as the platform joined them."""
        found = [
            Span(int(one["start"]), int(one["end"]), str(one["label"])) for one in entry["entities"]
        ]
        if self.aggregation != UNJOINED:
            return found
        return spans(example.words, words_of_tokens(example.words, found))

    def expected_labels(self, examples: Sequence[Tagged]) -> Mapping[str, int]:
        """The labels of entities, without prefixes."""
        tags = (example.tags for example in examples)
        return Counter(label for sentence in tags for *_, label in word_spans(sentence))

    def model_labels(self, entry: Entry, card: Entry) -> frozenset[str]:  # noqa: ARG002
        """Those of the card, which alone has them all."""
        tags = card.get("token_labels") or ()
        return frozenset(read_tag(str(tag)).label for tag in tags) - {""}

    def score(
        self, examples: Sequence[Tagged], answers: Sequence[Sequence[Span] | None]
    ) -> EntityScores:
        """F1 by entity."""
        return score_entities([spans(one.words, one.tags) for one in examples], answers)

    def _request(self, target: Target, inputs: list[str]) -> dict[str, Any]:
        ignored = [] if self.aggregation == UNJOINED else [OUTSIDE]
        choice = {"aggregation": self.aggregation, "ignore_labels": ignored}
        return {"model": target.model, "inputs": inputs, **choice}


@dataclass(frozen=True, slots=True)
class Similarity:
    """The cosine of each pair."""

    path: ClassVar[str] = "/api/v1/similarity"
    unit: ClassVar[str] = "pairs"
    measures: ClassVar[tuple[str, ...]] = ("spearman", "pearson")

    def probe(self, target: Target) -> dict[str, Any]:
        """A text and itself."""
        return {"model": target.model, "pairs": [[PROBE, PROBE]]}

    def request(self, target: Target, examples: Sequence[Graded]) -> dict[str, Any]:
        """Pairs as lists of two."""
        return {"model": target.model, "pairs": [list(example.input) for example in examples]}

    def read(self, example: Graded, entry: Entry) -> float:  # noqa: ARG002
        """The cosine."""
        return float(entry["score"])

    def expected_labels(self, examples: Sequence[Graded]) -> Mapping[str, int]:  # noqa: ARG002
        """There are none."""
        return {}

    def model_labels(self, entry: Entry, card: Entry) -> frozenset[str]:  # noqa: ARG002
        """There are none."""
        return frozenset()

    def score(
        self, examples: Sequence[Graded], answers: Sequence[float | None]
    ) -> CorrelationScores:
        """Correlations."""
        return score_cosines([example.score for example in examples], answers)


def _input(value: str | Pair) -> Any:
    return {"first": value.first, "second": value.second} if isinstance(value, Pair) else value
