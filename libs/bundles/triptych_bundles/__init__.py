"""Model bundles: what a model folder holds, whether it is intact, and which versions there are."""

from triptych_bundles.cosine import Cosine, check_cosine
from triptych_bundles.digests import sha256_file
from triptych_bundles.errors import BundleError, BundleNotFound
from triptych_bundles.golden import GoldenVectors, read_golden
from triptych_bundles.manifest import (
    HIDDEN_OUTPUT,
    MANIFEST_NAME,
    POOLINGS,
    SCHEMA_VERSION,
    BaseModel,
    Bundle,
    FileRecord,
    GoldenRecord,
    pooled_output,
)
from triptych_bundles.paths import NAME_RULE, is_name
from triptych_bundles.reading import read_bundle
from triptych_bundles.repository import Repository
from triptych_bundles.verifying import verify_files

__all__ = [
    "HIDDEN_OUTPUT",
    "MANIFEST_NAME",
    "NAME_RULE",
    "POOLINGS",
    "SCHEMA_VERSION",
    "BaseModel",
    "Bundle",
    "BundleError",
    "BundleNotFound",
    "Cosine",
    "FileRecord",
    "GoldenRecord",
    "GoldenVectors",
    "Repository",
    "check_cosine",
    "is_name",
    "pooled_output",
    "read_bundle",
    "read_golden",
    "sha256_file",
    "verify_files",
]
