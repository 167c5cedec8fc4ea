"""The contents of a bundle.yaml, typed.

A bundle is a model, which has a graph and a tokenizer, or a head, which is a few layers over the
vectors of a model that it names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from triptych_bundles.errors import BundleError
from triptych_bundles.paths import inside
from triptych_bundles.precisions import PrecisionRecord

MANIFEST_NAME = "bundle.yaml"
SCHEMA_VERSION = 1
"""What a bundle is written in where it needs no later one."""
PRECISIONS_SCHEMA_VERSION = 2
"""The first that knows `precisions`. A reader of version 1 refuses what it does not know."""
SCHEMA_VERSIONS = (SCHEMA_VERSION, PRECISIONS_SCHEMA_VERSION)
KINDS = ("model", "head")
TASKS = ("embed", "classify", "tag", "rank")
POOLINGS = ("cls", "mean", "last_token")
HIDDEN_OUTPUT = "last_hidden_state"
LOGITS_OUTPUT = "logits"
"""float32[batch, labels]: classes that the graph itself gives a sequence; imported graphs only."""
TOKEN_LOGITS_OUTPUT = "token_logits"  # noqa: S105 (no secret)
"""float32[batch, sequence, labels]: classes that the graph gives every token."""

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
PROBLEM_TYPES: tuple[ProblemType, ...] = (
    "single_label_classification",
    "multi_label_classification",
    "regression",
)
Activation = Literal["none", "gelu", "relu", "tanh"]
ACTIVATIONS: tuple[Activation, ...] = ("none", "gelu", "relu", "tanh")


def pooled_output(pooling: str) -> str:
    """The graph output that holds the raw float32[batch, hidden] vectors of this pooling."""
    return f"pooled.{pooling}"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What a file of the bundle must be: sha256 in hex, size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class BaseModel:
    """Where the weights came from: a package, a hub id or a folder's name."""

    origin: str
    licence: str
    weights_sha256: str


@dataclass(frozen=True, slots=True)
class GoldenRecord:
    """Known-good vectors: their files, what computed them, and how close a backend must come."""

    vectors: str
    texts: str
    source: str
    min_cosine: float
    """Least cosine of a pooled vector to its golden one."""
    max_logit_error: float = 1e-4
    """Largest difference of a logit from its golden one."""


@dataclass(frozen=True, slots=True)
class Dense:
    """y = activation(x @ kernel + bias): `<name>.kernel` [in, out] and `<name>.bias` [out]."""

    name: str
    activation: Activation


@dataclass(frozen=True, slots=True)
class Head:
    """What makes classes of one of the graph's outputs.

    Without layers that output is the logits already, and there are neither weights nor golden
    numbers.
    """

    input: str
    """The graph's output that it reads: `pooled.<pooling>` or LOGITS_OUTPUT."""
    normalized: bool
    """Whether it was trained on vectors of length 1."""
    layers: tuple[Dense, ...]
    weights: str
    """safetensors file with the tensors of the layers."""
    golden: str
    """safetensors file with float32 `inputs` [N, H], raw, and the `logits` [N, labels] of them."""
    labels: tuple[str, ...]
    problem_type: ProblemType


@dataclass(frozen=True, slots=True)
class Trunk:
    """The model whose vectors a head reads: any of whose weights have this sha256."""

    name: str
    weights_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What every bundle has; nothing but its bundle.yaml has been read."""

    path: Path
    name: str
    version: str
    digest: str
    """sha256 of bundle.yaml in hex. It holds the hash of every other file, so it pins them all."""
    created: int
    """Unix seconds; 0 where the source has no date."""
    task: str
    """What it is for, one of TASKS."""
    files: Mapping[str, FileRecord]

    @property
    def identity(self) -> str:
        """`name@version`, for people."""
        return f"{self.name}@{self.version}"

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(record.bytes for record in self.files.values())

    def record(self, name: str) -> FileRecord:
        """What bundle.yaml says of a file; BundleError where it says nothing."""
        try:
            return self.files[name]
        except KeyError:
            raise BundleError(self.path / MANIFEST_NAME, f"records no file {name!r}") from None

    def file(self, name: str) -> Path:
        """The path of a recorded file, unread; BundleError for any other name."""
        self.record(name)
        return inside(self.path, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle(Folder):
    """A model: graph, tokenizer, and the head that it came with, if any."""

    architecture: str
    pooling: str
    """The model's own choice of POOLINGS; the graph offers every one in `outputs`."""
    normalize: bool
    max_length: int
    """In tokens, special tokens included."""
    hidden_size: int
    vocab_size: int
    prompts: Mapping[str, str]
    outputs: tuple[str, ...]
    graphs: Mapping[str, str]
    """File by variant: cpu-fp32, and where it was compiled for int8 INT8_GRAPHS."""
    base: BaseModel
    golden: GoldenRecord
    recipe: str
    """sha256 of what the bundle was compiled from: sources, options, compiler revision."""
    head: Head | None = None
    """Makes classes of whole inputs."""
    token_labels: tuple[str, ...] = ()
    """Classes of TOKEN_LOGITS_OUTPUT, in its order; none where the graph has no such output."""
    precisions: Mapping[str, PrecisionRecord] = field(default_factory=dict)
    """By one of PRECISIONS; empty where none was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadBundle(Folder):
    """A head on its own, which serves with a model that is loaded already."""

    trunk: Trunk
    head: Head
    hidden_size: int
    licence: str

    def fits(self, model: Bundle) -> bool:
        """Whether it was trained on the vectors of this model."""
        same_weights = self.trunk.weights_sha256 == model.base.weights_sha256
        return same_weights and self.head.input in model.outputs
