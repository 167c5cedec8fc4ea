"""How close a model comes to itself in fp32 when it computes with fewer bits."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from triptych_bundles.fields import Fields

PRECISIONS = ("bf16", "int8")
"""What a bundle may have been measured in beside fp32, which is what all are held against."""
INT8_GRAPHS = ("cpu-int8", "cpu-int8-static")
"""Variants of the graph in int8: activations are scaled as they come, for onnxruntime, or by what
calibration found, for OpenVINO. In bf16 it is the graph `cpu-fp32` that runs."""


@dataclass(frozen=True, slots=True)
class ScorePair:
    """What a task scores on the same texts, from 0 to 1."""

    metric: str
    fp32: float
    own: float


@dataclass(frozen=True, slots=True)
class PrecisionRecord:
    """How close a precision comes to fp32: measured when it was made, and the floor at load.

    Where a precision has several graphs, the figures are those of the worst.
    """

    min_cosine: float
    """Least cosine of a pooled vector to its golden one; a backend below it is refused."""
    worst_cosine: float
    """Of the pooled vectors of `texts`, each alone and in padded batches."""
    mean_cosine: float
    texts: int
    batch_cosine: float
    """Least cosine of a text's vector among batch mates to its vector alone."""
    scores: Mapping[str, ScorePair]
    """By the name of the head or of the data set."""


def read_precisions(fields: Fields, graphs: Collection[str]) -> Mapping[str, PrecisionRecord]:
    """The section `precisions`: records by precision."""
    records = {}
    for name in fields:
        if name not in PRECISIONS:
            fields.refuse(name, f"is not one of {', '.join(PRECISIONS)}")
        if name == "int8" and not set(INT8_GRAPHS) & set(graphs):
            fields.refuse(name, f"needs one of the graphs {', '.join(INT8_GRAPHS)}")
        records[name] = _record(fields.section(name))
    return MappingProxyType(records)


def _record(fields: Fields) -> PrecisionRecord:
    record = PrecisionRecord(
        min_cosine=fields.fraction("min_cosine"),
        worst_cosine=fields.fraction("worst_cosine"),
        mean_cosine=fields.fraction("mean_cosine"),
        texts=fields.count("texts"),
        batch_cosine=fields.fraction("batch_cosine"),
        scores=_scores(fields.section("scores")),
    )
    if record.worst_cosine < record.min_cosine:
        fields.refuse("worst_cosine", "is below min_cosine")
    fields.end()
    return record


def _scores(fields: Fields) -> Mapping[str, ScorePair]:
    return MappingProxyType({name: _score(fields.section(name)) for name in fields})


def _score(fields: Fields) -> ScorePair:
    score = ScorePair(fields.text("metric"), fields.fraction("fp32"), fields.fraction("own"))
    fields.end()
    return score
