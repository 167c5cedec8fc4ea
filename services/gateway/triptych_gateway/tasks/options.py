"""What is to be done with the inputs: as a client asks for it, and with its heads resolved."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from triptych_bundles.manifest import Head

Pooling = Literal["", "cls", "mean", "last_token"]
DType = Literal["float32", "float16", "int8", "uint8"]
WindowAggregation = Literal["mean", "max"]
Aggregation = Literal["none", "simple", "first", "average", "max"]


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """How vectors become embeddings. None or empty: as the bundle says; `dimensions` 0: all.

    int8 scales each embedding to 127 at its largest number; uint8 has a bit a dimension.
    """

    pooling: Pooling = ""
    normalize: bool | None = None
    dimensions: int = 0
    dtype: DType = "float32"


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """How classes are chosen. `head` "": the one that the model's name means; `top_k` 0: all."""

    head: str = ""
    top_k: int = 0
    raw_scores: bool = False
    windows: WindowAggregation = "mean"


@dataclass(frozen=True, slots=True)
class TagOptions:
    """How tags of tokens become entities, and the labels that are never returned."""

    aggregation: Aggregation = "simple"
    ignore_labels: tuple[str, ...] = ("O",)


@dataclass(frozen=True, slots=True)
class RankOptions:
    """How many documents come back, 0: all, and whether a cross-encoder's scores are logits."""

    top_n: int = 0
    raw_scores: bool = False


@dataclass(frozen=True, slots=True)
class Ranking:
    """A query and the documents to rank for it."""

    query: str
    documents: Sequence[str]
    options: RankOptions = RankOptions()


@dataclass(frozen=True, slots=True)
class ChosenHead:
    """A head that fits the model: that of the bundle `digest`, or the model's own where empty."""

    head: Head = field(compare=False)
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Classify:
    """ClassifyOptions whose head has been found; `top_k` is below the number of its labels."""

    head: ChosenHead
    top_k: int = 0
    raw_scores: bool = False
    windows: WindowAggregation = "mean"

    @property
    def width(self) -> int:
        """Classes that each input gets."""
        return self.top_k or len(self.head.head.labels)


TaskOptions = EmbedOptions | ClassifyOptions | TagOptions
"""One of several tasks, as a client asks for it."""
Task = EmbedOptions | Classify | TagOptions
"""The same, ready to be done: hashable, and equal where the same is to be done."""
