"""The contents of a bundle.yaml, typed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triptych_bundles.errors import BundleError
from triptych_bundles.paths import inside

MANIFEST_NAME = "bundle.yaml"
SCHEMA_VERSION = 1
POOLINGS = ("cls", "mean", "last_token")
HIDDEN_OUTPUT = "last_hidden_state"


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


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model folder as its bundle.yaml describes it; nothing but that file has been read."""

    path: Path
    name: str
    version: str
    digest: str
    """sha256 of bundle.yaml in hex. It holds the hash of every other file, so it pins them all."""
    created: int
    """Unix seconds; 0 where the source has no date."""
    task: str
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
    """File by variant, such as cpu-fp32."""
    base: BaseModel
    golden: GoldenRecord
    recipe: str
    """sha256 of what the bundle was compiled from: sources, options, compiler revision."""
    files: Mapping[str, FileRecord]

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
