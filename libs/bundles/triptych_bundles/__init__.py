"""Model bundles: what a model folder holds, whether it is intact, and which versions there are."""

from triptych_bundles.aliases import (
    ALIASES_NAME,
    Alias,
    Aliases,
    AliasShadow,
    AliasTarget,
    read_aliases,
)
from triptych_bundles.cosine import Cosine, check_cosine
from triptych_bundles.digests import sha256_file
from triptych_bundles.errors import BundleError, BundleNotFound
from triptych_bundles.golden import GoldenVectors, disagreement, min_cosine, read_golden
from triptych_bundles.heads import HeadGolden, Layer, read_head_golden, read_layers
from triptych_bundles.layers import forward
from triptych_bundles.manifest import (
    ACTIVATIONS,
    HIDDEN_OUTPUT,
    LOGITS_OUTPUT,
    MANIFEST_NAME,
    POOLINGS,
    PRECISIONS_SCHEMA_VERSION,
    PROBLEM_TYPES,
    SCHEMA_VERSION,
    TOKEN_LOGITS_OUTPUT,
    Activation,
    BaseModel,
    Bundle,
    Dense,
    FileRecord,
    GoldenRecord,
    Head,
    HeadBundle,
    ProblemType,
    Trunk,
    pooled_output,
)
from triptych_bundles.paths import NAME_RULE, is_name
from triptych_bundles.precisions import INT8_GRAPHS, PRECISIONS, PrecisionRecord, ScorePair
from triptych_bundles.reading import read_bundle, read_model
from triptych_bundles.repository import Repository, Scan
from triptych_bundles.verifying import verify_files

__all__ = [
    "ACTIVATIONS",
    "ALIASES_NAME",
    "HIDDEN_OUTPUT",
    "INT8_GRAPHS",
    "LOGITS_OUTPUT",
    "MANIFEST_NAME",
    "NAME_RULE",
    "POOLINGS",
    "PRECISIONS",
    "PRECISIONS_SCHEMA_VERSION",
    "PROBLEM_TYPES",
    "SCHEMA_VERSION",
    "TOKEN_LOGITS_OUTPUT",
    "Activation",
    "Alias",
    "AliasShadow",
    "AliasTarget",
    "Aliases",
    "BaseModel",
    "Bundle",
    "BundleError",
    "BundleNotFound",
    "Cosine",
    "Dense",
    "FileRecord",
    "GoldenRecord",
    "GoldenVectors",
    "Head",
    "HeadBundle",
    "HeadGolden",
    "Layer",
    "PrecisionRecord",
    "ProblemType",
    "Repository",
    "Scan",
    "ScorePair",
    "Trunk",
    "check_cosine",
    "disagreement",
    "forward",
    "is_name",
    "min_cosine",
    "pooled_output",
    "read_aliases",
    "read_bundle",
    "read_golden",
    "read_head_golden",
    "read_layers",
    "read_model",
    "sha256_file",
    "verify_files",
]
